"""What is promised about speed, measured: each promise a row, in how many times as fast as the original.

    taskset -c 0 hatch run python benchmarks/speed.py [--rounds 15] [CASE ...]

The original comes from the package index into a temporary folder. The two libraries run in a process each, which wait
for each other. A round measures every case once on each side (the processor time of the fastest of a few calls; of a
call from empty caches where that is what is promised); printed is the median of the ratios within a round, its lower
and upper quartile, and the memory that the compiler sets aside, in bytes a parameter (in MiB for losses), there and
here. Steps are jitted, with parameters and state donated: `update`, then `apply_updates`, on a leaf of 8192 x 2048
(`one`) or the 148 leaves of `optimizers.py` (`gpt`). What begins with `fused` is `fused_step` here, and the two calls
there.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

from worker import serve, theirs_and_ours

from optimizers import trees

Case = tuple[float, Callable[[Any], Any]]  # the ratio that is promised; makes what is to be run


def schedule(optax: Any) -> Any:
    return optax.warmup_cosine_decay_schedule(0.0, 1e-3, 100, 10_000)


def clip_chain(optax: Any) -> Any:
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule(optax)))


def multi_steps(optax: Any) -> Any:
    tx = optax.MultiSteps(optax.adamw(1e-3), 4)
    return tx if hasattr(optax, "fused_step") else tx.gradient_transformation()


def factory(name: str, *args: Any) -> Callable[[Any], Any]:
    return lambda optax: getattr(optax if hasattr(optax, name) else optax.contrib, name)(*args)


ADAMW = factory("adamw", 1e-3)


def random_tree(shapes: list[tuple[int, ...]]) -> dict[str, Any]:
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(0)
    return {f"{i}": jnp.asarray(random.normal(size=shape), jnp.float32) for i, shape in enumerate(shapes)}


class Step:
    """A jitted step, several times in a row."""

    def __init__(self, optax: Any, make: Callable[[Any], Any], shapes: list[tuple[int, ...]], times: int, fused: bool):
        import jax

        tx = make(optax)
        whole = optax.fused_step(tx) if fused and hasattr(optax, "fused_step") else None

        def step(params: Any, state: Any, gradients: Any) -> Any:
            if whole is not None:
                params, state = whole(gradients, state, params)
                return params, state
            updates, state = tx.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        self.params = random_tree(shapes)
        self.gradients = jax.tree.map(lambda p: 1e-2 * p, self.params)
        self.state = jax.jit(tx.init)(self.params)
        lowered = jax.jit(step, donate_argnums=(0, 1)).lower(self.params, self.state, self.gradients)
        self.step = lowered.compile()
        self.memory = self.step.memory_analysis().temp_size_in_bytes / sum(p.size for p in self.params.values())
        self.times = times

    def __call__(self) -> None:
        import jax

        for _ in range(self.times):
            self.params, self.state = self.step(self.params, self.state, self.gradients)
        jax.block_until_ready(self.params)


def step(make: Callable[[Any], Any], tree: str, times: int = 1, fused: bool = False) -> Callable[[Any], Any]:
    shapes = {**trees(), "one": [(8192, 2048)], "8 shapes": [(4 + i % 8, 16) for i in range(1000)]}
    return lambda optax: Step(optax, make, shapes[tree], times, fused)


def eager(make: Callable[[Any], Any], times: int = 1) -> Callable[[Any], Any]:
    """Ten leaves of ten, outside of `jit`."""

    def start(optax: Any) -> Callable[[], None]:
        import jax

        tx, params = make(optax), random_tree([(10,)] * 10)
        state = tx.init(params)

        def run() -> None:
            nonlocal state
            for _ in range(times):
                updates, state = tx.update(params, state, params)
                new = optax.apply_updates(params, updates)
            jax.block_until_ready(new)

        return run

    return start


def cold_init(optax: Any) -> Callable[[], None]:
    """400 distinct shapes."""
    import jax

    params = random_tree([(3, i + 1) for i in range(400)])

    def run() -> None:
        jax.clear_caches()
        jax.block_until_ready(optax.adamw(1e-3).init(params))

    return run


def trace(optax: Any) -> Callable[[], None]:
    """1000 leaves of 8 shapes."""
    import jax

    tx, params = optax.adamw(1e-3), random_tree([(4 + i % 8, 16) for i in range(1000)])
    state = jax.eval_shape(tx.init, params)

    def run() -> None:
        jax.clear_caches()

        def fresh(gradients: Any, state: Any, params: Any) -> Any:
            updates, state = tx.update(gradients, state, params)
            return optax.apply_updates(params, updates), state

        jax.jit(fresh).trace(params, state, params)

    return run


def value(function: Callable[[Any], Callable[..., Any]], *shape: int) -> Callable[[Any], Any]:
    """A function of one array."""

    def start(optax: Any) -> Callable[[], None]:
        import jax

        x = random_tree([shape])["0"]
        compiled = jax.jit(function(optax)).lower(x).compile()

        def run() -> None:
            jax.block_until_ready(compiled(x))

        vars(run)["memory"] = compiled.memory_analysis().temp_size_in_bytes / 2**20
        return run

    return start


def ntxent(optax: Any) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    labels = jnp.arange(1024) // 2
    return jax.value_and_grad(lambda x: jnp.mean(optax.losses.ntxent(x, labels)))


def orthogonal(optax: Any) -> Callable[..., Any]:
    """The update of `muon` alone."""
    tx = optax.contrib.muon(1.0)
    return lambda g: tx.update({"w": g}, tx.init({"w": g}), {"w": g})[0]


CASES: dict[str, Case] = {
    "lion, one": (3.5, step(factory("lion", 1e-3), "one")),
    "lion, gpt": (3.5, step(factory("lion", 1e-3), "gpt")),
    "lars, one": (4, step(factory("lars", 1e-3), "one")),
    "lars, gpt": (4, step(factory("lars", 1e-3), "gpt")),
    "clip + adamw + schedule, one": (2, step(clip_chain, "one")),
    "clip + adamw + schedule, gpt": (2, step(clip_chain, "gpt")),
    "apply_if_finite(adamw), one": (2, step(lambda optax: optax.apply_if_finite(optax.adamw(1e-3), 5), "one")),
    "apply_if_finite(adamw), gpt": (2, step(lambda optax: optax.apply_if_finite(optax.adamw(1e-3), 5), "gpt")),
    "MultiSteps(adamw, 4), one": (10, step(multi_steps, "one", times=4)),
    "MultiSteps(adamw, 4), gpt": (10, step(multi_steps, "gpt", times=4)),
    **{
        f"{name}, {tree}": (1, step(factory(name, 1e-3), tree))
        for name in ["adamw", "adabelief", "lamb", "adafactor", "sm3", "schedule_free_adamw", "adopt", "adan"]
        for tree in ["one", "gpt"]
    },
    "fused adamw, one": (1.25, step(ADAMW, "one", fused=True)),
    "fused clip + adamw + schedule, one": (2.6, step(clip_chain, "one", fused=True)),
    "fused adabelief, one": (3, step(factory("adabelief", 1e-3), "one", fused=True)),
    "fused adafactor, one": (3, step(factory("adafactor", 1e-3), "one", fused=True)),
    "fused lamb, one": (2.5, step(factory("lamb", 1e-3), "one", fused=True)),
    "eager adamw": (15, eager(ADAMW)),
    "eager clip + adamw + schedule": (15, eager(clip_chain)),
    "eager MultiSteps(adamw, 4)": (500, eager(multi_steps)),
    "eager init, cold, 400 shapes": (100, cold_init),
    "trace, 1000 leaves of 8 shapes": (4, trace),
    "muon, 512 x 512": (1.3, value(orthogonal, 512, 512)),
    "muon, 256 x 256": (1.3, value(orthogonal, 256, 256)),
    "muon, 512 x 2048": (2.5, value(orthogonal, 512, 2048)),
    "muon, 256 x 1024": (2.5, value(orthogonal, 256, 1024)),
    "simplex, 1e5": (20, value(lambda optax: optax.projections.projection_simplex, 100_000)),
    "ntxent, 1024 x 128": (8, value(ntxent, 1024, 128)),
}


def work(path: list[str]) -> None:
    """Be a worker for the library that is found in `path` first."""
    sys.path[:0] = path
    import optax
    import optax.contrib

    running: dict[str, Callable[[], None]] = {}

    def answer(kind: str, name: str = "") -> Any:
        if kind == "start":
            running.clear()
            running[name] = CASES[name][1](optax)
            running[name]()
            return getattr(running[name], "memory", None)
        (run,) = running.values()
        fastest, spent = float("inf"), 0.0
        while spent < 0.1:  # s
            begin = process_time()
            run()
            fastest = min(fastest, process_time() - begin)
            spent += process_time() - begin
        return fastest

    serve(answer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cases", nargs="*", help=f"beginnings of {', '.join(CASES)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    print("| case | promised | times as fast | quartiles | memory, original / here |")
    print("| --- | --- | --- | --- | --- |")
    with theirs_and_ours() as (theirs, ours):
        for name, (promised, _) in CASES.items():
            if options.cases and not name.startswith(tuple(options.cases)):
                continue
            memory = [worker.ask("start", name) for worker in (theirs, ours)]
            ratios = []
            for _ in range(options.rounds):
                there, here = theirs.ask("run"), ours.ask("run")
                ratios.append(there / here if isinstance(there, float) and isinstance(here, float) else float("nan"))
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else 3 * ratios
            sizes = " / ".join("-" if m is None else m[:60] if isinstance(m, str) else f"{m:.1f}" for m in memory)
            print(f"| {name} | {promised} | {middle:.2f} | {low:.2f} to {high:.2f} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()

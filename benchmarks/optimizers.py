"""Every optimizer with its default arguments, here and in the original, in turn.

    hatch run python benchmarks/optimizers.py [--trees one gpt many] [--rounds 15] [--compile-rounds 3] [NAME ...]

The original comes from the package index into a temporary folder. The two libraries run in a process each, which wait
for each other. The trees: `one` leaf of 16M elements; `gpt`, 148 leaves in the shapes of GPT-2 small at two thirds of
its width and a third of its vocabulary, 47M elements; `many`, 1000 leaves of 64 x 64. A step is `update` and
`apply_updates`, jitted, with parameters and state donated. A round takes the fastest of a few steps on each side;
printed are the medians of the ratios within a round, here over there. `bytes` and `temp` are what the compiler says
that a step moves and sets aside, in bytes a parameter, here and there: they have no noise.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from time import process_time
from typing import Any

from worker import Worker, serve, theirs_and_ours

TESTS = Path(__file__).parents[1] / "tests"


def trees() -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the leaves."""
    width = 512
    block = [(width,), (width,), (width, 3 * width), (3 * width,), (width, width), (width,)]
    block += [(width,), (width,), (width, 4 * width), (4 * width,), (4 * width, width), (width,)]
    gpt = [(50257 // 3, width), (1024, width), *(12 * block), (width,), (width,)]
    return {"one": [(1 << 24,)], "gpt": gpt, "many": 1000 * [(64, 64)]}


def cases() -> dict[str, Any]:
    """The case with the fewest arguments of each optimizer, by its name."""
    sys.path.append(str(TESTS))
    from conformance import engine

    found: dict[str, Any] = {}
    for case in engine.cases():
        if not case.name.startswith(("scale_by_", "hutchinson_")):  # parts of optimizers
            fewest = found.setdefault(case.name, case)
            if len(case.settings) < len(fewest.settings):
                found[case.name] = case
    return found


def work(path: list[str]) -> None:
    """Be a worker for the library that is found in `path` first."""
    sys.path[:0] = path
    import jax
    import jax.numpy as jnp
    import numpy as np

    import optax

    sys.path.append(str(TESTS))
    from conformance import engine

    running: Any = None

    def start(case: Any, shapes: list[tuple[int, ...]]) -> tuple[Any, Any, Any]:
        tx = engine.optimizer(case, optax)
        random = np.random.default_rng(0)
        params = {f"{i}": jnp.asarray(random.normal(size=shape), jnp.float32) for i, shape in enumerate(shapes)}
        gradients = jax.tree.map(lambda p: 1e-2 * p, params)
        if case.batch is not None:
            gradients = jax.tree.map(lambda g: jnp.asarray(case.batch(np.asarray(g))), gradients)

        def step(params: Any, state: Any, gradients: Any) -> Any:
            extra_args = engine.extra_args(case, optax, params, gradients, jnp.float32(1))
            updates, state = tx.update(gradients, state, params, **extra_args)
            return optax.apply_updates(params, updates), state

        return jax.jit(step, donate_argnums=(0, 1)), (params, jax.jit(tx.init)(params)), gradients

    def answer(kind: str, *details: Any) -> Any:
        nonlocal running
        if kind == "compile":
            name, tree = details
            running = None
            step, (params, state), gradients = start(cases()[name], trees()[tree])
            jax.clear_caches()
            times = [process_time()]
            traced = step.trace(params, state, gradients)
            times.append(process_time())
            compiled = traced.lower().compile()
            times.append(process_time())
            n = sum(p.size for p in params.values())
            running = compiled, params, state, gradients
            return {
                "trace": times[1] - times[0],
                "compile": times[2] - times[1],
                "bytes": compiled.cost_analysis()["bytes accessed"] / n,
                "temp": compiled.memory_analysis().temp_size_in_bytes / n,
            }
        (number,) = details
        compiled, params, state, gradients = running
        fastest = float("inf")
        for _ in range(number):
            begin = process_time()
            params, state = jax.block_until_ready(compiled(params, state, gradients))
            fastest = min(fastest, process_time() - begin)
        running = compiled, params, state, gradients
        return fastest

    serve(answer)


def compare(name: str, tree: str, theirs: Worker, ours: Worker, rounds: int, compile_rounds: int) -> str:
    """A row of the table."""
    head = f"| {tree} | {name} |"
    built = []
    for _ in range(compile_rounds):
        built.append((theirs.ask("compile", name, tree), ours.ask("compile", name, tree)))
        for side in built[-1]:
            if isinstance(side, str):
                return f"{head} {side[:100]} |"
    steps = []
    for worker in (theirs, ours):
        worker.ask("steps", 2)
    for _ in range(rounds):
        there, here = theirs.ask("steps", 3), ours.ask("steps", 3)
        steps.append(here / there)
    step = f"{statistics.median(steps):.2f}" if steps else "-"
    trace, compiled = (
        f"{statistics.median(here[key] / there[key] for there, here in built):.2f}" for key in ("trace", "compile")
    )
    exact = " | ".join(f"{here[key]:.1f} / {there[key]:.1f}" for there, here in built[-1:] for key in ("bytes", "temp"))
    return f"{head} {step} | {trace} | {compiled} | {exact} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--trees", nargs="+", choices=[*trees()], default=[*trees()])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--compile-rounds", type=int, default=3)
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    with theirs_and_ours() as (theirs, ours):
        print("| tree | optimizer | step | trace | compile | bytes | temp |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for tree in options.trees:
            for name in options.names or sorted(cases()):
                print(compare(name, tree, theirs, ours, options.rounds, options.compile_rounds), flush=True)


if __name__ == "__main__":
    main()

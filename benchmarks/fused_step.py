"""A step of `fused_step`, of `update` and `apply_updates` here, and of the two in the original, in turn.

    hatch run python benchmarks/fused_step.py [--trees one matrix gpt] [--rounds 15] [NAME ...]

The original comes from the package index into a temporary folder. The two libraries run in a process each, which wait
for each other. All three steps are jitted, with parameters and state donated. The trees: `one` leaf of 16M elements;
the same as a `matrix` of 8192 x 2048; `gpt`, as in `optimizers.py`, 148 leaves of 47M elements. A round takes the
fastest of three steps on each side; printed are the medians, over the rounds, of how many times as fast as the
original, and as the two functions here, a fused step is. `temp` is the memory that the compiler sets aside in a step,
in bytes a parameter: original, two functions, fused. `trace` and `compile` are times of the fused step in units of
those of the two functions here.
"""

import argparse
import json
import statistics
import sys
from time import perf_counter
from typing import Any

from speed import clip_chain, factory, random_tree
from worker import Worker, serve, theirs_and_ours

from optimizers import trees as all_trees

VARIANTS = ["original", "pair", "fused"]
NAMES = [
    "adamw",
    "clipped adamw",
    "adabelief",
    "adafactor",
    "lamb",
    "lion",
    "adopt",
    "adan",
    "amsgrad",
    "schedule_free_adamw",
    "sm3",
    "adadelta",
    "rmsprop",
]


def trees() -> dict[str, list[tuple[int, ...]]]:
    """The shapes of the leaves."""
    known = all_trees()
    return {"one": known["one"], "matrix": [(8192, 2048)], "gpt": known["gpt"]}


def work(path: list[str]) -> None:
    """Be a worker for the library that is found in `path` first."""
    sys.path[:0] = path
    import jax

    import optax

    def optimizer(name: str) -> Any:
        return (clip_chain if name == "clipped adamw" else factory(name, 1e-3))(optax)

    running: dict[str, Any] = {}

    def answer(kind: str, variant: str, *details: Any) -> Any:
        if kind == "forget":
            running.clear()
            return None
        if kind == "compile":
            name, tree = details
            tx = optimizer(name)
            params = random_tree(trees()[tree])
            gradients = jax.tree.map(lambda p: 1e-2 * p, params)
            state = jax.jit(tx.init)(params)
            fused = optax.fused_step(tx) if variant == "fused" else None

            def step(params: Any, state: Any, gradients: Any) -> Any:
                if fused is not None:
                    params, state = fused(gradients, state, params)
                    return params, state
                updates, state = tx.update(gradients, state, params)
                return optax.apply_updates(params, updates), state

            jax.clear_caches()
            times = [perf_counter()]
            traced = jax.jit(step, donate_argnums=(0, 1)).trace(params, state, gradients)
            times.append(perf_counter())
            compiled = traced.lower().compile()
            times.append(perf_counter())
            running[variant] = compiled, params, state, gradients
            n = sum(p.size for p in params.values())
            return {
                "trace": times[1] - times[0],
                "compile": times[2] - times[1],
                "temp": compiled.memory_analysis().temp_size_in_bytes / n,
            }
        compiled, params, state, gradients = running.pop(variant)
        fastest = float("inf")
        for _ in range(3):
            begin = perf_counter()
            params, state = jax.block_until_ready(compiled(params, state, gradients))
            fastest = min(fastest, perf_counter() - begin)
        running[variant] = compiled, params, state, gradients
        return fastest

    serve(answer)


def compare(name: str, tree: str, workers: dict[str, Worker], rounds: int) -> str:
    """A row of the table."""
    for variant, worker in workers.items():
        worker.ask("forget", variant)
    built = {variant: worker.ask("compile", variant, name, tree) for variant, worker in workers.items()}
    for variant, side in built.items():
        if isinstance(side, str):
            return f"| {tree} | {name} | {variant}: {side[:100]} |"
    for variant, worker in workers.items():
        worker.ask("steps", variant)
    times = [{variant: worker.ask("steps", variant) for variant, worker in workers.items()} for _ in range(rounds)]
    speed = [f"{statistics.median(t[variant] / t['fused'] for t in times):.2f}" for variant in ("original", "pair")]
    temp = " / ".join(f"{side['temp']:.2f}" for side in built.values())
    cost = [f"{built['fused'][key] / built['pair'][key]:.2f}" for key in ("trace", "compile")]
    return f"| {' | '.join([tree, name, *speed, temp, *cost])} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--trees", nargs="+", choices=[*trees()], default=[*trees()])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    with theirs_and_ours() as (theirs, ours):
        print("| tree | optimizer | x original | x pair | temp | trace | compile |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        workers = dict(zip(VARIANTS, [theirs, ours, ours], strict=True))
        for tree in options.trees:
            for name in options.names or NAMES:
                print(compare(name, tree, workers, options.rounds), flush=True)


if __name__ == "__main__":
    main()

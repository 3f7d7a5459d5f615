"""What `MultiSteps` costs while it accumulates, and while it compiles; here and in the original.

    hatch run python benchmarks/multi_steps.py [ROUNDS [PYTHON]]

PYTHON is an interpreter with the original optax in it; without one only this library is measured. Each of the two
takes its variants in turn, ROUNDS times, in one process of its own, on processor time; the figures are medians of the
ratios within a round.

The first table is about a step that makes no update, with a heavy inner optimizer: `contrib.muon`, which both have, on
8 matrices of 512 x 512. States are donated. The unit is plain accumulation, `a + g`. A second unit is accumulation that
also writes zeros of the gradients' size, which a step that makes no update has to return. The second table has the
seconds to trace, lower and compile `MultiSteps(inner)`, in units of those for `inner` alone.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from time import process_time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import optax

SHAPES = [(64, 64), (64,), (128, 64), (128,), (32, 32, 3)]
Variants = dict[str, Callable[[], float]]


def donating(step: Callable[[Any, Any], Any], state: Any, gradients: Any) -> Callable[[], float]:
    """`step(state, gradients)` returns the new state first. Runs it three times and returns the seconds."""
    compiled = jax.jit(step, donate_argnums=0).lower(state, gradients).compile()
    carried = state

    def run() -> float:
        nonlocal carried
        seconds = 0.0
        for _ in range(3):
            if hasattr(carried, "mini_step"):
                carried = carried._replace(mini_step=jnp.asarray(2, jnp.int32))
            jax.block_until_ready(carried)
            start = process_time()
            carried, rest = jax.block_until_ready(compiled(carried, gradients))
            seconds += process_time() - start
            del rest
        return seconds

    return run


def accumulating() -> Variants:
    """A step of MultiSteps that makes no update, and what to compare it with."""
    random = np.random.default_rng(0)
    params = [jnp.asarray(random.normal(size=(512, 512)), jnp.float32) for _ in range(8)]

    def zeros() -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def with_zeros(a: Any, g: Any) -> Any:
        return jax.tree.map(jnp.add, a, g), jax.tree.map(jnp.zeros_like, g)

    def updating(tx: Any) -> Callable[[Any, Any], Any]:
        return lambda state, g: tx.update(g, state, g)[::-1]  # the gradients stand for the parameters too

    inner = optax.contrib.muon(0.02)
    multi = optax.MultiSteps(inner, 8)
    return {
        "a + g": donating(lambda a, g: (jax.tree.map(jnp.add, a, g), None), zeros(), params),
        "a + g, and zeros": donating(with_zeros, zeros(), params),
        "MultiSteps(muon, 8)": donating(updating(multi), multi.init(params), params),
        "muon": donating(updating(inner), inner.init(params), params),
    }


def compiling(inner: Any, shapes: list[tuple[int, ...]]) -> Variants:
    """The seconds to trace, lower and compile `inner` alone and in MultiSteps."""
    params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]

    def variant(tx: Any) -> Callable[[], float]:
        state = jax.eval_shape(tx.init, params)

        def run() -> float:
            jax.clear_caches()
            start = process_time()
            jax.jit(lambda g, s, p: tx.update(g, s, p)).lower(params, state, params).compile()
            return process_time() - start

        return run

    return {"inner": variant(inner), "MultiSteps(inner, 8)": variant(optax.MultiSteps(inner, 8))}


def ratios(variants: Variants, rounds: int) -> dict[str, tuple[float, float]]:
    """Name -> milliseconds, and the ratio to the first variant."""
    for run in variants.values():  # warms up
        run()
    times = [{name: run() for name, run in variants.items()} for _ in range(rounds)]
    first = next(iter(variants))
    return {
        name: (1e3 * statistics.median(t[name] for t in times), statistics.median(t[name] / t[first] for t in times))
        for name in variants
    }


def measure(rounds: int) -> dict[str, dict[str, tuple[float, float]]]:
    """All tables, with the optax of this interpreter."""
    return {
        "a step without an update (three of them)": ratios(accumulating(), rounds),
        "compilation, adamw, 50 leaves": ratios(compiling(optax.adamw(1e-3), 10 * SHAPES), max(rounds // 10, 3)),
        "compilation, muon, 8 leaves": ratios(
            compiling(optax.contrib.muon(0.02), 8 * [(512, 512)]), max(rounds // 10, 3)
        ),
    }


def main(rounds: int, python: str | None) -> None:
    """Print the tables."""
    results = {"here": measure(rounds)}
    if python is not None:
        command = [python, __file__, str(rounds), "--json"]
        results["original"] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for table in results["here"]:
        print(f"\n{table:44}" + "".join(f"{whose:>12}{'ratio':>8}" for whose in results))
        for name in results["here"][table]:
            figures = [results[whose][table][name] for whose in results]
            print(f"{name:44}" + "".join(f"{ms:>9.2f} ms{ratio:>8.2f}" for ms, ratio in figures))


if __name__ == "__main__":
    rounds, python = int(sys.argv[1]) if len(sys.argv) > 1 else 50, sys.argv[2] if len(sys.argv) > 2 else None
    if python == "--json":
        print(json.dumps(measure(rounds)))
    else:
        main(rounds, python)

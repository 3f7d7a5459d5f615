"""Diagonals of curvature here and in the original, in turn.

    hatch run parity:python benchmarks/second_order.py [--rounds 5] [CASE ...]

The original comes from the package index into a temporary folder; each library runs in a process of its own, which wait
for each other. A case is a jitted diagonal of the cross entropy of a perceptron with one hidden layer and n parameters.
A round takes the fastest of a few runs on each side; printed are the median of the ratios within a round, here over
there, and the memory that the compiled programs take, temporary and returned, in MiB, which has no noise, and here as a
multiple of what one gradient takes. The largest case is compiled but not run, and for its Hessian in the original the
size of the square matrix is given, which it makes.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from worker import Worker, serve, theirs_and_ours

# The widths of the layers, the number of examples, and whether the Hessian is run.
CASES: Mapping[str, tuple[tuple[int, int, int], int, bool]] = {
    "n = 408": ((16, 16, 8), 64, True),
    "n = 2050": ((40, 40, 10), 128, True),
    "n = 3610": ((64, 48, 10), 128, True),
    "n = 975900": ((512, 1200, 300), 128, False),
}
KINDS = ("hessian_diag", "fisher_diag")


def parameters(widths: tuple[int, int, int]) -> int:
    """How many there are."""
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


def work(path: list[str]) -> None:
    """Be a worker for the library that is found in `path` first."""
    run: Callable[[], Any]

    def start(kind: str, name: str) -> dict[str, float]:
        nonlocal run
        import jax
        import jax.numpy as jnp

        from optax import second_order

        widths, batch, _ = CASES[name]
        r = np.random.default_rng(0)
        params = [
            (jnp.asarray(r.standard_normal((a, b)) / np.sqrt(a), jnp.float32), jnp.zeros(b))
            for a, b in itertools.pairwise(widths)
        ]
        x = jnp.asarray(r.standard_normal((batch, widths[0])), jnp.float32)
        y = jnp.asarray(r.integers(0, widths[-1], batch))

        def loss(p: Any, x: Any, y: Any) -> Any:
            (a, b), (c, d) = p
            log_p = jax.nn.log_softmax(jnp.tanh(x @ a + b) @ c + d)
            return -jnp.take_along_axis(log_p, y[:, None], axis=1).mean()

        def compiled(function: Callable[..., Any]) -> tuple[Any, float]:
            program = jax.jit(function).lower(params, x, y).compile()
            memory = program.memory_analysis()
            return program, (memory.temp_size_in_bytes + memory.output_size_in_bytes) / 2**20

        begin = perf_counter()
        program, memory = compiled(lambda *arguments: getattr(second_order, kind)(loss, *arguments))
        seconds = perf_counter() - begin
        run = lambda: jax.block_until_ready(program(params, x, y))  # noqa: E731
        return {"memory": memory, "gradient": compiled(jax.grad(loss))[1], "compilation": seconds}

    def answer(question: str, *details: Any) -> Any:
        if question == "start":
            return start(*details)
        fastest = float("inf")
        for _ in range(*details):
            begin = perf_counter()
            run()
            fastest = min(fastest, perf_counter() - begin)
        return fastest

    sys.path[:0] = path
    serve(answer)


def compare(kind: str, name: str, theirs: Worker, ours: Worker, rounds: int) -> list[str]:
    """The cells of a row."""
    widths, _, timed = CASES[name]
    here = ours.ask("start", kind, name)
    if isinstance(here, str):
        return [here[:200]]
    if not timed and kind == "hessian_diag":
        n = parameters(widths)
        there: Any = {"memory": 4 * n * n / 2**20}
        cells = ["not run", f"{here['memory']:.2f} / {there['memory']:.0f} (computed)"]
    else:
        there = theirs.ask("start", kind, name)
        if isinstance(there, str):
            return [there[:200]]
        number = max(1, min(20, round(0.2 / max(worker.ask("run", 1) for worker in (theirs, ours)))))
        ratios = []
        for _ in range(rounds):
            over_there, over_here = theirs.ask("run", number), ours.ask("run", number)
            ratios.append(over_here / over_there)
        cells = [f"{statistics.median(ratios):.2f}", f"{here['memory']:.2f} / {there['memory']:.2f}"]
    return [*cells, f"{here['memory'] / here['gradient']:.2f}", f"{here['compilation']:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="parts of the names of cases")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    with theirs_and_ours() as (theirs, ours):
        print("| diagonal | time, here / original | MiB here / original | memory / one gradient | s to compile here |")
        print("| --- | --- | --- | --- | --- |")
        for kind in KINDS:
            for name in CASES:
                if not options.names or any(part in f"{kind}, {name}" for part in options.names):
                    cells = compare(kind, name, theirs, ours, options.rounds)
                    print(f"| {kind}, {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

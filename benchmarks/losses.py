"""Losses, projections and assignment: here, in the original, and for cross entropies in PyTorch, in turn.

    hatch run parity:python benchmarks/losses.py [--torch] [--rounds 9] [CASE ...]

The original comes from the package index into a temporary folder; each library runs in a process of its own, which wait
for each other. A case is value and gradient of a mean, jitted, unless it says otherwise. A round takes the fastest of a
few runs on each side; printed are the medians of the ratios within a round, here over there, and the temporary memory
that the compiler sets aside, in MiB, here and there: that has no noise.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
from worker import Worker, serve, theirs_and_ours


def normal(*shape: int) -> Any:
    """Standard normal numbers."""
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def integers(high: int, *shape: int, low: int = 0) -> Any:
    """Integers below `high`."""
    return np.random.default_rng(1).integers(low, high, shape).astype(np.int32)


def ctc(batch: int, steps: int, labels: int, classes: int) -> tuple[Any, ...]:
    """A loss on sequences without padding."""

    def data() -> tuple[Any, ...]:
        return (
            normal(batch, steps, classes),
            np.zeros((batch, steps), np.float32),
            integers(classes, batch, labels, low=1),
            np.zeros((batch, labels), np.float32),
        )

    return (1, data, lambda optax, *arguments: optax.ctc_loss(*arguments).mean())


def linear(tokens: int, width: int, classes: int) -> tuple[Any, ...]:
    """Hidden states, a projection and labels; the original makes the logits."""

    def data() -> tuple[Any, ...]:
        return normal(tokens, width), normal(width, classes) / np.float32(np.sqrt(width)), integers(classes, tokens)

    def loss(optax: Any, h: Any, w: Any, y: Any) -> Any:
        if hasattr(optax, "linear_softmax_cross_entropy"):
            return optax.linear_softmax_cross_entropy(h, w, y, reduction="mean")
        return optax.softmax_cross_entropy_with_integer_labels(h @ w, y).mean()

    return (2, data, loss)


def cross_entropy(tokens: int, classes: int) -> tuple[Any, ...]:
    """From logits."""
    return (
        1,
        lambda: (normal(tokens, classes), integers(classes, tokens)),
        lambda optax, z, y: optax.softmax_cross_entropy_with_integer_labels(z, y).mean(),
    )


def torch_cross_entropy(torch: Any, z: Any, y: Any) -> Any:
    """From logits."""
    return torch.nn.functional.cross_entropy(z, y)


def torch_linear(torch: Any, h: Any, w: Any, y: Any) -> Any:
    """From hidden states."""
    return torch.nn.functional.cross_entropy(h @ w, y)


# For each case: how many arguments are differentiated (0: none, the value alone), the arguments, and the function.
CASES: Mapping[str, tuple[int, Callable[[], tuple[Any, ...]], Callable[..., Any]]] = {
    "integer cross entropy 1024 x 32768": cross_entropy(1024, 32768),
    "integer cross entropy 4096 x 32768": cross_entropy(4096, 32768),
    "linear cross entropy 1024 x 256 x 32768": linear(1024, 256, 32768),
    "linear cross entropy 2048 x 1024 x 16384": linear(2048, 1024, 16384),
    "sigmoid cross entropy 4096 x 1000": (
        1,
        lambda: (normal(4096, 1000), integers(2, 4096, 1000).astype(np.float32)),
        lambda optax, z, y: optax.sigmoid_binary_cross_entropy(z, y).mean(),
    ),
    "sigmoid focal 4096 x 1000": (
        1,
        lambda: (normal(4096, 1000), integers(2, 4096, 1000).astype(np.float32)),
        lambda optax, z, y: optax.sigmoid_focal_loss(z, y, alpha=0.25, gamma=2.0).mean(),
    ),
    "ntxent 512 x 128": (
        1,
        lambda: (normal(512, 128), np.arange(512, dtype=np.int32) // 2),
        lambda optax, z, y: optax.ntxent(z, y),
    ),
    "ntxent 1024 x 128": (
        1,
        lambda: (normal(1024, 128), np.arange(1024, dtype=np.int32) // 2),
        lambda optax, z, y: optax.ntxent(z, y),
    ),
    "ctc 1 x 2048 x 200": ctc(1, 2048, 200, 64),
    "ctc 16 x 256 x 40": ctc(16, 256, 40, 64),
    "ctc 8 x 1024 x 120": ctc(8, 1024, 120, 128),
    "ctc 64 x 128 x 20": ctc(64, 128, 20, 32),
    "simplex 1e3, value": (0, lambda: (normal(1000),), lambda optax, x: optax.projections.projection_simplex(x)),
    "simplex 1e5, value": (0, lambda: (normal(100000),), lambda optax, x: optax.projections.projection_simplex(x)),
    "l1 ball 1e5, value": (0, lambda: (normal(100000),), lambda optax, x: optax.projections.projection_l1_ball(x)),
    "assignment 100 x 100, value": (
        0,
        lambda: (normal(100, 100),),
        lambda optax, c: optax.assignment.hungarian_algorithm(c),
    ),
    "assignment 300 x 300, value": (
        0,
        lambda: (normal(300, 300),),
        lambda optax, c: optax.assignment.hungarian_algorithm(c),
    ),
}
TORCH: Mapping[str, Callable[..., Any]] = {
    name: torch_linear if name.startswith("linear") else torch_cross_entropy
    for name in CASES
    if "cross entropy" in name and "sigmoid" not in name
}


def work(path: list[str]) -> None:
    """Be a worker for the library that is found in `path` first; for PyTorch if that is "torch"."""
    run: Callable[[], Any]

    def with_torch(name: str) -> dict[str, float]:
        nonlocal run
        import torch

        differentiated, data, _ = CASES[name]
        tensors = [torch.tensor(x.astype(np.int64) if x.dtype.kind == "i" else x) for x in data()]
        moving = [x.requires_grad_() for x in tensors[:differentiated]]
        run = lambda: torch.autograd.grad(TORCH[name](torch, *tensors), moving)  # noqa: E731
        return {"temp": float("nan")}

    def with_jax(name: str) -> dict[str, float]:
        nonlocal run
        import jax
        import jax.numpy as jnp

        import optax

        differentiated, data, function = CASES[name]
        arguments = [jnp.asarray(x) for x in data()]
        called = lambda *xs: function(optax, *xs)  # noqa: E731
        if differentiated:
            called = jax.value_and_grad(called, tuple(range(differentiated)))
        compiled = jax.jit(called).lower(*arguments).compile()
        run = lambda: jax.block_until_ready(compiled(*arguments))  # noqa: E731
        return {"temp": compiled.memory_analysis().temp_size_in_bytes / 2**20}

    def answer(kind: str, detail: Any) -> Any:
        if kind == "start":
            return with_torch(detail) if path == ["torch"] else with_jax(detail)
        fastest = float("inf")
        for _ in range(detail):
            begin = perf_counter()
            run()
            fastest = min(fastest, perf_counter() - begin)
        return fastest

    if path != ["torch"]:
        sys.path[:0] = path
    serve(answer)


def compare(name: str, theirs: Worker, ours: Worker, rounds: int) -> tuple[str, str]:
    """The ratio of the times and the temporary memory of the two."""
    memory = [worker.ask("start", name) for worker in (ours, theirs)]
    for side in memory:
        if isinstance(side, str):
            return side[:200], "-"
    once = max(worker.ask("run", 1) for worker in (theirs, ours))
    number = max(1, min(20, round(0.2 / once)))
    ratios = []
    for _ in range(rounds):
        there, here = theirs.ask("run", number), ours.ask("run", number)
        ratios.append(here / there)
    return f"{statistics.median(ratios):.2f}", " / ".join(f"{side['temp']:.1f}" for side in memory)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="parts of the names of cases")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--torch", action="store_true", help="compare with PyTorch too, where it has the loss")
    parser.add_argument("--worker", type=json.loads)
    options = parser.parse_args()
    if options.worker is not None:
        work(options.worker)
        return
    with theirs_and_ours() as (theirs, ours):
        torch = Worker(["torch"]) if options.torch else None
        print("| case | here / original | MiB here / original | here / PyTorch |")
        print("| --- | --- | --- | --- |")
        for name in CASES:
            if options.names and not any(part in name for part in options.names):
                continue
            ratio, memory = compare(name, theirs, ours, options.rounds)
            third = compare(name, torch, ours, options.rounds)[0] if torch and name in TORCH else "-"
            print(f"| {name} | {ratio} | {memory} | {third} |", flush=True)
        if torch:
            torch.process.terminate()


if __name__ == "__main__":
    main()

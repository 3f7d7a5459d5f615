"""Evaluate a program over large arrays block by block, and write its results in place.

XLA makes for a CPU a loop over memory for each large result, and sets memory aside for what several of them need. A
block of each array fits into the cache at once: every array is then read from memory once, and written once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from optax.transforms._blocks import Cluster
from optax.transforms._program import Equation, Program, evaluate

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr

__all__ = ["blocks_pay", "by_blocks"]

LARGE = 1 << 17
"""The fewest elements of an array that is worth blocks."""

_Stage = tuple[list[Equation], list[tuple[Cluster, list[Equation]]]]


def by_blocks(closed: ClosedJaxpr, targets: Sequence[int | None]) -> Callable[[Sequence[Any]], list[Any]] | None:
    """A function that computes what a program does, large results block by block and in place.

    Reductions of large arrays come first, those of one depth in one sweep over the blocks, and the results last. What
    cannot be computed element by element, and whatever large arrays it touches, is computed as usual.

    Args:
      closed: the program.
      targets: for each result the number of the argument in whose place it is written, or None.

    Returns:
      A function from the constants of the program and its arguments, one sequence of arrays, to its results; None where
      nothing is to be done by blocks: on other backends, for several devices, if the program has effects.
    """
    if not blocks_pay() or closed.effects:
        return None
    # A dimension may be a symbol, in `jax.export`.
    if not all(isinstance(n, int) for v in closed.jaxpr.invars for n in getattr(v.aval, "shape", ())):
        return None
    program = Program(closed, LARGE)
    constants = len(closed.consts)
    places = [None if i is None else program.inputs[constants + i] for i in targets]
    clusters = [] if program.is_parallel else _clusters(program, places)
    if not any(cluster.writes or cluster.reductions for cluster in clusters):
        return None
    stages = _stages(program, clusters)

    def run(arguments: Sequence[Any]) -> list[Any]:
        known = {**program.constants, **dict(zip(program.inputs, arguments, strict=True))}
        for plain, reductions in stages:
            evaluate(plain, known)
            for cluster, together in reductions:
                known.update(zip((r.results[0] for r in together), cluster.reduce(together, known), strict=True))
        written: dict[int, Any] = {}
        for cluster in clusters:
            if cluster.writes:
                written.update(cluster.write(known))
        return [
            known[v] if place not in written else written[place]
            for v, place in zip(program.outputs, places, strict=True)
        ]

    return run


def blocks_pay() -> bool:
    """Whether there is one device, with a compiler that makes a loop of its own for each result."""
    return jax.default_backend() == "cpu" and _device_count() == 1


def _device_count() -> int:
    return jax.device_count()


def _stages(program: Program, clusters: Sequence[Cluster]) -> list[_Stage]:
    """What is evaluated before the last sweeps: equations as usual, then reductions by blocks, then again."""
    reducing = {r: cluster for cluster in clusters for r in cluster.reductions}
    by_blocks = {e for cluster in clusters for e in cluster.maps}
    depth: dict[int, int] = {}  # the number of sweeps that come before a value
    plain: dict[int, list[Equation]] = {}
    reductions: dict[int, dict[Cluster, list[Equation]]] = {}
    for equation in program.equations:
        now = max((depth.get(v, 0) for v in equation.operands), default=0)
        if equation in reducing:
            reductions.setdefault(now, {}).setdefault(reducing[equation], []).append(equation)
        elif equation not in by_blocks:
            plain.setdefault(now, []).append(equation)
        depth.update(dict.fromkeys(equation.results, now + (equation in reducing)))
    last = max((*plain, *reductions), default=0)
    return [(plain.get(i, []), list(reductions.get(i, {}).items())) for i in range(last + 1)]


def _clusters(program: Program, places: Sequence[int | None]) -> list[Cluster]:
    """The clusters, but for those with a value that an equation of another kind takes, or that has no place."""
    parent: dict[int, int] = {}
    spoilt: set[int] = set()

    def root(v: int) -> int:
        while parent.setdefault(v, v) != v:
            parent[v] = parent[parent[v]]
            v = parent[v]
        return v

    kinds: dict[str, list[tuple[int, Any]]] = {"maps": [], "reductions": [], "writes": []}
    for equation in program.equations:
        large = [v for v in (*equation.operands, *equation.results) if program.is_large(v)]
        if program.is_map(equation):
            kinds["maps"].append((large[0], equation))
        elif program.is_reduction(equation):
            kinds["reductions"].append((large[0], equation))
        elif any(map(program.is_large, equation.operands)):
            spoilt.update(large)
        else:
            continue  # random bits, say, are there before the blocks
        for v in large[1:]:
            parent[root(v)] = root(large[0])
    for v, place in zip(program.outputs, places, strict=True):
        if not program.is_large(v) or v == place:
            continue
        if place is None or not _alike(program.types[v], program.types[place]):
            spoilt.add(v)
        else:
            parent[root(v)] = root(place)
            kinds["writes"].append((v, (v, place)))

    usual = {root(v) for v in spoilt}
    clusters: dict[int, Cluster] = {}
    for kind, members in kinds.items():
        for v, member in members:
            if root(v) not in usual and max(program.shape(v)) < 1 << 31:  # where a block starts is an int32
                if root(v) not in clusters:
                    clusters[root(v)] = Cluster(program, program.shape(v))
                getattr(clusters[root(v)], kind).append(member)
    return list(clusters.values())


def _alike(x: Any, y: Any) -> bool:
    return bool(x.shape == y.shape and x.dtype == y.dtype and not jnp.issubdtype(x.dtype, jax.dtypes.extended))

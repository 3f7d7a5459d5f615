"""Large values of a program, computed block by block and written in place."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optax.transforms._program import REDUCTIONS, Equation, Program, needed

__all__ = ["Cluster"]

BLOCK = 1 << 15
"""The most elements of a block."""

CACHE = 1 << 19
"""The most bytes that a block of every array that is read or written at once may take."""

_Part = tuple[int, int, int]  # the length of the blocks, how many there are, where the first one starts


@dataclasses.dataclass(frozen=True)
class _Blocks:
    """How arrays of a shape are cut: along one axis, for each index of the axes before it, with all of those after."""

    shape: tuple[int, ...]
    axis: int
    parts: tuple[_Part, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...], size: int) -> _Blocks:
        """Blocks of at most `size` elements, as equal as can be, and with few left over."""
        axis = next(i for i in range(len(shape)) if math.prod(shape[i + 1 :]) <= size)
        n = shape[axis]
        most = min(n, size // math.prod(shape[axis + 1 :]))
        length = next((k for k in range(most, most // 2, -1) if n % k == 0), most)
        rest = n % length
        return cls(shape, axis, ((length, n // length, 0), *([(rest, 1, n - rest)] if rest else [])))

    def sizes(self, length: int) -> tuple[int, ...]:
        """The shape of a block."""
        return (1,) * self.axis + (length,) + self.shape[self.axis + 1 :]

    def sweep(self, part: _Part, body: Callable[[list[Any], tuple[int, ...], Any], Any], carry: Any) -> Any:
        """`carry = body(starts, sizes, carry)` for each block of a part."""
        length, count, first = part
        before = self.shape[: self.axis]

        def turn(i: jax.Array, carry: Any) -> Any:
            i = lax.convert_element_type(i, np.int32)  # in x64 mode, whatever the bounds, it may be wider
            starts: list[Any] = [np.int32(0)] * len(self.shape)
            starts[self.axis] = lax.rem(i, np.int32(count)) * np.int32(length) + np.int32(first)
            i = lax.div(i, np.int32(count))
            for axis, n in reversed([*enumerate(before)]):
                starts[axis], i = lax.rem(i, np.int32(n)), lax.div(i, np.int32(n))
            return body(starts, self.sizes(length), carry)

        return lax.fori_loop(np.int32(0), np.int32(count * math.prod(before)), turn, carry)

    def cut(self, x: Any, starts: Sequence[Any], sizes: Sequence[int], axes: Sequence[int] | None = None) -> Any:
        """What a block sees of an array whose axes are these of the shape, or of length 1 in their place."""
        axes = range(np.ndim(x)) if axes is None else axes
        along = [axis if n > 1 else None for axis, n in zip(axes, np.shape(x), strict=True)]
        lengths = [1 if axis is None else sizes[axis] for axis in along]
        if tuple(lengths) == np.shape(x):
            return x
        return lax.dynamic_slice(x, [np.int32(0) if axis is None else starts[axis] for axis in along], lengths)


class Cluster:
    """Large values of one shape that are computed from each other element by element.

    Attributes:
      maps: the equations between them.
      reductions: those that reduce one of them.
      writes: those that are results, each with the input in whose place it is written.
    """

    def __init__(self, program: Program, shape: tuple[int, ...]):
        self._program = program
        self._shape = shape
        self.maps: list[Equation] = []
        self.reductions: list[Equation] = []
        self.writes: list[tuple[int, int]] = []

    @functools.cached_property
    def _blocks(self) -> _Blocks:
        read = {v for e in (*self.maps, *self.reductions) for v in e.operands} | {
            v for pair in self.writes for v in pair
        }
        arrays = {v for v in read if self._program.is_large(v)}.difference(*(e.results for e in self.maps))
        width = sum(self._program.types[v].dtype.itemsize for v in arrays)
        return _Blocks.of(self._shape, min(BLOCK, max(1, CACHE // width)))

    def _block(
        self, equations: Sequence[Equation], whole: Callable[[int], Any], starts: Sequence[Any], sizes: tuple[int, ...]
    ) -> Callable[[int], Any]:
        """The function that gives the block of a value: one that the equations compute, or a part of a whole one."""
        found: dict[int, Any] = {}

        def block(v: int, axes: Sequence[int] | None = None) -> Any:
            return found[v] if v in found else self._blocks.cut(whole(v), starts, sizes, axes)

        for equation in equations:
            if equation.name == "broadcast_in_dim":
                axes = equation.params["broadcast_dimensions"]
                results: Sequence[Any] = [lax.broadcast_in_dim(block(equation.operands[0], axes), sizes, axes)]
            else:
                results = equation(*map(block, equation.operands))
            found.update(zip(equation.results, results, strict=True))
        return block

    def reduce(self, reductions: Sequence[Equation], known: dict[int, Any]) -> list[Any]:
        """The results of those reductions, in one sweep that only reads."""
        equations = needed(self.maps, [r.operands[0] for r in reductions])
        operators = [REDUCTIONS[r.name] for r in reductions]
        axis = self._blocks.axis
        # Over the axes before that of the blocks, one after the other; over that one and those after it, each place in
        # a block for itself, since XLA uses vector instructions for that; over those after it alone, within a block.
        within = [() if axis in r.params["axes"] else [i for i in r.params["axes"] if i > axis] for r in reductions]

        def body(starts: list[Any], sizes: tuple[int, ...], totals: list[Any]) -> list[Any]:
            block = self._block(equations, known.__getitem__, starts, sizes)
            new = []
            for r, operator, inside, total in zip(reductions, operators, within, totals, strict=True):
                x = block(r.operands[0])
                if inside:
                    x = lax.expand_dims(r(x, axes=tuple(inside))[0], inside)
                at = [np.int32(0) if i in r.params["axes"] else start for i, start in enumerate(starts)]
                x = operator(lax.dynamic_slice(total, at, x.shape), x)
                new.append(lax.dynamic_update_slice(total, x, at))
            return new

        results: list[Any] = []
        for part in self._blocks.parts:
            totals = []
            for r, inside in zip(reductions, within, strict=True):
                dtype = self._program.types[r.results[0]].dtype
                shape = [
                    n if i not in r.params["axes"] else 1 if i < axis or i in inside else m
                    for i, (n, m) in enumerate(zip(self._blocks.shape, self._blocks.sizes(part[0]), strict=True))
                ]
                totals.append(lax.full(shape, _neutral(r.name, dtype), dtype))
            totals = self._blocks.sweep(part, body, totals)
            totals = [r(total)[0] for r, total in zip(reductions, totals, strict=True)]
            results = [f(x, y) for f, x, y in zip(operators, results, totals, strict=True)] if results else totals
        return results

    def write(self, known: dict[int, Any]) -> dict[int, Any]:
        """The inputs that are written, with their new values, in one sweep."""
        equations = {v: needed(self.maps, [v]) for v, _ in self.writes}
        reads = {v: {v, *(i for e in equations[v] for i in e.operands)} for v in equations}
        order = _order(self.writes, reads)
        axis = self._blocks.axis
        # Longer than a block: XLA would do away with an array that is written as a whole.
        longer = self._blocks.sizes(self._blocks.parts[0][0] + 1)
        aside = {p: lax.full(longer, 0, self._program.types[p].dtype) for what, _, p in order if what == "aside"}

        def body(starts: list[Any], sizes: tuple[int, ...], carry: Any) -> Any:
            arrays, aside = map(dict, carry)
            zero: Any = np.int32(0)
            readers: list[tuple[set[int], Any]] = []
            for what, v, place in order:
                # XLA copies whole arrays in every turn, unless it sees that an array is overwritten after all that is
                # computed from its old elements. So where this block starts depends on those that were written.
                for first in [first for read, first in readers if what == "back" or place in read]:
                    zero = zero + _zero(first)
                readers = [] if what == "back" else [reader for reader in readers if place not in reader[0]]
                at = [start + zero if i == axis else start for i, start in enumerate(starts)]
                front = [zero if i == axis else np.int32(0) for i in range(len(starts))]
                if what == "back":
                    new = lax.dynamic_slice(aside[place], front, sizes)
                else:
                    new = self._block(equations[v], {**known, **arrays}.__getitem__, at, sizes)(v)
                into, at = (aside, front) if what == "aside" else (arrays, at)
                into[place] = lax.dynamic_update_slice(into[place], new, at)
                readers.append((reads[v], lax.dynamic_slice(into[place], at, [1] * len(at))))
            return arrays, aside

        arrays = {place: known[place] for _, place in self.writes}
        for part in self._blocks.parts:
            arrays, aside = self._blocks.sweep(part, body, (arrays, aside))
        return arrays


def _order(writes: Sequence[tuple[int, int]], reads: dict[int, set[int]]) -> list[tuple[str, int, int]]:
    """The writes, (value, place) each, in an order in which nothing is overwritten that is still to be read.

    Where there is none, a value is put "aside" first, and brought "back" when nothing else reads what it replaces.
    """
    waiting = sorted(writes, key=lambda pair: -len(reads[pair[0]]))
    put: set[int] = set()
    order = []
    while waiting:
        reading = [(v, place) for v, place in waiting if place not in put]
        free = [(v, p) for v, p in waiting if all(p not in reads[w] for w, q in reading if q != p)]
        v, place = free[0] if free else reading[0]
        if free:
            waiting.remove((v, place))
        else:
            put.add(place)
        order.append(("aside" if not free else "back" if place in put else "write", v, place))
    return order


@jax.custom_batching.custom_vmap
def _zero(x: jax.Array) -> jax.Array:
    """0, once `x` is there. XLA cannot know that x * 0 is never negative: it may be NaN."""
    x = lax.convert_element_type(lax.real(x) if jnp.iscomplexobj(x) else x, np.float32)
    return lax.convert_element_type(jnp.ravel(x)[0] * np.float32(0) < np.float32(0), np.int32)


@_zero.def_vmap
def _(axis_size: int, in_batched: list[bool], x: jax.Array) -> tuple[jax.Array, bool]:
    del axis_size, in_batched
    return _zero(x), False


def _neutral(name: str, dtype: Any) -> Any:
    """What the reduction of that name makes no difference with."""
    if name in ("reduce_max", "reduce_min"):
        sign = -1 if name == "reduce_max" else 1
        if jnp.issubdtype(dtype, jnp.floating):
            return sign * np.inf
        if jnp.issubdtype(dtype, jnp.bool_):
            return sign > 0
        ends: Any = jnp.iinfo(dtype)  # type: ignore[no-untyped-call]
        return ends.max if sign > 0 else ends.min
    return np.invert(np.zeros((), dtype)) if name == "reduce_and" else int(name == "reduce_prod")

"""How the results of microbatches become one."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import PyTree, ratio, widen
from optax.microbatching._batch import joined

__all__ = ["AccumulationType", "Accumulator"]


class AccumulationType(enum.Enum):
    """The usual ways to put the results of microbatches together.

    Sums and means are taken in float32 or wider, and returned in the dtype of what is accumulated; the mean of
    integers is float32, the sum of booleans int32.

    Attributes:
      MEAN: the sum over the microbatches, divided by their number at the end; 0 if there are none.
      SUM: the sum.
      RUNNING_MEAN: the mean, kept as such all along: m + (x - m) / (k + 1). It does not overflow where the sum does.
      CONCAT: the results along their first axis, in the order of the examples; scalars become one array.
    """

    MEAN = 1
    SUM = 2
    RUNNING_MEAN = 3
    CONCAT = 4


@dataclass(frozen=True)
class Accumulator:
    """A way to put the results of microbatches together, by hand.

    Attributes:
      init: maps the result of one microbatch, a tree of `ShapeDtypeStruct`s, to what is carried from one to the next.
      update: (carried, result, index) -> carried, of the same shapes and dtypes; index is the number of the microbatch.
      finalize: maps what is carried after the last microbatch to the overall result.
      aggregate: maps the results of the examples of one microbatch, stacked along the first axis, to the result of the
        microbatch; for `micro_vmap` and `micro_grad`.

    >>> largest = Accumulator(
    ...     init=lambda shape: jnp.full(shape.shape, -jnp.inf),
    ...     update=lambda carried, x, index: jnp.maximum(carried, x),
    ...     finalize=lambda carried: carried,
    ...     aggregate=lambda x: jnp.max(x, axis=0),
    ... )
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, Any], PyTree]
    finalize: Callable[[PyTree], PyTree]
    aggregate: Callable[[PyTree], PyTree]


class Fold(NamedTuple):
    """An accumulator for results of known type.

    Attributes:
      start: what is carried to the first microbatch.
      step: (carried, result, index) -> (carried, what is kept of this microbatch by itself).
      kept: the types of what is kept.
      finish: (carried, all that was kept, stacked) -> the overall result.
    """

    start: PyTree
    step: Callable[[PyTree, PyTree, jax.Array], tuple[PyTree, PyTree]]
    kept: PyTree
    finish: Callable[[PyTree, PyTree], PyTree]


def check_accumulator(accumulator: PyTree) -> None:
    """Reject what is no accumulator."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(accumulator):
        if not isinstance(leaf, AccumulationType | Accumulator):
            name = f"accumulator{jax.tree_util.keystr(path)}"
            raise TypeError(f"{name} must be an AccumulationType or an Accumulator, not {leaf!r}")


def fold(accumulator: Any, result: PyTree, number: int, real: Any, batched: bool) -> Fold:
    """The accumulator for results of a type.

    Args:
      accumulator: an `AccumulationType` or `Accumulator`.
      result: the result of one microbatch, a tree of `ShapeDtypeStruct`s.
      number: how many microbatches there are.
      real: how many of them count, an integer or integer scalar.
      batched: whether `result` has an axis of examples in front, that is to be aggregated over.
    """
    if isinstance(accumulator, Accumulator):
        aggregate = accumulator.aggregate if batched else lambda x: x
        return Fold(
            accumulator.init(jax.eval_shape(aggregate, result)),
            lambda carried, x, index: (accumulator.update(carried, aggregate(x), index), None),
            None,
            lambda carried, _: accumulator.finalize(carried),
        )
    if accumulator is AccumulationType.CONCAT:
        return Fold(
            None,
            lambda _, x, index: (None, x),
            result,
            lambda _, kept: jax.tree.map(lambda x: joined(x, number), kept),
        )
    rule = _sum if accumulator is AccumulationType.SUM else _mean
    treedef: Any = jax.tree.structure(result)  # of a class that type checkers do not see
    folds = [rule(x, accumulator, real, batched) for x in jax.tree.leaves(result)]
    return Fold(
        [f.start for f in folds],
        lambda carried, x, index: (
            [f.step(c, leaf, index)[0] for f, c, leaf in zip(folds, carried, jax.tree.leaves(x), strict=True)],
            None,
        ),
        None,
        lambda carried, _: treedef.unflatten([f.finish(c, None) for f, c in zip(folds, carried, strict=True)]),
    )


def _sum(result: Any, accumulator: AccumulationType, real: Any, batched: bool) -> Fold:
    floating = jnp.issubdtype(result.dtype, jnp.inexact)

    def value(x: jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        x = widen(x) if floating else x.astype(jnp.int32) if x.dtype == bool else x
        return jnp.sum(x, axis=0, dtype=x.dtype) if batched else x

    dtype = jnp.int32 if result.dtype == bool else result.dtype
    return Fold(
        jnp.zeros_like(jax.eval_shape(value, result)),
        lambda carried, x, index: (carried + value(x), None),
        None,
        lambda carried, _: carried.astype(dtype),
    )


def _mean(result: Any, accumulator: AccumulationType, real: Any, batched: bool) -> Fold:
    running = accumulator is AccumulationType.RUNNING_MEAN

    def value(x: jax.Array) -> jax.Array:
        x = widen(x)
        return jnp.sum(x, axis=0) / max(x.shape[0], 1) if batched else x

    def step(carried: jax.Array, x: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        if running:
            return carried + ratio(value(x) - carried, (index + 1).astype(carried.real.dtype)), None
        return carried + value(x), None

    def finish(carried: jax.Array, _: None) -> jax.Array:
        floating = jnp.issubdtype(result.dtype, jnp.inexact)
        if not running:
            carried = ratio(carried, jnp.maximum(real, 1).astype(carried.real.dtype))
        return carried.astype(result.dtype) if floating else carried

    return Fold(jnp.zeros_like(jax.eval_shape(value, result)), step, None, finish)

"""Numbers from whole trees, summed in float32 or wider whatever the leaves are stored in."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax.core._align import on_pairs, rows_aligned
from optax.core._numerics import (
    abs_sq,
    absolute_value,
    as_array,
    at_precision,
    dtype_of,
    has_value,
    is_inexact,
    promoted,
    safe_sqrt,
    wide,
    widen,
)
from optax.core._types import PyTree

__all__ = ["all_finite", "max", "min", "norm", "sum", "vdot"]


def _total(terms: Sequence[jax.Array], pairwise: bool = False) -> Any:
    """The sum of scalars of mixed dtypes; the number 0 if there are none."""
    if not terms:
        return 0
    common = promoted(*(x.dtype for x in terms))
    terms = [x.astype(common) for x in terms]
    while pairwise and len(terms) > 1:
        rest = terms[len(terms) // 2 * 2 :]
        terms = [*map(operator.add, terms[::2], terms[1::2]), *rest]
    return functools.reduce(operator.add, terms)


def _sum_leaf(x: Any) -> jax.Array:
    x = as_array(x)
    return jnp.sum(widen(x) if is_inexact(x.dtype) else x)


def sum(tree: PyTree, associative_reduction: bool = False) -> Any:
    """The sum of all elements of all leaves.

    Args:
      tree: tree of arrays.
      associative_reduction: add the leaves' sums pairwise, in a balanced tree, rather than one after the other.

    Returns:
      A scalar: float32 or wider for floating leaves, an integer for integer ones; 0 for a tree without leaves.
    """
    return _total([_sum_leaf(x) for x in jax.tree.leaves(tree) if has_value(x)], associative_reduction)


def all_finite(tree: PyTree) -> jax.Array:
    """Whether no element of any leaf is NaN or infinite.

    Args:
      tree: tree of arrays; integers are finite, and so is what has no value to look at (random keys, float0).

    Returns:
      A boolean scalar; True for a tree without elements.
    """
    # x - x is 0, or NaN. The sum takes one pass, where flags would be written and read again; and the largest magnitude
    # misses a NaN in large arrays on some backends.
    arrays = [jnp.asarray(x) for x in jax.tree.leaves(tree) if is_inexact(dtype_of(x))]
    flags = [jnp.sum(x - x) == 0 for x in arrays]
    return functools.reduce(jnp.logical_and, flags, jnp.asarray(True))


def vdot(tree_x: PyTree, tree_y: PyTree) -> Any:
    """The inner product: the sum of conj(x) * y over all elements.

    Args:
      tree_x: tree of arrays; gradients of integer leaves (float0) count for nothing.
      tree_y: tree of the same structure and shapes.

    Returns:
      A scalar, float32 or wider (complex if a leaf is); 0 for a tree without leaves.

    Raises:
      ValueError: structures or shapes differ.
    """

    def on_leaf(x: Any, y: Any) -> Any:
        if not (has_value(x) and has_value(y)):
            return None
        x, y = as_array(x), as_array(y)
        if not is_inexact(promoted(x.dtype, y.dtype)):
            return jnp.sum(x * y)
        precision = at_precision(promoted(x.dtype, y.dtype), wide(x.dtype, y.dtype))
        # An elementwise product, not a matrix one: it keeps a sharded leaf where it is and its precision full.
        return jnp.sum(jnp.conj(x.astype(precision)) * y.astype(precision))

    terms, _ = rows_aligned(on_pairs(on_leaf), ["tree_x", "tree_y"], tree_x, tree_y)
    return _total([term for term in terms if term is not None])


def norm(tree: PyTree, ord: int | float | str | None = None, squared: bool = False) -> jax.Array:
    """The norm of all elements taken as one vector.

    Args:
      tree: tree of arrays, real or complex; gradients of integer leaves (float0) count for nothing.
      ord: None or 2 for the Euclidean norm, 1 for the sum of absolute values, infinity (or "inf") for the largest.
      squared: whether to return the square; for the Euclidean norm that saves the root.

    Returns:
      A scalar, float32 or wider; 0 for a tree without elements. Its gradient at a zero tree is zero.

    Raises:
      ValueError: another `ord`.
    """
    leaves = [widen(x) for x in jax.tree.leaves(tree) if has_value(x)]
    if ord is None or ord == 2:
        square = jnp.asarray(_total([jnp.sum(abs_sq(x)) for x in leaves]), wide(*(x.dtype for x in leaves)))
        return square if squared else safe_sqrt(square)
    absolute = [absolute_value(x) for x in leaves]
    if ord == 1:
        value = jnp.asarray(_total([jnp.sum(x) for x in absolute]), wide(*(x.dtype for x in leaves)))
    elif ord in (jnp.inf, "inf"):
        value = jnp.asarray(_extreme(jnp.maximum, jnp.max, absolute, 0.0))
    else:
        raise ValueError(f'ord must be None, 1, 2, infinity or "inf", not {ord!r}')
    return value * value if squared else value


def _extreme(
    pair: Callable[..., jax.Array], all_of: Callable[..., jax.Array], leaves: Sequence[Any], start: float
) -> Any:
    values = [all_of(x) for x in map(as_array, filter(has_value, leaves)) if x.size]
    if not values:
        return jnp.asarray(start, jnp.result_type(float))
    common = promoted(*(x.dtype for x in values))
    return functools.reduce(pair, [x.astype(common) for x in values])


def max(tree: PyTree) -> jax.Array:
    """The largest element of all leaves.

    Args:
      tree: tree of real arrays.

    Returns:
      A scalar; NaN if there is one anywhere, minus infinity for a tree without elements.
    """
    return jnp.asarray(_extreme(jnp.maximum, jnp.max, jax.tree.leaves(tree), -jnp.inf))


def min(tree: PyTree) -> jax.Array:
    """The smallest element of all leaves.

    Args:
      tree: tree of real arrays.

    Returns:
      A scalar; NaN if there is one anywhere, infinity for a tree without elements.
    """
    return jnp.asarray(_extreme(jnp.minimum, jnp.min, jax.tree.leaves(tree), jnp.inf))

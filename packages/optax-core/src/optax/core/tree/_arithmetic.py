"""Leaf by leaf: sums, products, bounds, choices."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core._align import Fit, map_aligned, on_pairs, rows_aligned, same_or_scalar
from optax.core._numerics import as_array, at_precision, has_value, is_inexact, promoted, scaled, wide, widen
from optax.core._types import PyTree

__all__ = ["add", "add_scale", "allclose", "clip", "conj", "div", "mul", "real", "scale", "sub", "where"]


def _both(operation: Callable[[Any, Any], Any], tree_x: PyTree, tree_y: PyTree, fit: Fit = same_or_scalar) -> PyTree:
    return map_aligned(on_pairs(operation), ["tree_x", "tree_y"], tree_x, tree_y, fit=fit)


def add(tree_x: PyTree, tree_y: PyTree, *other_trees: PyTree) -> PyTree:
    """tree_x + tree_y + ...

    Args:
      tree_x: tree of arrays.
      tree_y: tree of the same structure and shapes (a scalar leaf goes with any).
      *other_trees: more of them.

    Returns:
      The tree of sums.

    Raises:
      ValueError: structures or shapes differ.
    """
    return functools.reduce(functools.partial(_both, operator.add), other_trees, _both(operator.add, tree_x, tree_y))


def sub(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x - tree_y.

    Args:
      tree_x: tree of arrays.
      tree_y: tree of the same structure and shapes (a scalar leaf goes with any).

    Returns:
      The tree of differences.

    Raises:
      ValueError: structures or shapes differ.
    """
    return _both(operator.sub, tree_x, tree_y)


def mul(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x * tree_y, leaf by leaf.

    Args:
      tree_x: tree of arrays.
      tree_y: tree of the same structure and shapes (a scalar leaf goes with any).

    Returns:
      The tree of products.

    Raises:
      ValueError: structures or shapes differ.
    """
    return _both(operator.mul, tree_x, tree_y)


def div(tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x / tree_y, leaf by leaf.

    Args:
      tree_x: tree of arrays.
      tree_y: tree of the same structure and shapes (a scalar leaf goes with any).

    Returns:
      The tree of quotients.

    Raises:
      ValueError: structures or shapes differ.
    """
    return _both(operator.truediv, tree_x, tree_y)


def _times(s: Any, x: Any) -> jax.Array:
    """s * x, computed in float32 or wider and returned in the dtype of `x`; what has no value stays as it is."""
    if not has_value(x):
        unchanged: jax.Array = x
        return unchanged
    if jnp.iscomplexobj(s) or not is_inexact(as_array(x).dtype):
        product: jax.Array = as_array(x) * s
        return product
    return scaled(widen(x), s).astype(as_array(x).dtype)


def scale(scalar: Any, tree: PyTree) -> PyTree:
    """scalar * tree.

    Args:
      scalar: a scalar of any kind.
      tree: tree of arrays.

    Returns:
      The tree of products, floating leaves in the dtype they had: a float32 scalar does not widen a bfloat16 tree.
    """
    return jax.tree.map(lambda x: _times(scalar, x), tree)


def add_scale(tree_x: PyTree, scalar: Any, tree_y: PyTree) -> PyTree:
    """tree_x + scalar * tree_y.

    Args:
      tree_x: tree of arrays.
      scalar: a scalar of any kind.
      tree_y: tree of the same structure and shapes.

    Returns:
      The tree of sums, each in the common dtype of the two leaves; a float32 scalar does not widen a bfloat16 tree.

    Raises:
      ValueError: structures or shapes differ.
    """

    def on_leaf(x: Any, y: Any) -> Any:
        x, y = as_array(x), as_array(y)
        common = promoted(x.dtype, y.dtype)
        if not is_inexact(common) or jnp.iscomplexobj(scalar):
            return x + _times(scalar, y)
        precision = at_precision(common, wide(common))
        return (x.astype(precision) + scaled(y.astype(precision), scalar)).astype(common)

    return _both(on_leaf, tree_x, tree_y)


def clip(tree: PyTree, min_value: Any = None, max_value: Any = None) -> PyTree:
    """Bound every element.

    Args:
      tree: tree of real arrays.
      min_value: scalar, the smallest value allowed; None for no bound.
      max_value: scalar, the largest value allowed; None for no bound.

    Returns:
      The tree, in its dtypes; an integer leaf becomes floating where a bound is.
    """

    def on_leaf(x: Any) -> jax.Array:
        x = as_array(x)
        return jnp.clip(x, *(_bound(value, x.dtype) for value in (min_value, max_value)))

    return jax.tree.map(on_leaf, tree)


def _bound(value: Any, dtype: Any) -> Any:
    """A bound that neither widens a floating leaf of `dtype` nor wraps round in an integer one."""
    if value is None:
        return None
    if is_inexact(dtype):
        return jnp.asarray(value, dtype)
    if isinstance(value, (int, np.integer)) and jnp.issubdtype(dtype, jnp.integer):
        return int(np.clip(value, np.iinfo(dtype).min, np.iinfo(dtype).max))
    return value  # a fraction: JAX's rules make the leaf floating


def conj(tree: PyTree) -> PyTree:
    """The complex conjugate of every leaf.

    Args:
      tree: tree of arrays.

    Returns:
      The tree of conjugates, real leaves as they are.
    """
    return jax.tree.map(jnp.conj, tree)


def real(tree: PyTree) -> PyTree:
    """The real part of every leaf.

    Args:
      tree: tree of arrays.

    Returns:
      A tree of real arrays.
    """
    return jax.tree.map(jnp.real, tree)


def where(condition: Any, tree_x: PyTree, tree_y: PyTree) -> PyTree:
    """tree_x where the condition holds, tree_y elsewhere; a select, so a NaN on the other side stays there.

    Args:
      condition: boolean scalar, or boolean array of the shape of every leaf.
      tree_x: tree of arrays.
      tree_y: tree of the same structure and shapes.

    Returns:
      The tree of chosen elements.

    Raises:
      ValueError: structures or shapes differ.
    """
    return _both(lambda x, y: jnp.where(condition, x, y), tree_x, tree_y, fit=operator.eq)


def allclose(a: PyTree, b: PyTree, rtol: Any = 1e-5, atol: Any = 1e-8, equal_nan: bool = False) -> jax.Array:
    """Whether all elements of two trees agree within |a - b| <= atol + rtol * |b|.

    Args:
      a: tree of arrays.
      b: tree of the same structure and shapes.
      rtol: relative tolerance.
      atol: absolute tolerance.
      equal_nan: whether NaN agrees with NaN.

    Returns:
      A boolean scalar.

    Raises:
      ValueError: structures or shapes differ.
    """

    def on_leaf(x: Any, y: Any) -> jax.Array:
        return jnp.allclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)

    close, _ = rows_aligned(on_pairs(on_leaf), ["a", "b"], a, b)
    return functools.reduce(jnp.logical_and, (x for x in close if x is not None), jnp.asarray(True))

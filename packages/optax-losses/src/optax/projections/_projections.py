"""Euclidean projections: the point of a set that is nearest to a given one.

The set lies in the space of all elements of a tree: its leaves together are one vector. That is computed in float32
(float64 if a leaf has that precision), and every leaf comes back in its own dtype; integers come back in the precision
of the computation, except from the sets that bound each element alone, if the bounds are integers too.
None in the place of a leaf stays, and a tree without elements comes back as it is.

A point of the set comes back unchanged, with the identity as derivative (the boundary of a ball or a box included).
Derivatives exist by the point and by what describes the set, forward and backward. An empty set (for a negative scale,
say) is an error if its description is known, and gives NaN if that is traced. NaN gives NaN.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from optax.core import abs_sq, check_hyperparameter, ratio, safe_sqrt, scaled, vary_like

__all__ = [
    "projection_box",
    "projection_halfspace",
    "projection_hypercube",
    "projection_hyperplane",
    "projection_l1_ball",
    "projection_l1_sphere",
    "projection_l2_ball",
    "projection_l2_sphere",
    "projection_linf_ball",
    "projection_non_negative",
    "projection_simplex",
    "projection_vector",
]

REAL = (jnp.floating, jnp.integer)
NUMBERS = (*REAL, jnp.complexfloating)

PyTree: TypeAlias = Any
Vector: TypeAlias = list[jax.Array]  # the leaves of a tree, in one precision


def projection_box(tree: PyTree, lower: Any, upper: Any) -> PyTree:
    """Project onto {y : lower <= y <= upper}, element by element.

    Args:
      tree: tree of real arrays.
      lower: what each element is at least: a scalar for all; or a tree of the structure of `tree`, whose leaves are
        scalars or of the shape of the leaf. None, as a whole or as a leaf, is no bound.
      upper: what each element is at most; likewise.

    Returns:
      The projection. An integer leaf stays integer if its bounds are integers.

    Raises:
      TypeError: a leaf is no array of real numbers.
      ValueError: structures or shapes differ, or a lower bound is above the upper one.
    """
    flat = _flatten("tree", tree)
    return flat.treedef.unflatten(
        map(_between, flat.paths, flat.leaves, _bounds("lower", lower, flat), _bounds("upper", upper, flat))
    )


def projection_hypercube(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : 0 <= y <= scale}, element by element.

    Args:
      tree: tree of real arrays.
      scale: scalar, at least 0; the length of the edges.

    Returns:
      The projection. An integer leaf stays integer if `scale` is an integer.

    Raises:
      TypeError: a leaf is no array of real numbers, or `scale` no real number.
      ValueError: `scale` is negative.
    """
    scale = _checked("scale", scale, least=0)
    return projection_box(tree, 0, scale)


def projection_linf_ball(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : max |y| <= scale}.

    Args:
      tree: tree of real arrays.
      scale: scalar, at least 0; the radius.

    Returns:
      The projection. An integer leaf stays integer if `scale` is an integer.

    Raises:
      TypeError: a leaf is no array of real numbers, or `scale` no real number.
      ValueError: `scale` is negative.
    """
    scale = _checked("scale", scale, least=0)
    return projection_box(tree, -scale, scale)


def projection_non_negative(tree: PyTree) -> PyTree:
    """Project onto {y : y >= 0}, element by element.

    Args:
      tree: tree of real arrays.

    Returns:
      The projection, in the dtypes of `tree`.

    Raises:
      TypeError: a leaf is no array of real numbers.
    """
    return projection_box(tree, 0, None)


def projection_simplex(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto the simplex {y : y >= 0, sum y = scale} of all elements of the tree.

    The solution is y = max(x - t, 0) with the threshold t for which y adds up to the scale. It is found by Newton's
    method from below, which ends at the exact threshold after a few passes over x, without sorting.

    Args:
      tree: tree of real arrays; an element of minus infinity gets 0.
      scale: scalar, at least 0; the sum.

    Returns:
      The projection, in the dtypes of `tree` (integers as floats).

    Raises:
      TypeError: a leaf is no array of real numbers, or `scale` no real number.
      ValueError: `scale` is negative.

    Reference:
      Condat, "Fast projection onto the simplex and the l1 ball" (2016), section 2, which credits Michelot (1986).
    """
    scale = _checked("scale", scale, least=0)
    return _on_vector(lambda x: _onto_simplex(x, _radius(scale, x)), tree=tree)


def projection_l1_ball(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : sum |y| <= scale}.

    Args:
      tree: tree of arrays, real or complex.
      scale: scalar, at least 0; the radius.

    Returns:
      The projection, in the dtypes of `tree` (integers as floats).

    Raises:
      TypeError: a leaf is no array of numbers, or `scale` no real number.
      ValueError: `scale` is negative.

    Reference:
      Condat, "Fast projection onto the simplex and the l1 ball" (2016), proposition 2.1 on the way to the simplex.
    """
    scale = _checked("scale", scale, least=0)
    return _on_vector(lambda x: _onto_l1_ball(x, _radius(scale, x)), tree=tree, kinds=NUMBERS)


def projection_l1_sphere(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : sum |y| = scale}.

    Where several points are nearest, an element of 0 counts as positive.

    Args:
      tree: tree of arrays, real or complex.
      scale: scalar, at least 0; the radius.

    Returns:
      A nearest point, in the dtypes of `tree` (integers as floats); scale / N in each of the N elements if all are 0.

    Raises:
      TypeError: a leaf is no array of numbers, or `scale` no real number.
      ValueError: `scale` is negative.
    """
    scale = _checked("scale", scale, least=0)
    return _on_vector(lambda x: _onto_l1_sphere(x, _radius(scale, x)), tree=tree, kinds=NUMBERS)


def projection_l2_ball(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : ||y|| <= scale}: x * min(1, scale / ||x||).

    Args:
      tree: tree of arrays, real or complex.
      scale: scalar, at least 0; the radius.

    Returns:
      The projection, in the dtypes of `tree` (integers as floats).

    Raises:
      TypeError: a leaf is no array of numbers, or `scale` no real number.
      ValueError: `scale` is negative.
    """
    scale = _checked("scale", scale, least=0)
    return _on_vector(lambda x: _onto_l2_ball(x, _radius(scale, x)), tree=tree, kinds=NUMBERS)


def projection_l2_sphere(tree: PyTree, scale: Any = 1) -> PyTree:
    """Project onto {y : ||y|| = scale}: x * scale / ||x||.

    Args:
      tree: tree of arrays, real or complex.
      scale: scalar, at least 0; the radius.

    Returns:
      The projection, in the dtypes of `tree` (integers as floats). Every point of the sphere is nearest to 0: that one
      of N equal elements, scale / sqrt(N), is chosen, with derivative 0.

    Raises:
      TypeError: a leaf is no array of numbers, or `scale` no real number.
      ValueError: `scale` is negative.
    """
    scale = _checked("scale", scale, least=0)
    return _on_vector(lambda x: _onto_l2_sphere(x, _radius(scale, x)), tree=tree, kinds=NUMBERS)


def projection_hyperplane(x: PyTree, a: PyTree, b: Any) -> PyTree:
    """Project onto {y : <a, y> = b}: x - (<a, x> - b) / <a, a> * a.

    Args:
      x: tree of real arrays.
      a: tree of the same structure and shapes, the normal vector; if it is 0, `x` comes back.
      b: scalar.

    Returns:
      The projection, in the dtypes of `x` (integers as floats).

    Raises:
      TypeError: a leaf is no array of real numbers, or `b` no real number.
      ValueError: structures or shapes differ.
    """
    b = _checked("b", b)
    return _on_vector(lambda x, a: _onto_hyperplane(x, a, _scalar(b, x)), x=x, a=a)


def projection_halfspace(x: PyTree, a: PyTree, b: Any) -> PyTree:
    """Project onto {y : <a, y> <= b}: x - max(<a, x> - b, 0) / <a, a> * a.

    Args:
      x: tree of real arrays.
      a: tree of the same structure and shapes, the outward normal vector; if it is 0, `x` comes back.
      b: scalar.

    Returns:
      The projection, in the dtypes of `x` (integers as floats).

    Raises:
      TypeError: a leaf is no array of real numbers, or `b` no real number.
      ValueError: structures or shapes differ.
    """
    b = _checked("b", b)
    return _on_vector(lambda x, a: _onto_halfspace(x, a, _scalar(b, x)), x=x, a=a)


def projection_vector(x: PyTree, a: PyTree) -> PyTree:
    """Project onto the line {t a : t real}: <a, x> / <a, a> * a.

    Args:
      x: tree of real arrays.
      a: tree of the same structure and shapes, the direction; if it is 0, so is the projection.

    Returns:
      The projection, in the dtypes of `x` (integers as floats).

    Raises:
      TypeError: a leaf is no array of real numbers.
      ValueError: structures or shapes differ.
    """
    return _on_vector(_onto_line, x=x, a=a)


# The rules, for vectors. They are jitted: a loop outside of a program would be compiled at every call.


@jax.jit
def _onto_simplex(x: Vector, scale: jax.Array) -> Vector:
    # Moving all elements together does not move the projection, but keeps large ones from swallowing the threshold.
    top = jax.lax.stop_gradient(_largest(x))
    w = [leaf - top for leaf in x]
    t = _threshold(w, scale + (top - top))  # NaN, and the result with it, if there is no finite largest element
    return [jnp.where(leaf <= t, 0, leaf - t) for leaf in w]


@jax.custom_jvp
def _threshold(w: Vector, scale: jax.Array) -> jax.Array:
    """The t for which max(w - t, 0) adds up to the scale, for a `w` whose largest element is 0.

    That sum is convex and decreasing in t. So Newton's method rises towards t from -scale, where the largest element
    is enough; with every change of t fewer elements are above it, and once their number stays t is exact.
    """

    def step(carry: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        t, count, _ = carry
        excess = _sum(jnp.sum(jnp.where(leaf > t, leaf - t, 0)) for leaf in w) - scale
        above = _count_above(w, t)
        return t + excess / jnp.maximum(above, 1).astype(t.dtype), above, count

    start = vary_like((-scale, jnp.asarray(-1, jnp.int32), jnp.asarray(-2, jnp.int32)), w)
    t, _, _ = jax.lax.while_loop(lambda carry: carry[1] != carry[2], step, start)
    return t


@_threshold.defjvp
def _threshold_jvp(
    primals: tuple[Vector, jax.Array], tangents: tuple[Vector, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (w, scale), (dw, dscale) = primals, tangents
    t = _threshold(w, scale)
    total = _sum(jnp.sum(jnp.where(leaf > t, d, 0)) for leaf, d in zip(w, dw, strict=True))
    return t, (total - dscale) / jnp.maximum(_count_above(w, t), 1).astype(t.dtype)


def _count_above(w: Vector, t: jax.Array) -> jax.Array:
    return _sum(jnp.sum(leaf > t, dtype=jnp.int32) for leaf in w)


@jax.jit
def _onto_l1_sphere(x: Vector, scale: jax.Array) -> Vector:
    sizes = _onto_simplex([jnp.abs(leaf) for leaf in x], scale)
    return [scaled(_phase(leaf), size) for leaf, size in zip(x, sizes, strict=True)]


@jax.jit
def _onto_l1_ball(x: Vector, scale: jax.Array) -> Vector:
    inside = _sum(jnp.sum(jnp.abs(leaf)) for leaf in x) <= scale
    return _select(inside, x, _onto_l1_sphere(x, scale))


@jax.jit
def _onto_l2_sphere(x: Vector, scale: jax.Array) -> Vector:
    u, _, length = _rescaled(x)
    return [scaled(leaf, scale / length) for leaf in u]


@jax.jit
def _onto_l2_ball(x: Vector, scale: jax.Array) -> Vector:
    u, top, length = _rescaled(x)
    inside = top * length <= scale
    factor = jnp.where(inside, length, scale) / length  # an infinite scale must not meet the zero of what is not chosen
    return _select(inside, x, [scaled(leaf, factor) for leaf in u])


def _rescaled(x: Vector) -> tuple[Vector, jax.Array, jax.Array]:
    """x / max |x|, the divisor (a constant for derivatives), and the norm of the quotient: no square overflows.

    Ones, a divisor of 0 and their norm if all elements are 0.
    """
    top = jax.lax.stop_gradient(_largest([jnp.abs(leaf) for leaf in x]))
    zero = top == 0
    u = [jnp.where(zero, 1, ratio(leaf, jnp.where(zero, 1, top))) for leaf in x]
    return u, top, safe_sqrt(_sum(jnp.sum(abs_sq(leaf)) for leaf in u))


@jax.jit
def _onto_hyperplane(x: Vector, a: Vector, b: jax.Array) -> Vector:
    a, residual = _residual(x, a, b)
    return _minus(x, residual, a)


@jax.jit
def _onto_halfspace(x: Vector, a: Vector, b: jax.Array) -> Vector:
    a, residual = _residual(x, a, b)
    return _minus(x, jnp.where(residual <= 0, 0, residual), a)


@jax.jit
def _onto_line(x: Vector, a: Vector) -> Vector:
    a, residual = _residual(x, a, jnp.zeros_like(_largest(a)))
    return [residual * leaf for leaf in a]


def _residual(x: Vector, a: Vector, b: jax.Array) -> tuple[Vector, jax.Array]:
    """u = a / max |a|, and by how many u's the vector x is beyond the hyperplane; zeros for a = 0."""
    top = jax.lax.stop_gradient(_largest([jnp.abs(leaf) for leaf in a]))
    zero = top == 0
    top = jnp.where(zero, 1, top)
    u = [leaf / top for leaf in a]
    length_sq = jnp.where(zero, 1, _sum(jnp.sum(leaf * leaf) for leaf in u))
    excess = _sum(jnp.sum(leaf * other) for leaf, other in zip(u, x, strict=True)) - b / top
    return u, jnp.where(zero, 0, excess / length_sq)


def _minus(x: Vector, factor: jax.Array, u: Vector) -> Vector:
    return [leaf - factor * other for leaf, other in zip(x, u, strict=True)]


def _select(condition: jax.Array, x: Vector, y: Vector) -> Vector:
    return [jnp.where(condition, *pair) for pair in zip(x, y, strict=True)]


def _sum(terms: Iterable[jax.Array]) -> jax.Array:
    return reduce(add, terms)


def _largest(x: Iterable[jax.Array]) -> jax.Array:
    return reduce(jnp.maximum, map(jnp.max, x))


def _phase(x: jax.Array) -> jax.Array:
    """x / |x|, and 1 for 0."""
    x = jnp.where(x == 0, 1, x)
    return ratio(x, jnp.abs(x)) if jnp.iscomplexobj(x) else jnp.sign(x)


@jax.jit
def _clamp(x: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    y = jnp.where(x > upper, upper, jnp.where(x < lower, lower, x))
    return jnp.where(lower <= upper, y, jnp.nan) if jnp.issubdtype(x.dtype, jnp.floating) else y


# From trees to vectors and back.


class Flat(NamedTuple):
    """The leaves of a tree, as arrays or None.

    Attributes:
      name: what messages call the tree.
      paths: the place of each leaf, for messages; empty if the tree is just one leaf.
      leaves: arrays, and None where the tree has None.
      treedef: the structure.
    """

    name: str
    paths: list[str]
    leaves: list[Any]
    treedef: Any


def _flatten(name: str, tree: PyTree, kinds: Sequence[Any] = REAL) -> Flat:
    entries, treedef = tree_flatten_with_path(tree, is_leaf=lambda x: x is None)
    named = [(keystr(path), leaf) for path, leaf in entries]
    leaves = [_as_numbers(name + path, leaf, kinds) for path, leaf in named]
    return Flat(name, [path for path, _ in named], leaves, treedef)


def _as_numbers(name: str, leaf: Any, kinds: Sequence[Any]) -> jax.Array | None:
    if leaf is None:
        return None
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        raise TypeError(f"{name} must be {'real ' * (kinds is REAL)}numbers, got dtype {dtype}")
    return jnp.asarray(leaf)


def _beside(flat: Flat, other: Flat, *, bounds: bool = False) -> list[Any]:
    """The leaves of `other`, beside those of a tree of the same structure and shapes; bounds may be scalars or None."""
    if flat.treedef != other.treedef:
        raise ValueError(
            f"{flat.name} and {other.name} must have the same tree structure, got {flat.treedef} and {other.treedef}"
        )
    for path, x, y in zip(flat.paths, flat.leaves, other.leaves, strict=True):
        if x is None or y is None:
            if x is not y and not bounds:
                none, array = (flat, other) if x is None else (other, flat)
                raise ValueError(f"{none.name} has None{_at(path)} where {array.name} has an array")
        elif y.shape != x.shape and not (bounds and y.shape == ()):
            raise ValueError(
                f"{flat.name} and {other.name} must have the same shape{_at(path)}, got {x.shape} and {y.shape}"
            )
    return other.leaves


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _on_vector(rule: Callable[..., Vector], *, kinds: Sequence[Any] = REAL, **trees: PyTree) -> PyTree:
    """Apply a rule for vectors to the elements of one tree, and to those of the trees beside it."""
    flat, *others = (_flatten(name, tree, kinds) for name, tree in trees.items())
    columns = [flat.leaves, *(_beside(flat, other) for other in others)]
    rows = [row for row in zip(*columns, strict=True) if row[0] is not None and row[0].size]
    if not rows:
        return flat.treedef.unflatten(flat.leaves)
    wide = _wide(x.dtype for row in rows for x in row)
    results = iter(rule(*([_widened(x, wide) for x in column] for column in zip(*rows, strict=True))))
    return flat.treedef.unflatten(
        next(results).astype(_floating(x.dtype, wide)) if x is not None and x.size else x for x in flat.leaves
    )


def _wide(dtypes: Iterable[Any]) -> Any:
    """The precision to compute in."""
    double = any(dtype in (jnp.dtype("float64"), jnp.dtype("complex128")) for dtype in dtypes)
    return jnp.dtype("float64" if double else "float32")


def _widened(x: jax.Array, wide: Any) -> jax.Array:
    array: jax.Array = x.astype(np.result_type(wide, np.complex64) if jnp.iscomplexobj(x) else wide)
    return array


def _floating(dtype: Any, wide: Any) -> Any:
    """The dtype that results come back in for a leaf of this one."""
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else wide


def _checked(name: str, value: Any, *, least: float = -math.inf) -> Any:
    """A real scalar: a Python number, which takes any dtype, or a traced one."""
    check_hyperparameter(name, value, least=least)
    if jnp.shape(value) != ():
        raise ValueError(f"{name} must be a scalar, not of shape {jnp.shape(value)}")
    return value.item() if hasattr(value, "item") and not isinstance(value, jax.core.Tracer) else value


def _scalar(value: Any, x: Vector) -> jax.Array:
    """`value` in the precision of a vector."""
    scalar: jax.Array = jnp.asarray(value).astype(x[0].real.dtype)
    return scalar


def _radius(scale: Any, x: Vector) -> jax.Array:
    """The scale in the precision of a vector; NaN for a negative one, which only a traced one can be."""
    radius = _scalar(scale, x)
    return jnp.where(radius >= 0, radius, jnp.nan) if isinstance(radius, jax.core.Tracer) else radius


def _bounds(name: str, bound: Any, flat: Flat) -> list[Any]:
    """One bound for each leaf: a Python number, an array, or None."""
    if bound is None:
        return [None] * len(flat.leaves)
    if jax.tree_util.all_leaves([bound]) and jnp.ndim(bound) == 0:
        return [_checked(name, bound)] * len(flat.leaves)
    return _beside(flat, _flatten(name, bound), bounds=True)


def _between(path: str, x: jax.Array | None, lower: Any, upper: Any) -> jax.Array | None:
    if x is None:
        return None
    bounds = [bound for bound in (lower, upper) if bound is not None]
    known = not any(isinstance(bound, jax.core.Tracer) for bound in bounds)
    if known and len(bounds) == 2 and np.any(np.asarray(lower) > np.asarray(upper)):
        raise ValueError(f"lower is above upper{_at(path)}: {np.asarray(lower)} and {np.asarray(upper)}")
    if all(jnp.issubdtype(jnp.result_type(y), jnp.integer) for y in (x, *bounds)):
        ends = np.iinfo(x.dtype)
        lower, upper = ends.min if lower is None else lower, ends.max if upper is None else upper
        clamped: jax.Array = _clamp(x, _as_integer(lower, x.dtype), _as_integer(upper, x.dtype))
        return clamped
    wide = _wide(jnp.result_type(y) for y in (x, *bounds) if not isinstance(y, (int, float)))
    lower, upper = -math.inf if lower is None else lower, math.inf if upper is None else upper
    y: jax.Array = _clamp(x.astype(wide), *(jnp.asarray(bound).astype(wide) for bound in (lower, upper)))
    return y.astype(_floating(x.dtype, wide))


def _as_integer(bound: Any, dtype: Any) -> jax.Array:
    """An integer bound in another dtype, or the end of the range of that dtype that is nearest."""
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    if not isinstance(bound, jax.Array):  # a Python number, of any size
        return jnp.asarray(np.clip(bound, least, most), dtype)
    own = np.iinfo(bound.dtype)
    return jnp.clip(bound, max(own.min, least), min(own.max, most)).astype(dtype)

"""Losses of triplets: an anchor shall be nearer to its positive than to its negative."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_floats,
    as_mask,
    class_axes,
    flatten_last,
    require_same_shape,
)
from optax.losses._reduction import Reduction, reduced

__all__ = ["triplet_margin_loss"]


def triplet_margin_loss(
    anchors: ArrayOrSequence,
    positives: ArrayOrSequence,
    negatives: ArrayOrSequence,
    axis: Axes = -1,
    norm_degree: ArrayLike = 2,
    margin: ArrayLike = 1.0,
    eps: ArrayLike = 1e-6,
    *,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """By how much an anchor lacks the margin by which it shall be nearer to its positive than to its negative.

        loss = max(0, d(anchors, positives) - d(anchors, negatives) + margin)
        d(x, y) = (sum_c |x_c - y_c|^norm_degree + eps)^(1 / norm_degree)

    Args:
      anchors: shape (..., D, ...).
      positives: what shall be near to the anchors, the shape of `anchors`.
      negatives: what shall be far from the anchors, the shape of `anchors`.
      axis: the axis of the features, or several.
      norm_degree: >= 1 and finite; 2 for the Euclidean distance, 1 for the sum of the absolute differences.
      margin: in units of the distance.
      eps: >= 0; makes the distance smooth where points coincide. With 0 the gradient of the distance is 0 there.
      where: boolean mask, the shape of `anchors`: the features that count; rows without any have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `anchors` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` or `reduction` is none, or a number is out of its range.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks",
      2016, section 2.2.

    >>> triplet_margin_loss([0.0, 0.0], [0.0, 0.5], [1.0, 0.0], eps=0.0)
    Array(0.5, dtype=float32)
    """
    a, p, n = as_floats(anchors=anchors, positives=positives, negatives=negatives)
    require_same_shape("anchors", a, "positives", p)
    require_same_shape("anchors", a, "negatives", n)
    mask = as_mask("where", where, "anchors", a)
    axes = class_axes(axis, "anchors", a)
    check_hyperparameter("norm_degree", norm_degree, least=1, most=float(np.finfo(np.float32).max))
    check_hyperparameter("margin", margin)
    check_hyperparameter("eps", eps, least=0)

    a, p, n = (flatten_last(x, axes) for x in (a, p, n))
    kept = None
    if mask is not None:
        mask = flatten_last(mask, axes)
        kept = jnp.any(mask, axis=-1)
        a, p, n = (jnp.where(mask, x, 0) for x in (a, p, n))
    lacking = _distance(a - p, norm_degree, eps) - _distance(a - n, norm_degree, eps)
    losses = jnp.maximum(lacking + jnp.asarray(margin).astype(a.dtype), 0)
    return reduced(losses, kept=kept, weights=weights, reduction=reduction)


def _distance(difference: jax.Array, degree: ArrayLike, eps: ArrayLike) -> jax.Array:
    """(sum |difference|^degree + eps)^(1 / degree) over the last axis, of differences of any size; derivative 0 at 0.

    That is the norm of the difference with one coordinate more, eps^(1 / degree). It is computed of coordinates
    divided by the largest of them, lest powers overflow or vanish; as it is homogeneous, the largest may be a constant
    for the derivatives.
    """
    dtype = difference.dtype
    p = degree.astype(dtype) if isinstance(degree, jax.core.Tracer) else float(np.asarray(degree))
    sizes = difference * jnp.sign(difference)  # the absolute value, with derivative 0 at 0
    more = _power(jnp.asarray(eps).astype(dtype), 1 / p)
    m = jax.lax.stop_gradient(jnp.maximum(jnp.max(sizes, axis=-1), more))
    at_zero = m < float(np.finfo(dtype).tiny)
    m = jnp.where(at_zero, 1, m)
    total = jnp.sum(_power(sizes / m[..., None], p), axis=-1) + _power(more / m, p)
    return jnp.where(at_zero, 0, m * _power(jnp.where(at_zero, 1, total), 1 / p))


def _power(x: jax.Array, p: float | jax.Array) -> jax.Array:
    """x^p, without a logarithm where there is a shorter way."""
    if not isinstance(p, float) or p not in (0.5, 1.0, 2.0):
        return jnp.power(x, p)
    return x if p == 1 else jnp.square(x) if p == 2 else jnp.sqrt(x)

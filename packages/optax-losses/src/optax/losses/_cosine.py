"""Losses between directions."""

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import check_hyperparameter
from optax.losses._inputs import ArrayOrSequence, Axes, as_axes, as_floats, as_mask, require_same_shape
from optax.losses._reduction import Reduction, reduced

__all__ = ["cosine_distance", "cosine_similarity"]


def cosine_similarity(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    epsilon: float | jax.Array = 0.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
) -> jax.Array:
    """The cosine of the angle between two vectors, whatever their lengths, from the smallest to the largest.

        similarity = x . y / (max(|x|, sqrt(epsilon)) max(|y|, sqrt(epsilon)))

    It lies within [-1, 1]. A zero vector has similarity 0 to all others, and gradient 0 if epsilon is 0.

    Args:
      predictions: the vectors x, shape (..., D, ...).
      targets: the vectors y, the same shape.
      epsilon: the least squared length to divide by, at least 0.
      axis: the axis or axes of the vectors' components.
      where: boolean mask, the shape of `predictions`: the components that count; the others are taken as 0.

    Returns:
      The similarities, shape of `predictions` without `axis`; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `epsilon` is negative, or `axis` is not an axis of `predictions`.
      TypeError: an argument is not real, or `where` is not boolean.

    >>> cosine_similarity([1e30, 0.0], [-1e-20, 0.0])
    Array(-1., dtype=float32)
    """
    check_hyperparameter("epsilon", epsilon, least=0)
    x, y = as_floats(predictions=predictions, targets=targets)
    require_same_shape("predictions", x, "targets", y)
    axes = as_axes(axis, "predictions", x)
    mask = as_mask("where", where, "predictions", x)
    if mask is not None:
        x, y = jnp.where(mask, x, 0), jnp.where(mask, y, 0)

    least = jnp.sqrt(jnp.asarray(epsilon, x.dtype))
    (u, squared_u), (v, squared_v) = _scaled(x, axes, least), _scaled(y, axes, least)
    cosine = jnp.sum(u * v, axis=axes) / jnp.sqrt(squared_u * squared_v)
    # Rounding must not lead out of the range, but the slope is that of the formula.
    return cosine + jax.lax.stop_gradient(jnp.clip(cosine, -1, 1) - cosine)


def cosine_distance(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    epsilon: float | jax.Array = 0.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """One less the cosine of the angle between two vectors: 0 for one direction, 1 for a right angle, 2 for opposites.

        loss = 1 - cosine_similarity(predictions, targets)

    Args:
      predictions: the vectors, shape (..., D, ...).
      targets: the vectors to compare them with, the same shape.
      epsilon: the least squared length to divide by, at least 0.
      axis: the axis or axes of the vectors' components.
      where: boolean mask, the shape of `predictions`: the components that count; the others are taken as 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` without `axis` unless reduced; float32, or float64 if an argument is. 1 if
      one of the vectors is zero.

    Raises:
      ValueError: the shapes differ, `epsilon` is negative, `axis` is not an axis of `predictions`, or `reduction` is
        none.
      TypeError: an argument is not real, or `where` is not boolean.

    >>> cosine_distance([1.0, 0.0], [0.0, 2.0])
    Array(1., dtype=float32)
    """
    similarity = cosine_similarity(predictions, targets, epsilon=epsilon, axis=axis, where=where)
    return reduced(1 - similarity, weights=weights, reduction=reduction)


def _scaled(x: jax.Array, axes: tuple[int, ...], least: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vectors in a unit of about their own size, and what their squared length counts as in it, above 0.

    The square of a length of 1e-20 or 1e30 is no float32; in such a unit it is. The unit is a power of 2, so that
    nothing is rounded, and a constant for derivatives, as the quotient of lengths does not depend on it.

    Args:
      x: any shape.
      axes: those of the components.
      least: the least length, a scalar.

    Returns:
      The shape of `x`, 0 where the vector is; and that without `axes`, 1 where it is.
    """
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=axes, keepdims=True, initial=0)
    size = jnp.maximum(size, jax.lax.stop_gradient(least))
    info = np.finfo(x.dtype)
    zero = size < info.tiny  # what is smaller has no inverse
    bounded = jnp.clip(size, float(info.tiny), float(1 / info.tiny))  # nor has what is larger, but that does no harm
    scale = jnp.where(zero, 0, 1 / jax.lax.reduce_precision(bounded, exponent_bits=info.nexp, mantissa_bits=0))
    u = x * scale
    squared = jnp.sum(jnp.square(u), axis=axes)
    floor = jnp.square(least * jnp.squeeze(scale, axes))
    squared = jnp.where(squared < floor, floor, squared)
    return u, jnp.where(jnp.squeeze(zero, axes), 1, squared)

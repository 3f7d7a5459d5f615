"""Losses between real predictions and real targets, elementwise."""

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._reduction import Reduction, per_element

__all__ = ["l2_loss", "squared_error"]


def squared_error(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The square of the error of each prediction.

        loss = (predictions - targets)^2

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    >>> squared_error([1.0, 2.0], [1.0, 5.0])
    Array([0., 9.], dtype=float32)
    """
    return per_element(
        lambda p, y: jnp.square(p - y),
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def l2_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """Half the square of the error of each prediction, so that the gradient is the error itself.

        loss = (predictions - targets)^2 / 2

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Bishop, "Pattern Recognition and Machine Learning", 2006, section 1.1.

    >>> l2_loss([1.0, 2.0], [1.0, 5.0])
    Array([0. , 4.5], dtype=float32)
    """
    return 0.5 * squared_error(predictions, targets, axis=axis, where=where, weights=weights, reduction=reduction)

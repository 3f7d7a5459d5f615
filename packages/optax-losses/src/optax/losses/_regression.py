"""Losses between real predictions and real targets, elementwise."""

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, as_floats, require_same_shape

__all__ = ["l2_loss", "squared_error"]


def squared_error(predictions: ArrayOrSequence, targets: ArrayOrSequence | None = None) -> jax.Array:
    """The square of the error of each prediction.

        loss = (predictions - targets)^2

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.

    Returns:
      The losses, shape of `predictions`; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ.
      TypeError: an argument is not real.

    >>> squared_error([1.0, 2.0], [1.0, 5.0])
    Array([0., 9.], dtype=float32)
    """
    return jnp.square(_errors(predictions, targets))


def l2_loss(predictions: ArrayOrSequence, targets: ArrayOrSequence | None = None) -> jax.Array:
    """Half the square of the error of each prediction, so that the gradient is the error itself.

        loss = (predictions - targets)^2 / 2

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.

    Returns:
      The losses, shape of `predictions`; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ.
      TypeError: an argument is not real.

    Reference:
      Bishop, "Pattern Recognition and Machine Learning", 2006, section 1.1.

    >>> l2_loss([1.0, 2.0], [1.0, 5.0])
    Array([0. , 4.5], dtype=float32)
    """
    return 0.5 * squared_error(predictions, targets)


def _errors(predictions: ArrayOrSequence, targets: ArrayOrSequence | None) -> jax.Array:
    """predictions - targets, after the checks that every loss of this file makes."""
    if targets is None:
        (errors,) = as_floats(predictions=predictions)
        return errors
    p, y = as_floats(predictions=predictions, targets=targets)
    require_same_shape("predictions", p, "targets", y)
    return p - y

"""Losses between real predictions and real targets, elementwise."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import check_hyperparameter
from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._reduction import Reduction, per_element

__all__ = [
    "absolute_error",
    "expectile_loss",
    "huber_loss",
    "l2_loss",
    "log_cosh",
    "quantile_loss",
    "smooth_l1_loss",
    "squared_error",
]


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


def absolute_error(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The distance of each prediction from its target.

        loss = |predictions - targets|

    with derivative 0 where they are equal.

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

    >>> absolute_error([1.0, 2.0], [1.0, 5.0])
    Array([0., 3.], dtype=float32)
    """
    return per_element(
        lambda p, y: _magnitude(p - y),
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def huber_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    delta: float | jax.Array = 1.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """Half the square of a small error; of a large one its distance, so that outliers pull with bounded force.

        e = predictions - targets
        loss = e^2 / 2                    if |e| <= delta
               delta (|e| - delta / 2)    otherwise

    The gradient is the error, clipped to [-delta, delta].

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.
      delta: where the square ends, positive, in the unit of the targets.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `delta` is not positive, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Huber, "Robust estimation of a location parameter", 1964.

    >>> huber_loss([0.5, 3.0], [0.0, 0.0])
    Array([0.125, 2.5  ], dtype=float32)
    """
    check_hyperparameter("delta", delta, above=0)
    return per_element(
        lambda p, y: _huber(p - y, jnp.asarray(delta, p.dtype)),
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def smooth_l1_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    beta: float | jax.Array = 1.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The absolute error with its kink rounded off: the Huber loss, divided so that its slope far away is 1.

        loss = huber_loss(predictions, targets, delta=beta) / beta

    which is |predictions - targets| for beta = 0.

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape; None means zero.
      beta: the largest error that counts by its square, at least 0, in the unit of the targets.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `beta` is negative, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Girshick, "Fast R-CNN", 2015, equation 3.

    >>> smooth_l1_loss([0.5, 3.0], [0.0, 0.0], beta=2.0)
    Array([0.0625, 2.    ], dtype=float32)
    """
    check_hyperparameter("beta", beta, least=0)

    def rule(p: jax.Array, y: jax.Array) -> jax.Array:
        e, b = p - y, jnp.asarray(beta, p.dtype)
        delta = jnp.where(b == 0, 1, b)
        return jnp.where(b == 0, _magnitude(e), _huber(e, delta) / delta)

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def log_cosh(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence | None = None,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The logarithm of the hyperbolic cosine of the error: half its square near 0, its distance less log 2 far away.

        loss = log cosh(predictions - targets)

    exact in all digits of small and large errors alike. The gradient is tanh(predictions - targets).

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
      Green, "Bayesian reconstructions from emission tomography data using a modified EM algorithm", 1990.

    >>> log_cosh([0.0, 100.0])
    Array([ 0.      , 99.306854], dtype=float32)
    """
    return per_element(
        lambda p, y: _log_cosh(p - y),
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def quantile_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    quantile: ArrayOrSequence = 0.5,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The pinball loss, whose expectation is least where the prediction is a quantile of the targets.

        e = targets - predictions
        loss = quantile e          if e > 0
               (quantile - 1) e    otherwise

    with derivative 0 at e = 0. Half the absolute error for the median, quantile = 0.5. A model with an output for
    each of Q quantiles is trained by one call: `quantile` has shape (Q,), the last axis of `predictions` is Q long,
    and the targets are repeated along it (nothing is broadcast here).

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape.
      quantile: between 0 and 1, both excluded; a number, or one for each index of the last axis of `predictions`.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `quantile` is out of range or of another shape, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Koenker and Bassett, "Regression quantiles", 1978.

    >>> quantile_loss([1.0, 1.0], [3.0, 0.0], quantile=0.75)
    Array([1.5 , 0.25], dtype=float32)
    """
    quantile = _levels("quantile", quantile)

    def rule(p: jax.Array, y: jax.Array) -> jax.Array:
        e, q = y - p, _along_last("quantile", quantile, p)
        return jnp.where(e > 0, q, jnp.where(e < 0, q - 1, 0)) * e

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def expectile_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    expectile: ArrayOrSequence = 0.5,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The square of the error, weighed by its sign; its expectation is least at an expectile of the targets.

        e = targets - predictions
        loss = expectile e^2          if e > 0
               (1 - expectile) e^2    otherwise

    which is `l2_loss` for expectile = 0.5.

    Args:
      predictions: real numbers of any shape.
      targets: real numbers of the same shape.
      expectile: between 0 and 1, both excluded; a number, or one for each index of the last axis of `predictions`.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `expectile` is out of range or of another shape, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Newey and Powell, "Asymmetric least squares estimation and testing", 1987.

    >>> expectile_loss([1.0, 1.0], [3.0, 0.0], expectile=0.75)
    Array([3.  , 0.25], dtype=float32)
    """
    expectile = _levels("expectile", expectile)

    def rule(p: jax.Array, y: jax.Array) -> jax.Array:
        e, tau = y - p, _along_last("expectile", expectile, p)
        return jnp.where(e > 0, tau, 1 - tau) * jnp.square(e)

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def _magnitude(e: jax.Array) -> jax.Array:
    """|e|, with derivative 0 at 0 (that of `jnp.abs` is 1)."""
    return e * jnp.sign(e)


@jax.custom_jvp
def _huber(e: jax.Array, delta: jax.Array) -> jax.Array:
    a = jnp.abs(e)
    return jnp.where(a <= delta, 0.5 * a * a, delta * (a - 0.5 * delta))


@_huber.defjvp
def _huber_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (e, delta), (de, ddelta) = primals, tangents
    beyond = jnp.maximum(jnp.abs(e) - delta, 0)
    return _huber(e, delta), jnp.clip(e, -delta, delta) * de + beyond * ddelta


@jax.custom_jvp
def _log_cosh(e: jax.Array) -> jax.Array:
    # With m = 1 - exp(-a), cosh a = 1 + m^2 / 2 (1 - m) = exp(a) (1 - m + m^2 / 2): the first form keeps the digits
    # of small errors, the second does not overflow.
    a = jnp.abs(e)
    m = -jnp.expm1(-a)
    half = 0.5 * m * m
    small = a < 1
    return jnp.where(small, 0, a) + jnp.log1p(jnp.where(small, half / (1 - m), half - m))


@_log_cosh.defjvp
def _log_cosh_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (e,), (de,) = primals, tangents
    return _log_cosh(e), jnp.tanh(e) * de


def _levels(name: str, value: ArrayOrSequence) -> ArrayOrSequence:
    """A number or an array strictly between 0 and 1, checked unless it is traced."""
    if isinstance(value, Sequence):
        traced = any(isinstance(v, jax.core.Tracer) for v in value)
        value = jnp.asarray(value) if traced else np.asarray(value)
    check_hyperparameter(name, value, above=0, below=1, array=True)
    return value


def _along_last(name: str, value: ArrayOrSequence, p: jax.Array) -> jax.Array:
    """`value` as an array of the shape and dtype of `p`: a number, or one for each index of the last axis."""
    level = jnp.asarray(value, p.dtype)
    if level.shape not in ((), p.shape[-1:]):
        raise ValueError(
            f"{name} must be a number or have shape {p.shape[-1:]}, the last axis of the predictions, got {level.shape}"
        )
    return jnp.broadcast_to(level, p.shape)

"""Divergences of a predicted distribution from a target distribution, both given as they are, not as logits.

All of them are sums of y log(y / q) and what makes it a distance for measures that do not sum to 1. A probability
that is 0, of a target or of a prediction, is an ordinary number here: 0 log 0 = 0 log(0 / 0) = 0.
"""

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, Axes, as_floats, as_mask, class_axes, require_same_shape
from optax.losses._reduction import Reduction, reduced

__all__ = [
    "convex_kl_divergence",
    "generalized_kl_divergence",
    "kl_divergence",
    "kl_divergence_with_log_targets",
]


def kl_divergence(
    log_predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    axis: Axes | None = -1,
    where: ArrayOrSequence | None = None,
    *,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of predicted from target probabilities.

        loss = sum_c targets_c (log targets_c - log_predictions_c)

    with 0 log 0 = 0: a class with target 0 costs nothing, even if its log-prediction is -inf; with a positive target
    that is +inf. Where a target is 0, the slope by it is that of the terms that have one there: -log_prediction, and
    0 if that is infinite (the slope of y log y at y = 0 is infinite, and left out).

    Args:
      log_predictions: logarithms of probabilities, shape (..., C, ...); not checked to be normalised.
      targets: probabilities, >= 0, the shape of `log_predictions`; not checked. Negative ones give NaN.
      axis: the axis of the classes, or several; None means all.
      where: boolean mask, the shape of `log_predictions`: the classes that take part in the sum; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `log_predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Kullback and Leibler, "On Information and Sufficiency", 1951, section 2.

    >>> kl_divergence(jnp.log(jnp.array([0.5, 0.5, 0.0])), [1.0, 0.0, 0.0])
    Array(0.6931472, dtype=float32)
    """
    q, y, axes = _inputs(log_predictions, axis, where, targets=targets)
    return reduced(jnp.sum(_terms(q, y), axis=axes), weights=weights, reduction=reduction)


def kl_divergence_with_log_targets(
    log_predictions: ArrayOrSequence,
    log_targets: ArrayOrSequence,
    axis: Axes | None = -1,
    where: ArrayOrSequence | None = None,
    *,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of predicted from target probabilities, from the logarithms of both.

        loss = sum_c exp(log_targets_c) (log_targets_c - log_predictions_c)

    with 0 log 0 = 0, as in `kl_divergence`: a class whose target is 0, because its logarithm is -inf or has no
    exponential in the dtype, costs nothing; with any other target a log-prediction of -inf costs +inf.

    Args:
      log_predictions: logarithms of probabilities, shape (..., C, ...); not checked to be normalised.
      log_targets: logarithms of probabilities, the shape of `log_predictions`; not checked to be normalised.
      axis: the axis of the classes, or several; None means all.
      where: boolean mask, the shape of `log_predictions`: the classes that take part in the sum; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `log_predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Kullback and Leibler, "On Information and Sufficiency", 1951, section 2.

    >>> kl_divergence_with_log_targets(jnp.log(jnp.array([0.5, 0.5])), [0.0, -jnp.inf])
    Array(0.6931472, dtype=float32)
    """
    q, log_y, axes = _inputs(log_predictions, axis, where, fill=-jnp.inf, log_targets=log_targets)
    y = jnp.exp(log_y)
    terms = y * (jnp.where(log_y == -jnp.inf, 0, log_y) - _zero_if_nobody_asks(q, y))
    return reduced(jnp.sum(terms, axis=axes), weights=weights, reduction=reduction)


def generalized_kl_divergence(
    log_predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    axis: Axes | None = -1,
    where: ArrayOrSequence | None = None,
    *,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of measures that need not sum to 1, the I-divergence.

        loss = sum_c targets_c (log targets_c - log_predictions_c) - targets_c + exp(log_predictions_c)

    It is 0 where the two are equal and positive elsewhere, while the sum of the first terms alone can be negative;
    between probabilities both are the same. Zeros and infinities cost what they do in `kl_divergence`.

    Args:
      log_predictions: logarithms of a measure of each class, shape (..., C, ...).
      targets: a measure of each class, >= 0, the shape of `log_predictions`; not checked. Negative ones give NaN.
      axis: the axis of the classes, or several; None means all.
      where: boolean mask, the shape of `log_predictions`: the classes that take part in the sum; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `log_predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Csiszar, "Why Least Squares and Maximum Entropy?", 1991, section 1.

    >>> generalized_kl_divergence([0.0, 0.0], [1.0, 2.0])
    Array(0.38629436, dtype=float32)
    """
    q, y, axes = _inputs(log_predictions, axis, where, targets=targets)
    return reduced(jnp.sum(_convex_terms(q, y), axis=axes), weights=weights, reduction=reduction)


def convex_kl_divergence(
    log_predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    axis: Axes | None = -1,
    where: ArrayOrSequence | None = None,
    *,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence with the terms that make each summand convex and >= 0.

        loss = sum_c targets_c (log targets_c - log_predictions_c) - targets_c + exp(log_predictions_c)

    This is `generalized_kl_divergence` by the name it has in convex optimisation, where it is taken of probabilities
    that are still on their way to sum to 1.

    Args:
      log_predictions: logarithms of a measure of each class, shape (..., C, ...).
      targets: a measure of each class, >= 0, the shape of `log_predictions`; not checked. Negative ones give NaN.
      axis: the axis of the classes, or several; None means all.
      where: boolean mask, the shape of `log_predictions`: the classes that take part in the sum; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `log_predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Boyd and Vandenberghe, "Convex Optimization", 2004, equation 3.17.

    >>> convex_kl_divergence([0.0, 0.0], [1.0, 2.0])
    Array(0.38629436, dtype=float32)
    """
    return generalized_kl_divergence(log_predictions, targets, axis, where, weights=weights, reduction=reduction)


def _inputs(
    log_predictions: ArrayOrSequence,
    axis: Axes | None,
    where: ArrayOrSequence | None,
    fill: float = 0.0,
    **targets: ArrayOrSequence,
) -> tuple[jax.Array, jax.Array, tuple[int, ...]]:
    """Both arrays, where masked with two zero probabilities, and the axes to sum over; the targets' zero is `fill`."""
    q, y = as_floats(log_predictions=log_predictions, **targets)
    (name,) = targets
    require_same_shape("log_predictions", q, name, y)
    mask = as_mask("where", where, "log_predictions", q)
    axes = tuple(range(q.ndim)) if axis is None else class_axes(axis, "log_predictions", q)
    if mask is not None:
        q, y = jnp.where(mask, q, -jnp.inf), jnp.where(mask, y, fill)
    return q, y, axes


def _terms(q: jax.Array, y: jax.Array) -> jax.Array:
    """y (log y - q), with 0 log 0 = 0."""
    log_y = jnp.log(jnp.where(y == 0, 1, y))
    return y * (log_y - _zero_if_nobody_asks(q, y))


def _zero_if_nobody_asks(q: jax.Array, y: jax.Array) -> jax.Array:
    """The log-predictions, but 0 for those of -inf whose target is 0: their product must not become NaN."""
    return jnp.where((y == 0) & (q == -jnp.inf), 0, q)


@jax.custom_jvp
def _convex_terms(q: jax.Array, y: jax.Array) -> jax.Array:
    """y (log y - q) - y + exp q, which rounding would push below 0 where y is almost exp q."""
    return jnp.maximum(_terms(q, y) + (jnp.exp(q) - y), 0)


@_convex_terms.defjvp
def _convex_terms_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (q, y), (dq, dy) = primals, tangents
    log_y = jnp.log(jnp.where(y == 0, 1, y))
    by_y = log_y - _zero_if_nobody_asks(q, y) - jnp.where(y == 0, 1, 0)
    return _convex_terms(q, y), (jnp.exp(q) - y) * dq + by_y * dy

"""Negative log-likelihoods of real numbers and of counts."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.core import check_hyperparameter
from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._reduction import Reduction, per_element

__all__ = ["gaussian_nll_loss", "negative_binomial_nll_loss", "poisson_nll_loss"]


def gaussian_nll_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    variances: ArrayOrSequence,
    *,
    eps: float | jax.Array = 1e-6,
    full: bool = False,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-likelihood of each target under a normal distribution, whose mean and variance are predicted.

        loss = (log v + (targets - predictions)^2 / v) / 2,        v = max(variances, eps)

    and log(2 pi) / 2 if `full`. The gradient by a variance below `eps` is the one at `eps`: where 0 would hold it
    there for ever, it may grow again.

    Args:
      predictions: the means, real numbers of any shape.
      targets: real numbers of the same shape.
      variances: the same shape, not negative (what is negative counts as 0, compiled code cannot raise).
      eps: the least variance, positive, in the unit of the variances.
      full: whether the constant is added.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `eps` is not positive, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994.

    >>> gaussian_nll_loss([1.0, 1.0], [1.0, 3.0], [1.0, 1.0])
    Array([0., 2.], dtype=float32)
    """
    check_hyperparameter("eps", eps, above=0)
    constant = 0.5 * math.log(2 * math.pi) if full else 0.0

    def rule(p: jax.Array, y: jax.Array, v: jax.Array) -> jax.Array:
        v = _at_least(v, jnp.asarray(eps, v.dtype))
        return 0.5 * (jnp.log(v) + jnp.square(y - p) / v) + constant

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        variances=variances,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def poisson_nll_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float | jax.Array = 1e-8,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-likelihood of each count under a Poisson distribution, but for a term without parameters.

        loss = exp(predictions) - targets predictions              if log_input
               predictions - targets log(predictions + eps)        otherwise

    with 0 log 0 = 0. That term, log(targets!), is added by Stirling's formula, targets log targets - targets +
    log(2 pi targets) / 2, if `full`; it is 0 for targets up to 1.

    Args:
      predictions: the logarithms of the means, or the means themselves, which are not negative; any shape.
      targets: counts, the same shape, not negative.
      log_input: whether the predictions are logarithms.
      full: whether the approximation of log(targets!) is added.
      eps: at least 0, keeps the logarithm of a mean of 0 finite; of no effect if `log_input`.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictions`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` unless reduced; float32, or float64 if an argument is. NaN for a mean below
      -eps.

    Raises:
      ValueError: the shapes differ, `eps` is negative, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      McCullagh and Nelder, "Generalized linear models", 1989, section 6.2.

    >>> poisson_nll_loss([0.0, 0.0], [0, 3])
    Array([1., 1.], dtype=float32)
    """
    check_hyperparameter("eps", eps, least=0)

    def rule(p: jax.Array, y: jax.Array) -> jax.Array:
        if log_input:
            loss = jnp.exp(p) - y * _unless_without_count(p, y, -jnp.inf, 0)
        else:
            loss = p - y * jnp.log(_unless_without_count(p + jnp.asarray(eps, p.dtype), y, 0, 1))
        return loss + _stirling(y) if full else loss

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
        fill=1.0,
    )


def negative_binomial_nll_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    concentration: ArrayOrSequence,
    *,
    full: bool = False,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-likelihood of counts that vary more than Poisson's: with variance mu + mu^2 / r.

        mu = exp(predictions),        r = concentration,        y = targets
        loss = (r + y) log(1 + mu / r) - y predictions - log(Gamma(r + y) / (Gamma(r) r^y))

    and log(y!) if `full`; all that depends on r is there always, so that r can be learnt. Towards r = infinity this
    becomes `poisson_nll_loss` (with the exact log(y!)), without a loss of digits. In the terms of other libraries r is
    the number of failures (`total_count`, `n`), the inverse of the dispersion alpha, and mu / r the odds of success.

    Args:
      predictions: the logarithms of the means, any shape.
      targets: counts, the same shape, not negative.
      concentration: the same shape, positive and finite.
      full: whether log(y!) is added.
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
      Hilbe, "Negative binomial regression", 2011, section 8.2 (NB2, with alpha = 1 / r).

    >>> negative_binomial_nll_loss([0.0], [0], [1.0])
    Array([0.6931472], dtype=float32)
    """

    def rule(p: jax.Array, y: jax.Array, r: jax.Array) -> jax.Array:
        loss = _negative_binomial(p, y, r)
        return loss + jax.lax.lgamma(y + 1) if full else loss

    return per_element(
        rule,
        predictions=predictions,
        targets=targets,
        concentration=concentration,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
        fill=1.0,
    )


@jax.custom_jvp
def _at_least(x: jax.Array, least: jax.Array) -> jax.Array:
    """max(x, least), with derivative 1 by `x` also below `least`."""
    return jnp.where(x < least, least, x)


@_at_least.defjvp
def _at_least_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (x, least), (dx, dleast) = primals, tangents
    return _at_least(x, least), dx + jnp.where(x < least, dleast, 0)


def _unless_without_count(x: jax.Array, y: jax.Array, excluded: float, instead: float) -> jax.Array:
    """`x`, or `instead` (a constant) where it is `excluded` and the count 0: 0 log 0 = 0."""
    return jnp.where((y == 0) & (x == excluded), instead, x)


def _stirling(y: jax.Array) -> jax.Array:
    """log(y!) by Stirling's formula, 0 for y <= 1."""
    many = jnp.where(y > 1, y, 2)
    return jnp.where(y > 1, many * jnp.log(many) - many + 0.5 * jnp.log(2 * math.pi * many), 0)


# The negative binomial distribution. Gamma functions of r and r + y, and r log(1 + mu / r), are large numbers with a
# small difference where r is large: there, that difference is what Stirling's series says of it. The derivatives are
# written out for the same reason; they can be differentiated again.

_LARGE = 16.0
"""From here on the terms below are exact in float64."""

_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188)
"""log Gamma(x) = (x - 1/2) log x - x + log(2 pi) / 2 + sum_k SERIES_k x^(-2k - 1)."""


@jax.custom_jvp
def _negative_binomial(z: jax.Array, y: jax.Array, r: jax.Array) -> jax.Array:
    """(r + y) log(1 + mu / r) - y z - D, with mu = exp(z) and D = log(Gamma(r + y) / (Gamma(r) r^y))."""
    return (r + y) * _odds(z, r).log1p - y * _unless_without_count(z, y, -jnp.inf, 0) - _log_rising(y, r)


@_negative_binomial.defjvp
def _negative_binomial_jvp(
    primals: tuple[jax.Array, jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (z, y, r), (dz, dy, dr) = primals, tangents
    odds = _odds(z, r)
    by_z = r * odds.success - y * odds.failure
    log_mean = _unless_without_count(z, y, -jnp.inf, 0)

    small, large = jnp.minimum(r, _LARGE), jnp.maximum(r, _LARGE)
    digamma = jax.lax.digamma(small + y)
    by_y = digamma - jnp.log(small)
    by_r = y / small * odds.failure - digamma + jax.lax.digamma(small)
    x, last = y / large, large + y
    by_y_asymptotic = jnp.log1p(x) - 0.5 / last + _series_slope(last)
    by_r_asymptotic = -x * odds.success - _log1p_less(x) - 0.5 * x / last - _series_slope(last) + _series_slope(large)

    by_y = odds.log1p - log_mean - jnp.where(r > _LARGE, by_y_asymptotic, by_y)
    by_r = odds.excess + jnp.where(r > _LARGE, by_r_asymptotic, by_r)
    return _negative_binomial(z, y, r), by_z * dz + by_y * dy + by_r * dr


class _Odds(NamedTuple):
    """Of the odds a = mu / r."""

    log1p: jax.Array  # log(1 + a)
    success: jax.Array  # the probability a / (1 + a)
    failure: jax.Array  # 1 / (1 + a)
    excess: jax.Array  # log(1 + a) - a / (1 + a), about a^2 / 2 where a is small


def _odds(z: jax.Array, r: jax.Array) -> _Odds:
    log_odds = z - jnp.log(r)
    above = log_odds > 0
    a = jnp.exp(jnp.where(above, -z, z)) * jnp.where(above, r, 1 / r)  # the odds or their inverse, at most 1
    log1p = jnp.maximum(log_odds, 0) + jnp.log1p(a)
    less, more = a / (1 + a), 1 / (1 + a)
    success, failure = jnp.where(above, more, less), jnp.where(above, less, more)
    return _Odds(log1p, success, failure, jnp.where(above, log1p - success, _log1p_less(a) + a * less))


def _log_rising(y: jax.Array, r: jax.Array) -> jax.Array:
    """log(Gamma(r + y) / (Gamma(r) r^y)), the logarithm of (1 + 1/r) ... (1 + (y - 1)/r)."""
    small, large = jnp.minimum(r, _LARGE), jnp.maximum(r, _LARGE)
    x = y / large
    log1p = jnp.log1p(x)
    asymptotic = large * ((1 + x) * _log1p_less(x) + x * x) - 0.5 * log1p + _series(large + y) - _series(large)
    exact = jax.lax.lgamma(small + y) - jax.lax.lgamma(small) - y * jnp.log(small)
    return jnp.where(r > _LARGE, asymptotic, exact)


def _series(x: jax.Array) -> jax.Array:
    w = 1 / jnp.square(x)
    return _polynomial(_SERIES, w) / x


def _series_slope(x: jax.Array) -> jax.Array:
    w = 1 / jnp.square(x)
    return -_polynomial([(2 * k + 1) * c for k, c in enumerate(_SERIES)], w) * w


def _log1p_less(x: jax.Array) -> jax.Array:
    """log(1 + x) - x for x >= 0, to all digits: about -x^2 / 2 where x is small."""
    # log(1 + x) = 2 artanh(t) with t = x / (2 + x); the series is exact in float64 for x <= 1/2.
    t = x / (2 + x)
    near = t * (2 * t * t * _polynomial([1 / (2 * k + 3) for k in range(11)], t * t) - x)
    return jnp.where(x < 0.5, near, jnp.log1p(x) - x)


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    """sum_k coefficients_k x^k."""
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total

"""Losses between logits and the probabilities of yes or no, elementwise."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._powers import along, as_exponent, as_setting, power_and_slope
from optax.losses._reduction import Reduction, per_element

__all__ = ["asymmetric_loss", "sigmoid_binary_cross_entropy"]


def sigmoid_binary_cross_entropy(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The cross entropy between probabilities of yes and the sigmoid of the logits, each on its own.

        loss = - labels log p - (1 - labels) log(1 - p),        p = 1 / (1 + exp(-logits))

    with 0 log 0 = 0: an infinite logit of the right sign costs nothing, in the value and in the gradients.

    Args:
      logits: log-odds of yes, real numbers of any shape.
      labels: probabilities of yes, in [0, 1], the same shape.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `logits`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `logits` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Goodfellow et al., "Deep Learning", 2016, section 6.2.2.2.

    >>> sigmoid_binary_cross_entropy([0.0, 0.0, -jnp.inf], [1.0, 0.3, 0.0])
    Array([0.6931472, 0.6931472, 0.       ], dtype=float32)
    """
    return per_element(
        binary_cross_entropy,
        logits=logits,
        labels=labels,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


@jax.custom_jvp
def binary_cross_entropy(x: jax.Array, y: jax.Array) -> jax.Array:
    """- y log p - (1 - y) log(1 - p), p = sigmoid(x), for arrays of one shape and floating dtype."""
    return cost_of_the_unlikely(x, y) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def _binary_cross_entropy_jvp(primals: tuple[jax.Array, jax.Array], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
    (x, y), (dx, dy) = primals, tangents
    less = jax.nn.sigmoid(-magnitude(x))
    by_x = jnp.where(x >= 0, (1 - y) - less, less - y)
    return binary_cross_entropy(x, y), along(by_x, dx) + along(-finite_unless_wrong(x, y), dy) + jnp.zeros_like(x)


binary_cross_entropy.defjvp(_binary_cross_entropy_jvp, symbolic_zeros=True)


def cost_of_the_unlikely(x: jax.Array, y: jax.Array) -> jax.Array:
    """The cross entropy is at least log(1 + exp(-|x|)); this is how much more, for labels that the sign of x denies.

    Where the sign says yes it is x (1 - y), otherwise -x y: without a difference of large numbers, and 0 also if an
    infinity counts with probability 0.
    """
    return jnp.where(x >= 0, jnp.where(y == 1, 0, x * (1 - y)), jnp.where(y == 0, 0, -x * y))


def finite_unless_wrong(x: jax.Array, y: jax.Array) -> jax.Array:
    """The logits, but 0 for infinite ones that the labels confirm: their entropy is 0, its derivative by y as well."""
    return jnp.where(jnp.isinf(x) & (y == jnp.where(x > 0, 1, 0)), 0, x)


def magnitude(x: jax.Array) -> jax.Array:
    """|x|, with derivative 1 at 0, as it is right where the sign of 0 is taken to be 1; that of `jnp.abs` is 0."""
    return jnp.where(x >= 0, x, -x)


def asymmetric_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    gamma_positive: ArrayLike = 0.0,
    gamma_negative: ArrayLike = 4.0,
    clip: ArrayLike = 0.05,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The binary cross entropy of many labels of which few are positive: easy negatives weigh less or nothing.

        loss = - labels (1 - p)^gamma_positive log p - (1 - labels) q^gamma_negative log(1 - q)
        p    = 1 / (1 + exp(-logits)),        q = max(p - clip, 0)

    Args:
      logits: log-odds of each label, real numbers of any shape.
      labels: probabilities of the labels, in [0, 1], the same shape.
      gamma_positive: how little easy positives weigh, a number >= 0; 0 is the cross entropy.
      gamma_negative: how little easy negatives weigh, a number >= 0; usually larger.
      clip: negatives with a probability of at most this cost nothing, a number in [0, 1).
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `logits`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `logits` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, a number is out of its range, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Ridnik et al., "Asymmetric Loss for Multi-Label Classification", 2021, equations 5 and 6.

    >>> asymmetric_loss([0.0, -3.0], [1.0, 0.0])
    Array([0.6931472, 0.       ], dtype=float32)
    """
    check_hyperparameter("gamma_positive", gamma_positive, least=0)
    check_hyperparameter("gamma_negative", gamma_negative, least=0)
    check_hyperparameter("clip", clip, least=0, below=1)

    def rule(x: jax.Array, y: jax.Array) -> jax.Array:
        positive = _cost_of_yes(-x, jnp.zeros((), x.dtype), *as_exponent("gamma_positive", gamma_positive, x))
        negative = _cost_of_yes(x, as_setting("clip", clip, x), *as_exponent("gamma_negative", gamma_negative, x))
        # An infinite loss that counts with probability 0 is nothing, neither here nor for its derivatives.
        positive = jnp.where((y == 0) & jnp.isinf(positive), 0, positive)
        negative = jnp.where((y == 1) & jnp.isinf(negative), 0, negative)
        return y * positive + (1 - y) * negative

    return per_element(
        rule,
        logits=logits,
        labels=labels,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _cost_of_yes(x: jax.Array, clip: jax.Array, small: int | None, gamma: jax.Array) -> jax.Array:
    """- q^gamma log(1 - q), q = max(sigmoid(x) - clip, 0); the positives' cost is that of no instead, for -x."""
    _, _, t, c = _shifted(x, clip)
    return power_and_slope(t, small, gamma)[0] * c


def _cost_of_yes_jvp(
    small: int | None, primals: tuple[jax.Array, jax.Array, jax.Array], tangents: tuple[Any, Any, Any]
) -> tuple[Any, Any]:
    (x, clip, gamma), (dx, dclip, dgamma) = primals, tangents
    yes, no, t, c = _shifted(x, clip)
    power, slope = power_and_slope(t, small, gamma)
    # no / (1 - t), which is 0 / 0 at infinity if there is no shift.
    share = jnp.where(clip == 0, 1, no / jnp.where(clip == 0, 1, no + clip))
    by_x = jnp.where(yes > clip, (slope * jnp.where(no == 0, 0, c) * no + power * share) * yes, 0)
    by_clip = -jnp.where(yes > clip, slope * c + power / (no + clip), 0)
    by_gamma = power * c * jnp.log(jnp.where(t == 0, 1, t))
    return power * c, along(by_x, dx) + along(by_clip, dclip) + along(by_gamma, dgamma) + jnp.zeros_like(x)


_cost_of_yes.defjvp(_cost_of_yes_jvp, symbolic_zeros=True)


def _shifted(x: jax.Array, clip: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """p = sigmoid(x), 1 - p, t = max(p - clip, 0) and - log(1 - t), all of them to the last digits."""
    a = magnitude(x)
    e = jnp.exp(-a)
    more, less = 1 / (1 + e), e / (1 + e)
    yes, no = jnp.where(x >= 0, more, less), jnp.where(x >= 0, less, more)
    t = jnp.where(yes <= clip, 0, yes - clip)
    softplus = jnp.where(x >= 0, a, 0) + jnp.log1p(e)
    near_one = jnp.where(clip == 0, softplus, -jnp.log(jnp.where(clip == 0, 1, no + clip)))
    near_zero = -jnp.log1p(-jnp.where(t < 0.5, t, 0))
    return yes, no, t, jnp.where(t < 0.5, near_zero, near_one)

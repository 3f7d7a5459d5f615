"""Cross entropies in which what is classified well already weighs less."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._binary import cost_of_the_unlikely, finite_unless_wrong, magnitude
from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._log_space import label_logit, largest, log_sum_exp, nan_unless
from optax.losses._powers import along, as_exponent, as_setting, power_and_slope
from optax.losses._reduction import Reduction, per_element, reduced
from optax.losses._rows import is_label, labelled_rows

__all__ = ["sigmoid_focal_loss", "softmax_focal_loss"]


def sigmoid_focal_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    alpha: ArrayLike | None = None,
    gamma: ArrayLike = 2.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The binary cross entropy, times a power of the probability that the label was not expected to have.

        loss = a (1 - p_t)^gamma (- labels log p - (1 - labels) log(1 - p)),        p = 1 / (1 + exp(-logits))
        p_t  = labels p + (1 - labels)(1 - p),        a = labels alpha + (1 - labels)(1 - alpha)

    Args:
      logits: log-odds of yes, real numbers of any shape.
      labels: probabilities of yes, in [0, 1], the same shape.
      alpha: the weight of positives, in [0, 1], where negatives have 1 - alpha; None: both weigh 1. An array is
        broadcast to the shape of `logits`.
      gamma: how little the well classified weighs, a number >= 0 (or an array, likewise); 0 is the cross entropy. The
        Python numbers 0, 1, 2, 3 and 4 are the fastest.
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
      Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5.

    >>> sigmoid_focal_loss([0.0, 0.0], [1.0, 0.0], alpha=0.25)
    Array([0.0433217, 0.1299651], dtype=float32)
    """
    if alpha is not None:
        check_hyperparameter("alpha", alpha, least=0, most=1, array=True)
    check_hyperparameter("gamma", gamma, least=0, array=True)

    def rule(x: jax.Array, y: jax.Array) -> jax.Array:
        if alpha is None:
            scale = jnp.ones((), x.dtype)
        else:
            a = as_setting("alpha", alpha, x)
            scale = y * a + (1 - y) * (1 - a)
        return _focal(x, y, scale, *as_exponent("gamma", gamma, x))

    return per_element(
        rule,
        logits=logits,
        labels=labels,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _focal(x: jax.Array, y: jax.Array, scale: jax.Array, small: int | None, gamma: jax.Array) -> jax.Array:
    """scale (1 - p_t)^gamma cross_entropy(x, y); 0 where the scale is 0, even if the entropy is infinite."""
    _, _, t, entropy = _unexpected(x, y)
    return jnp.where(scale == 0, 0, scale * (power_and_slope(t, small, gamma)[0] * entropy))


def _focal_jvp(small: int | None, primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (x, y, scale, gamma), (dx, dy, dscale, dgamma) = primals, tangents
    e, w, t, entropy = _unexpected(x, y)
    d, sign = 1 / (1 + e), jnp.where(x >= 0, 1.0, -1.0).astype(x.dtype)
    power, slope = power_and_slope(t, small, gamma)
    by_t = slope * jnp.where(e == 0, 0, entropy)
    by_x = scale * sign * (by_t * (2 * w - 1) * (e * d * d) + power * (w - e * d))
    by_y = -scale * (slope * entropy * sign * (1 - e) * d + power * finite_unless_wrong(x, y))
    by_gamma = scale * power * entropy * jnp.log(jnp.where(t == 0, 1, t))
    tangent = along(by_x, dx) + along(by_y, dy) + along(power * entropy, dscale) + along(by_gamma, dgamma)
    return _focal(x, y, scale, small, gamma), tangent + jnp.zeros_like(x)


_focal.defjvp(_focal_jvp, symbolic_zeros=True)


def _unexpected(x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """e = exp(-|x|), the probability w that the sign of x is wrong, 1 - p_t as a sum of both, and the entropy."""
    e = jnp.exp(-magnitude(x))
    w = jnp.where(x >= 0, 1 - y, y)
    return e, w, (e + w * (1 - e)) / (1 + e), cost_of_the_unlikely(x, y) + jnp.log1p(e)


def softmax_focal_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    alpha: ArrayLike | None = None,
    gamma: ArrayLike = 2.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The cross entropy of several classes, times a power of the probability that the other classes have.

        loss = - alpha_label (1 - p_label)^gamma log p_label,        p_c = exp(logits_c) / sum_k exp(logits_k)

    Args:
      logits: unnormalised log-probabilities, shape (..., C, ...).
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `logits` without `axis`; the loss of an
        index that names no class is NaN, and its gradient is not finite.
      alpha: the weight of all classes, a number >= 0, or of each, an array of shape (C,); None means 1.
      gamma: how little the well classified weighs, a number >= 0; 0 is the cross entropy.
      axis: the axis of the classes; several are counted as one, flattened in the order of the array.
      where: boolean mask, the shape of `logits`: the classes that take part; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `labels` unless reduced; float32, or float64 if the logits are. +inf where the class has
      logit -inf.

    Raises:
      ValueError: the shapes do not fit, a number is out of its range, or `axis` or `reduction` is none.
      TypeError: labels are not integers, logits are not real, or `where` is not boolean.

    Reference:
      Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5, with a softmax.

    >>> softmax_focal_loss([[0.0, 0.0], [0.0, 200.0]], [0, 1])
    Array([0.1732868, 0.       ], dtype=float32)
    """
    if alpha is not None:
        check_hyperparameter("alpha", alpha, least=0, array=True)
    check_hyperparameter("gamma", gamma, least=0)
    z, k, defined, _ = labelled_rows("logits", logits, labels, axis, where)
    s = z - largest(z)
    small, exponent = as_exponent("gamma", gamma, z)
    losses = log_sum_exp(s) - label_logit(s, k) if small == 0 else _softmax_focal(s, k, small, exponent)
    if alpha is not None:
        a = jnp.asarray(alpha).astype(z.dtype)
        if a.shape not in ((), z.shape[-1:]):
            raise ValueError(f"alpha must be a number or have the shape {z.shape[-1:]} of the classes, got {a.shape}")
        losses = (jnp.take(a, k, mode="clip") if a.ndim else a) * losses
    return reduced(nan_unless(defined, losses), weights=weights, reduction=reduction)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _softmax_focal(s: jax.Array, k: jax.Array, small: int | None, gamma: jax.Array) -> jax.Array:
    """(1 - p_k)^gamma (- log p_k), for rows whose maximum is 0."""
    _, _, q, entropy = _label_against_others(s, k)
    return power_and_slope(q, small, gamma)[0] * entropy


def _softmax_focal_jvp(small: int | None, primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[Any, Any]:
    (s, k, gamma), (ds, _, dgamma) = primals, tangents
    p, p_label, q, entropy = _label_against_others(s, k)
    power, slope = power_and_slope(q, small, gamma)
    per_error = power + slope * jnp.where(p_label == 0, 0, entropy) * p_label
    errors = jnp.where(is_label(s, k), -q[..., None], p)
    by_gamma = power * entropy * jnp.log(jnp.where(q == 0, 1, q))
    tangent = per_error * jnp.sum(along(errors, ds) + jnp.zeros_like(p), axis=-1)
    return power * entropy, tangent + along(by_gamma, dgamma)


_softmax_focal.defjvp(_softmax_focal_jvp, symbolic_zeros=True)


def _label_against_others(s: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The softmax, that of the label, q = 1 less that, and - log(1 - q); q as a sum of the others, without a 1."""
    labelled, e = is_label(s, k), jnp.exp(s)
    total = jnp.sum(e, axis=-1)
    empty = total == 0
    total = jnp.where(empty, 1, total)
    q = jnp.where(empty, 1, jnp.sum(jnp.where(labelled, 0, e), axis=-1) / total)
    certain = q < 0.5
    entropy = jnp.where(certain, -jnp.log1p(-jnp.where(certain, q, 0)), jnp.log(total) - label_logit(s, k))
    return e / total[..., None], jnp.exp(label_logit(s, k)) / total, q, entropy

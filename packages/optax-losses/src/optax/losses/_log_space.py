"""Softmax cross entropies of rows of logits: safe at -inf, exact in the last digits, cheap to differentiate.

Everything is said of s = z - max z, which no softmax notices: the logarithm of the normaliser then lies between 0
and log C and does not lose its digits to a large logit it shares a sum with.

A class with s = -inf has probability 0. The normaliser of a row that has no other class is taken to be 1 (its
logarithm 0), so that one -inf is never subtracted from another: such a row has no class, but no NaN either.

What a loss by integer labels needs of a row of logits are four numbers (`Row`), whether the logits exist all at once
or a block at a time.

The derivatives are written out, as forward rules, so that a compiler sees one elementwise expression per gradient,
without a scatter and without intermediates of the size of the logits. They can be differentiated again.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

__all__ = [
    "Row",
    "capped",
    "cross_entropy",
    "is_zero",
    "label_logit",
    "largest",
    "log_sum_exp",
    "nan_unless",
    "one_class_loss",
    "softmax",
]


class Row(NamedTuple):
    """What a loss by integer labels needs of each row of logits z; all of the shape of the labels.

    Attributes:
      m: their largest, as `largest` has it: a constant for derivatives.
      log_total: log sum_c exp(z_c - m).
      label: z_k.
      mean: the mean of z over the classes, or None if no loss asks for it.
    """

    m: jax.Array
    log_total: jax.Array
    label: jax.Array
    mean: jax.Array | None


def one_class_loss(row: Row, label_smoothing: ArrayLike, z_loss: ArrayLike) -> jax.Array:
    """The cross entropy of softmax(z) with (1 - a) e_k + a / C, plus b (log sum_c exp z_c)^2.

    Args:
      row: what there is to know of the logits.
      label_smoothing: a; used if the row has a mean.
      z_loss: b.

    Returns:
      The losses.
    """
    m, log_total, label, mean = row
    if mean is None:
        loss = log_total - (label - m)
    else:
        a = jnp.asarray(label_smoothing, m.dtype)
        # the mean is -inf if one class is impossible, which costs nothing unless it is asked for
        loss = log_total - (1 - a) * (label - m) - jnp.where(a == 0, 0, a * (mean - m))
    if is_zero(z_loss):
        return loss
    return loss + jnp.asarray(z_loss, m.dtype) * jnp.square(m + log_total)


def is_zero(x: ArrayLike) -> bool:
    """Whether an option is known to be 0, so that what it multiplies need not be computed."""
    return isinstance(x, float | int) and x == 0


def capped(z: jax.Array, soft_cap: ArrayLike | None) -> jax.Array:
    """cap tanh(z / cap), but logits of -inf stay: their classes are impossible."""
    if soft_cap is None:
        return z
    cap = jnp.asarray(soft_cap, z.dtype)
    return jnp.where(z == -jnp.inf, z, cap * jnp.tanh(z / cap))


def largest(z: jax.Array) -> jax.Array:
    """What to subtract from each row of logits: its maximum, or 0 if that is not finite; a constant for derivatives.

    Args:
      z: logits, shape (..., C).

    Returns:
      Shape (..., 1), the dtype of `z`.
    """
    m = jnp.max(jax.lax.stop_gradient(z), axis=-1, keepdims=True)
    return jnp.where(jnp.isfinite(m), m, 0)


@jax.custom_jvp
def log_sum_exp(s: jax.Array) -> jax.Array:
    """log sum_c exp(s_c) over the last axis, for rows whose maximum is 0; 0 for a row of -inf.

    Args:
      s: logits less their largest, shape (..., C).

    Returns:
      Shape (...), the dtype of `s`.
    """
    return jnp.log(_weights(s)[1])[..., 0]


@log_sum_exp.defjvp
def _log_sum_exp_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (s,), (ds,) = primals, tangents
    e, total = _weights(s)
    return log_sum_exp(s), jnp.sum(e / total * ds, axis=-1)


def _weights(s: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(s), and its sum over the last axis, which is kept; the softmax is their quotient."""
    e = jnp.exp(s)
    total = jnp.sum(e, axis=-1, keepdims=True)
    return e, jnp.where(total == 0, 1, total)


@jax.custom_jvp
def softmax(s: jax.Array) -> jax.Array:
    """exp(s_c) / sum_k exp(s_k) over the last axis, for rows whose maximum is 0; 0 for a row of -inf.

    Args:
      s: logits less their largest, shape (..., C).

    Returns:
      The shape and dtype of `s`.
    """
    e, total = _weights(s)
    return e / total


@softmax.defjvp
def _softmax_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    p, (ds,) = softmax(*primals), tangents
    return p, p * (ds - jnp.sum(p * ds, axis=-1, keepdims=True))


@jax.custom_jvp
def cross_entropy(s: jax.Array, y: jax.Array) -> jax.Array:
    """- sum_c y_c log p_c over the last axis, p = softmax(s), with 0 log 0 = 0 also in the derivatives.

    Args:
      s: logits less their largest, shape (..., C).
      y: label probabilities, the shape and dtype of `s`.

    Returns:
      Shape (...), the dtype of `s`.
    """
    minus_log_p = log_sum_exp(s)[..., None] - s
    return jnp.sum(_unless_zero(y, s, y * minus_log_p), axis=-1)


@cross_entropy.defjvp
def _cross_entropy_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (s, y), (ds, dy) = primals, tangents
    e, total = _weights(s)
    slope = e / total * jnp.sum(y, axis=-1, keepdims=True) - y
    minus_log_p = jnp.log(total) - s
    return cross_entropy(s, y), jnp.sum(slope * ds + _unless_zero(y, s, minus_log_p) * dy, axis=-1)


def _unless_zero(y: jax.Array, s: jax.Array, term: jax.Array) -> jax.Array:
    """`term`, and 0 where a label of 0 meets a class of probability 0."""
    return jnp.where((y == 0) & (s == -jnp.inf), 0, term)


@jax.custom_jvp
def label_logit(z: jax.Array, k: jax.Array) -> jax.Array:
    """z_k; for an index out of range that of the nearest class.

    The derivative is a comparison per class, which a compiler fuses with its neighbours, and not the scatter into
    an array of zeros that the transpose of a gather is.

    Args:
      z: logits, shape (..., C).
      k: class indices, shape (...).

    Returns:
      Shape (...), the dtype of `z`.
    """
    return jnp.take_along_axis(z, _inside(z, k), axis=-1, mode="clip")[..., 0]


@label_logit.defjvp
def _label_logit_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (z, k), (dz, _) = primals, tangents
    labelled = jax.lax.broadcasted_iota(k.dtype, z.shape, z.ndim - 1) == _inside(z, k)
    return label_logit(z, k), jnp.sum(jnp.where(labelled, dz, 0), axis=-1)


def _inside(z: jax.Array, k: jax.Array) -> jax.Array:
    return jnp.clip(k, 0, z.shape[-1] - 1)[..., None]


@jax.custom_jvp
def nan_unless(defined: jax.Array, loss: jax.Array) -> jax.Array:
    """`loss` where it is `defined` and NaN elsewhere, with a derivative that is infinite there, unless masked.

    A caller who replaces undefined losses, `jnp.where(keep, loss, 0)`, gets the gradient 0 from them: the derivative
    of a NaN that nobody uses must not become 0 * NaN.

    Args:
      defined: boolean, any shape.
      loss: the same shape.

    Returns:
      The same shape, the dtype of `loss`.
    """
    return jnp.where(defined, loss, jnp.nan)


@nan_unless.defjvp
def _nan_unless_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (defined, loss), (_, t) = primals, tangents
    return nan_unless(defined, loss), jnp.where(defined, t, 0) + _infinite_unless_zero(jnp.where(defined, 0, t))


def _infinite_unless_zero(t: jax.Array) -> jax.Array:
    """0 for 0 and an infinity for everything else, as a map that is linear for JAX and its own transpose."""
    big = float(np.finfo(t.dtype).max)
    return big * jax.lax.reduce_precision(big * t, exponent_bits=5, mantissa_bits=10)

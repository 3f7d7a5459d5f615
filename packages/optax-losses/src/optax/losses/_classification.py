"""Losses between logits and classes."""

import jax
import jax.numpy as jnp

from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_classes,
    as_floats,
    as_mask,
    class_axes,
    flatten_last,
    require_same_shape,
)
from optax.losses._log_space import cross_entropy, label_logit, largest, log_sum_exp, nan_unless

__all__ = ["softmax_cross_entropy", "softmax_cross_entropy_with_integer_labels"]


def softmax_cross_entropy(
    logits: ArrayOrSequence, labels: ArrayOrSequence, axis: Axes = -1, where: ArrayOrSequence | None = None
) -> jax.Array:
    """The cross entropy between label probabilities and the softmax of the logits.

        loss = - sum_c labels_c log p_c,        p_c = exp(logits_c) / sum_k exp(logits_k)

    with 0 log 0 = 0: a class with logit -inf has probability 0 and costs nothing unless its label is positive, in
    the value and in the gradient.

    Args:
      logits: unnormalised log-probabilities, shape (..., C, ...).
      labels: probabilities of the classes, the shape of `logits`; not checked to be >= 0 or to sum to 1.
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of `logits`: the classes that take part in both sums; None means all. A row
        in which none does has loss 0.

    Returns:
      The losses, shape of `logits` without `axis`; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` is not an axis of `logits`.
      TypeError: logits or labels are not real, or `where` is not boolean.

    Reference:
      Goodfellow et al., "Deep Learning", 2016, section 6.2.2.3.

    >>> softmax_cross_entropy([0.0, 0.0, -jnp.inf], [0.5, 0.5, 0.0])
    Array(0.6931472, dtype=float32)
    """
    z, y = as_floats(logits=logits, labels=labels)
    require_same_shape("logits", z, "labels", y)
    mask = as_mask("where", where, "logits", z)
    axes = class_axes(axis, "logits", z)

    z, y = flatten_last(z, axes), flatten_last(y, axes)
    if mask is not None:
        mask = flatten_last(mask, axes)
        z, y = jnp.where(mask, z, -jnp.inf), jnp.where(mask, y, 0)
    return cross_entropy(z - largest(z), y)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayOrSequence, labels: ArrayOrSequence, axis: Axes = -1, where: ArrayOrSequence | None = None
) -> jax.Array:
    """The negative log-probability of the labelled class under the softmax of the logits.

        loss = - log p_label,        p_c = exp(logits_c) / sum_k exp(logits_k)

    A label that names no class (negative, too large, or left out by `where`) has loss NaN, and its row of the
    gradient is not finite either: compiled code cannot raise, and any number would be wrong. -1 is not the last
    class. Labels that only fill a row up are fine if that loss is replaced: `jnp.where(keep, losses, 0)` has gradient
    0 there. No one-hot array is made.

    Args:
      logits: unnormalised log-probabilities, shape (..., C, ...).
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `logits` without `axis`.
      axis: the axis of the classes; several are counted as one, flattened in the order of the array.
      where: boolean mask, the shape of `logits`: the classes that take part; None means all.

    Returns:
      The losses, shape of `labels`; float32, or float64 if the logits are. +inf where the class has logit -inf.

    Raises:
      ValueError: the shapes do not fit, or `axis` is not an axis of `logits`.
      TypeError: labels are not integers, logits are not real, or `where` is not boolean.

    >>> softmax_cross_entropy_with_integer_labels([[0.0, 0.0], [0.0, 0.0]], [1, 2])
    Array([0.6931472,       nan], dtype=float32)
    """
    (z,) = as_floats(logits=logits)
    mask = as_mask("where", where, "logits", z)
    axes = class_axes(axis, "logits", z)
    k = as_classes(labels, axis, "logits", z, " (probabilities of the classes go to softmax_cross_entropy)")

    z = flatten_last(z, axes)
    defined = (k >= 0) & (k < z.shape[-1])
    if mask is not None:
        mask = flatten_last(mask, axes)
        z = jnp.where(mask, z, -jnp.inf)
        defined &= label_logit(mask, k)
    m = largest(z)
    return nan_unless(defined, log_sum_exp(z - m) - (label_logit(z, k) - m[..., 0]))

"""Losses between logits and classes."""

import operator

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_floats,
    as_mask,
    class_axes,
    flatten_last,
    require_same_shape,
)
from optax.losses._log_space import (
    Row,
    capped,
    cross_entropy,
    is_zero,
    label_logit,
    largest,
    log_sum_exp,
    nan_unless,
    one_class_loss,
    softmax,
)
from optax.losses._reduction import Reduction, reduced
from optax.losses._rows import labelled_rows

__all__ = [
    "poly_loss_cross_entropy",
    "safe_softmax_cross_entropy",
    "smooth_labels",
    "softmax_cross_entropy",
    "softmax_cross_entropy_with_integer_labels",
]


def softmax_cross_entropy(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    *,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
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
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `logits` without `axis`, unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is not an axis of `logits`, or `reduction` is none.
      TypeError: logits or labels are not real, or `where` is not boolean.

    Reference:
      Goodfellow et al., "Deep Learning", 2016, section 6.2.2.3.

    >>> softmax_cross_entropy([0.0, 0.0, -jnp.inf], [0.5, 0.5, 0.0])
    Array(0.6931472, dtype=float32)
    """
    s, y = _shifted(logits, labels, axis, where)
    return reduced(cross_entropy(s, y), weights=weights, reduction=reduction)


def safe_softmax_cross_entropy(logits: ArrayOrSequence, labels: ArrayOrSequence) -> jax.Array:
    """`softmax_cross_entropy` over the last axis, by the name of the form that bears logits of -inf: here both do.

    Args:
      logits: unnormalised log-probabilities, shape (..., C).
      labels: probabilities of the classes, the shape of `logits`.

    Returns:
      The losses, shape (...); float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ.
      TypeError: logits or labels are not real.
    """
    return softmax_cross_entropy(logits, labels)


def poly_loss_cross_entropy(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    epsilon: ArrayLike = 2.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The cross entropy with another weight for the first term of its expansion in powers of 1 - p.

        loss = sum_c labels_c (- log p_c + epsilon (1 - p_c)),        p = softmax(logits)

    Args:
      logits: unnormalised log-probabilities, shape (..., C, ...).
      labels: probabilities of the classes, the shape of `logits`.
      epsilon: what is added to the coefficient 1 of the first term; >= -1. 0 is the cross entropy.
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of `logits`: the classes that take part; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `logits` without `axis`, unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is not an axis of `logits`, or `epsilon` or `reduction` is none.
      TypeError: logits or labels are not real, or `where` is not boolean.

    Reference:
      Leng et al., "PolyLoss", 2022, https://arxiv.org/abs/2204.12511, equation 6.
    """
    check_hyperparameter("epsilon", epsilon, least=-1)
    s, y = _shifted(logits, labels, axis, where)
    losses = cross_entropy(s, y) + jnp.asarray(epsilon, s.dtype) * jnp.sum(y * (1 - softmax(s)), axis=-1)
    return reduced(losses, weights=weights, reduction=reduction)


def smooth_labels(
    labels: ArrayOrSequence, alpha: ArrayLike, *, axis: Axes = -1, where: ArrayOrSequence | None = None
) -> jax.Array:
    """Label probabilities mixed with the uniform ones.

        smoothed = (1 - alpha) labels + alpha / C

    For integer labels there is `label_smoothing` in `softmax_cross_entropy_with_integer_labels`, without an array of
    the size of the logits.

    Args:
      labels: probabilities of the classes, shape (..., C, ...); integers and booleans too, as one-hot rows are.
      alpha: the share of the uniform probabilities, in [0, 1].
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of `labels`: the C classes that take part; the others get 0. None means all.

    Returns:
      The smoothed labels, the shape of `labels`; float32, or float64 if the labels are.

    Raises:
      ValueError: alpha is out of range, `axis` is not an axis of `labels`, or `where` has another shape.
      TypeError: the labels are not real, or `where` is not boolean.

    Reference:
      Szegedy et al., "Rethinking the Inception architecture", 2016, https://arxiv.org/abs/1512.00567, section 7.

    >>> smooth_labels([0, 1, 0, 0], 0.5)
    Array([0.125, 0.625, 0.125, 0.125], dtype=float32)
    """
    check_hyperparameter("alpha", alpha, least=0, most=1)
    (y,) = as_floats(labels=labels)
    mask = as_mask("where", where, "labels", y)
    axes = class_axes(axis, "labels", y)
    kept = jnp.ones(y.shape, bool) if mask is None else mask
    a = jnp.asarray(alpha, y.dtype)
    count = jnp.sum(kept, axis=axes, keepdims=True, dtype=y.dtype)
    return jnp.where(kept, (1 - a) * y + a / jnp.maximum(count, 1), 0)


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    *,
    ignore_index: int | None = None,
    label_smoothing: ArrayLike = 0.0,
    z_loss: ArrayLike = 0.0,
    soft_cap: ArrayLike | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-probability of the labelled class under the softmax of the logits.

        loss = - log p_label,        p_c = exp(logits_c) / sum_k exp(logits_k)

    A label that names no class (negative, too large, or left out by `where`) has loss NaN, and its row of the
    gradient is not finite either: compiled code cannot raise, and any number would be wrong. -1 is not the last
    class. Labels that only fill a row up are named by `ignore_index` or have weight 0. No one-hot array is made.

    Args:
      logits: unnormalised log-probabilities, shape (..., C, ...).
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `logits` without `axis`.
      axis: the axis of the classes; several are counted as one, flattened in the order of the array.
      where: boolean mask, the shape of `logits`: the classes that take part; None means all.
      ignore_index: the label of rows that do not count: loss 0, gradient 0, not in the mean. None means none.
      label_smoothing: a in [0, 1): the labels become (1 - a) e_label + a / C over the C classes that take part.
      z_loss: b >= 0: b (log sum_k exp(logits_k))^2 is added, which keeps the logits near their normalised values.
      soft_cap: a bound > 0: the logits become soft_cap tanh(logits / soft_cap) first; those of -inf stay.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `labels`, unless reduced; float32, or float64 if the logits are. +inf where the class has
      logit -inf.

    Raises:
      ValueError: the shapes do not fit, `axis` is not an axis of `logits`, or an option is out of range.
      TypeError: labels are not integers, logits are not real, or `where` is not boolean.

    Reference:
      z_loss: Chowdhery et al., "PaLM", 2022, https://arxiv.org/abs/2204.02311, section 5; soft_cap: Gemma Team,
      "Gemma 2", 2024, https://arxiv.org/abs/2408.00118, section 2.

    >>> softmax_cross_entropy_with_integer_labels([[0.0, 0.0], [0.0, 0.0]], [1, 2])
    Array([0.6931472,       nan], dtype=float32)
    """
    check_one_class_options(label_smoothing, z_loss, soft_cap)
    z, k, defined, mask = labelled_rows(
        "logits", logits, labels, axis, where, " (probabilities of the classes go to softmax_cross_entropy)"
    )
    kept = None if ignore_index is None else k != operator.index(ignore_index)
    if kept is not None:
        z = jnp.where(kept[..., None], z, 0)
        defined |= ~kept
    z = capped(z, soft_cap)
    mean = None
    if not is_zero(label_smoothing):
        count = z.shape[-1] if mask is None else jnp.maximum(jnp.sum(mask, axis=-1, dtype=z.dtype), 1)
        mean = jnp.sum(z if mask is None else jnp.where(mask, z, 0), axis=-1) / count
    m = largest(z)
    losses = one_class_loss(Row(m[..., 0], log_sum_exp(z - m), label_logit(z, k), mean), label_smoothing, z_loss)
    return reduced(nan_unless(defined, losses), kept=kept, weights=weights, reduction=reduction)


def check_one_class_options(label_smoothing: ArrayLike, z_loss: ArrayLike, soft_cap: ArrayLike | None) -> None:
    """Raise a ValueError that names what is out of range."""
    check_hyperparameter("label_smoothing", label_smoothing, least=0, below=1)
    check_hyperparameter("z_loss", z_loss, least=0)
    if soft_cap is not None:
        check_hyperparameter("soft_cap", soft_cap, above=0)


def _shifted(
    logits: ArrayOrSequence, labels: ArrayOrSequence, axis: Axes, where: ArrayOrSequence | None
) -> tuple[jax.Array, jax.Array]:
    """The logits less their largest and the label probabilities, classes last; -inf and 0 for those left out."""
    z, y = as_floats(logits=logits, labels=labels)
    require_same_shape("logits", z, "labels", y)
    mask = as_mask("where", where, "logits", z)
    axes = class_axes(axis, "logits", z)

    z, y = flatten_last(z, axes), flatten_last(y, axes)
    if mask is not None:
        mask = flatten_last(mask, axes)
        z, y = jnp.where(mask, z, -jnp.inf), jnp.where(mask, y, 0)
    return z - largest(z), y

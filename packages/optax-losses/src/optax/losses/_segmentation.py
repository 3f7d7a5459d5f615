"""Losses between masks: how far the regions of predicted classes are from those of the targets.

All but the Lovasz losses are shares of what is wrong in what is looked at: with the soft counts TP, FP and FN of true
and false positives and of false negatives,

    (alpha FP + beta FN) / (TP + alpha FP + beta FN + smooth),

which is Dice's loss for alpha = beta = 1/2 and Jaccard's for 1. The Lovasz losses are convex surrogates of Jaccard's.
"""

import math
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_axes,
    as_classes,
    as_floats,
    as_mask,
    class_axes,
    flatten_last,
    require_same_shape,
)
from optax.losses._log_space import largest, nan_unless, softmax
from optax.losses._reduction import Reduction, reduced

__all__ = [
    "binary_dice_loss",
    "dice_loss",
    "jaccard_loss",
    "lovasz_hinge_loss",
    "lovasz_softmax_loss",
    "multiclass_generalized_dice_loss",
    "tversky_loss",
]

Activation: TypeAlias = Literal["softmax", "sigmoid"] | None


def dice_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    class_weights: ArrayOrSequence | None = None,
    smooth: ArrayLike = 1.0,
    alpha: ArrayLike = 0.5,
    beta: ArrayLike = 0.5,
    apply_softmax: bool = True,
    reduction: Reduction | Literal["none"] = "mean",
    ignore_background: bool = False,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
) -> jax.Array:
    """One minus the Dice coefficient of the predicted and the target region, averaged over the classes.

        loss_c = class_weights_c (1 - (TP_c + smooth) / (TP_c + alpha FP_c + beta FN_c + smooth))

    with the soft counts of `tversky_loss`, whose other defaults it shares.

    Args:
      predictions: logits, or probabilities if `apply_softmax` is False; shape (B, ..., C).
      targets: one-hot or soft labels, the shape of `predictions`.
      class_weights: what the loss of each class is multiplied by, shape (C,); None means 1. A mean is not divided
        by their sum.
      smooth: >= 0, added to numerator and denominator. With 0, a class of which nothing is predicted or wanted
        has loss 0.
      alpha: the cost of false positives, >= 0.
      beta: the cost of false negatives, >= 0.
      apply_softmax: whether the predictions are logits, of which the softmax over the classes is taken.
      reduction: what becomes of the classes of each example: "mean" (also over `weights`), "sum", None or "none".
      ignore_background: whether the first class is left out, unless it is the only one.
      axis: the axis or axes of the pixels, which are summed over; None means all but the first and the last.
      where: boolean mask, the shape of `predictions` without the classes: the pixels that count; or the shape of
        `predictions`: the classes that take part at each pixel.
      weights: what each loss is multiplied by, the shape of the losses before the reduction, (B, C) or (B, C - 1)
        without background; None means 1. Weight 0 leaves a loss out.

    Returns:
      The losses, shape (B,), or (B, C) without a reduction; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, `axis` or `reduction` is none, or a number is out of its range.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Milletari et al., "V-Net", 2016, section 3.

    >>> dice_loss([[[20.0, 0.0], [0.0, 20.0]]], [[[1.0, 0.0], [1.0, 0.0]]], reduction="none")
    Array([[0.2       , 0.33333334]], dtype=float32)
    """
    p, y = _probabilities(predictions, targets, where, "softmax" if apply_softmax else None)
    w = None if class_weights is None else _class_weights(class_weights, p)
    first = 1 if ignore_background and p.shape[-1] > 1 else 0
    losses = _tversky(p[..., first:], y[..., first:], _pixel_axes(axis, p), alpha, beta, smooth)
    return _over_classes(losses, None if w is None else w[first:], weights, reduction)


def multiclass_generalized_dice_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    smooth: ArrayLike = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = "mean",
) -> jax.Array:
    """The Dice loss with classes weighted by the inverse square of their size, so that small ones count.

        loss = mean over the classes of w_c dice_c,    w_c = C n_c^-2 / sum_k n_k^-2,    n_c = sum of targets_c

    where n is counted over the batch, and dice_c is the loss of `dice_loss` for each class. A class that the batch
    lacks has weight 0: its false positives are false negatives of the others.

    Args:
      predictions: logits, or probabilities if `apply_softmax` is False; shape (B, ..., C).
      targets: one-hot or soft labels, the shape of `predictions`.
      smooth: >= 0, added to numerator and denominator, as in `dice_loss`.
      apply_softmax: whether the predictions are logits, of which the softmax over the classes is taken.
      ignore_background: whether the first class is left out of the mean, unless it is the only one; w is the same.
      where: boolean mask, the shape of `predictions` without the classes: the pixels that count; or the shape of
        `predictions`: the classes that take part at each pixel.
      weights: what the loss of each example is multiplied by, shape (B,); None means 1.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The loss, of shape () unless `reduction` is None: then (B,); float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, `reduction` is none, or `smooth` is below 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Sudre et al., "Generalised Dice Overlap as a Deep Learning Loss Function", 2017, section 2, for the weights.

    >>> y = [[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]
    >>> multiclass_generalized_dice_loss(y, y, apply_softmax=False)
    Array(0., dtype=float32)
    """
    p, y = _probabilities(predictions, targets, where, "softmax" if apply_softmax else None)
    size = jnp.sum(y, axis=tuple(range(y.ndim - 1)))
    some = size > 0
    smallest = jax.lax.stop_gradient(jnp.min(jnp.where(some, size, jnp.inf)))  # cancels; squares stay in range
    w = jnp.where(some, jnp.square(smallest / jnp.where(some, size, 1)), 0)
    total = jnp.sum(w)
    w = p.shape[-1] * w / jnp.where(total == 0, 1, total)
    first = 1 if ignore_background and p.shape[-1] > 1 else 0
    losses = _tversky(p[..., first:], y[..., first:], _pixel_axes(None, p), 0.5, 0.5, smooth)
    return reduced(_over_classes(losses, w[first:], None, "mean"), weights=weights, reduction=reduction)


def binary_dice_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    smooth: ArrayLike = 1.0,
    apply_sigmoid: bool = True,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """One minus the Dice coefficient of the predicted and the target region of each example.

        loss = 1 - (TP + smooth) / (TP + FP / 2 + FN / 2 + smooth)

    with the soft counts of `tversky_loss` over all pixels of the example.

    Args:
      predictions: logits, or probabilities if `apply_sigmoid` is False; shape (B, ...).
      targets: 0 or 1, or something between; the shape of `predictions`.
      smooth: >= 0, added to numerator and denominator. With 0, an example in which nothing is predicted or wanted
        has loss 0.
      apply_sigmoid: whether the predictions are logits, of which the sigmoid is taken.
      where: boolean mask, the shape of `predictions`: the pixels that count; None means all.
      weights: what each loss is multiplied by, shape (B,); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (B,) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `reduction` is none, or `smooth` is below 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Milletari et al., "V-Net", 2016, section 3.

    >>> binary_dice_loss([[1.0, 1.0, 0.0]], [[1.0, 0.0, 0.0]], apply_sigmoid=False, smooth=0.0)
    Array([0.33333334], dtype=float32)
    """
    p, y = _probabilities(predictions, targets, where, "sigmoid" if apply_sigmoid else None)
    losses = _tversky(p, y, tuple(range(1, p.ndim)), 0.5, 0.5, smooth)
    return reduced(losses, weights=weights, reduction=reduction)


def tversky_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    alpha: ArrayLike = 0.5,
    beta: ArrayLike = 0.5,
    gamma: ArrayLike = 1.0,
    smooth: ArrayLike = 1.0,
    activation: Activation = "softmax",
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """One minus the Tversky index of the predicted and the target region of each class; focal if gamma is not 1.

        loss = (1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth))^(1 / gamma),
        TP = sum p y,   FP = sum p (1 - y),   FN = sum (1 - p) y        over the pixels of an example

    where p are the predicted probabilities and y the targets. alpha = beta = 1/2 is the Dice loss, 1 the Jaccard
    loss. With gamma > 1 the slope at loss 0, which is infinite, is taken to be 0.

    Args:
      predictions: logits, or probabilities if `activation` is None; shape (B, ..., C).
      targets: one-hot, multi-hot or soft labels, the shape of `predictions`.
      alpha: the cost of false positives, >= 0.
      beta: the cost of false negatives, >= 0.
      gamma: > 0. Above 1 it lets the classes count that are already good; the paper has 4/3.
      smooth: >= 0, added to numerator and denominator. With 0, a class of which nothing is predicted or wanted
        has loss 0.
      activation: what makes probabilities of the predictions: "softmax" over the classes, "sigmoid" of each class
        for itself, or None.
      axis: the axis or axes of the pixels, which are summed over; None means all but the first and the last.
      where: boolean mask, the shape of `predictions` without the classes: the pixels that count; or the shape of
        `predictions`: the classes that take part at each pixel.
      weights: what each loss is multiplied by, shape (B, C); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (B, C) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, `axis`, `reduction` or `activation` is none, or a number out of its range.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Salehi et al., "Tversky Loss Function for Image Segmentation", 2017, equation 4; Abraham and Khan, "A Novel
      Focal Tversky Loss Function", 2018, equation 4.

    >>> tversky_loss([[[1.0], [1.0]]], [[[1.0], [0.0]]], alpha=0.25, smooth=0.0, activation=None)
    Array([[0.2]], dtype=float32)
    """
    check_hyperparameter("gamma", gamma, above=0.0)
    p, y = _probabilities(predictions, targets, where, activation)
    losses = _tversky(p, y, _pixel_axes(axis, p), alpha, beta, smooth)
    if isinstance(gamma, jax.core.Tracer) or gamma != 1:
        none = losses == 0
        losses = jnp.where(none, 0, jnp.where(none, 1, losses) ** (1 / jnp.asarray(gamma, losses.dtype)))
    return reduced(losses, weights=weights, reduction=reduction)


def jaccard_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    smooth: ArrayLike = 1.0,
    activation: Activation = "softmax",
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """One minus the soft Jaccard index (intersection over union) of the predicted and the target region of each class.

        loss = 1 - (TP + smooth) / (TP + FP + FN + smooth)

    the Tversky loss with alpha = beta = 1. With smooth = 0 the Dice loss is loss / (2 - loss).

    Args:
      predictions: logits, or probabilities if `activation` is None; shape (B, ..., C).
      targets: one-hot, multi-hot or soft labels, the shape of `predictions`.
      smooth: >= 0, added to numerator and denominator. With 0, a class of which nothing is predicted or wanted
        has loss 0.
      activation: what makes probabilities of the predictions: "softmax" over the classes, "sigmoid" of each class
        for itself, or None.
      axis: the axis or axes of the pixels, which are summed over; None means all but the first and the last.
      where: boolean mask, the shape of `predictions` without the classes: the pixels that count; or the shape of
        `predictions`: the classes that take part at each pixel.
      weights: what each loss is multiplied by, shape (B, C); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (B, C) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, `axis`, `reduction` or `activation` is none, or `smooth` is below 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks", 2016, equations 2 to 4.

    >>> jaccard_loss([[[1.0], [1.0]]], [[[1.0], [0.0]]], smooth=0.0, activation=None)
    Array([[0.5]], dtype=float32)
    """
    return tversky_loss(
        predictions,
        targets,
        alpha=1.0,
        beta=1.0,
        smooth=smooth,
        activation=activation,
        axis=axis,
        where=where,
        weights=weights,
        reduction=reduction,
    )


def lovasz_hinge_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Lovasz extension of the Jaccard loss of each image, at the hinge errors of its pixels.

        loss = sum_i max(e_i, 0) (J_i - J_(i-1)),    e = 1 - logits (2 labels - 1), in descending order

    where J_i is the Jaccard loss of a prediction that is wrong at the first i pixels in this order, and J_0 = 0. It
    is convex and piecewise linear in the logits. Where errors tie, the gradient is one of the subgradients.

    Args:
      logits: the logits of the foreground, shape (B, ...).
      labels: 1 in the foreground and 0 elsewhere, or booleans; the shape of `logits`. Other labels make the loss of
        their image NaN, and its gradient not finite.
      where: boolean mask, the shape of `logits`: the pixels that count; None means all. Without any, the loss is 0.
      weights: what each loss is multiplied by, shape (B,); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (B,) unless reduced; float32, or float64 if the logits are.

    Raises:
      ValueError: the shapes differ, or `reduction` is none.
      TypeError: labels are not integers or booleans, logits are not real, or `where` is not boolean.

    Reference:
      Berman et al., "The Lovasz-Softmax Loss", 2018, equations 9 and 10.

    >>> lovasz_hinge_loss([[2.0, 0.5]], [[1, 1]])
    Array([0.25], dtype=float32)
    """
    (z,) = as_floats(logits=logits)
    k = jnp.asarray(labels)
    if not (jnp.issubdtype(k.dtype, jnp.integer) or k.dtype == jnp.bool_):
        raise TypeError(f"labels must be 0 or 1, of an integer dtype or booleans, got dtype {k.dtype}")
    require_same_shape("logits", z, "labels", k)
    mask = as_mask("where", where, "logits", z)
    z, k = _pixels_last("logits", z), _pixels_last("labels", k)

    positive = k == k.dtype.type(1)
    defined = positive | (k == k.dtype.type(0))
    if mask is not None:
        mask = _pixels_last("where", mask)
        z, positive, defined = jnp.where(mask, z, 0), positive & mask, defined | ~mask
    errors = 1 - jnp.where(positive, z, -z)
    losses = _lovasz(errors if mask is None else jnp.where(mask, errors, -jnp.inf), positive)
    return reduced(nan_unless(jnp.all(defined, axis=-1), losses), weights=weights, reduction=reduction)


def lovasz_softmax_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: int = -1,
    classes: Literal["present", "all"] = "present",
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Lovasz extension of the Jaccard loss of each class in each image, averaged over the classes.

        loss = mean over c of sum_i e_i (J_i - J_(i-1)),    e = |[labels = c] - p_c|, in descending order

    where p is the softmax of the logits and J_i the Jaccard loss of class c if the first i pixels in this order are
    wrong, J_0 = 0. Where errors tie, the gradient is that of one of the orders.

    Args:
      logits: unnormalised log-probabilities of the classes at each pixel; shape (B, ..., C), or the classes at `axis`.
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `logits` without `axis`. A label that
        names no class makes the loss of its image NaN, and its gradient not finite.
      axis: the axis of the classes. The first of the others is that of the images.
      classes: over which classes the mean is: those "present" among the labels of the image, or "all".
      where: boolean mask, the shape of `labels`: the pixels that count; None means all. Without any, the loss is 0.
      weights: what each loss is multiplied by, shape (B,); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (B,) unless reduced; float32, or float64 if the logits are.

    Raises:
      ValueError: the shapes do not fit, or `axis`, `classes` or `reduction` is none.
      TypeError: labels are not integers, logits are not real, or `where` is not boolean.

    Reference:
      Berman et al., "The Lovasz-Softmax Loss", 2018, equations 8, 9 and 11.

    >>> lovasz_softmax_loss([[[0.0, 0.0], [0.0, 0.0]]], [[0, 1]])
    Array([0.5], dtype=float32)
    """
    if classes not in ("present", "all"):
        raise ValueError(f"classes must be 'present' or 'all', got {classes!r}")
    (z,) = as_floats(logits=logits)
    axes = class_axes(axis, "logits", z)
    k = as_classes(labels, axis, "logits", z)
    mask = as_mask("where", where, "labels", k)
    z, k = flatten_last(z, axes), _pixels_last("labels", k)
    z = z.reshape(*k.shape, z.shape[-1])
    defined = (k >= 0) & (k < z.shape[-1])
    if mask is not None:
        mask = _pixels_last("where", mask)
        z, k, defined = jnp.where(mask[..., None], z, 0), jnp.where(mask, k, -1), defined | ~mask

    p = jnp.swapaxes(softmax(z - largest(z)), 1, 2)  # (B, C, pixels): sorted along the last axis
    positive = k[:, None] == jax.lax.broadcasted_iota(k.dtype, p.shape, 1)
    errors = jnp.where(positive, 1 - p, p)
    if mask is not None:
        errors = jnp.where(mask[:, None], errors, -jnp.inf)
    present = jnp.any(positive, axis=-1) if classes == "present" else None
    losses = reduced(_lovasz(errors, positive), weights=present, reduction="mean", axis=-1)
    return reduced(nan_unless(jnp.all(defined, axis=-1), losses), weights=weights, reduction=reduction)


def _probabilities(
    predictions: ArrayOrSequence, targets: ArrayOrSequence, where: ArrayOrSequence | None, activation: Activation
) -> tuple[jax.Array, jax.Array]:
    """Predicted probabilities and targets, both 0 where they do not take part."""
    if activation not in ("softmax", "sigmoid", None):
        raise ValueError(f"activation must be 'softmax', 'sigmoid' or None, got {activation!r}")
    p, y = as_floats(predictions=predictions, targets=targets)
    require_same_shape("predictions", p, "targets", y)
    class_axes(-1, "predictions", p)
    mask = None if where is None else jnp.asarray(where)
    if mask is not None and mask.shape == p.shape[:-1]:
        mask = jnp.broadcast_to(mask[..., None], p.shape)
    mask = as_mask("where", mask, "predictions", p)
    if mask is not None:
        p, y = jnp.where(mask, p, -jnp.inf if activation == "softmax" else 0), jnp.where(mask, y, 0)
    if activation == "softmax":
        return softmax(p - largest(p)), y
    if activation == "sigmoid":
        p = jax.nn.sigmoid(p)
    return (p if mask is None else jnp.where(mask, p, 0)), y


def _pixel_axes(axis: Axes | None, p: jax.Array) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(1, p.ndim - 1))
    axes = as_axes(axis, "predictions", p)
    if p.ndim - 1 in axes:
        raise ValueError(f"axis={axis} names the classes of predictions of shape {p.shape}, not only pixels")
    return axes


def _class_weights(class_weights: ArrayOrSequence, p: jax.Array) -> jax.Array:
    (w,) = as_floats(class_weights=class_weights)
    if w.shape != p.shape[-1:]:
        raise ValueError(
            f"class_weights must have shape {p.shape[-1:]}, one for each class of predictions of shape {p.shape}, "
            f"got {w.shape}"
        )
    return w.astype(p.dtype)


def _over_classes(
    losses: jax.Array,
    class_weights: jax.Array | None,
    weights: ArrayOrSequence | None,
    reduction: Reduction | Literal["none"],
) -> jax.Array:
    """Losses of classes, the last axis, times their weights; reduced over that axis alone."""
    if class_weights is not None:
        losses = losses * jnp.broadcast_to(class_weights, losses.shape)
    if reduction is None or reduction == "none":
        return reduced(losses, weights=weights)
    return reduced(losses, weights=weights, reduction=reduction, axis=-1)


def _tversky(
    p: jax.Array, y: jax.Array, axes: tuple[int, ...], alpha: ArrayLike, beta: ArrayLike, smooth: ArrayLike
) -> jax.Array:
    """(alpha FP + beta FN) / (TP + alpha FP + beta FN + smooth), the counts over `axes`.

    One minus the index, without the subtraction: a prediction that is right has loss 0 to the last digit.
    """
    for name, value in {"alpha": alpha, "beta": beta, "smooth": smooth}.items():
        check_hyperparameter(name, value, least=0.0)
    a, b, s = (jnp.asarray(value, p.dtype) for value in (alpha, beta, smooth))
    right = jnp.sum(p * y, axis=axes) + s
    wrong = a * jnp.sum(p * (1 - y), axis=axes) + b * jnp.sum((1 - p) * y, axis=axes)
    return _share(wrong, right)


@jax.custom_jvp
def _share(part: jax.Array, rest: jax.Array) -> jax.Array:
    """part / (part + rest), and 0 of nothing, with slopes that do not overflow before their factors meet."""
    return part * _inverse(part + rest)


@_share.defjvp
def _share_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (part, rest), (d_part, d_rest) = primals, tangents
    inverse = _inverse(part + rest)
    return _share(part, rest), inverse * (_share(rest, part) * d_part - _share(part, rest) * d_rest)


def _inverse(x: jax.Array) -> jax.Array:
    return jnp.where(x == 0, 0, 1 / jnp.where(x == 0, 1, x))


def _pixels_last(name: str, x: jax.Array) -> jax.Array:
    """Shape (B, pixels)."""
    if x.ndim == 0:
        raise ValueError(f"{name} must have an axis of images, got shape {x.shape}")
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def _lovasz(errors: jax.Array, positive: jax.Array) -> jax.Array:
    """The Lovasz extension of the Jaccard loss over the last axis, at the errors above 0; those of -inf are not there.

    It is linear as long as the order stays what it is, hence written as a product with slopes that are constants for
    derivatives: the sort is not differentiated.
    """
    slopes = _lovasz_slopes(jax.lax.stop_gradient(errors), positive)
    none = (errors <= 0) | ((slopes == 0) & ~jnp.isnan(errors))
    return jnp.sum(jnp.where(none, 0, errors) * slopes, axis=-1)


def _lovasz_slopes(errors: jax.Array, positive: jax.Array) -> jax.Array:
    """By how much the Jaccard loss rises when each error joins those that are larger, in the order of `errors`.

    With n positive pixels, of which k are among the first j, the intersection is I = n - k and the union
    U = n + j - k. A positive pixel takes 1 from the intersection: 1 / U. Another adds 1 to the union:
    I / (U - 1) - I / U. Differences of the index itself would have no digits left in large images.
    """
    position = jax.lax.broadcasted_iota(jnp.int32, errors.shape, errors.ndim - 1)
    # Position and flag travel through the sort as one number, which is cheaper than two.
    _, packed = jax.lax.sort((-errors, 2 * position + positive.astype(jnp.int32)), dimension=-1, num_keys=1)
    hit, origin = packed % 2, packed // 2
    seen = jnp.cumsum(hit, axis=-1)
    intersection = seen[..., -1:] - seen
    union = (seen[..., -1:] + 1 + position - seen).astype(errors.dtype)
    added = jnp.where(union == 1, 1, intersection.astype(errors.dtype) / jnp.maximum(union - 1, 1))
    slopes = jnp.where(hit == 1, 1, added) / union
    return jnp.put_along_axis(jnp.zeros_like(errors), origin, slopes, axis=-1, inplace=False)

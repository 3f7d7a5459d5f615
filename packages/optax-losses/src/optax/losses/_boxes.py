"""Losses between boxes with sides along the axes, by how much they overlap.

Lengths are measured in units of the sides of the box that encloses both: neither areas of tiny boxes nor those of
huge ones leave the range of the numbers.

What is degenerate has a value and a finite gradient too. A box whose corners are in the wrong order is empty: its
width or height counts as 0, but the enclosing box and the centre are those of its corners. Two boxes without any area
have an intersection over union of 0, even if they are equal.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax.losses._inputs import ArrayOrSequence, as_axes, as_floats, as_mask, require_same_shape
from optax.losses._reduction import Reduction, reduced

__all__ = ["ciou_loss", "diou_loss", "giou_loss", "iou_loss"]


class _Pair(NamedTuple):
    """What the losses are made of, for each pair of boxes."""

    iou: jax.Array  # area of the intersection over that of the union
    gap: jax.Array  # the part of the enclosing box that the union leaves empty
    distance: jax.Array  # squared distance of the centres over the squared diagonal of the enclosing box
    predicted: tuple[jax.Array, jax.Array]  # width and height, in units of the enclosing box's longer side
    target: tuple[jax.Array, jax.Array]
    kept: jax.Array | None  # the mask


def iou_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: int = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The part of the union of two boxes that is not in both.

        loss = 1 - iou,        iou = area of the intersection / area of the union

    Between 0 and 1. Boxes without any area have loss 1. The gradient is 0 where the boxes do not meet; the other
    losses of this kind have one there.

    Args:
      predictions: boxes (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, shape (..., 4, ...).
      targets: boxes, the same shape.
      axis: the axis of the four coordinates.
      where: boolean mask, the shape of the losses: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is no axis of length 4, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Yu et al., "UnitBox: an advanced object detection network", 2016 (which takes -log iou).

    >>> iou_loss([0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 1.0])
    Array(0.5, dtype=float32)
    """
    pair = _compare(predictions, targets, axis, where)
    loss = 1 - pair.iou
    return reduced(loss, kept=pair.kept, weights=weights, reduction=reduction)


def giou_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: int = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The loss of `iou_loss`, and what the smallest box around both boxes has of empty space.

        loss = 1 - iou + (C - U) / C

    with the areas U of the union and C of the enclosing box. Between 0 and 2. Where C = 0 the last term is 0.

    Args:
      predictions: boxes (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, shape (..., 4, ...).
      targets: boxes, the same shape.
      axis: the axis of the four coordinates.
      where: boolean mask, the shape of the losses: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is no axis of length 4, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Rezatofighi et al., "Generalized intersection over union", 2019, algorithm 1.

    >>> giou_loss([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 4.0, 4.0])
    Array(1.5, dtype=float32)
    """
    pair = _compare(predictions, targets, axis, where)
    loss = 1 - pair.iou + pair.gap
    return reduced(loss, kept=pair.kept, weights=weights, reduction=reduction)


def diou_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: int = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The loss of `iou_loss`, and how far the centres of the boxes are apart.

        loss = 1 - iou + d^2 / c^2

    with the distance d of the centres and the diagonal c of the smallest box around both boxes. Between 0 and 2.
    Where c = 0 the last term is 0.

    Args:
      predictions: boxes (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, shape (..., 4, ...).
      targets: boxes, the same shape.
      axis: the axis of the four coordinates.
      where: boolean mask, the shape of the losses: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is no axis of length 4, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Zheng et al., "Distance-IoU loss", 2020, equation 7.

    >>> diou_loss([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 4.0, 4.0])
    Array(1.25, dtype=float32)
    """
    pair = _compare(predictions, targets, axis, where)
    loss = 1 - pair.iou + pair.distance
    return reduced(loss, kept=pair.kept, weights=weights, reduction=reduction)


def ciou_loss(
    predictions: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: int = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The loss of `diou_loss`, and how much the shapes of the boxes differ.

        loss = 1 - iou + d^2 / c^2 + alpha v
        v = (4 / pi^2) (arctan(w_t / h_t) - arctan(w_p / h_p))^2
        alpha = v / (1 - iou + v)

    with the widths w and heights h of target and prediction. As in the paper, alpha is a weight that is not
    differentiated. The angle of a box without width and height is 0, and 0 / 0 is 0 in alpha.

    Args:
      predictions: boxes (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, shape (..., 4, ...).
      targets: boxes, the same shape.
      axis: the axis of the four coordinates.
      where: boolean mask, the shape of the losses: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictions` without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` is no axis of length 4, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Zheng et al., "Distance-IoU loss", 2020, equations 8 to 12.

    >>> ciou_loss([0.0, 0.0, 2.0, 2.0], [2.0, 2.0, 4.0, 4.0])
    Array(1.25, dtype=float32)
    """
    pair = _compare(predictions, targets, axis, where)
    v = 4 / math.pi**2 * jnp.square(_angle(*pair.target) - _angle(*pair.predicted))
    alpha = jax.lax.stop_gradient(_quotient(v, 1 - pair.iou + v))
    loss = 1 - pair.iou + pair.distance + alpha * v
    return reduced(loss, kept=pair.kept, weights=weights, reduction=reduction)


def _compare(predictions: ArrayOrSequence, targets: ArrayOrSequence, axis: int, where: ArrayOrSequence | None) -> _Pair:
    """The user's arguments, checked, and all that the losses need of them."""
    p, t = as_floats(predictions=predictions, targets=targets)
    require_same_shape("predictions", p, "targets", t)
    (along,) = as_axes(axis, "predictions", p)
    if p.shape[along] != 4:
        raise ValueError(f"predictions of shape {p.shape} must have the four coordinates of boxes along axis={axis}")
    corners = [[jax.lax.index_in_dim(boxes, i, along, keepdims=False) for i in range(4)] for boxes in (p, t)]
    kept = as_mask("where", where, "the losses", corners[0][0])
    if kept is not None:
        corners = [[jnp.where(kept, x, 0) for x in box] for box in corners]
    (px1, py1, px2, py2), (tx1, ty1, tx2, ty2) = corners

    width = _extent(px1, px2, tx1, tx2)
    height = _extent(py1, py2, ty1, ty2)
    # Units are constants: no quotient of areas depends on that of either axis, nor one of squared distances on both.
    unit_x, unit_y, unit = _unit(width), _unit(height), _unit(jnp.maximum(width, height))

    predicted, target = (_length(px1, px2), _length(py1, py2)), (_length(tx1, tx2), _length(ty1, ty2))
    across = _length(jnp.maximum(px1, tx1), jnp.minimum(px2, tx2)) / unit_x
    down = _length(jnp.maximum(py1, ty1), jnp.minimum(py2, ty2)) / unit_y
    intersection = across * down
    areas = [(w / unit_x) * (h / unit_y) for w, h in (predicted, target)]
    union = areas[0] + areas[1] - intersection
    enclosing = (width / unit_x) * (height / unit_y)
    x = 0.5 * ((px1 - tx1) + (px2 - tx2)) / unit
    y = 0.5 * ((py1 - ty1) + (py2 - ty2)) / unit
    return _Pair(
        iou=_quotient(intersection, union),
        gap=_quotient(enclosing - union, enclosing),
        distance=_quotient(x * x + y * y, jnp.square(width / unit) + jnp.square(height / unit)),
        predicted=(predicted[0] / unit, predicted[1] / unit),
        target=(target[0] / unit, target[1] / unit),
        kept=kept,
    )


def _unit(length: jax.Array) -> jax.Array:
    length = jax.lax.stop_gradient(length)
    return jnp.where(length < np.finfo(length.dtype).tiny, 1, length)


def _length(start: jax.Array, end: jax.Array) -> jax.Array:
    return jnp.maximum(end - start, 0)


def _extent(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> jax.Array:
    """From the least to the greatest: two boxes in all, even if the corners of one are in the wrong order."""
    least = jnp.minimum(jnp.minimum(a, b), jnp.minimum(c, d))
    return jnp.maximum(jnp.maximum(a, b), jnp.maximum(c, d)) - least


@jax.custom_jvp
def _quotient(a: jax.Array, b: jax.Array) -> jax.Array:
    """a / b, and 0, with derivative 0, where b is 0; b is not squared for the derivative, however small it is."""
    return _divided(a, b)


@_quotient.defjvp
def _quotient_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    q = _quotient(a, b)
    return q, _divided(da - q * db, b)


def _divided(a: jax.Array, b: jax.Array) -> jax.Array:
    none = b < np.finfo(b.dtype).tiny
    return jnp.where(none, 0, a) / jnp.where(none, 1, b)


def _angle(width: jax.Array, height: jax.Array) -> jax.Array:
    """arctan(width / height), and 0, with derivative 0, where both are so small that it has none."""
    none = width * width + height * height == 0
    return jnp.arctan2(jnp.where(none, 0, width), jnp.where(none, 1, height))

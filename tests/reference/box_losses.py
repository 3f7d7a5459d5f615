"""Losses between boxes in NumPy, as their definitions read, one pair at a time and in float64."""

import math
from collections.abc import Sequence

Box = Sequence[float]


def area(box: Box) -> float:
    """Width times height."""
    return (box[2] - box[0]) * (box[3] - box[1])


def enclosing(p: Box, t: Box) -> Box:
    """The smallest box that contains both."""
    return min(p[0], t[0]), min(p[1], t[1]), max(p[2], t[2]), max(p[3], t[3])


def overlap(p: Box, t: Box) -> tuple[float, float]:
    """Areas of the intersection and of the union."""
    width, height = min(p[2], t[2]) - max(p[0], t[0]), min(p[3], t[3]) - max(p[1], t[1])
    both = width * height if width > 0 and height > 0 else 0.0
    return both, area(p) + area(t) - both


def iou_loss(p: Box, t: Box) -> float:
    """1 - I / U."""
    both, union = overlap(p, t)
    return 1 - both / union


def giou_loss(p: Box, t: Box) -> float:
    """1 - (I / U - (C - U) / C)."""
    c = area(enclosing(p, t))
    return iou_loss(p, t) + (c - overlap(p, t)[1]) / c


def diou_loss(p: Box, t: Box) -> float:
    """1 - I / U + d^2 / c^2, between centres d and along the diagonal c."""
    c = enclosing(p, t)
    d = math.dist(((p[0] + p[2]) / 2, (p[1] + p[3]) / 2), ((t[0] + t[2]) / 2, (t[1] + t[3]) / 2))
    return iou_loss(p, t) + d**2 / math.dist(c[:2], c[2:]) ** 2


def ciou_loss(p: Box, t: Box) -> float:
    """The same + alpha v."""
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (t, p)]
    v = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    return diou_loss(p, t) + (v * v / (iou_loss(p, t) + v) if v > 0 else 0)

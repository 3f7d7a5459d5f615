"""Projections of one float64 vector, naively: by sorting, and by the textbook formulas."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def simplex(x: Vector, scale: float) -> Vector:
    """max(x - t, 0) for the t that the longest possible run of largest elements gives."""
    descending = np.sort(x)[::-1]
    thresholds = (np.cumsum(descending) - scale) / np.arange(1, len(x) + 1)
    t = thresholds[np.flatnonzero(descending - thresholds > 0)[-1]]
    return np.maximum(x - t, 0)


def l1_sphere(x: Vector, scale: float) -> Vector:
    return np.where(x < 0, -1, 1) * simplex(np.abs(x), scale)


def l1_ball(x: Vector, scale: float) -> Vector:
    return x if np.abs(x).sum() <= scale else l1_sphere(x, scale)


def l2_sphere(x: Vector, scale: float) -> Vector:
    return x * (scale / np.linalg.norm(x))


def l2_ball(x: Vector, scale: float) -> Vector:
    return x if np.linalg.norm(x) <= scale else l2_sphere(x, scale)


def hyperplane(x: Vector, a: Vector, b: float) -> Vector:
    return x - (a @ x - b) / (a @ a) * a


def halfspace(x: Vector, a: Vector, b: float) -> Vector:
    return x if a @ x <= b else hyperplane(x, a, b)


def line(x: Vector, a: Vector) -> Vector:
    return (a @ x) / (a @ a) * a

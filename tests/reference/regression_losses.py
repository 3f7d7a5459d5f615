"""Regression losses in NumPy, as their definitions read, in float64."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def huber(e: Array, delta: float) -> Array:
    """e^2 / 2 up to |e| = delta, then the tangent."""
    return np.where(np.abs(e) <= delta, e**2 / 2, delta * np.abs(e) - delta**2 / 2)


def smooth_l1(e: Array, beta: float) -> Array:
    """e^2 / (2 beta) up to |e| = beta, then |e| - beta / 2."""
    return np.where(np.abs(e) < beta, e**2 / (2 * beta), np.abs(e) - beta / 2)


def log_cosh(e: Array) -> Array:
    """log((exp(e) + exp(-e)) / 2)."""
    return np.logaddexp(e, -e) - np.log(2)


def pinball(e: Array, q: float | Array) -> Array:
    """The larger of q e and (q - 1) e, with e = y - p."""
    return np.maximum(q * e, (q - 1) * e)


def expectile(e: Array, tau: float | Array) -> Array:
    """|tau - [e < 0]| e^2, with e = y - p."""
    return np.abs(tau - (e < 0)) * e**2


def cosine(x: Array, y: Array) -> float:
    """x . y / (|x| |y|)."""
    return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))

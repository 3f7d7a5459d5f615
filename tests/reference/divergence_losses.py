"""Divergences in NumPy, as their definitions read, one class at a time and in float64."""

import numpy as np
from numpy.typing import NDArray

from reference.losses import Row, softmax


def kl(q: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """sum_c y_c log(y_c / q_c), with 0 log 0 = 0 and y_c log(y_c / 0) = inf."""
    total = 0.0
    for q_c, y_c in zip(q.astype(np.float64), y.astype(np.float64), strict=True):
        if y_c > 0:
            total += y_c * np.log(y_c / q_c) if q_c > 0 else np.inf
    return total


def generalized_kl(q: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """sum_c y_c log(y_c / q_c) - y_c + q_c."""
    return kl(q, y) - float(np.sum(y, dtype=np.float64)) + float(np.sum(q, dtype=np.float64))


def jensen_shannon(p: Row, q: Row, beta: float) -> float:
    """beta KL(p, m) + (1 - beta) KL(q, m), m = beta p + (1 - beta) q."""
    m = beta * p + (1 - beta) * q
    return beta * kl(m, p) + (1 - beta) * kl(m, q)


def at_temperature(z: NDArray[np.floating], temperature: float) -> Row:
    """The softmax of z / T."""
    return softmax(z.astype(np.float64) / temperature)

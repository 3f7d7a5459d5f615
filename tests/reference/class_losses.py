"""Losses of rows of scores with an integer label in NumPy, one row at a time and in float64."""

import numpy as np
from numpy.typing import NDArray

from reference.losses import softmax

Row = NDArray[np.float64]


def lead_missed(s: Row, k: int, lead: float) -> float:
    """By how much the label's score misses a lead over the best of the others."""
    others = [s_c for c, s_c in enumerate(s) if c != k]
    return float(max(0.0, max(others, default=-np.inf) + lead - s[k]))


def softmax_focal(z: Row, k: int, alpha: float, gamma: float) -> float:
    """- alpha (1 - p_k)^gamma log p_k."""
    p = softmax(z)
    return float(-alpha * (np.sum(p) - p[k]) ** gamma * np.log(p[k]))


def sparsemax(s: Row) -> Row:
    """The nearest point of the simplex: all but the c largest are 0, with the largest c that keeps them positive."""
    for c in range(len(s), 0, -1):
        tau = (np.sum(np.sort(s)[-c:]) - 1) / c
        if np.sort(s)[-c] > tau:
            break
    p: Row = np.maximum(s - tau, 0)
    return p


def sparsemax_loss(s: Row, k: int) -> float:
    """max_p (<s, p> - |p|^2 / 2) - (s_k - 1 / 2), over the simplex."""
    p = sparsemax(s)
    return float(np.dot(s, p) - np.dot(p, p) / 2 - s[k] + 0.5)

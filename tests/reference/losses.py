"""Losses in NumPy, as their definitions read, one row at a time and in float64."""

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]


def softmax(z: Row) -> Row:
    """p_c = exp(z_c) / sum_k exp(z_k)."""
    e = np.exp(z - np.max(z))
    p: Row = e / np.sum(e)
    return p


def cross_entropy(z: Row, y: Row) -> float:
    """- sum_c y_c log p_c, with 0 log 0 = 0."""
    return float(-sum(y_c * np.log(p_c) for y_c, p_c in zip(y, softmax(z), strict=True) if y_c != 0))


def cross_entropy_gradient(z: Row, y: Row) -> Row:
    """The derivative by z: p sum_c y_c - y."""
    gradient: Row = softmax(z) * np.sum(y) - y
    return gradient


def negative_log_likelihood(z: Row, k: int) -> float:
    """- log p_k."""
    return float(-np.log(softmax(z)[k]))

"""Losses of one list in NumPy, as their definitions read, one item at a time and in float64."""

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]


def softmax_loss(z: Row, y: Row, weights: Row) -> float:
    """- sum_i w_i y_i log p_i; 0 for no items."""
    total = np.logaddexp.reduce(z) if len(z) else 0.0
    return float(-np.sum(weights * y * (z - total)))


def pairs(y: Row) -> list[tuple[int, int]]:
    """(i, j) with y_i > y_j."""
    return [(i, j) for i in range(len(y)) for j in range(len(y)) if y[i] > y[j]]


def pairwise_logistic(s: Row, y: Row) -> float:
    """The mean over pairs of log(1 + exp(- (s_i - s_j)))."""
    return float(np.mean([np.logaddexp(0, s[j] - s[i]) for i, j in pairs(y)])) if pairs(y) else 0.0


def pairwise_hinge(s: Row, y: Row) -> float:
    """The mean over pairs of max(0, 1 - (s_i - s_j))."""
    return float(np.mean([max(0.0, 1 - (s[i] - s[j])) for i, j in pairs(y)])) if pairs(y) else 0.0


def listmle(s: Row, y: Row) -> float:
    """Items are drawn one by one, the most relevant first, of ties the first in the list."""
    left = sorted(range(len(s)), key=lambda i: -y[i])
    loss = 0.0
    while left:
        loss += float(np.logaddexp.reduce(s[left]) - s[left[0]])
        left = left[1:]
    return loss


def approx_ndcg(s: Row, y: Row, temperature: float) -> float:
    """1 - NDCG with ranks in which a step is a sigmoid; 0 if nothing is relevant."""
    gains = 2.0**y - 1
    ranks = [
        1 + sum(0.5 + np.tanh((s[j] - s[i]) / temperature / 2) / 2 for j in range(len(s)) if j != i)
        for i in range(len(s))
    ]
    ideal = sum(gain / np.log2(2 + place) for place, gain in enumerate(sorted(gains, reverse=True)))
    found = sum(gain / np.log2(1 + rank) for gain, rank in zip(gains, ranks, strict=True))
    return float(1 - found / ideal) if ideal > 0 else 0.0

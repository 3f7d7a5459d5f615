"""Segmentation losses in NumPy, as their definitions read, one image and one class at a time and in float64."""

from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float64]


def tversky(p: Pixels, y: Pixels, alpha: float, beta: float, smooth: float) -> float:
    """1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth), and 0 of nothing."""
    tp, fp, fn = np.sum(p * y), np.sum(p * (1 - y)), np.sum((1 - p) * y)
    below = tp + alpha * fp + beta * fn + smooth
    return float(1 - (tp + smooth) / below) if below > 0 else 0.0


def jaccard(a: AbstractSet[int], b: AbstractSet[int]) -> float:
    """1 - |a and b| / |a or b|, and 0 of two empty sets."""
    return 1 - len(a & b) / len(a | b) if a | b else 0.0


def lovasz(errors: Pixels, positive: NDArray[np.bool_]) -> float:
    """sum_i max(e_i, 0) (J_i - J_(i-1)) with the errors in descending order.

    J_i is the Jaccard loss of the region that is `positive` but for the first i pixels, where it is the opposite.
    """
    target = set(np.flatnonzero(positive).tolist())
    region, total, before = set(target), 0.0, 0.0
    for pixel in np.argsort(-errors, kind="stable").tolist():
        region ^= {pixel}
        after = jaccard(region, target)
        total += max(float(errors[pixel]), 0.0) * (after - before)
        before = after
    return total

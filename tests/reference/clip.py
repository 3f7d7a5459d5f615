"""Clipping in NumPy, unit by unit and example by example, in float64."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes within one unit: all of a vector, the inputs of a matrix, all but the last of a kernel."""
    if len([n for n in shape if n > 1]) <= 1:
        return tuple(range(len(shape)))
    return {2: (0,), 3: (0,)}.get(len(shape), tuple(range(len(shape) - 1)))


def unit_norms(x: Array, axes: tuple[int, ...]) -> Array:
    """Each element gets the norm of its unit: of the elements with its indices along the other axes."""
    norms = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        unit = x[tuple(slice(None) if axis in axes else k for axis, k in enumerate(i))]
        norms[i] = math.sqrt(np.sum(np.abs(unit) ** 2))
    return norms


def adaptive(g: Array, w: Array, clipping: float, eps: float, axes: tuple[int, ...]) -> Array:
    """Brock et al. (2021), equation 3: G / ||G|| * lambda * max(||W||, eps) where ||G|| / max(||W||, eps) > lambda."""
    norm_g, norm_w = unit_norms(g, axes), np.maximum(unit_norms(w, axes), eps)
    clipped = np.array(g)
    for i in np.ndindex(g.shape):
        if norm_g[i] > clipping * norm_w[i]:
            clipped[i] = g[i] / norm_g[i] * clipping * norm_w[i]
    return clipped


def sum_of_clipped_examples(grads: Sequence[Array], bound: float) -> tuple[list[Array], int]:
    """Abadi et al. (2016), algorithm 1: sum_i g_i / max(1, ||g_i|| / C), and how many were longer than C."""
    total = [np.zeros(g.shape[1:]) for g in grads]
    number = 0
    for example in zip(*grads, strict=True):
        norm = math.sqrt(sum(np.sum(part**2) for part in example))
        number += norm > bound
        total = [t + part / max(1, norm / bound) for t, part in zip(total, example, strict=True)]
    return total, number

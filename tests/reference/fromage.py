"""Fromage in NumPy (Bernstein et al. 2020, algorithm 1)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def fromage(w: Array, g: Array, eta: float, min_norm: float) -> Array:
    """The update to add to one leaf; norms below `min_norm` count as that."""
    norm_w, norm_g = (max(np.sqrt(np.sum(x * x)), min_norm) for x in (w, g))
    return (w - eta * g * norm_w / norm_g) / np.sqrt(1 + eta**2) - w

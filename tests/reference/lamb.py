"""LAMB in NumPy (You et al. 2020, algorithm 2, with the identity for phi)."""

import numpy as np
from numpy.typing import NDArray

from reference.adam import Adam

Array = NDArray[np.generic]


class Lamb:
    """Takes a leaf and its gradient, step by step, and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, eps: float, decay: float = 0.0, eps_root: float = 0.0):
        self.r = Adam(beta1, beta2, eps, eps_root)
        self.decay = decay

    def __call__(self, x: Array, g: Array) -> Array:
        d = self.r(g) + self.decay * x
        norm_x, norm_d = np.sqrt(np.sum(x * x)), np.sqrt(np.sum(d * d))
        return norm_x / norm_d * d if norm_x > 0 and norm_d > 0 else d

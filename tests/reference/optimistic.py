"""Optimistic gradient descent in NumPy (Mokhtari et al. 2020, generalized OGDA), on any direction."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class Optimistic:
    """Takes one gradient after another, makes d_t of it, and returns (alpha + beta) d_t - beta d_{t-1}."""

    def __init__(self, alpha: float, beta: float, direction: Callable[[Array], Array] = lambda g: g):
        self.alpha, self.beta, self.direction = alpha, beta, direction
        self.before: Array | None = None

    def __call__(self, g: Array) -> Array:
        d = self.direction(g)
        before = d if self.before is None else self.before
        self.before = d
        return (self.alpha + self.beta) * d - self.beta * before

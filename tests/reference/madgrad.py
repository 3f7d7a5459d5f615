"""MADGRAD in NumPy, in the letters of Defazio and Jelassi (2021), algorithm 1, all past gradients kept.

As in the authors' program epsilon is added to the step size too.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Madgrad:
    """Takes parameters and gradient, step after step, and returns the update to add."""

    def __init__(
        self,
        x0: NDArray[np.generic],
        gamma: Callable[[int], float],
        momentum: float,
        epsilon: float,
        penalty: float = 0.0,
    ):
        self.x0, self.gamma, self.c = np.array(x0), gamma, 1 - momentum
        self.epsilon, self.penalty = epsilon, penalty
        self.terms: list[tuple[float, NDArray[np.generic]]] = []

    def __call__(self, x: NDArray[np.generic], g: NDArray[np.generic]) -> NDArray[np.generic]:
        k = len(self.terms)
        self.terms.append(((self.gamma(k) + self.epsilon) * np.sqrt(k + 1), g + self.penalty * x))
        s = sum(step * g_i for step, g_i in self.terms)
        nu = sum(step * np.abs(g_i) ** 2 for step, g_i in self.terms)
        z = self.x0 - s / (np.cbrt(nu) + self.epsilon)
        return (1 - self.c) * x + self.c * z - x

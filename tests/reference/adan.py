"""Adan in NumPy, in the letters of Xie et al. (2022), algorithm 1, with bias corrections."""

import numpy as np
from numpy.typing import NDArray


class Adan:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, beta3: float, eps: float, eps_root: float = 0.0):
        self.beta1, self.beta2, self.beta3, self.eps, self.eps_root = beta1, beta2, beta3, eps, eps_root
        self.k = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.v: NDArray[np.generic] = np.zeros(())
        self.n: NDArray[np.generic] = np.zeros(())
        self.g: NDArray[np.generic] | None = None

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.k += 1
        difference = g - g if self.g is None else g - self.g
        self.m = (1 - self.beta1) * self.m + self.beta1 * g
        self.v = (1 - self.beta2) * self.v + self.beta2 * difference
        self.n = (1 - self.beta3) * self.n + self.beta3 * np.abs(g + (1 - self.beta2) * difference) ** 2
        self.g = g
        m, v, n = (
            x / (1 - (1 - beta) ** self.k)
            for x, beta in ((self.m, self.beta1), (self.v, self.beta2), (self.n, self.beta3))
        )
        return (m + (1 - self.beta2) * v) / (np.sqrt(n + self.eps_root) + self.eps)

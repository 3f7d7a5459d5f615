"""ADOPT in NumPy, in the letters of Taniguchi et al. (2024), algorithm 2: the clipped form."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Adopt:
    """Takes one gradient after another and returns the direction to subtract; `c` is the bound, None for none."""

    def __init__(
        self, beta1: float, beta2: float, eps: float, c: Callable[[int], float] | None, nesterov: bool = False
    ):
        self.beta1, self.beta2, self.eps, self.c, self.nesterov = beta1, beta2, eps, c, nesterov
        self.t = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.v: NDArray[np.generic] | None = None

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        if self.v is None:
            self.v = np.abs(g) ** 2
            return 0 * g
        self.t += 1
        normed = g / np.maximum(np.sqrt(self.v), self.eps)
        if self.c is not None:
            size = np.abs(normed)
            normed = np.where(size > self.c(self.t), self.c(self.t) * normed / np.where(size == 0, 1, size), normed)
        self.m = self.beta1 * self.m + (1 - self.beta1) * normed
        self.v = self.beta2 * self.v + (1 - self.beta2) * np.abs(g) ** 2
        return self.beta1 * self.m + (1 - self.beta1) * normed if self.nesterov else self.m

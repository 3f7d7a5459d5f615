"""Signum in NumPy (Bernstein et al. 2018, algorithm 2)."""

import numpy as np
from numpy.typing import NDArray


class Signum:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta: float):
        self.beta = beta
        self.m: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.m = self.beta * self.m + (1 - self.beta) * g
        return np.sign(self.m)

"""Gradient descent with momentum in NumPy (Sutskever et al. 2013, equations 1 to 4, with the step size outside)."""

import numpy as np
from numpy.typing import NDArray


class Momentum:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, mu: float, nesterov: bool = False):
        self.mu, self.nesterov = mu, nesterov
        self.v: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.v = self.mu * self.v + g
        return g + self.mu * self.v if self.nesterov else self.v

"""NovoGrad in NumPy, in the letters of Ginsburg et al. (2019), algorithm 1, for one layer."""

import numpy as np
from numpy.typing import NDArray


class NovoGrad:
    """Takes weights and gradient, step after step, and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, epsilon: float, epsilon_root: float = 0.0, d: float = 0.0):
        self.beta1, self.beta2, self.epsilon, self.epsilon_root, self.d = beta1, beta2, epsilon, epsilon_root, d
        self.v: float | None = None
        self.m: NDArray[np.generic] = np.zeros(())

    def __call__(self, w: NDArray[np.generic], g: NDArray[np.generic]) -> NDArray[np.generic]:
        square = float(np.linalg.norm(np.ravel(g)) ** 2)
        self.v = square if self.v is None else self.beta2 * self.v + (1 - self.beta2) * square
        self.m = self.beta1 * self.m + (g / (np.sqrt(self.v + self.epsilon_root) + self.epsilon) + self.d * w)
        return self.m

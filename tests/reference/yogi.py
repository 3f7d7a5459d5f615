"""Yogi in NumPy, in the letters of Zaheer et al. (2018), algorithm 2, with Adam's bias corrections.

The paper starts both means from 0; `start` is where they start here.
"""

import numpy as np
from numpy.typing import NDArray


class Yogi:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, eps: float, eps_root: float = 0.0, start: float = 1e-6):
        self.beta1, self.beta2, self.eps, self.eps_root = beta1, beta2, eps, eps_root
        self.t = 0
        self.m: NDArray[np.generic] = np.asarray(start)
        self.v: NDArray[np.generic] = np.asarray(start)

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        square = np.abs(g) ** 2
        self.v = self.v - (1 - self.beta2) * np.sign(self.v - square) * square
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        return m_hat / (np.sqrt(v_hat + self.eps_root) + self.eps)

"""Adam in NumPy, in the letters of Kingma and Ba (2015), algorithm 1, and Dozat (2016), algorithm 2."""

import numpy as np
from numpy.typing import NDArray


class Adam:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, eps: float, eps_root: float = 0.0, nesterov: bool = False):
        self.beta1, self.beta2, self.eps, self.eps_root, self.nesterov = beta1, beta2, eps, eps_root, nesterov
        self.t = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.v: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * np.abs(g) ** 2
        m_hat = self.m / (1 - self.beta1**self.t)
        if self.nesterov:
            m_hat = self.beta1 * self.m / (1 - self.beta1 ** (self.t + 1)) + (1 - self.beta1) * g / (
                1 - self.beta1**self.t
            )
        v_hat = self.v / (1 - self.beta2**self.t)
        return m_hat / (np.sqrt(v_hat + self.eps_root) + self.eps)

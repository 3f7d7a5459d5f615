"""AdaMax in NumPy, in the letters of Kingma and Ba (2015), algorithm 2, u_t written out as a maximum.

The paper has no epsilon: here |g_i| + epsilon takes the place of |g_i|.
"""

import numpy as np
from numpy.typing import NDArray


class AdaMax:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, eps: float):
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.past: list[NDArray[np.generic]] = []

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.past.append(g)
        t = len(self.past)
        m = sum((1 - self.beta1) * self.beta1 ** (t - i) * g_i for i, g_i in enumerate(self.past, 1))
        u = np.max([self.beta2 ** (t - i) * (np.abs(g_i) + self.eps) for i, g_i in enumerate(self.past, 1)], axis=0)
        return m / (1 - self.beta1**t) / u

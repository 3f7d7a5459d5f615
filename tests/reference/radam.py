"""RAdam in NumPy, in the letters of Liu et al. (2020), algorithm 2."""

import numpy as np
from numpy.typing import NDArray

from reference.adam import Adam


class RAdam:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(
        self,
        beta1: float,
        beta2: float,
        eps: float,
        eps_root: float = 0.0,
        threshold: float = 4.0,
        nesterov: bool = False,
    ):
        self.beta2, self.threshold = beta2, threshold
        self.adam = Adam(beta1, beta2, eps, eps_root, nesterov)
        self.mean = Adam(beta1, 0.0, 1.0, 0.0, nesterov)  # its numerator alone is of use

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        adapted = self.adam(g)
        m_hat = self.mean(g) * (np.abs(g) + 1)
        t = self.adam.t
        rho_inf = 2 / (1 - self.beta2) - 1
        rho = rho_inf - 2 * t * self.beta2**t / (1 - self.beta2**t)
        if rho < self.threshold:
            return m_hat
        r = np.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        return r * adapted

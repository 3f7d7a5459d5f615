"""Sophia in NumPy, in the letters of Liu et al. (2023), algorithm 3, with the two habits of the code in use.

m is bias-corrected, and an estimate counts from the step after it is made.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class Sophia:
    """Takes a leaf and its gradient, step by step, and returns the direction to subtract, before the step size.

    `estimate(x, g, i)` is the i-th estimate of the diagonal of the Hessian, i = 0, 1, ...
    """

    def __init__(
        self,
        beta1: float,
        beta2: float,
        eps: float,
        lam: float,
        gamma: float,
        rho: float,
        k: int,
        estimate: Callable[[NDArray[np.generic], NDArray[np.generic], int], NDArray[np.generic]],
    ):
        self.beta1, self.beta2, self.eps, self.lam, self.gamma, self.rho = beta1, beta2, eps, lam, gamma, rho
        self.k, self.estimate = k, estimate
        self.t = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.h: NDArray[np.generic] = np.zeros(())

    def __call__(self, x: NDArray[np.generic], g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        m_hat = self.m / (1 - self.beta1**self.t)
        step = np.clip(m_hat / np.maximum(self.gamma * self.h, self.eps), -self.rho, self.rho)
        if self.t % self.k == 1 % self.k:
            self.h = self.beta2 * self.h + (1 - self.beta2) * self.estimate(x, g, (self.t - 1) // self.k)
        return step + self.lam * x

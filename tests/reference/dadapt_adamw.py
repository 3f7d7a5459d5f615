"""D-Adaptation for Adam in NumPy, in the letters of Defazio and Mishchenko (2023)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class DAdaptAdamW:
    """Takes x_k and g_k, one after another, and returns what to add; gamma_k is the step size and decay decoupled.

    With the correction of the bias of both moments, as the authors' package has it.
    """

    def __init__(
        self,
        gamma: float | Callable[[int], float] = 1.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        d0: float = 1e-6,
        decay: float = 0.0,
    ):
        self.gamma, self.beta1, self.beta2, self.eps, self.decay = gamma, beta1, beta2, eps, decay
        self.d = d0
        self.k = 0
        self.r = 0.0
        self.s = self.m = self.v = np.zeros(())

    def __call__(self, x: Vector, g: Vector, value: float = np.nan) -> Vector:
        gamma = self.gamma(self.k) if callable(self.gamma) else self.gamma
        self.k += 1
        root = np.sqrt(self.beta2)
        lam = self.d * gamma * np.sqrt(1 - self.beta2**self.k) / (1 - self.beta1**self.k)
        A = np.sqrt(self.v) + self.eps
        self.r = root * self.r + (1 - root) * lam * float(np.sum(g * self.s / A))
        self.m = self.beta1 * self.m + (1 - self.beta1) * lam * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        self.s = root * self.s + (1 - root) * lam * g
        if np.any(self.s):
            self.d = max(self.d, self.r / ((1 - root) * float(np.linalg.norm(self.s, 1))))
        return -self.m / (np.sqrt(self.v) + self.eps) - lam * self.decay * x

"""Prodigy in NumPy, in the letters of Mishchenko and Defazio (2023), algorithm 4."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class Prodigy:
    """Takes x_k and g_k, one after another, and returns what to add; gamma_k is the step size and decay decoupled.

    With the correction of the bias of both moments, and with epsilon times the new d, as the authors' package has them.
    """

    def __init__(
        self,
        x0: Vector,
        gamma: float | Callable[[int], float] = 1.0,
        beta1: float = 0.9,
        beta2: float = 0.999,
        beta3: float | None = None,
        eps: float = 1e-8,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        decay: float | Vector = 0.0,
        safeguard_warmup: bool = False,
    ):
        self.x0, self.gamma, self.beta1, self.beta2, self.eps, self.decay = x0, gamma, beta1, beta2, eps, decay
        self.beta3 = np.sqrt(beta2) if beta3 is None else beta3
        self.d, self.d_coef, self.safeguard_warmup = d0, d_coef, safeguard_warmup
        self.k = 0
        self.r = 0.0
        self.s, self.m, self.v = np.zeros_like(x0), np.zeros_like(x0), np.zeros_like(x0)

    def __call__(self, x: Vector, g: Vector, value: float = np.nan) -> Vector:
        gamma = self.gamma(self.k) if callable(self.gamma) else self.gamma
        self.k += 1
        gamma *= np.sqrt(1 - self.beta2**self.k) / (1 - self.beta1**self.k)
        d = self.d
        self.m = self.beta1 * self.m + (1 - self.beta1) * d * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * d**2 * g**2
        self.r = self.beta3 * self.r + (1 - self.beta3) * gamma * d**2 * float(g @ (self.x0 - x))
        weight = 1.0 if self.safeguard_warmup else gamma
        self.s = self.beta3 * self.s + (1 - self.beta3) * weight * d**2 * g
        if np.any(self.s):
            self.d = max(d, self.d_coef * self.r / float(np.linalg.norm(self.s, 1)))
        return -gamma * d * (self.m / (np.sqrt(self.v) + self.d * self.eps) + self.decay * x)

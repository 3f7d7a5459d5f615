"""AdEMAMix in NumPy, in the letters of Pagliardini et al. (2024), algorithm 1, and its simplified form (2025)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class AdEMAMix:
    """Takes one gradient after another and returns the direction to subtract; beta3 and alpha may be functions of t."""

    def __init__(
        self,
        beta1: float,
        beta2: float,
        beta3: float | Callable[[int], float],
        alpha: float | Callable[[int], float],
        eps: float,
        eps_root: float = 0.0,
    ):
        self.beta1, self.beta2, self.beta3, self.alpha = beta1, beta2, beta3, alpha
        self.eps, self.eps_root = eps, eps_root
        self.t = 0
        self.m1: NDArray[np.generic] = np.zeros(())
        self.m2: NDArray[np.generic] = np.zeros(())
        self.nu: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        beta3 = self.beta3(self.t) if callable(self.beta3) else self.beta3
        alpha = self.alpha(self.t) if callable(self.alpha) else self.alpha
        self.t += 1
        self.m1 = self.beta1 * self.m1 + (1 - self.beta1) * g
        self.m2 = beta3 * self.m2 + (1 - beta3) * g
        self.nu = self.beta2 * self.nu + (1 - self.beta2) * np.abs(g) ** 2
        m1_hat = self.m1 / (1 - self.beta1**self.t)
        nu_hat = self.nu / (1 - self.beta2**self.t)
        return (m1_hat + alpha * self.m2) / (np.sqrt(nu_hat + self.eps_root) + self.eps)


class SimplifiedAdEMAMix:
    """The same with one memory: the sum of beta1^i g_{t-i}, and the newest gradient alpha times more."""

    def __init__(self, beta1: float, beta2: float, alpha: float, eps: float, eps_root: float = 0.0):
        self.beta1, self.beta2, self.alpha, self.eps, self.eps_root = beta1, beta2, alpha, eps, eps_root
        self.gradients: list[NDArray[np.generic]] = []

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.gradients.append(g)
        past = list(enumerate(reversed(self.gradients)))
        total = sum(self.beta1**i * g for i, g in past)
        weights = sum(self.beta2**i for i, _ in past)
        nu = sum(self.beta2**i * np.abs(g) ** 2 for i, g in past) / weights
        return (total + self.alpha * g) / (np.sqrt(nu + self.eps_root) + self.eps)

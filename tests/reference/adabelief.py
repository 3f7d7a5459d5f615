"""AdaBelief in NumPy (Zhuang et al. 2020, algorithm 2), and ACProp (Zhuang et al. 2021, algorithm 1)."""

import numpy as np
from numpy.typing import NDArray


class AdaBelief:
    """Takes one gradient after another and returns the direction to subtract, before the step size.

    `eps_s` is the epsilon that the algorithm adds to s_t in every step, so that it accumulates.
    """

    def __init__(self, beta1: float, beta2: float, eps: float, eps_s: float, nesterov: bool = False):
        self.beta1, self.beta2, self.eps, self.eps_s, self.nesterov = beta1, beta2, eps, eps_s, nesterov
        self.t = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.s: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.s = self.beta2 * self.s + (1 - self.beta2) * np.abs(g - self.m) ** 2 + self.eps_s
        m_hat = self.m / (1 - self.beta1**self.t)
        if self.nesterov:
            ahead = self.m / (1 - self.beta1 ** (self.t + 1))
            m_hat = self.beta1 * ahead + (1 - self.beta1) * g / (1 - self.beta1**self.t)
        s_hat = self.s / (1 - self.beta2**self.t)
        return m_hat / (np.sqrt(s_hat) + self.eps)


class ACProp:
    """Takes one gradient after another and returns the direction to subtract, before the step size.

    The first step, which has no s_{t-1} to divide by, takes 1 for it.
    """

    def __init__(self, beta1: float, beta2: float, eps: float, eps_s: float):
        self.beta1, self.beta2, self.eps, self.eps_s = beta1, beta2, eps, eps_s
        self.t = 0
        self.m: NDArray[np.generic] = np.zeros(())
        self.s: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.t += 1
        s_hat = self.s / (1 - self.beta2 ** (self.t - 1)) if self.t > 1 else np.ones_like(g)
        direction = g / (np.sqrt(s_hat) + self.eps)
        self.s = self.beta2 * self.s + (1 - self.beta2) * np.abs(g - self.m) ** 2 + self.eps_s
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        return direction

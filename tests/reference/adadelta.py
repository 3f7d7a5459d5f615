"""Adadelta in NumPy, in the letters of Zeiler (2012), algorithm 1, with the sign left to the caller."""

import numpy as np
from numpy.typing import NDArray


class AdaDelta:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, rho: float, epsilon: float):
        self.rho, self.epsilon = rho, epsilon
        self.E_g2: NDArray[np.generic] = np.zeros(())
        self.E_dx2: NDArray[np.generic] = np.zeros(())

    def rms(self, mean_square: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.sqrt(mean_square + self.epsilon)

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.E_g2 = self.rho * self.E_g2 + (1 - self.rho) * np.abs(g) ** 2
        dx = self.rms(self.E_dx2) / self.rms(self.E_g2) * g
        self.E_dx2 = self.rho * self.E_dx2 + (1 - self.rho) * np.abs(dx) ** 2
        return dx


class Decayed:
    """A rule for the gradient of a function plus `penalty` / 2 times the squared norm of its argument."""

    def __init__(self, rule: AdaDelta, penalty: float):
        self.rule, self.penalty = rule, penalty

    def __call__(self, x: NDArray[np.generic], g: NDArray[np.generic]) -> NDArray[np.generic]:
        return self.rule(g + self.penalty * x)

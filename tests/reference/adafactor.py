"""Adafactor in NumPy, in the letters of Shazeer and Stern (2018), algorithms 4 (matrices) and 5 (vectors)."""

import numpy as np
from numpy.typing import NDArray


def rms(x: NDArray[np.generic]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.abs(x) ** 2)))


class FactoredMoments:
    """Takes one gradient after another and returns U, before it is clipped.

    `factor`: a matrix has row and column means. `decay` is the c of beta2 = 1 - t^-c, and t stays 1 for the first
    `offset` steps more.
    """

    def __init__(self, decay: float, epsilon1: float, factor: bool, offset: int = 0):
        self.decay, self.epsilon1, self.factor, self.offset = decay, epsilon1, factor, offset
        self.steps = 0
        self.R: NDArray[np.generic] = np.zeros(())
        self.C: NDArray[np.generic] = np.zeros(())
        self.V: NDArray[np.generic] = np.zeros(())

    def __call__(self, G: NDArray[np.generic]) -> NDArray[np.generic]:
        self.steps += 1
        t = max(self.steps - self.offset, 1)
        beta2 = 1 - t**-self.decay
        square = np.abs(G) ** 2 + self.epsilon1
        if self.factor and G.ndim == 2:
            self.R = beta2 * self.R + (1 - beta2) * square.sum(axis=1)
            self.C = beta2 * self.C + (1 - beta2) * square.sum(axis=0)
            V = np.outer(self.R, self.C) / self.R.sum()
        else:
            V = self.V = beta2 * self.V + (1 - beta2) * square
        return G / np.sqrt(V)


class Adafactor:
    """Takes parameters and gradient, step after step, and returns the direction to subtract.

    `epsilon2`: least scale of the parameters; None for steps that are not relative to them. `d`: clipping threshold.
    """

    def __init__(
        self,
        moments: FactoredMoments,
        rho: float = 1.0,
        epsilon2: float | None = 1e-3,
        d: float | None = 1.0,
        beta1: float | None = None,
        weight_decay: float = 0.0,
    ):
        self.moments, self.rho, self.epsilon2, self.d = moments, rho, epsilon2, d
        self.beta1, self.weight_decay = beta1, weight_decay
        self.M: NDArray[np.generic] = np.zeros(())

    def __call__(self, X: NDArray[np.generic], G: NDArray[np.generic]) -> NDArray[np.generic]:
        U = self.moments(G)
        if self.d is not None:
            U = U / max(1.0, rms(U) / self.d)
        U = self.rho * U * (1.0 if self.epsilon2 is None else max(self.epsilon2, rms(X)))
        if self.beta1 is not None:
            U = self.M = self.beta1 * self.M + (1 - self.beta1) * U
        return U + self.weight_decay * X

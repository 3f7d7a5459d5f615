"""MoMo and MoMo-Adam in NumPy, in the letters of Schaipp et al. (2023): the averages are written as sums."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Rate = float | Callable[[int], float]


class MoMo:
    """Takes x_k, g_k and f_k, one after another, and returns what to add."""

    def __init__(
        self,
        alpha: Rate = 1.0,
        beta: float = 0.9,
        f_star: float = 0.0,
        lam: float = 0.0,
        estimate: bool = False,
    ):
        self.alpha, self.beta, self.lam = alpha, beta, lam
        self.f_star = self.f_star_1 = f_star
        self.estimate = estimate
        self.history: list[tuple[Vector, Vector, float]] = []

    def weights(self) -> Vector:
        """Of all steps so far: those of an average that starts as the first term."""
        k = len(self.history)
        rho = (1 - self.beta) * self.beta ** np.arange(k)[::-1]
        rho[0] = self.beta ** (k - 1)
        return rho

    def preconditioner(self) -> Vector | float:
        return 1.0

    def __call__(self, x: Vector, g: Vector, f: float) -> Vector:
        alpha = self.alpha(len(self.history)) if callable(self.alpha) else self.alpha
        self.history.append((x, g, f))
        w = self.weights()
        rho = float(np.sum(w))
        d = sum(w_j * g_j for w_j, (_, g_j, _) in zip(w, self.history, strict=True))
        # The value at 0 of the average of the linear models.
        at_zero = float(sum(w_j * (f_j - g_j @ x_j) for w_j, (x_j, g_j, f_j) in zip(w, self.history, strict=True)))
        D = self.preconditioner()
        norm = float(np.sum(d**2 / D))
        shrink = 1 + alpha * self.lam
        if self.estimate and shrink * at_zero + d @ x < shrink * rho * self.f_star:
            self.f_star = max((shrink * at_zero + d @ x) / (2 * shrink * rho), self.f_star_1)
        tau = min(alpha / rho, max(shrink * (at_zero - rho * self.f_star) + d @ x, 0) / norm)
        if self.estimate:
            self.f_star = max((at_zero + d @ x - tau / 2 * norm) / rho, self.f_star_1)
        return (x - tau * d / D) / shrink - x


class MoMoAdam(MoMo):
    """The same with Adam's preconditioner, and averages that start from 0."""

    def __init__(self, alpha: Rate, beta1: float, beta2: float, eps: float, *args: float, estimate: bool = False):
        super().__init__(alpha, beta1, *args, estimate=estimate)
        self.beta2, self.eps = beta2, eps

    def weights(self) -> Vector:
        return (1 - self.beta) * self.beta ** np.arange(len(self.history))[::-1]

    def preconditioner(self) -> Vector | float:
        weights = self.beta2 ** np.arange(len(self.history))[::-1]
        squares = [g**2 for _, g, _ in self.history]
        return self.eps + np.sqrt(np.average(squares, axis=0, weights=weights))

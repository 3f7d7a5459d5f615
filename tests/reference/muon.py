"""Muon in NumPy, for one matrix: momentum, normalized, and brought near an orthogonal matrix (Jordan et al., 2024)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reference.linear_algebra import orthogonalized

STANDARD = [(3.4445, -4.775, 2.0315)] * 5


def normalized(x: NDArray[np.float64], how: str, eps: float) -> NDArray[np.float64]:
    """`x`, which has no more rows than columns, with no singular value above 1."""
    if how == "aol":
        return x / np.sqrt(np.abs(x @ x.T).sum(axis=1, keepdims=True))
    s = np.linalg.svd(x, compute_uv=False)
    if how == "schatten":
        return x / (s**4).sum() ** 0.25
    return x / ((s.max() if how == "spectral" else np.sqrt((s**2).sum())) + eps)


class Muon:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(
        self,
        rows: Sequence[tuple[float, float, float]] = STANDARD,
        beta: float = 0.95,
        eps: float = 1e-8,
        nesterov: bool = True,
        adaptive: bool = False,
        preconditioning: str = "frobenius",
        scale: float = 1.0,
    ):
        self.rows, self.beta, self.eps, self.nesterov = rows, beta, eps, nesterov
        self.adaptive, self.preconditioning, self.scale = adaptive, preconditioning, scale
        self.t = 0
        self.m: NDArray[np.float64] = np.zeros(())

    def __call__(self, g: NDArray[np.float64]) -> NDArray[np.float64]:
        self.t += 1
        beta = self.beta
        self.m = beta * self.m + (1 - beta) * g
        h = self.m / (1 - beta**self.t)
        if self.nesterov:
            h = beta * self.m / (1 - beta ** (self.t + 1)) + (1 - beta) * g / (1 - beta**self.t)
        wide = h if h.shape[0] <= h.shape[1] else h.T
        u = orthogonalized(normalized(wide, self.preconditioning, self.eps), self.rows)
        u = u if wide is h else u.T
        return self.scale * u * ((h * u).sum() if self.adaptive else 1.0)

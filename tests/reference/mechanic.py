"""Mechanic in NumPy, in the letters of Cutkosky, Defazio and Mehta (2023)."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]


class Mechanic:
    """Takes x_t, the gradient g_t and the update u_t of the base algorithm, and returns x_{t+1}."""

    def __init__(self, x_ref: Vector, n: int, lam: float, s_init: float, eps: float):
        self.x_ref, self.n, self.lam, self.s_init, self.eps = x_ref, n, lam, s_init, eps
        self.beta = [1 - 0.1 ** (i + 1) for i in range(n)]
        self.r, self.m, self.v, self.s = [0.0] * n, [0.0] * n, [0.0] * n, [s_init] * n
        self.Delta = np.zeros_like(x_ref)

    def __call__(self, x: Vector, g: Vector, u: Vector) -> Vector:
        decay = self.lam * sum(self.s) * np.linalg.norm(g) / (np.linalg.norm(x) + self.eps) * x
        h = -float(np.sum(self.Delta * (g + decay)))  # u descends here, it does not ascend
        for i, beta in enumerate(self.beta):
            h_clipped = min(max(h, -self.m[i]), self.m[i])
            self.r[i] = beta * self.r[i] + self.s[i] * h_clipped
            self.m[i] = max(beta * self.m[i], abs(h) + self.eps)
            self.v[i] = beta**2 * self.v[i] + h**2
            W = self.s_init / self.n * self.m[i] + max(self.r[i], 0.0)
            self.s[i] = W / (np.sqrt(self.v[i]) + self.eps)
        self.Delta = self.Delta + u
        return self.x_ref + sum(self.s) * self.Delta

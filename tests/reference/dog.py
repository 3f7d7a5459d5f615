"""DoG (Ivgi, Hinder, Carmon, 2023) and DoWG (Khaled, Mishchenko, Jin, 2023) in NumPy, in the papers' letters."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.generic]


class DoG:
    """Takes x_t and g_t, one after another, and returns the step to subtract."""

    def __init__(self, x0: Vector, r_eps: float, eps: float):
        self.x0 = x0
        self.eps = eps
        self.distances = [r_eps]
        self.squares: list[float] = []

    def __call__(self, x: Vector, g: Vector) -> Vector:
        self.distances.append(float(np.linalg.norm(x - self.x0)))
        self.squares.append(float(np.linalg.norm(g) ** 2))
        eta = max(self.distances) / np.sqrt(sum(self.squares) + self.eps)
        return eta * g


class DoWG:
    """Takes x_t and g_t, one after another, and returns the step to subtract."""

    def __init__(self, x0: Vector, r_eps: float, eps: float):
        self.x0 = x0
        self.eps = eps
        self.r_bar = r_eps
        self.v = 0.0

    def __call__(self, x: Vector, g: Vector) -> Vector:
        self.r_bar = max(self.r_bar, float(np.linalg.norm(x - self.x0)))
        self.v += self.r_bar**2 * float(np.linalg.norm(g) ** 2)
        eta = self.r_bar**2 / (np.sqrt(self.v) + self.eps)
        return eta * g

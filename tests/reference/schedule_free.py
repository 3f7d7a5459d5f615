"""Schedule-free learning in NumPy (Defazio et al. 2024), with x as the weighted mean of all z, which are stored."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class ScheduleFree:
    """Takes the steps that lead from one z to the next; `x` and `y` can be read in between."""

    def __init__(self, start: Vector, beta: float, power: float = 2.0):
        self.beta, self.power = beta, power
        self.x = self.z = np.asarray(start, np.float64)
        self.gamma_max = 0.0
        self.path: list[Vector] = []
        self.weights: list[float] = []

    @property
    def y(self) -> Vector:
        return (1 - self.beta) * self.z + self.beta * self.x

    def __call__(self, step: Vector, gamma: float) -> None:
        self.z = self.z + step
        self.gamma_max = max(self.gamma_max, abs(gamma))
        self.path.append(self.z)
        self.weights.append(self.gamma_max**self.power)
        if sum(self.weights) > 0:
            self.x = np.average(self.path, axis=0, weights=self.weights)


class RootMeanSquare:
    """The direction of Adam with beta1 = 0."""

    def __init__(self, beta2: float, eps: float):
        self.beta2, self.eps = beta2, eps
        self.squares: list[Vector] = []

    def __call__(self, g: Vector) -> Vector:
        self.squares.append(g * g)
        weights = self.beta2 ** np.arange(len(self.squares))[::-1]
        return g / (np.sqrt(np.average(self.squares, axis=0, weights=weights)) + self.eps)

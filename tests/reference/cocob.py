"""COCOB-Backprop in NumPy, in the letters of Orabona and Tommasi (2017), algorithm 2: element by element."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class COCOB:
    """Takes w_t and the gradient, one after another, and returns what to add."""

    def __init__(self, w1: Vector, alpha: float = 100.0, eps: float = 1e-8):
        self.w1, self.alpha = w1, alpha
        self.L = np.full(w1.shape, eps)
        self.G, self.reward, self.theta = np.zeros(w1.shape), np.zeros(w1.shape), np.zeros(w1.shape)

    def __call__(self, w: Vector, gradient: Vector) -> Vector:
        step = np.zeros(w.shape)
        for i in np.ndindex(w.shape):
            g = -gradient[i]
            self.L[i] = max(self.L[i], abs(g))
            self.G[i] += abs(g)
            self.reward[i] = max(self.reward[i] + (w[i] - self.w1[i]) * g, 0.0)
            self.theta[i] += g
            beta = self.theta[i] / (self.L[i] * max(self.G[i] + self.L[i], self.alpha * self.L[i]))
            step[i] = self.w1[i] + beta * (self.L[i] + self.reward[i]) - w[i]
        return step

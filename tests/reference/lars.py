"""LARS in NumPy (You, Gitman, Ginsburg 2017, algorithm 1)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class LARS:
    """Takes a leaf and its gradient, step by step, and returns what to subtract.

    The weight decay is part of the gradient whose norm the local step divides by: that norm is the root of a sum of
    squares, where the paper writes the sum of two norms.
    """

    def __init__(
        self,
        gamma: float | Callable[[int], float],
        beta: float = 0.0,
        eta: float = 0.001,
        eps: float = 0.0,
        m: float = 0.9,
        nesterov: bool = False,
        local: bool = True,
    ):
        self.gamma, self.beta, self.eta, self.eps, self.m = gamma, beta, eta, eps, m
        self.nesterov, self.local = nesterov, local
        self.t = 0
        self.v: Array = np.zeros(())

    def __call__(self, w: Array, g: Array) -> Array:
        d = g + self.beta * w
        norm_w, norm_d = np.sqrt(np.sum(w * w)), np.sqrt(np.sum(d * d))
        rate = self.eta * norm_w / (norm_d + self.eps) if self.local and norm_w > 0 and norm_d > 0 else 1.0
        gamma = self.gamma(self.t) if callable(self.gamma) else self.gamma
        self.t += 1
        step = gamma * rate * d
        self.v = self.m * self.v + step
        return self.m * self.v + step if self.nesterov else self.v

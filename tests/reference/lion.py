"""Lion in NumPy, in the letters of Chen et al. (2023), algorithm 2, and functions to use in place of its sign."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


class Lion:
    """Takes a parameter and its gradient, step by step, and returns the direction to subtract, before the step size."""

    def __init__(
        self, beta1: float, beta2: float, weight_decay: float = 0.0, function: Callable[[Array], Array] = np.sign
    ):
        self.beta1, self.beta2, self.weight_decay, self.function = beta1, beta2, weight_decay, function
        self.m: Array = np.zeros(())

    def __call__(self, theta: Array, g: Array) -> Array:
        c = self.beta1 * self.m + (1 - self.beta1) * g
        self.m = self.beta2 * self.m + (1 - self.beta2) * g
        return self.function(c) + self.weight_decay * theta

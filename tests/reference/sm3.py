"""SM3-II in NumPy, in the letters of Anil et al. (2019), algorithm SM3-II: covers S_r are the slices of an array.

`beta2` < 1 is the variant that forgets, for which the sum over steps becomes a moving average.
"""

import itertools

import numpy as np
from numpy.typing import NDArray


class SM3:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, beta1: float, beta2: float, epsilon: float):
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.mu: dict[tuple[int, int], float] = {}  # by axis and index: a slice
        self.m: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        c = 1.0 if self.beta2 == 1 else 1 - self.beta2
        new: dict[tuple[int, int], float] = {}
        nu = np.zeros(g.shape)
        for i in itertools.product(*map(range, g.shape)):
            slices = list(enumerate(i)) or [(0, 0)]
            least = min(self.mu.get(r, 0.0) for r in slices)
            nu[i] = self.beta2 * least + c * abs(g[i]) ** 2
            for r in slices:
                new[r] = max(new.get(r, 0.0), nu[i])
        self.mu = new
        size = np.sqrt(nu + self.epsilon)
        u = np.divide(g, size, out=np.zeros_like(g), where=size > 0)
        self.m = self.beta1 * self.m + (1 - self.beta1) * u
        return self.m

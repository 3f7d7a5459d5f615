"""AdaGrad in NumPy, diagonal form of Duchi, Hazan and Singer (2011), figure 1: all past gradients are kept."""

import numpy as np
from numpy.typing import NDArray


class AdaGrad:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(self, initial: float, epsilon: float):
        self.initial, self.epsilon = initial, epsilon
        self.g: list[NDArray[np.generic]] = []

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.g.append(g)
        G = self.initial + np.sum(np.abs(self.g) ** 2, axis=0)
        return g / np.sqrt(G + self.epsilon)

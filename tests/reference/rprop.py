"""iRprop- in NumPy, after Igel and Huesken (2000), section 2.4, element by element."""

import numpy as np
from numpy.typing import NDArray


class Rprop:
    """Takes one gradient after another and returns what to subtract from the parameters."""

    def __init__(self, delta0: float, eta_minus: float, eta_plus: float, delta_min: float, delta_max: float):
        self.eta_minus, self.eta_plus = eta_minus, eta_plus
        self.delta_min, self.delta_max = delta_min, delta_max
        self.delta0 = delta0
        self.delta: dict[int, float] = {}
        self.previous: dict[int, float] = {}

    def element(self, i: int, g: float) -> float:
        product = self.previous.get(i, 0.0) * g
        delta = self.delta.get(i, self.delta0)
        if product > 0:
            delta = min(delta * self.eta_plus, self.delta_max)
        elif product < 0:
            delta = max(delta * self.eta_minus, self.delta_min)
            g = 0.0
        self.delta[i], self.previous[i] = delta, g
        return float(np.sign(g)) * delta

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.array([self.element(i, float(x)) for i, x in enumerate(np.ravel(g))]).reshape(np.shape(g))

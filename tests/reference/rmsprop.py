"""RMSProp in NumPy, in the letters of Graves (2013), equations 38 to 41, the averages written as weighted sums."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class RMSProp:
    """Takes one gradient after another and returns the direction to subtract, before the step size.

    `epsilon_inside`: the root's sum of `epsilon` and the mean square; else `epsilon` is added to the root. `corrected`:
    averages are divided by the sum of their weights. `centred`: the square of the mean is taken off the mean square.
    """

    def __init__(
        self,
        aleph: float,
        epsilon: float,
        n0: float = 0.0,
        epsilon_inside: bool = True,
        corrected: bool = False,
        centred: bool = False,
    ):
        self.aleph, self.epsilon, self.n0 = aleph, epsilon, n0
        self.epsilon_inside, self.corrected, self.centred = epsilon_inside, corrected, centred
        self.past: list[NDArray[np.generic]] = []

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.past.append(g)
        t = len(self.past)
        weights = [(1 - self.aleph) * self.aleph ** (t - i) for i in range(1, t + 1)]
        n = self.aleph**t * self.n0 + sum(w * np.abs(x) ** 2 for w, x in zip(weights, self.past, strict=True))
        mean = sum(w * x for w, x in zip(weights, self.past, strict=True))
        if self.corrected:
            n, mean = n / sum(weights), mean / sum(weights)
        # At t = 1 it is 0 if corrected: it may be rounded below.
        spread = np.maximum(n - np.abs(mean) ** 2, 0) if self.centred else n
        return g / (np.sqrt(spread + self.epsilon) if self.epsilon_inside else np.sqrt(spread) + self.epsilon)


class Momentum:
    """Momentum over the updates of a rule at the learning rates of t = 0, 1, ..., as in equation 41.

    Takes a gradient and returns what to subtract: v = mu * v + u, or with `nesterov` mu * v + u of that v.
    """

    def __init__(self, rule: RMSProp, learning_rate: Callable[[int], float], mu: float, nesterov: bool = False):
        self.rule, self.learning_rate, self.mu, self.nesterov = rule, learning_rate, mu, nesterov
        self.t = 0
        self.v: NDArray[np.generic] = np.zeros(())

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        u = self.learning_rate(self.t) * self.rule(g)
        self.t += 1
        self.v = self.mu * self.v + u
        return self.mu * self.v + u if self.nesterov else self.v

"""AMSGrad in NumPy, in the letters of Reddi, Kale and Kumar (2018), algorithm 2.

The paper corrects no bias; `correct_m` and `correct_v` say which of the two means is corrected as Adam's are, the
second before the maximum is taken.
"""

import numpy as np
from numpy.typing import NDArray


class AMSGrad:
    """Takes one gradient after another and returns the direction to subtract, before the step size."""

    def __init__(
        self,
        beta1: float,
        beta2: float,
        eps: float,
        eps_root: float = 0.0,
        correct_m: bool = True,
        correct_v: bool = True,
    ):
        self.beta1, self.beta2, self.eps, self.eps_root = beta1, beta2, eps, eps_root
        self.correct_m, self.correct_v = correct_m, correct_v
        self.m: NDArray[np.generic] = np.zeros(())
        self.v: NDArray[np.generic] = np.zeros(())
        self.seen: list[NDArray[np.generic]] = []

    def __call__(self, g: NDArray[np.generic]) -> NDArray[np.generic]:
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * np.abs(g) ** 2
        t = len(self.seen) + 1
        self.seen.append(self.v / (1 - self.beta2**t) if self.correct_v else self.v)
        m = self.m / (1 - self.beta1**t) if self.correct_m else self.m
        v_hat = np.max(self.seen, axis=0)
        return m / (np.sqrt(v_hat + self.eps_root) + self.eps)

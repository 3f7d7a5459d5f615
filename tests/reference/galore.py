"""GaLore in NumPy, for one matrix (Zhao et al., 2024, algorithm 2), projected on its longer side."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class GaLore:
    """Takes one gradient after another; `rule` makes an update of each projected one."""

    def __init__(self, rule: Callable[[Array], Array], rank: int, gap: int, scale: float = 1.0):
        self.rule, self.rank, self.gap, self.scale = rule, rank, gap, scale
        self.t = 0
        self.p: Array = np.zeros(())

    def __call__(self, g: Array) -> Array:
        left = g.shape[0] >= g.shape[1]
        if self.t % self.gap == 0:
            u, _, vh = np.linalg.svd(g, full_matrices=False)
            self.p = (u if left else vh.T)[:, : self.rank]
        self.t += 1
        n = self.rule(self.p.T @ g if left else g @ self.p)
        return self.scale * (self.p @ n if left else n @ self.p.T)

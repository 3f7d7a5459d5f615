"""The stochastic Polyak step size in NumPy (Loizou et al. 2021, SPS_max; Garrigos et al. 2023, SPS+)."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def step_size(g: Iterable[Array], f: float, f_min: float, gamma_b: float, eps: float, plus: bool = False) -> float:
    """The number to multiply all leaves of the gradient by."""
    square = sum(float(np.sum(np.abs(leaf) ** 2)) for leaf in g)
    gap = f - f_min
    if plus and gap < 0:
        return 0.0
    return min(gap / (square + eps), gamma_b)

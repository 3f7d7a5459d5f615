"""Decoupled weight decay in NumPy (Loshchilov and Hutter, 2019, algorithm 2, line 12)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def with_decay(
    make_rule: Callable[[], Callable[[Array], Array]], decay: float | Callable[[Array], float]
) -> Callable[[Array], Callable[[Array, Array], Array]]:
    """x0 -> (x, g) -> direction + decay * x; a function gives the decay of the leaf that starts as x0."""

    def of_leaf(x0: Array) -> Callable[[Array, Array], Array]:
        rule = make_rule()
        factor = decay(x0) if callable(decay) else decay
        return lambda x, g: rule(g) + factor * x

    return of_leaf

"""For methods that take all parameters as one vector."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def as_one_vector(
    make_rule: Callable[[Vector], Callable[[Vector, Vector, float], Vector]],
) -> Callable[[list[Vector]], Callable[[list[Vector], list[Vector], float], list[Vector]]]:
    """A rule for lists of arrays, made from the initial ones, from a rule for one vector."""

    def join(arrays: list[Vector]) -> Vector:
        return np.concatenate([np.ravel(a) for a in arrays])

    def of_leaves(x0: list[Vector]) -> Callable[[list[Vector], list[Vector], float], list[Vector]]:
        rule = make_rule(join(x0))
        ends = np.cumsum([x.size for x in x0])[:-1]

        def on_leaves(x: list[Vector], g: list[Vector], value: float) -> list[Vector]:
            parts = np.split(rule(join(x), join(g), value), ends)
            return [part.reshape(np.shape(x_i)) for part, x_i in zip(parts, x, strict=True)]

        return on_leaves

    return of_leaves

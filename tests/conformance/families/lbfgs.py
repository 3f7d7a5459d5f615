"""L-BFGS without a line search: the recursion in two loops, in NumPy."""

from collections.abc import Callable

import numpy as np

from conformance.case import Array, Case, Rule
from reference.lbfgs import LBFGS


def of_leaves(factor: float, m: int = 10, scaled: bool = True) -> Callable[[list[Array]], Rule]:
    def start(x0: list[Array]) -> Rule:
        multiplied = LBFGS(m, scaled)

        def rule(x: list[Array], g: list[Array], value: float) -> list[Array]:
            d = multiplied(*(np.concatenate([a.ravel() for a in leaves]) for leaves in (x, g)))
            parts = np.split(d, np.cumsum([a.size for a in x])[:-1])
            return [factor * part.reshape(a.shape) for part, a in zip(parts, x, strict=True)]

        return rule

    return start


CURVATURE = "the original uses pairs of negative curvature too"
PLAIN = {"memory_size": 3, "scale_init_precond": False}

CASES = [
    Case("scale_by_lbfgs", {}, of_leaves(1.0), original=CURVATURE),
    Case("scale_by_lbfgs", PLAIN, of_leaves(1.0, 3, False), original=CURVATURE),
    Case("lbfgs", {"learning_rate": 0.1, "linesearch": None}, of_leaves(-0.1), original=CURVATURE),
    Case("lbfgs", {"learning_rate": 0.1, "linesearch": None} | PLAIN, of_leaves(-0.1, 3, False), original=CURVATURE),
]

"""Lion: NumPy and lion_pytorch."""

from typing import Any

import numpy as np

from conformance.case import Case, Independent, each_leaf_with_params
from reference.lion import Lion


def lion_pytorch(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import lion_pytorch

        return lion_pytorch.Lion(parameters, **settings)

    return Independent("lion_pytorch.Lion", make)


CASES = [
    Case("scale_by_lion", {}, each_leaf_with_params(lambda x0: Lion(0.9, 0.99))),
    # b1 > b2 is computed in another way.
    Case("scale_by_lion", {"b1": 0.9, "b2": 0.5, "mu_dtype": None}, each_leaf_with_params(lambda x0: Lion(0.9, 0.5))),
    Case(
        "scale_by_lion",
        {"b1": 0.7, "mode": "smooth", "smooth_beta": 2.0},
        each_leaf_with_params(lambda x0: Lion(0.7, 0.99, function=lambda c: np.tanh(2 * c))),
    ),
    Case(
        "scale_by_lion",
        {"b2": 0.95, "mode": "refined"},
        each_leaf_with_params(lambda x0: Lion(0.9, 0.95, function=lambda c: np.clip(c, -1, 1))),
    ),
    Case(
        "lion",
        {"learning_rate": 0.1},
        each_leaf_with_params(lambda x0: Lion(0.9, 0.99, 1e-3), 0.1),
        lion_pytorch(lr=0.1, weight_decay=1e-3),
    ),
    Case(
        "lion",
        {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95, "weight_decay": 0.1, "mu_dtype": None, "mask": None},
        each_leaf_with_params(lambda x0: Lion(0.8, 0.95, 0.1), 0.1),
        lion_pytorch(lr=0.1, betas=(0.8, 0.95), weight_decay=0.1),
    ),
    Case(
        "lion",
        {"learning_rate": 0.1, "mask": {"matrix": True, "vector": False, "scalar": False, "none": False}},
        each_leaf_with_params(lambda x0: Lion(0.9, 0.99, 1e-3 * (x0.ndim == 2)), 0.1),
    ),
]

"""LARS: NumPy and pytorch_optimizer."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf_with_params
from reference.lars import LARS

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


MATRICES = {"matrix": True, "vector": False, "scalar": False, "none": False}


def po_lars(differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.LARS(parameters, **settings)

    return Independent("pytorch_optimizer.LARS", make, differs)


def subtracted(**settings: Any) -> Any:
    """For each leaf what LARS subtracts; with `masked`, local steps and weight decay for matrices only."""
    masked = settings.pop("masked", False)

    def make(x0: Array) -> LARS:
        if masked and x0.ndim < 2:
            return LARS(**settings | {"beta": 0.0, "local": False})
        return LARS(**settings)

    return each_leaf_with_params(make, 1.0)


CASES = [
    Case("lars", {"learning_rate": 0.1}, subtracted(gamma=0.1)),
    Case(
        "lars",
        {"learning_rate": 0.1, "weight_decay": 0.1, "trust_coefficient": 0.02, "momentum": 0.8},
        subtracted(gamma=0.1, beta=0.1, eta=0.02, m=0.8),
    ),
    Case(
        "lars",
        {"learning_rate": 0.1, "weight_decay": 0.1, "weight_decay_mask": MATRICES, "trust_ratio_mask": MATRICES},
        subtracted(gamma=0.1, beta=0.1, masked=True),
        po_lars("it divides by |g| + weight_decay * |p|, not by |g + weight_decay * p|", lr=0.1, weight_decay=0.1),
    ),
    Case(
        "lars",
        {"learning_rate": 0.1, "trust_ratio_mask": MATRICES},
        subtracted(gamma=0.1, masked=True),
        po_lars(lr=0.1),
    ),
    Case(
        "lars",
        {"learning_rate": FALLING, "eps": 0.5, "nesterov": True},
        subtracted(gamma=falling, eps=0.5, nesterov=True),
    ),
]

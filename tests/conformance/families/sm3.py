"""SM3: compared with algorithm SM3-II of Anil et al. (2019) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf
from reference.sm3 import SM3


def other_sm3(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.SM3(parameters, 0.1, momentum=0.9, eps=1e-8)


WITHOUT_SCALAR = ("matrix", "vector")  # of which the original has no state (defect D8)


CASES = [
    Case("scale_by_sm3", {}, each_leaf(lambda: SM3(0.9, 1.0, 1e-8)), original_leaves=WITHOUT_SCALAR),
    Case(
        "scale_by_sm3",
        {"b1": 0.5, "b2": 0.8, "eps": 1e-3},
        each_leaf(lambda: SM3(0.5, 0.8, 1e-3)),
        original_leaves=WITHOUT_SCALAR,
    ),
    Case(
        "sm3",
        {"learning_rate": 0.1},
        each_leaf(lambda: SM3(0.9, 1.0, 1e-8), 0.1),
        Independent("pytorch_optimizer.SM3", other_sm3),
        original_leaves=WITHOUT_SCALAR,
    ),
    Case(
        "sm3",
        {"learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)), "momentum": 0.5},
        each_leaf(lambda: SM3(0.5, 1.0, 1e-8), lambda t: 0.1 * (1 - t / 50)),
        original="it takes no schedule",
    ),
]

"""MADGRAD: compared with algorithm 1 of Defazio and Jelassi (2021) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf_with_params
from reference.madgrad import Madgrad


def other_madgrad(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.MADGRAD(parameters, 0.1)


def other_decayed_madgrad(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.MADGRAD(parameters, 0.05, momentum=0.5, weight_decay=0.1, eps=1e-3)


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


CASES = [
    Case(
        "scale_by_madgrad",
        {"learning_rate": 0.1},
        each_leaf_with_params(lambda x0: Madgrad(x0, lambda t: 0.1, 0.9, 1e-6)),
    ),
    Case(
        "scale_by_madgrad",
        {"learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)), "momentum": 0.0, "eps": 1e-3},
        each_leaf_with_params(lambda x0: Madgrad(x0, line, 0.0, 1e-3)),
    ),
    Case(
        "madgrad",
        {"learning_rate": 0.1},
        each_leaf_with_params(lambda x0: Madgrad(x0, lambda t: 0.1, 0.9, 1e-6)),
        Independent("pytorch_optimizer.MADGRAD", other_madgrad),
    ),
    Case(
        "madgrad",
        {"learning_rate": 0.05, "momentum": 0.5, "weight_decay": 0.1, "eps": 1e-3},
        each_leaf_with_params(lambda x0: Madgrad(x0, lambda t: 0.05, 0.5, 1e-3, 0.1)),
        Independent("pytorch_optimizer.MADGRAD", other_decayed_madgrad),
    ),
]

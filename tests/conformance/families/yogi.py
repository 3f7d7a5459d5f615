"""Yogi: compared with algorithm 2 of Zaheer et al. (2018) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, each_leaf
from reference.yogi import Yogi


def torch_yogi(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.Yogi(parameters, 0.1)


def torch_other_yogi(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.Yogi(parameters, 0.2, (0.8, 0.95), eps=0.01)


OTHER = {"b1": 0.8, "b2": 0.95, "eps": 0.01}

CASES = [
    Case("scale_by_yogi", {}, each_leaf(lambda: Yogi(0.9, 0.999, 1e-3))),
    Case(
        "scale_by_yogi",
        {"eps_root": 0.02, "initial_accumulator_value": 0.1} | OTHER,
        each_leaf(lambda: Yogi(0.8, 0.95, 0.01, 0.02, 0.1)),
    ),
    Case(
        "yogi",
        {"learning_rate": 0.1},
        each_leaf(lambda: Yogi(0.9, 0.999, 1e-3), 0.1),
        Independent("pytorch_optimizer.Yogi", torch_yogi),
    ),
    Case(
        "yogi",
        {"learning_rate": 0.2} | OTHER,
        each_leaf(lambda: Yogi(0.8, 0.95, 0.01), 0.2),
        Independent("pytorch_optimizer.Yogi", torch_other_yogi),
    ),
]

"""AdaGrad: compared with Duchi, Hazan and Singer (2011) and with PyTorch.

PyTorch adds epsilon to the root, and not to the sum of squares: beside an initial sum of 0.1 nobody sees it.
"""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf
from reference.adagrad import AdaGrad


def torch_adagrad(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adagrad(parameters, 0.1, initial_accumulator_value=0.1, eps=1e-7)


def torch_without_epsilon(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adagrad(parameters, 0.3, initial_accumulator_value=0.01, eps=0.0)


CASES = [
    Case("scale_by_rss", {}, each_leaf(lambda: AdaGrad(0.1, 1e-7))),
    Case("scale_by_rss", {"initial_accumulator_value": 0.0, "eps": 1e-3}, each_leaf(lambda: AdaGrad(0.0, 1e-3))),
    Case(
        "adagrad",
        {"learning_rate": 0.1},
        each_leaf(lambda: AdaGrad(0.1, 1e-7), 0.1),
        Independent("torch.optim.Adagrad", torch_adagrad),
    ),
    Case(
        "adagrad",
        {"learning_rate": 0.3, "initial_accumulator_value": 0.01, "eps": 0.0},
        each_leaf(lambda: AdaGrad(0.01, 0.0), 0.3),
        Independent("torch.optim.Adagrad", torch_without_epsilon),
    ),
    Case(
        "adagrad",
        {"learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))},
        each_leaf(lambda: AdaGrad(0.1, 1e-7), lambda t: 0.1 * (1 - t / 50)),
    ),
]

"""Gradient descent, with momentum and with Nesterov's: NumPy and torch.optim."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf
from reference.sgd import Momentum

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def itself(g: Array) -> Array:
    return g


def torch_sgd(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import torch

        return torch.optim.SGD(parameters, **settings)

    return Independent("torch.optim.SGD", make)


CASES = [
    Case("sgd", {"learning_rate": 0.1}, each_leaf(lambda: itself, 0.1), torch_sgd(lr=0.1)),
    Case(
        "sgd",
        {"learning_rate": 0.1, "momentum": 0.9},
        each_leaf(lambda: Momentum(0.9), 0.1),
        torch_sgd(lr=0.1, momentum=0.9),
    ),
    Case(
        "sgd",
        {"learning_rate": 0.1, "momentum": 0.8, "nesterov": True, "accumulator_dtype": None},
        each_leaf(lambda: Momentum(0.8, nesterov=True), 0.1),
        torch_sgd(lr=0.1, momentum=0.8, nesterov=True),
    ),
    Case(
        "sgd",
        {"learning_rate": FALLING, "momentum": 0.5},
        each_leaf(lambda: Momentum(0.5), falling),
    ),
]

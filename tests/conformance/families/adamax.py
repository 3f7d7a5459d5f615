"""AdaMax: compared with algorithm 2 of Kingma and Ba (2015) and with PyTorch."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf, each_leaf_with_params
from reference.adamax import AdaMax
from reference.decay import with_decay


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def torch_adamax(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adamax(parameters, 0.1)


def torch_other_adamax(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adamax(parameters, 0.2, (0.8, 0.95), 1e-3)


def decoupled_adamax(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.AdaMax(parameters, 0.1, weight_decay=1e-4, weight_decouple=True)


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


OTHER = {"b1": 0.8, "b2": 0.95, "eps": 1e-3}

CASES = [
    Case("scale_by_adamax", {}, each_leaf(lambda: AdaMax(0.9, 0.999, 1e-8))),
    Case("scale_by_adamax", OTHER, each_leaf(lambda: AdaMax(0.8, 0.95, 1e-3))),
    Case(
        "adamax",
        {"learning_rate": 0.1},
        each_leaf(lambda: AdaMax(0.9, 0.999, 1e-8), 0.1),
        Independent("torch.optim.Adamax", torch_adamax),
    ),
    Case(
        "adamax",
        {"learning_rate": 0.2} | OTHER,
        each_leaf(lambda: AdaMax(0.8, 0.95, 1e-3), 0.2),
        Independent("torch.optim.Adamax", torch_other_adamax),
    ),
    Case(
        "adamaxw",
        {"learning_rate": 0.1},
        each_leaf_with_params(with_decay(lambda: AdaMax(0.9, 0.999, 1e-8), 1e-4), 0.1),
        Independent("pytorch_optimizer.AdaMax", decoupled_adamax),
    ),
    Case(
        "adamaxw",
        {
            "learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)),
            "weight_decay": 0.3,
            "mask": matrices,
        }
        | OTHER,
        each_leaf_with_params(with_decay(lambda: AdaMax(0.8, 0.95, 1e-3), decay_matrices), line),
    ),
]

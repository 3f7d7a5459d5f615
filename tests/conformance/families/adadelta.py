"""Adadelta: compared with algorithm 1 of Zeiler (2012) and with PyTorch."""

from typing import Any

from conformance.case import Array, Case, Independent, each_leaf, each_leaf_with_params
from reference.adadelta import AdaDelta, Decayed


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decayed(x0: Array) -> Decayed:
    return Decayed(AdaDelta(0.8, 1e-3), 0.3 if x0.ndim == 2 else 0.0)


def torch_adadelta(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adadelta(parameters, 1.0, rho=0.9, eps=1e-6)


def torch_decayed(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adadelta(parameters, 0.5, rho=0.8, eps=1e-3, weight_decay=0.1)


CASES = [
    Case("scale_by_adadelta", {}, each_leaf(lambda: AdaDelta(0.9, 1e-6))),
    Case("scale_by_adadelta", {"rho": 0.8, "eps": 1e-3}, each_leaf(lambda: AdaDelta(0.8, 1e-3))),
    Case("adadelta", {}, each_leaf(lambda: AdaDelta(0.9, 1e-6))),
    Case(
        "adadelta",
        {"learning_rate": 1.0},
        each_leaf(lambda: AdaDelta(0.9, 1e-6), 1.0),
        Independent("torch.optim.Adadelta", torch_adadelta),
    ),
    Case(
        "adadelta",
        {"learning_rate": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1},
        each_leaf_with_params(lambda x0: Decayed(AdaDelta(0.8, 1e-3), 0.1), 0.5),
        Independent("torch.optim.Adadelta", torch_decayed),
    ),
    Case(
        "adadelta",
        {"learning_rate": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.3, "weight_decay_mask": matrices},
        each_leaf_with_params(decayed, 0.5),
    ),
]

"""RAdam: compared with algorithm 2 of Liu et al. (2020) and with PyTorch."""

from typing import Any

from conformance.case import Case, Independent, each_leaf
from reference.radam import RAdam


def torch_radam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.RAdam(parameters, 0.1)


def torch_other_radam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.RAdam(parameters, 0.2, (0.8, 0.95), 0.0)


CANCELLATION = "In float32 the original loses a percent of the first rectified step to cancellation in rho."
OTHER = {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-2, "threshold": 7.5}

CASES = [
    Case("scale_by_radam", {}, each_leaf(lambda: RAdam(0.9, 0.999, 1e-8, 0.0, 5.0)), original=CANCELLATION),
    Case("scale_by_radam", OTHER, each_leaf(lambda: RAdam(0.8, 0.95, 1e-3, 1e-2, 7.5))),
    Case("scale_by_radam", {"b2": 0.6}, each_leaf(lambda: RAdam(0.9, 0.6, 1e-8, 0.0, 5.0))),
    Case(
        "radam",
        {"learning_rate": 0.1},
        each_leaf(lambda: RAdam(0.9, 0.999, 1e-8, 0.0, 5.0), 0.1),
        Independent("torch.optim.RAdam", torch_radam, differs="It adds eps before the root is corrected."),
        original=CANCELLATION,
    ),
    Case(
        "radam",
        {"learning_rate": 0.2, "b1": 0.8, "b2": 0.95, "eps": 0.0},
        each_leaf(lambda: RAdam(0.8, 0.95, 0.0, 0.0, 5.0), 0.2),
        Independent("torch.optim.RAdam", torch_other_radam),
    ),
    Case(
        "radam",
        {"learning_rate": 0.2, "nesterov": True} | OTHER,
        each_leaf(lambda: RAdam(0.8, 0.95, 1e-3, 1e-2, 7.5, nesterov=True), 0.2),
    ),
]

"""Rprop: compared with the iRprop- of Igel and Huesken (2000) and with PyTorch."""

from typing import Any

from conformance.case import Case, Independent, each_leaf
from reference.rprop import Rprop

LATE = "It returns the update of the step before, and zero at the first one (defect D1)."


def torch_rprop(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Rprop(parameters, 0.1)


def torch_other_rprop(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Rprop(parameters, 0.02, etas=(0.4, 1.5), step_sizes=(0.01, 0.1))


OTHER = {"learning_rate": 0.02, "eta_minus": 0.4, "eta_plus": 1.5, "min_step_size": 0.01, "max_step_size": 0.1}

CASES = [
    Case("scale_by_rprop", {"learning_rate": 0.1}, each_leaf(lambda: Rprop(0.1, 0.5, 1.2, 1e-6, 50)), original=LATE),
    Case("scale_by_rprop", OTHER, each_leaf(lambda: Rprop(0.02, 0.4, 1.5, 0.01, 0.1)), original=LATE),
    Case(
        "rprop",
        {"learning_rate": 0.1},
        each_leaf(lambda: Rprop(0.1, 0.5, 1.2, 1e-6, 50), 1.0),
        Independent("torch.optim.Rprop", torch_rprop),
        original=LATE,
    ),
    Case(
        "rprop",
        OTHER,
        each_leaf(lambda: Rprop(0.02, 0.4, 1.5, 0.01, 0.1), 1.0),
        Independent("torch.optim.Rprop", torch_other_rprop),
        original=LATE,
    ),
]

"""AMSGrad: compared with algorithm 2 of Reddi, Kale and Kumar (2018) and with PyTorch."""

from typing import Any

from conformance.case import Case, Independent, each_leaf
from reference.amsgrad import AMSGrad


def torch_amsgrad(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, 0.1, amsgrad=True)


def torch_amsgrad_of_the_last_square(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, 0.1, (0.8, 0.0), 1e-3, amsgrad=True)


OTHER = {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-2}

CASES = [
    Case("scale_by_amsgrad", {}, each_leaf(lambda: AMSGrad(0.9, 0.999, 1e-8))),
    Case(
        "scale_by_amsgrad",
        {"bias_correction_mu": False, "bias_correction_nu": False} | OTHER,
        each_leaf(lambda: AMSGrad(0.8, 0.95, 1e-3, 1e-2, correct_m=False, correct_v=False)),
    ),
    Case(
        "amsgrad",
        {"learning_rate": 0.1},
        each_leaf(lambda: AMSGrad(0.9, 0.999, 1e-8), 0.1),
        Independent(
            "torch.optim.Adam", torch_amsgrad, differs="It corrects the bias of the maximum, not of each mean."
        ),
    ),
    Case(
        "amsgrad",
        {"learning_rate": 0.1, "b1": 0.8, "b2": 0.0, "eps": 1e-3},
        each_leaf(lambda: AMSGrad(0.8, 0.0, 1e-3), 0.1),
        Independent("torch.optim.Adam", torch_amsgrad_of_the_last_square),
    ),
    Case(
        "amsgrad",
        {"learning_rate": 0.2, "bias_correction_mu": False} | OTHER,
        each_leaf(lambda: AMSGrad(0.8, 0.95, 1e-3, 1e-2, correct_m=False), 0.2),
    ),
    Case(
        "amsgrad",
        {"learning_rate": 0.2, "bias_correction_nu": False} | OTHER,
        each_leaf(lambda: AMSGrad(0.8, 0.95, 1e-3, 1e-2, correct_v=False), 0.2),
    ),
]

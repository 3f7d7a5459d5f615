"""Adafactor: compared with algorithms 4 and 5 of Shazeer and Stern (2018) and with PyTorch."""

from typing import Any

import numpy as np

from conformance.case import Array, Case, Independent, each_leaf, each_leaf_with_params
from reference.adafactor import Adafactor, FactoredMoments


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def relative_step(t: Any) -> Any:
    return 1 / np.sqrt(t + 1) if isinstance(t, int) else (t.astype(float) + 1) ** -0.5


def decaying(x0: Array) -> Adafactor:
    return Adafactor(FactoredMoments(0.6, 1e-3, True), 0.1, None, 0.5, 0.7, 0.2 if x0.ndim == 2 else 0.0)


class PaperAdafactor(Adafactor):
    """With the steps of algorithm 4."""

    def __call__(self, X: Array, G: Array) -> Array:
        self.rho = relative_step(self.moments.steps)
        return super().__call__(X, G)


def torch_adafactor(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adafactor(parameters, 1.0, eps=(1e-30, 1e-3), weight_decay=0.05)


def torch_slow_adafactor(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adafactor(parameters, 0.01, beta2_decay=-0.6, eps=(1e-30, 1e-3), d=2.0)


def faster(i: Any, exponent: float) -> Any:
    return 1 - (i.astype(float) + 2) ** -exponent


CASES = [
    Case("scale_by_factored_rms", {}, each_leaf(lambda: FactoredMoments(0.8, 1e-30, False))),
    Case(
        "scale_by_factored_rms",
        {"min_dim_size_to_factor": 2},
        each_leaf(lambda: FactoredMoments(0.8, 1e-30, True)),
    ),
    Case(
        "scale_by_factored_rms",
        {"factored": False, "min_dim_size_to_factor": 1, "decay_rate": 0.6, "epsilon": 1e-3, "decay_rate_fn": faster},
        each_leaf(lambda: FactoredMoments(0.6, 1e-3, False, -1)),
    ),
    Case(
        "scale_by_factored_rms",
        {"step_offset": -5, "min_dim_size_to_factor": 2},
        each_leaf(lambda: FactoredMoments(0.8, 1e-30, True, -5)),
    ),
    Case(
        "scale_by_factored_rms",
        {"step_offset": 3, "min_dim_size_to_factor": 2},
        each_leaf(lambda: FactoredMoments(0.8, 1e-30, True, 3)),
        original="It computes 1 - 0^-0.8 and worse before the offset, which is NaN from there on (defect D7).",
    ),
    Case("adafactor", {}, each_leaf_with_params(lambda x0: Adafactor(FactoredMoments(0.8, 1e-30, False)), 1.0)),
    Case(
        "adafactor",
        {"learning_rate": relative_step, "min_dim_size_to_factor": 1, "weight_decay_rate": 0.05},
        each_leaf_with_params(lambda x0: PaperAdafactor(FactoredMoments(0.8, 1e-30, True), weight_decay=0.05), 1.0),
        Independent("torch.optim.Adafactor", torch_adafactor),
    ),
    Case(
        "adafactor",
        {
            "learning_rate": 0.01,
            "min_dim_size_to_factor": 1,
            "decay_rate": 0.6,
            "decay_offset": 0,
            "clipping_threshold": 2.0,
        },
        each_leaf_with_params(lambda x0: Adafactor(FactoredMoments(0.6, 1e-30, True), 0.01, d=2.0), 1.0),
        Independent("torch.optim.Adafactor", torch_slow_adafactor),
    ),
    Case(
        "adafactor",
        {
            "learning_rate": 0.1,
            "min_dim_size_to_factor": 2,
            "decay_rate": 0.6,
            "multiply_by_parameter_scale": False,
            "clipping_threshold": 0.5,
            "momentum": 0.7,
            "dtype_momentum": "float64",
            "weight_decay_rate": 0.2,
            "eps": 1e-3,
            "weight_decay_mask": matrices,
        },
        each_leaf_with_params(decaying, 1.0),
    ),
    Case(
        "adafactor",
        {"learning_rate": 0.1, "factored": False, "min_dim_size_to_factor": 1, "clipping_threshold": None},
        each_leaf_with_params(lambda x0: Adafactor(FactoredMoments(0.8, 1e-30, False), 0.1, d=None), 1.0),
    ),
    Case(
        "adafactor",
        {"learning_rate": 0.1, "decay_offset": 1},
        each_leaf_with_params(lambda x0: Adafactor(FactoredMoments(0.8, 1e-30, False, 1), 0.1), 1.0),
        original="It computes 1 - 0^-0.8 at the first step, which is NaN from there on (defect D7).",
    ),
]

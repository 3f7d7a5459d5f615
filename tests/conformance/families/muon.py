"""Muon: NumPy; the libraries for PyTorch round to bfloat16 on the way."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.case import Case, Independent, Later, each_leaf, each_leaf_with_params
from reference.adam import Adam
from reference.muon import Muon

Array = NDArray[np.float64]

ROWS = [(4.0, -6.0, 2.9), (3.0, -3.2, 1.2), (1.9, -1.3, 0.4)]


def numbers(optax: Any, matrix: Sequence[Any], scalar: Any = None, vector: Any = None) -> Any:
    """Dimension numbers for the tree of all cases."""
    kind = getattr(optax, "MuonDimensionNumbers", None) or optax.contrib.MuonDimensionNumbers
    made = {"matrix": matrix, "scalar": scalar, "vector": vector}
    return {name: v if v is None else kind(*v) for name, v in made.items()} | {"none": None}


ALL = Later(lambda optax: numbers(optax, (0, 1), ((), ()), ((), 0)))
TRANSPOSED = Later(lambda optax: numbers(optax, (1, 0)))

NO_VECTORS = "it takes no matrices of a single row or column made of an array of fewer than two axes"


def all_leaves(**settings: Any) -> Any:
    """Every leaf as a matrix: a vector is one row, a number one element."""

    def make() -> Any:
        rule = Muon(**settings)
        return lambda g: rule(np.atleast_2d(g)).reshape(g.shape)

    return each_leaf(make)


def mixed(
    rate: float,
    adam: tuple[float, ...] = (0.9, 0.999, 1e-8),
    adam_rate: float | None = None,
    decay: float = 0.0,
    adam_decay: float = 0.0,
    **settings: Any,
) -> Any:
    """Muon for the matrix, Adam for the rest."""

    def make(x0: Array) -> Any:
        if x0.ndim == 2:
            rule: Any = Muon(**settings)
            return lambda x, g: rule(g) + decay * x
        rule = Adam(*adam, nesterov=settings.get("nesterov", True))
        ratio = 1.0 if adam_rate is None else adam_rate / rate
        return lambda x, g: ratio * (rule(g) + adam_decay * x)

    return each_leaf_with_params(make, rate)


def torch_muon(parameters: list[Any]) -> Any:
    import torch

    return (
        torch.optim.Muon(parameters[:1], lr=0.1, weight_decay=0.0, nesterov=False, eps=1e-8),
        torch.optim.Adam(parameters[1:], lr=0.1),
    )


def po_muon(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    groups = [{"params": parameters[:1], "use_muon": True, "lr": 0.1}, {"params": parameters[1:], "use_muon": False}]
    return [
        pytorch_optimizer.Muon(
            groups, nesterov=False, adamw_lr=0.1, adamw_betas=(0.9, 0.999), adamw_eps=1e-8, momentum=0.95
        )
    ]


def step_all(optimizers: Sequence[Any], value: float) -> None:
    for optimizer in optimizers:
        optimizer.step()


BFLOAT16 = "it rounds every iterate to bfloat16"

CASES = [
    Case("scale_by_muon", {"weight_dimension_numbers": ALL}, all_leaves(), original=NO_VECTORS),
    Case(
        "scale_by_muon",
        {
            "ns_coeffs": ROWS,
            "ns_steps": 3,
            "beta": 0.8,
            "eps": 1e-2,
            "mu_dtype": None,
            "nesterov": False,
            "adaptive": True,
            "weight_dimension_numbers": ALL,
        },
        all_leaves(rows=ROWS, beta=0.8, eps=1e-2, nesterov=False, adaptive=True),
        original=NO_VECTORS,
    ),
    Case("muon", {"learning_rate": 0.1}, mixed(0.1)),
    Case(
        "muon",
        {"learning_rate": 0.1, "nesterov": False, "muon_weight_dimension_numbers": TRANSPOSED},
        mixed(0.1, nesterov=False, scale=(4 / 3) ** 0.5),
        Independent("torch.optim.Muon", torch_muon, BFLOAT16, step_all),
    ),
    Case(
        "muon",
        {"learning_rate": 0.1, "nesterov": False, "ns_steps": 5},
        mixed(0.1, nesterov=False),
        Independent("pytorch_optimizer.Muon", po_muon, BFLOAT16, step_all),
    ),
    Case(
        "muon",
        {
            "learning_rate": 0.1,
            "ns_coeffs": ROWS,
            "ns_steps": 3,
            "beta": 0.8,
            "eps": 1e-3,
            "weight_decay": 0.1,
            "weight_decay_mask": None,
            "mu_dtype": None,
            "adam_b1": 0.8,
            "adam_b2": 0.9,
            "adam_eps_root": 1e-4,
            "adam_weight_decay": 0.2,
            "adam_learning_rate": 0.3,
            "consistent_rms": 0.2,
        },
        mixed(0.1, (0.8, 0.9, 1e-3, 1e-4), 0.3, 0.1, 0.2, rows=ROWS, beta=0.8, eps=1e-3, scale=0.4),
    ),
    *(
        Case(
            "muon",
            {"learning_rate": 0.1, "preconditioning": how, "adaptive": True},
            mixed(0.1, preconditioning=how, adaptive=True),
        )
        for how in ("spectral", "aol", "schatten")
    ),
]

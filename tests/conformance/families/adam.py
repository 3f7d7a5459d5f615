"""Adam, AdamW, NAdam: compared with algorithm 1 of Kingma and Ba (2015) and with PyTorch."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf, each_leaf_with_params
from reference.adam import Adam
from reference.decay import with_decay


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


def torch_adam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, 0.1)


def torch_other_adam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.Adam(parameters, 0.2, (0.8, 0.95), 1e-3)


def torch_adamw(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.AdamW(parameters, 0.1, weight_decay=1e-4)


def torch_other_adamw(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.AdamW(parameters, 0.2, (0.8, 0.95), 1e-3, weight_decay=0.03)


# In the limit of a large momentum_decay the momentum of torch.optim.NAdam has its limit from the first step on.
CONSTANT_MOMENTUM = 1e6


def torch_nadam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.NAdam(parameters, 0.1, momentum_decay=CONSTANT_MOMENTUM)


def torch_other_nadam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.NAdam(parameters, 0.2, (0.8, 0.95), 1e-3, momentum_decay=CONSTANT_MOMENTUM)


def torch_default_nadam(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.NAdam(parameters, 0.2)


def torch_nadamw(parameters: list[Any]) -> Any:
    import torch

    return torch.optim.NAdam(
        parameters, 0.1, momentum_decay=CONSTANT_MOMENTUM, weight_decay=1e-4, decoupled_weight_decay=True
    )


OTHER = {"b1": 0.8, "b2": 0.95, "eps": 1e-3}
OTHER_ROOT = {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-2}

CASES = [
    Case("scale_by_adam", {}, each_leaf(lambda: Adam(0.9, 0.999, 1e-8))),
    Case("scale_by_adam", OTHER_ROOT, each_leaf(lambda: Adam(0.8, 0.95, 1e-3, 1e-2))),
    Case("scale_by_adam", {"nesterov": True}, each_leaf(lambda: Adam(0.9, 0.999, 1e-8, nesterov=True))),
    Case("scale_by_adam", {"b1": 0.0, "b2": 0.0, "eps": 0.01}, each_leaf(lambda: Adam(0.0, 0.0, 0.01))),
    Case(
        "adam",
        {"learning_rate": 0.1},
        each_leaf(lambda: Adam(0.9, 0.999, 1e-8), 0.1),
        Independent("torch.optim.Adam", torch_adam),
    ),
    Case(
        "adam",
        {"learning_rate": 0.2} | OTHER,
        each_leaf(lambda: Adam(0.8, 0.95, 1e-3), 0.2),
        Independent("torch.optim.Adam", torch_other_adam),
    ),
    Case(
        "adam",
        {"learning_rate": Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50)), "nesterov": True} | OTHER_ROOT,
        each_leaf(lambda: Adam(0.8, 0.95, 1e-3, 1e-2, nesterov=True), line),
    ),
    Case(
        "adamw",
        {"learning_rate": 0.1},
        each_leaf_with_params(with_decay(lambda: Adam(0.9, 0.999, 1e-8), 1e-4), 0.1),
        Independent("torch.optim.AdamW", torch_adamw),
    ),
    Case(
        "adamw",
        {"learning_rate": 0.2, "weight_decay": 0.03} | OTHER,
        each_leaf_with_params(with_decay(lambda: Adam(0.8, 0.95, 1e-3), 0.03), 0.2),
        Independent("torch.optim.AdamW", torch_other_adamw),
    ),
    Case(
        "adamw",
        {"learning_rate": 0.2, "weight_decay": 0.3, "mask": matrices, "nesterov": True} | OTHER_ROOT,
        each_leaf_with_params(with_decay(lambda: Adam(0.8, 0.95, 1e-3, 1e-2, nesterov=True), decay_matrices), 0.2),
    ),
    Case(
        "nadam",
        {"learning_rate": 0.1},
        each_leaf(lambda: Adam(0.9, 0.999, 1e-8, nesterov=True), 0.1),
        Independent("torch.optim.NAdam", torch_nadam),
    ),
    Case(
        "nadam",
        {"learning_rate": 0.2} | OTHER,
        each_leaf(lambda: Adam(0.8, 0.95, 1e-3, nesterov=True), 0.2),
        Independent("torch.optim.NAdam", torch_other_nadam),
    ),
    Case(
        "nadam",
        {"learning_rate": 0.2},
        each_leaf(lambda: Adam(0.9, 0.999, 1e-8, nesterov=True), 0.2),
        Independent(
            "torch.optim.NAdam", torch_default_nadam, differs="Its momentum rises to b1 by a schedule of its own."
        ),
    ),
    Case(
        "nadam",
        {"learning_rate": 0.2, "eps_root": 1e-2, "nesterov": False},
        each_leaf(lambda: Adam(0.9, 0.999, 1e-8, 1e-2), 0.2),
    ),
    Case(
        "nadamw",
        {"learning_rate": 0.1},
        each_leaf_with_params(with_decay(lambda: Adam(0.9, 0.999, 1e-8, nesterov=True), 1e-4), 0.1),
        Independent("torch.optim.NAdam", torch_nadamw),
    ),
    Case(
        "nadamw",
        {"learning_rate": 0.2, "weight_decay": 0.3, "mask": matrices} | OTHER_ROOT,
        each_leaf_with_params(with_decay(lambda: Adam(0.8, 0.95, 1e-3, 1e-2, nesterov=True), decay_matrices), 0.2),
    ),
    Case(
        "nadamw",
        {"learning_rate": 0.2, "weight_decay": 0.03, "nesterov": False},
        each_leaf_with_params(with_decay(lambda: Adam(0.9, 0.999, 1e-8), 0.03), 0.2),
    ),
]

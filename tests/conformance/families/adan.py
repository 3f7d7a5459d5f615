"""Adan: compared with algorithm 1 of Xie et al. (2022) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf, each_leaf_with_params
from reference.adan import Adan
from reference.decay import with_decay

LOOKAHEAD = "it looks ahead by (1 - b2), the paper's beta2, where the paper has 1 - beta2, which is b2"


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


LINE = Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))


def po_adan(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.Adan(parameters, **settings)

    return Independent("pytorch_optimizer.Adan", make)


def adan_pytorch(parameters: list[Any]) -> Any:
    import adan_pytorch

    return adan_pytorch.Adan(parameters, 0.1)


CASES = [
    Case("scale_by_adan", {}, each_leaf(lambda: Adan(0.02, 0.08, 0.01, 1e-8)), original=LOOKAHEAD),
    Case(
        "scale_by_adan",
        {"b1": 0.8, "b2": 0.7, "b3": 0.95, "eps": 1e-3, "eps_root": 1e-4},
        each_leaf(lambda: Adan(1 - 0.8, 1 - 0.7, 1 - 0.95, 1e-3, 1e-4)),
        original=LOOKAHEAD,
    ),
    Case(
        "adan",
        {"learning_rate": 0.1, "eps_root": 0.0},
        each_leaf(lambda: Adan(0.02, 0.08, 0.01, 1e-8), 0.1),
        po_adan(lr=0.1),
        LOOKAHEAD,
    ),
    Case(
        "adan",
        {"learning_rate": 0.1},
        each_leaf(lambda: Adan(0.02, 0.08, 0.01, 1e-8, 1e-8), 0.1),
        Independent("adan_pytorch.Adan", adan_pytorch, "its first gradient moves nothing and enters no mean"),
        LOOKAHEAD,
    ),
    Case(
        "adan",
        {"learning_rate": 0.2, "b1": 0.8, "b2": 0.7, "b3": 0.95, "eps": 1e-3, "eps_root": 0.0},
        each_leaf(lambda: Adan(1 - 0.8, 1 - 0.7, 1 - 0.95, 1e-3), 0.2),
        po_adan(lr=0.2, betas=(0.8, 0.7, 0.95), eps=1e-3),
        LOOKAHEAD,
    ),
    Case(
        "adan",
        {"learning_rate": LINE, "b2": 0.7, "weight_decay": 0.3, "mask": matrices},
        each_leaf_with_params(with_decay(lambda: Adan(0.02, 1 - 0.7, 0.01, 1e-8, 1e-8), decay_matrices), line),
        original=LOOKAHEAD,
    ),
]

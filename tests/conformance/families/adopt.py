"""ADOPT: compared with algorithm 2 of Taniguchi et al. (2024) and with pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf
from reference.adopt import Adopt


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


LINE = Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))


def fourth_root(t: int) -> float:
    return t**0.25


def growing(t: int) -> float:
    return 0.1 * t


GROWING = Later(lambda optax: optax.linear_schedule(0.0, 5.0, 50))


def po_adopt(bound: Any, differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.ADOPT(parameters, clip_lambda=bound, **settings)

    return Independent("pytorch_optimizer.ADOPT", make, differs)


CASES = [
    Case("scale_by_adopt", {}, each_leaf(lambda: Adopt(0.9, 0.9999, 1e-6, fourth_root))),
    Case(
        "scale_by_adopt",
        {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "mu_dtype": None, "nesterov": True, "clip_value_fn": GROWING},
        each_leaf(lambda: Adopt(0.8, 0.9, 1e-2, growing, nesterov=True)),
    ),
    Case(
        "scale_by_adopt",
        {"b1": 0.8, "b2": 0.9, "eps": 1e-2, "use_clipping": False},
        each_leaf(lambda: Adopt(0.8, 0.9, 1e-2, None)),
    ),
    Case(
        "adopt",
        {"learning_rate": 0.1},
        each_leaf(lambda: Adopt(0.9, 0.9999, 1e-6, fourth_root), 0.1),
        po_adopt(fourth_root, "it counts the first gradient, which is never divided, in the bound", lr=0.1),
    ),
    Case(
        "adopt",
        {"learning_rate": 0.2, "b1": 0.8, "b2": 0.9, "eps": 1e-2},
        each_leaf(lambda: Adopt(0.8, 0.9, 1e-2, fourth_root), 0.2),
        po_adopt(lambda t: max(t - 1, 0) ** 0.25, lr=0.2, betas=(0.8, 0.9), eps=1e-2),
    ),
    Case(
        "adopt",
        {"learning_rate": LINE, "nesterov": True, "use_clipping": False, "b2": 0.9},
        each_leaf(lambda: Adopt(0.9, 0.9, 1e-6, None, nesterov=True), line),
    ),
    Case(
        "adopt",
        {"learning_rate": 0.1, "clip_value_fn": GROWING, "b1": 0.0},
        each_leaf(lambda: Adopt(0.0, 0.9999, 1e-6, growing), 0.1),
    ),
]

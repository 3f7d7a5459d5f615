"""LAMB: NumPy and pytorch_optimizer."""

from typing import Any

from conformance.case import Case, Independent, Later, each_leaf_with_params
from reference.lamb import Lamb

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def po_lamb(differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.Lamb(parameters, max_grad_norm=0.0, **settings)

    return Independent("pytorch_optimizer.Lamb", make, differs)


CASES = [
    Case(
        "lamb",
        {"learning_rate": 0.1},
        each_leaf_with_params(lambda x0: Lamb(0.9, 0.999, 1e-6), 0.1),
        po_lamb("it corrects the bias of m after the ratio of the norms was taken, and thus of the step", lr=0.1),
    ),
    Case(
        "lamb",
        {"learning_rate": 0.01, "b1": 0.0, "b2": 0.9, "eps": 0.0},
        each_leaf_with_params(lambda x0: Lamb(0.0, 0.9, 0.0), 0.01),
        po_lamb(lr=0.01, betas=(0.0, 0.9), eps=0.0),
    ),
    Case(
        "lamb",
        {"learning_rate": 0.1, "b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-4, "weight_decay": 0.1, "mask": None},
        each_leaf_with_params(lambda x0: Lamb(0.8, 0.95, 1e-3, 0.1, 1e-4), 0.1),
    ),
    Case(
        "lamb",
        {"learning_rate": FALLING, "weight_decay": 0.1},
        each_leaf_with_params(lambda x0: Lamb(0.9, 0.999, 1e-6, 0.1), falling),
    ),
]

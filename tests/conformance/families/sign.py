"""Descent by signs: NumPy and, for Signum, pytorch_optimizer."""

from typing import Any

import numpy as np

from conformance.case import Case, Independent, Later, each_leaf
from reference.sign import Signum

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def po_sign_sgd(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.SignSGD(parameters, **settings)

    return Independent("pytorch_optimizer.SignSGD", make)


CASES = [
    Case("scale_by_sign", {}, each_leaf(lambda: np.sign)),
    Case("sign_sgd", {"learning_rate": 0.1}, each_leaf(lambda: np.sign, 0.1), po_sign_sgd(lr=0.1, momentum=0.0)),
    Case(
        "sign_sgd",
        {"learning_rate": FALLING},
        each_leaf(lambda: np.sign, falling),
    ),
    Case("signum", {"learning_rate": 0.1}, each_leaf(lambda: Signum(0.9), 0.1), po_sign_sgd(lr=0.1, momentum=0.9)),
    Case(
        "signum",
        {"learning_rate": 0.1, "beta": 0.5, "accumulator_dtype": None},
        each_leaf(lambda: Signum(0.5), 0.1),
        po_sign_sgd(lr=0.1, momentum=0.5),
    ),
]

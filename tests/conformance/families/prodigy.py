"""Prodigy: compared with algorithm 4 of Mishchenko and Defazio (2023) and with the authors' package."""

from typing import Any

import numpy as np

from conformance.case import Case, Independent, Later
from reference.prodigy import Prodigy
from reference.vectors import as_one_vector


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


FALLING = Later(lambda optax: optax.linear_schedule(1.0, 0.2, 40))


def falling(t: int) -> float:
    return 1 - 0.02 * t


def package(differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import prodigyopt

        return prodigyopt.Prodigy(parameters, **{"use_bias_correction": True} | settings)

    return Independent("prodigyopt.Prodigy", make, differs)


OTHER: dict[str, Any] = {"betas": (0.8, 0.95), "beta3": 0.9, "eps": 1e-2, "weight_decay": 0.1}

ROUNDING = "It rounds 1 - b2**t, and adds the errors up in its estimate; in float64 they agree."

CASES = [
    Case("prodigy", {}, as_one_vector(Prodigy), package()),
    Case(
        "prodigy",
        {"learning_rate": 1.0},
        as_one_vector(Prodigy),
        package("By default the package does not correct the bias of the moments.", use_bias_correction=False),
    ),
    Case(
        "prodigy",
        OTHER | {"learning_rate": 0.5, "estim_lr0": 1e-3, "estim_lr_coef": 2.0},
        as_one_vector(lambda x0: Prodigy(x0, 0.5, 0.8, 0.95, 0.9, 1e-2, 1e-3, 2.0, 0.1)),
        package(**OTHER, lr=0.5, d0=1e-3, d_coef=2.0),
    ),
    Case(
        "prodigy",
        OTHER | {"learning_rate": 0.5, "estim_lr0": 1e-3, "safeguard_warmup": True},
        as_one_vector(lambda x0: Prodigy(x0, 0.5, 0.8, 0.95, 0.9, 1e-2, 1e-3, 1.0, 0.1, safeguard_warmup=True)),
        package(**OTHER, lr=0.5, d0=1e-3, safeguard_warmup=True),
    ),
    Case(
        "prodigy",
        {"learning_rate": FALLING, "estim_lr0": 1e-3},
        as_one_vector(lambda x0: Prodigy(x0, falling, d0=1e-3)),
        original=ROUNDING,
    ),
    Case(
        "prodigy",
        {"estim_lr0": 1e-3, "weight_decay": 0.1, "weight_decay_mask": matrices},
        as_one_vector(lambda x0: Prodigy(x0, d0=1e-3, decay=np.where(np.arange(x0.size) < 12, 0.1, 0.0))),
        original="prodigy of 0.2.8 has no mask.",
    ),
]

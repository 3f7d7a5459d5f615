"""D-Adaptation for Adam: compared with Defazio and Mishchenko (2023) and with the authors' package."""

from typing import Any

from conformance.case import Case, Independent, Later
from reference.dadapt_adamw import DAdaptAdamW
from reference.vectors import as_one_vector

FALLING = Later(lambda optax: optax.linear_schedule(1.0, 0.2, 40))


def falling(t: int) -> float:
    return 1 - 0.02 * t


def package(differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import dadaptation

        return dadaptation.DAdaptAdam(parameters, **{"use_bias_correction": True, "decouple": True} | settings)

    return Independent("dadaptation.DAdaptAdam", make, differs)


ROUNDING = "It rounds 1 - b2**t, and adds the errors up in its estimate; in float64 they agree."

CASES = [
    Case("dadapt_adamw", {}, as_one_vector(lambda x0: DAdaptAdamW()), package(), ROUNDING),
    Case(
        "dadapt_adamw",
        {"learning_rate": 1.0},
        as_one_vector(lambda x0: DAdaptAdamW()),
        package("By default the package does not correct the bias of the moments.", use_bias_correction=False),
        ROUNDING,
    ),
    Case(
        "dadapt_adamw",
        {"learning_rate": 0.5, "betas": (0.8, 0.95), "eps": 1e-2, "estim_lr0": 1e-3, "weight_decay": 0.1},
        as_one_vector(lambda x0: DAdaptAdamW(0.5, 0.8, 0.95, 1e-2, 1e-3, 0.1)),
        package(lr=0.5, betas=(0.8, 0.95), eps=1e-2, d0=1e-3, weight_decay=0.1),
    ),
    Case(
        "dadapt_adamw",
        {"learning_rate": FALLING, "estim_lr0": 1e-3},
        as_one_vector(lambda x0: DAdaptAdamW(falling, d0=1e-3)),
        original=ROUNDING,
    ),
]

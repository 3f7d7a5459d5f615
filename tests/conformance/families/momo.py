"""MoMo and MoMo-Adam: compared with Schaipp et al. (2023) and with the authors' package."""

from typing import Any

from conformance.case import Case, Independent, Later
from reference.momo import MoMo, MoMoAdam
from reference.vectors import as_one_vector

FALLING = Later(lambda optax: optax.linear_schedule(1.0, 0.2, 40))


def falling(t: int) -> float:
    return 1 - 0.02 * t


def package(name: str, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import momo

        return getattr(momo, name)(parameters, **settings)

    def step(optimizer: Any, value: float) -> None:
        import torch

        optimizer.step(loss=torch.tensor(value))

    return Independent(f"momo.{name}", make, step=step)


CANCELLATION = "The step size is a small difference of rounded inner products; in float64 they agree."
DECAY = "Its weight decay deviates from the paper (defect D6)."
OTHER: dict[str, Any] = {"beta": 0.7, "lower_bound": 0.5, "adapt_lower_bound": True}
OTHER_ADAM: dict[str, Any] = {"b1": 0.7, "b2": 0.95, "eps": 1e-2}

CASES = [
    Case("momo", {}, as_one_vector(lambda x0: MoMo()), package("Momo"), values=True),
    Case(
        "momo",
        {"learning_rate": 1e-4, "beta": 0.7, "lower_bound": 0.5},
        as_one_vector(lambda x0: MoMo(1e-4, 0.7, 0.5)),
        package("Momo", lr=1e-4, beta=0.7, lb=0.5),
        values=True,
    ),
    Case(
        "momo",
        OTHER | {"learning_rate": 1e-3},
        as_one_vector(lambda x0: MoMo(1e-3, 0.7, 0.5, estimate=True)),
        package("Momo", lr=1e-3, beta=0.7, lb=0.5, use_fstar=True),
        original=CANCELLATION,
        values=True,
    ),
    Case(
        "momo",
        OTHER | {"learning_rate": 1e-3, "weight_decay": 0.5},
        as_one_vector(lambda x0: MoMo(1e-3, 0.7, 0.5, 0.5, True)),
        package("Momo", lr=1e-3, beta=0.7, lb=0.5, weight_decay=0.5, use_fstar=True),
        original=DECAY,
        values=True,
    ),
    Case("momo", {"learning_rate": FALLING}, as_one_vector(lambda x0: MoMo(falling)), values=True),
    Case(
        "momo_adam",
        {},
        as_one_vector(lambda x0: MoMoAdam(0.01, 0.9, 0.999, 1e-8)),
        package("MomoAdam"),
        values=True,
    ),
    Case(
        "momo_adam",
        OTHER_ADAM | {"learning_rate": 1e-3, "lower_bound": 0.5},
        as_one_vector(lambda x0: MoMoAdam(1e-3, 0.7, 0.95, 1e-2, 0.5)),
        package("MomoAdam", lr=1e-3, betas=(0.7, 0.95), eps=1e-2, lb=0.5),
        values=True,
    ),
    Case(
        "momo_adam",
        OTHER_ADAM | {"learning_rate": 0.1, "lower_bound": -1.0, "adapt_lower_bound": True},
        as_one_vector(lambda x0: MoMoAdam(0.1, 0.7, 0.95, 1e-2, -1.0, estimate=True)),
        package("MomoAdam", lr=0.1, betas=(0.7, 0.95), eps=1e-2, lb=-1.0, use_fstar=True),
        original=CANCELLATION,
        values=True,
    ),
    Case(
        "momo_adam",
        OTHER_ADAM | {"learning_rate": FALLING, "weight_decay": 0.5},
        as_one_vector(lambda x0: MoMoAdam(falling, 0.7, 0.95, 1e-2, 0.0, 0.5)),
        original=DECAY,
        values=True,
    ),
    Case(
        "momo_adam",
        OTHER_ADAM | {"learning_rate": 0.1, "weight_decay": 0.5},
        as_one_vector(lambda x0: MoMoAdam(0.1, 0.7, 0.95, 1e-2, 0.0, 0.5)),
        package("MomoAdam", lr=0.1, betas=(0.7, 0.95), eps=1e-2, weight_decay=0.5),
        original=DECAY,
        values=True,
    ),
]

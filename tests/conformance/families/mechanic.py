"""Mechanic: compared with Cutkosky, Defazio and Mehta (2023) and with the authors' package."""

from collections.abc import Callable
from typing import Any

from conformance.case import Array, Case, Independent, Later
from reference.adam import Adam
from reference.mechanic import Mechanic
from reference.vectors import as_one_vector

DIFFERENT_MAXIMUM = "The package starts m from 1e-6, does not add eps to |h|, and does not clip h by the m before."
DELTA = "It divides by sum(s) + eps to get the sum of the inner updates back, where sum(s) may be as small as eps."


def tuned(make_base: Callable[[], Callable[[Array], Array]], rate: float, *settings: Any) -> Any:
    def of_vector(x0: Array) -> Callable[..., Array]:
        base = make_base()
        rule = Mechanic(x0, *settings)
        return lambda x, g, value: rule(x, g, -rate * base(g)) - x

    return as_one_vector(of_vector)


def package(base: str, rate: float, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import mechanic_pytorch
        import torch

        tuned = mechanic_pytorch.mechanize(getattr(torch.optim, base), store_delta=True, **settings)
        return tuned(parameters, lr=rate)

    return Independent("mechanic_pytorch.mechanize", make, DIFFERENT_MAXIMUM)


def itself(g: Array) -> Array:
    return g


CASES = [
    Case(
        "mechanize",
        {"base_optimizer": Later(lambda optax: optax.sgd(1.0))},
        tuned(lambda: itself, 1.0, 6, 1e-2, 1e-6, 1e-8),
        package("SGD", 1.0, s_init=1e-6),
        original=DELTA,
    ),
    Case(
        "mechanize",
        {
            "base_optimizer": Later(lambda optax: optax.adam(0.01)),
            "weight_decay": 0.1,
            "eps": 1e-4,
            "s_init": 1e-2,
            "num_betas": 2,
        },
        tuned(lambda: Adam(0.9, 0.999, 1e-8), 0.01, 2, 0.1, 1e-2, 1e-4),
        package("Adam", 0.01, s_decay=0.1, betas=(0.9, 0.99), s_init=1e-2, eps=1e-4),
        original=DELTA,
    ),
]

"""Fromage: NumPy and pytorch_optimizer."""

from typing import Any

from conformance.case import Array, Case, Independent, Later, Rule
from reference.fromage import fromage

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def po_fromage(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.Fromage(parameters, **settings)

    return Independent("pytorch_optimizer.Fromage", make)


def of_leaves(rate: Any, min_norm: float = 1e-6) -> Any:
    def start(x0: list[Array]) -> Rule:
        t = -1

        def rule(x: list[Array], g: list[Array], value: float) -> list[Array]:
            nonlocal t
            t += 1
            eta = rate(t) if callable(rate) else rate
            return [fromage(x_i, g_i, eta, min_norm) for x_i, g_i in zip(x, g, strict=True)]

        return rule

    return start


CASES = [
    Case("fromage", {"learning_rate": 0.1}, of_leaves(0.1), po_fromage(lr=0.1)),
    Case("fromage", {"learning_rate": 0.5, "min_norm": 3.0}, of_leaves(0.5, 3.0)),
    Case("fromage", {"learning_rate": FALLING}, of_leaves(falling)),
]

"""Polyak's step size: NumPy and pytorch_optimizer's AliG."""

from collections.abc import Callable
from typing import Any

from conformance.case import Array, Case, Independent, Later, Rate, Rule
from reference.polyak import step_size

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def alig(differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.AliG(parameters, **settings)

    def step(optimizer: Any, value: float) -> None:
        import torch

        optimizer.step(lambda: torch.tensor(value))

    return Independent("pytorch_optimizer.AliG", make, differs, step)


def of_leaves(
    factor: Rate, f_min: float = 0.0, gamma_b: float = 1.0, eps: float = 0.0, plus: bool = False
) -> Callable[[list[Array]], Rule]:
    def start(x0: list[Array]) -> Rule:
        t = -1

        def rule(x: list[Array], g: list[Array], value: float) -> list[Array]:
            nonlocal t
            t += 1
            scale = factor(t) if callable(factor) else factor
            gamma = step_size(g, value, f_min, gamma_b, eps, plus)
            return [scale * gamma * g_i for g_i in g]

        return rule

    return start


SCALING = "the original scales the gradient, not the step: a scaling of 1/2 doubles the step"

CASES = [
    Case("scale_by_polyak", {}, of_leaves(1.0), values=True),
    Case(
        "scale_by_polyak",
        {"f_min": 1.0, "max_learning_rate": 3e-4, "eps": 100.0},
        of_leaves(1.0, 1.0, 3e-4, 100.0),
        values=True,
    ),
    Case(
        "scale_by_polyak",
        {"f_min": 1.0, "max_learning_rate": 3e-4, "variant": "sps+"},
        of_leaves(1.0, 1.0, 3e-4, plus=True),
        values=True,
    ),
    Case("polyak_sgd", {}, of_leaves(-1.0), alig(max_lr=1.0), values=True),
    Case(
        "polyak_sgd",
        {"max_learning_rate": 3e-4, "f_min": 1.0, "eps": 10.0, "variant": "sps+"},
        of_leaves(-1.0, 1.0, 3e-4, 10.0, plus=True),
        values=True,
    ),
    Case("polyak_sgd", {"scaling": 0.5}, of_leaves(-0.5), original=SCALING, values=True),
    Case(
        "polyak_sgd",
        {"max_learning_rate": 3e-4, "scaling": FALLING},
        of_leaves(lambda t: -falling(t), gamma_b=3e-4),
        original=SCALING,
        values=True,
    ),
]

"""Differentially private gradient descent without its noise: NumPy. tests/optimizers has the noise."""

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.case import Array, Case, Later, Rate, Rule
from reference.dpsgd import clipped_mean
from reference.sgd import Momentum

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def three_examples(g: Array) -> Array:
    """Gradients of three examples, of different norms."""
    return np.stack([g, -0.5 * g + 0.1, 1e-2 * g])


def of_leaves(rate: Rate, clip: float, momentum: Callable[[], Any] = lambda: lambda g: g) -> Any:
    def start(x0: list[Array]) -> Rule:
        rules = [momentum() for _ in x0]
        t = -1

        def rule(x: list[Array], g: list[Array], value: float) -> list[Array]:
            nonlocal t
            t += 1
            eta = rate(t) if callable(rate) else rate
            mean = clipped_mean([list(leaves) for leaves in zip(*map(three_examples, g), strict=True)], clip)
            return [-eta * rule(m) for rule, m in zip(rules, mean, strict=True)]

        return rule

    return start


CASES = [
    Case(
        "dpsgd",
        {"learning_rate": 0.1, "l2_norm_clip": 10.0, "noise_multiplier": 0.0, "seed": 0},
        of_leaves(0.1, 10.0),
        batch=three_examples,
    ),
    Case(
        "dpsgd",
        {
            "learning_rate": FALLING,
            "l2_norm_clip": 0.5,
            "noise_multiplier": 0.0,
            "seed": 0,
            "momentum": 0.9,
            "nesterov": True,
        },
        of_leaves(falling, 0.5, lambda: Momentum(0.9, nesterov=True)),
        batch=three_examples,
    ),
]

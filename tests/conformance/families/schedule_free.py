"""Schedule-free learning: compared with Defazio et al. (2024) and with the authors' package."""

from collections.abc import Callable
from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf_with_params
from reference.schedule_free import RootMeanSquare, ScheduleFree


def averaged(
    make_direction: Callable[[], Callable[[Array], Array]],
    rate: float,
    beta: float = 0.9,
    power: float = 2.0,
    coupled: float = 0.0,
    decoupled: float = 0.0,
    warmup_steps: int = 0,
) -> Any:
    def of_leaf(y0: Array) -> Callable[[Array, Array], Array]:
        direction, averages = make_direction(), ScheduleFree(y0, beta, power)
        t = -1

        def rule(y: Array, g: Array) -> Array:
            nonlocal t
            t += 1
            gamma = rate * min(t / warmup_steps, 1.0) if warmup_steps else rate
            before = averages.y
            averages(-gamma * (direction(g + coupled * y) + decoupled * y), gamma)
            return averages.y - before

        return rule

    return each_leaf_with_params(of_leaf)


def itself() -> Callable[[Array], Array]:
    return lambda g: g


def package(name: str, differs: str | None = None, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import schedulefree

        optimizer = getattr(schedulefree, name)(parameters, **settings)
        optimizer.train()
        return optimizer

    return Independent(f"schedulefree.{name}", make, differs)


WARM_UP = "The package warms up from 1 / warmup_steps of the learning rate, not from 0."

ROUNDING = "In float32 both round what the mean gains in a step; in float64 they agree."
FROM_ONE = "Its weights are made from the learning rate of the next step, and warm up from 0."

CASES = [
    Case("schedule_free_sgd", {}, averaged(itself, 1.0), package("SGDScheduleFree")),
    Case(
        "schedule_free_sgd",
        {"learning_rate": 10.0, "b1": 0.7, "weight_decay": 0.01, "weight_lr_power": 1.0},
        averaged(itself, 10.0, 0.7, 1.0, coupled=0.01),
        package("SGDScheduleFree", lr=10.0, momentum=0.7, weight_decay=0.01, weight_lr_power=1.0),
    ),
    Case(
        "schedule_free_sgd",
        {"warmup_steps": 5},
        averaged(itself, 1.0, warmup_steps=5),
        package("SGDScheduleFree", WARM_UP, warmup_steps=5),
        original=FROM_ONE,
    ),
    Case(
        "schedule_free_adamw",
        {},
        averaged(lambda: RootMeanSquare(0.999, 1e-8), 0.0025),
        package("AdamWScheduleFree"),
        original=ROUNDING,
    ),
    Case(
        "schedule_free_adamw",
        {"learning_rate": 1.0, "b1": 0.7, "b2": 0.95, "eps": 1e-2, "weight_decay": 0.3, "weight_lr_power": 1.0},
        averaged(lambda: RootMeanSquare(0.95, 1e-2), 1.0, 0.7, 1.0, decoupled=0.3),
        package("AdamWScheduleFree", lr=1.0, betas=(0.7, 0.95), eps=1e-2, weight_decay=0.3, weight_lr_power=1.0),
    ),
    Case(
        "schedule_free_adamw",
        {"warmup_steps": 5},
        averaged(lambda: RootMeanSquare(0.999, 1e-8), 0.0025, warmup_steps=5),
        package("AdamWScheduleFree", WARM_UP, warmup_steps=5),
        original=FROM_ONE,
    ),
    Case(
        "schedule_free",
        {"base_optimizer": Later(lambda optax: optax.sgd(10.0)), "learning_rate": 10.0, "b1": 0.5},
        averaged(itself, 10.0, 0.5),
    ),
]

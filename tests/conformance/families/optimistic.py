"""Optimistic gradient descent and optimistic Adam: compared with NumPy."""

from conformance.case import Case, Later, each_leaf
from reference.adam import Adam
from reference.optimistic import Optimistic


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


LINE = Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))


CASES = [
    Case("scale_by_optimistic_gradient", {}, each_leaf(lambda: Optimistic(1.0, 1.0))),
    Case("scale_by_optimistic_gradient", {"alpha": 2.0, "beta": 0.5}, each_leaf(lambda: Optimistic(2.0, 0.5))),
    Case("optimistic_gradient_descent", {"learning_rate": 0.1}, each_leaf(lambda: Optimistic(1.0, 1.0), 0.1)),
    Case(
        "optimistic_gradient_descent",
        {"learning_rate": LINE, "alpha": 2.0, "beta": 0.5},
        each_leaf(lambda: Optimistic(2.0, 0.5), line),
    ),
    Case(
        "optimistic_adam",
        {"learning_rate": 0.1},
        each_leaf(lambda: Optimistic(0.1, 0.1, Adam(0.9, 0.999, 1e-8, nesterov=True)), 1.0),
    ),
    Case(
        "optimistic_adam",
        {
            "learning_rate": 0.1,
            "optimism": 0.3,
            "b1": 0.8,
            "b2": 0.9,
            "eps": 1e-3,
            "eps_root": 1e-4,
            "mu_dtype": None,
            "nesterov": False,
        },
        each_leaf(lambda: Optimistic(0.1, 0.3, Adam(0.8, 0.9, 1e-3, 1e-4)), 1.0),
    ),
    Case(
        "optimistic_adam_v2",
        {"learning_rate": 0.1},
        each_leaf(lambda: Optimistic(1.0, 1.0, Adam(0.9, 0.999, 1e-8, nesterov=True)), 0.1),
    ),
    Case(
        "optimistic_adam_v2",
        {
            "learning_rate": LINE,
            "alpha": 2.0,
            "beta": 0.5,
            "b1": 0.8,
            "b2": 0.9,
            "eps": 1e-3,
            "eps_root": 1e-4,
            "mu_dtype": None,
            "nesterov": False,
        },
        each_leaf(lambda: Optimistic(2.0, 0.5, Adam(0.8, 0.9, 1e-3, 1e-4)), line),
    ),
]

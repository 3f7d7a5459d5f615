"""Gradient descent with noise, where the variance of the noise is 0: NumPy. tests/optimizers has the noise."""

from conformance.case import Array, Case, Later, each_leaf

FALLING = Later(lambda optax: optax.linear_schedule(0.1, 0.02, 40))


def falling(t: int) -> float:
    return 0.1 - 0.002 * t


def itself(g: Array) -> Array:
    return g


CASES = [
    Case("noisy_sgd", {"learning_rate": 0.1, "eta": 0.0}, each_leaf(lambda: itself, 0.1)),
    Case(
        "noisy_sgd",
        {"learning_rate": FALLING, "eta": 0.0, "gamma": 1.0, "key": 3},
        each_leaf(lambda: itself, falling),
    ),
]

"""COCOB: compared with algorithm 2 of Orabona and Tommasi (2017) and with the first author's package."""

from collections.abc import Callable
from typing import Any

from conformance.case import Array, Case, Independent, Later, each_leaf_with_params
from reference.cocob import COCOB


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


FALLING = Later(lambda optax: optax.linear_schedule(1.0, 0.2, 40))


def falling(t: int) -> float:
    return 1 - 0.02 * t


def of_weighted_gradients(alpha: float, eps: float, decay: float) -> Callable[[Array], Callable[..., Array]]:
    """With a penalty on matrices, and weights that fall, of the gradients."""

    def of_leaf(w1: Array) -> Callable[[Array, Array], Array]:
        rule = COCOB(w1, alpha, eps)
        t = -1

        def weighted(w: Array, g: Array) -> Array:
            nonlocal t
            t += 1
            return rule(w, falling(t) * (g + (decay * w if w.ndim == 2 else 0)))

        return weighted

    return of_leaf


def package(**settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import parameterfree

        return parameterfree.COCOB(parameters, **settings)

    return Independent("parameterfree.COCOB", make)


CASES = [
    Case("scale_by_cocob", {}, each_leaf_with_params(COCOB), package()),
    Case(
        "scale_by_cocob",
        {"alpha": 3.0, "eps": 0.1},
        each_leaf_with_params(lambda w1: COCOB(w1, 3.0, 0.1)),
        package(alpha=3.0, eps=0.1),
    ),
    Case("cocob", {}, each_leaf_with_params(COCOB), package()),
    Case(
        "cocob",
        {"learning_rate": FALLING, "alpha": 3.0, "eps": 0.1, "weight_decay": 0.1, "mask": matrices},
        each_leaf_with_params(of_weighted_gradients(3.0, 0.1, 0.1)),
    ),
]

"""DoG and DoWG: compared with Ivgi et al. (2023), Khaled et al. (2023) and the package of the authors of DoG."""

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.case import Array, Case, Independent, Later, each_leaf_with_params
from reference.dog import DoG, DoWG
from reference.vectors import as_one_vector


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


FALLING = Later(lambda optax: optax.linear_schedule(1.0, 0.2, 40))


def falling(t: int) -> float:
    return 1 - 0.02 * t


def decayed(rule: Callable[[Array, Array], Array], decay: float, rate: float | None = None) -> Callable[..., Array]:
    """Steps to add, with a penalty on the matrix (the first 12 elements); by default the learning rate falls."""
    t = -1

    def step(x: Array, g: Array, value: float) -> Array:
        nonlocal t
        t += 1
        g = g + np.where(np.arange(x.size) < 12, decay, 0.0) * x
        return -(falling(t) if rate is None else rate) * rule(x, g)

    return step


def plain(rule: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    return decayed(rule, 0.0, 1.0)


class FirstStep(DoG):
    """DoG whose first step size is given."""

    def __init__(self, x0: Array, eta: float):
        super().__init__(x0, 0.0, 1e-8)
        self.eta = eta

    def __call__(self, x: Array, g: Array) -> Array:
        first = not self.squares
        step = super().__call__(x, g)
        return self.eta * g if first else step


def heuristic(x0: Array, relative: float = 1e-6) -> float:
    return relative * (1 + float(np.linalg.norm(x0)))


def layer_wise(x0: Array) -> DoG:
    """It keeps x0 in float32."""
    return DoG(x0.astype(np.float32).astype(np.float64), heuristic(x0), 1e-8)


def minus_half_layer_wise(x0: Array) -> Callable[[Array, Array], Array]:
    rule = DoG(x0, heuristic(x0, 1e-4), 1e-2)
    return lambda x, g: -0.5 * rule(x, g)


def package(name: str, **settings: Any) -> Independent:
    def make(parameters: list[Any]) -> Any:
        import dog

        return getattr(dog, name)(parameters, **settings)

    return Independent(f"dog.{name}", make)


CASES = [
    Case("scale_by_distance_over_gradients", {}, each_leaf_with_params(layer_wise)),
    Case(
        "scale_by_distance_over_gradients",
        {"reps_rel": 1e-4, "eps": 1e-2, "param_dtype": np.dtype("float64"), "global_scale": -0.5},
        each_leaf_with_params(minus_half_layer_wise),
        package("LDoG", reps_rel=1e-4, lr=0.5, eps=1e-2),
    ),
    Case("dog", {}, as_one_vector(lambda x0: plain(DoG(x0, heuristic(x0), 1e-8))), package("DoG")),
    Case(
        "dog",
        {"learning_rate": FALLING, "init_step": ("distance", 0.1), "weight_decay": 0.3, "mask": matrices},
        as_one_vector(lambda x0: decayed(DoG(x0, 0.1, 1e-8), 0.3)),
    ),
    Case(
        "dog",
        {"learning_rate": 0.5, "init_step": ("heuristic", 1e-4), "eps": 1e-2},
        as_one_vector(lambda x0: decayed(DoG(x0, heuristic(x0, 1e-4), 1e-2), 0.0, 0.5)),
        package("DoG", reps_rel=1e-4, lr=0.5, eps=1e-2),
    ),
    Case(
        "dog",
        {"init_step": ("learning_rate", 1e-3)},
        as_one_vector(lambda x0: plain(FirstStep(x0, 1e-3))),
        package("DoG", init_eta=1e-3),
    ),
    Case("dowg", {}, as_one_vector(lambda x0: plain(DoWG(x0, 1e-2, 1e-4)))),
    Case(
        "dowg",
        {"learning_rate": FALLING, "init_estim_sq_dist": 0.01, "eps": 1e-2, "weight_decay": 0.3, "mask": matrices},
        as_one_vector(lambda x0: decayed(DoWG(x0, 0.1, 1e-2), 0.3)),
    ),
]

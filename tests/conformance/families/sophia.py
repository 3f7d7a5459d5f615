"""Sophia: compared with algorithm 3 of Liu et al. (2023), with estimates that are a function of the gradients."""

from typing import Any

import numpy as np

from conformance.case import Array, Case, Independent, Later, each_leaf_with_params
from reference.sophia import Sophia


def estimate(x: Array, g: Array, i: int) -> Array:
    return (0.5 + i) * np.abs(g) - 0.1


def estimator(optax: Any) -> Any:
    """A transformation that puts `estimate` in the place of the gradients, and counts how often it did."""
    import jax
    import jax.numpy as jnp

    def init(params: Any) -> Any:
        return jnp.zeros((), jnp.float32)

    def update(updates: Any, i: Any, params: Any = None, **extra_args: Any) -> Any:
        return jax.tree.map(lambda g: (0.5 + i.astype(g.dtype)) * jnp.abs(g) - 0.1, updates), i + 1

    return optax.GradientTransformationExtraArgs(init, update)


def ones(optax: Any) -> Any:
    """A transformation that puts ones in the place of the gradients."""
    import jax
    import jax.numpy as jnp

    return optax.stateless(lambda updates, params: jax.tree.map(jnp.ones_like, updates))


def waves(optax: Any, params: Any, gradients: Any, value: Any) -> dict[str, Any]:
    """A function whose Hessian is diagonal, so that its estimate is exact whatever the random signs."""
    import jax.numpy as jnp

    return {"obj_fn": lambda x: -sum(jnp.sum(jnp.cos(leaf)) for leaf in x.values() if leaf is not None)}


def matrices(params: Any) -> Any:
    return {name: name == "matrix" for name in params}


def decay_matrices(x0: Array) -> float:
    return 0.3 if x0.ndim == 2 else 0.0


def line(t: int) -> float:
    return 0.1 * (1 - t / 50)


LINE = Later(lambda optax: optax.linear_schedule(0.1, 0.0, 50))


def second_derivatives(x0: list[Array]) -> Any:
    return lambda x, g, value: [np.cos(leaf) for leaf in x]


def po_sophia(parameters: list[Any]) -> Any:
    import pytorch_optimizer

    return pytorch_optimizer.SophiaH(parameters, lr=10.0, betas=(0.965, 0.99), p=0.01)


def po_step(optimizer: Any, value: float) -> None:
    import torch

    optimizer.step(hessian=[torch.ones_like(p) for group in optimizer.param_groups for p in group["params"]])


CASES = [
    Case("hutchinson_estimator_diag_hessian", {}, second_derivatives, extra_args=waves),
    Case(
        "sophia",
        {"learning_rate": 0.1},
        each_leaf_with_params(
            lambda x0: Sophia(0.965, 0.99, 1e-8, 1e-4, 0.01, 1.0, 10, lambda x, g, i: np.cos(x)), 0.1
        ),
        extra_args=waves,
    ),
    Case(
        "sophia",
        {"learning_rate": 0.1, "hessian_diagonal_fn": Later(estimator)},
        each_leaf_with_params(lambda x0: Sophia(0.965, 0.99, 1e-8, 1e-4, 0.01, 1.0, 10, estimate), 0.1),
    ),
    Case(
        "sophia",
        {"learning_rate": 0.1, "weight_decay": 0.0, "update_interval": 1, "hessian_diagonal_fn": Later(ones)},
        each_leaf_with_params(
            lambda x0: Sophia(0.965, 0.99, 1e-8, 0.0, 0.01, 1.0, 1, lambda x, g, i: np.ones_like(x)), 0.1
        ),
        Independent(
            "pytorch_optimizer.SophiaH",
            po_sophia,
            "it uses an estimate in the step that makes it, and corrects no bias of m",
            po_step,
        ),
    ),
    Case(
        "sophia",
        {
            "learning_rate": LINE,
            "b1": 0.8,
            "b2": 0.7,
            "eps": 1e-2,
            "weight_decay": 0.3,
            "weight_decay_mask": matrices,
            "gamma": 0.5,
            "clip_threshold": 0.7,
            "update_interval": 3,
            "hessian_diagonal_fn": Later(estimator),
            "mu_dtype": None,
        },
        each_leaf_with_params(lambda x0: Sophia(0.8, 0.7, 1e-2, decay_matrices(x0), 0.5, 0.7, 3, estimate), line),
    ),
]

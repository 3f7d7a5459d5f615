"""Optimism: step against the gradient that is to be expected, for games and other moving targets.

u = (alpha + beta) * g - beta * g_before        (alpha * g at the first update)
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_hyperparameter,
    new_slot,
    over_leaves,
    scaled,
    transformation,
)
from optax.optimizers._adam import scale_by_adam
from optax.transforms import scale, scale_by_learning_rate

__all__ = [
    "ScaleByOptimisticGradientState",
    "optimistic_adam",
    "optimistic_adam_v2",
    "optimistic_gradient_descent",
    "scale_by_optimistic_gradient",
]


class ScaleByOptimisticGradientState(NamedTuple):
    """State of `scale_by_optimistic_gradient`.

    Attributes:
      is_initial_step: boolean scalar, whether no update has been made yet.
      previous_gradient: tree of the parameters' structure, shapes and dtypes, the last gradients.
    """

    is_initial_step: jax.Array
    previous_gradient: Updates


@transformation
def scale_by_optimistic_gradient(alpha: Numeric = 1.0, beta: Numeric = 1.0) -> GradientTransformation:
    """Step as if the gradient went on to change as it just did: u = alpha * g + beta * (g - g_before).

    At the first update, where nothing came before, u = alpha * g.

    Args:
      alpha: real scalar, weight of the gradient.
      beta: real scalar, weight of its change.

    Returns:
      A transformation whose state is `ScaleByOptimisticGradientState`.

    Raises:
      TypeError: `alpha` or `beta` is not a real scalar.

    Reference:
      Mokhtari, Ozdaglar, Pattathil, "A unified analysis of extra-gradient and optimistic gradient methods for saddle
      point problems: proximal point approach", 2020, equations of generalized OGDA.
    """
    check_hyperparameter("alpha", alpha)
    check_hyperparameter("beta", beta)

    def init(params: Params) -> ScaleByOptimisticGradientState:
        return ScaleByOptimisticGradientState(jnp.asarray(True), new_slot(params, decay=0))

    def update(
        updates: Updates, state: ScaleByOptimisticGradientState, params: Params | None = None
    ) -> tuple[Updates, ScaleByOptimisticGradientState]:
        del params
        first = state.is_initial_step

        def rule(g: jax.Array, before: jax.Array) -> tuple[jax.Array, jax.Array]:
            return scaled(g, alpha) + scaled(jnp.where(first, 0, g - before), beta), g

        updates, g = over_leaves(rule, updates, state.previous_gradient)
        return updates, ScaleByOptimisticGradientState(jnp.asarray(False), g)

    return GradientTransformation(init, update)


@transformation
def optimistic_gradient_descent(
    learning_rate: ScalarOrSchedule, alpha: Numeric = 1.0, beta: Numeric = 1.0
) -> GradientTransformationExtraArgs:
    """Optimistic gradient descent: u = -learning_rate * (alpha * g + beta * (g - g_before)).

    Where plain gradient descent runs round an equilibrium of two players, this goes to it.

    Args:
      learning_rate: real scalar or schedule.
      alpha: real scalar, weight of the gradient.
      beta: real scalar, weight of its change since the last update; it counts from the second update on.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable, or `alpha` or `beta` is not a real scalar.

    Reference:
      Mokhtari, Ozdaglar, Pattathil, "A unified analysis of extra-gradient and optimistic gradient methods for saddle
      point problems: proximal point approach", 2020, equations of generalized OGDA.
    """
    return chain(scale_by_optimistic_gradient(alpha, beta), scale_by_learning_rate(learning_rate))


@transformation
def optimistic_adam_v2(
    learning_rate: ScalarOrSchedule,
    *,
    alpha: Numeric = 1.0,
    beta: Numeric = 1.0,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    nesterov: bool = True,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Optimistic Adam: a step along Adam's direction d, and along how that has changed.

        u = -learning_rate * (alpha * d + beta * (d - d_before))

    Args:
      learning_rate: real scalar or schedule.
      alpha: real scalar, weight of the direction.
      beta: real scalar, weight of its change since the last update; it counts from the second update on.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of the mean of the gradients; see `scale_by_adam`.
      nesterov: whether Adam's mean looks one step ahead; see `scale_by_adam`. In the paper it does not.
      nu_dtype: dtype of the mean of their squares; see `scale_by_adam`.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable, or `alpha` or `beta` is not a real scalar.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Daskalakis, Ilyas, Syrgkanis, Zeng, "Training GANs with optimism", 2018, algorithm 1.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype),
        scale_by_optimistic_gradient(alpha, beta),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def optimistic_adam(
    learning_rate: Numeric,
    optimism: Numeric | None = None,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Optimistic Adam, in the form that older code calls: u = -learning_rate * d - optimism * (d - d_before).

    New code has `optimistic_adam_v2`, whose `beta` is `optimism / learning_rate` and which takes schedules.

    Args:
      learning_rate: real scalar.
      optimism: real scalar, weight of the change of Adam's direction d; None for the learning rate.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of the mean of the gradients; see `scale_by_adam`.
      nesterov: whether Adam's mean looks one step ahead; see `scale_by_adam`. In the paper it does not.
      nu_dtype: dtype of the mean of their squares; see `scale_by_adam`.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `optimism` is not a real scalar.
      ValueError: `learning_rate` is a schedule, a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Daskalakis, Ilyas, Syrgkanis, Zeng, "Training GANs with optimism", 2018, algorithm 1.
    """
    if callable(learning_rate):
        raise ValueError("optimistic_adam takes no schedule as its learning_rate; optimistic_adam_v2 does")
    check_hyperparameter("learning_rate", learning_rate)
    if optimism is not None:
        check_hyperparameter("optimism", optimism)
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype),
        scale_by_optimistic_gradient(learning_rate, learning_rate if optimism is None else optimism),
        scale(-1.0),
    )

"""Polyak's step size: as long as the step to where a linear function with this gradient would reach the minimum.

s = min((f - f_min) / (|g|^2 + eps), max_learning_rate)
u = -s * g
"""

from __future__ import annotations

from typing import Any, Literal

import jax.numpy as jnp

from optax.core import (
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_hyperparameter,
    init_empty_state,
    over_leaves,
    scaled,
    transformation,
    tree,
)
from optax.transforms import scale_by_learning_rate
from optax.transforms._loss import loss_of_step
from optax.transforms._precision import quotient

__all__ = ["polyak_sgd", "scale_by_polyak"]


@transformation
def scale_by_polyak(
    f_min: Numeric = 0.0,
    max_learning_rate: Numeric = 1.0,
    eps: Numeric = 0.0,
    variant: Literal["sps", "sps+"] = "sps",
) -> GradientTransformationExtraArgs:
    """Scale the updates by Polyak's step size, from the value f of the function.

        u = g * min(gap / (|g|^2 + eps), max_learning_rate)
        gap = f - f_min             ("sps")
        gap = max(f - f_min, 0)     ("sps+")

    |g| is the Euclidean norm of all leaves taken as one vector. Where the denominator is 0, so is u.

    Args:
      f_min: real scalar, the least value of the function, or a bound below it. While f is less, "sps" ascends and
        "sps+" stays where it is.
      max_learning_rate: real scalar > 0.
      eps: real scalar >= 0.
      variant: "sps" or "sps+".

    Returns:
      A transformation whose state is `EmptyState()` and whose `update` takes the value of the function at the
      parameters too: `update(grads, state, params, value=value)`, a real scalar.

    Raises:
      ValueError: `max_learning_rate` is not positive, `eps` is negative, or there is no such variant.
      TypeError: from `update`, if `value` is missing or no real scalar.

    References:
      Loizou et al., "Stochastic Polyak step-size for SGD: an adaptive learning rate for fast convergence", 2021
      (SPS_max with c = 1).
      Garrigos, Gower, Schaipp, "Function value learning: adaptive learning rates based on the Polyak stepsize and
      function splitting in ERM", 2023 (for "sps+").
    """
    check_hyperparameter("f_min", f_min)
    check_hyperparameter("max_learning_rate", max_learning_rate, above=0)
    check_hyperparameter("eps", eps, least=0)
    if variant not in ("sps", "sps+"):
        raise ValueError(f"variant must be 'sps' or 'sps+', not {variant!r}")

    def update(
        updates: Updates, state: OptState, params: Params | None = None, *, value: Any = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        del params, extra_args
        square = tree.norm(updates, squared=True)
        loss = loss_of_step(value, square.dtype, "Polyak's step size needs the value of the function")
        gap = loss - jnp.asarray(f_min, square.dtype)
        if variant == "sps+":
            gap = jnp.maximum(gap, 0)
        step = quotient(gap, square + jnp.asarray(eps, square.dtype))
        step = jnp.minimum(step, jnp.asarray(max_learning_rate, square.dtype))
        return over_leaves(lambda g: scaled(g, step), updates), state

    return GradientTransformationExtraArgs(init_empty_state, update)


@transformation
def polyak_sgd(
    max_learning_rate: Numeric = 1.0,
    scaling: ScalarOrSchedule = 1.0,
    f_min: Numeric = 0.0,
    eps: Numeric = 0.0,
    variant: Literal["sps", "sps+"] = "sps",
) -> GradientTransformationExtraArgs:
    """Gradient descent with Polyak's step size, from the value f of the function.

        u = -scaling * g * min((f - f_min) / (|g|^2 + eps), max_learning_rate)

    |g| is the Euclidean norm of all leaves taken as one vector. Where the denominator is 0, so is u.

    Args:
      max_learning_rate: real scalar > 0, bound on the step size before `scaling`.
      scaling: real scalar or schedule.
      f_min: real scalar, the least value of the function, or a bound below it.
      eps: real scalar >= 0.
      variant: "sps", or "sps+", which stays where it is while f is less than `f_min` (where "sps" ascends).

    Returns:
      A transformation whose `update` takes the value of the function at the parameters too:
      `update(grads, state, params, value=value)`, a real scalar. Add its updates with `apply_updates`.

    Raises:
      TypeError: `scaling` is neither a real scalar nor callable; from `update`, if `value` is missing or no
        real scalar.
      ValueError: `max_learning_rate` is not positive, `eps` is negative, or there is no such variant.

    Reference:
      Loizou et al., "Stochastic Polyak step-size for SGD: an adaptive learning rate for fast convergence", 2021
      (SPS_max with c = 1).
    """
    return chain(
        scale_by_polyak(f_min, max_learning_rate, eps, variant),
        scale_by_learning_rate(scaling),
    )

"""AdaMax: Adam in the infinity norm. The largest gradient of late takes the place of the root mean square.

t = t + 1
m = b1 * m + (1 - b1) * g
v = max(b2 * v, |g| + eps)
u = m / (1 - b1^t) / v
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_dtype,
    check_hyperparameter,
    moving_average,
    over_leaves,
    safe_increment,
    scaled,
    transformation,
)
from optax.optimizers._adam import ScaleByAdamState, no_moments
from optax.optimizers._parts import mean_estimate, over
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["adamax", "adamaxw", "scale_by_adamax"]


@transformation
def scale_by_adamax(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """AdaMax's direction: the mean of the gradients over the largest of them, of which earlier ones count for less.

        m = b1 * m + (1 - b1) * g
        v = max(b2 * v, |g| + eps)
        u = m / (1 - b1^t) / v

    Args:
      b1: scalar in [0, 1), decay of m.
      b2: scalar in [0, 1), decay of the maximum.
      eps: scalar >= 0, added to |g|.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits, where 0.999 * v rounds to v.

    Returns:
      A transformation whose state is `ScaleByAdamState`, with v as `nu`.

    Raises:
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    Reference:
      Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2, which has no eps.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAdamState:
        return no_moments(params, b1, mu_dtype, nu_dtype)

    def update(
        updates: Updates, state: ScaleByAdamState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdamState]:
        del params
        t = safe_increment(state.count)
        mean = mean_estimate(b1, t, nesterov=False)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            v = jnp.maximum(scaled(v, b2), jnp.abs(g) + eps)
            return over(mean(g, m), v, eps), m, v

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(t, mu, nu)

    return GradientTransformation(init, update)


@transformation
def adamax(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdaMax: Adam with the largest gradient in the place of the root mean square.

        m = b1 * m + (1 - b1) * g
        v = max(b2 * v, |g| + eps)
        u = -learning_rate * m / (1 - b1^t) / v

    No element moves by more than about learning_rate in a step.

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of m.
      b2: scalar in [0, 1), decay of the maximum.
      eps: scalar >= 0, added to |g|.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    Reference:
      Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2, which has no eps.
    """
    return chain(
        scale_by_adamax(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def adamaxw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdaMax with decoupled weight decay.

        m = b1 * m + (1 - b1) * g
        v = max(b2 * v, |g| + eps)
        u = -learning_rate * (m / (1 - b1^t) / v + weight_decay * p)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of m.
      b2: scalar in [0, 1), decay of the maximum.
      eps: scalar >= 0, added to |g|.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    References:
      Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 2.
      Loshchilov, Hutter, "Decoupled weight decay regularization", 2019.
    """
    return chain(
        scale_by_adamax(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )

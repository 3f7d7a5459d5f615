"""Yogi: Adam whose mean square changes by no more than the newest square, however large it is.

t = t + 1
m = b1 * m + (1 - b1) * g
v = v - (1 - b2) * sign(v - |g|^2) * |g|^2
u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t) + eps_root) + eps)
"""

from __future__ import annotations

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
    abs_sq,
    chain,
    check_dtype,
    check_hyperparameter,
    debias,
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    scaled,
    total_weight,
    transformation,
    tree,
)
from optax.optimizers._adam import ScaleByAdamState
from optax.optimizers._parts import filled_slot, mean_estimate, over_root
from optax.transforms import scale_by_learning_rate

__all__ = ["scale_by_yogi", "yogi"]


@transformation
def scale_by_yogi(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-3,
    eps_root: Numeric = 0.0,
    initial_accumulator_value: Numeric = 1e-6,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Yogi's direction: Adam's, with a mean square that moves towards the newest square by a share of that square.

        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * sign(v - |g|^2) * |g|^2
        u = m^ / (sqrt(v^ + eps_root) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      b1: scalar in [0, 1), decay of the first moment.
      b2: scalar in [0, 1); 1 - b2 is the share of the square.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      initial_accumulator_value: scalar >= 0 that both m and v start from. Because m does too, the first updates are
        not zero where the gradients are; the paper starts m from 0.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAdamState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon or the initial value is negative.

    Reference:
      Zaheer et al., "Adaptive methods for nonconvex optimization", 2018, algorithm 2, which corrects no bias.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_hyperparameter("initial_accumulator_value", initial_accumulator_value, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAdamState:
        return ScaleByAdamState(
            count=jnp.zeros([], jnp.int32),
            mu=tree.full_like(new_slot(params, decay=b1, dtype=mu_dtype), initial_accumulator_value),
            nu=filled_slot(params, initial_accumulator_value, nu_dtype),
        )

    def update(
        updates: Updates, state: ScaleByAdamState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdamState]:
        del params
        t = safe_increment(state.count)
        mean, c2 = mean_estimate(b1, t, nesterov=False), total_weight(b2, t)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            square = abs_sq(g)
            v = v - scaled(jnp.sign(v - square) * square, 1 - b2)
            return over_root(mean(g, m), debias(v, c2), eps, eps_root), m, v

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(t, mu, nu)

    return GradientTransformation(init, update)


@transformation
def yogi(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-3,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Yogi: Adam whose step sizes grow slowly after large gradients.

        m = b1 * m + (1 - b1) * g
        v = v - (1 - b2) * sign(v - |g|^2) * |g|^2
        u = -learning_rate * m^ / (sqrt(v^) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    m and v start from 1e-6; see `scale_by_yogi`.

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1); 1 - b2 is the share of the newest square by which v changes.
      eps: scalar >= 0, added outside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    Reference:
      Zaheer et al., "Adaptive methods for nonconvex optimization", 2018, algorithm 2, which corrects no bias.
    """
    return chain(
        scale_by_yogi(b1, b2, eps, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )

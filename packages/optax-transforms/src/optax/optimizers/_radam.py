"""RAdam: Adam that waits until its mean square can be trusted, and rectifies the variance of its steps from then on.

t = t + 1
m = b1 * m + (1 - b1) * g
v = b2 * v + (1 - b2) * |g|^2
rho = rho_inf - 2 * t * b2^t / (1 - b2^t), rho_inf = 2 / (1 - b2) - 1
r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
u = r * m / (1 - b1^t) / (sqrt(v / (1 - b2^t) + eps_root) + eps) if rho >= threshold, else m / (1 - b1^t)
"""

from __future__ import annotations

import math

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
    over_leaves,
    safe_increment,
    safe_sqrt,
    scaled,
    total_weight,
    transformation,
)
from optax.optimizers._adam import ScaleByAdamState, no_moments
from optax.optimizers._parts import mean_estimate, over_root
from optax.transforms import scale_by_learning_rate

__all__ = ["radam", "scale_by_radam"]


@transformation
def scale_by_radam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 5.0,
    *,
    nesterov: bool = False,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """RAdam's direction: Adam's, rectified, once enough gradients are in the mean of squares; before that the mean.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        rho = rho_inf - 2 * t * b2^t / (1 - b2^t)    with rho_inf = 2 / (1 - b2) - 1
        r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
        u = r * m^ / (sqrt(v^ + eps_root) + eps) if rho >= threshold, else m^
        with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      b1: scalar in [0, 1), decay of the first moment.
      b2: scalar in [0, 1), decay of the second moment.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      threshold: scalar >= 4, the number of gradients (rho, which grows from 1 to rho_inf) from which on v is used. With
        b2 = 0.999 the default is reached in the sixth step; with b2 < 0.667 never.
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAdamState`.

    Raises:
      ValueError: a decay is outside [0, 1), an epsilon is negative, or `threshold` is below 4.

    Reference:
      Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, algorithm 2.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_hyperparameter("threshold", threshold, least=4)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAdamState:
        return no_moments(params, b1, mu_dtype, nu_dtype)

    def update(
        updates: Updates, state: ScaleByAdamState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdamState]:
        del params
        t = safe_increment(state.count)
        mean, c2 = mean_estimate(b1, t, nesterov), total_weight(b2, t)
        r = _rectification(b2, t, threshold)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            v = moving_average(abs_sq(g), v, b2)
            m_hat = mean(g, m)
            adapted = scaled(over_root(m_hat, debias(v, c2), eps, eps_root), r)
            return jnp.where(r > 0, adapted, m_hat), m, v

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(t, mu, nu)

    return GradientTransformation(init, update)


@transformation
def radam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    threshold: Numeric = 5.0,
    *,
    nesterov: bool = False,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Rectified Adam: a warm-up that follows from the variance of Adam's first steps.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * (r * m^ / (sqrt(v^ + eps_root) + eps) if rho >= threshold, else m^)
        with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t), and rho and r as in `scale_by_radam`

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      threshold: scalar >= 4, the number of gradients (rho) from which on the mean of their squares is used.
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), an epsilon is negative, or `threshold` is below 4.

    Reference:
      Liu et al., "On the variance of the adaptive learning rate and beyond", 2020, algorithm 2.
    """
    return chain(
        scale_by_radam(b1, b2, eps, eps_root, threshold, nesterov=nesterov, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )


def _rectification(b2: Numeric, t: jax.Array, threshold: Numeric) -> jax.Array:
    """r at step t; 0 if the step is not rectified.

    The flag is in the root because XLA makes a root once, but would make rho again for every leaf that reads a flag.
    """
    rho_inf = 2 / (1 - b2) - 1
    rho = jnp.minimum(_length(b2, t), rho_inf)
    rectified = (rho >= threshold) & (rho > 4)
    above = jnp.where(rectified, (rho - 4) * (rho - 2) * rho_inf, 0)
    below = jnp.where(rectified, (rho_inf - 4) * (rho_inf - 2) * rho, 1)
    return safe_sqrt(above / below)


def _length(b2: Numeric, t: jax.Array) -> jax.Array:
    """rho: how many terms a plain mean would have, were they on average as old as those of the moving average.

    As printed, rho is the difference of two numbers near 2 / (1 - b2). In float32 that costs a percent of the first
    rectified step. With y = -t * log(b2) / 2 it is the sum t * h(y) + 1 - h(y / t), where h(y) = 1 + 1 / y - coth(y).
    """
    n = t.astype(float)
    half = -math.log(b2) / 2 if isinstance(b2, (int, float)) and b2 > 0 else -jnp.log(jnp.asarray(b2, n.dtype)) / 2
    return n * _h(n * half) + 1 - _h(jnp.asarray(half, n.dtype))


def _h(y: jax.Array) -> jax.Array:
    """1 + 1 / y - coth(y) for y > 0."""
    small = y < 0.1
    low, high = jnp.where(small, y, 0), jnp.where(small, 1, y)
    series = 1 - low / 3 + low**3 / 45 - 2 * low**5 / 945
    return jnp.where(small, series, 1 / high + 2 * jnp.exp(-2 * high) / jnp.expm1(-2 * high))

"""Adan: Adam with Nesterov's momentum, in which the change of the gradient has a mean of its own.

t = t + 1
d = g - g_before                                (0 at t = 1)
m = b1 * m + (1 - b1) * g
v = b2 * v + (1 - b2) * d
n = b3 * n + (1 - b3) * |g + b2 * d|^2
u = (m / (1 - b1^t) + b2 * v / (1 - b2^t)) / (sqrt(n / (1 - b3^t) + eps_root) + eps)
"""

from __future__ import annotations

from typing import NamedTuple

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
)
from optax.optimizers._parts import over_root, written_after
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["ScaleByAdanState", "adan", "scale_by_adan"]


class ScaleByAdanState(NamedTuple):
    """State of `scale_by_adan`.

    Attributes:
      m: tree of the parameters' structure and shapes, the mean of the gradients.
      v: tree of the same structure and shapes, the mean of their changes.
      n: tree of the same structure and shapes, real, the mean of the squares of the gradients looking ahead.
      g: tree of the same structure and shapes, the last gradients.
      t: int32 scalar, the number of updates made so far.
    """

    m: Updates
    v: Updates
    n: Updates
    g: Updates
    t: jax.Array


@transformation
def scale_by_adan(
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Adan's direction: the mean gradient and its mean change, over the root of the mean square of both.

        d = g - g_before                                (0 at t = 1)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * |g + b2 * d|^2
        u = (m^ + b2 * v^) / (sqrt(n^ + eps_root) + eps)    with m^ = m / (1 - b1^t), and so on

    The paper's beta is 1 minus the b of the same number.

    Args:
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their changes, and how far to look ahead.
      b3: scalar in [0, 1), decay of the mean square.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m and v. None for the parameter's, or float32 where that could not resolve `1 - b`.
      nu_dtype: dtype of n. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAdanState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Xie, Zhou, Li, Lin, Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", 2022,
      algorithm 1, with the bias corrections of the authors' implementation.
    """
    for name, decay in (("b1", b1), ("b2", b2), ("b3", b3)):
        check_hyperparameter(name, decay, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAdanState:
        return ScaleByAdanState(
            m=new_slot(params, decay=b1, dtype=mu_dtype),
            v=new_slot(params, decay=b2, dtype=mu_dtype),
            n=new_slot(params, dtype=nu_dtype, real=True),
            g=new_slot(params, decay=0),
            t=jnp.zeros([], jnp.int32),
        )

    def update(
        updates: Updates, state: ScaleByAdanState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdanState]:
        del params
        first = state.t == 0
        t = safe_increment(state.t)
        c1, c2, c3 = total_weight(b1, t), total_weight(b2, t), total_weight(b3, t)

        def rule(
            g: jax.Array, m: jax.Array, v: jax.Array, n: jax.Array, before: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
            d = jnp.where(first, 0, g - before)
            m = moving_average(g, m, b1)
            v = moving_average(d, v, b2)
            n = moving_average(abs_sq(g + scaled(d, b2)), n, b3)
            direction = debias(m, c1) + scaled(debias(v, c2), b2)
            u = over_root(direction, debias(n, c3), eps, eps_root)
            return u, m, v, n, written_after(g, v + n, state.t)

        updates, m, v, n, g = over_leaves(rule, updates, state.m, state.v, state.n, state.g)
        return updates, ScaleByAdanState(m, v, n, g, t)

    return GradientTransformation(init, update)


@transformation
def adan(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.98,
    b2: Numeric = 0.92,
    b3: Numeric = 0.99,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Adan, with decoupled weight decay: Adam with Nesterov's momentum, estimated from the changes of the gradient.

        d = g - g_before                                (0 at t = 1)
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * d
        n = b3 * n + (1 - b3) * |g + b2 * d|^2
        u = -learning_rate * ((m^ + b2 * v^) / (sqrt(n^ + eps_root) + eps) + weight_decay * p)
        with m^ = m / (1 - b1^t), and so on

    The paper's beta is 1 minus the b of the same number, and its weight decay divides p by 1 + learning_rate *
    weight_decay, which is the same to first order.

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their changes, and how far to look ahead.
      b3: scalar in [0, 1), decay of the mean square.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      mu_dtype: dtype of m and v. None for the parameter's, or float32 where that could not resolve `1 - b`.
      nu_dtype: dtype of n. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Xie, Zhou, Li, Lin, Yan, "Adan: adaptive Nesterov momentum algorithm for faster optimizing deep models", 2022,
      algorithm 1.
    """
    return chain(
        scale_by_adan(b1, b2, b3, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )

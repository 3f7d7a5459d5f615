"""MADGRAD: dual averaging of the gradients, scaled by the cube root of their summed squares, with momentum.

a = (learning_rate + eps) * sqrt(t)
s = s + a * g
v = v + a * |g|^2
z = x0 - s / (cbrt(v) + eps)
u = (1 - momentum) * (z - p)
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_hyperparameter,
    copy_slot,
    new_slot,
    over_leaves,
    ratio,
    require_params,
    safe_increment,
    scaled,
    scheduled,
    transformation,
)
from optax.transforms import add_decayed_weights

__all__ = ["MadgradState", "madgrad", "scale_by_madgrad"]


class MadgradState(NamedTuple):
    """State of `scale_by_madgrad`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      grad_sum_sq: tree of the parameters' structure and shapes, real, the weighted sum of the squared gradients (v).
      s: tree of the same structure and shapes, the weighted sum of the gradients.
      x0: tree of the same structure, shapes and dtypes, the initial parameters.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    grad_sum_sq: Updates
    s: Updates
    x0: Params


@transformation
def scale_by_madgrad(
    learning_rate: ScalarOrSchedule, momentum: Numeric = 0.9, eps: Numeric = 1e-6
) -> GradientTransformation:
    """MADGRAD's step, sign and learning rate included: add it to the parameters.

        a = (learning_rate + eps) * sqrt(t)
        s = s + a * g
        v = v + a * |g|^2
        u = (1 - momentum) * (x0 - s / (cbrt(v) + eps) - p)

    Args:
      learning_rate: real scalar or schedule, of the order of Adam's.
      momentum: scalar in [0, 1), the share of p in the next parameters.
      eps: scalar >= 0.

    Returns:
      A transformation that needs the parameters. Its state is `MadgradState`; s and v are float32 or wider.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `momentum` is outside [0, 1), or `eps` is negative.

    Reference:
      Defazio, Jelassi, "Adaptivity without compromise: a momentumized, adaptive, dual averaged gradient method for
      stochastic optimization", 2021, algorithm 1, with `eps` added to the step size, as the authors' program does.
    """
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    check_hyperparameter("momentum", momentum, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)

    def init(params: Params) -> MadgradState:
        s = new_slot(params)
        return MadgradState(jnp.zeros([], jnp.int32), new_slot(params, real=True), s, copy_slot(params, decay=0))

    def update(updates: Updates, state: MadgradState, params: Params | None = None) -> tuple[Updates, MadgradState]:
        params = require_params(params)
        t = safe_increment(state.count)
        a = (jnp.asarray(scheduled(learning_rate, state.count), float) + eps) * jnp.sqrt(t.astype(float))

        def rule(
            g: jax.Array, v: jax.Array, s: jax.Array, x0: jax.Array, p: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            v = v + scaled(abs_sq(g), a)
            s = s + scaled(g, a)
            z = x0 - ratio(s, _cube_root(v) + eps)
            return scaled(z - p, 1 - momentum), v, s

        updates, v, s = over_leaves(rule, updates, state.grad_sum_sq, state.s, reads=(state.x0, params))
        return updates, MadgradState(t, v, s, state.x0)

    return GradientTransformation(init, update)


@transformation
def madgrad(
    learning_rate: ScalarOrSchedule,
    momentum: Numeric = 0.9,
    weight_decay: ScalarOrSchedule = 0.0,
    eps: Numeric = 1e-6,
) -> GradientTransformationExtraArgs:
    """MADGRAD: dual averaging with adaptive steps and momentum.

        g = g + weight_decay * p
        a = (learning_rate + eps) * sqrt(t)
        s = s + a * g
        v = v + a * |g|^2
        u = (1 - momentum) * (x0 - s / (cbrt(v) + eps) - p)

    Args:
      learning_rate: real scalar or schedule, of the order of Adam's.
      momentum: scalar in [0, 1), the share of p in the next parameters.
      weight_decay: real scalar or schedule, of an L2 penalty; smaller ones than for other methods are right, often 0.
      eps: scalar >= 0.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: `momentum` is outside [0, 1), or `eps` is negative.

    Reference:
      Defazio, Jelassi, "Adaptivity without compromise: a momentumized, adaptive, dual averaged gradient method for
      stochastic optimization", 2021, algorithm 1.
    """
    return chain(add_decayed_weights(weight_decay), scale_by_madgrad(learning_rate, momentum, eps))


def _cube_root(v: jax.Array) -> jax.Array:
    """v^(1/3) for v >= 0, but never 0, and with derivative 0 where v is 0.

    `jnp.cbrt` takes one element at a time on CPUs, and several times as long.
    """
    x = jnp.clip(v, float(np.finfo(v.dtype).tiny), float(np.finfo(v.dtype).max))
    root = jnp.exp(jnp.log(x) / 3)
    return root - (root - x / root / root) / 3  # a step of Newton's method, for the last digits

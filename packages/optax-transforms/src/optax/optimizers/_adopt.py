"""ADOPT: Adam in which a gradient is divided by the mean square of those before it, and only then averaged.

v = |g|^2, u = 0                                                at t = 0, and from then on
m = b1 * m + (1 - b1) * clip(g / max(sqrt(v), eps), c_t)
u = m
v = b2 * v + (1 - b2) * |g|^2
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    safe_sqrt,
    transformation,
)
from optax.optimizers._adam import ScaleByAdamState
from optax.optimizers._parts import bounded_ratio, written_after
from optax.transforms import scale_by_learning_rate

__all__ = ["adopt", "scale_by_adopt"]


def fourth_root(count: Any) -> jax.Array:
    """The bound of the paper: count^(1/4)."""
    return jnp.asarray(count).astype(float) ** 0.25


@transformation
def scale_by_adopt(
    b1: Numeric = 0.9,
    b2: Numeric = 0.9999,
    eps: Numeric = 1e-6,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """ADOPT's direction: the mean of the gradients, each divided by the root of the mean square of those before it.

        m = b1 * m + (1 - b1) * n    with n = clip(g / max(sqrt(v), eps), clip_value_fn(t)), but n = 0 at t = 0
        v = b2 * v + (1 - b2) * |g|^2    but v = |g|^2 at t = 0
        u = m

    with t = 0 at the first update, which is 0: it only finds a scale.

    Args:
      b1: scalar in [0, 1), decay of the mean of the quotients.
      b2: scalar in [0, 1), decay of the mean of the squares.
      eps: scalar >= 0, the smallest divisor.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nesterov: look one step ahead, u = b1 * m + (1 - b1) * n with the new m.
      use_clipping: whether each element of the quotient is bounded, without which one element that was small so far
        can make a huge step.
      clip_value_fn: `clip_value_fn(t)` returns the largest magnitude of an element; t^(1/4) unless given.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAdamState`: t, m and v.

    Raises:
      TypeError: `clip_value_fn` cannot be called.
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    Reference:
      Taniguchi et al., "ADOPT: modified Adam can converge with any beta2 with the optimal rate", 2024, algorithm 2.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)
    if use_clipping and not callable(clip_value_fn):
        raise TypeError(f"clip_value_fn must be a function of the step count, not {clip_value_fn!r}")

    def init(params: Params) -> ScaleByAdamState:
        return ScaleByAdamState(
            count=jnp.zeros([], jnp.int32),
            mu=new_slot(params, decay=b1, dtype=mu_dtype),
            nu=new_slot(params, dtype=nu_dtype, real=True),
        )

    def update(
        updates: Updates, state: ScaleByAdamState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdamState]:
        del params
        first = state.count == 0
        bound = clip_value_fn(state.count) if use_clipping else None

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            n = jnp.where(first, 0, bounded_ratio(g, safe_sqrt(v), eps, bound))
            m = moving_average(n, m, b1)
            v = jnp.where(first, abs_sq(g), moving_average(abs_sq(g), v, b2))
            u = moving_average(n, m, b1) if nesterov else m
            return u, m, written_after(v, u.real, state.count)

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(safe_increment(state.count), mu, nu)

    return GradientTransformation(init, update)


@transformation
def adopt(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.9999,
    eps: Numeric = 1e-6,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    use_clipping: bool = True,
    clip_value_fn: Callable[[Any], Any] = fourth_root,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """ADOPT: Adam with the order of averaging and dividing reversed, so that any b2 will do.

        m = b1 * m + (1 - b1) * n    with n = clip(g / max(sqrt(v), eps), clip_value_fn(t)), but n = 0 at t = 0
        v = b2 * v + (1 - b2) * |g|^2    but v = |g|^2 at t = 0
        u = -learning_rate * m

    with t = 0 at the first update, which is 0: it only finds a scale.

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the quotients.
      b2: scalar in [0, 1), decay of the mean of the squares.
      eps: scalar >= 0, the smallest divisor.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nesterov: whether m looks one step ahead; see `scale_by_adopt`.
      use_clipping: whether each element of the quotient is bounded.
      clip_value_fn: `clip_value_fn(t)` returns the largest magnitude of an element; t^(1/4) unless given.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable, or `clip_value_fn` cannot be called.
      ValueError: a decay is outside [0, 1), or `eps` is negative.

    Reference:
      Taniguchi et al., "ADOPT: modified Adam can converge with any beta2 with the optimal rate", 2024, algorithm 2.
    """
    return chain(
        scale_by_adopt(
            b1,
            b2,
            eps,
            mu_dtype,
            nesterov=nesterov,
            use_clipping=use_clipping,
            clip_value_fn=clip_value_fn,
            nu_dtype=nu_dtype,
        ),
        scale_by_learning_rate(learning_rate),
    )

"""D-Adaptation for AdamW: the learning rate from a lower bound of the distance to the solution.

k = d * learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
r = sqrt(b2) * r + (1 - sqrt(b2)) * k * <g, s / (sqrt(v) + eps)>
s = sqrt(b2) * s + (1 - sqrt(b2)) * k * g
m = b1 * m + (1 - b1) * k * g
v = b2 * v + (1 - b2) * |g|^2
u = -m / (sqrt(v) + eps) - weight_decay * k * p
d = max(d, r / ((1 - sqrt(b2)) * |s|_1))
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    check_dtype,
    check_hyperparameter,
    moving_average,
    new_scalar,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    safe_sqrt,
    scaled,
    scheduled,
    transformation,
)
from optax.optimizers._parts import bias_corrected, inner, over, pair_of_decays, total, zeros_each
from optax.transforms._precision import is_zero, quotient, real_dtype

__all__ = ["DAdaptAdamWState", "dadapt_adamw"]


class DAdaptAdamWState(NamedTuple):
    """State of `dadapt_adamw`.

    Attributes:
      exp_avg: tree of the parameters' structure and shapes, the mean of the steps k * g (m).
      exp_avg_sq: tree of the same structure and shapes, real, the mean of the squared gradients (v).
      grad_sum: tree of the same structure and shapes, the weighted sum of the steps k * g (s).
      estim_lr: real scalar, the estimate of the learning rate (d).
      numerator_weighted: real scalar, what the gradients say about the distance to the solution (r).
      count: int32 scalar, the number of updates made so far.
    """

    exp_avg: Updates
    exp_avg_sq: Updates
    grad_sum: Updates
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


@transformation
def dadapt_adamw(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    eps: Numeric = 1e-8,
    estim_lr0: Numeric = 1e-6,
    weight_decay: Numeric = 0.0,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdamW whose learning rate d is the largest lower bound seen of the distance to the solution.

        k = d * learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
        r = b3 * r + (1 - b3) * k * <g, s / (sqrt(v) + eps)>        with b3 = sqrt(b2)
        s = b3 * s + (1 - b3) * k * g
        m = b1 * m + (1 - b1) * k * g,  v = b2 * v + (1 - b2) * |g|^2
        u = -m / (sqrt(v) + eps) - weight_decay * k * p
        d = max(d, r / ((1 - b3) * |s|_1))

    The first steps are of the size of `estim_lr0`: parameters in 16 bits need `master_weights` to notice them.
    `prodigy` is its successor.

    Args:
      learning_rate: real scalar or schedule, a factor of d; 1, or a decay from 1, is meant to do.
      betas: the pair (b1, b2) of scalars in [0, 1), the decays of the two moments.
      eps: scalar >= 0.
      estim_lr0: scalar > 0, the first d, smaller than any learning rate that makes sense.
      weight_decay: real scalar.
      mu_dtype: dtype of m. None for float32, or the parameter's where that is wider.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`. Its state is
      `DAdaptAdamWState`.

    Raises:
      TypeError: an argument is not of its kind.
      ValueError: an argument is out of its range.

    Reference:
      Defazio, Mishchenko, "Learning-rate-free learning by D-Adaptation", 2023, the variant of Adam, with the bias
      correction that the authors' implementation offers.
    """
    b1, b2 = pair_of_decays(betas)
    b3 = b2**0.5
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("estim_lr0", estim_lr0, above=0)
    check_hyperparameter("weight_decay", weight_decay)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> DAdaptAdamWState:
        dtype = real_dtype(params)
        return DAdaptAdamWState(
            exp_avg=new_slot(params, dtype=mu_dtype),  # k * g is too small for 16 bits
            exp_avg_sq=new_slot(params, dtype=nu_dtype, real=True),
            grad_sum=new_slot(params),
            estim_lr=new_scalar(estim_lr0, dtype, params),
            numerator_weighted=new_scalar(0, dtype, params),
            count=jnp.zeros([], jnp.int32),
        )

    def update(
        updates: Updates, state: DAdaptAdamWState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, DAdaptAdamWState]:
        del extra_args
        d = jnp.asarray(state.estim_lr)
        t = safe_increment(state.count)
        k = d * bias_corrected(scheduled(learning_rate, state.count), b1, b2, t).astype(d.dtype)
        decay = scaled(k, weight_decay)

        def rule(g: jax.Array, m: Any, v: Any, s: Any, _: Any, __: Any, *p: jax.Array) -> tuple[jax.Array, ...]:
            dot = inner(g, over(s, safe_sqrt(v) + eps, eps))
            v = moving_average(abs_sq(g), v, b2)
            g = scaled(g, k)
            m = moving_average(g, m, b1)
            s = moving_average(g, s, b3)
            u = over(m, safe_sqrt(v) + eps, eps)
            return -(u + scaled(p[0], decay) if p else u), m, v, s, dot, jnp.sum(jnp.abs(s))

        params = require_params(params)
        zeros = zeros_each(updates, d.dtype)
        updates, m, v, s, dots, sizes = over_leaves(
            rule,
            updates,
            state.exp_avg,
            state.exp_avg_sq,
            state.grad_sum,
            summaries=(zeros, zeros),
            reads=() if is_zero(weight_decay) else (params,),
        )
        r = moving_average(k * total(dots, d.dtype), jnp.asarray(state.numerator_weighted, d.dtype), b3)
        d = jnp.maximum(d, quotient(r, scaled(total(sizes, d.dtype), 1 - b3)))
        return updates, DAdaptAdamWState(m, v, s, d, r, t)

    return GradientTransformationExtraArgs(init, update)

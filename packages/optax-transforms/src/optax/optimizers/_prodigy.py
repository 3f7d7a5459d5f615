"""Prodigy: Adam with a learning rate estimated from the gradients and the distance that the parameters have come.

k = d * learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
r = beta3 * r + d / d0 * k * <g, x0 - p>
s = beta3 * s + d / d0 * k * g
m = b1 * m + (1 - b1) * d * g
v = b2 * v + (1 - b2) * d^2 * |g|^2
d = max(d, estim_lr_coef * r / |s|_1)
u = -k * (m / (sqrt(v) + d * eps) + weight_decay * p)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    check_dtype,
    check_hyperparameter,
    copy_slot,
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
from optax.transforms import add_decayed_weights
from optax.transforms._precision import is_zero, quotient, real_dtype

__all__ = ["ProdigyState", "prodigy"]


class ProdigyState(NamedTuple):
    """State of `prodigy`.

    Attributes:
      exp_avg: tree of the parameters' structure and shapes, the mean of the gradients times d (m).
      exp_avg_sq: tree of the same structure and shapes, real, the mean of their squares (v).
      grad_sum: tree of the same structure and shapes, the weighted sum of the gradients (s).
      params0: tree of the parameters' structure, shapes and dtypes, their initial values (x0).
      estim_lr: real scalar, the estimate of the learning rate (d).
      numerator_weighted: real scalar, what the gradients say about the distance still to go (r).
      count: int32 scalar, the number of updates made so far.
    """

    exp_avg: Updates
    exp_avg_sq: Updates
    grad_sum: Updates
    params0: Params
    estim_lr: jax.Array
    numerator_weighted: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


@transformation
def prodigy(
    learning_rate: ScalarOrSchedule = 1.0,
    betas: tuple[Numeric, Numeric] = (0.9, 0.999),
    beta3: Numeric | None = None,
    eps: Numeric = 1e-8,
    estim_lr0: Numeric = 1e-6,
    estim_lr_coef: Numeric = 1.0,
    weight_decay: Numeric = 0.0,
    safeguard_warmup: bool = False,
    weight_decay_mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdamW whose learning rate d grows until the parameters have come as far as the gradients say they should.

        k = d * learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
        r = beta3 * r + d / estim_lr0 * k * <g, x0 - p>
        s = beta3 * s + d / estim_lr0 * k * g
        m = b1 * m + (1 - b1) * d * g,  v = b2 * v + (1 - b2) * d^2 * |g|^2
        d = max(d, estim_lr_coef * r / |s|_1)
        u = -k * (m / (sqrt(v) + d * eps) + weight_decay * p)

    The first steps are of the size of `estim_lr0`: parameters in 16 bits need `master_weights` to notice them.

    Args:
      learning_rate: real scalar or schedule, a factor of d; 1, or a decay from 1, is meant to do.
      betas: the pair (b1, b2) of scalars in [0, 1), the decays of the two moments.
      beta3: scalar in [0, 1), the decay of r and s; None for sqrt(b2).
      eps: scalar >= 0.
      estim_lr0: scalar > 0, the first d, smaller than any learning rate that makes sense.
      estim_lr_coef: scalar > 0, a factor of the estimate.
      weight_decay: real scalar.
      safeguard_warmup: whether s has d in the place of k, for schedules that warm up from 0.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from
        the parameters. None for all.
      mu_dtype: dtype of m. None for float32, or the parameter's where that is wider.
      nu_dtype: dtype of v, likewise.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`. Its state is
      `ProdigyState`.

    Raises:
      TypeError: an argument is not of its kind.
      ValueError: an argument is out of its range.

    Reference:
      Mishchenko, Defazio, "Prodigy: an expeditiously adaptive parameter-free learner", 2023, algorithm 4, with the
      bias correction that the authors' implementation offers.
    """
    b1, b2 = pair_of_decays(betas)
    b3 = b2**0.5 if beta3 is None else beta3
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    check_hyperparameter("beta3", b3, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("estim_lr0", estim_lr0, above=0)
    check_hyperparameter("estim_lr_coef", estim_lr_coef, above=0)
    check_hyperparameter("weight_decay", weight_decay)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ProdigyState:
        dtype = real_dtype(params)
        return ProdigyState(
            exp_avg=new_slot(params, dtype=mu_dtype),  # d * g is too small for 16 bits
            exp_avg_sq=new_slot(params, dtype=nu_dtype, real=True),
            grad_sum=new_slot(params),
            params0=copy_slot(params, decay=0),
            estim_lr=new_scalar(estim_lr0, dtype, params),
            numerator_weighted=new_scalar(0, dtype, params),
            count=jnp.zeros([], jnp.int32),
        )

    def update(
        updates: Updates, state: ProdigyState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, ProdigyState]:
        del extra_args
        params = require_params(params)
        d = jnp.asarray(state.estim_lr)
        t = safe_increment(state.count)
        k = d * bias_corrected(scheduled(learning_rate, state.count), b1, b2, t).astype(d.dtype)
        weight = d / jnp.asarray(estim_lr0, d.dtype) * (d if safeguard_warmup else k)

        def estimate(g: jax.Array, s: jax.Array, _: Any, __: Any, p: jax.Array, x0: jax.Array) -> tuple[Any, ...]:
            s = scaled(s, b3) + scaled(g, weight)
            return g, s, inner(g, x0 - p), jnp.sum(jnp.abs(s))

        zeros = zeros_each(updates, d.dtype)
        _, grad_sum, dots, sizes = over_leaves(
            estimate, updates, state.grad_sum, summaries=(zeros, zeros), reads=(params, state.params0)
        )
        r = scaled(jnp.asarray(state.numerator_weighted, d.dtype), b3)
        r = r + d / jnp.asarray(estim_lr0, d.dtype) * k * total(dots, d.dtype)
        new_d = jnp.maximum(d, quotient(scaled(r, estim_lr_coef), total(sizes, d.dtype)))
        small = scaled(new_d, eps)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            g = scaled(g, d)
            m = moving_average(g, m, b1)
            v = moving_average(abs_sq(g), v, b2)
            return scaled(over(m, safe_sqrt(v) + small.astype(v.dtype)), -k), m, v

        updates, m, v = over_leaves(rule, updates, state.exp_avg, state.exp_avg_sq)
        if not is_zero(weight_decay):
            decay = add_decayed_weights(scaled(-k, weight_decay), weight_decay_mask)
            updates, _ = decay.update(updates, decay.init(params), params)
        return updates, ProdigyState(m, v, grad_sum, state.params0, new_d, r, t)

    return GradientTransformationExtraArgs(init, update)

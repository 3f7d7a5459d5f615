"""MoMo: momentum whose step is the longest that a model of the loss, bounded from below, supports.

d = b * d + (1 - b) * g,  f = b * f + (1 - b) * value,  c = b * c + (1 - b) * <g, p>
h = (1 + a * weight_decay) * (f - c - rho * lb) + <d, p>
tau = min(a / rho, max(h, 0) / <d, d / D>)
u = (p - tau * d / D) / (1 + a * weight_decay) - p

with a the learning rate; D = 1 and rho = 1 in `momo`, those of Adam in `momo_adam`.
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
    debias,
    moving_average,
    new_scalar,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    safe_sqrt,
    scaled,
    scheduled,
    total_weight,
    transformation,
)
from optax.optimizers._parts import inner, over, total, zeros_each
from optax.transforms._loss import loss_of_step
from optax.transforms._precision import quotient, real_dtype

__all__ = ["MomoAdamState", "MomoState", "momo", "momo_adam"]


class MomoState(NamedTuple):
    """State of `momo`.

    Attributes:
      exp_avg: tree of the parameters' structure and shapes, the mean of the gradients (d).
      barf: real scalar, the mean of the values (f).
      gamma: real scalar, the mean of the inner products of gradients and parameters (c).
      lb: real scalar, the lower bound of the values.
      count: int32 scalar, the number of updates made so far.
    """

    exp_avg: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


class MomoAdamState(NamedTuple):
    """State of `momo_adam`. The means are not bias-corrected.

    Attributes:
      exp_avg: tree of the parameters' structure and shapes, the mean of the gradients (d).
      exp_avg_sq: tree of the same structure and shapes, real, the mean of their squares (v).
      barf: real scalar, the mean of the values (f).
      gamma: real scalar, the mean of the inner products of gradients and parameters (c).
      lb: real scalar, the lower bound of the values.
      count: int32 scalar, the number of updates made so far.
    """

    exp_avg: Updates
    exp_avg_sq: Updates
    barf: jax.Array
    gamma: jax.Array
    lb: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


@transformation
def momo(
    learning_rate: ScalarOrSchedule = 1.0,
    beta: Numeric = 0.9,
    lower_bound: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    adapt_lower_bound: bool = False,
) -> GradientTransformationExtraArgs:
    """Momentum with a step as long as the loss, its gradients and a lower bound allow, at most the learning rate.

        d = b * d + (1 - b) * g,  f = b * f + (1 - b) * value,  c = b * c + (1 - b) * <g, p>
        h = (1 + a * weight_decay) * (f - c - lower_bound) + <d, p>
        tau = min(a, max(h, 0) / |d|^2)
        u = (p - tau * d) / (1 + a * weight_decay) - p

    with a = learning_rate and b = beta, but b = 0 at the first update.

    Args:
      learning_rate: real scalar or schedule, the longest step.
      beta: scalar in [0, 1), the decay of the means.
      lower_bound: real scalar, below all values of the loss.
      weight_decay: real scalar.
      adapt_lower_bound: whether to start from `lower_bound` and raise the bound as the values allow.

    Returns:
      A transformation that needs the parameters and whose `update` needs the argument `value`, the loss. Add its
      updates to the parameters with `apply_updates`. Its state is `MomoState`; d is in float32 or wider, since c
      nearly cancels <d, p>.

    Raises:
      TypeError: an argument is not of its kind; from `update`, if `value` is missing or not real.
      ValueError: `beta` is outside [0, 1); from `update`, if `value` is no scalar.

    Reference:
      Schaipp, Ohana, Eickenberg, Defazio, Gower, "MoMo: momentum models for adaptive learning rates", 2023,
      algorithm 1, with the weight decay of its section on regularization and the estimate of the lower bound.
    """
    check_hyperparameter("beta", beta, least=0, below=1)
    _check(learning_rate, lower_bound, weight_decay)

    def init(params: Params) -> MomoState:
        dtype = real_dtype(params)
        return MomoState(
            exp_avg=new_slot(params),
            barf=new_scalar(0, dtype, params),
            gamma=new_scalar(0, dtype, params),
            lb=new_scalar(lower_bound, dtype, params),
            count=jnp.zeros([], jnp.int32),
        )

    def update(
        updates: Updates, state: MomoState, params: Params | None = None, *, value: Any = None, **extra_args: Any
    ) -> tuple[Updates, MomoState]:
        del extra_args
        params = require_params(params)
        d, f, c, lb, count = state
        dtype = jnp.asarray(lb).dtype
        value = loss_of_step(value, dtype, "the step size is found from the loss")
        b = jnp.where(count == 0, jnp.zeros([], dtype), jnp.asarray(beta, dtype))
        a = jnp.asarray(scheduled(learning_rate, count), dtype)

        def average(g: jax.Array, d: jax.Array, *row: Any) -> tuple[Any, ...]:
            p = row[-1]
            d = moving_average(g, d, b)
            return g, d, inner(g, p), inner(d, p), jnp.sum(abs_sq(d))

        zeros = zeros_each(updates, dtype)
        _, d, gp, dp, dd = over_leaves(average, updates, d, summaries=(zeros,) * 3, reads=(params,))
        f = moving_average(value, jnp.asarray(f, dtype), b)
        c = moving_average(total(gp, dtype), jnp.asarray(c, dtype), b)
        model = _Model(f - c, total(dp, dtype), total(dd, dtype), jnp.ones([], dtype))
        tau, lb = model.step(a, weight_decay, jnp.asarray(lb, dtype), lower_bound if adapt_lower_bound else None)
        decay = scaled(a, weight_decay)

        def rule(g: jax.Array, d: jax.Array, p: jax.Array) -> jax.Array:
            return -scaled(scaled(d, tau) + scaled(p, decay), 1 / (1 + decay))

        return over_leaves(rule, updates, reads=(d, params)), MomoState(d, f, c, lb, safe_increment(count))

    return GradientTransformationExtraArgs(init, update)


@transformation
def momo_adam(
    learning_rate: ScalarOrSchedule = 1e-2,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    lower_bound: Numeric = 0.0,
    weight_decay: Numeric = 0.0,
    adapt_lower_bound: bool = False,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Adam with a step as long as the loss, its gradients and a lower bound allow, at most the learning rate.

        d = b1 * d + (1 - b1) * g,  f = b1 * f + (1 - b1) * value,  c = b1 * c + (1 - b1) * <g, p>
        v = b2 * v + (1 - b2) * |g|^2,  D = sqrt(v / (1 - b2^t)) + eps,  rho = 1 - b1^t
        h = (1 + a * weight_decay) * (f - c - rho * lower_bound) + <d, p>
        tau = min(a / rho, max(h, 0) / <d, d / D>)
        u = (p - tau * d / D) / (1 + a * weight_decay) - p

    with a = learning_rate.

    Args:
      learning_rate: real scalar or schedule, the longest step.
      b1: scalar in [0, 1), the decay of d, f and c.
      b2: scalar in [0, 1), the decay of v.
      eps: scalar >= 0, added outside the root.
      lower_bound: real scalar, below all values of the loss.
      weight_decay: real scalar.
      adapt_lower_bound: whether to start from `lower_bound` and raise the bound as the values allow.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters and whose `update` needs the argument `value`, the loss. Add its
      updates to the parameters with `apply_updates`. Its state is `MomoAdamState`; d is in float32 or wider, since c
      nearly cancels <d, p>.

    Raises:
      TypeError: an argument is not of its kind; from `update`, if `value` is missing or not real.
      ValueError: a decay is outside [0, 1), or `eps` is negative; from `update`, if `value` is no scalar.

    Reference:
      Schaipp, Ohana, Eickenberg, Defazio, Gower, "MoMo: momentum models for adaptive learning rates", 2023, MoMo-Adam,
      with its weight decay and its estimate of the lower bound.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_dtype("nu_dtype", nu_dtype)
    _check(learning_rate, lower_bound, weight_decay)

    def init(params: Params) -> MomoAdamState:
        dtype = real_dtype(params)
        return MomoAdamState(
            exp_avg=new_slot(params),
            exp_avg_sq=new_slot(params, dtype=nu_dtype, real=True),
            barf=new_scalar(0, dtype, params),
            gamma=new_scalar(0, dtype, params),
            lb=new_scalar(lower_bound, dtype, params),
            count=jnp.zeros([], jnp.int32),
        )

    def update(
        updates: Updates, state: MomoAdamState, params: Params | None = None, *, value: Any = None, **extra_args: Any
    ) -> tuple[Updates, MomoAdamState]:
        del extra_args
        params = require_params(params)
        d, v, f, c, lb, count = state
        dtype = jnp.asarray(lb).dtype
        value = loss_of_step(value, dtype, "the step size is found from the loss")
        t = safe_increment(count)
        rho, weight = total_weight(b1, t).astype(dtype), total_weight(b2, t)
        a = jnp.asarray(scheduled(learning_rate, count), dtype)

        def scale(v: jax.Array) -> jax.Array:
            return safe_sqrt(debias(v, weight)) + eps

        def average(g: jax.Array, d: jax.Array, v: jax.Array, *row: Any) -> tuple[Any, ...]:
            p = row[-1]
            d = moving_average(g, d, b1)
            v = moving_average(abs_sq(g), v, b2)
            return g, d, v, inner(g, p), inner(d, p), jnp.sum(over(abs_sq(d), scale(v)))

        zeros = zeros_each(updates, dtype)
        _, d, v, gp, dp, dd = over_leaves(average, updates, d, v, summaries=(zeros,) * 3, reads=(params,))
        f = moving_average(value, jnp.asarray(f, dtype), b1)
        c = moving_average(total(gp, dtype), jnp.asarray(c, dtype), b1)
        model = _Model(f - c, total(dp, dtype), total(dd, dtype), rho)
        tau, lb = model.step(a, weight_decay, jnp.asarray(lb, dtype), lower_bound if adapt_lower_bound else None)
        decay = scaled(a, weight_decay)

        def rule(g: jax.Array, d: jax.Array, v: jax.Array, p: jax.Array) -> jax.Array:
            return -scaled(scaled(over(d, scale(v)), tau) + scaled(p, decay), 1 / (1 + decay))

        return over_leaves(rule, updates, reads=(d, v, params)), MomoAdamState(d, v, f, c, lb, t)

    return GradientTransformationExtraArgs(init, update)


class _Model(NamedTuple):
    """The mean of the linear models of the loss so far: offset + <d, x>, times 1 / rho, at x = p.

    Attributes:
      offset: f - c.
      slope: <d, p>.
      sq_norm: <d, d / D>.
      rho: the weight of all terms of the means.
    """

    offset: jax.Array
    slope: jax.Array
    sq_norm: jax.Array
    rho: jax.Array

    def step(
        self, a: jax.Array, weight_decay: Numeric, lb: jax.Array, lowest: Numeric | None
    ) -> tuple[jax.Array, jax.Array]:
        """The step size tau and the next lower bound; `lowest` is None if that stays what it is."""
        stretch = 1 + scaled(a, weight_decay)
        reach = stretch * self.offset + self.slope
        floor = None if lowest is None else jnp.asarray(lowest, lb.dtype)
        if floor is not None:  # a bound above the model is none: go half-way down from the model, at least to the first
            halved = jnp.maximum(quotient(reach, 2 * stretch * self.rho), floor)
            lb = jnp.where(reach < stretch * self.rho * lb, halved, lb)
        tau = jnp.minimum(a / self.rho, quotient(jnp.maximum(reach - stretch * self.rho * lb, 0), self.sq_norm))
        if floor is not None:  # what is left of the model where the step leads
            lb = jnp.maximum((self.offset + self.slope - tau * self.sq_norm / 2) / self.rho, floor)
        return tau, lb


def _check(learning_rate: Any, lower_bound: Any, weight_decay: Any) -> None:
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    check_hyperparameter("lower_bound", lower_bound)
    check_hyperparameter("weight_decay", weight_decay)

"""AdaBelief and ACProp: steps that are long where the gradients are what they were expected to be.

t = t + 1
m = b1 * m + (1 - b1) * g
s = b2 * s + (1 - b2) * |g - m|^2 + eps_root
u = m / (1 - b1^t) / (sqrt(s / (1 - b2^t)) + eps)          (AdaBelief)
u = g / (sqrt(s / (1 - b2^(t-1))) + eps), with the old s   (ACProp, whose s also takes the old m)
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
from optax.optimizers._parts import mean_estimate, over_root
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["ScaleByBeliefState", "acprop", "adabelief", "scale_by_acprop", "scale_by_belief"]


class ScaleByBeliefState(NamedTuple):
    """State of `scale_by_belief` and of `scale_by_acprop`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean squared distance of the gradients from it (s).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: Updates


@transformation
def scale_by_belief(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    nesterov: bool = False,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """AdaBelief's direction: the mean of the gradients over the root of their mean squared distance from it.

        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * |g - m|^2 + eps_root
        u = m^ / (sqrt(s^) + eps)    with m^ = m / (1 - b1^t), s^ = s / (1 - b2^t)

    Args:
      b1: scalar in [0, 1), decay of the mean. With 0 every gradient is what was expected, and s is eps_root alone.
      b2: scalar in [0, 1), decay of the mean squared distance.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added to s in every step, so that it comes to eps_root / (1 - b2).
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of s. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByBeliefState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", 2020, algorithm 2.
    """
    _check(b1, b2, eps, eps_root, mu_dtype, nu_dtype)

    def init(params: Params) -> ScaleByBeliefState:
        return _start(params, b1, mu_dtype, nu_dtype)

    def update(
        updates: Updates, state: ScaleByBeliefState, params: Params | None = None
    ) -> tuple[Updates, ScaleByBeliefState]:
        del params
        t = safe_increment(state.count)
        mean, c2 = mean_estimate(b1, t, nesterov), total_weight(b2, t)

        def rule(g: jax.Array, m: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            s = _mean_square(g - m, s, b2, eps_root)
            return over_root(mean(g, m), debias(s, c2), eps), m, s

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByBeliefState(t, mu, nu)

    return GradientTransformation(init, update)


@transformation
def adabelief(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    weight_decay: ScalarOrSchedule | None = None,
    weight_decay_mask: MaskOrFn = None,
    *,
    nesterov: bool = False,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdaBelief: long steps where the gradients agree with their mean, short ones where they do not.

        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * |g - m|^2 + eps_root
        u = -learning_rate * (m^ / (sqrt(s^) + eps) + weight_decay * p)
        with m^ = m / (1 - b1^t), s^ = s / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of their mean squared distance from it.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added to s in every step.
      weight_decay: real scalar or schedule; None for none.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from
        the parameters. None for all.
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of s. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation, which needs the parameters if there is a weight decay; add its updates to them with
      `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Zhuang et al., "AdaBelief optimizer: adapting stepsizes by the belief in observed gradients", 2020, algorithm 2.
    """
    scaled_by_belief = scale_by_belief(b1, b2, eps, eps_root, nesterov=nesterov, mu_dtype=mu_dtype, nu_dtype=nu_dtype)
    if weight_decay is None:
        return chain(scaled_by_belief, scale_by_learning_rate(learning_rate))
    return chain(
        scaled_by_belief,
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def scale_by_acprop(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """ACProp's direction: the gradient over the root of the mean squared distance that its predecessors had.

        u = g / (sqrt(s^) + eps)    with s^ = s / (1 - b2^(t-1)), and s^ = 1 in the first step
        s = b2 * s + (1 - b2) * |g - m|^2 + eps_root
        m = b1 * m + (1 - b1) * g

    The denominator does not know the present gradient: so the expected step is along the expected gradient.

    Args:
      b1: scalar in [0, 1), decay of the mean.
      b2: scalar in [0, 1), decay of the mean squared distance.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added to s in every step.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of s. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByBeliefState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Zhuang et al., "Momentum centering and asynchronous update for adaptive gradient methods", 2021.
    """
    _check(b1, b2, eps, eps_root, mu_dtype, nu_dtype)

    def init(params: Params) -> ScaleByBeliefState:
        return _start(params, b1, mu_dtype, nu_dtype)

    def update(
        updates: Updates, state: ScaleByBeliefState, params: Params | None = None
    ) -> tuple[Updates, ScaleByBeliefState]:
        del params
        first = state.count == 0
        c2 = jnp.where(first, 1, total_weight(b2, state.count))

        def rule(g: jax.Array, m: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            u = over_root(g, jnp.where(first, 1, debias(s, c2)), eps)
            new_m = moving_average(g, m, b1)
            # The same distance twice: XLA copies m if both its own successor and that of s are made from it.
            distance = scaled(g - new_m, 1 / b1) if isinstance(b1, float) and b1 >= 0.5 else g - m
            return u, new_m, _mean_square(distance, s, b2, eps_root)

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByBeliefState(safe_increment(state.count), mu, nu)

    return GradientTransformation(init, update)


@transformation
def acprop(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-16,
    eps_root: Numeric = 1e-16,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """ACProp: AdaBelief with centred second moments of the step before, and no momentum.

        u = -learning_rate * (g / (sqrt(s^) + eps) + weight_decay * p)
        with s^ = s / (1 - b2^(t-1)), and s^ = 1 in the first step
        s = b2 * s + (1 - b2) * |g - m|^2 + eps_root
        m = b1 * m + (1 - b1) * g

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of their mean squared distance from it.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added to s in every step.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of s. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Zhuang et al., "Momentum centering and asynchronous update for adaptive gradient methods", 2021.
    """
    return chain(
        scale_by_acprop(b1, b2, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def _check(
    b1: Numeric,
    b2: Numeric,
    eps: Numeric,
    eps_root: Numeric,
    mu_dtype: DTypeLike | None,
    nu_dtype: DTypeLike | None,
) -> None:
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)


def _start(params: Params, b1: Numeric, mu_dtype: DTypeLike | None, nu_dtype: DTypeLike | None) -> ScaleByBeliefState:
    return ScaleByBeliefState(
        count=jnp.zeros([], jnp.int32),
        mu=new_slot(params, decay=b1, dtype=mu_dtype),
        nu=new_slot(params, dtype=nu_dtype, real=True),
    )


def _mean_square(d: jax.Array, s: jax.Array, b2: Numeric, eps_root: Numeric) -> jax.Array:
    """b2 * s + (1 - b2) * |d|^2 + eps_root.

    Summed in this order: XLA makes a sum of two arrays once and lets the update read it, but a sum of an array and a
    number it makes again in the update, for which it copies the old s.
    """
    return scaled(s, b2) + (scaled(abs_sq(d), 1 - b2) + eps_root)

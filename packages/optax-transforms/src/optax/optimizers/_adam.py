"""Adam and NAdam: a step of the mean gradient over the root of its mean square.

t = t + 1
m = b1 * m + (1 - b1) * g
v = b2 * v + (1 - b2) * |g|^2
u = m / (1 - b1^t) / (sqrt(v / (1 - b2^t) + eps_root) + eps)
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
    total_weight,
    transformation,
)
from optax.optimizers._parts import mean_estimate, over_root
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["ScaleByAdamState", "adam", "adamw", "nadam", "nadamw", "scale_by_adam"]


class ScaleByAdamState(NamedTuple):
    """State of `scale_by_adam`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean of their squares (v).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: Updates


def no_moments(params: Params, b1: Numeric, mu_dtype: DTypeLike | None, nu_dtype: DTypeLike | None) -> ScaleByAdamState:
    """The state before the first gradient."""
    return ScaleByAdamState(
        count=jnp.zeros([], jnp.int32),
        mu=new_slot(params, decay=b1, dtype=mu_dtype),
        nu=new_slot(params, dtype=nu_dtype, real=True),
    )


@transformation
def scale_by_adam(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Adam's direction: the mean of the gradients over the root of the mean of their squares, both bias-corrected.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = m^ / (sqrt(v^ + eps_root) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      b1: scalar in [0, 1), decay of the first moment.
      b2: scalar in [0, 1), decay of the second moment.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nesterov: use the mean that the next step would have, were its gradient zero, plus this step's share:
        m^ = b1 * m / (1 - b1^(t+1)) + (1 - b1) * g / (1 - b1^t).
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits: 0.999 * v would round back to v,
        and the square of 1e-4 to 0 in float16.

    Returns:
      A transformation whose state is `ScaleByAdamState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    References:
      Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
      Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2 (for `nesterov`, with constant b1).
    """
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)

    def init(params: Params) -> ScaleByAdamState:
        return no_moments(params, b1, mu_dtype, nu_dtype)

    def update(
        updates: Updates, state: ScaleByAdamState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdamState]:
        del params
        t = safe_increment(state.count)
        mean, c2 = mean_estimate(b1, t, nesterov), total_weight(b2, t)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            v = moving_average(abs_sq(g), v, b2)
            return over_root(mean(g, m), debias(v, c2), eps, eps_root), m, v

        updates, mu, nu = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByAdamState(t, mu, nu)

    return GradientTransformation(init, update)


@transformation
def adam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = False,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Adam: gradient descent with a step size of its own for every parameter.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * m^ / (sqrt(v^ + eps_root) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Kingma, Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def adamw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn = None,
    *,
    nesterov: bool = False,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Adam with decoupled weight decay.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * (m^ / (sqrt(v^ + eps_root) + eps) + weight_decay * p)
        with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      nesterov: whether m^ looks one step ahead; see `scale_by_adam`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    """
    return chain(
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def nadam(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nesterov: bool = True,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """NAdam: Adam with Nesterov's momentum.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * m^ / (sqrt(v^ + eps_root) + eps)
        with m^ = b1 * m / (1 - b1^(t+1)) + (1 - b1) * g / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the gradients, the same in every step.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nesterov: False makes it `adam`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2.
    """
    return adam(learning_rate, b1, b2, eps, eps_root, mu_dtype, nesterov=nesterov, nu_dtype=nu_dtype)


@transformation
def nadamw(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-4,
    mask: MaskOrFn = None,
    *,
    nesterov: bool = True,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """NAdam with decoupled weight decay: AdamW with Nesterov's momentum.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * (m^ / (sqrt(v^ + eps_root) + eps) + weight_decay * p)
        with m^ = b1 * m / (1 - b1^(t+1)) + (1 - b1) * g / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients, the same in every step.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      nesterov: False makes it `adamw`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    References:
      Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2.
      Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    """
    return adamw(
        learning_rate, b1, b2, eps, eps_root, mu_dtype, weight_decay, mask, nesterov=nesterov, nu_dtype=nu_dtype
    )

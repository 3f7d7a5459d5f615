"""AMSGrad: Adam whose denominator never falls.

t = t + 1
m = b1 * m + (1 - b1) * g
v = b2 * v + (1 - b2) * |g|^2
w = max(w, v / (1 - b2^t))
u = m / (1 - b1^t) / (sqrt(w + eps_root) + eps)
"""

from __future__ import annotations

from typing import NamedTuple

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
    total_weight,
    transformation,
)
from optax.optimizers._parts import mean_estimate, over_root
from optax.transforms import scale_by_learning_rate

__all__ = ["ScaleByAmsgradState", "amsgrad", "scale_by_amsgrad"]


class ScaleByAmsgradState(NamedTuple):
    """State of `scale_by_amsgrad`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean of their squares (v).
      nu_max: tree like `nu`, the largest mean of squares so far (w).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: Updates
    nu_max: Updates


@transformation
def scale_by_amsgrad(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """AMSGrad's direction: Adam's, with the largest mean of squares so far in the place of the present one.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        w = max(w, v^)
        u = m^ / (sqrt(w + eps_root) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      b1: scalar in [0, 1), decay of the first moment.
      b2: scalar in [0, 1), decay of the second moment.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      bias_correction_mu: whether m^ is corrected; False for m^ = m, as in the paper.
      bias_correction_nu: whether v^ is corrected; False for v^ = v, as in the paper.
      nu_dtype: dtype of v and w. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAmsgradState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Reddi, Kale, Kumar, "On the convergence of Adam and beyond", 2018, algorithm 2.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAmsgradState:
        return ScaleByAmsgradState(
            count=jnp.zeros([], jnp.int32),
            mu=new_slot(params, decay=b1, dtype=mu_dtype),
            nu=new_slot(params, dtype=nu_dtype, real=True),
            nu_max=new_slot(params, dtype=nu_dtype, real=True),
        )

    def update(
        updates: Updates, state: ScaleByAmsgradState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAmsgradState]:
        del params
        t = safe_increment(state.count)
        mean, c2 = mean_estimate(b1, t, nesterov=False), total_weight(b2, t)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array, w: jax.Array) -> tuple[jax.Array, ...]:
            m = moving_average(g, m, b1)
            v = moving_average(abs_sq(g), v, b2)
            w = jnp.maximum(w, debias(v, c2) if bias_correction_nu else v)
            return over_root(mean(g, m) if bias_correction_mu else m, w, eps, eps_root), m, v, w

        updates, mu, nu, nu_max = over_leaves(rule, updates, state.mu, state.nu, state.nu_max)
        return updates, ScaleByAmsgradState(t, mu, nu, nu_max)

    return GradientTransformation(init, update)


@transformation
def amsgrad(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    bias_correction_mu: bool = True,
    bias_correction_nu: bool = True,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AMSGrad: Adam whose step sizes never grow again.

        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * |g|^2
        w = max(w, v^)
        u = -learning_rate * m^ / (sqrt(w + eps_root) + eps)    with m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      bias_correction_mu: whether m^ is corrected; False for m^ = m, as in the paper.
      bias_correction_nu: whether v^ is corrected; False for v^ = v, as in the paper.
      nu_dtype: dtype of v and w. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Reddi, Kale, Kumar, "On the convergence of Adam and beyond", 2018, algorithm 2.
    """
    return chain(
        scale_by_amsgrad(b1, b2, eps, eps_root, mu_dtype, bias_correction_mu, bias_correction_nu, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
    )

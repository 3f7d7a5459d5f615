"""NovoGrad: momentum over gradients that are divided by the norm of their layer's.

v = b2 * v + (1 - b2) * |g|^2       one number for each leaf; |g|^2 at first
m = b1 * m + g / (sqrt(v) + eps) + weight_decay * p
u = m
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
    PyTree,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_dtype,
    check_hyperparameter,
    moving_average,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    scheduled,
    transformation,
    tree,
    vary_like,
)
from optax.optimizers._parts import divisor
from optax.transforms import scale_by_learning_rate
from optax.transforms._precision import is_zero

__all__ = ["ScaleByNovogradState", "novograd", "scale_by_novograd"]


class ScaleByNovogradState(NamedTuple):
    """State of `scale_by_novograd`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the momentum (m).
      nu: tree of the parameters' structure with a real scalar for each, the mean of the squared norms (v).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: PyTree


@transformation
def scale_by_novograd(
    b1: Numeric = 0.9,
    b2: Numeric = 0.25,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """NovoGrad's direction: momentum over gradients divided by a mean of the norms of their leaf.

        v = b2 * v + (1 - b2) * |g|^2       (v = |g|^2 at the first update)
        m = b1 * m + g / (sqrt(v + eps_root) + eps) + weight_decay * p
        u = m

    Args:
      b1: scalar in [0, 1), decay of m, which is a sum: constant gradients make it 1 / (1 - b1) times as large as one
        term.
      b2: scalar in [0, 1), decay of v.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.

    Returns:
      A transformation that needs the parameters, unless `weight_decay` is 0. Its state is `ScaleByNovogradState`; v is
      float32, float64 for parameters of that precision.

    Raises:
      TypeError: `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Ginsburg et al., "Stochastic gradient methods with layer-wise adaptive moments for training of deep networks",
      2019, algorithm 1.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_hyperparameter("weight_decay", weight_decay, schedule=True)
    check_dtype("mu_dtype", mu_dtype)
    decays = not is_zero(weight_decay)

    def init(params: Params) -> ScaleByNovogradState:
        m = new_slot(params, decay=b1, dtype=mu_dtype)
        v = jax.tree.map(lambda p: vary_like(new_slot(jnp.zeros([], tree.dtype(p)), real=True), p), params)
        return ScaleByNovogradState(jnp.zeros([], jnp.int32), m, v)

    def update(
        updates: Updates, state: ScaleByNovogradState, params: Params | None = None
    ) -> tuple[Updates, ScaleByNovogradState]:
        first = state.count == 0
        decay = scheduled(weight_decay, state.count)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array, *p: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            square = jnp.sum(abs_sq(g))
            v = jnp.where(first, square, moving_average(square, v, b2))
            d = scaled(g, 1 / (divisor(v + eps_root) + eps))
            if p:
                d = d + scaled(p[0], decay)
            m = scaled(m, b1) + d
            return m, m, v

        reads = (require_params(params),) if decays else ()
        updates, m, v = over_leaves(rule, updates, state.mu, reads=reads, summaries=(state.nu,))
        return updates, ScaleByNovogradState(safe_increment(state.count), m, v)

    return GradientTransformation(init, update)


@transformation
def novograd(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.25,
    eps: Numeric = 1e-6,
    eps_root: Numeric = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    *,
    mu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """NovoGrad: gradient descent with momentum, each leaf's gradient divided by its norm.

        v = b2 * v + (1 - b2) * |g|^2       (one number for each leaf; v = |g|^2 at the first update)
        m = b1 * m + g / (sqrt(v + eps_root) + eps) + weight_decay * p
        u = -learning_rate * m

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of m.
      b2: scalar in [0, 1), decay of v.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.

    Returns:
      A transformation that needs the parameters, unless `weight_decay` is 0; add its updates to them with
      `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Ginsburg et al., "Stochastic gradient methods with layer-wise adaptive moments for training of deep networks",
      2019, algorithm 1.
    """
    return chain(
        scale_by_novograd(b1, b2, eps, eps_root, weight_decay, mu_dtype),
        scale_by_learning_rate(learning_rate),
    )

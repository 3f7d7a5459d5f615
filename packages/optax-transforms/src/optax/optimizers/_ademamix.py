"""AdEMAMix: Adam with a second, much longer memory of the gradients; and its form with one memory.

t = t + 1
m1 = b1 * m1 + (1 - b1) * g
m2 = b3 * m2 + (1 - b3) * g
v = b2 * v + (1 - b2) * |g|^2
u = (m1 / (1 - b1^t) + alpha * m2) / (sqrt(v / (1 - b2^t) + eps_root) + eps)                    (AdEMAMix)

m = b1 * m + g
n = b2 * n + (1 - b2) * |g|^2
u = (m + alpha * g) / (sqrt(n / (1 - b2^t) + eps_root) + eps)                                   (simplified)
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
    scheduled,
    total_weight,
    transformation,
)
from optax.optimizers._parts import over_root
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = [
    "ScaleByAdemamixState",
    "ScaleBySimplifiedAdEMAMixState",
    "ademamix",
    "scale_by_ademamix",
    "scale_by_simplified_ademamix",
    "simplified_ademamix",
]


class ScaleByAdemamixState(NamedTuple):
    """State of `scale_by_ademamix`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      count_m2: int32 scalar, the step of the schedules of b3 and alpha. It may be set to another one.
      m1: tree of the parameters' structure and shapes, the mean of the gradients with the short memory.
      m2: tree of the same structure and shapes, that with the long memory.
      nu: tree of the same structure and shapes, real, the mean of their squares (v).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    count_m2: jax.Array
    m1: Updates
    m2: Updates
    nu: Updates


class ScaleBySimplifiedAdEMAMixState(NamedTuple):
    """State of `scale_by_simplified_ademamix`.

    Attributes:
      t: int32 scalar, the number of updates made so far.
      m: tree of the parameters' structure and shapes, the decaying sum of the gradients.
      n: tree of the same structure and shapes, real, the mean of their squares.
    """

    t: jax.Array
    m: Updates
    n: Updates


@transformation
def scale_by_ademamix(
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 6.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """AdEMAMix's direction: two means of the gradients, one fast and one slow, over the root of the mean square.

        m1 = b1 * m1 + (1 - b1) * g
        m2 = b3 * m2 + (1 - b3) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = (m1^ + alpha * m2) / (sqrt(v^ + eps_root) + eps)    with m1^ = m1 / (1 - b1^t), v^ = v / (1 - b2^t)

    The slow mean is not corrected for its start from zero: old gradients count for more as training goes on.

    Args:
      b1: scalar in [0, 1), decay of the fast mean.
      b2: scalar in [0, 1), decay of the mean square.
      b3: scalar in [0, 1), decay of the slow mean, or a schedule; the paper warms it up from b1.
      alpha: real scalar, weight of the slow mean, or a schedule; the paper raises it from 0.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m1 and m2. None for the parameter's, or float32 where that could not resolve `1 - b`.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleByAdemamixState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Pagliardini, Ablin, Grangier, "The AdEMAMix optimizer: better, faster, older", 2024, algorithm 1.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("b3", b3, least=0, below=1, schedule=True)
    check_hyperparameter("alpha", alpha, schedule=True)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleByAdemamixState:
        return ScaleByAdemamixState(
            count=jnp.zeros([], jnp.int32),
            count_m2=jnp.zeros([], jnp.int32),
            m1=new_slot(params, decay=b1, dtype=mu_dtype),
            m2=new_slot(params, decay=b3, dtype=mu_dtype),
            nu=new_slot(params, dtype=nu_dtype, real=True),
        )

    def update(
        updates: Updates, state: ScaleByAdemamixState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdemamixState]:
        del params
        slow, weight = scheduled(b3, state.count_m2), scheduled(alpha, state.count_m2)
        t = safe_increment(state.count)
        c1, c2 = total_weight(b1, t), total_weight(b2, t)

        def rule(
            g: jax.Array, m1: jax.Array, m2: jax.Array, v: jax.Array
        ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
            m1 = moving_average(g, m1, b1)
            m2 = moving_average(g, m2, slow)
            v = moving_average(abs_sq(g), v, b2)
            direction = debias(m1, c1) + scaled(m2, weight)
            return over_root(direction, debias(v, c2), eps, eps_root), m1, m2, v

        updates, m1, m2, nu = over_leaves(rule, updates, state.m1, state.m2, state.nu)
        return updates, ScaleByAdemamixState(t, safe_increment(state.count_m2), m1, m2, nu)

    return GradientTransformation(init, update)


@transformation
def ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    b3: ScalarOrSchedule = 0.9999,
    alpha: ScalarOrSchedule = 5.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """AdEMAMix, with decoupled weight decay: Adam that remembers gradients from ten thousand steps ago too.

        m1 = b1 * m1 + (1 - b1) * g
        m2 = b3 * m2 + (1 - b3) * g
        v = b2 * v + (1 - b2) * |g|^2
        u = -learning_rate * ((m1^ + alpha * m2) / (sqrt(v^ + eps_root) + eps) + weight_decay * p)
        with m1^ = m1 / (1 - b1^t), v^ = v / (1 - b2^t)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the fast mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      b3: scalar in [0, 1), decay of the slow mean of the gradients, or a schedule; the paper warms it up from b1.
      alpha: real scalar, weight of the slow mean, or a schedule; the paper raises it from 0. 4 to 10 is usual.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m1 and m2. None for the parameter's, or float32 where that could not resolve `1 - b`.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      nu_dtype: dtype of v. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Pagliardini, Ablin, Grangier, "The AdEMAMix optimizer: better, faster, older", 2024, algorithm 1.
    """
    return chain(
        scale_by_ademamix(b1, b2, b3, alpha, eps, eps_root, mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


@transformation
def scale_by_simplified_ademamix(
    b1: Numeric = 0.99,
    b2: Numeric = 0.95,
    alpha: Numeric = 0.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Simplified AdEMAMix's direction: a decaying sum of gradients and the newest, over the root of the mean square.

        m = b1 * m + g
        n = b2 * n + (1 - b2) * |g|^2
        u = (m + alpha * g) / (sqrt(n / (1 - b2^t) + eps_root) + eps)

    Args:
      b1: scalar in [0, 1), decay of the sum. The sum comes to 1 / (1 - b1) gradients, so the learning rate has to be
        smaller than Adam's by that factor.
      b2: scalar in [0, 1), decay of the mean square.
      alpha: real scalar, weight of the newest gradient.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of n. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation whose state is `ScaleBySimplifiedAdEMAMixState`.

    Raises:
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Morwani, Vyas, Zhang, Kakade, "Connections between schedule-free optimizers, AdEMAMix, and accelerated SGD
      variants", 2025.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("alpha", alpha)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("eps_root", eps_root, least=0)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> ScaleBySimplifiedAdEMAMixState:
        return ScaleBySimplifiedAdEMAMixState(
            t=jnp.zeros([], jnp.int32),
            m=new_slot(params, decay=b1, dtype=mu_dtype),
            n=new_slot(params, dtype=nu_dtype, real=True),
        )

    def update(
        updates: Updates, state: ScaleBySimplifiedAdEMAMixState, params: Params | None = None
    ) -> tuple[Updates, ScaleBySimplifiedAdEMAMixState]:
        del params
        t = safe_increment(state.t)
        c2 = total_weight(b2, t)

        def rule(g: jax.Array, m: jax.Array, n: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = scaled(m, b1) + g
            n = moving_average(abs_sq(g), n, b2)
            return over_root(m + scaled(g, alpha), debias(n, c2), eps, eps_root), m, n

        updates, m, n = over_leaves(rule, updates, state.m, state.n)
        return updates, ScaleBySimplifiedAdEMAMixState(t, m, n)

    return GradientTransformation(init, update)


@transformation
def simplified_ademamix(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.99,
    b2: Numeric = 0.95,
    alpha: Numeric = 0.0,
    eps: Numeric = 1e-8,
    eps_root: Numeric = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Simplified AdEMAMix, with decoupled weight decay: one long memory of the gradients, and the newest beside it.

        m = b1 * m + g
        n = b2 * n + (1 - b2) * |g|^2
        u = -learning_rate * ((m + alpha * g) / (sqrt(n / (1 - b2^t) + eps_root) + eps) + weight_decay * p)

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the sum. The sum comes to 1 / (1 - b1) gradients, so the learning rate has to be
        smaller than Adam's by that factor.
      b2: scalar in [0, 1), decay of the mean square.
      alpha: real scalar, weight of the newest gradient: 0 for large batches, up to 100 for small ones.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      nu_dtype: dtype of n. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      Morwani, Vyas, Zhang, Kakade, "Connections between schedule-free optimizers, AdEMAMix, and accelerated SGD
      variants", 2025.
    """
    return chain(
        scale_by_simplified_ademamix(b1, b2, alpha, eps, eps_root, mu_dtype=mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )

"""RMSProp: a step of the gradient over the root of its mean square.

v = decay * v + (1 - decay) * |g|^2
u = g / sqrt(v + eps)
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
    identity,
    moving_average,
    new_slot,
    over_leaves,
    ratio,
    safe_increment,
    safe_sqrt,
    total_weight,
    transformation,
)
from optax.optimizers._parts import filled_slot
from optax.transforms import scale_by_learning_rate, trace

__all__ = [
    "ScaleByRStdDevState",
    "ScaleByRStdDevWithCountState",
    "ScaleByRmsState",
    "ScaleByRmsWithCountState",
    "rmsprop",
    "scale_by_rms",
    "scale_by_stddev",
]


class ScaleByRmsState(NamedTuple):
    """State of `scale_by_rms`.

    Attributes:
      nu: tree of the parameters' structure and shapes, real, the mean of the squared gradients (v).
    """

    nu: Updates


class ScaleByRmsWithCountState(NamedTuple):
    """State of `scale_by_rms(bias_correction=True)`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      nu: tree of the parameters' structure and shapes, real, the mean of the squared gradients (v).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    nu: Updates


class ScaleByRStdDevState(NamedTuple):
    """State of `scale_by_stddev`.

    Attributes:
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean of their squares (v).
    """

    mu: Updates
    nu: Updates


class ScaleByRStdDevWithCountState(NamedTuple):
    """State of `scale_by_stddev(bias_correction=True)`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean of their squares (v).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: Updates


@transformation
def scale_by_rms(
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Divide by the root of the mean of the squared gradients.

        v = decay * v + (1 - decay) * |g|^2
        u = g / sqrt(v + eps)       (or g / (sqrt(v) + eps))

    Args:
      decay: scalar in [0, 1).
      eps: scalar >= 0.
      initial_scale: scalar >= 0, what v starts from.
      eps_in_sqrt: whether `eps` is added inside the root.
      bias_correction: use v / (1 - decay^t) in place of v in u, as Adam does.
      nu_dtype: dtype of v. None for float32, or float64 for parameters of that precision.

    Returns:
      A transformation whose state is `ScaleByRmsState`, `ScaleByRmsWithCountState` with `bias_correction`.

    Raises:
      ValueError: `decay` is outside [0, 1), `eps` or `initial_scale` is negative.

    Reference:
      Tieleman, Hinton, "Neural networks for machine learning", lecture 6.5, 2012.
    """
    _check(decay, eps, initial_scale, nu_dtype)

    def init(params: Params) -> ScaleByRmsState | ScaleByRmsWithCountState:
        v = filled_slot(params, initial_scale, nu_dtype)
        return ScaleByRmsWithCountState(jnp.zeros([], jnp.int32), v) if bias_correction else ScaleByRmsState(v)

    def update(updates: Updates, state: Any, params: Params | None = None) -> tuple[Updates, Any]:
        del params
        t, weight = _time(state, decay) if bias_correction else (None, 1.0)

        def rule(g: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
            v = moving_average(abs_sq(g), v, decay)
            v_hat = debias(v, weight) if bias_correction else v
            return ratio(g, _root(v_hat, eps, eps_in_sqrt)), v

        updates, v = over_leaves(rule, updates, state.nu)
        return updates, ScaleByRmsState(v) if t is None else ScaleByRmsWithCountState(t, v)

    return GradientTransformation(init, update)


@transformation
def scale_by_stddev(
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    bias_correction: bool = False,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Divide by the standard deviation of the gradients, the root of their mean square about their mean.

        m = decay * m + (1 - decay) * g
        v = decay * v + (1 - decay) * |g|^2
        u = g / sqrt(v - |m|^2 + eps)       (or g / (sqrt(v - |m|^2) + eps))

    Args:
      decay: scalar in [0, 1).
      eps: scalar >= 0.
      initial_scale: scalar >= 0, what v starts from.
      eps_in_sqrt: whether `eps` is added inside the root.
      bias_correction: use m / (1 - decay^t) and v / (1 - decay^t) in place of m and v in u.
      nu_dtype: dtype of m and v, whose difference is what counts. None for float32, or float64 for parameters of that
        precision.

    Returns:
      A transformation whose state is `ScaleByRStdDevState`, `ScaleByRStdDevWithCountState` with `bias_correction`.

    Raises:
      ValueError: `decay` is outside [0, 1), `eps` or `initial_scale` is negative.

    Reference:
      Graves, "Generating sequences with recurrent neural networks", 2013, equations 38 to 40.
    """
    _check(decay, eps, initial_scale, nu_dtype)

    def init(params: Params) -> ScaleByRStdDevState | ScaleByRStdDevWithCountState:
        m, v = new_slot(params, dtype=nu_dtype), filled_slot(params, initial_scale, nu_dtype)
        if bias_correction:
            return ScaleByRStdDevWithCountState(jnp.zeros([], jnp.int32), m, v)
        return ScaleByRStdDevState(m, v)

    def update(updates: Updates, state: Any, params: Params | None = None) -> tuple[Updates, Any]:
        del params
        t, weight = _time(state, decay) if bias_correction else (None, 1.0)

        def rule(g: jax.Array, m: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            m = moving_average(g, m, decay)
            v = moving_average(abs_sq(g), v, decay)
            m_hat, v_hat = (debias(m, weight), debias(v, weight)) if bias_correction else (m, v)
            variance = jnp.maximum(v_hat - abs_sq(m_hat), 0)  # of equal gradients it may be rounded below 0
            return ratio(g, _root(variance, eps, eps_in_sqrt)), m, v

        updates, m, v = over_leaves(rule, updates, state.mu, state.nu)
        return updates, ScaleByRStdDevState(m, v) if t is None else ScaleByRStdDevWithCountState(t, m, v)

    return GradientTransformation(init, update)


@transformation
def rmsprop(
    learning_rate: ScalarOrSchedule,
    decay: Numeric = 0.9,
    eps: Numeric = 1e-8,
    initial_scale: Numeric = 0.0,
    eps_in_sqrt: bool = True,
    centered: bool = False,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    bias_correction: bool = False,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """RMSProp: gradient descent with a step size of its own for every parameter.

        v = decay * v + (1 - decay) * |g|^2
        u = -learning_rate * g / sqrt(v + eps)      (without `eps_in_sqrt`: g / (sqrt(v) + eps))
        n = u + momentum * n, and n is the update   (with Nesterov's momentum: u + momentum * n)

    Args:
      learning_rate: real scalar or schedule.
      decay: scalar in [0, 1), decay of the mean of the squares.
      eps: scalar >= 0.
      initial_scale: scalar >= 0, what v starts from; 1 takes large first steps away.
      eps_in_sqrt: whether `eps` is added inside the root (as in TensorFlow) or outside (as in PyTorch).
      centered: divide by the standard deviation in place of the root mean square; see `scale_by_stddev`.
      momentum: scalar in [-1, 1], or None for none (and no state for it).
      nesterov: whether the momentum is Nesterov's.
      bias_correction: divide v, and with `centered` the mean m, by 1 - decay^t.
      nu_dtype: dtype of v, and of m. None for float32, or float64 for parameters of that precision.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `decay` or `momentum` is out of range, `eps` or `initial_scale` is negative.

    References:
      Tieleman, Hinton, "Neural networks for machine learning", lecture 6.5, 2012.
      Graves, "Generating sequences with recurrent neural networks", 2013, equations 38 to 41 (for `centered`).
    """
    if momentum is not None:
        check_hyperparameter("momentum", momentum, least=-1, most=1)
    scale_by_size = scale_by_stddev if centered else scale_by_rms
    return chain(
        scale_by_size(decay, eps, initial_scale, eps_in_sqrt, bias_correction, nu_dtype=nu_dtype),
        scale_by_learning_rate(learning_rate),
        identity() if momentum is None else trace(momentum, nesterov),
    )


def _check(decay: Numeric, eps: Numeric, initial_scale: Numeric, nu_dtype: DTypeLike | None) -> None:
    check_hyperparameter("decay", decay, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("initial_scale", initial_scale, least=0)
    check_dtype("nu_dtype", nu_dtype)


def _time(state: Any, decay: Numeric) -> tuple[jax.Array, jax.Array]:
    t = safe_increment(state.count)
    return t, total_weight(decay, t)


def _root(v: jax.Array, eps: Numeric, eps_in_sqrt: bool) -> jax.Array:
    return safe_sqrt(v + eps) if eps_in_sqrt else safe_sqrt(v) + eps

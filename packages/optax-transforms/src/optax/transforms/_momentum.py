"""Accumulate past updates."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    Numeric,
    Params,
    Updates,
    check_dtype,
    check_hyperparameter,
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    scaled,
    total_weight,
    transformation,
)
from optax.core import debias as debiased

__all__ = ["EmaState", "TraceState", "ema", "trace"]


class EmaState(NamedTuple):
    """State of `ema`.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      ema: tree of the parameters' structure and shapes, the moving average of the updates (m).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    ema: Params


class TraceState(NamedTuple):
    """State of `trace`.

    Attributes:
      trace: tree of the parameters' structure and shapes, the decaying sum of past updates.
    """

    trace: Params


@transformation
def trace(decay: Numeric, nesterov: bool = False, accumulator_dtype: DTypeLike | None = None) -> GradientTransformation:
    """Momentum as a decaying sum: m = g + decay * m, and u = m.

    Args:
      decay: scalar in [-1, 1]; 1 sums without forgetting, a negative one damps the play between opponents.
      nesterov: look one step ahead, u = g + decay * m with the new m (Nesterov 1983; Sutskever et al. 2013, eq. 3-4).
      accumulator_dtype: dtype of m; None for the parameter's, or float32 where that could not resolve `1 - decay`.

    Returns:
      A transformation whose state is `TraceState`.

    Raises:
      ValueError: `decay` is outside [-1, 1].
    """
    check_hyperparameter("decay", decay, least=-1, most=1)
    check_dtype("accumulator_dtype", accumulator_dtype)

    def init(params: Params) -> TraceState:
        return TraceState(new_slot(params, decay=decay, dtype=accumulator_dtype))

    def update(updates: Updates, state: TraceState, params: Params | None = None) -> tuple[Updates, TraceState]:
        del params

        def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
            m = g + scaled(m, decay)
            return (g + scaled(m, decay) if nesterov else m), m

        updates, m = over_leaves(rule, updates, state.trace)
        return updates, TraceState(m)

    return GradientTransformation(init, update)


@transformation
def ema(decay: Numeric, debias: bool = True, accumulator_dtype: DTypeLike | None = None) -> GradientTransformation:
    """Momentum as a moving average: m = decay * m + (1 - decay) * g, and u = m / (1 - decay^t).

    Args:
      decay: scalar in [0, 1).
      debias: divide by 1 - decay^t, the sum of the weights so far. Without it u = m, which starts near zero.
      accumulator_dtype: dtype of m; None for the parameter's, or float32 where that could not resolve `1 - decay`.

    Returns:
      A transformation whose state is `EmaState`. It averages the updates that pass through it, not the parameters.

    Raises:
      ValueError: `decay` is outside [0, 1).
    """
    check_hyperparameter("decay", decay, least=0, below=1)
    check_dtype("accumulator_dtype", accumulator_dtype)

    def init(params: Params) -> EmaState:
        return EmaState(jnp.zeros([], jnp.int32), new_slot(params, decay=decay, dtype=accumulator_dtype))

    def update(updates: Updates, state: EmaState, params: Params | None = None) -> tuple[Updates, EmaState]:
        del params
        t = safe_increment(state.count)
        weight = total_weight(decay, t)

        def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
            m = moving_average(g, m, decay)
            return (debiased(m, weight) if debias else m), m

        updates, m = over_leaves(rule, updates, state.ema)
        return updates, EmaState(t, m)

    return GradientTransformation(init, update)

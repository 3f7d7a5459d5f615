"""Accumulate past updates."""

from __future__ import annotations

from typing import NamedTuple

import jax
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    Numeric,
    Params,
    Updates,
    check_hyperparameter,
    new_slot,
    over_leaves,
    scaled,
    transformation,
)

__all__ = ["TraceState", "trace"]


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
      decay: scalar in [0, 1).
      nesterov: look one step ahead, u = g + decay * m with the new m (Nesterov 1983; Sutskever et al. 2013, eq. 3-4).
      accumulator_dtype: dtype of m; None for the parameter's, or float32 where that could not resolve `1 - decay`.

    Returns:
      A transformation whose state is `TraceState`.

    Raises:
      ValueError: `decay` is outside [0, 1).
    """
    check_hyperparameter("decay", decay, least=0, below=1)

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

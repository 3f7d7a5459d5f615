"""Pull the parameters towards zero."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    EmptyState,
    GradientTransformation,
    MaskOrFn,
    Numeric,
    OptState,
    Params,
    ScalarOrSchedule,
    Schedule,
    Updates,
    check_hyperparameter,
    identity,
    init_empty_state,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    transformation,
)
from optax.transforms._mask import masked
from optax.transforms._precision import is_zero

__all__ = ["AddDecayedWeightsState", "WeightDecaySchedule", "add_decayed_weights"]

AddDecayedWeightsState = EmptyState


class WeightDecaySchedule(NamedTuple):
    """State of `add_decayed_weights` with a schedule.

    Attributes:
      count: int32 scalar, the number of updates made so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


@transformation
def add_decayed_weights(weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn = None) -> GradientTransformation:
    """Add a multiple of the parameters: u = g + weight_decay * p.

    Before the moments of an optimizer this is the gradient of an L2 penalty; after them it is decoupled weight decay
    (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2).

    Args:
      weight_decay: real scalar or schedule. The number 0 does nothing.
      mask: tree of booleans, a prefix of one, or a function that makes it from the parameters: which of them decay.
        None for all.

    Returns:
      A transformation that needs the parameters, unless `weight_decay` is the number 0. Its state is `EmptyState()`,
      `WeightDecaySchedule` for a schedule, either of them in a `MaskedState` if there is a mask.

    Raises:
      TypeError: `weight_decay` is neither a real scalar nor callable.
    """
    check_hyperparameter("weight_decay", weight_decay, schedule=True)
    if callable(weight_decay):
        decayed = _decay_by_schedule(weight_decay)
    else:
        decayed = identity() if is_zero(weight_decay) else _decay_by(weight_decay)
    return decayed if mask is None else masked(decayed, mask)


def _add(updates: Updates, params: Params | None, weight_decay: Numeric) -> Updates:
    def rule(g: jax.Array, p: jax.Array) -> jax.Array:
        return g + scaled(p, weight_decay)

    return over_leaves(rule, updates, reads=(require_params(params),))


def _decay_by(weight_decay: Numeric) -> GradientTransformation:
    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return _add(updates, params, weight_decay), state

    return GradientTransformation(init_empty_state, update)


def _decay_by_schedule(weight_decay: Schedule) -> GradientTransformation:
    def init(params: Params) -> WeightDecaySchedule:
        del params
        return WeightDecaySchedule(count=jnp.zeros([], jnp.int32))

    def update(
        updates: Updates, state: WeightDecaySchedule, params: Params | None = None
    ) -> tuple[Updates, WeightDecaySchedule]:
        updates = _add(updates, params, weight_decay(state.count))
        return updates, WeightDecaySchedule(safe_increment(state.count))

    return GradientTransformation(init, update)

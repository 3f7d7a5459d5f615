"""Multiply the updates by a scalar."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    EmptyState,
    GradientTransformation,
    Numeric,
    Params,
    ScalarOrSchedule,
    Schedule,
    Updates,
    check_hyperparameter,
    identity,
    leafwise,
    over_leaves,
    safe_increment,
    scaled,
    transformation,
)

__all__ = [
    "ScaleByScheduleState",
    "ScaleState",
    "scale",
    "scale_by_learning_rate",
    "scale_by_schedule",
]

ScaleState = EmptyState


class ScaleByScheduleState(NamedTuple):
    """State of `scale_by_schedule`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


@transformation
def scale(step_size: Numeric) -> GradientTransformation:
    """Multiply the updates by a constant: u = step_size * g.

    Args:
      step_size: real scalar. An array of it is cast to each leaf's dtype, never the leaf to the array's.

    Returns:
      A transformation whose state is `EmptyState()`.

    Raises:
      TypeError: `step_size` is not a real scalar.
    """
    check_hyperparameter("step_size", step_size)
    return leafwise(lambda g: scaled(g, step_size))


@transformation
def scale_by_schedule(step_size_fn: Schedule) -> GradientTransformation:
    """Multiply the updates by a function of the step count: u = step_size_fn(t) * g, with t = 0 at the first update.

    Args:
      step_size_fn: `step_size_fn(count)` returns a real scalar.

    Returns:
      A transformation whose state is `ScaleByScheduleState`.

    Raises:
      TypeError: `step_size_fn` cannot be called.
    """
    if not callable(step_size_fn):
        raise TypeError(f"step_size_fn must be a function of the step count, not {step_size_fn!r}")

    def init(params: Params) -> ScaleByScheduleState:
        del params
        return ScaleByScheduleState(count=jnp.zeros([], jnp.int32))

    def update(
        updates: Updates, state: ScaleByScheduleState, params: Params | None = None
    ) -> tuple[Updates, ScaleByScheduleState]:
        del params
        step_size = step_size_fn(state.count)
        updates = over_leaves(lambda g: scaled(g, step_size), updates)
        return updates, ScaleByScheduleState(safe_increment(state.count))

    return GradientTransformation(init, update)


@transformation
def scale_by_learning_rate(
    learning_rate: ScalarOrSchedule | None = None, *, flip_sign: bool = True
) -> GradientTransformation:
    """The last stage of most optimizers: u = -learning_rate * g, so that adding u to the parameters descends.

    Args:
      learning_rate: real scalar or schedule; None leaves the updates as they are.
      flip_sign: whether to multiply by the negative of the learning rate.

    Returns:
      `scale`, `scale_by_schedule` or `identity`, as the learning rate asks.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
    """
    if learning_rate is None:
        return identity()
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    rate: Any = learning_rate
    if callable(rate):
        return scale_by_schedule((lambda count: -rate(count)) if flip_sign else rate)
    # The product is taken here, so that it is the one array that the update closes over.
    return scale(-rate if flip_sign else rate)

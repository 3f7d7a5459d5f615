"""Schedules with a state of their own, and any schedule as one of them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

import jax
import jax.numpy as jnp

from optax.core import Numeric, Recipe, Schedule, StatefulSchedule, safe_increment

__all__ = ["WrappedSchedule", "WrappedScheduleState"]


class WrappedScheduleState(NamedTuple):
    """State of `WrappedSchedule`.

    Attributes:
      count: int32 scalar, the number of steps made so far.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count


class WrappedSchedule:
    """A schedule of the step count as a `StatefulSchedule`, which counts the steps itself.

    Two that wrap equal schedules are equal and hash alike; they print as the call that makes them, and pickle if their
    schedules do.

    Args:
      schedule_fn: a function of the number of steps made so far.

    Raises:
      TypeError: `schedule_fn` cannot be called.

    >>> halving = WrappedSchedule(lambda count: 0.5**count)
    >>> state = halving.update(halving.init())
    >>> float(halving(state))
    0.5
    """

    def __init__(self, schedule_fn: Schedule):
        if not callable(schedule_fn):
            raise TypeError(f"schedule_fn must be a function of the step count, not {schedule_fn!r}")
        self.schedule_fn = schedule_fn

    def init(self) -> WrappedScheduleState:
        """The state before the first step."""
        return WrappedScheduleState(jnp.zeros([], jnp.int32))

    def update(self, state: WrappedScheduleState, **extra_args: Any) -> WrappedScheduleState:
        """The state after one more step; extra arguments make no difference."""
        del extra_args
        return WrappedScheduleState(safe_increment(state.count))

    def __call__(self, state: WrappedScheduleState, **extra_args: Any) -> Numeric:
        """The value in this state; extra arguments make no difference."""
        del extra_args
        value: Numeric = self.schedule_fn(state.count)
        return value

    def _recipe(self) -> Recipe:
        return Recipe.of(WrappedSchedule, self.schedule_fn)

    def __repr__(self) -> str:
        return repr(self._recipe())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WrappedSchedule) and self._recipe() == other._recipe()

    def __hash__(self) -> int:
        return hash(self._recipe())

    def __reduce__(self) -> tuple[Any, ...]:
        return WrappedSchedule, (self.schedule_fn,)


def is_stateful(x: Any) -> TypeGuard[StatefulSchedule]:
    """Whether `x` is a schedule that keeps a state: not a class of such schedules, and not an optimizer."""
    has_methods = all(callable(getattr(x, name, None)) for name in ("init", "update", "__call__"))
    return has_methods and not isinstance(x, type)

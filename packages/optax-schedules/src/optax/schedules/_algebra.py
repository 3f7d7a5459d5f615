"""Schedules made of schedules: their sums and products, bounds on their values, and other ways to count."""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric, Schedule
from optax.schedules._checks import check_numbers, check_schedule, exceeds
from optax.schedules._numbers import aligned, as_value, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule, value_at

__all__ = ["add_schedules", "clip_schedule", "multiply_schedules", "shift_schedule", "stretch_schedule"]


@schedule
def add_schedules(*schedules: Schedule | Numeric) -> ScheduleValue:
    """The sum of schedules: value(t) = s_1(t) + s_2(t) + ...

    Args:
      *schedules: one or more schedules, other functions of a count, or numbers; `a + b` does the same if one of
        them is a `ScheduleValue`.

    Returns:
      A schedule.

    Raises:
      ValueError: there are no schedules.
      TypeError: one is neither a function nor a real number.

    >>> add_schedules(lambda t: t, 0.5)(3)
    Array(3.5, dtype=float32)
    """
    return _reduced(operator.add, schedules)


@schedule
def multiply_schedules(*schedules: Schedule | Numeric) -> ScheduleValue:
    """The product of schedules: value(t) = s_1(t) s_2(t) ...

    So a schedule is scaled by a number, or damped by another schedule while that one rises to 1.

    Args:
      *schedules: one or more schedules, other functions of a count, or numbers; `a * b` does the same if one of
        them is a `ScheduleValue`.

    Returns:
      A schedule.

    Raises:
      ValueError: there are no schedules.
      TypeError: one is neither a function nor a real number.

    >>> multiply_schedules(lambda t: t, 0.5)(3)
    Array(1.5, dtype=float32)
    """
    return _reduced(operator.mul, schedules)


@schedule
def clip_schedule(
    schedule: Schedule, least: Schedule | Numeric | None = None, most: Schedule | Numeric | None = None
) -> ScheduleValue:
    """A schedule kept within bounds: value(t) = min(max(s(t), least), most).

    With a schedule as the bound, it is the larger or the smaller of two schedules.

    Args:
      schedule: a schedule, or any function of a count.
      least: the lower bound, a number or a schedule; None for no bound.
      most: the upper bound, a number or a schedule, >= `least`; None for no bound.

    Returns:
      A schedule.

    Raises:
      ValueError: `least` is above `most`.
      TypeError: `schedule` cannot be called, or a bound is neither a function nor a real number.

    >>> [clip_schedule(lambda t: t, 1, 3)(t).item() for t in range(5)]
    [1.0, 1.0, 2.0, 3.0, 3.0]
    """
    check_schedule("schedule", schedule)
    for name, bound in (("least", least), ("most", most)):
        if bound is not None:
            check_schedule(name, bound, number=True)
    numbers = [x for x in (least, most) if x is not None and not callable(x)]
    if len(numbers) == 2 and exceeds(*numbers):
        raise ValueError(f"least must be at most most={most!r}, not {least!r}")

    def rule(t: jax.Array) -> jax.Array:
        value = value_at(schedule, t)
        if least is not None:
            value = xp.maximum(value, value_at(least, t))
        return value if most is None else xp.minimum(value, value_at(most, t))

    return of_numbers(rule)


@schedule
def shift_schedule(schedule: Schedule, steps: Numeric) -> ScheduleValue:
    """A schedule that begins later, or has begun before: value(t) = s(max(t - steps, 0)).

    Args:
      schedule: a schedule, or any function of a count.
      steps: how many steps later everything happens; a negative number leaves out the beginning.

    Returns:
      A schedule.

    Raises:
      TypeError: `schedule` cannot be called, or `steps` is not a real number.

    >>> [shift_schedule(lambda t: t, 2)(t).item() for t in range(5)]
    [0.0, 0.0, 0.0, 1.0, 2.0]
    """
    check_schedule("schedule", schedule)
    check_numbers(steps=steps)

    def rule(t: jax.Array) -> jax.Array:
        count, later = aligned(t, steps)
        if jnp.issubdtype(count.dtype, np.integer):  # the sum of two large integers would be negative
            count = xp.minimum(count, np.iinfo(count.dtype).max + xp.minimum(later, 0))
        return value_at(schedule, xp.maximum(count - later, 0))

    return of_numbers(rule)


@schedule
def stretch_schedule(schedule: Schedule, factor: Numeric) -> ScheduleValue:
    """A schedule that takes longer, or counts in another unit: value(t) = s(t / factor).

    A schedule whose lengths are fractions of a run becomes one in steps with `factor=total_steps`; one whose lengths
    are tokens (or samples) with `factor=1 / tokens_per_step`. Counts in another unit are floats, with 24 bits: where
    the value jumps, it may jump a step early or late.

    Args:
      schedule: a schedule, or any function of a count that may be fractional.
      factor: how many steps make one of the counts of `schedule`, > 0.

    Returns:
      A schedule.

    Raises:
      ValueError: `factor` is not positive.
      TypeError: `schedule` cannot be called, or `factor` is not a real number.

    >>> [stretch_schedule(lambda t: t, 10)(t).item() for t in (0, 5, 10)]
    [0.0, 0.5, 1.0]
    """
    check_schedule("schedule", schedule)
    check_numbers(above=0, factor=factor)
    return of_numbers(lambda t: value_at(schedule, as_value(t) / as_value(factor)))


def _reduced(
    join: Callable[[jax.Array, jax.Array], jax.Array], schedules: tuple[Schedule | Numeric, ...]
) -> ScheduleValue:
    if not schedules:
        raise ValueError("schedules must not be empty")
    for i, part in enumerate(schedules):
        check_schedule(f"schedules[{i}]", part, number=True)
    return of_numbers(lambda t: functools.reduce(join, (value_at(part, t) for part in schedules)))

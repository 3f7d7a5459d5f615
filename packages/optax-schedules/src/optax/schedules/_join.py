"""Schedules one after the other."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric, Schedule
from optax.schedules._checks import check_edges, check_schedule
from optax.schedules._numbers import aligned, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule, value_at

__all__ = ["join_schedules"]


@schedule
def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[Numeric]) -> ScheduleValue:
    """Schedules one after the other, each counting from its own beginning.

        value(t) = schedules[i](t - boundaries[i - 1])    for boundaries[i - 1] <= t < boundaries[i]

    (with 0 before the first boundary). Only the counts of its own phase are ever shown to a schedule, so that one
    which grows without bound later on harms neither the value nor the derivatives.

    Args:
      schedules: one or more schedules, or any functions of a count.
      boundaries: the counts at which the next schedule takes over, one less than there are schedules, >= 0 and in
        ascending order; between equal ones the schedule is skipped.

    Returns:
      A schedule. The boundaries may be traced.

    Raises:
      ValueError: there are no schedules, or the boundaries have the wrong number, order or sign.
      TypeError: a schedule cannot be called, or a boundary is not a real number.

    >>> s = join_schedules([lambda t: 10 + t, lambda t: 20 + t], [3])
    >>> [s(t).item() for t in range(5)]
    [10.0, 11.0, 12.0, 20.0, 21.0]
    """
    check_edges("boundaries", boundaries)
    parts, edges = tuple(schedules), tuple(boundaries)
    _check(parts, edges)

    def rule(t: jax.Array) -> jax.Array:
        value = value_at(parts[0], _within(t, 0, *edges[:1]))
        for i, begin in enumerate(edges):
            later = value_at(parts[i + 1], _within(t, begin, *edges[i + 1 : i + 2]))
            now, start = aligned(t, begin)
            value = xp.where(now >= start, later, value)
        return value

    return of_numbers(rule)


def _within(t: jax.Array, begin: Numeric, *end: Numeric) -> jax.Array:
    """The count since `begin`, moved to the nearest one that occurs before `end`."""
    now, start, *stop = (xp.maximum(x, 0) for x in aligned(t, begin, *end))
    local = xp.maximum(now - start, 0)
    if not stop:
        return local
    last = stop[0] - start - (1 if jnp.issubdtype(now.dtype, np.integer) else 0)
    return xp.minimum(local, xp.maximum(last, 0))


def _check(schedules: tuple[Schedule, ...], boundaries: tuple[Numeric, ...]) -> None:
    if not schedules:
        raise ValueError("schedules must not be empty")
    for i, part in enumerate(schedules):
        check_schedule(f"schedules[{i}]", part)
    if len(boundaries) != len(schedules) - 1:
        raise ValueError(
            f"{len(schedules)} schedules need {len(schedules) - 1} boundaries between them, "
            f"got {len(boundaries)}: {list(boundaries)}"
        )

"""A value that does not change."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import as_value, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["constant_schedule"]


@schedule
def constant_schedule(value: Numeric) -> ScheduleValue:
    """The same value after every step.

    Args:
      value: a real number; may be an array, and may be traced.

    Returns:
      A schedule. Integers become floats, as in every schedule.

    Raises:
      TypeError: `value` is not a real number.

    >>> constant_schedule(0.5)(100)
    Array(0.5, dtype=float32)
    """
    check_numbers(value=value)

    def rule(t: jax.Array) -> jax.Array:
        v = as_value(value)
        return xp.broadcast_to(v, xp.broadcast_shapes(v.shape, t.shape))

    return of_numbers(rule)

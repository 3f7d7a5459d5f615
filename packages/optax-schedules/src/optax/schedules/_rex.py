"""REX: reflected exponential decay."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import interpolate, phase
from optax.schedules._shapes import rational
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["rex_schedule"]


@schedule
def rex_schedule(init_value: Numeric, decay_steps: Numeric, end_value: Numeric = 0.0) -> ScheduleValue:
    """A decay that is slower than a straight line at first and faster in the end, constant afterwards.

        value(t) = w init_value + (1 - w) end_value,    w = (1 - f) / (1 - f / 2),    f = t / decay_steps in [0, 1]

    Args:
      init_value: the value at count 0.
      decay_steps: length of the decay in steps, >= 0; with 0 it is over from the beginning.
      end_value: the value from `decay_steps` on.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `decay_steps` is negative.
      TypeError: an argument is not a real number.

    Reference:
      Chen et al., "REX: Revisiting Budgeted Training with an Improved Schedule", 2021, arXiv:2107.04197.

    >>> [round(rex_schedule(1.0, 4)(t).item(), 4) for t in range(6)]
    [1.0, 0.8571, 0.6667, 0.4, 0.0, 0.0]
    """
    check_numbers(init_value=init_value, end_value=end_value)
    check_numbers(least=0, decay_steps=decay_steps)

    def rule(t: jax.Array) -> jax.Array:
        return interpolate(init_value, end_value, *rational(*phase(t, 0, decay_steps)))

    return of_numbers(rule)

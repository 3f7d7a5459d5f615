"""Interpolation between two values by a power of the fraction that is left."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import as_value, interpolate, phase, power_of, xp
from optax.schedules._shapes import linear
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["linear_schedule", "polynomial_schedule"]


@schedule
def linear_schedule(
    init_value: Numeric, end_value: Numeric, transition_steps: Numeric, transition_begin: Numeric = 0
) -> ScheduleValue:
    """A straight line from one value to another, constant before and after.

        value(t) = (1 - f) init_value + f end_value,    f = (t - transition_begin) / transition_steps in [0, 1]

    It is `polynomial_schedule` with power 1.

    Args:
      init_value: the value up to `transition_begin`.
      end_value: the value from `transition_begin + transition_steps` on.
      transition_steps: length of the transition in steps, >= 0; 0 is a jump.
      transition_begin: the count at which the transition begins, >= 0.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `transition_steps` or `transition_begin` is negative.
      TypeError: an argument is not a real number.

    >>> [linear_schedule(0.0, 1.0, 4)(t).item() for t in range(6)]
    [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    check_numbers(init_value=init_value, end_value=end_value)
    check_numbers(least=0, transition_steps=transition_steps, transition_begin=transition_begin)

    def rule(t: jax.Array) -> jax.Array:
        f, r = phase(t, transition_begin, transition_steps)
        return interpolate(init_value, end_value, *linear(f, r))

    return of_numbers(rule)


@schedule
def polynomial_schedule(
    init_value: Numeric,
    end_value: Numeric,
    power: Numeric,
    transition_steps: Numeric,
    transition_begin: Numeric = 0,
) -> ScheduleValue:
    """From one value to another along a power of the fraction of the transition that is left.

        value(t) = r^power init_value + (1 - r^power) end_value,
        r = 1 - (t - transition_begin) / transition_steps in [0, 1]

    Args:
      init_value: the value up to `transition_begin`.
      end_value: the value from `transition_begin + transition_steps` on.
      power: the exponent, > 0: 1 is a line, larger ones change early, smaller ones late.
      transition_steps: length of the transition in steps, >= 0; 0 is a jump.
      transition_begin: the count at which the transition begins, >= 0.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `power` is not positive, or `transition_steps` or `transition_begin` is negative.
      TypeError: an argument is not a real number.

    >>> [polynomial_schedule(1.0, 0.0, power=2, transition_steps=4)(t).item() for t in range(5)]
    [1.0, 0.5625, 0.25, 0.0625, 0.0]
    """
    check_numbers(init_value=init_value, end_value=end_value)
    check_numbers(above=0, power=power)
    check_numbers(least=0, transition_steps=transition_steps, transition_begin=transition_begin)

    def rule(t: jax.Array) -> jax.Array:
        f, r = phase(t, transition_begin, transition_steps)
        # 1 - r^p by way of log r, and that from f where r is almost 1: a difference of the two would have no digits
        early = f < 0.5
        log_r = xp.where(early, xp.log1p(-xp.where(early, f, 0)), xp.log(xp.where(r > 0, r, 1)))
        w, v = power_of(r, power), xp.where(r > 0, -xp.expm1(as_value(power) * log_r), 1)
        return interpolate(init_value, end_value, w, v)

    return of_numbers(rule)

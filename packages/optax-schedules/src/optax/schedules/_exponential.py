"""Exponential decay, smooth or in stairs."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import aligned, as_value, geometric, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["exponential_decay", "step_schedule"]


@schedule
def exponential_decay(
    init_value: Numeric,
    transition_steps: Numeric,
    decay_rate: Numeric,
    transition_begin: Numeric = 0,
    staircase: bool = False,
    end_value: Numeric | None = None,
) -> ScheduleValue:
    """A value multiplied by the same factor every so many steps.

        value(t) = init_value decay_rate^k,    k = max(t - transition_begin, 0) / transition_steps

    With `staircase`, k is rounded down. A growth, `decay_rate` > 1, ends at init_value e^80.

    Args:
      init_value: the value up to `transition_begin`.
      transition_steps: how many steps it takes to multiply by `decay_rate`, > 0.
      decay_rate: the factor, > 0.
      transition_begin: the count at which the decay begins, >= 0.
      staircase: whether the value is constant between multiples of `transition_steps`.
      end_value: a bound for the value: the lower one if `decay_rate` < 1, else the upper one; None for no bound.

    Returns:
      A schedule. Every argument but `staircase` may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `transition_steps` or `decay_rate` is not positive, or `transition_begin` is negative.
      TypeError: an argument is not a real number.

    >>> [round(exponential_decay(1.0, 2, 0.25)(t).item(), 4) for t in range(5)]
    [1.0, 0.5, 0.25, 0.125, 0.0625]
    """
    check_numbers(init_value=init_value)
    check_numbers(above=0, transition_steps=transition_steps, decay_rate=decay_rate)
    check_numbers(least=0, transition_begin=transition_begin)
    if end_value is not None:
        check_numbers(end_value=end_value)

    def rule(t: jax.Array) -> jax.Array:
        now, begin, steps = aligned(t, transition_begin, transition_steps)
        done = xp.maximum(now - begin, 0)
        k = done // steps if staircase else as_value(done) / as_value(steps)
        value = as_value(init_value) * geometric(decay_rate, k)
        if end_value is None:
            return value
        bound, decays = as_value(end_value), as_value(decay_rate) < 1
        return xp.where(decays, xp.maximum(value, bound), xp.minimum(value, bound))

    return of_numbers(rule)


@schedule
def step_schedule(init_value: Numeric, step_size: Numeric, decay_rate: Numeric = 0.1) -> ScheduleValue:
    """A value multiplied by a factor every `step_size` steps, constant in between.

        value(t) = init_value decay_rate^floor(t / step_size)

    It is `exponential_decay` in stairs.

    Args:
      init_value: the value at count 0.
      step_size: length of a stair in steps, > 0.
      decay_rate: the factor, > 0.

    Returns:
      A schedule. Every argument may be traced.

    Raises:
      ValueError: `step_size` or `decay_rate` is not positive.
      TypeError: an argument is not a real number.

    >>> [round(step_schedule(1.0, 2, 0.5)(t).item(), 4) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    check_numbers(init_value=init_value)
    check_numbers(above=0, step_size=step_size, decay_rate=decay_rate)
    return exponential_decay(init_value, step_size, decay_rate, staircase=True)

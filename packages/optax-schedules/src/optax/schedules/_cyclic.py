"""Up and down, again and again."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import aligned, as_value, geometric, phase, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["cyclic_schedule"]


@schedule
def cyclic_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    up_steps: Numeric,
    down_steps: Numeric | None = None,
    cycle_decay: Numeric = 1.0,
    step_decay: Numeric = 1.0,
) -> ScheduleValue:
    """Triangles, for ever: a straight line up to a peak and one down again, whose height may decay.

        value(t) = init_value + (peak_value - init_value) a f,    a = cycle_decay^c step_decay^t

    where c counts the cycles before this one, and f goes from 0 up to 1 and down to 0 in each. The three forms of the
    paper are "triangular", without decay, "triangular2", `cycle_decay=0.5`, and "exp_range", `step_decay` below 1.

    Args:
      init_value: the value at the beginning and at the end of each cycle.
      peak_value: the value in between, without decay.
      up_steps: length of the way up in steps, > 0.
      down_steps: length of the way down in steps, >= 0; None for that of the way up.
      cycle_decay: the factor of the height from a cycle to the next, > 0 and <= 1.
      step_decay: the factor of the height from a step to the next, > 0 and <= 1.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: a length is negative, `up_steps` is 0, or a decay is outside (0, 1].
      TypeError: an argument is not a real number.

    Reference:
      Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, arXiv:1506.01186.

    >>> [round(cyclic_schedule(0.0, 1.0, 2, cycle_decay=0.5)(t).item(), 3) for t in range(9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.25, 0.5, 0.25, 0.0]
    """
    check_numbers(init_value=init_value, peak_value=peak_value)
    check_numbers(above=0, up_steps=up_steps)
    check_numbers(above=0, most=1, cycle_decay=cycle_decay, step_decay=step_decay)
    if down_steps is not None:
        check_numbers(least=0, down_steps=down_steps)

    def rule(t: jax.Array) -> jax.Array:
        now, up, down = aligned(t, up_steps, up_steps if down_steps is None else down_steps)
        cycle = now // (up + down)
        local = now - cycle * (up + down)
        rising, falling = phase(local, 0, up)[0], phase(local, up, down)[1]
        height = geometric(cycle_decay, cycle) * geometric(step_decay, t) * xp.where(local < up, rising, falling)
        return as_value(init_value) + (as_value(peak_value) - as_value(init_value)) * height

    return of_numbers(rule)

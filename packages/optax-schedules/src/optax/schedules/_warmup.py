"""A linear warm-up, and what follows it."""

import operator
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Any, cast

import jax

from optax.core import Numeric, Schedule
from optax.schedules._checks import check_numbers, check_schedule, exceeds
from optax.schedules._cosine import cosine_weight
from optax.schedules._exponential import exponential_decay
from optax.schedules._join import join_schedules
from optax.schedules._numbers import aligned, in_python, interpolate, phase
from optax.schedules._polynomial import linear_schedule
from optax.schedules._shapes import linear
from optax.schedules._value import ScheduleValue, of_numbers, schedule, value_at

__all__ = [
    "sgdr_schedule",
    "warmup",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
]


@schedule
def warmup(schedule: Schedule, steps: Numeric, init_value: Numeric = 0.0) -> ScheduleValue:
    """A straight line up to the beginning of a schedule, and then that schedule.

        value(t) = (1 - f) init_value + f s(0),    f = t / steps,    for t < steps
        value(t) = s(t - steps)                                      for t >= steps

    For a schedule that is not to be delayed by its warm-up, give it `shift_schedule(schedule, -steps)`.

    Args:
      schedule: a schedule, or any function of a count.
      steps: length of the warm-up in steps, >= 0.
      init_value: the value at count 0.

    Returns:
      A schedule. The numbers may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `steps` is negative.
      TypeError: `schedule` cannot be called, or a number is not real.

    Reference:
      Goyal et al., "Accurate, Large Minibatch SGD: Training ImageNet in 1 Hour", 2017, arXiv:1706.02677, section 2.2.

    >>> [warmup(lambda t: 1 / (1 + t), 2)(t).item() for t in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.3333333432674408]
    """
    check_schedule("schedule", schedule)
    check_numbers(least=0, steps=steps)
    check_numbers(init_value=init_value)

    def rise(t: jax.Array) -> jax.Array:
        return interpolate(init_value, value_at(schedule, 0), *linear(*phase(t, 0, steps)))

    return join_schedules([of_numbers(rise), schedule], [steps])


@schedule
def warmup_constant_schedule(init_value: Numeric, peak_value: Numeric, warmup_steps: Numeric) -> ScheduleValue:
    """A straight line up to a value that is kept.

        value(t) = (1 - f) init_value + f peak_value,    f = t / warmup_steps in [0, 1]

    Args:
      init_value: the value at count 0.
      peak_value: the value from `warmup_steps` on.
      warmup_steps: length of the warm-up in steps, >= 0; with 0 the value is `peak_value` from the beginning.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `warmup_steps` is negative.
      TypeError: an argument is not a real number.

    >>> [warmup_constant_schedule(0.0, 1.0, 2)(t).item() for t in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    check_numbers(init_value=init_value, peak_value=peak_value)
    check_numbers(least=0, warmup_steps=warmup_steps)
    return linear_schedule(init_value, peak_value, warmup_steps)


@schedule
def warmup_cosine_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    decay_steps: Numeric,
    end_value: Numeric = 0.0,
    exponent: Numeric = 1.0,
) -> ScheduleValue:
    """A straight line up to a peak, then a smooth decay, constant afterwards.

        value(t) = (1 - f) init_value + f peak_value,   f = t / warmup_steps,               for t < warmup_steps
        value(t) = w peak_value + (1 - w) end_value,    w = ((1 + cos(pi g)) / 2)^exponent
                                                        g = (t - warmup_steps) / (decay_steps - warmup_steps)

    Args:
      init_value: the value at count 0.
      peak_value: the value at `warmup_steps`.
      warmup_steps: length of the warm-up in steps, >= 0; with 0 the decay begins at once.
      decay_steps: length of the whole in steps, warm-up included, >= `warmup_steps`; equal to it, `end_value`
        follows the warm-up at once.
      end_value: the value from `decay_steps` on.
      exponent: the power of the cosine, > 0; larger ones decay earlier.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: a length is negative, `decay_steps` is less than `warmup_steps`, or `exponent` is not positive.
      TypeError: an argument is not a real number.

    Reference:
      Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983.

    >>> s = warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=2, decay_steps=6)
    >>> [round(s(t).item(), 3) for t in range(7)]
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146, 0.0]
    """
    check_numbers(init_value=init_value, peak_value=peak_value, end_value=end_value)
    check_numbers(least=0, warmup_steps=warmup_steps, decay_steps=decay_steps)
    check_numbers(above=0, exponent=exponent)
    if exceeds(warmup_steps, decay_steps):
        raise ValueError(f"decay_steps must be at least warmup_steps={warmup_steps!r}, not {decay_steps!r}")

    def decay(t: jax.Array) -> jax.Array:
        whole, warm = aligned(decay_steps, warmup_steps)
        w = cosine_weight(*phase(t, 0, whole - warm), exponent)
        return interpolate(peak_value, end_value, w, 1 - w)

    return join_schedules([linear_schedule(init_value, peak_value, warmup_steps), of_numbers(decay)], [warmup_steps])


@schedule
def warmup_exponential_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    transition_steps: Numeric,
    decay_rate: Numeric,
    transition_begin: Numeric = 0,
    staircase: bool = False,
    end_value: Numeric | None = None,
) -> ScheduleValue:
    """A straight line up to a peak, then `exponential_decay` from it.

        value(t) = (1 - f) init_value + f peak_value,    f = t / warmup_steps,    for t < warmup_steps
        value(t) = peak_value decay_rate^k                                        for t >= warmup_steps
        k = max(t - warmup_steps - transition_begin, 0) / transition_steps

    Args:
      init_value: the value at count 0.
      peak_value: the value at `warmup_steps`.
      warmup_steps: length of the warm-up in steps, >= 0.
      transition_steps: how many steps it takes to multiply by `decay_rate`, > 0.
      decay_rate: the factor, > 0.
      transition_begin: how many steps after the warm-up the decay begins, >= 0.
      staircase: whether k is rounded down.
      end_value: a bound for the decay: the lower one if `decay_rate` < 1, else the upper one; None for no bound.

    Returns:
      A schedule. Every argument but `staircase` may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `transition_steps` or `decay_rate` is not positive, or another length is negative.
      TypeError: an argument is not a real number.

    >>> s = warmup_exponential_decay_schedule(0.0, 1.0, 2, transition_steps=1, decay_rate=0.5)
    >>> [round(s(t).item(), 4) for t in range(6)]
    [0.0, 0.5, 1.0, 0.5, 0.25, 0.125]
    """
    check_numbers(init_value=init_value, peak_value=peak_value)
    check_numbers(least=0, warmup_steps=warmup_steps)
    decay = exponential_decay(peak_value, transition_steps, decay_rate, transition_begin, staircase, end_value)
    return join_schedules([linear_schedule(init_value, peak_value, warmup_steps), decay], [warmup_steps])


@schedule
def sgdr_schedule(cosine_kwargs: Iterable[Mapping[str, Numeric]]) -> ScheduleValue:
    """Warmed-up cosine decays one after the other: stochastic gradient descent with warm restarts.

    Cycles of one form, each longer or lower than the one before by a factor, are `cosine_cycles_schedule`.

    Args:
      cosine_kwargs: for each cycle the arguments of `warmup_cosine_decay_schedule`, by name; `decay_steps` is the
        length of the cycle.

    Returns:
      A schedule. The numbers may be traced.

    Raises:
      ValueError: there are no cycles, or one cannot be made.
      TypeError: arguments are missing, unknown, or not real numbers.

    Reference:
      Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983.

    >>> cycle = dict(init_value=0.0, peak_value=1.0, warmup_steps=1, decay_steps=3)
    >>> [round(sgdr_schedule([cycle, cycle])(t).item(), 3) for t in range(7)]
    [0.0, 1.0, 0.5, 0.0, 1.0, 0.5, 0.0]
    """
    arguments, cycles = list(cosine_kwargs), []
    for i, kwargs in enumerate(arguments):
        if not isinstance(kwargs, Mapping):
            raise TypeError(f"cosine_kwargs[{i}] must be a dict of arguments, not {kwargs!r}")
        try:
            cycles.append(warmup_cosine_decay_schedule(**cast(Any, kwargs)))
        except Exception as error:
            error.add_note(f"in cosine_kwargs[{i}]")
            raise
    if not cycles:
        raise ValueError("cosine_kwargs must not be empty")
    ends = list(accumulate((kwargs["decay_steps"] for kwargs in arguments), lambda a, b: in_python(operator.add, a, b)))
    return join_schedules(cycles, ends[:-1])

"""Decay like a power of the count."""

import jax

from optax.core import Numeric
from optax.schedules._checks import check_numbers
from optax.schedules._numbers import aligned, as_value, xp
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["inverse_sqrt_schedule", "inverse_time_schedule", "power_schedule"]


@schedule
def inverse_sqrt_schedule(init_value: Numeric, timescale: Numeric) -> ScheduleValue:
    """A decay like one over the square root of the count, which never ends.

        value(t) = init_value / sqrt(1 + t / timescale)

    After a warm-up of `timescale` steps, `warmup(inverse_sqrt_schedule(peak, timescale), timescale)`, it is
    peak sqrt(timescale / t), the schedule of the Transformer.

    Args:
      init_value: the value at count 0.
      timescale: how many steps it takes to the value init_value / sqrt(2), > 0.

    Returns:
      A schedule. Every argument may be traced.

    Raises:
      ValueError: `timescale` is not positive.
      TypeError: an argument is not a real number.

    Reference:
      Vaswani et al., "Attention Is All You Need", 2017, arXiv:1706.03762, equation 3.

    >>> [round(inverse_sqrt_schedule(1.0, 5)(t).item(), 4) for t in (0, 5, 15, 40)]
    [1.0, 0.7071, 0.5, 0.3333]
    """
    check_numbers(init_value=init_value)
    check_numbers(above=0, timescale=timescale)
    return of_numbers(lambda t: as_value(init_value) / xp.sqrt(1 + as_value(t) / as_value(timescale)))


@schedule
def inverse_time_schedule(
    init_value: Numeric, transition_steps: Numeric, decay_rate: Numeric = 1.0, staircase: bool = False
) -> ScheduleValue:
    """A decay like one over the count, which never ends.

        value(t) = init_value / (1 + decay_rate k),    k = t / transition_steps

    With `staircase`, k is rounded down.

    Args:
      init_value: the value at count 0.
      transition_steps: how many steps one unit of k is, > 0.
      decay_rate: how much the denominator grows with each, >= 0.
      staircase: whether the value is constant between multiples of `transition_steps`.

    Returns:
      A schedule. Every argument but `staircase` may be traced.

    Raises:
      ValueError: `transition_steps` is not positive, or `decay_rate` is negative.
      TypeError: an argument is not a real number.

    Reference:
      Robbins and Monro, "A Stochastic Approximation Method", Annals of Mathematical Statistics 22, 1951.

    >>> [round(inverse_time_schedule(1.0, 5)(t).item(), 4) for t in (0, 5, 10, 45)]
    [1.0, 0.5, 0.3333, 0.1]
    """
    check_numbers(init_value=init_value)
    check_numbers(above=0, transition_steps=transition_steps)
    check_numbers(least=0, decay_rate=decay_rate)

    def rule(t: jax.Array) -> jax.Array:
        now, steps = aligned(t, transition_steps)
        k = now // steps if staircase else as_value(now) / as_value(steps)
        return as_value(init_value) / (1 + as_value(decay_rate) * as_value(k))

    return of_numbers(rule)


@schedule
def power_schedule(
    max_value: Numeric, factor: Numeric, exponent: Numeric = -0.51, tokens_per_step: Numeric = 1.0
) -> ScheduleValue:
    """A power of the number of tokens seen, up to a largest value.

        value(t) = min(max_value, factor n^exponent),    n = tokens_per_step t

    In the paper `factor` is the batch size times 4.6, and the schedule is warmed up and cooled down: with s for it,
    `cooldown(warmup(shift_schedule(s, -w), w), begin, steps)` does so without a change to n.

    Args:
      max_value: the largest value, and the one at count 0.
      factor: the value at n = 1, if it were not bounded, > 0.
      exponent: the power, < 0.
      tokens_per_step: how many tokens, or samples, a step is, > 0.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `factor` or `tokens_per_step` is not positive, or `exponent` is not negative.
      TypeError: an argument is not a real number.

    Reference:
      Shen et al., "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler", 2024,
      arXiv:2408.13359.

    >>> [round(power_schedule(0.02, 0.1, exponent=-0.5)(t).item(), 4) for t in (0, 16, 25, 100)]
    [0.02, 0.02, 0.02, 0.01]
    """
    check_numbers(max_value=max_value)
    check_numbers(above=0, factor=factor, tokens_per_step=tokens_per_step)
    check_numbers(below=0, exponent=exponent)

    def rule(t: jax.Array) -> jax.Array:
        n = as_value(xp.where(t > 0, t, 1)) * as_value(tokens_per_step)
        value = as_value(factor) * xp.exp(as_value(exponent) * xp.log(n))
        return xp.where(t > 0, xp.minimum(as_value(max_value), value), as_value(max_value))

    return of_numbers(rule)

"""A cool-down of any schedule, from any step on."""

import operator

import jax
import numpy as np

from optax.core import Numeric, Schedule
from optax.schedules._checks import check_numbers, check_schedule, exceeds, known
from optax.schedules._numbers import aligned, in_python, interpolate, phase, steps_of, xp
from optax.schedules._shapes import ShapeName, shape_of
from optax.schedules._value import ScheduleValue, of_numbers, schedule, value_at
from optax.schedules._warmup import warmup_constant_schedule

__all__ = ["cooldown", "warmup_stable_decay_schedule"]


@schedule
def cooldown(
    schedule: Schedule, begin: Numeric, steps: Numeric, end_value: Numeric = 0.0, shape: ShapeName = "1-sqrt"
) -> ScheduleValue:
    """A schedule up to a count, and from there on a decay of the value it had then; constant afterwards.

        value(t) = s(t)                            for t < begin
        value(t) = w s(begin) + (1 - w) end_value  for t >= begin,    f = (t - begin) / steps in [0, 1]

    where w is 1 - f ("linear"), 1 - sqrt(f) ("1-sqrt") or (1 + cos(pi f)) / 2 ("cosine").

    A run that has no end in its schedule is brought to one from any checkpoint: `begin` is the count in the
    checkpoint's optimizer state, and the state fits the optimizer with the new schedule.

    Args:
      schedule: a schedule, or any function of a count.
      begin: the count at which the cool-down begins, >= 0.
      steps: its length in steps, >= 0; with 0 it is a jump to `end_value`.
      end_value: the value from `begin + steps` on.
      shape: "linear", "1-sqrt" or "cosine".

    Returns:
      A schedule. The numbers may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `begin` or `steps` is negative, or `shape` is another one.
      TypeError: `schedule` cannot be called, or a number is not real.

    Reference:
      Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024,
      arXiv:2405.18392.

    >>> [cooldown(lambda t: 1.0, begin=3, steps=2, shape="linear")(t).item() for t in range(7)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    check_schedule("schedule", schedule)
    check_numbers(least=0, begin=begin, steps=steps)
    check_numbers(end_value=end_value)
    weights = shape_of("shape", shape)

    def rule(t: jax.Array) -> jax.Array:
        value = value_at(schedule, xp.minimum(*aligned(t, begin)))
        return interpolate(value, end_value, *weights(*phase(t, begin, steps)))

    return of_numbers(rule)


@schedule
def warmup_stable_decay_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    total_steps: Numeric,
    cooldown_steps: Numeric,
    end_value: Numeric = 0.0,
    shape: ShapeName = "1-sqrt",
) -> ScheduleValue:
    """A straight line up to a value that is kept for most of the run, and a decay at its end; constant afterwards.

        value(t) = (1 - f) init_value + f peak_value,    f = t / warmup_steps in [0, 1],   for t < total - cooldown
        value(t) = w peak_value + (1 - w) end_value      from there on, as in `cooldown`

    Args:
      init_value: the value at count 0.
      peak_value: the value from `warmup_steps` on.
      warmup_steps: length of the warm-up in steps, or, below 1, as a fraction of `total_steps`.
      total_steps: length of the run in steps, warm-up and cool-down included.
      cooldown_steps: length of the decay in steps, or, below 1, as a fraction of `total_steps`.
      end_value: the value from `total_steps` on.
      shape: that of the decay, "linear", "1-sqrt" or "cosine".

    Returns:
      A schedule. The numbers may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: a length is negative, `total_steps` is less than warm-up and cool-down together, or `shape` is
        another one.
      TypeError: a number is not real.

    Reference:
      Hu et al., "MiniCPM: Unveiling the Potential of Small Language Models with Scalable Training Strategies", 2024,
      arXiv:2404.06395; the decay "1-sqrt" from Hägele et al., 2024, arXiv:2405.18392.

    >>> s = warmup_stable_decay_schedule(0.0, 1.0, 0.1, total_steps=20, cooldown_steps=4)
    >>> [round(s(t).item(), 3) for t in (0, 1, 2, 16, 17, 19, 20)]
    [0.0, 0.5, 1.0, 1.0, 0.5, 0.134, 0.0]
    """
    check_numbers(init_value=init_value, peak_value=peak_value, end_value=end_value)
    check_numbers(least=0, warmup_steps=warmup_steps, total_steps=total_steps, cooldown_steps=cooldown_steps)
    warm, cool = steps_of(warmup_steps, total_steps), steps_of(cooldown_steps, total_steps)
    if known(warm, cool) and exceeds(np.asarray(warm) + np.asarray(cool), total_steps):
        raise ValueError(f"total_steps must be at least {warm} of warm-up and {cool} of cool-down, not {total_steps}")
    begin = in_python(operator.sub, total_steps, cool)
    return cooldown(warmup_constant_schedule(init_value, peak_value, warm), begin, cool, end_value, shape)

"""Decay along half a period of the cosine."""

import jax
import numpy as np

from optax.core import Numeric, check_integer
from optax.schedules._checks import check_numbers, exceeds, known
from optax.schedules._numbers import aligned, as_value, geometric, interpolate, phase, power_of, stage, steps_of, xp
from optax.schedules._shapes import cosine, linear
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["cosine_cycles_schedule", "cosine_decay_schedule"]


@schedule
def cosine_decay_schedule(
    init_value: Numeric, decay_steps: Numeric, alpha: Numeric = 0.0, exponent: Numeric = 1.0
) -> ScheduleValue:
    """A smooth decay from a value to a fraction of it, constant afterwards.

        value(t) = init_value ((1 - alpha) w^exponent + alpha),    w = (1 + cos(pi t / decay_steps)) / 2

    Args:
      init_value: the value at count 0.
      decay_steps: length of the decay in steps, >= 0; with 0 it is over from the beginning.
      alpha: the fraction of `init_value` that is left in the end.
      exponent: the power of the cosine, > 0; larger ones decay earlier.

    Returns:
      A schedule. Every argument may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `decay_steps` is negative or `exponent` is not positive.
      TypeError: an argument is not a real number.

    Reference:
      Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983.

    >>> [round(cosine_decay_schedule(1.0, 4, alpha=0.5)(t).item(), 3) for t in range(6)]
    [1.0, 0.927, 0.75, 0.573, 0.5, 0.5]
    """
    check_numbers(init_value=init_value, alpha=alpha)
    check_numbers(least=0, decay_steps=decay_steps)
    check_numbers(above=0, exponent=exponent)

    def rule(t: jax.Array) -> jax.Array:
        w = cosine_weight(*phase(t, 0, decay_steps), exponent)
        return as_value(init_value) * interpolate(1.0, alpha, w, 1 - w)

    return of_numbers(rule)


def cosine_weight(f: jax.Array, r: jax.Array, exponent: Numeric) -> jax.Array:
    """The weight of the initial value, ((1 + cos(pi f)) / 2)^exponent."""
    return power_of(cosine(f, r)[0], exponent)


@schedule
def cosine_cycles_schedule(
    init_value: Numeric,
    peak_value: Numeric,
    warmup_steps: Numeric,
    cycle_steps: Numeric,
    cycles: int,
    end_value: Numeric = 0.0,
    cycle_growth: Numeric = 1.0,
    peak_decay: Numeric = 1.0,
) -> ScheduleValue:
    """Several decays along the cosine, each after a warm-up of its own.

    Cycle i = 0, ..., cycles - 1 lasts n = cycle_steps cycle_growth^i steps. In its first w steps, a straight line leads
    to peak_value peak_decay^i, from `init_value` in the first cycle and from `end_value` in the others; in the other
    n - w steps, half a period of the cosine leads to `end_value`. After the last cycle the value is constant.

    Without a warm-up these are the warm restarts of SGDR, and the value jumps where a cycle begins.

    Args:
      init_value: the value at count 0 (if there is a warm-up).
      peak_value: the value at the end of the first warm-up.
      warmup_steps: length w of each warm-up in steps, or, below 1, as a fraction of its cycle.
      cycle_steps: length of the first cycle in steps, > 0, warm-up included.
      cycles: how many cycles there are, >= 1.
      end_value: the value at the end of each cycle.
      cycle_growth: how much longer each cycle is than the one before it, > 0.
      peak_decay: how much lower its peak is, > 0.

    Returns:
      A schedule. Every argument but `cycles` may be traced, and its derivatives by them are finite.

    Raises:
      ValueError: `warmup_steps` is negative or longer than `cycle_steps`; `cycle_steps`, `cycle_growth` or
        `peak_decay` is not positive; `cycles` is less than 1.
      TypeError: `cycles` is not an integer, or another argument is not a real number.

    Reference:
      Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983.

    >>> s = cosine_cycles_schedule(0.0, 1.0, warmup_steps=1, cycle_steps=3, cycles=2, peak_decay=0.5)
    >>> [round(s(t).item(), 3) for t in range(7)]
    [0.0, 1.0, 0.5, 0.0, 0.5, 0.25, 0.0]
    """
    check_numbers(init_value=init_value, peak_value=peak_value, end_value=end_value)
    check_numbers(above=0, cycle_steps=cycle_steps, cycle_growth=cycle_growth, peak_decay=peak_decay)
    check_numbers(least=0, warmup_steps=warmup_steps)
    cycles = check_integer("cycles", cycles, least=1)
    if exceeds(warmup_steps, cycle_steps):
        raise ValueError(f"warmup_steps must be at most cycle_steps={cycle_steps!r}, not {warmup_steps!r}")

    begins = _begins(cycle_steps, cycle_growth, cycles)

    def rule(t: jax.Array) -> jax.Array:
        now, edges = aligned(t, begins)
        i = stage(now, edges[1:-1])
        begin, end = xp.take(edges, i, 0), xp.take(edges, i + 1, 0)
        local, steps = now - begin, end - begin
        warmup, steps = aligned(steps_of(warmup_steps, steps), steps)
        peak = as_value(peak_value) * geometric(peak_decay, i)
        f, r = phase(local, 0, xp.minimum(warmup, steps))
        rising = interpolate(xp.where(i == 0, as_value(init_value), as_value(end_value)), peak, *linear(f, r))
        falling = interpolate(peak, end_value, *cosine(*phase(local, warmup, steps - warmup)))
        return xp.where(r > 0, rising, falling)

    return of_numbers(rule)


def _begins(cycle_steps: Numeric, growth: Numeric, cycles: int) -> Numeric:
    """The counts at which the cycles begin, and the one at which the last ends: integers if all are known to be."""
    if not known(cycle_steps, growth):
        lengths = as_value(cycle_steps) * geometric(growth, xp.arange(cycles))
        return xp.concatenate([xp.zeros(1, lengths.dtype), xp.cumsum(lengths)])
    begins = np.cumsum([0.0, *(float(cycle_steps) * float(growth) ** np.arange(cycles))])
    return np.minimum(begins, 2.0**62).astype(np.int64) if np.array_equal(begins, begins.round()) else begins

"""A linear warm-up, and what follows it."""

import jax
import numpy as np

from optax.core import Numeric
from optax.schedules._checks import known, require_not_negative, require_numbers, require_positive
from optax.schedules._cosine import cosine_weight
from optax.schedules._join import join_schedules
from optax.schedules._numbers import aligned, interpolate
from optax.schedules._polynomial import linear_schedule
from optax.schedules._value import ScheduleValue, schedule

__all__ = ["warmup_constant_schedule", "warmup_cosine_decay_schedule"]


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
    require_numbers(init_value=init_value, peak_value=peak_value)
    require_not_negative(warmup_steps=warmup_steps)
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
    require_numbers(init_value=init_value, peak_value=peak_value, end_value=end_value)
    require_not_negative(warmup_steps=warmup_steps, decay_steps=decay_steps)
    require_positive(exponent=exponent)
    if known(warmup_steps, decay_steps) and np.any(np.asarray(decay_steps) < np.asarray(warmup_steps)):
        raise ValueError(
            f"decay_steps includes the warm-up and must be >= warmup_steps={warmup_steps!r}, got {decay_steps!r}"
        )

    def decay(t: jax.Array) -> jax.Array:
        whole, warmup = aligned(decay_steps, warmup_steps)
        w = cosine_weight(t, whole - warmup, exponent)
        return interpolate(peak_value, end_value, w, 1 - w)

    return join_schedules([linear_schedule(init_value, peak_value, warmup_steps), decay], [warmup_steps])

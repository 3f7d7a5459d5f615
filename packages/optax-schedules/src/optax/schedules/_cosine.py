"""Decay along half a period of the cosine."""

import jax
import jax.numpy as jnp

from optax.core import Numeric
from optax.schedules._checks import require_not_negative, require_numbers, require_positive
from optax.schedules._numbers import as_value, interpolate, phase, power_of
from optax.schedules._value import ScheduleValue, schedule

__all__ = ["cosine_decay_schedule"]


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
    require_numbers(init_value=init_value, alpha=alpha)
    require_not_negative(decay_steps=decay_steps)
    require_positive(exponent=exponent)

    def rule(t: jax.Array) -> jax.Array:
        w = cosine_weight(t, decay_steps, exponent)
        return as_value(init_value) * interpolate(1.0, alpha, w, 1 - w)

    return ScheduleValue(rule)


def cosine_weight(t: Numeric, steps: Numeric, exponent: Numeric) -> jax.Array:
    """The weight of the initial value: from 1 to 0 in `steps` steps.

    Written with the half angle, (1 + cos(pi f)) / 2 = sin(pi r / 2)^2 with r = 1 - f, which keeps its digits where
    it is small.
    """
    _, r = phase(t, 0, steps)
    return power_of(jnp.square(jnp.sin(0.5 * jnp.pi * r)), exponent)

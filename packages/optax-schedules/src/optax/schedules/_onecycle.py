"""One cycle: up to a peak, down again, and below where it began."""

import operator
from typing import Any

from optax.core import Numeric, check_hyperparameter
from optax.schedules._checks import check_numbers, known
from optax.schedules._numbers import as_value, in_python, xp
from optax.schedules._piecewise import interpolated
from optax.schedules._shapes import cosine, linear
from optax.schedules._value import ScheduleValue, schedule

__all__ = ["cosine_onecycle_schedule", "linear_onecycle_schedule"]


@schedule
def linear_onecycle_schedule(
    transition_steps: Numeric,
    peak_value: Numeric,
    pct_start: Numeric = 0.3,
    pct_final: Numeric = 0.85,
    div_factor: Numeric = 25.0,
    final_div_factor: Numeric = 1e4,
) -> ScheduleValue:
    """Straight lines up to a peak, down to the initial value, and down to a final one; constant afterwards.

        init_value = peak_value / div_factor              at count 0
        peak_value                                        at count pct_start transition_steps
        init_value                                        at count pct_final transition_steps
        init_value / final_div_factor                     at count transition_steps

    Counts are rounded down, but a phase whose fraction is not 0 has one step at least: with fewer than three steps the
    cycle takes three.

    Args:
      transition_steps: length of the cycle in steps, > 0.
      peak_value: the largest value.
      pct_start: fraction of the steps at which it is reached, from 0 to `pct_final`.
      pct_final: fraction of the steps at which the value is back where it began, from `pct_start` to 1.
      div_factor: how much smaller the initial value is than the peak, > 0.
      final_div_factor: how much smaller the final value is than the initial one, > 0.

    Returns:
      A schedule. Every argument may be traced; by the fractions, which are rounded, the derivatives are 0.

    Raises:
      ValueError: a length or a factor is not positive, or the fractions are not in order.
      TypeError: an argument is not a real number.

    Reference:
      Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
      arXiv:1708.07120.

    >>> s = linear_onecycle_schedule(20, 1.0, div_factor=10.0)
    >>> [round(s(t).item(), 5) for t in (0, 3, 6, 17, 20)]
    [0.1, 0.55, 1.0, 0.1, 1e-05]
    """
    edges = _edges(transition_steps, pct_start=pct_start, pct_final=pct_final)
    init_value, final_value = _ends(peak_value, div_factor, final_div_factor)
    return interpolated(edges, [init_value, peak_value, init_value, final_value], linear)


@schedule
def cosine_onecycle_schedule(
    transition_steps: Numeric,
    peak_value: Numeric,
    pct_start: Numeric = 0.3,
    div_factor: Numeric = 25.0,
    final_div_factor: Numeric = 1e4,
) -> ScheduleValue:
    """Half a period of the cosine up to a peak, and another one down to a final value; constant afterwards.

        init_value = peak_value / div_factor              at count 0
        peak_value                                        at count pct_start transition_steps
        init_value / final_div_factor                     at count transition_steps

    Counts are rounded down, but a phase whose fraction is not 0 has one step at least: with one step the cycle takes
    two.

    Args:
      transition_steps: length of the cycle in steps, > 0.
      peak_value: the largest value.
      pct_start: fraction of the steps at which it is reached, from 0 to 1.
      div_factor: how much smaller the initial value is than the peak, > 0.
      final_div_factor: how much smaller the final value is than the initial one, > 0.

    Returns:
      A schedule. Every argument may be traced; by the fraction, which is rounded, the derivative is 0.

    Raises:
      ValueError: a length or a factor is not positive, or `pct_start` is outside [0, 1].
      TypeError: an argument is not a real number.

    Reference:
      Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
      arXiv:1708.07120.

    >>> s = cosine_onecycle_schedule(10, 1.0, div_factor=10.0)
    >>> [round(s(t).item(), 5) for t in (0, 3, 10)]
    [0.1, 1.0, 1e-05]
    """
    edges = _edges(transition_steps, pct_start=pct_start)
    init_value, final_value = _ends(peak_value, div_factor, final_div_factor)
    return interpolated(edges, [init_value, peak_value, final_value], cosine)


def _ends(peak_value: Numeric, div_factor: Numeric, final_div_factor: Numeric) -> tuple[Numeric, Numeric]:
    check_numbers(peak_value=peak_value)
    check_numbers(above=0, div_factor=div_factor, final_div_factor=final_div_factor)
    init_value = in_python(operator.truediv, peak_value, div_factor)
    return init_value, in_python(operator.truediv, init_value, final_div_factor)


def _edges(steps: Numeric, **fractions: Numeric) -> list[Numeric]:
    """The counts at which the phases end: whole ones, each after the one before it unless the fractions are equal."""
    check_hyperparameter("transition_steps", steps, above=0)
    edges: list[Numeric] = []
    edge: Any = 0
    before: Numeric = 0.0
    for name, fraction in (*fractions.items(), ("1", 1.0)):
        check_hyperparameter(name, fraction, least=0, most=1)
        if known(steps, before, fraction):
            if fraction < before:
                raise ValueError(f"{name} must be at least {before}, where the phase before it ends, not {fraction}")
            edge = max(int(fraction * steps), edge + (fraction > before))
        else:
            f = as_value(fraction)
            edge = xp.maximum(xp.floor(f * as_value(steps)), as_value(edge) + as_value(f > as_value(before)))
        edges.append(edge)
        before = fraction
    return edges

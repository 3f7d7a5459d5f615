"""Values that change at given counts: at once, or gradually from one to the next."""

import operator
from collections.abc import Mapping, Sequence
from itertools import accumulate

import jax

from optax.core import Numeric, check_hyperparameter
from optax.schedules._checks import check_edges, check_numbers
from optax.schedules._numbers import aligned, as_value, in_python, interpolate, phase, stage, xp
from optax.schedules._shapes import Shape, ShapeName, shape_of
from optax.schedules._value import ScheduleValue, of_numbers, schedule

__all__ = ["multi_step_schedule", "piecewise_constant_schedule", "piecewise_interpolate_schedule"]


@schedule
def piecewise_constant_schedule(
    init_value: Numeric, boundaries_and_scales: Mapping[int, Numeric] | None = None
) -> ScheduleValue:
    """A value multiplied by a factor of its own at each of several counts, constant in between.

        value(t) = init_value times the product of all scales whose boundary is <= t

    Args:
      init_value: the value at count 0.
      boundaries_and_scales: the factors, >= 0, by the counts, >= 0, at which they come in; None for no change.

    Returns:
      A schedule. The value and the factors may be traced.

    Raises:
      ValueError: a boundary or a factor is negative.
      TypeError: an argument is not a real number.

    >>> [round(piecewise_constant_schedule(1.0, {2: 0.5, 3: 0.1})(t).item(), 4) for t in range(5)]
    [1.0, 1.0, 0.5, 0.05, 0.05]
    """
    edges, scales = _sorted(boundaries_and_scales)
    check_numbers(init_value=init_value)
    return _constant_between(edges, _products(init_value, scales))


@schedule
def multi_step_schedule(init_value: Numeric, milestones: Sequence[Numeric], decay_rate: Numeric = 0.1) -> ScheduleValue:
    """A value multiplied by the same factor at each of several counts, constant in between.

        value(t) = init_value decay_rate^n,    n = the number of milestones <= t

    Args:
      init_value: the value at count 0.
      milestones: the counts, >= 0 and in ascending order; one that occurs twice counts twice.
      decay_rate: the factor, >= 0.

    Returns:
      A schedule. Every argument may be traced.

    Raises:
      ValueError: the milestones are negative or not in order, or `decay_rate` is negative.
      TypeError: an argument is not a real number.

    >>> [round(multi_step_schedule(1.0, [2, 3])(t).item(), 4) for t in range(5)]
    [1.0, 1.0, 0.1, 0.01, 0.01]
    """
    check_numbers(init_value=init_value)
    check_numbers(least=0, decay_rate=decay_rate)
    check_edges("milestones", milestones)
    return _constant_between(milestones, _products(init_value, [decay_rate] * len(milestones)))


@schedule
def piecewise_interpolate_schedule(
    interpolate_type: ShapeName,
    init_value: Numeric,
    boundaries_and_scales: Mapping[int, Numeric] | None = None,
) -> ScheduleValue:
    """A value that moves from each of several counts to the next by a factor.

    At every boundary the value is that of `piecewise_constant_schedule`; between two, it follows a straight line, half
    a period of the cosine, or a square root. After the last boundary it is constant.

    Args:
      interpolate_type: "linear", "cosine", or "1-sqrt", which moves fast at first.
      init_value: the value at count 0.
      boundaries_and_scales: the factors, >= 0, by the counts, >= 0, at which they are reached; None for no change.

    Returns:
      A schedule. The value and the factors may be traced.

    Raises:
      ValueError: `interpolate_type` is another one, or a boundary or a factor is negative.
      TypeError: an argument is not a real number.

    >>> [piecewise_interpolate_schedule("linear", 1.0, {2: 0.5, 4: 2})(t).item() for t in range(6)]
    [1.0, 0.75, 0.5, 0.75, 1.0, 1.0]
    """
    shape = shape_of("interpolate_type", interpolate_type)
    edges, scales = _sorted(boundaries_and_scales)
    check_numbers(init_value=init_value)
    return interpolated(edges, _products(init_value, scales), shape)


def interpolated(edges: Sequence[Numeric], values: Sequence[Numeric], shape: Shape) -> ScheduleValue:
    """From `values[0]` at count 0 to `values[i + 1]` at `edges[i]`: lists, since several edges may be equal."""

    def rule(t: jax.Array) -> jax.Array:
        counts = [0, *edges]
        knots = xp.stack(aligned(*counts, counts[-1]))  # the last phase has no length
        i = stage(t, knots[1:-1])
        levels = xp.stack([as_value(v) for v in (*values, values[-1])])
        begin, end = xp.take(knots, i, 0), xp.take(knots, i + 1, 0)
        f, r = phase(t, begin, end - begin)
        return interpolate(xp.take(levels, i, 0), xp.take(levels, i + 1, 0), *shape(f, r))

    return of_numbers(rule)


def _constant_between(edges: Sequence[Numeric], values: Sequence[Numeric]) -> ScheduleValue:
    def rule(t: jax.Array) -> jax.Array:
        i = stage(t, xp.stack(aligned(0, *edges))[1:])
        return xp.take(xp.stack([as_value(v) for v in values]), i, 0)

    return of_numbers(rule)


def _products(init_value: Numeric, scales: Sequence[Numeric]) -> list[Numeric]:
    return list(accumulate(scales, lambda v, scale: in_python(operator.mul, v, scale), initial=init_value))


def _sorted(boundaries_and_scales: Mapping[int, Numeric] | None) -> tuple[list[int], list[Numeric]]:
    """The boundaries in order, and their factors."""
    if not isinstance(boundaries_and_scales, Mapping | None):
        raise TypeError(f"boundaries_and_scales must be a dict of factors by counts, not {boundaries_and_scales!r}")
    pairs = sorted((boundaries_and_scales or {}).items())
    for boundary, scale in pairs:
        check_hyperparameter("a boundary in boundaries_and_scales", boundary, least=0)
        check_hyperparameter(f"boundaries_and_scales[{boundary}]", scale, least=0, array=True)
    return [boundary for boundary, _ in pairs], [scale for _, scale in pairs]

"""Schedules in NumPy float64, one count at a time, as their definitions read."""

import math
from collections.abc import Callable, Sequence


def fraction(t: float, begin: float, steps: float) -> float:
    """How much of a transition is done, from 0 to 1."""
    if steps == 0:
        return 1.0 if t >= begin else 0.0
    return min(max((t - begin) / steps, 0.0), 1.0)


def polynomial(t: float, init: float, end: float, power: float, steps: float, begin: float = 0) -> float:
    """(init - end) (1 - f)^power + end."""
    return (init - end) * (1 - fraction(t, begin, steps)) ** power + end


def linear(t: float, init: float, end: float, steps: float, begin: float = 0) -> float:
    """init + (end - init) f."""
    return init + (end - init) * fraction(t, begin, steps)


def cosine(t: float, init: float, steps: float, alpha: float = 0.0, exponent: float = 1.0) -> float:
    """init ((1 - alpha) ((1 + cos pi f) / 2)^exponent + alpha)."""
    w = (0.5 * (1 + math.cos(math.pi * fraction(t, 0, steps)))) ** exponent
    return init * ((1 - alpha) * w + alpha)


def warmup_cosine(
    t: float, init: float, peak: float, warmup: float, steps: float, end: float = 0.0, exponent: float = 1.0
) -> float:
    """A line to the peak, then a cosine from it to the end; `steps` counts both."""
    if t < warmup:
        return linear(t, init, peak, warmup)
    w = (0.5 * (1 + math.cos(math.pi * fraction(t, warmup, steps - warmup)))) ** exponent
    return (peak - end) * w + end


def joined(t: float, schedules: Sequence[Callable[[float], float]], boundaries: Sequence[float]) -> float:
    """The schedule whose phase t lies in, at the count since that phase began."""
    begin, current = 0.0, schedules[0]
    for boundary, following in zip(boundaries, schedules[1:], strict=True):
        if t >= boundary:
            begin, current = boundary, following
    return current(t - begin)

"""What a schedule refuses when it is made. Traced values pass: their numbers are not known yet."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import jax
import numpy as np

from optax.core import check_hyperparameter

__all__ = ["check_edges", "check_numbers", "check_schedule", "exceeds", "known"]


def check_numbers(
    *, least: float = -math.inf, above: float = -math.inf, most: float = math.inf, below: float = math.inf, **named: Any
) -> None:
    """Raise an error that names the argument which is no real number or array of them, NaN, or outside the bounds."""
    for name, x in named.items():
        check_hyperparameter(name, x, least=least, above=above, most=most, below=below, array=True)


def check_schedule(name: str, x: Any, *, number: bool = False) -> None:
    """Raise a TypeError if `x` is no function of the count (nor a number, where that will do)."""
    if callable(x):
        return
    if number:
        check_hyperparameter(name, x, schedule=True, array=True)
    else:
        raise TypeError(f"{name} must be a schedule (a function of the step count), not {x!r}")


def check_edges(name: str, edges: Sequence[Any]) -> None:
    """Raise an error if these are not counts in ascending order, where they are known."""
    if not hasattr(edges, "__len__") or isinstance(edges, str | Mapping):
        raise TypeError(f"{name} must be a sequence of counts, not {edges!r}")
    for i, edge in enumerate(edges):
        check_hyperparameter(f"{name}[{i}]", edge, least=0)
    if any(exceeds(a, b) for a, b in pairwise(filter(known, edges))):
        raise ValueError(f"{name} must be in ascending order, not {list(edges)}")


def exceeds(a: Any, b: Any) -> bool:
    """Whether `a` is known to be above `b`, in one element at least."""
    return known(a, b) and bool(np.any(np.asarray(a) > np.asarray(b)))


def known(*numbers: Any) -> bool:
    """Whether the numbers can be looked at: none is traced."""
    return not any(isinstance(x, jax.core.Tracer) for x in numbers)

"""Fromage: every leaf is rotated by a fixed angle, and neither grows nor shrinks in the long run.

p + u = (p - learning_rate * g * norm(p) / norm(g)) / sqrt(1 + learning_rate^2)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformationExtraArgs,
    Numeric,
    ScalarOrSchedule,
    Schedule,
    chain,
    check_hyperparameter,
    transformation,
)
from optax.transforms import add_decayed_weights, scale_by_learning_rate, scale_by_trust_ratio

__all__ = ["fromage"]


@transformation
def fromage(learning_rate: ScalarOrSchedule, min_norm: Numeric = 1e-6) -> GradientTransformationExtraArgs:
    """Fromage: a step in proportion to the norm of each leaf, after which the leaf is scaled back.

        u = c * (p - learning_rate * g * norm(p) / norm(g)) - p,    c = 1 / sqrt(1 + learning_rate^2)

    Where g is orthogonal to p, as it is for a layer whose scale does not matter, p + u has the norm of p. Norms below
    `min_norm` count as that.

    Args:
      learning_rate: real scalar or schedule; the tangent of the angle.
      min_norm: scalar >= 0. A leaf that starts at 0 stays near 0 if this is small; if it is 0, the leaf moves by
        -c * learning_rate * g.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `min_norm` is negative.

    Reference:
      Bernstein, Vahdat, Yue, Liu, "On the distance between two neural networks and the stability of learning", 2020,
      algorithm 1.
    """
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    return chain(
        scale_by_trust_ratio(min_norm),
        scale_by_learning_rate(_applied(_sine, learning_rate)),
        add_decayed_weights(_applied(_shrinkage, learning_rate)),
    )


def _applied(f: Callable[[Numeric], Numeric], rate: ScalarOrSchedule) -> ScalarOrSchedule:
    """f(rate), or the schedule of it."""
    if not callable(rate):
        return f(rate)
    schedule: Schedule = rate
    return lambda count: f(schedule(count))


def _sine(rate: Numeric) -> Numeric:
    """rate * c."""
    rate, secant = _with_secant(rate)
    sine: Numeric = rate / secant
    return sine


def _shrinkage(rate: Numeric) -> Numeric:
    """c - 1, without the difference: c rounds to 1 for rates below 1e-4."""
    rate, secant = _with_secant(rate)
    shrinkage: Numeric = -(rate * rate) / (secant * (1 + secant))
    return shrinkage


def _with_secant(rate: Numeric) -> tuple[Any, Any]:
    """The rate, and 1 / c."""
    if not isinstance(rate, jax.Array):
        return float(rate), math.hypot(1, float(rate))
    rate = rate.astype(float)
    return rate, jnp.sqrt(1 + rate * rate)

"""Stochastic gradient descent."""

from __future__ import annotations

from jax.typing import DTypeLike

from optax.core import GradientTransformationExtraArgs, Numeric, ScalarOrSchedule, chain, identity, transformation
from optax.transforms import scale_by_learning_rate, trace

__all__ = ["sgd"]


@transformation
def sgd(
    learning_rate: ScalarOrSchedule,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    accumulator_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent, with momentum if asked for.

        m = g + momentum * m
        u = -learning_rate * m      (with Nesterov's momentum: -learning_rate * (g + momentum * m))

    Args:
      learning_rate: real scalar or schedule.
      momentum: scalar in [-1, 1], or None for none (and no state).
      nesterov: whether the momentum is Nesterov's.
      accumulator_dtype: dtype of m; see `trace`.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `momentum` is outside [-1, 1].

    Reference:
      Sutskever, Martens, Dahl, Hinton, "On the importance of initialization and momentum in deep learning", 2013.
    """
    return chain(
        identity() if momentum is None else trace(momentum, nesterov, accumulator_dtype),
        scale_by_learning_rate(learning_rate),
    )

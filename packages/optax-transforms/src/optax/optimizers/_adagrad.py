"""AdaGrad: steps that shrink with the root of the sum of all squared gradients so far.

G = G + |g|^2
u = g / sqrt(G + eps)
"""

from __future__ import annotations

from typing import NamedTuple

import jax

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_hyperparameter,
    over_leaves,
    ratio,
    transformation,
)
from optax.optimizers._parts import divisor, filled_slot
from optax.transforms import scale_by_learning_rate

__all__ = ["ScaleByRssState", "adagrad", "scale_by_rss"]


class ScaleByRssState(NamedTuple):
    """State of `scale_by_rss`.

    Attributes:
      sum_of_squares: tree of the parameters' structure and shapes, real, the sum of the squared gradients (G).
    """

    sum_of_squares: Updates


@transformation
def scale_by_rss(initial_accumulator_value: Numeric = 0.1, eps: Numeric = 1e-7) -> GradientTransformation:
    """Divide by the root of the sum of all squared gradients: G = G + |g|^2, and u = g / sqrt(G + eps).

    Args:
      initial_accumulator_value: scalar >= 0, what G starts from.
      eps: scalar >= 0, added inside the root. With 0 for both, u is 0 where all gradients have been 0.

    Returns:
      A transformation whose state is `ScaleByRssState`. G is float32, float64 for parameters of that precision: a sum
      of many terms stalls in 16 bits.

    Raises:
      ValueError: an argument is negative.

    Reference:
      Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    """
    check_hyperparameter("initial_accumulator_value", initial_accumulator_value, least=0)
    check_hyperparameter("eps", eps, least=0)

    def init(params: Params) -> ScaleByRssState:
        return ScaleByRssState(filled_slot(params, initial_accumulator_value))

    def update(
        updates: Updates, state: ScaleByRssState, params: Params | None = None
    ) -> tuple[Updates, ScaleByRssState]:
        del params

        def rule(g: jax.Array, G: jax.Array) -> tuple[jax.Array, jax.Array]:
            G = G + abs_sq(g)
            return ratio(g, divisor(G + eps)), G

        updates, G = over_leaves(rule, updates, state.sum_of_squares)
        return updates, ScaleByRssState(G)

    return GradientTransformation(init, update)


@transformation
def adagrad(
    learning_rate: ScalarOrSchedule, initial_accumulator_value: Numeric = 0.1, eps: Numeric = 1e-7
) -> GradientTransformationExtraArgs:
    """AdaGrad: a step size of its own for every parameter, which only ever shrinks.

        G = G + |g|^2
        u = -learning_rate * g / sqrt(G + eps)

    Args:
      learning_rate: real scalar or schedule.
      initial_accumulator_value: scalar >= 0, what G starts from.
      eps: scalar >= 0, added inside the root.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `initial_accumulator_value` or `eps` is negative.

    Reference:
      Duchi, Hazan, Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011.
    """
    return chain(scale_by_rss(initial_accumulator_value, eps), scale_by_learning_rate(learning_rate))

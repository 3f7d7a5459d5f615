"""Adadelta: steps as long as the past ones, which fixes their unit and leaves no learning rate to tune.

s = rho * s + (1 - rho) * |g|^2
u = g * sqrt(r + eps) / sqrt(s + eps)
r = rho * r + (1 - rho) * |u|^2
"""

from __future__ import annotations

from typing import NamedTuple

import jax

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_hyperparameter,
    moving_average,
    new_slot,
    over_leaves,
    ratio,
    safe_sqrt,
    transformation,
)
from optax.optimizers._parts import divisor
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["ScaleByAdaDeltaState", "adadelta", "scale_by_adadelta"]


class ScaleByAdaDeltaState(NamedTuple):
    """State of `scale_by_adadelta`.

    Attributes:
      e_g: tree of the parameters' structure and shapes, real, the mean of the squared gradients (s).
      e_x: tree of the same structure and shapes, real, the mean of the squared updates (r).
    """

    e_g: Updates
    e_x: Updates


@transformation
def scale_by_adadelta(rho: Numeric = 0.9, eps: Numeric = 1e-6) -> GradientTransformation:
    """Divide by the root mean square of the gradients and multiply by that of the past results.

        s = rho * s + (1 - rho) * |g|^2
        u = g * sqrt(r + eps) / sqrt(s + eps)
        r = rho * r + (1 - rho) * |u|^2

    Args:
      rho: scalar in [0, 1), decay of both means.
      eps: scalar > 0, added inside both roots; the first step is about sqrt(eps / (1 - rho)) long.

    Returns:
      A transformation whose state is `ScaleByAdaDeltaState`. Both means are float32, float64 for parameters of that
      precision.

    Raises:
      ValueError: `rho` is outside [0, 1), or `eps` is not positive.

    Reference:
      Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.
    """
    check_hyperparameter("rho", rho, least=0, below=1)
    check_hyperparameter("eps", eps, above=0)

    def init(params: Params) -> ScaleByAdaDeltaState:
        return ScaleByAdaDeltaState(new_slot(params, real=True), new_slot(params, real=True))

    def update(
        updates: Updates, state: ScaleByAdaDeltaState, params: Params | None = None
    ) -> tuple[Updates, ScaleByAdaDeltaState]:
        del params

        def rule(g: jax.Array, s: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            square = abs_sq(g)
            s = moving_average(square, s, rho)
            q = square / (s + eps)
            r = moving_average(q * (r + eps), r, rho)
            # |u|^2 is q times what r + eps was, which is (r + rho * eps) / (rho + (1 - rho) * q) of the new r: with the
            # old one in u, XLA would copy it before it is overwritten.
            return ratio(g * safe_sqrt(r + rho * eps), divisor(moving_average(square, s + eps, rho))), s, r

        updates, s, r = over_leaves(rule, updates, state.e_g, state.e_x)
        return updates, ScaleByAdaDeltaState(s, r)

    return GradientTransformation(init, update)


@transformation
def adadelta(
    learning_rate: ScalarOrSchedule | None = None,
    rho: Numeric = 0.9,
    eps: Numeric = 1e-6,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """Adadelta: gradient descent with steps as long as the past ones.

        g = g + weight_decay * p
        s = rho * s + (1 - rho) * |g|^2
        d = g * sqrt(r + eps) / sqrt(s + eps)
        r = rho * r + (1 - rho) * |d|^2
        u = -learning_rate * d

    Args:
      learning_rate: real scalar or schedule; 1 is the paper's method. None leaves out the sign too: u = d, which
        ascends until something behind it descends.
      rho: scalar in [0, 1), decay of both means.
      eps: scalar > 0, added inside both roots; how fast the steps begin to grow.
      weight_decay: real scalar or schedule. The decay passes through the adaptive scaling, as an L2 penalty does.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from
        the parameters. None for all.

    Returns:
      A transformation that needs the parameters, unless `weight_decay` is 0; add its updates to them with
      `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: `rho` is outside [0, 1), or `eps` is not positive.

    Reference:
      Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1.
    """
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_adadelta(rho, eps),
        scale_by_learning_rate(learning_rate),
    )

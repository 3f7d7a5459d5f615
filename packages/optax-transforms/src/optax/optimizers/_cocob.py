"""COCOB: no learning rate; each element of the parameters bets on the sign of its next gradient.

L = max(L, |g|)
G = G + |g|
R = max(R - g * (p - x0), 0)
h = h - g
u = x0 + h / (L * max(G + L, alpha * L)) * (L + R) - p
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_hyperparameter,
    copy_slot,
    identity,
    new_slot,
    over_leaves,
    require_params,
    scaled,
    transformation,
)
from optax.optimizers._parts import filled_slot, over
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["COCOBState", "cocob", "scale_by_cocob"]


class COCOBState(NamedTuple):
    """State of `scale_by_cocob`. All but the first are in float32, or the parameter's dtype where that is wider.

    Attributes:
      init_particles: tree of the parameters' structure, shapes and dtypes, their initial values (x0).
      cumulative_gradients: tree of the same structure and shapes, minus the sum of the gradients (h).
      scale: tree of the same structure and shapes, real, the largest magnitude of a gradient so far (L).
      subgradients: tree of the same structure and shapes, real, the sum of the magnitudes (G).
      reward: tree of the same structure and shapes, real, what the bets have won (R).
    """

    init_particles: Params
    cumulative_gradients: Updates
    scale: Updates
    subgradients: Updates
    reward: Updates


@transformation
def scale_by_cocob(alpha: Numeric = 100.0, eps: Numeric = 1e-8) -> GradientTransformation:
    """COCOB's step, made from the gradients and from where the parameters are.

        L = max(L, |g|),  G = G + |g|,  R = max(R - Re(conj(g) * (p - x0)), 0),  h = h - g
        u = x0 + h / (L * max(G + L, alpha * L)) * (L + R) - p

    It is a complete step, sign included: add it to the parameters. The scale of the gradients does not matter.

    Args:
      alpha: scalar > 0; the first steps are about 1 / alpha.
      eps: scalar >= 0, the first L.

    Returns:
      A transformation that needs the parameters. Its state is `COCOBState`.

    Raises:
      ValueError: `alpha` is not positive, or `eps` is negative.

    Reference:
      Orabona, Tommasi, "Training deep networks without learning rates through coin betting", 2017, algorithm 2
      (COCOB-Backprop).
    """
    check_hyperparameter("alpha", alpha, above=0)
    check_hyperparameter("eps", eps, least=0)

    def init(params: Params) -> COCOBState:
        return COCOBState(
            init_particles=copy_slot(params, decay=0),
            cumulative_gradients=new_slot(params),
            scale=filled_slot(params, eps),
            subgradients=new_slot(params, real=True),
            reward=new_slot(params, real=True),
        )

    def update(updates: Updates, state: COCOBState, params: Params | None = None) -> tuple[Updates, COCOBState]:
        def rule(g: jax.Array, h: Any, L: Any, G: Any, R: Any, p: Any, x0: Any) -> tuple[jax.Array, ...]:
            size = jnp.abs(g)
            L = jnp.maximum(L, size)
            G = G + size
            R = jnp.maximum(R - (jnp.conj(g) * (p - x0)).real, 0)
            h = h - g
            target = x0 + over(h, L * jnp.maximum(G + L, scaled(L, alpha))) * (L + R)
            return target - p, h, L, G, R

        updates, h, L, G, R = over_leaves(
            rule,
            updates,
            state.cumulative_gradients,
            state.scale,
            state.subgradients,
            state.reward,
            reads=(require_params(params), state.init_particles),
        )
        return updates, COCOBState(state.init_particles, h, L, G, R)

    return GradientTransformation(init, update)


@transformation
def cocob(
    learning_rate: ScalarOrSchedule = 1.0,
    alpha: Numeric = 100.0,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """COCOB: `scale_by_cocob` of the gradients, with the gradient of an L2 penalty added.

        g = learning_rate * (g + weight_decay * p)

    and then as there.

    Args:
      learning_rate: real scalar or schedule. It weighs the gradients, not the steps: a constant changes nothing.
      alpha: scalar > 0; the first steps are about 1 / alpha.
      eps: scalar >= 0, the magnitude of gradients below which steps become smaller.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: `alpha` is not positive, or `eps` is negative.

    Reference:
      Orabona, Tommasi, "Training deep networks without learning rates through coin betting", 2017, algorithm 2
      (COCOB-Backprop).
    """
    nothing = isinstance(weight_decay, (int, float)) and weight_decay == 0 and mask is None
    return chain(
        identity() if nothing else add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate, flip_sign=False),
        scale_by_cocob(alpha, eps),
    )

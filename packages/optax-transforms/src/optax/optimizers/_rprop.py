"""Rprop: steps whose length grows while the sign of the gradient stays, and shrinks when it changes.

d = eta_plus if g * s > 0, eta_minus if g * s < 0, else 1       with s the last step
l = min(max(l * d, min_step_size), max_step_size)       l as it was if d is 1
s = 0 if g * s < 0, else sign(g) * l
u = s
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    Updates,
    chain,
    check_hyperparameter,
    new_slot,
    over_leaves,
    scaled,
    transformation,
)
from optax.optimizers._parts import filled_slot
from optax.transforms import scale

__all__ = ["ScaleByRpropState", "rprop", "scale_by_rprop"]


class ScaleByRpropState(NamedTuple):
    """State of `scale_by_rprop`.

    Attributes:
      step_sizes: tree of the parameters' structure and shapes, real, the length of each element's step (l).
      prev_updates: tree of the same structure and shapes, the last updates (s), 0 where the sign had changed.
    """

    step_sizes: Updates
    prev_updates: Updates


@transformation
def scale_by_rprop(
    learning_rate: Numeric,
    eta_minus: Numeric = 0.5,
    eta_plus: Numeric = 1.2,
    min_step_size: Numeric = 1e-6,
    max_step_size: Numeric = 50.0,
) -> GradientTransformation:
    """Rprop's direction: the sign of the gradient times a length that depends on how long the sign has stayed.

        l = l * eta_plus    where the sign is that of the last step
        l = l * eta_minus   where it is the opposite one; the step is left out there
        u = sign(g) * l     elsewhere, with a new l kept within its bounds

    Args:
      learning_rate: scalar >= 0, the length of the first step. It is the only place where it counts: it cannot be a
        schedule.
      eta_minus: scalar in [0, 1].
      eta_plus: scalar >= 1.
      min_step_size: scalar >= 0, lower bound of l.
      max_step_size: scalar >= 0, upper bound of l.

    Returns:
      A transformation whose state is `ScaleByRpropState`. Of a complex gradient the sign is g / |g|, and it has changed
      where the angle between it and the last step is obtuse.

    Raises:
      TypeError: an argument is not a real scalar.
      ValueError: an argument is out of range.

    Reference:
      Igel, Huesken, "Improving the Rprop learning algorithm", 2000 (iRprop-).
    """
    check_hyperparameter("learning_rate", learning_rate, least=0)
    check_hyperparameter("eta_minus", eta_minus, least=0, most=1)
    check_hyperparameter("eta_plus", eta_plus, least=1)
    check_hyperparameter("min_step_size", min_step_size, least=0)
    check_hyperparameter("max_step_size", max_step_size, least=0)

    def init(params: Params) -> ScaleByRpropState:
        return ScaleByRpropState(filled_slot(params, learning_rate), new_slot(params, decay=0))

    def update(
        updates: Updates, state: ScaleByRpropState, params: Params | None = None
    ) -> tuple[Updates, ScaleByRpropState]:
        del params

        def rule(g: jax.Array, l: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            agreement = (jnp.conj(jnp.sign(g)) * jnp.sign(s)).real
            d = jnp.where(agreement > 0, eta_plus, eta_minus)
            l = jnp.where(agreement == 0, l, jnp.clip(l * d, min_step_size, max_step_size))
            s = scaled(jnp.sign(g), jnp.where(agreement < 0, 0, l))
            return s, l, s

        updates, l, s = over_leaves(rule, updates, state.step_sizes, state.prev_updates)
        return updates, ScaleByRpropState(l, s)

    return GradientTransformation(init, update)


@transformation
def rprop(
    learning_rate: Numeric,
    eta_minus: Numeric = 0.5,
    eta_plus: Numeric = 1.2,
    min_step_size: Numeric = 1e-6,
    max_step_size: Numeric = 50.0,
) -> GradientTransformationExtraArgs:
    """Rprop: steps that depend on the signs of the gradients only. For full batches, where signs carry no noise.

        l = l * eta_plus    where the sign is that of the last step
        l = l * eta_minus   where it is the opposite one; the step is left out there
        u = -sign(g) * l    elsewhere, with a new l kept within its bounds

    Args:
      learning_rate: scalar >= 0, the length of the first step; not a schedule.
      eta_minus: scalar in [0, 1].
      eta_plus: scalar >= 1.
      min_step_size: scalar >= 0, lower bound of l.
      max_step_size: scalar >= 0, upper bound of l.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: an argument is not a real scalar.
      ValueError: an argument is out of range.

    References:
      Riedmiller, Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm", 1993.
      Igel, Huesken, "Improving the Rprop learning algorithm", 2000 (iRprop-, the variant here).
    """
    return chain(scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step_size, max_step_size), scale(-1.0))

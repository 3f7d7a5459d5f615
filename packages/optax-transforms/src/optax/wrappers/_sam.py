"""Sharpness-aware minimisation: descend by the gradients at the worst point nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    Updates,
    apply_updates,
    check_integer,
    checked_transformation,
    copy_slot,
    over_leaves,
    require_params,
    safe_increment,
    transformation,
    tree,
    update_if,
    vary_like,
    widen,
)
from optax.transforms._precision import rounded

__all__ = ["SAMState", "sam"]

_pmean: Any = jax.lax.pmean  # unannotated in JAX


class SAMState(NamedTuple):
    """State of `sam`.

    Attributes:
      steps_since_sync: int32 scalar, the number of adversarial steps since the last descent; 0 in opaque mode.
      opt_state: the state of the optimizer.
      adv_state: the state of the adversary.
      cache: tree of the parameters' structure, shapes and dtypes, the point to descend from; None in opaque mode.
    """

    steps_since_sync: jax.Array
    opt_state: OptState
    adv_state: OptState
    cache: Params | None


@transformation
def sam(
    optimizer: GradientTransformation,
    adv_optimizer: GradientTransformation,
    sync_period: int = 2,
    reset_state: bool = True,
    opaque_mode: bool = False,
    batch_axis_name: Any = None,
) -> GradientTransformationExtraArgs:
    """Sharpness-aware minimisation: climb from p to a point q that is worse, then descend from p by the gradient at q.

        q = p - adv_optimizer's updates    (sync_period - 1 times, by the gradients at q)
        p = p + optimizer's updates        (by the gradient at q)

    `chain(normalize(), sgd(rho))` as the adversary is the paper's: q = p + rho * g / |g|.

    In the default, transparent mode each call of `update` is one of these steps: its updates lead to the next q and,
    every `sync_period` calls, back to p and on to the next p. So gradients must always be those at the parameters
    `apply_updates` has given, and between them only a p is one to evaluate. Updates have the dtype of the gradients: in
    16 bits they lead back exactly unless q is more than twice p or less than half of it, for parameters in 16 bits
    too; to float32 parameters they are too coarse. In opaque mode each call makes all steps, and needs `grad_fn`.

    Args:
      optimizer: what descends; in transparent mode one of `sync_period` gradients reaches it, so mind its schedules.
      adv_optimizer: what climbs, by the negative of its updates.
      sync_period: integer >= 1, the number of gradients for a step of the optimizer; 1 is the optimizer alone.
      reset_state: whether the adversary starts afresh after each descent.
      opaque_mode: whether `update(updates, state, params, grad_fn=grad_fn)` makes all steps at once, where
        `grad_fn(q, i)` returns the gradients at q, for i = 0, ..., sync_period - 2.
      batch_axis_name: mapped axis, or axes, over which the gradients for the descent are averaged, while each of its
        members climbs by its own (m-SAM in the paper; in transparent mode they meet again up to rounding). None for
        no averaging.

    Returns:
      A transformation that needs the parameters. Its state is `SAMState`. Extra arguments reach both optimizers.

    Raises:
      TypeError: `sync_period` is no integer.
      ValueError: `sync_period` is below 1; from `update` in opaque mode, if `grad_fn` is missing.

    Reference:
      Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-aware minimization for efficiently improving generalization", 2021,
      algorithm 1.
    """
    sync_period = check_integer("sync_period", sync_period, least=1)
    adversary = checked_transformation("adv_optimizer", adv_optimizer)
    averaged = checked_transformation("optimizer", optimizer)
    if batch_axis_name is not None:
        averaged = _over_axis(averaged, batch_axis_name)

    def init(params: Params) -> SAMState:
        # In transparent mode the two step in turn, chosen in `update`; in opaque mode always.
        opt_state, adv_state = optimizer.init(params), adversary.init(params)
        if opaque_mode:
            return SAMState(jnp.zeros([], jnp.int32), opt_state, adv_state, None)
        opt_state, adv_state = vary_like((opt_state, adv_state), params)
        return SAMState(jnp.zeros([], jnp.int32), opt_state, adv_state, copy_slot(params, decay=0))

    def transparent(
        updates: Updates, state: SAMState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, SAMState]:
        q = require_params(params)
        p = tree.where(state.steps_since_sync == 0, q, state.cache)
        descends = state.steps_since_sync >= sync_period - 1

        ascent, adv_state = update_if(~descends, adversary, updates, state.adv_state, q, **extra_args)
        descent, opt_state = update_if(descends, averaged, updates, state.opt_state, p, **extra_args)
        if reset_state:
            adv_state = tree.where(descends, vary_like(adversary.init(p), p), adv_state)

        # Rounded to the parameters' dtype first, as without the detour to q: the difference to q is often exact then.
        new_p = jax.tree.map(_as_stored, apply_updates(p, descent))
        new_updates = over_leaves(lambda a, p, q: jnp.where(descends, p - q, -a), ascent, reads=(new_p, q))
        steps = jnp.where(descends, 0, safe_increment(state.steps_since_sync))
        return new_updates, SAMState(steps, opt_state, adv_state, p)

    def opaque(
        updates: Updates,
        state: SAMState,
        params: Params | None = None,
        *,
        grad_fn: Callable[[Params, int], Updates] | None = None,
        **extra_args: Any,
    ) -> tuple[Updates, SAMState]:
        if grad_fn is None:
            raise ValueError("sam in opaque mode calls for gradients: update(updates, state, params, grad_fn=grad_fn)")
        p = q = require_params(params)
        gradients, adv_state = updates, state.adv_state
        for i in range(sync_period - 1):
            ascent, adv_state = adversary.update(gradients, adv_state, q, **extra_args)
            q = apply_updates(q, over_leaves(jnp.negative, ascent))
            gradients = tree.cast_like(grad_fn(q, i), updates)
        descent, opt_state = averaged.update(gradients, state.opt_state, p, **extra_args)
        if reset_state:
            adv_state = adversary.init(p)
        return descent, SAMState(state.steps_since_sync, opt_state, adv_state, None)

    return GradientTransformationExtraArgs(init, opaque if opaque_mode else transparent)


def _as_stored(x: jax.Array) -> jax.Array:
    """`x` in float32 or wider, with the value that it has in its own dtype: a conversion back may be left out."""
    return rounded(widen(x), x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x


def _over_axis(tx: GradientTransformationExtraArgs, axis_name: Any) -> GradientTransformationExtraArgs:
    """`tx` of the mean over a mapped axis."""

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        mean = over_leaves(lambda g: _pmean(g, axis_name), updates)
        return tx.update(mean, state, params, **extra_args)

    return GradientTransformationExtraArgs(tx.init, update)

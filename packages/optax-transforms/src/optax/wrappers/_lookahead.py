"""Look ahead with fast weights, and let slow ones follow."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    Updates,
    apply_updates,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    copy_slot,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    transformation,
    tree,
)
from optax.wrappers._averages import floating, over_slots

__all__ = ["LookaheadParams", "LookaheadState", "lookahead"]


class LookaheadParams(NamedTuple):
    """Both sets of weights as one tree of parameters, for `lookahead` without slow weights in its state.

    Attributes:
      fast: tree of the weights that gradients are taken at.
      slow: tree of the same structure and shapes, the weights to evaluate with.
    """

    fast: Params
    slow: Params

    @classmethod
    def init_synced(cls, params: Params) -> LookaheadParams:
        """Two equal sets of weights, in buffers of their own.

        Args:
          params: tree of arrays.

        Returns:
          The pair.
        """
        slow = jax.tree.map(lambda p: jnp.array(p, copy=True) if isinstance(p, jax.Array) else p, params)
        return cls(fast=params, slow=slow)


class LookaheadState(NamedTuple):
    """State of `lookahead`.

    Attributes:
      fast_state: the state of the fast optimizer.
      steps_since_sync: int32 scalar, the number of fast steps since the last synchronization.
      slow_params: tree of the slow weights; None if these are in the parameters, as `LookaheadParams`.
    """

    fast_state: OptState
    steps_since_sync: jax.Array
    slow_params: Params | None = None

    def eval_params(self, params: Params) -> Params:
        """The slow weights; in both places of `LookaheadParams`."""
        if isinstance(params, LookaheadParams):
            return LookaheadParams(params.slow, params.slow)
        if self.slow_params is None:
            raise ValueError("the slow weights are not in this state: pass the LookaheadParams that it was made for")
        return self.slow_params


@transformation
def lookahead(
    fast_optimizer: GradientTransformation, sync_period: int, slow_step_size: Numeric, reset_state: bool = False
) -> GradientTransformationExtraArgs:
    """Every few steps of an optimizer, move slow weights towards where it has got, and let it go on from there.

        f = f + u                           the optimizer's step
        after each sync_period steps:       s = s + slow_step_size * (f - s),  f = s

    The parameters are the fast weights f, where gradients are taken. The slow weights s are in the state, and
    `eval_params` returns them. If instead the parameters are `LookaheadParams`, they hold both, the state has none of
    them, and the updates (for gradients of the fast weights) are a `LookaheadParams` too.

    Args:
      fast_optimizer: a transformation.
      sync_period: integer >= 1, the number of its steps from one synchronization to the next.
      slow_step_size: scalar in [0, 1].
      reset_state: whether the optimizer starts afresh after each synchronization.

    Returns:
      A transformation that needs the parameters, whose state is `LookaheadState`. Integer parameters have no slow
      weights.

    Raises:
      TypeError: `sync_period` is not an integer.
      ValueError: `sync_period` is below 1, or `slow_step_size` outside [0, 1].

    Reference:
      Zhang, Lucas, Hinton, Ba, "Lookahead optimizer: k steps forward, 1 step back", 2019, algorithm 1.
    """
    period = check_integer("sync_period", sync_period, least=1)
    check_hyperparameter("slow_step_size", slow_step_size, least=0, most=1)
    fast_optimizer = checked_transformation("fast_optimizer", fast_optimizer)

    def init(params: Params) -> LookaheadState:
        count = jnp.zeros([], jnp.int32)
        if isinstance(params, LookaheadParams):
            return LookaheadState(fast_optimizer.init(params.fast), count)
        decay = 1 - slow_step_size
        return LookaheadState(fast_optimizer.init(params), count, copy_slot(floating(params), decay=decay))

    def update(
        updates: Updates, state: LookaheadState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, LookaheadState]:
        both = params if isinstance(params, LookaheadParams) else None
        fast = require_params(params) if both is None else both.fast
        updates, fast_state = fast_optimizer.update(updates, state.fast_state, fast, **extra_args)
        count = safe_increment(state.steps_since_sync)
        sync = count >= period

        def slow_step(u: jax.Array, f: jax.Array, s: jax.Array) -> jax.Array:
            return scaled(f + u - s, slow_step_size)

        def rule(u: jax.Array, s: jax.Array, f: jax.Array) -> tuple[jax.Array, jax.Array]:
            synced = s + slow_step(u, f, s)
            return jnp.where(sync, synced - f, u), jnp.where(sync, synced, s)

        def rule_for_both(u: jax.Array, _: jax.Array, f: jax.Array, s: jax.Array) -> tuple[jax.Array, jax.Array]:
            v = slow_step(u, f, s)
            return jnp.where(sync, s + v - f, u), jnp.where(sync, v, 0)

        slow = state.slow_params
        if both is not None:
            updates, slow_updates = over_leaves(rule_for_both, updates, updates, reads=both)
        elif slow is not None:
            updates, slow = over_slots(rule, updates, slow, reads=(fast,))
        else:
            raise ValueError("this state has no slow weights: it was made for params that are LookaheadParams")
        if reset_state:
            fast_state = tree.where(sync, fast_optimizer.init(apply_updates(fast, updates)), fast_state)
        new_state = LookaheadState(fast_state, jnp.where(sync, 0, count), slow)
        return updates if both is None else LookaheadParams(updates, slow_updates), new_state

    return GradientTransformationExtraArgs(init, update)

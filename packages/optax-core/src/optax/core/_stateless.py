"""Transformations that remember nothing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core._align import any_shapes, map_aligned
from optax.core._numerics import is_float0
from optax.core._types import (
    EmptyState,
    GradientTransformation,
    OptState,
    Params,
    Updates,
    init_empty_state,
    transformation,
)

__all__ = ["identity", "set_to_zero", "stateless", "stateless_with_tree_map"]


@transformation
def identity() -> GradientTransformation:
    """Leave the updates as they are.

    Returns:
      A transformation whose state is `EmptyState()`.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        return updates, state

    return GradientTransformation(init_empty_state, update)


@transformation
def set_to_zero() -> GradientTransformation:
    """Replace every update by zeros, NaN and infinity included.

    Returns:
      A transformation whose state is `EmptyState()`; its updates have the shapes and dtypes of those it gets.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        return jax.tree.map(lambda g: g if is_float0(g) else jnp.zeros_like(g), updates), state

    return GradientTransformation(init_empty_state, update)


@transformation
def stateless(f: Callable[[Updates, Params | None], Updates]) -> GradientTransformation:
    """A transformation without memory, from a function of whole trees.

    Args:
      f: `f(updates, params)` returns the new updates; `params` is None where `update` was called without.

    Returns:
      A transformation whose state is `EmptyState()`.
    """

    def update(updates: Updates, state: EmptyState, params: Params | None = None) -> tuple[Updates, EmptyState]:
        return f(updates, params), state

    return GradientTransformation(init_empty_state, update)


@transformation
def stateless_with_tree_map(f: Callable[[Any, Any], Any]) -> GradientTransformation:
    """A transformation without memory, from a function of one leaf.

    Args:
      f: `f(update, param)` returns the new update of one leaf; `param` is None where `update` was called without
        parameters. It is not called for leaves that are None.

    Returns:
      A transformation whose state is `EmptyState()`. `optax.core.leafwise` makes one of a rule that does not look at
      the parameters and takes care of precision.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        def on_leaf(g: Any, p: Any = None) -> Any:
            return g if g is None else f(g, p)

        if params is None:
            return map_aligned(on_leaf, ["updates"], updates), state
        return map_aligned(on_leaf, ["updates", "params"], updates, params, fit=any_shapes), state

    return GradientTransformation(init_empty_state, update)

"""Keep the updates from doing harm: no NaN, no parameter below zero."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    EmptyState,
    GradientTransformation,
    OptState,
    Params,
    PyTree,
    Updates,
    has_value,
    init_empty_state,
    new_scalar,
    over_leaves,
    transformation,
)
from optax.transforms._precision import wide_dtype
from optax.transforms._rounding import beside_params, rounded_up

__all__ = ["NonNegativeParamsState", "ZeroNansState", "keep_params_nonnegative", "zero_nans"]

NonNegativeParamsState = EmptyState


class ZeroNansState(NamedTuple):
    """State of `zero_nans`.

    Attributes:
      found_nan: tree of the parameters' structure; boolean scalars, whether the last update had a NaN in this leaf
        (inside `shard_map`: in this device's part of it).
    """

    found_nan: PyTree


@transformation
def zero_nans() -> GradientTransformation:
    """Replace every NaN in the updates by 0, and remember which leaves had one. Infinities stay.

    Returns:
      A transformation whose state is `ZeroNansState`. A complex number with a NaN for one of its parts becomes 0.
    """

    def init(params: Params) -> ZeroNansState:
        return ZeroNansState(jax.tree.map(lambda p: new_scalar(False, bool, p), params))

    def update(updates: Updates, state: ZeroNansState, params: Params | None = None) -> tuple[Updates, ZeroNansState]:
        del params

        def flag(g: Any, before: Any) -> Any:
            return jnp.any(jnp.isnan(g)) if has_value(g) else before

        found_nan = jax.tree.map(flag, updates, state.found_nan, is_leaf=lambda x: x is None)
        return over_leaves(lambda g: jnp.where(jnp.isnan(g), 0, g), updates), ZeroNansState(found_nan)

    return GradientTransformation(init, update)


@transformation
def keep_params_nonnegative() -> GradientTransformation:
    """Stop at zero: u = -p where p + u would be negative. The last stage of a chain.

    Parameters that are negative already are brought to zero unless their update takes them further up. Where -p is no
    number of the gradient's dtype, u is the next one above it, and the parameter stays a little above zero. Complex
    updates, which have no order, pass as they are. With 16-bit gradients this belongs outside of wrappers that hand
    them on in float32 (`MultiSteps`, `dynamic_loss_scaling`): these round u once more.

    Returns:
      A transformation that needs the parameters. Its state is `EmptyState()`.
    """

    def on_leaf(g: jax.Array, p: jax.Array) -> jax.Array:
        wide = wide_dtype(g, p)
        if jnp.issubdtype(wide, jnp.complexfloating):
            return g
        to = g.dtype if jnp.issubdtype(g.dtype, jnp.floating) else wide
        to_zero = rounded_up(-p.astype(wide), to).astype(to)
        return jnp.where(p.astype(wide) + g.astype(wide) < 0, to_zero, g.astype(to))

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return beside_params(on_leaf, updates, params), state

    return GradientTransformation(init_empty_state, update)

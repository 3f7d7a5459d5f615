"""What `over_leaves` knows about leaves, for where it is not there: their values and their precision."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree


def has_value(g: Any) -> bool:
    """Whether an update is neither None nor of dtype float0 (the gradient of an integer)."""
    return g is not None and getattr(g, "dtype", None) != jax.dtypes.float0


def with_values(updates: PyTree) -> list[Any]:
    """The leaves of a tree that have values."""
    return [g for g in jax.tree.leaves(updates) if has_value(g)]


def wide_dtype(*things: Any) -> Any:
    """The dtype, float32 or wider, that holds what all these arrays or dtypes do; complex if one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(jnp.float32, *things)


def widened(x: jax.Array) -> jax.Array:
    """`x` in float32 or wider."""
    wide: jax.Array = x.astype(wide_dtype(x))
    return wide

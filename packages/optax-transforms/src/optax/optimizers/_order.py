"""The order in which the slots of a state are written in place."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def written_after(x: jax.Array, others: jax.Array, count: jax.Array) -> jax.Array:
    """`x`, the new value of a slot whose old value `others` were computed from.

    Where nothing says that they come first, XLA copies the old value to be sure, and a copy of a large array takes
    longer than the update. So `x` depends on them here, on paper: a count is never negative, which XLA cannot know.

    Args:
      x: array.
      others: array of the same shape that is to be computed before `x` is written.
      count: integer scalar >= 0.

    Returns:
      `x`.
    """
    return jnp.where(count < 0, others.astype(x.dtype), x)

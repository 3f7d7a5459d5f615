"""Moving averages of powers of the updates, tree by tree."""

from typing import Any

import jax
import jax.numpy as jnp

from optax.core._leaves import debias, moving_average, over_leaves, scaled, total_weight
from optax.core._numerics import abs_sq, absolute_value, as_array, is_complex
from optax.core._types import PyTree, Updates

__all__ = ["bias_correction", "update_infinity_moment", "update_moment", "update_moment_per_elem_norm"]


def update_moment(updates: Updates, moments: PyTree, decay: Any, order: int) -> PyTree:
    """decay * moments + (1 - decay) * updates**order.

    Args:
      updates: tree of arrays.
      moments: tree of the same structure and shapes: the averages so far.
      decay: scalar in [0, 1).
      order: the power.

    Returns:
      The new averages, in the dtypes of `moments`. A leaf of `updates` that is None leaves its average as it was.

    Raises:
      ValueError: structures or shapes differ.
    """

    def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        return g, moving_average(g**order, m, decay)

    return over_leaves(rule, updates, moments)[1]


def update_moment_per_elem_norm(updates: Updates, moments: PyTree, decay: Any, order: int) -> PyTree:
    """`update_moment` of |updates| where they are complex, with real averages.

    Args:
      updates: tree of arrays.
      moments: tree of real arrays of the same structure and shapes: the averages so far.
      decay: scalar in [0, 1).
      order: the power; real updates keep their sign under an odd one.

    Returns:
      The new averages, in the dtypes of `moments`.

    Raises:
      ValueError: structures or shapes differ.
    """

    def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        # An even power of |g| needs no root, whose derivative at 0 is infinite.
        power = (
            (abs_sq(g) ** (order // 2) if order % 2 == 0 else absolute_value(g) ** order)
            if is_complex(g.dtype)
            else g**order
        )
        return g, moving_average(power.astype(m.dtype), m, decay)

    return over_leaves(rule, updates, moments)[1]


def update_infinity_moment(updates: Updates, moments: PyTree, decay: Any, eps: Any) -> PyTree:
    """max(|updates| + eps, decay * moments): the moving average of infinite order.

    Args:
      updates: tree of arrays.
      moments: tree of real arrays of the same structure and shapes: the values so far.
      decay: scalar in [0, 1).
      eps: scalar added to |updates|.

    Returns:
      The new values, in the dtypes of `moments`.

    Raises:
      ValueError: structures or shapes differ.
    """

    def rule(g: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        return g, jnp.maximum(jnp.abs(g) + jnp.asarray(eps, u.dtype), scaled(u, decay))

    return over_leaves(rule, updates, moments)[1]


def bias_correction(moment: PyTree, decay: Any, count: Any) -> PyTree:
    """moment / (1 - decay**count).

    Args:
      moment: tree of moving averages that started from zero.
      decay: scalar in [0, 1), their decay.
      count: integer scalar >= 1, the number of terms in them.

    Returns:
      The tree of means, in the dtypes of `moment`.
    """
    weight = total_weight(decay, as_array(count))
    return over_leaves(lambda m: debias(m, weight), moment)

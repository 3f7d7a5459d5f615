"""Arithmetic that several transformations share: the precision to compute in, a quotient that is never 0 / 0."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def wide_dtype(*things: Any) -> Any:
    """The dtype, float32 or wider, that holds what all these arrays or dtypes do; complex if one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(jnp.float32, *things)


def quotient(x: jax.Array, d: jax.Array) -> jax.Array:
    """x / d, and 0 where d is 0; the derivative is finite there too."""
    return jnp.where(d == 0, 0, x / jnp.where(d == 0, 1, d))

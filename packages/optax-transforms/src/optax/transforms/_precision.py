"""The precision to compute in, where `over_leaves` does not choose it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def wide_dtype(*things: Any) -> Any:
    """The dtype, float32 or wider, that holds what all these arrays or dtypes do; complex if one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(jnp.float32, *things)

"""Parts of several optimizers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import Numeric, Params, PyTree, new_slot


def wide_slot(params: Params, value: Numeric = 0.0, dtype: DTypeLike | None = None) -> PyTree:
    """A real slot that starts from `value`: in float32 or wider, since squares underflow in float16."""
    zeros = new_slot(params, dtype=dtype, real=True)
    return zeros if is_zero(value) else jax.tree.map(lambda v: v + jnp.asarray(value, v.dtype), zeros)


def is_zero(value: Any) -> bool:
    """Whether a hyperparameter is the number 0, for good: then what it multiplies need not be read."""
    return isinstance(value, (int, float)) and value == 0


def divisor(v: jax.Array) -> jax.Array:
    """sqrt(v) for v >= 0, but never 0, and small enough a number to divide 0 by, and to differentiate that."""
    return jnp.sqrt(jnp.maximum(v, float(np.finfo(v.dtype).tiny)))

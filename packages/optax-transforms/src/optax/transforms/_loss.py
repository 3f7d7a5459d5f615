"""The loss, where `update` needs it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_CALL = "update(updates, state, params, value=loss)"


def loss_of_step(value: Any, dtype: Any, use: str) -> jax.Array:
    """The argument `value` of `update` as a scalar; `use` says what for, at the beginning of a message."""
    if value is None:
        raise TypeError(f"{use}: call {_CALL}")
    if not isinstance(value, (jax.Array, np.ndarray, np.generic, float, int)) or jnp.iscomplexobj(value):
        raise TypeError(f"value must be a real scalar, as in {_CALL}, not {value!r}")
    if jnp.shape(value) != ():
        raise ValueError(f"value must be a scalar, as in {_CALL}, not of shape {jnp.shape(value)}")
    return jnp.asarray(value, dtype)

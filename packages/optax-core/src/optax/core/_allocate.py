"""New arrays in the place of others, without a program to compile for each of their shapes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core._numerics import is_random_key, is_tracing, manual_axes, varying

_SENT = 2**20  # bytes; on an accelerator, larger arrays are filled where they are


def filled(tree: Any, value: Any, dtype: Callable[[Any], Any]) -> Any:
    """A tree of the shapes and the placement of `tree`, every leaf x filled with `value` in `dtype(x)`."""
    at_once = isinstance(value, (int, float, complex, np.number)) and not is_tracing()

    def on_leaf(x: Any) -> Any:
        wanted = dtype(x)
        if at_once and _is_sent(x, wanted):
            return _sent(np.full(np.shape(x), value, wanted), x)
        own = None if is_random_key(x) and wanted == x.dtype else wanted
        return varying(jnp.full_like(x, value, dtype=own), manual_axes(x))  # JAX 0.6 forgets them

    return jax.tree.map(on_leaf, tree)


def copied(tree: Any, dtype: Callable[[Any], Any]) -> Any:
    """A tree of copies in `dtype(x)` of every leaf x, in buffers of their own; a form is filled with zeros."""
    at_once = not is_tracing()

    def on_leaf(x: Any) -> Any:
        wanted = dtype(x)
        if isinstance(x, jax.ShapeDtypeStruct):
            return jnp.zeros_like(x, dtype=wanted)
        if not (at_once and _is_sent(x, wanted)):
            return jnp.array(x, wanted, copy=True)
        same = isinstance(x, jax.Array) and x.dtype == wanted and not x.weak_type
        return _sent(x if same else np.asarray(x).astype(wanted), x)

    return jax.tree.map(on_leaf, tree)


def _is_sent(x: Any, dtype: Any) -> bool:
    """Whether an array in the place of `x` can come from the host: a transfer needs no program."""
    if is_random_key(x) or isinstance(x, jax.core.Tracer):
        return False
    place = getattr(x, "sharding", None)
    if not isinstance(place, (jax.sharding.SingleDeviceSharding, type(None))):
        return False
    (device, *_) = jax.devices() if place is None else place.device_set
    return bool(device.platform == "cpu" or math.prod(np.shape(x)) * np.dtype(dtype).itemsize <= _SENT)


def _sent(array: Any, like: Any) -> jax.Array:
    place = getattr(like, "sharding", None) if getattr(like, "committed", True) else None
    sent: jax.Array = jax.device_put(array, place, may_alias=False)
    return sent

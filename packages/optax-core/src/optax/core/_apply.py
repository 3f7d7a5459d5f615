"""From updates to new parameters."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from optax.core._align import map_aligned
from optax.core._eager import compiled_outside_jit
from optax.core._numerics import (
    as_array,
    at_precision,
    dtype_of,
    is_complex,
    is_float0,
    is_inexact,
    is_random_key,
    promoted,
    scaled,
    wide,
)
from optax.core._types import Numeric, Updates

__all__ = ["apply_updates", "incremental_update", "periodic_update"]

T = TypeVar("T")


@compiled_outside_jit
def apply_updates(params: T, updates: Updates) -> T:
    """params + updates, in the dtypes of the parameters.

    Args:
      params: tree of arrays.
      updates: tree of the same structure and shapes. A leaf that is None, or of dtype float0, leaves its parameter
        as it is.

    Returns:
      The new parameters: the tree, shapes and dtypes of `params`. The sum is rounded once, to the parameter's dtype.

    Raises:
      ValueError: structures or shapes differ; nothing is broadcast. The message names the leaf's path.
      TypeError: an update cannot be added without loss of its kind: a floating one to an integer parameter, a complex
        one to a real parameter.
    """

    def on_leaf(p: Any, u: Any) -> Any:
        if u is None or is_float0(u):
            return p
        if p is None:
            raise ValueError("updates has an array where params has None")
        p, u = as_array(p), as_array(u)
        if u.dtype == p.dtype:
            return jax.lax.add(p, u)
        wider = promoted(p.dtype, u.dtype) != p.dtype
        if (wider and not is_inexact(p.dtype)) or is_complex(u.dtype) > is_complex(p.dtype):
            raise TypeError(f"a {u.dtype} update cannot be added to a {p.dtype} parameter")
        if not is_inexact(p.dtype):
            return p + u.astype(p.dtype)
        precision = wide(p.dtype, u.dtype)
        total = p.astype(at_precision(p.dtype, precision)) + u.astype(at_precision(p.dtype, precision))
        return total.astype(p.dtype)

    new: T = map_aligned(on_leaf, ["params", "updates"], params, updates)
    return new


def incremental_update(new_tensors: T, old_tensors: T, step_size: Any) -> T:
    """step_size * new + (1 - step_size) * old: an exponential moving average of parameters (Polyak averaging).

    Args:
      new_tensors: tree of floating arrays.
      old_tensors: tree of the same structure and shapes: the average so far.
      step_size: scalar in [0, 1].

    Returns:
      The new average, with the dtypes of `old_tensors`; computed in float32 or wider and rounded once. A step that is
      small against the average is lost where that is stored in 16 bits: keep averages in float32. A leaf that is None
      or of dtype float0 in `new_tensors` stays as it was.

    Raises:
      ValueError: structures or shapes differ.
      TypeError: a leaf of `old_tensors` is of an integer dtype, or real where the new one is complex.
    """

    def on_leaf(old: Any, new: Any) -> Any:
        if old is None or new is None or is_float0(new):
            return old
        dtype = dtype_of(old)
        if not is_inexact(dtype) or is_complex(dtype_of(new)) > is_complex(dtype):
            raise TypeError(f"{dtype_of(new)} tensors cannot be averaged into {dtype} ones")
        precision = wide(dtype, dtype_of(new))
        step = jnp.asarray(step_size, precision)
        old, new = (as_array(x).astype(at_precision(dtype, precision)) for x in (old, new))
        return (scaled(new, step) + scaled(old, 1 - step)).astype(dtype)

    average: T = map_aligned(on_leaf, ["old_tensors", "new_tensors"], old_tensors, new_tensors)
    return average


def periodic_update(new_tensors: T, old_tensors: T, steps: Numeric, update_period: int) -> T:
    """The new tensors every `update_period` steps, the old ones in between (a target network's update).

    Args:
      new_tensors: tree of arrays.
      old_tensors: tree of the same structure and shapes.
      steps: integer scalar, the number of steps taken.
      update_period: integer >= 1.

    Returns:
      A tree with the dtypes of `old_tensors`: `new_tensors` where `steps` is a multiple of `update_period`.

    Raises:
      ValueError: structures or shapes differ, or `update_period` is below 1.
    """
    if not isinstance(update_period, jax.core.Tracer) and update_period < 1:
        raise ValueError(f"update_period must be at least 1, not {update_period}")
    due = jnp.asarray(steps) % update_period == 0

    def on_leaf(old: Any, new: Any) -> Any:
        if old is None or new is None:
            return old
        old = as_array(old)
        return jnp.where(due, new if is_random_key(new) else jnp.asarray(new).astype(old.dtype), old)

    chosen: T = map_aligned(on_leaf, ["old_tensors", "new_tensors"], old_tensors, new_tensors)
    return chosen

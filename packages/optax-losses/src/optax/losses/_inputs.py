"""What every loss does with its arguments before the mathematics starts.

Losses accept whatever `jnp.asarray` does, compute in float32 at least, and never broadcast one argument against
another: predictions of shape (N, 1) against targets of shape (N,) would silently be a loss of shape (N, N).
"""

import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = [
    "ArrayOrSequence",
    "Axes",
    "as_axes",
    "as_classes",
    "as_floats",
    "as_mask",
    "as_weights",
    "class_axes",
    "flatten_last",
    "require_same_shape",
]

ArrayOrSequence: TypeAlias = ArrayLike | Sequence[Any]
Axes: TypeAlias = int | Sequence[int]


def as_floats(**named: ArrayOrSequence) -> tuple[jax.Array, ...]:
    """The arguments as arrays of one floating dtype, in which a loss can be computed and returned.

    That is float64 if one of them is (strongly) typed so, otherwise float32: half precision has too few digits for
    a sum over classes or a square. Integers, booleans and Python's numbers follow the others; without others they
    take JAX's default.

    Args:
      **named: the arguments, by the names that messages shall call them.

    Returns:
      The arrays, in the order of the arguments.

    Raises:
      TypeError: an argument is complex, or no number.
    """
    arrays = {name: jnp.asarray(value) for name, value in named.items()}
    for name, x in arrays.items():
        if not any(jnp.issubdtype(x.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise TypeError(f"{name} must be real numbers, got dtype {x.dtype}")
    floats = {x.dtype for x in arrays.values() if jnp.issubdtype(x.dtype, jnp.floating) and not x.weak_type}
    if not floats:
        dtype = jnp.result_type(float)
    else:
        dtype = jnp.dtype(jnp.float64 if jnp.dtype(jnp.float64) in floats else jnp.float32)
    return tuple(x.astype(dtype) for x in arrays.values())


def as_mask(name: str, mask: ArrayOrSequence | None, other: str, array: jax.Array) -> jax.Array | None:
    """A boolean mask of the shape of `array`, checked; None stays None."""
    if mask is None:
        return None
    mask = jnp.asarray(mask)
    if mask.dtype != jnp.bool_:
        raise TypeError(f"{name} must be boolean, got dtype {mask.dtype}")
    require_same_shape(name, mask, other, array)
    return mask


def require_same_shape(name: str, x: jax.Array, other: str, y: jax.Array) -> None:
    """Raise a ValueError that names both arguments unless their shapes are equal."""
    if x.shape != y.shape:
        raise ValueError(f"{name} and {other} must have the same shape, got {x.shape} and {y.shape}")


def as_weights(weights: ArrayOrSequence | None, losses: jax.Array) -> jax.Array | None:
    """The weights of the losses, checked, in the dtype of the losses; None stays None, booleans become 0 and 1."""
    if weights is None:
        return None
    (w,) = as_floats(weights=weights)
    require_same_shape("weights", w, "the losses", losses)
    return w.astype(losses.dtype)


def as_axes(axis: Axes, name: str, array: jax.Array) -> tuple[int, ...]:
    """The axis or axes that a user names, counted from the front and sorted.

    Args:
      axis: the user's argument.
      name: what messages shall call `array`.
      array: the array whose axes are meant.

    Returns:
      One or more axes of `array`.

    Raises:
      ValueError: an axis is out of range or named twice.
    """
    shape = array.shape
    axes = [operator.index(a) for a in (axis if isinstance(axis, Iterable) else (axis,))]
    if not axes or not all(-array.ndim <= a < array.ndim for a in axes):
        raise ValueError(f"axis={axis} is not an axis of {name} of shape {shape}")
    positive = sorted({a % array.ndim for a in axes})
    if len(positive) != len(axes):
        raise ValueError(f"axis={axis} names an axis of {name} of shape {shape} twice")
    return tuple(positive)


def class_axes(axis: Axes, name: str, array: jax.Array) -> tuple[int, ...]:
    """The axis or axes of the classes, as `as_axes` has them; a ValueError too if there are no classes along them."""
    axes = as_axes(axis, name, array)
    if 0 in (array.shape[a] for a in axes):
        raise ValueError(f"{name} of shape {array.shape} has no classes along axis={axis}")
    return axes


def as_classes(labels: ArrayOrSequence, axis: Axes, name: str, array: jax.Array, otherwise: str = "") -> jax.Array:
    """Class indices, one for each row of `array` along `axis`, as int32 (int64 where they are 64 bits wide).

    Wide, because they are compared with numbers of classes: a uint8 cannot hold C = 1000, and 2**32 + 1 is not class 1.

    Args:
      labels: the user's argument, of that name.
      axis: the axis or axes of the classes.
      name: what messages shall call `array`.
      array: scores, one for each class.
      otherwise: what a message says to those whose labels are not integers.

    Returns:
      Shape of `array` without `axis`. No check that they name classes.

    Raises:
      ValueError: the shape is another one.
      TypeError: labels are not integers.
    """
    k = jnp.asarray(labels)
    if not jnp.issubdtype(k.dtype, jnp.integer):
        raise TypeError(f"labels must be class indices of an integer dtype, got dtype {k.dtype}{otherwise}")
    axes = as_axes(axis, name, array)
    expected = tuple(size for a, size in enumerate(array.shape) if a not in axes)
    if k.shape != expected:
        raise ValueError(
            f"labels must have shape {expected}, which is that of {name} {array.shape} without axis={axis}, "
            f"got {k.shape}"
        )
    return k.astype(jnp.int64 if k.dtype.itemsize == 8 else jnp.int32)


def flatten_last(x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    """`x` with the axes of the classes moved to the end and flattened, in the order they have in `x`, into one."""
    x = jnp.moveaxis(x, axes, range(-len(axes), 0))
    batch = x.shape[: x.ndim - len(axes)]
    return x.reshape(*batch, math.prod(x.shape[x.ndim - len(axes) :]))

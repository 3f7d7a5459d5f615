"""Powers with the exponents of focal losses, whose slopes stay finite where the base is 0."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike

__all__ = ["along", "as_exponent", "as_setting", "power_and_slope"]


def as_setting(name: str, value: ArrayLike, like: jax.Array) -> jax.Array:
    """A number as a scalar of the dtype of `like`; an array broadcast to its shape, or a ValueError."""
    array = jnp.asarray(value).astype(like.dtype)
    if array.ndim == 0:
        return array
    try:
        return jnp.broadcast_to(array, like.shape)
    except ValueError:
        message = f"{name} must be a number or broadcast to shape {like.shape}, got shape {array.shape}"
        raise ValueError(message) from None


def as_exponent(name: str, value: ArrayLike, like: jax.Array) -> tuple[int | None, jax.Array]:
    """An exponent twice: as a small integer, if it is a Python number that equals one, and as `as_setting` has it."""
    small = int(value) if isinstance(value, (int, float)) and value in (0, 1, 2, 3, 4) else None
    return small, as_setting(name, value, like)


def power_and_slope(t: jax.Array, small: int | None, gamma: jax.Array) -> tuple[jax.Array | float, jax.Array | float]:
    """t^gamma and its derivative by t, except that the latter is 0 at t = 0 unless gamma is 1 (a number).

    With gamma < 1 the true one is infinite there; what the power is multiplied by in a loss is 0, and faster.

    Args:
      t: at least 0.
      small: gamma if that is known to be one of 0, 1, 2, 3, 4: then there is no transcendental function to compute.
      gamma: at least 0, a scalar or of the shape of `t`.
    """
    match small:
        case 0:
            return 1.0, 0.0
        case 1:
            return t, 1.0
        case int():
            one_less = t
            for _ in range(small - 2):
                one_less = one_less * t
            return one_less * t, small * one_less
    zero = t == 0
    one_less = jnp.power(jnp.where(zero, 1, t), gamma - 1)
    return jnp.where(zero, jnp.where(gamma == 0, 1, 0), t * one_less), jnp.where(zero, 0, gamma * one_less)


def along(slope: jax.Array | float, tangent: Any) -> jax.Array | float:
    """The slope times the tangent, without computing either where the tangent is known to be 0."""
    return 0.0 if isinstance(tangent, SymbolicZero) else slope * tangent

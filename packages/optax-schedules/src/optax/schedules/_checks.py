"""What a schedule refuses when it is made. Traced values pass: their numbers are not known yet."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["known", "require_not_negative", "require_numbers", "require_positive"]


def require_numbers(**named: Any) -> None:
    """Raise a TypeError that names the argument which is not a real number or an array of them."""
    for name, x in named.items():
        dtype = np.dtype(float) if isinstance(x, int | float) else getattr(x, "dtype", None)
        if dtype is None or not any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
            raise TypeError(f"{name} must be a real number, got {x!r}")


def require_not_negative(**named: Any) -> None:
    """Raise an error that names the argument which is no number, or known to be negative or NaN."""
    require_numbers(**named)
    for name, x in named.items():
        if known(x) and not np.all(np.asarray(x) >= 0):
            raise ValueError(f"{name} must be >= 0, got {x!r}")


def require_positive(**named: Any) -> None:
    """Raise an error that names the argument which is no number, or known to be 0, negative or NaN."""
    require_numbers(**named)
    for name, x in named.items():
        if known(x) and not np.all(np.asarray(x) > 0):
            raise ValueError(f"{name} must be > 0, got {x!r}")


def known(*numbers: Any) -> bool:
    """Whether the numbers can be looked at: none is traced."""
    return not any(isinstance(x, jax.core.Tracer) for x in numbers)

"""Noise that is never infinite, and as likely above its median as below, exactly."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["exponential", "gumbel", "logistic", "uniform"]


def uniform(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Uniform on the middles of 2^23 equal parts of (0, 1), in float64 of 2^52.

    Neither 0 nor 1 is among them, so logarithms are finite; and 1 - u is computed exactly and has the same law.
    """
    return jax.random.uniform(key, shape, dtype) + (2.0**-53 if dtype == jnp.float64 else 2.0**-24)


def exponential(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Exponential with rate 1, never 0."""
    return -jnp.log(uniform(key, shape, dtype))


def gumbel(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Gumbel with location 0 and scale 1."""
    return -jnp.log(exponential(key, shape, dtype))


def logistic(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
    """Logistic with location 0 and scale 1."""
    u = uniform(key, shape, dtype)
    return jnp.log(u) - jnp.log1p(-u)

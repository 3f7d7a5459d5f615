"""Random keys of transformations: given as a key or a seed, kept as plain integers in the state."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import PyTree, tree
from optax.transforms._precision import wide_dtype

RandomKey = jax.Array | int


def random_keys(
    key: RandomKey | None, seed: int | None
) -> tuple[Callable[[], jax.Array], Callable[[jax.Array], tuple[jax.Array, jax.Array]]]:
    """Where the random keys of one transformation come from.

    Args:
      key: a typed key, a raw one, or an integer seed (which is what stands in its place in older code).
      seed: an integer seed, in place of `key`.

    Returns:
      `start()`, the integers of the first key, for a state; and `advance(rng_key)`, which turns those into a typed key
      to draw from now and the integers to keep for the next time. A state of plain integers can be written by any
      checkpoint library.

    Raises:
      ValueError: not exactly one of the two is given.
      TypeError: `key` or `seed` is of another kind.
    """
    if key is None and seed is None:
        raise ValueError(
            "give a key (jax.random.key(0), say) or a seed: by a default of its own, "
            "every such transformation would draw the same numbers"
        )
    if key is not None and seed is not None:
        raise ValueError("give either a key or a seed, not both")
    name = "key" if seed is None else "seed"
    source: Any = key if seed is None else seed
    typed = raw = False
    if isinstance(source, (jax.Array, np.ndarray)) and name == "key":
        typed = source.ndim == 0 and jnp.issubdtype(source.dtype, jax.dtypes.prng_key)
        raw = source.ndim == 1 and source.dtype == np.uint32
    if not (typed or raw or _is_integer(source)):
        wanted = "one random key or an integer" if name == "key" else "an integer"
        raise TypeError(f"{name} must be {wanted}, not {source!r}")
    impl = jax.random.key_impl(source) if typed else None

    def start() -> jax.Array:
        data = source if raw else jax.random.key_data(source if typed else jax.random.key(source))
        return jnp.array(data, copy=True)  # the state may be donated, and the key must survive that

    def advance(rng_key: jax.Array) -> tuple[jax.Array, jax.Array]:
        if jnp.issubdtype(jnp.asarray(rng_key).dtype, jax.dtypes.prng_key):  # put there by the user, and kept as it is
            now, later = jax.random.split(rng_key)
            return now, later
        now, later = jax.random.split(jax.random.wrap_key_data(rng_key, impl=impl))
        return now, jax.random.key_data(later)

    return start, advance


def _is_integer(x: Any) -> bool:
    if isinstance(x, jax.core.Tracer):
        return x.ndim == 0 and bool(jnp.issubdtype(x.dtype, jnp.integer))
    try:
        operator.index(x)
    except TypeError:
        return False
    return not isinstance(x, bool)


def standard_normal(key: jax.Array, like: PyTree) -> PyTree:
    """Independent standard normal numbers in float32 or wider for every leaf.

    Args:
      key: typed random key.
      like: tree of arrays.

    Returns:
      A tree of the structure and shapes of `like`. For a complex leaf the numbers are complex, and the mean of
      |z|^2 is 1.
    """

    def sample(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        if dtype == jax.dtypes.float0:
            return jnp.zeros(shape)
        return jax.random.normal(key, shape, wide_dtype(dtype))

    return tree.random_like(key, like, sample)

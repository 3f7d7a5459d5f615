"""A number by which parameters are recognised."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Params


def fingerprint(params: Params) -> jax.Array:
    """A hash of all bits of all parameters and of where they stand.

    It is a sum of integers, so the order of adding does not matter, nor how the parameters are divided over devices.

    Args:
      params: tree of arrays.

    Returns:
      uint32 scalar. Parameters that differ in any bit have the same one with a probability of about 2^-32.
    """
    total = jnp.zeros([], jnp.uint32)
    for i, x in enumerate(jax.tree.leaves(params)):
        for j, words in enumerate(_words(jnp.asarray(x))):
            total = total + jnp.sum(_mixed(words + _places(words.shape, 8 * i + j)), dtype=jnp.uint32)
    return total


def _words(x: jax.Array) -> list[jax.Array]:
    """Arrays of the shape of `x` of 32-bit words that together hold its bits."""
    if jnp.iscomplexobj(x):
        return [*_words(x.real), *_words(x.imag)]
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return _words(jax.random.key_data(x))
    if x.dtype == bool:
        return [x.astype(jnp.uint32)]
    bits = 8 * x.dtype.itemsize
    words = jax.lax.bitcast_convert_type(x, np.dtype(f"uint{min(bits, 32)}"))
    if bits <= 32:
        return [words.astype(jnp.uint32)]
    return [words[..., i] for i in range(bits // 32)]


def _places(shape: tuple[int, ...], seed: int) -> jax.Array:
    """A number for each place of an array, spread over all 32 bits."""
    place = jnp.full(shape, seed * 0x85EBCA6B % 2**32, jnp.uint32)
    for axis in range(len(shape)):
        stride = np.uint32(0x9E3779B9 * math.prod(shape[axis + 1 :]) % 2**32)
        place = place + jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * stride
    return place


def _mixed(h: jax.Array) -> jax.Array:
    """A permutation of the 32-bit integers in which every bit depends on all others."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    return h ^ (h >> np.uint32(16))

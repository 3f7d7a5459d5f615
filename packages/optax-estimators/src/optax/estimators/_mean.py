"""The mean of an estimate, without all of its samples in memory at once."""

import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp

from optax.core import PyTree, widen

__all__ = ["mean_gradient"]


def mean_gradient(estimator: Callable[..., PyTree], rng: jax.Array, num_samples: int, *, chunk_size: int = 1) -> PyTree:
    """The mean of an estimator over many samples, in the memory of a few.

    The estimator runs in a loop, each time on `chunk_size` samples with a key of its own, and only a sum is kept. So
    the samples are not those of one call with `rng`.

    Args:
      estimator: any estimator of this package but for its last two arguments, as `functools.partial` leaves it; called
        as `estimator(rng=rng, num_samples=chunk_size)`.
      rng: a PRNG key.
      num_samples: how many samples in all, >= 1 and a multiple of `chunk_size`; static under `jit`.
      chunk_size: how many samples at a time, >= 1, at least as many as the estimator needs; static under `jit`. More
        take more memory and less time.

    Returns:
      The tree of the parameters in their shapes and dtypes; the sum is kept in float32, or float64 for leaves of it.

    Raises:
      ValueError: `num_samples` or `chunk_size` is below 1, or not a multiple of it; whatever the estimator raises.

    >>> from functools import partial
    >>> from optax.estimators import forward_gradient_jacobians
    >>> f = partial(forward_gradient_jacobians, lambda x: 3 * x, jnp.array(1.0))
    >>> mean_gradient(f, jax.random.key(0), 10_000, chunk_size=100).round(1)
    Array(3., dtype=float32)
    """
    n, chunk = operator.index(num_samples), operator.index(chunk_size)
    if chunk < 1:
        raise ValueError(f"chunk_size must be >= 1, got {chunk_size}")
    if n < 1 or n % chunk:
        raise ValueError(f"num_samples must be >= 1 and a multiple of chunk_size = {chunk}, got {num_samples}")

    def some(key: jax.Array) -> PyTree:
        return estimator(rng=key, num_samples=chunk)

    def add(total: PyTree, key: jax.Array) -> tuple[PyTree, None]:
        return jax.tree.map(lambda t, j: t + jnp.sum(widen(j), axis=0), total, some(key)), None

    rows = jax.eval_shape(some, rng)
    zeros = jax.tree.map(lambda j: jnp.zeros(j.shape[1:], jax.eval_shape(widen, j).dtype), rows)
    total, _ = jax.lax.scan(add, zeros, jax.random.split(rng, n // chunk))
    return jax.tree.map(lambda t, j: (t / n).astype(j.dtype), total, rows)

"""What the estimators ask of a distribution, and one that needs no other library."""

import operator
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = ["DiagonalNormal", "Distribution", "multi_normal"]


@runtime_checkable
class Distribution(Protocol):
    """A distribution that can be sampled and has a density; those of TensorFlow Probability and distrax are such."""

    def sample(self, *, seed: jax.Array, sample_shape: Sequence[int]) -> Any:
        """Return samples made from the PRNG key `seed`, `sample_shape` of them; with () just one."""
        ...

    def log_prob(self, value: Any) -> Any:
        """Return the logarithm of the density or probability of one sample."""
        ...


class DiagonalNormal:
    """The normal distribution with independent components: N(mean, diag(scale^2)).

    Args:
      loc: the mean, an array of any shape, which is the shape of one sample.
      log_scale: the logarithm of the standard deviation, of that shape or a scalar.

    Raises:
      ValueError: `log_scale` has another shape.
      TypeError: an argument is not real.
    """

    def __init__(self, loc: ArrayLike, log_scale: ArrayLike):
        self._mean = _widened("loc", loc)
        self._log_scale = _widened("log_scale", log_scale)
        if self._log_scale.shape not in ((), self._mean.shape):
            raise ValueError(
                f"log_scale must be a scalar or have the shape of loc, {self._mean.shape}, got {self._log_scale.shape}"
            )
        dtype = max(self._mean.dtype, self._log_scale.dtype, key=lambda d: d.itemsize)
        self._mean, self._log_scale = self._mean.astype(dtype), self._log_scale.astype(dtype)

    def __repr__(self) -> str:
        return f"DiagonalNormal(loc={self._mean!r}, log_scale={self._log_scale!r})"

    @property
    def mean(self) -> jax.Array:
        """The mean."""
        return self._mean

    @property
    def log_scale(self) -> jax.Array:
        """The logarithm of the standard deviation, as it was given."""
        return self._log_scale

    @property
    def scale(self) -> jax.Array:
        """The standard deviation, in the shape of the mean."""
        return jnp.broadcast_to(jnp.exp(self._log_scale), self._mean.shape)

    @property
    def params(self) -> list[jax.Array]:
        """Mean and logarithm of the standard deviation, what `multi_normal` is called with."""
        return [self._mean, self._log_scale]

    def sample(self, sample_shape: Sequence[int] | int, seed: jax.Array) -> jax.Array:
        """Samples mean + scale * noise, which can be differentiated by both parameters.

        Args:
          sample_shape: how many, as one integer or several; with () just one.
          seed: a PRNG key.

        Returns:
          An array of shape (*sample_shape, *mean.shape), float32 or float64.
        """
        shape = tuple(sample_shape) if isinstance(sample_shape, Sequence) else (operator.index(sample_shape),)
        noise = jax.random.normal(seed, (*shape, *self._mean.shape), self._mean.dtype)
        return jnp.broadcast_to(self._mean, noise.shape) + jnp.broadcast_to(self.scale, noise.shape) * noise

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """The logarithm of the density: - sum (z^2 / 2 + log_scale + log(2 pi) / 2), z = (value - mean) / scale.

        Args:
          value: samples, shape (..., *mean.shape).

        Returns:
          Shape (...), float32 or float64.

        Raises:
          ValueError: `value` does not have the mean's shape in its last axes.
        """
        x = jnp.asarray(value).astype(self._mean.dtype)
        event = self._mean.shape
        if x.shape[x.ndim - len(event) :] != event or x.ndim < len(event):
            raise ValueError(f"value must have shape (..., {', '.join(map(str, event))}), got {x.shape}")
        mean, log_scale = (jnp.broadcast_to(p, x.shape) for p in self.params)
        z = (x - mean) * jnp.exp(-log_scale)
        terms = 0.5 * jnp.square(z) + log_scale + 0.5 * jnp.log(2 * jnp.pi)
        return -jnp.sum(terms, axis=tuple(range(x.ndim - len(event), x.ndim)))


def multi_normal(loc: ArrayLike, log_scale: ArrayLike) -> DiagonalNormal:
    """The normal distribution with independent components, parametrised without constraints.

    Args:
      loc: the mean, an array of any shape, which is the shape of one sample.
      log_scale: the logarithm of the standard deviation, of that shape or a scalar.

    Returns:
      A distribution with `sample(sample_shape, seed)`, `log_prob(value)` and the properties `mean`, `scale`,
      `log_scale` and `params`; it computes in float32, or float64 if an argument is.

    Raises:
      ValueError: `log_scale` has another shape.
      TypeError: an argument is not real.

    >>> multi_normal([0.0, 0.0], [0.0, 0.0]).log_prob([0.0, 0.0])
    Array(-1.837877, dtype=float32)
    """
    return DiagonalNormal(loc, log_scale)


def _widened(name: str, x: ArrayLike) -> jax.Array:
    """`x` in float32, or float64 if it is that already."""
    array = jnp.asarray(x)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array.astype(jnp.float64 if array.dtype == jnp.float64 else jnp.float32)

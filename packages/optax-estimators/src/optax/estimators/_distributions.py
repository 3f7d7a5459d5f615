"""What the estimators ask of a distribution, and a few that need no other library."""

import operator
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = [
    "DiagonalNormal",
    "Distribution",
    "IndependentBernoulli",
    "OneHotCategorical",
    "bernoulli",
    "categorical",
    "multi_normal",
]


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
        noise = jax.random.normal(seed, (*_shape(sample_shape), *self._mean.shape), self._mean.dtype)
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
        x = _values(value, self._mean)
        mean, log_scale = (jnp.broadcast_to(p, x.shape) for p in self.params)
        z = (x - mean) * jnp.exp(-log_scale)
        return -_event_sum(0.5 * jnp.square(z) + log_scale + 0.5 * jnp.log(2 * jnp.pi), self._mean.ndim)

    def kl_divergence(self, other: "DiagonalNormal") -> jax.Array:
        """The Kullback-Leibler divergence from this distribution to `other`, a scalar >= 0."""
        log_ratio = jnp.broadcast_to(self._log_scale - other._log_scale, self._mean.shape)
        z = (self._mean - other._mean) / other.scale
        return jnp.sum(0.5 * (jnp.square(z) + jnp.expm1(2 * log_ratio)) - log_ratio)


class IndependentBernoulli:
    """Independent Bernoulli variables: each component is 1 with probability sigmoid(logits), else 0.

    Args:
      logits: real numbers of any shape, which is the shape of one sample.

    Raises:
      TypeError: the logits are not real.
    """

    def __init__(self, logits: ArrayLike):
        self.logits = _widened("logits", logits)

    def __repr__(self) -> str:
        return f"IndependentBernoulli(logits={self.logits!r})"

    def sample(self, sample_shape: Sequence[int] | int, seed: jax.Array) -> jax.Array:
        """Samples of zeros and ones, shape (*sample_shape, *logits.shape), float32 or float64."""
        shape = (*_shape(sample_shape), *self.logits.shape)
        noise = jax.random.logistic(seed, shape, self.logits.dtype)
        return (noise > -jnp.broadcast_to(self.logits, shape)).astype(self.logits.dtype)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """The logarithm of the probability of zeros and ones of shape (..., *logits.shape): shape (...)."""
        x = _values(value, self.logits)
        logits = jnp.broadcast_to(self.logits, x.shape)
        return _event_sum(x * logits - jax.nn.softplus(logits), self.logits.ndim)

    def kl_divergence(self, other: "IndependentBernoulli") -> jax.Array:
        """The Kullback-Leibler divergence from this distribution to `other`, a scalar >= 0."""
        one = jax.nn.log_sigmoid(self.logits) - jax.nn.log_sigmoid(other.logits)
        zero = jax.nn.log_sigmoid(-self.logits) - jax.nn.log_sigmoid(-other.logits)
        return jnp.sum(jax.nn.sigmoid(self.logits) * one + jax.nn.sigmoid(-self.logits) * zero)


class OneHotCategorical:
    """Independent choices among K classes; a sample has a 1 in the place of the class and zeros elsewhere.

    Args:
      logits: unnormalised logarithms of the probabilities, shape (..., K), which is the shape of one sample.

    Raises:
      ValueError: there is no axis of classes.
      TypeError: the logits are not real.
    """

    def __init__(self, logits: ArrayLike):
        self.logits = _widened("logits", logits)
        if self.logits.ndim == 0:
            raise ValueError("logits must have a last axis of classes, got a scalar")

    def __repr__(self) -> str:
        return f"OneHotCategorical(logits={self.logits!r})"

    def sample(self, sample_shape: Sequence[int] | int, seed: jax.Array) -> jax.Array:
        """One-hot samples, shape (*sample_shape, *logits.shape), float32 or float64."""
        shape = (*_shape(sample_shape), *self.logits.shape[:-1])
        labels = jax.random.categorical(seed, self.logits, shape=shape)
        return jax.nn.one_hot(labels, self.logits.shape[-1], dtype=self.logits.dtype)

    def log_prob(self, value: ArrayLike) -> jax.Array:
        """The logarithm of the probability of one-hot samples of shape (..., *logits.shape): shape (...)."""
        x = _values(value, self.logits)
        log_p = jnp.broadcast_to(jax.nn.log_softmax(self.logits), x.shape)
        return _event_sum(x * jnp.where(x == 0, 0, log_p), self.logits.ndim)  # 0, not NaN, for impossible classes

    def kl_divergence(self, other: "OneHotCategorical") -> jax.Array:
        """The Kullback-Leibler divergence from this distribution to `other`, a scalar >= 0."""
        p, q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        impossible = jnp.isneginf(p)
        return jnp.sum(jnp.exp(p) * (jnp.where(impossible, 0, p) - jnp.where(impossible, 0, q)))


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


def bernoulli(logits: ArrayLike) -> IndependentBernoulli:
    """Independent Bernoulli variables, whose samples are floats: 1 with probability sigmoid(logits), else 0.

    Args:
      logits: real numbers of any shape, which is the shape of one sample.

    Returns:
      A distribution with `sample(sample_shape, seed)`, `log_prob(value)`, `kl_divergence(other)` and `logits`; it
      computes in float32, or float64 if the logits are.

    Raises:
      TypeError: the logits are not real.

    >>> bernoulli([0.0, 0.0]).log_prob([0.0, 1.0])
    Array(-1.3862944, dtype=float32)
    """
    return IndependentBernoulli(logits)


def categorical(logits: ArrayLike) -> OneHotCategorical:
    """Independent choices among K classes with probabilities softmax(logits), whose samples are one-hot floats.

    Args:
      logits: unnormalised logarithms of the probabilities, shape (..., K), which is the shape of one sample.

    Returns:
      A distribution with `sample(sample_shape, seed)`, `log_prob(value)`, `kl_divergence(other)` and `logits`; it
      computes in float32, or float64 if the logits are.

    Raises:
      ValueError: there is no axis of classes.
      TypeError: the logits are not real.

    >>> categorical([0.0, 0.0]).log_prob([0.0, 1.0])
    Array(-0.6931472, dtype=float32)
    """
    return OneHotCategorical(logits)


def _widened(name: str, x: ArrayLike) -> jax.Array:
    """`x` in float32, or float64 if it is that already."""
    array = jnp.asarray(x)
    if not (jnp.issubdtype(array.dtype, jnp.floating) or jnp.issubdtype(array.dtype, jnp.integer)):
        raise TypeError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array.astype(jnp.float64 if array.dtype == jnp.float64 else jnp.float32)


def _shape(sample_shape: Sequence[int] | int) -> tuple[int, ...]:
    return tuple(sample_shape) if isinstance(sample_shape, Sequence) else (operator.index(sample_shape),)


def _values(value: ArrayLike, like: jax.Array) -> jax.Array:
    """Samples in the dtype of the parameter `like`, whose shape their last axes must have."""
    x = jnp.asarray(value).astype(like.dtype)
    if x.shape[x.ndim - like.ndim :] != like.shape or x.ndim < like.ndim:
        raise ValueError(f"value must have shape (..., {', '.join(map(str, like.shape))}), got {x.shape}")
    return x


def _event_sum(terms: jax.Array, ndim: int) -> jax.Array:
    """The sum over the last `ndim` axes."""
    return jnp.sum(terms, axis=tuple(range(terms.ndim - ndim, terms.ndim)))

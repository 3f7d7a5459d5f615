"""Functions smoothed by noise, with derivatives of every order whatever the functions are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import PyTree, check_hyperparameter, check_integer, tree, widen

__all__ = ["Gumbel", "Noise", "Normal", "make_perturbed_fun"]


@runtime_checkable
class Noise(Protocol):
    """What `make_perturbed_fun` asks of a noise: a smooth density, positive everywhere."""

    def sample(self, key: jax.Array, sample_shape: Sequence[int], dtype: Any) -> jax.Array:
        """Return independent samples in an array of that shape and dtype."""
        ...

    def log_prob(self, inputs: jax.Array) -> jax.Array:
        """Return the logarithm of the density of each element, or the sum of them; a constant may be left out."""
        ...


@dataclass(frozen=True)
class Gumbel:
    """The Gumbel distribution: log p(z) = - z - exp(- z).

    >>> Gumbel().log_prob(jnp.zeros(2))
    Array([-1., -1.], dtype=float32)
    """

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Independent samples.

        Args:
          key: a PRNG key.
          sample_shape: their shape.
          dtype: their dtype, floating.

        Returns:
          An array of that shape and dtype.
        """
        return jax.random.gumbel(key, sample_shape, dtype)

    def log_prob(self, inputs: ArrayLike) -> jax.Array:
        """The logarithm of the density of each element.

        Args:
          inputs: real numbers of any shape.

        Returns:
          The same shape; integers give float32.
        """
        z = _as_floats(inputs)
        return -z - jnp.exp(-z)


@dataclass(frozen=True)
class Normal:
    """The standard normal distribution: log p(z) = - z^2 / 2 - log(2 pi) / 2.

    >>> Normal().log_prob(jnp.zeros(2))
    Array([-0.9189385, -0.9189385], dtype=float32)
    """

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Independent samples.

        Args:
          key: a PRNG key.
          sample_shape: their shape.
          dtype: their dtype, floating.

        Returns:
          An array of that shape and dtype.
        """
        return jax.random.normal(key, sample_shape, dtype)

    def log_prob(self, inputs: ArrayLike) -> jax.Array:
        """The logarithm of the density of each element.

        Args:
          inputs: real numbers of any shape.

        Returns:
          The same shape; integers give float32.
        """
        z = _as_floats(inputs)
        return -jnp.square(z) / 2 - math.log(2 * math.pi) / 2


def make_perturbed_fun(
    fun: Callable[[PyTree], PyTree],
    num_samples: int = 1000,
    sigma: float | jax.Array = 0.1,
    noise: Noise = Gumbel(),
    use_baseline: bool = True,
) -> Callable[[jax.Array, PyTree], PyTree]:
    """Smooth a function by noise, which makes it differentiable, however often, and whatever it is.

        perturbed(key, x) = 1/n sum_i fun(y_i),    y_i = x + sigma z_i,    z_i ~ p,    estimates E[fun(x + sigma z)]

    Its derivatives estimate those of the expectation, of every order and without bias. They are those of

        1/n sum_i w_i (fun(y_i) - b) + b,    w_i = p((y_i - x) / sigma) / sigma^d divided by its own value,

    where the y_i are held fixed, and b = fun(x) is, too: of `fun` only values are used, so that it may be an argmax.
    The baseline b reduces the variance, and costs no bias: w_i has expectation 1 at every x and sigma.

    Args:
      fun: maps a tree of floats to a tree of finite numbers (one-hot vectors, indices, scores ...). It may be
        differentiated by what else it depends on.
      num_samples: n, how many samples, >= 1.
      sigma: the scale of the noise, > 0. The result may be differentiated by it too.
      noise: `Gumbel()`, `Normal()`, or another object with `sample(key, sample_shape, dtype)` and `log_prob(inputs)`.
      use_baseline: whether to subtract b in the derivatives, at the price of one more evaluation of `fun`.

    Returns:
      The function `perturbed(key, x)`. The same key gives the same noise. It has the tree of `fun`, each leaf in its
      dtype, except that integers and booleans give float32. It computes in float32, or float64 if x is.

    Raises:
      TypeError: `noise` lacks a method, an argument is of the wrong kind, or a leaf of x is not floating.
      ValueError: `num_samples` or `sigma` is out of range.

    Reference:
      Berthet et al., "Learning with Differentiable Perturbed Optimizers", 2020, section 3.

    >>> def first_is_larger(x):
    ...     return jnp.float32(x[0] > x[1])
    >>> smooth = make_perturbed_fun(first_is_larger, 100, sigma=0.5)
    >>> jax.grad(smooth, argnums=1)(jax.random.key(0), jnp.array([0.0, 0.1])).shape
    (2,)
    """
    if not callable(fun):
        raise TypeError(f"fun must be a function, not {fun!r}")
    n = check_integer("num_samples", num_samples, least=1)
    check_hyperparameter("sigma", sigma, above=0)
    for method in ("sample", "log_prob"):
        if not callable(getattr(noise, method, None)):
            raise TypeError(
                f"noise must have sample(key, sample_shape, dtype) and log_prob(inputs), "
                f"but {noise!r} has no method {method}"
            )

    def perturbed(key: jax.Array, x: PyTree) -> PyTree:
        at = jax.tree_util.tree_map_with_path(_wide_leaf, x)
        fixed = jax.lax.stop_gradient(at)

        def evaluated(y: PyTree) -> PyTree:
            return fun(jax.tree.map(lambda leaf, given: leaf.astype(jnp.asarray(given).dtype), y, x))

        def sample(key: jax.Array) -> tuple[jax.Array, PyTree]:
            z = tree.random_like(key, fixed, noise.sample)
            scale = {leaf.dtype: jnp.asarray(sigma).astype(leaf.dtype) for leaf in jax.tree.leaves(z)}
            held = jax.lax.stop_gradient(scale)
            y = jax.tree.map(lambda a, c: a + held[c.dtype] * c, fixed, z)
            # (y - x) / sigma, without the rounding of y.
            led = jax.tree.map(lambda a, b, c: (held[c.dtype] * c + (b - a)) / scale[c.dtype], at, fixed, z)
            densities = [
                jnp.sum(noise.log_prob(leaf)) - leaf.size * jnp.log(scale[leaf.dtype]) for leaf in jax.tree.leaves(led)
            ]
            return _surplus(densities), evaluated(y)

        surplus, values = jax.vmap(sample)(jax.random.split(key, n))
        base = evaluated(fixed) if use_baseline else jax.tree.map(lambda v: jnp.zeros_like(v[0]), values)

        def estimate(f: jax.Array, b: Any) -> jax.Array:
            wide_f = widen(f)
            excess = wide_f - jnp.expand_dims(widen(b), 0)
            weights = jnp.expand_dims(surplus, tuple(range(1, f.ndim))).astype(excess.dtype)
            result = jnp.mean(wide_f, axis=0) + jnp.mean(weights * excess, axis=0)
            return result.astype(f.dtype) if jnp.issubdtype(f.dtype, jnp.inexact) else result

        return jax.tree.map(estimate, values, base)

    return perturbed


def _wide_leaf(path: tuple[Any, ...], leaf: Any) -> jax.Array:
    x = jnp.asarray(leaf)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"x{jax.tree_util.keystr(path)} must be floating to have noise added, its dtype is {x.dtype}")
    return widen(x)


def _surplus(densities: Sequence[jax.Array]) -> jax.Array:
    """w - 1, where w is a density divided by its own value: 0, but with derivatives."""
    if not densities:
        return jnp.zeros(())
    wide = max((d.dtype for d in densities), key=lambda dtype: dtype.itemsize)
    log = sum((d.astype(wide) for d in densities[1:]), densities[0].astype(wide))
    return jnp.expm1(log - jax.lax.stop_gradient(log))


def _as_floats(inputs: ArrayLike) -> jax.Array:
    x = jnp.asarray(inputs)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else widen(x)

"""The score function estimator, also called REINFORCE or likelihood ratio."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample, shapes

__all__ = ["score_function_jacobians"]


def score_function_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation that need no gradient of the function.

        J_i = function(x_i) grad log p(x_i; params),    x_i ~ p(x; params),    E[J_i] = grad E[function(x)]

    The samples may be discrete and the function discontinuous. The variance grows with the size of `function`;
    `leave_one_out_jacobians` takes a mean of it away first.

    Args:
      function: maps one sample to a real scalar; only called, never differentiated.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key. The samples are the same as those of `pathwise_jacobians` with this key.
      num_samples: how many samples, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, or `function` or `log_prob` is not scalar for one sample.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Mohamed et al., "Monte Carlo Gradient Estimation in Machine Learning", 2020, JMLR 21(132), section 4.
    """
    params = float_leaves(params)

    def jacobian(key: jax.Array) -> PyTree:
        return weighted(*value_and_score(function, params, dist_builder, key))

    return jax.vmap(jacobian)(keys(rng, num_samples))


def value_and_score(
    function: Callable[[Any], Any], params: PyTree, dist_builder: Callable[..., Distribution], key: jax.Array
) -> tuple[jax.Array, PyTree]:
    """The function of one sample x, and grad log p(x; params) in the dtypes of `params`."""
    x = jax.lax.stop_gradient(one_sample(build(dist_builder, params, "sample", "log_prob"), key))
    return cost(function, x), jax.grad(lambda p: log_prob(build(dist_builder, p), x))(params)


def log_prob(distribution: Distribution, sample: PyTree) -> jax.Array:
    """The logarithm of the density of one sample, a scalar."""
    value = jnp.asarray(distribution.log_prob(sample))
    if value.shape != ():
        raise ValueError(
            f"log_prob must be a scalar for one sample, here of shape {shapes(sample)}, got shape {value.shape} "
            "(independent components become one event with Independent in TensorFlow Probability and distrax)"
        )
    return value


def weighted(weight: jax.Array, tree: PyTree) -> PyTree:
    """A float32 or float64 scalar times a tree, each leaf multiplied at the wider precision and in its own dtype."""

    def times(leaf: jax.Array) -> jax.Array:
        dtype = max(weight.dtype, leaf.dtype, key=lambda d: d.itemsize)
        return (weight.astype(dtype) * leaf.astype(dtype)).astype(leaf.dtype)

    return jax.tree.map(times, tree)

"""Estimators for independent Bernoulli variables from pairs of opposite samples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample
from optax.estimators._families import by_family
from optax.estimators._noise import uniform

__all__ = ["arm_jacobians", "disarm_jacobians"]


def arm_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation over Bernoulli variables, without the function's gradient.

        J = (f(1[u > sigmoid(-phi)]) - f(1[u < sigmoid(phi)])) (u - 1/2),    u uniform on (0, 1)

    by the logits phi. All the variables are compared at once, whatever their number: two calls of `function` for each
    sample of u. `disarm_jacobians` has less variance at the same cost.

    Args:
      function: maps one sample, of the dtype that the distribution's own have, to a real scalar; only called.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli distribution of any shape.
      rng: a PRNG key. The pairs are the same as those of `disarm_jacobians` with this key.
      num_samples: how many pairs, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` is not scalar for one sample, or the distribution is no Bernoulli.
      TypeError: a leaf is not floating.

    Reference:
      Yin and Zhou, "ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks", ICLR 2019.
    """

    def weight(u: jax.Array, b: jax.Array, opposite: jax.Array, logits: jax.Array) -> jax.Array:
        return u - 0.5

    return _from_pairs(weight, function, params, dist_builder, rng, num_samples)


def disarm_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation over Bernoulli variables, without the function's gradient: ARM with less variance.

        J = (f(b) - f(b')) (b - b') sigmoid(|phi|) / 2,    b = 1[1 - u < sigmoid(phi)],  b' = 1[u < sigmoid(phi)]

    by the logits phi, with u uniform on (0, 1). It is the expectation of ARM given b and b', so it has the same mean
    and never more variance; where b and b' agree, it is 0. Two calls of `function` for each sample of u.

    Args:
      function: maps one sample, of the dtype that the distribution's own have, to a real scalar; only called.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli distribution of any shape.
      rng: a PRNG key. The pairs are the same as those of `arm_jacobians` with this key.
      num_samples: how many pairs, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` is not scalar for one sample, or the distribution is no Bernoulli.
      TypeError: a leaf is not floating.

    Reference:
      Dong, Mnih and Tucker, "DisARM: An Antithetic Gradient Estimator for Binary Latent Variables", NeurIPS 2020;
      the same as U2G of Yin, Ho, Yan, Qian and Zhou, "Probabilistic Best Subset Selection via Gradient-Based
      Optimization", 2020, arXiv:2006.06448.
    """

    def weight(u: jax.Array, b: jax.Array, opposite: jax.Array, logits: jax.Array) -> jax.Array:
        # What b and b' tell of u: it lies in (sigmoid(|phi|), 1) if b > b', in the mirror image of that if b < b',
        # and symmetrically about 1/2 if they agree. This is the mean of ARM's u - 1/2 there.
        return (b.astype(u.dtype) - opposite.astype(u.dtype)) * jax.nn.sigmoid(jnp.abs(logits)) / 2

    return _from_pairs(weight, function, params, dist_builder, rng, num_samples)


def _from_pairs(
    weight: Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array],
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """(f(b) - f(b')) weight(u, b, b', phi), where b is made of 1 - u as b' is of u."""
    params = float_leaves(params)
    each = keys(rng, num_samples)
    family, to_params = by_family(dist_builder, params, "bernoulli")
    logits = family.parameters["logits"]
    sample = jax.eval_shape(lambda key: one_sample(build(dist_builder, params), key), rng)

    def derivative(key: jax.Array) -> jax.Array:
        u = uniform(key, logits.shape, logits.dtype)
        p = jax.nn.sigmoid(logits)
        b, opposite = 1 - u < p, u < p
        f, g = (cost(function, x.astype(sample.dtype)) for x in (b, opposite))
        return (f - g) * weight(u, b, opposite, logits).astype(f.dtype)

    return to_params({"logits": jax.vmap(derivative)(each)})

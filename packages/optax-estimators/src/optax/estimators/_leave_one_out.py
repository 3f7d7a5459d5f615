"""The score function estimator with a baseline from the other samples: RLOO, and the one of least variance."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, widen
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import float_leaves, keys
from optax.estimators._score_function import value_and_score, weighted

__all__ = ["leave_one_out_jacobians", "optimal_baseline_jacobians"]


def leave_one_out_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation by the score function, less what the other samples let expect.

        J_i = (f(x_i) - mean_{j != i} f(x_j)) grad log p(x_i; params),    x_i ~ p(x; params),    f = function

    A sample is independent of the mean of the others, so E[J_i] = grad E[f(x)] still, and a number added to `function`
    changes nothing. The samples may be discrete and the function discontinuous. `function` is called as often as
    `score_function_jacobians` calls it. The mean is not always the best baseline, nor even better than none: then
    `optimal_baseline_jacobians` is.

    Args:
      function: maps one sample to a real scalar; only called, never differentiated.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key. The samples are the same as those of `score_function_jacobians` with this key.
      num_samples: how many samples, >= 2; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient. It is 0 exactly if `function` has one value at all samples.

    Raises:
      ValueError: there are fewer than 2 samples, or `function` or `log_prob` is not scalar for one sample.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Kool, van Hoof, Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", ICLR workshop 2019. Mnih, Rezende,
      "Variational Inference for Monte Carlo Objectives", ICML 2016, whose baselines it goes back to.
    """
    f, score = _values_and_scores(function, float_leaves(params), dist_builder, rng, num_samples)
    return jax.vmap(weighted)(_less_the_others(f), score)


def optimal_baseline_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation by the score function, less the constant that leaves the least variance.

        J_i = (f(x_i) - b_i) s_i,    b_i = sum_{j != i} f(x_j) s_j^2 / sum_{j != i} s_j^2,    s_i = grad log p(x_i)

    with f = function, x_i ~ p(x; params), and another b_i for every component of `params`, estimated from the other
    samples, so that E[J_i] = grad E[f(x)] still. Var(J) is a parabola in b with its lowest point at E[f s^2] / E[s^2]:
    with many samples there is no more variance than without a baseline, nor than with that of
    `leave_one_out_jacobians`, E[f]. With few, the estimated b_i add variance of their own.

    Args:
      function: maps one sample to a real scalar; only called, never differentiated.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key. The samples are the same as those of `score_function_jacobians` with this key.
      num_samples: how many samples, >= 2; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient. It is 0 exactly if `function` has one value at all samples.

    Raises:
      ValueError: there are fewer than 2 samples, or `function` or `log_prob` is not scalar for one sample.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Greensmith, Bartlett, Baxter, "Variance Reduction Techniques for Gradient Estimates in Reinforcement Learning",
      2004, JMLR 5; the baseline that a constant can be, here for each component and from the other samples.
    """
    f, score = _values_and_scores(function, float_leaves(params), dist_builder, rng, num_samples)
    d = f - f[:1]  # what all have in common cancels here, before it is rounded in a sum

    def less_the_best(leaf: jax.Array) -> jax.Array:
        s = widen(leaf)
        cost, weight = d.reshape(-1, *[1] * (s.ndim - 1)).astype(s.dtype), jnp.square(s)
        weights = _sum_of_others(weight)
        baseline = jnp.where(
            weights > 0,
            _sum_of_others(cost * weight) / jnp.where(weights > 0, weights, 1),
            _sum_of_others(cost) / (len(d) - 1),  # for want of weights, any constant will do that x_i has no part in
        )
        return ((cost - baseline) * s).astype(leaf.dtype)

    return jax.tree.map(less_the_best, score)


def _values_and_scores(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> tuple[jax.Array, PyTree]:
    """f(x_i) and grad log p(x_i), of at least two samples."""
    each = keys(rng, num_samples)
    if len(each) == 1:
        raise ValueError(
            f"num_samples must be >= 2, got {num_samples}: the baseline of a sample is a mean over the others "
            "(score_function_jacobians has none)"
        )
    return jax.vmap(lambda key: value_and_score(function, params, dist_builder, key))(each)


def _sum_of_others(x: jax.Array) -> jax.Array:
    """sum_{j != i} x_j along the first axis, without the subtraction in which x_i could drown the others."""
    before = jnp.cumsum(x, axis=0)
    after = jnp.flip(jnp.cumsum(jnp.flip(x, 0), axis=0), 0)
    none = jnp.zeros_like(x[:1])
    return jnp.concatenate([none, before[:-1]]) + jnp.concatenate([after[1:], none])


def _less_the_others(f: jax.Array) -> jax.Array:
    """f_i - mean_{j != i} f_j."""
    d = f - f[:1]  # what all have in common cancels here, before it is rounded in a sum
    return d - (jnp.sum(d, keepdims=True) - d) / (len(f) - 1)

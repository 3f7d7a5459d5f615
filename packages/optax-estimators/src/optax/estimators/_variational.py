"""Gradients for variational inference, whose objective depends on the parameters through the density as well."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree
from optax.estimators._differentiability import require_derivative
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample
from optax.estimators._leave_one_out import leave_one_out_jacobians
from optax.estimators._pathwise import require_reparameterised
from optax.estimators._score_function import log_prob

__all__ = ["dreg_jacobians", "sticking_the_landing_jacobians", "var_grad_jacobians"]


def var_grad_jacobians(
    target_log_prob: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of the negative ELBO, E_q[log q(x) - log p(x)], for any distribution: the log-variance loss.

        J_i = (f(x_i) - mean_{j != i} f(x_j)) grad log q(x_i; params),    f(x) = log q(x; params) - log p(x)

    The mean of J_i is the gradient of half the sample variance of f, with the samples held fixed. If p is q up to a
    constant, f is that constant, and every J_i is 0 but for rounding. The samples may be discrete.

    Args:
      target_log_prob: maps one sample to log p(x), a real scalar, up to a constant; only called, never differentiated.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns q, a `Distribution`.
      rng: a PRNG key. The samples are the same as those of `score_function_jacobians` with this key.
      num_samples: how many samples, >= 2; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are fewer than 2 samples, or a logarithm of a density is not scalar for one sample.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Richter, Boustati, Nuesken, Ruiz, Akyildiz, "VarGrad: A Low-Variance Gradient Estimator for Variational
      Inference", NeurIPS 2020.
    """
    params = float_leaves(params)
    # The score of f itself has expectation 0: what remains is the leave-one-out estimator of f as a fixed function.
    return leave_one_out_jacobians(
        _negative_elbo(target_log_prob, params, dist_builder), params, dist_builder, rng, num_samples
    )


def sticking_the_landing_jacobians(
    target_log_prob: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of the negative ELBO, E_q[log q(x) - log p(x)], through the samples alone.

        J_i = grad_params f(x(e_i; params)),    f(x) = log q(x; params held fixed) - log p(x)

    The derivative of log q by its own parameters, which has expectation 0, is left out. If p is q up to a constant, f
    is that constant, and every J_i is 0 but for rounding, where the plain derivative would still scatter.

    Args:
      target_log_prob: maps one sample to log p(x), a real scalar, up to a constant, differentiably.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns q, a `Distribution` whose samples follow its parameters
        and whose density has a derivative by the sample.
      rng: a PRNG key. The samples are the same as those of `pathwise_jacobians` with this key.
      num_samples: how many samples, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, a logarithm of a density is not scalar for one sample, that of the target has no
        derivative, or the distribution is not reparameterised.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Roeder, Wu, Duvenaud, "Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational
      Inference", NeurIPS 2017.
    """
    params = float_leaves(params)
    each = keys(rng, num_samples)
    _require_paths(target_log_prob, params, dist_builder, rng)
    f = _negative_elbo(target_log_prob, params, dist_builder)
    return jax.vmap(jax.grad(lambda p, key: f(one_sample(build(dist_builder, p), key))), in_axes=(None, 0))(
        params, each
    )


def dreg_jacobians(
    target_log_prob: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    num_particles: int = 8,
) -> PyTree:
    """Doubly reparameterised gradients of the negative importance-weighted bound, -E[log mean_k p(x_k) / q(x_k)].

        J_i = sum_k v_k^2 grad_params f(x_k(e_ik; params)),    f(x) = log q(x; params held fixed) - log p(x)
        v_k = exp(-f(x_k)) / sum_l exp(-f(x_l)),               K = num_particles samples x_k for each J_i

    The bound is at most log of the integral of p, and comes closer with K; at K = 1 it is the ELBO. Its plain gradient
    gets noisier relative to its size as K grows, this one does not. If p is q up to a constant, every J_i is 0 but for
    rounding.

    Args:
      target_log_prob: maps one sample to log p(x), a real scalar, up to a constant, differentiably.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns q, a `Distribution` whose samples follow its parameters
        and whose density has a derivative by the sample.
      rng: a PRNG key. The samples are those of `pathwise_jacobians` with this key and num_samples * num_particles of
        them, K in turn for each J_i; with one particle the result is that of `sticking_the_landing_jacobians`.
      num_samples: how many estimates, >= 1; static under `jit`.
      num_particles: how many samples each estimate weighs, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples or particles, a logarithm of a density is not scalar for one sample, that of the
        target has no derivative, or the distribution is not reparameterised.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Tucker, Lawson, Gu, Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives", ICLR 2019.
    """
    params = float_leaves(params)
    k = operator.index(num_particles)
    if k < 1:
        raise ValueError(f"num_particles must be >= 1, got {num_particles}")
    n = len(keys(rng, num_samples))
    each = keys(rng, n * k)
    each = each.reshape(n, k, *each.shape[1:])
    _require_paths(target_log_prob, params, dist_builder, rng)
    f = _negative_elbo(target_log_prob, params, dist_builder)

    def surrogate(p: PyTree, particles: jax.Array) -> jax.Array:
        values = jax.vmap(lambda key: f(one_sample(build(dist_builder, p), key)))(particles)
        v = jax.lax.stop_gradient(jax.nn.softmax(-values))
        return jnp.sum(jnp.square(v) * values)

    return jax.vmap(jax.grad(surrogate), in_axes=(None, 0))(params, each)


def _negative_elbo(
    target_log_prob: Callable[[Any], Any], params: PyTree, dist_builder: Callable[..., Distribution]
) -> Callable[[Any], jax.Array]:
    """log q(x; params) - log p(x) as a function of one sample, in which q is fixed."""

    def f(x: PyTree) -> jax.Array:
        q = cost(lambda x: log_prob(build(dist_builder, params, "sample", "log_prob"), x), x)
        p = cost(target_log_prob, x, "target_log_prob")
        dtype = max(q.dtype, p.dtype, key=lambda d: d.itemsize)
        return q.astype(dtype) - p.astype(dtype)

    return f


def _require_paths(
    target_log_prob: Callable[[Any], Any], params: PyTree, dist_builder: Callable[..., Distribution], rng: jax.Array
) -> None:
    """Raise unless the samples follow the parameters and the target has a derivative by them."""
    build(dist_builder, params, "sample", "log_prob")
    try:
        require_reparameterised(dist_builder, params, rng)
    except ValueError as error:
        error.add_note("For this objective: var_grad_jacobians.")
        raise
    sample = jax.eval_shape(lambda key: one_sample(build(dist_builder, params), key), rng)

    require_derivative(
        "target_log_prob",
        lambda x: cost(target_log_prob, x, "target_log_prob"),
        sample,
        "pathwise gradients would be wrong, use var_grad_jacobians",
    )

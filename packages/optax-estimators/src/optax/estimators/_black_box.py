"""Gradients of a function from its values, or from derivatives along random directions, without reverse mode."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_hyperparameter, widen
from optax.estimators._differentiability import depends
from optax.estimators._expectation import keys
from optax.estimators._score_function import weighted

__all__ = ["evolution_strategy_jacobians", "forward_gradient_jacobians", "spsa_jacobians"]


def evolution_strategy_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    rng: jax.Array,
    num_samples: int,
    *,
    sigma: float = 0.1,
    antithetic: bool = True,
) -> PyTree:
    """Gradients of a function smoothed by Gaussian noise, from its values: an evolution strategy.

        J_i = (f(p + sigma e_i) - f(p - sigma e_i)) / (2 sigma) e_i    if antithetic
        J_i = (f(p + sigma e_i) - f(p)) / sigma e_i                    otherwise
        e_i ~ N(0, I),    E[J_i] = grad E[f(p + sigma e)],    f = function, p = params

    It is the score function estimator for `multi_normal(p, log(sigma))` and the mean, with a baseline that makes its
    variance finite as sigma goes to 0. The smoothed function has a gradient even where `function` has steps; the
    gradient of a quadratic is not changed by smoothing, others are by O(sigma^2). The variance grows with the number
    of parameters.

    Args:
      function: maps a tree like `params` to a real scalar; only called, never differentiated.
      params: any tree of floats; where the gradient is wanted.
      rng: a PRNG key.
      num_samples: how many directions, >= 1; static under `jit`.
      sigma: the standard deviation of the noise, > 0. The perturbed parameters are rounded to their dtype: narrow ones
        need a sigma well above the distance of neighbouring numbers.
      antithetic: whether to look in both directions, with 2 calls of `function` for each sample; else 1, and 1 in all.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient; `mean_gradient` computes it without all the samples in memory.

    Raises:
      ValueError: there are no samples, `function` is not scalar, or `sigma` is not positive.
      TypeError: a leaf is not floating, or `function` or `sigma` is not real.

    Reference:
      Nesterov, Spokoiny, "Random Gradient-Free Minimization of Convex Functions", 2017, Found. Comput. Math. 17.
      Salimans, Ho, Chen, Sidor, Sutskever, "Evolution Strategies as a Scalable Alternative to Reinforcement Learning",
      2017, arXiv:1703.03864.
    """
    check_hyperparameter("sigma", sigma, above=0)
    params = _float_leaves(params)
    each = keys(rng, num_samples)
    here = None if antithetic else _value(function, params)

    def jacobian(key: jax.Array) -> PyTree:
        e = _directions(jax.random.normal, key, params)
        ahead = _value(function, _moved(params, sigma, e))
        behind = _value(function, _moved(params, -sigma, e)) if here is None else here
        return _along((ahead - behind) / _scalar(2 * sigma if here is None else sigma, ahead), e, params)

    return jax.vmap(jacobian)(each)


def spsa_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    rng: jax.Array,
    num_samples: int,
    *,
    perturbation: float = 1e-2,
) -> PyTree:
    """Gradients of a function by simultaneous perturbation of all its parameters, from two values each.

        J_i = (f(p + c d_i) - f(p - c d_i)) / (2 c d_i),    d_i of independent signs

    where f = function, p = params, c = perturbation, and every component is divided by its own sign, +1 or
    -1. The expectation is the gradient of f up to O(c^2), and exactly that for a quadratic.

    Args:
      function: maps a tree like `params` to a real scalar; only called, never differentiated.
      params: any tree of floats; where the gradient is wanted.
      rng: a PRNG key.
      num_samples: how many directions, >= 1; static under `jit`. `function` is called twice for each.
      perturbation: the step c, > 0. Small ones lose digits in the difference, large ones curvature. The perturbed
        parameters are rounded to their dtype: narrow ones need a step above the distance of neighbouring numbers.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient; `mean_gradient` computes it without all the samples in memory.

    Raises:
      ValueError: there are no samples, `function` is not scalar, or `perturbation` is not positive.
      TypeError: a leaf is not floating, or `function` or `perturbation` is not real.

    Reference:
      Spall, "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation", 1992,
      IEEE Trans. Autom. Control 37(3).
    """
    check_hyperparameter("perturbation", perturbation, above=0)
    params = _float_leaves(params)

    def jacobian(key: jax.Array) -> PyTree:
        d = _directions(jax.random.rademacher, key, params)
        ahead = _value(function, _moved(params, perturbation, d))
        behind = _value(function, _moved(params, -perturbation, d))
        return _along((ahead - behind) / _scalar(2 * perturbation, ahead), d, params)  # 1 / d is d for a sign

    return jax.vmap(jacobian)(keys(rng, num_samples))


def forward_gradient_jacobians(
    function: Callable[[Any], Any], params: PyTree, rng: jax.Array, num_samples: int
) -> PyTree:
    """Gradients of a function from its derivatives along random directions, which need no reverse mode.

        J_i = (grad f(p) . v_i) v_i,    v_i ~ N(0, I),    E[J_i] = grad f(p),    f = function, p = params

    Nothing is kept for a backward pass, and loops without a fixed length can be differentiated. The variance of a
    component is the square of the gradient's norm and that of the component itself.

    Args:
      function: maps a tree like `params` to a real scalar, differentiably in forward mode.
      params: any tree of floats; where the gradient is wanted.
      rng: a PRNG key.
      num_samples: how many directions, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient; `mean_gradient` computes it without all the samples in memory.

    Raises:
      ValueError: there are no samples, or `function` is not scalar or has no derivative.
      TypeError: a leaf is not floating, or `function` is not real.

    Reference:
      Baydin, Pearlmutter, Syme, Wood, Torr, "Gradients without Backpropagation", 2022, arXiv:2202.08587.
    """
    params = _float_leaves(params)
    each = keys(rng, num_samples)

    def derivative(v: PyTree) -> jax.Array:
        along = jax.tree.map(lambda e, p: e.astype(p.dtype), v, params)
        slope: jax.Array = jax.jvp(lambda p: _value(function, p), (params,), (along,))[1]
        return slope

    if depends(lambda p: _value(function, p), params) and not depends(derivative, params):
        raise ValueError(
            "the derivative of function is zero everywhere (is it a comparison, a rounding, an integer?); "
            "use evolution_strategy_jacobians"
        )

    def jacobian(key: jax.Array) -> PyTree:
        v = _directions(jax.random.normal, key, params)
        return _along(derivative(v), v, params)

    return jax.vmap(jacobian)(each)


def _float_leaves(params: PyTree) -> PyTree:
    """The parameters, here any tree, with floating arrays for leaves."""

    def as_array(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        x = jnp.asarray(leaf)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"params{jax.tree_util.keystr(path)} has dtype {x.dtype}, and there is no gradient by it: give floats, "
                "or bind it to function beforehand"
            )
        return x.astype(x.dtype)  # strongly typed

    return jax.tree_util.tree_map_with_path(as_array, params)


def _value(function: Callable[[Any], Any], params: PyTree) -> jax.Array:
    """The function at `params`, in float32 or float64."""
    value = jnp.asarray(function(params))
    if value.shape != ():
        raise ValueError(f"function must map a tree like params to a scalar, got shape {value.shape}")
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise TypeError(f"function must return a real number, got dtype {value.dtype}")
    return widen(value.astype(jnp.float32) if not jnp.issubdtype(value.dtype, jnp.floating) else value)


def _directions(draw: Callable[..., jax.Array], key: jax.Array, params: PyTree) -> PyTree:
    """Independent random numbers in the shapes of `params`, in float32 or float64."""
    leaves, structure = jax.tree.flatten(params)
    each = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(structure, [draw(k, p.shape, widen(p).dtype) for k, p in zip(each, leaves, strict=True)])


def _moved(params: PyTree, step: Any, direction: PyTree) -> PyTree:
    """params + step * direction, computed in the precision of the direction, in the dtypes of `params`."""
    return jax.tree.map(lambda p, e: (p.astype(e.dtype) + _scalar(step, e) * e).astype(p.dtype), params, direction)


def _along(slope: jax.Array, direction: PyTree, params: PyTree) -> PyTree:
    """slope * direction, in the dtypes of `params`."""
    return jax.tree.map(lambda j, p: j.astype(p.dtype), weighted(slope, direction), params)


def _scalar(x: Any, like: jax.Array) -> jax.Array:
    return jnp.asarray(x).astype(like.dtype)

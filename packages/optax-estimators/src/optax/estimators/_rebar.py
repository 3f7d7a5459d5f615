"""Unbiased estimators for discrete variables with a differentiable control variate."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import PyTree, check_hyperparameter
from optax.estimators._differentiability import require_derivative
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import cost, float_leaves, keys
from optax.estimators._noise import gumbel, logistic
from optax.estimators._relaxed import Choice, choice, sigmoid, softmax

__all__ = ["rebar_jacobians", "relax_jacobians"]


def rebar_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    temperature: ArrayLike = 0.5,
    eta: ArrayLike = 1.0,
) -> PyTree:
    """Unbiased gradients of an expectation over discrete variables, with the relaxed function as control variate.

    This is `relax_jacobians` with the control variate

        c(z) = eta f(softmax(z / temperature))        for Bernoulli variables, eta f(sigmoid(z / temperature))

    The mean is the gradient for every eta and temperature, and the variance depends on them. Both may be traced, so
    that a loop can tune them: descend the gradient of the mean square,
    `jax.grad(lambda eta: jnp.mean(jnp.square(rebar_jacobians(..., eta=eta)[0])))`.

    Args:
      function: maps one sample to a real scalar, differentiably, also between the values that samples take; it is
        called twice for each sample.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli or one-hot categorical distribution.
      rng: a PRNG key.
      num_samples: how many samples, >= 1; static under `jit`.
      temperature: > 0, a number or a scalar array.
      eta: how much of the control variate, a number or a scalar array; 0 is the score function estimator.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, the temperature is not positive, `function` is not scalar for one sample or has
        no derivative, or the distribution is of another family.
      TypeError: a leaf is not floating.

    Reference:
      Tucker, Mnih, Maddison, Lawson and Sohl-Dickstein, "REBAR: Low-variance, Unbiased Gradient Estimates for Discrete
      Latent Variable Models", NeurIPS 2017.
    """
    check_hyperparameter("temperature", temperature, above=0.0)
    check_hyperparameter("eta", eta)
    params = float_leaves(params)
    chosen = choice(dist_builder, params, rng)

    def control_variate(z: jax.Array) -> jax.Array:
        soft = sigmoid(z, temperature) if chosen.binary else softmax(z, temperature, -1)
        value = cost(function, soft.astype(chosen.relaxed_dtype))
        return jnp.asarray(eta).astype(value.dtype) * value

    require_derivative(
        "function",
        lambda x: cost(function, x),
        chosen.logits.astype(chosen.relaxed_dtype),
        "so there is no control variate in it, use disarm_jacobians or relax_jacobians",
    )
    return _relax(function, control_variate, chosen, rng, num_samples)


def relax_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    control_variate: Callable[[jax.Array], Any],
) -> PyTree:
    """Unbiased gradients of an expectation over discrete variables, with any differentiable control variate.

        J = (f(b) - c(z~)) grad log p(b) + grad c(z) - grad c(z~)

    where z is the logits plus Gumbel noise (logistic noise for Bernoulli variables), b the discrete sample that z
    leads to, and z~ a second sample of z given b. The noise of z~ is chosen so that its value is that of z: only their
    derivatives differ, and `control_variate` is evaluated once. The mean is the gradient for every c. The variance is
    small where c(z) is close to f(b); c may use traced parameters, so that a loop can tune them: descend the gradient
    of `jnp.mean(jnp.square(...))` of what this returns.

    Args:
      function: maps one sample to a real scalar; only called, once for each sample.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli or one-hot categorical distribution.
      rng: a PRNG key. The samples are the same as those of `rebar_jacobians` with this key.
      num_samples: how many samples, >= 1; static under `jit`.
      control_variate: c, maps z, of the shape of one sample and in float32 or float64, to a real scalar,
        differentiably.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` or `control_variate` is not scalar for one sample, `control_variate`
        has no derivative, or the distribution is of another family.
      TypeError: a leaf is not floating.

    Reference:
      Grathwohl, Choi, Wu, Roeder and Duvenaud, "Backpropagation through the Void: Optimizing control variates for
      black-box gradient estimation", ICLR 2018.
    """
    params = float_leaves(params)
    chosen = choice(dist_builder, params, rng)

    def scalar(z: jax.Array) -> jax.Array:
        return cost(control_variate, z, "control_variate")

    require_derivative("control_variate", scalar, chosen.logits, "without one the estimate would be biased")
    return _relax(function, scalar, chosen, rng, num_samples)


def _relax(
    function: Callable[[Any], Any],
    control_variate: Callable[[jax.Array], jax.Array],
    chosen: Choice,
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """J for each sample, by the derivatives of z and z~ at z~ = z worked out by hand.

    Writing z~ by its own noise E, as `conditional_gumbels` does, fixing E and putting in the E for which z~ = z gives

        dz~_j / dlogits_k = (1 - r_j) [j = k] + r_j p_k,    r_j = exp(z_j - max z),    p = softmax(logits)

    and dz_j / dlogits_k = [j = k]. No noise is solved for, and nothing overflows. A Bernoulli variable is the case of
    two classes with logits (theta, 0), of which only the difference of the two components of z matters.
    """
    logits = chosen.logits

    def of_bernoulli(key: jax.Array) -> jax.Array:
        z = logits + logistic(key, logits.shape, logits.dtype)
        b = (z > 0).astype(z.dtype)
        gap, slope = difference(b, z)
        sign = 2 * b - 1
        of_b, of_other = jax.nn.sigmoid(sign * logits), jax.nn.sigmoid(-sign * logits)
        return gap * sign * of_other + slope * (of_other + of_b * jnp.exp(-jnp.abs(z)))

    def of_one_hot(key: jax.Array) -> jax.Array:
        z = logits + gumbel(key, logits.shape, logits.dtype)
        b = jax.nn.one_hot(jnp.argmax(z, axis=-1), z.shape[-1], dtype=z.dtype)
        gap, slope = difference(b, z)
        terms = gap * b + slope * jnp.exp(z - jnp.max(z, axis=-1, keepdims=True))
        return terms - jax.nn.softmax(logits, axis=-1) * jnp.sum(terms, axis=-1, keepdims=True)

    def difference(b: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        """f(b) - c(z), and the derivative of c."""
        c, slope = jax.value_and_grad(control_variate)(z)
        f = cost(function, b.astype(chosen.dtype))
        wide = jnp.promote_types(f.dtype, c.dtype)
        return (f.astype(wide) - c.astype(wide)).astype(z.dtype), slope

    return chosen.to_params(jax.vmap(of_bernoulli if chosen.binary else of_one_hot)(keys(rng, num_samples)))

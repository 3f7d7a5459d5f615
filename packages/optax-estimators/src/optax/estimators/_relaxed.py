"""Samples of discrete variables that derivatives pass through, and the biased estimators made of them."""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import PyTree, check_hyperparameter, widen
from optax.estimators._differentiability import require_derivative
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample
from optax.estimators._families import by_family
from optax.estimators._noise import exponential, gumbel, logistic

__all__ = [
    "binary_concrete",
    "gumbel_rao",
    "gumbel_rao_jacobians",
    "gumbel_softmax",
    "gumbel_softmax_jacobians",
    "straight_through",
    "straight_through_jacobians",
]


def straight_through(hard: ArrayLike, soft: ArrayLike) -> jax.Array:
    """The value of one array with the derivative of another.

    Args:
      hard: the value; booleans, integers, or floats of the dtype of `soft`. Derivatives do not reach it.
      soft: what derivatives are passed on to, finite floats in the shape of `hard`.

    Returns:
      `hard`, exactly, in the dtype of `soft`.

    Raises:
      ValueError: the shapes differ.
      TypeError: `soft` is not floating, or `hard` has another inexact dtype.

    Reference:
      Bengio, Leonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
      Computation", 2013, arXiv:1308.3432.

    >>> jax.value_and_grad(lambda x: straight_through(x > 0, jax.nn.sigmoid(x)))(jnp.float32(0))
    (Array(0., dtype=float32), Array(0.25, dtype=float32))
    """
    value, through = jnp.asarray(hard), _floating("soft", soft)
    if value.shape != through.shape:
        raise ValueError(f"hard and soft must have the same shape, got {value.shape} and {through.shape}")
    if jnp.issubdtype(value.dtype, jnp.inexact) and value.dtype != through.dtype:
        raise TypeError(f"hard must have the dtype of soft, {through.dtype}, or be integer, got {value.dtype}")
    # In this order the rounding of the sum cancels: the second term is exactly 0.
    return jax.lax.stop_gradient(value.astype(through.dtype)) + (through - jax.lax.stop_gradient(through))


def gumbel_softmax(
    logits: ArrayLike, rng: jax.Array, *, temperature: ArrayLike = 1.0, hard: bool = False, axis: int = -1
) -> jax.Array:
    """Categorical samples that follow the logits differentiably.

        y = softmax((logits + g) / temperature),    g independent Gumbel noise

    which tends to one-hot samples of the categorical distribution as the temperature tends to 0, while the variance of
    its derivative grows. With `hard` the value is that one-hot sample, for which logits + g is largest, and only the
    derivative is that of y. Derivatives of expectations are biased either way.

    Args:
      logits: floats with the classes along `axis`; every other index has a sample of its own. May be -inf.
      rng: a PRNG key.
      temperature: > 0, a number or a scalar array.
      hard: whether to return one-hot samples.
      axis: the axis of the classes.

    Returns:
      Samples of the shape and dtype of `logits`, computed in float32 or wider; they sum to 1 along `axis`.

    Raises:
      ValueError: the temperature is not positive, or there is no such axis.
      TypeError: the logits are not floating.

    Reference:
      Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017; Maddison, Mnih and Teh,
      "The Concrete Distribution", ICLR 2017.

    >>> gumbel_softmax(jnp.zeros(3), jax.random.key(0), hard=True).sum()
    Array(1., dtype=float32)
    """
    check_hyperparameter("temperature", temperature, above=0.0)
    theta, dtype = _classes(logits, axis), jnp.asarray(logits).dtype
    z = theta + gumbel(rng, theta.shape, theta.dtype)
    soft = softmax(z, temperature, axis)
    return straight_through(_largest(z, axis), soft).astype(dtype) if hard else soft.astype(dtype)


def binary_concrete(
    logits: ArrayLike, rng: jax.Array, *, temperature: ArrayLike = 1.0, hard: bool = False
) -> jax.Array:
    """Bernoulli samples that follow the logits differentiably: `gumbel_softmax` of two classes.

        y = sigmoid((logits + g) / temperature),    g independent logistic noise

    With `hard` the value is 1 where y > 1/2 and else 0, and only the derivative is that of y.

    Args:
      logits: floats of any shape, log(p / (1 - p)) of independent variables; may be infinite.
      rng: a PRNG key.
      temperature: > 0, a number or a scalar array.
      hard: whether to return samples that are 0 and 1.

    Returns:
      Samples of the shape and dtype of `logits`, computed in float32 or wider.

    Raises:
      ValueError: the temperature is not positive.
      TypeError: the logits are not floating.

    Reference:
      Maddison, Mnih and Teh, "The Concrete Distribution", ICLR 2017.
    """
    check_hyperparameter("temperature", temperature, above=0.0)
    x = _floating("logits", logits)
    theta = finite(widen(x))
    z = theta + logistic(rng, theta.shape, theta.dtype)
    soft = sigmoid(z, temperature)
    return (straight_through(z > 0, soft) if hard else soft).astype(x.dtype)


def gumbel_rao(
    logits: ArrayLike, rng: jax.Array, *, temperature: ArrayLike = 1.0, num_samples: int = 10, axis: int = -1
) -> jax.Array:
    """One-hot samples whose derivative is that of `gumbel_softmax`, averaged over noise that leads to the same sample.

        value: D, one-hot where logits + g is largest
        derivative: (1 / K) sum_k d softmax((logits + g_k) / temperature) / d logits,    g_k ~ g given D

    The function of the sample is evaluated once, whatever K. With K = 1 this is `gumbel_softmax(..., hard=True)` of
    the same key; a larger K lowers the variance and leaves the mean, and so the bias, as it is.

    Args:
      logits: floats with the classes along `axis`; every other index has a sample of its own. May be -inf.
      rng: a PRNG key.
      temperature: > 0, a number or a scalar array.
      num_samples: K, >= 1; the memory grows with it.
      axis: the axis of the classes.

    Returns:
      One-hot samples of the shape and dtype of `logits`.

    Raises:
      ValueError: the temperature or `num_samples` is not positive, or there is no such axis.
      TypeError: the logits are not floating.

    Reference:
      Paulus, Maddison and Krause, "Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator",
      ICLR 2021.
    """
    check_hyperparameter("temperature", temperature, above=0.0)
    k = operator.index(num_samples)
    if k < 1:
        raise ValueError(f"num_samples must be >= 1, got {num_samples}")
    theta, dtype = jnp.moveaxis(_classes(logits, axis), axis, -1), jnp.asarray(logits).dtype
    first = theta + jnp.moveaxis(gumbel(rng, jnp.shape(logits), theta.dtype), axis, -1)
    hard = _largest(first, -1)
    # The first noise is itself distributed as noise given the sample it led to; only K - 1 more is drawn.
    more = exponential(jax.random.fold_in(rng, 1), (k - 1, *theta.shape), theta.dtype)
    others = jax.vmap(conditional_gumbels, in_axes=(None, None, 0))(theta, hard, more)
    z = jax.lax.stop_gradient(jnp.concatenate([first[None], others]))
    # The noise is held fixed and the logits move, as in the estimator of which this is the conditional mean.
    moved = z + jnp.broadcast_to(theta - jax.lax.stop_gradient(theta), z.shape)
    soft = jnp.mean(softmax(moved, temperature, -1), axis=0)
    return jnp.moveaxis(straight_through(hard, soft), -1, axis).astype(dtype)


def straight_through_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Gradients of an expectation over discrete variables as if each sample were its mean; biased.

        J_i = grad f(b_i) dp / d params,    b_i ~ p

    where p are the probabilities. The bias is 0 if f is linear, and for independent Bernoulli variables if it is
    linear in each of them; it does not shrink with more samples. `rebar_jacobians` has none.

    Args:
      function: maps one sample to a real scalar, differentiably, also between the values that samples take; it gets
        floats, even if the samples of the distribution are integers.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli or one-hot categorical distribution.
      rng: a PRNG key. The samples are the same as those of `score_function_jacobians` with this key.
      num_samples: how many samples, >= 1; static under `jit`.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, `function` is not scalar for one sample or has no derivative, or the
        distribution is of another family.
      TypeError: a leaf is not floating.

    Reference:
      Bengio, Leonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
      Computation", 2013, arXiv:1308.3432.
    """

    def relaxed(choice: Choice, key: jax.Array) -> jax.Array:
        hard = one_sample(build(dist_builder, params), key)
        soft = sigmoid(choice.logits, 1.0) if choice.binary else softmax(choice.logits, 1.0, -1)
        return straight_through(hard.astype(soft.dtype), soft)

    return _through(relaxed, function, params, dist_builder, rng, num_samples)


def gumbel_softmax_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    temperature: ArrayLike = 1.0,
    hard: bool = True,
) -> PyTree:
    """Gradients of an expectation over discrete variables through relaxed samples; biased.

        J_i = grad f(b_i) dy_i / d params,    y_i = softmax((logits + g_i) / temperature)

    where b_i is the one-hot sample at the largest component of y_i if `hard`, else y_i itself. A lower temperature has
    less bias and more variance; the bias does not shrink with more samples. `rebar_jacobians` has none.

    Args:
      function: maps one sample to a real scalar, differentiably, also between the values that samples take; it gets
        floats, even if the samples of the distribution are integers.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli or one-hot categorical distribution.
      rng: a PRNG key.
      num_samples: how many samples, >= 1; static under `jit`.
      temperature: > 0, a number or a scalar array.
      hard: whether `function` gets discrete samples.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, the temperature is not positive, `function` is not scalar for one sample or has
        no derivative, or the distribution is of another family.
      TypeError: a leaf is not floating.

    Reference:
      Jang, Gu and Poole, "Categorical Reparameterization with Gumbel-Softmax", ICLR 2017.
    """

    def relaxed(choice: Choice, key: jax.Array) -> jax.Array:
        relax = binary_concrete if choice.binary else gumbel_softmax
        return relax(choice.logits, key, temperature=temperature, hard=hard)

    return _through(relaxed, function, params, dist_builder, rng, num_samples)


def gumbel_rao_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    temperature: ArrayLike = 1.0,
    num_rao: int = 10,
) -> PyTree:
    """Gradients of an expectation over discrete variables: `gumbel_softmax_jacobians` with less variance; biased.

        J_i = grad f(b_i) (1 / K) sum_k dy_ik / d params,    y_ik = softmax((logits + g_ik) / temperature)

    where the K draws g_ik of the noise all lead to the sample b_i. The bias is that of `gumbel_softmax_jacobians` at
    this temperature; a lower one is affordable here. Each sample costs one call of `function`.

    Args:
      function: maps one sample to a real scalar, differentiably, also between the values that samples take; it gets
        floats, even if the samples of the distribution are integers.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a Bernoulli or one-hot categorical distribution.
      rng: a PRNG key.
      num_samples: how many samples, >= 1; static under `jit`.
      temperature: > 0, a number or a scalar array.
      num_rao: K, >= 1.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: there are no samples, the temperature or `num_rao` is not positive, `function` is not scalar for one
        sample or has no derivative, or the distribution is of another family.
      TypeError: a leaf is not floating.

    Reference:
      Paulus, Maddison and Krause, "Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator",
      ICLR 2021.
    """
    k = operator.index(num_rao)
    if k < 1:
        raise ValueError(f"num_rao must be >= 1, got {num_rao}")

    def relaxed(choice: Choice, key: jax.Array) -> jax.Array:
        # A Bernoulli variable is the indicator of the first of two classes.
        logits = jnp.stack([choice.logits, jnp.zeros_like(choice.logits)], -1) if choice.binary else choice.logits
        samples = gumbel_rao(logits, key, temperature=temperature, num_samples=k)
        return samples[..., 0] if choice.binary else samples

    return _through(relaxed, function, params, dist_builder, rng, num_samples)


class Choice(NamedTuple):
    """Discrete variables with float samples, and how to get from their logits to the parameters.

    Attributes:
      binary: whether the variables are Bernoulli; else one-hot categorical along the last axis.
      logits: finite, float32 or float64, of the shape of one sample.
      dtype: the dtype of the samples.
      relaxed_dtype: a floating one for what lies between them: that of the samples, or of the logits if they are
        integers.
      to_params: maps derivatives by the logits, (n, *logits.shape), to the tree of parameters.
    """

    binary: bool
    logits: jax.Array
    dtype: Any
    relaxed_dtype: Any
    to_params: Callable[[jax.Array], PyTree]


def choice(dist_builder: Callable[..., Distribution], params: PyTree, rng: jax.Array) -> Choice:
    """The discrete variables at `params`; ValueError unless they are Bernoulli or one-hot."""
    family, to_params = by_family(dist_builder, params)
    if family.name not in ("bernoulli", "one_hot"):
        instead = "build one whose samples are one-hot, such as categorical(logits) or OneHotCategorical"
        raise ValueError(
            "dist_builder must return a Bernoulli or one-hot categorical distribution, got a distribution of the "
            f"family {family.name}; {instead if family.name == 'categorical' else 'use score_function_jacobians'}"
        )
    sample = jax.eval_shape(lambda key: one_sample(build(dist_builder, params), key), rng)
    logits = finite(family.parameters["logits"])
    return Choice(
        family.name == "bernoulli",
        logits,
        sample.dtype,
        sample.dtype if jnp.issubdtype(sample.dtype, jnp.floating) else logits.dtype,
        lambda derivatives: to_params({"logits": derivatives}),
    )


def conditional_gumbels(theta: jax.Array, hard: jax.Array, exponentials: jax.Array) -> jax.Array:
    """theta + Gumbel noise, given that it is largest where the one-hot `hard` says, along the last axis.

    With E the exponentials, Z = sum_j exp(theta_j) and i the given class,

        z_i = log Z - log E_i,    z_j = -log(E_j exp(-theta_j) + E_i / Z)

    which is differentiable by theta at fixed E.
    """
    log_z = jax.nn.logsumexp(theta, axis=-1, keepdims=True)
    log_e = jnp.log(exponentials)
    given = jnp.sum(jnp.where(hard > 0, log_e, 0), axis=-1, keepdims=True) - log_z
    return -jnp.where(hard > 0, given, jnp.logaddexp(log_e - theta, given))


def softmax(z: jax.Array, temperature: ArrayLike, axis: int) -> jax.Array:
    """softmax(z / temperature); the largest goes first, so that no temperature is too low."""
    largest = jax.lax.stop_gradient(jnp.max(z, axis=axis, keepdims=True))
    return jax.nn.softmax((z - largest) / jnp.asarray(temperature).astype(z.dtype), axis=axis)


def sigmoid(z: jax.Array, temperature: ArrayLike) -> jax.Array:
    """sigmoid(z / temperature)."""
    return jax.nn.sigmoid(z / jnp.asarray(temperature).astype(z.dtype))


def finite(logits: jax.Array) -> jax.Array:
    """Logits with a large number for infinity: the same probabilities, and no NaN in differences."""
    return jnp.clip(logits, -1e30, 1e30)


def _through(
    relaxed: Callable[[Choice, jax.Array], jax.Array],
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
) -> PyTree:
    """Derivatives of f(relaxed(logits, key)), one for each key."""
    params = float_leaves(params)
    each = keys(rng, num_samples)
    chosen = choice(dist_builder, params, rng)

    def value(logits: jax.Array, key: jax.Array) -> jax.Array:
        return cost(function, relaxed(chosen._replace(logits=logits), key).astype(chosen.relaxed_dtype))

    require_derivative(
        "function",
        lambda x: cost(function, x),
        chosen.logits.astype(chosen.relaxed_dtype),
        "gradients through samples would be zero and wrong, use score_function_jacobians or disarm_jacobians",
    )
    return chosen.to_params(jax.vmap(jax.grad(value), in_axes=(None, 0))(chosen.logits, each))


def _classes(logits: ArrayLike, axis: int) -> jax.Array:
    """Logits along `axis`, finite and in float32 or wider."""
    x = _floating("logits", logits)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"logits must have the classes along axis {axis}, got shape {x.shape}")
    return finite(widen(x))


def _largest(z: jax.Array, axis: int) -> jax.Array:
    """One-hot where z is largest."""
    return jax.nn.one_hot(jnp.argmax(z, axis=axis), z.shape[axis], dtype=z.dtype, axis=axis)


def _floating(name: str, x: ArrayLike) -> jax.Array:
    array = jnp.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating, since derivatives are passed on to it, got dtype {array.dtype}")
    return array

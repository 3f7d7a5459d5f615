"""Traces and diagonals of matrices that can only be multiplied with, from random vectors, with their uncertainty."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_integer, safe_sqrt, tree
from optax.second_order._inputs import examples, float_leaves
from optax.second_order._operator import LinearOperator, product

__all__ = ["Estimate", "hutch_plus_plus_trace", "hutchinson_diag", "hutchinson_trace", "monte_carlo_fisher_diag"]


class Estimate(NamedTuple):
    """What was estimated from random samples.

    Attributes:
      value: the estimate: a scalar, or a tree like the parameters; float32, or float64 if a parameter is.
      standard_error: the estimated standard deviation of `value`, in its structure; infinity from a single sample.
    """

    value: Any
    standard_error: Any


def hutchinson_trace(
    matvec: Callable[[PyTree], PyTree],
    params: PyTree,
    rng: jax.Array,
    num_samples: int,
    *,
    distribution: str = "rademacher",
) -> Estimate:
    """The trace of a matrix A, estimated from products with random vectors.

        mean of z_s . A z_s,    E[z z'] = I

    The variance of one term is 2 sum_{i != j} A_ij^2 for "rademacher" (so that diagonal matrices come out exactly)
    and 2 sum_ij A_ij^2 for "normal". Memory is that of a few trees, whatever `num_samples`.

    Args:
      matvec: maps v, a tree like `params` in its dtypes, to A v; A is symmetric. For the Hessian of a loss:
        `lambda v: hvp(loss, v, params, inputs, targets)`.
      params: tree of real floating arrays (or of their shapes and dtypes); only the form counts.
      rng: a PRNG key.
      num_samples: the number of products, >= 1; static under `jit`.
      distribution: "rademacher" for elements 1 and -1, or "normal".

    Returns:
      An `Estimate` of a scalar.

    Raises:
      ValueError: another `distribution`, no samples, no parameters, or `matvec` returns other shapes.
      TypeError: a parameter or product is not real floating, or an argument is of another kind.

    Reference:
      Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines", 1989,
      Communications in Statistics 18(3).

    >>> hutchinson_trace(lambda v: {"w": 2 * v["w"]}, {"w": jnp.ones(3)}, jax.random.key(0), num_samples=4).value
    Array(6., dtype=float32)
    """
    operator = LinearOperator(matvec, params)
    samplers = {"rademacher": jax.random.rademacher, "normal": jax.random.normal}
    if distribution not in samplers:
        raise ValueError(f"distribution must be 'rademacher' or 'normal', not {distribution!r}")

    def sample(key: jax.Array) -> jax.Array:
        z = operator.random(key, samplers[distribution])
        return jnp.asarray(tree.sum(tree.mul(z, operator(z))))

    return _mean(sample, operator.varying(jnp.zeros((), operator.dtype)), rng, num_samples)


def hutchinson_diag(matvec: Callable[[PyTree], PyTree], params: PyTree, rng: jax.Array, num_samples: int) -> Estimate:
    """The diagonal of a matrix A, estimated from products with random vectors.

        mean of z_s * A z_s,    z_s of independent elements 1 and -1

    One term for element i has the variance sum_{j != i} A_ij^2: often larger than A_ii^2, so look at the standard
    error. Diagonal matrices come out exactly. Memory is that of a few trees, whatever `num_samples`.

    Args:
      matvec: maps v, a tree like `params` in its dtypes, to A v; see `hutchinson_trace`.
      params: tree of real floating arrays (or of their shapes and dtypes); only the form counts.
      rng: a PRNG key.
      num_samples: the number of products, >= 1; static under `jit`.

    Returns:
      An `Estimate` of a tree like `params`, in float32 or float64.

    Raises:
      ValueError: no samples, no parameters, or `matvec` returns other shapes.
      TypeError: a parameter or product is not real floating, or an argument is of another kind.

    Reference:
      Bekas, Kokiopoulou and Saad, "An estimator for the diagonal of a matrix", 2007, Applied Numerical Mathematics
      57.
    """
    operator = LinearOperator(matvec, params)

    def sample(key: jax.Array) -> PyTree:
        z = operator.random(key, jax.random.rademacher)
        return tree.mul(z, operator(z))

    return _mean(sample, operator.zeros(), rng, num_samples)


def hutch_plus_plus_trace(
    matvec: Callable[[PyTree], PyTree], params: PyTree, rng: jax.Array, num_matvecs: int
) -> Estimate:
    """The trace of a matrix A, exact on the range of a random sketch and estimated on the rest.

        Q = orthonormal basis of A S,    S of k = num_matvecs // 3 columns of elements 1 and -1
        trace(Q' A Q) + mean of g_s . A g_s,    g_s = (I - Q Q') z_s

    Where few eigenvalues carry most of the trace this is far more accurate than `hutchinson_trace` with as many
    products; a matrix of rank <= k comes out exactly. On a flat spectrum it is somewhat less accurate. It keeps k
    vectors of the size of all parameters.

    Args:
      matvec: maps v, a tree like `params` in its dtypes, to A v; see `hutchinson_trace`.
      params: tree of real floating arrays (or of their shapes and dtypes); only the form counts.
      rng: a PRNG key.
      num_matvecs: the number of products in all, >= 3; static under `jit`.

    Returns:
      An `Estimate` of a scalar. The standard error is that of the mean; it is infinite for 3 products.

    Raises:
      ValueError: too few products, no parameters, or `matvec` returns other shapes.
      TypeError: a parameter or product is not real floating, or an argument is of another kind.

    Reference:
      Meyer, Musco, Musco and Woodruff, "Hutch++: Optimal Stochastic Trace Estimation", 2021, SOSA, algorithm 1.
    """
    operator = LinearOperator(matvec, params)
    total = check_integer("num_matvecs", num_matvecs, least=3)
    k = min(total // 3, operator.size)
    rng_sketch, rng_rest = jax.random.split(rng)

    def probe(key: jax.Array) -> jax.Array:
        return operator.ravel(operator.random(key, jax.random.rademacher))

    sketch = jax.lax.map(lambda key: operator.flat(probe(key)), jax.random.split(rng_sketch, k))
    basis = jnp.linalg.qr(sketch.T)[0].T  # orthonormal even where the sketch is rank deficient
    captured = jnp.sum(jax.lax.map(lambda q: product(q, operator.flat(q)), basis))

    def sample(key: jax.Array) -> jax.Array:
        g = probe(key)
        g = g - product(product(basis, g), basis)
        return product(g, operator.flat(g))

    rest = _mean(sample, operator.varying(jnp.zeros((), operator.dtype)), rng_rest, total - 2 * k)
    return rest._replace(value=captured + rest.value)


def monte_carlo_fisher_diag(
    model: Callable[[PyTree, Any], Any],
    dist_builder: Callable[[Any], Any],
    params: PyTree,
    inputs: Any,
    rng: jax.Array,
    num_samples: int,
) -> Estimate:
    """The diagonal of the Fisher information, with targets sampled from what the model predicts.

        mean over examples i of E[(grad log p(y; f_i(params)))^2],    y ~ p(y; f_i),    f_i = model(params, inputs)_i

    Each sample costs one backward pass: with independent signs s_i, the square of the gradient of sum_i s_i log p_i
    has the sum of the examples' squares for expectation. Where the outputs are the natural parameters of the
    distribution (logits of a categorical one, the mean of a normal one) this is also the diagonal of the Gauss-Newton
    matrix of the mean negative log likelihood.

    Args:
      model: maps `params` and `inputs` to outputs, an array or tree whose first axis is the examples'.
      dist_builder: maps the outputs for one example (without that axis) to a distribution with
        `sample(seed=, sample_shape=)` and a scalar `log_prob(value)`, as those of `optax.estimators` have.
      params: tree of real floating arrays.
      inputs: what `model` takes, for all examples.
      rng: a PRNG key.
      num_samples: the number of backward passes, >= 1; static under `jit`.

    Returns:
      An `Estimate` of a tree like `params`, in float32 or float64.

    Raises:
      ValueError: no samples, no examples, leaves of the outputs disagree on their number, or `log_prob` is not scalar.
      TypeError: a parameter is not real floating, or the distribution lacks a method.

    Reference:
      Martens, "New Insights and Perspectives on the Natural Gradient Method", 2020, JMLR 21(146), sections 5 and 9;
      Dangel, Kunstner and Hennig, "BackPACK: Packing more into Backprop", 2020, ICLR.
    """
    params = float_leaves(params)
    operator = LinearOperator(lambda v: v, params)  # for the form of the parameters alone
    outputs, backward = jax.vjp(lambda p: model(p, inputs), params)
    n = examples("model is called with all inputs at once", outputs=outputs)

    def score(output: Any, key: jax.Array) -> Any:
        distribution = dist_builder(output)
        for method in ("sample", "log_prob"):
            if not callable(getattr(distribution, method, None)):
                name = type(distribution).__name__
                raise TypeError(
                    "dist_builder must return a distribution with sample(seed=, sample_shape=) and log_prob(value), "
                    f"got {name} without {method}"
                )
        target = jax.lax.stop_gradient(distribution.sample(seed=key, sample_shape=()))
        return jax.grad(lambda f: _log_prob(dist_builder(f), target))(output)

    def sample(key: jax.Array) -> PyTree:
        of_targets, of_signs = jax.random.split(key)
        scores = jax.vmap(score)(outputs, jax.random.split(of_targets, n))
        signs = jax.random.bernoulli(of_signs, shape=(n,))

        def signed(x: jax.Array) -> jax.Array:
            return jnp.where(signs.reshape(n, *(1,) * (x.ndim - 1)), x, -x)

        (gradient,) = backward(jax.tree.map(signed, scores))
        return jax.tree.map(lambda g: jnp.square(g.astype(operator.dtype)) / n, gradient)

    return _mean(sample, operator.zeros(), rng, num_samples)


def _mean(sample: Callable[[jax.Array], PyTree], zeros: PyTree, rng: jax.Array, num_samples: int) -> Estimate:
    """Mean and standard error of samples that are made one after the other and never kept."""
    n = check_integer("num_samples", num_samples, least=1)

    def step(carry: tuple[PyTree, PyTree], item: tuple[jax.Array, jax.Array]) -> tuple[tuple[PyTree, PyTree], None]:
        (mean, squares), (number, key) = carry, item
        x = sample(key)
        change = jax.tree.map(jnp.subtract, x, mean)
        mean = jax.tree.map(lambda m, d: m + d / number.astype(d.dtype), mean, change)
        squares = jax.tree.map(lambda s, d, x, m: s + d * (x - m), squares, change, x, mean)
        return (mean, squares), None

    (mean, squares), _ = jax.lax.scan(step, (zeros, zeros), (jnp.arange(1, n + 1), jax.random.split(rng, n)))
    if n == 1:
        return Estimate(mean, jax.tree.map(lambda m: jnp.full_like(m, jnp.inf), mean))
    return Estimate(mean, jax.tree.map(lambda s: safe_sqrt(s / (n - 1.0) / n), squares))


def _log_prob(distribution: Any, target: Any) -> jax.Array:
    value = jnp.asarray(distribution.log_prob(target))
    if value.shape != ():
        raise ValueError(
            f"log_prob must be a scalar for one example, got shape {value.shape}: dist_builder is called with the "
            "outputs for one example (independent components become one event with Independent in TensorFlow "
            "Probability and distrax)"
        )
    return value

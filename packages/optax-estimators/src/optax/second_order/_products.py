"""Products of curvature matrices with a vector: the matrix itself is never made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_integer, tree, vary_like, widen
from optax.second_order._inputs import ABSENT, direction, examples, float_leaves, real_scalar

__all__ = ["empirical_fisher_vp", "fisher_vp", "gauss_newton_vp", "hvp", "vhp"]


def hvp(
    loss: Callable[..., Any], v: PyTree, params: PyTree, inputs: Any = ABSENT, targets: Any = ABSENT, *more: Any
) -> PyTree:
    """The product of the Hessian of a loss with a vector.

        H v,    H = d^2 loss(params, inputs, targets) / d params^2

    Computed as the derivative of the gradient in the direction v (forward over reverse): about the time of two
    gradients and twice the memory of one.

    Args:
      loss: called as `loss(params, inputs, targets, *more)`, without those that are left out; returns a real scalar.
      v: a tree like `params` with the dtypes of its leaves, or one flat vector in the order of
        `jax.flatten_util.ravel_pytree(params)`, which is converted to them.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `loss`, if it has one.
      targets: the third.
      *more: all others. However they are given here, the loss gets them by position.

    Returns:
      H v as a tree like `params`, in the dtypes of its leaves, in which JAX computes it: cast bfloat16 parameters to
      float32 beforehand where their 8 bits are not enough.

    Raises:
      ValueError: `v` does not have the structure or shapes of `params`, or `loss` is no scalar.
      TypeError: a leaf of `params` or `v` or the loss has a dtype without derivatives.

    Reference:
      Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994, Neural Computation 6(1).

    >>> hvp(lambda p: p["x"] ** 3 * p["y"], {"x": 1.0, "y": 0.0}, {"x": 2.0, "y": 5.0})
    {'x': Array(60., dtype=float32), 'y': Array(12., dtype=float32)}
    """
    params = float_leaves(params)
    tangent = direction(v, params)
    return _derivative(jax.grad(real_scalar("loss", loss, inputs, targets, *more)), params, tangent)


def vhp(
    loss: Callable[..., Any], v: PyTree, params: PyTree, inputs: Any = ABSENT, targets: Any = ABSENT, *more: Any
) -> PyTree:
    """The product of a vector with the Hessian of a loss, by reverse mode alone.

        v' H = (H v)'    since H is symmetric

    The number is that of `hvp`, which takes less time and memory. This one is for losses that forward mode cannot
    enter: those that call functions with `jax.custom_vjp`.

    Args:
      loss: called as `loss(params, inputs, targets, *more)`, without those that are left out; returns a real scalar.
      v: a tree like `params`, or a flat vector, as in `hvp`.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `loss`, if it has one.
      targets: the third.
      *more: all others.

    Returns:
      v' H as a tree like `params`, in the dtypes of its leaves.

    Raises:
      ValueError: `v` does not have the structure or shapes of `params`, or `loss` is no scalar.
      TypeError: a leaf of `params` or `v` or the loss has a dtype without derivatives.
    """
    params = float_leaves(params)
    cotangent = direction(v, params)
    _, pull = jax.vjp(jax.grad(real_scalar("loss", loss, inputs, targets, *more)), params)
    (product,) = pull(cotangent)
    return product


def gauss_newton_vp(
    model: Callable[[PyTree, Any], PyTree],
    loss: Callable[[PyTree, Any], Any],
    v: PyTree,
    params: PyTree,
    inputs: Any,
    targets: Any,
) -> PyTree:
    """The product of the generalised Gauss-Newton matrix of loss(model(params, inputs), targets) with a vector.

        G v = J' H_L J v,    J = d outputs / d params,    H_L = d^2 loss / d outputs^2

    It is the Hessian without the curvature of the model: positive semidefinite if the loss is convex in the outputs.
    Computed from the right to the left, with one linearisation of the model and one Hessian product of the loss.

    Args:
      model: `model(params, inputs)` returns the outputs, an array of real floats or a tree of them.
      loss: `loss(outputs, targets)` returns a real scalar. A mean over the examples makes G a mean too.
      v: a tree like `params`, or a flat vector, as in `hvp`.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `model`.
      targets: the second argument of `loss`.

    Returns:
      G v as a tree like `params`, in the dtypes of its leaves.

    Raises:
      ValueError: `v` does not have the structure or shapes of `params`, or `loss` is no scalar.
      TypeError: a leaf of `params`, `v` or the outputs or the loss has a dtype without derivatives.

    Reference:
      Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent", 2002, Neural
      Computation 14(7).
    """
    params = float_leaves(params)
    outputs, pushed, pull = _linearised(model, direction(v, params), params, inputs)
    return pull(_derivative(jax.grad(real_scalar("loss", loss, targets)), outputs, pushed))


def fisher_vp(
    model: Callable[[PyTree, Any], PyTree],
    dist_builder: Callable[[PyTree], Any],
    v: PyTree,
    params: PyTree,
    inputs: Any,
    *,
    rng: jax.Array | None = None,
    num_samples: int | None = None,
) -> PyTree:
    """The product of the Fisher information matrix of a predictive distribution with a vector.

        F v = mean over examples of J_i' F_i J_i v,    J_i = d outputs_i / d params
        F_i = d^2 KL(p(outputs_i) || p(z)) / dz^2 at z = outputs_i                          without rng
        F_i ~ mean over samples of s s',  s = d log p(y; z) / dz at z = outputs_i,  y ~ p(outputs_i)     with rng

    The first is exact, the second unbiased. The targets of the data play no part in either. For a mean of negative
    log likelihoods of an exponential family in its natural parameters, such as a cross entropy by logits, F is the
    Gauss-Newton matrix. For a sum over the examples multiply by their number.

    Args:
      model: `model(params, inputs)` returns the outputs, an array of real floats or a tree of them, with the examples
        along the first axis of each.
      dist_builder: makes the distribution of the target of ONE example from its outputs, without that axis; those of
        `optax.estimators` will do.
      v: a tree like `params`, or a flat vector, as in `hvp`.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `model`.
      rng: a PRNG key, to estimate by samples what `kl_divergence` is not known for. The distribution then needs
        `sample(seed=, sample_shape=)` and `log_prob(value)`, otherwise `kl_divergence(other)`.
      num_samples: with `rng`, how many targets are drawn for each example, >= 1, by default 1; static under `jit`.
        They are drawn one after the other for given outputs, and the model is passed through only once.

    Returns:
      F v as a tree like `params`, in the dtypes of its leaves.

    Raises:
      ValueError: `v` does not have the structure or shapes of `params`, the outputs have no axis of examples in common,
        the distribution's methods return no scalar, or `num_samples` is below 1 or given without `rng`.
      TypeError: a leaf of `params`, `v` or the outputs has a dtype without derivatives, or the distribution lacks a
        method.

    Reference:
      Martens, "New Insights and Perspectives on the Natural Gradient Method", 2020, JMLR 21(146), sections 5 and 9.
    """
    samples = _num_samples(rng, num_samples)
    params = float_leaves(params)
    outputs, pushed, pull = _linearised(model, direction(v, params), params, inputs)
    n = examples("with a single example, add an axis of length 1", outputs=outputs)

    def build(z: PyTree, *methods: str) -> Any:
        distribution = dist_builder(z)
        for method in methods:
            if not callable(getattr(distribution, method, None)):
                instead = "; give rng to estimate by samples" if rng is None else ""
                raise TypeError(
                    f"dist_builder must return a distribution with {' and '.join(methods)}, "
                    f"got {type(distribution).__name__} without {method}{instead}"
                )
        return distribution

    def divergence(z: PyTree) -> jax.Array:
        def one(a: PyTree, b: PyTree) -> jax.Array:
            return _scalar("kl_divergence", build(a, "kl_divergence").kl_divergence(build(b)))

        return jnp.mean(jax.vmap(one)(outputs, z))

    def outer_product(key: jax.Array, z: PyTree, t: PyTree) -> PyTree:
        y = jax.lax.stop_gradient(build(z, "sample", "log_prob").sample(seed=key, sample_shape=()))
        score = jax.tree.map(widen, jax.grad(lambda o: _scalar("log_prob", build(o).log_prob(y)))(z))
        along = tree.vdot(score, t)
        return jax.tree.map(lambda s: s * along.astype(s.dtype), score)

    if rng is None:
        return pull(_derivative(jax.grad(divergence), outputs, pushed))

    def add(total: PyTree, key: jax.Array) -> tuple[PyTree, None]:
        each = jax.vmap(outer_product)(jax.random.split(key, n), outputs, pushed)
        return jax.tree.map(jnp.add, total, each), None

    zeros = vary_like(jax.tree.map(lambda z: jnp.zeros_like(widen(z)), outputs), outputs)
    total, _ = jax.lax.scan(add, zeros, jax.random.split(rng, samples))
    return pull(jax.tree.map(lambda s, z: (s / (n * samples)).astype(z.dtype), total, outputs))


def empirical_fisher_vp(
    negative_log_likelihood: Callable[..., Any], v: PyTree, params: PyTree, inputs: Any, targets: Any
) -> PyTree:
    """The product of the empirical Fisher matrix with a vector.

        E v = mean over examples of g_i g_i' v,    g_i = d negative_log_likelihood(params, input_i, target_i) / d params

    The gradients are those for the targets of the data; `fisher_vp` takes those of the model's own distribution,
    which is what makes a Fisher matrix an approximation of the Hessian. No g_i is ever made: the time is about that of
    two gradients of the batch, and the memory that of one or two.

    Args:
      negative_log_likelihood: `negative_log_likelihood(params, inputs, targets)` returns a real scalar; called with a
        batch of one example.
      v: a tree like `params`, or a flat vector, as in `hvp`.
      params: where to differentiate, a tree of real floats.
      inputs: an array or a tree, the examples along the first axis of every leaf.
      targets: the same.

    Returns:
      E v as a tree like `params`, in the dtypes of its leaves.

    Raises:
      ValueError: `v` does not have the structure or shapes of `params`, the leaves of `inputs` and `targets` have no
        axis of examples in common, or the function is no scalar.
      TypeError: a leaf of `params` or `v` or the value has a dtype without derivatives.

    Reference:
      Kunstner, Balles and Hennig, "Limitations of the Empirical Fisher Approximation for Natural Gradient Descent",
      2019, NeurIPS, equation 3.
    """
    params = float_leaves(params)
    n = examples("with a single example, add an axis of length 1", inputs=inputs, targets=targets)

    def each(p: PyTree, batch: tuple[Any, Any]) -> jax.Array:
        def one(x: Any, y: Any) -> jax.Array:
            x, y = jax.tree.map(lambda a: a[None], (x, y))
            return real_scalar("negative_log_likelihood", negative_log_likelihood, x, y)(p)

        return jax.vmap(one)(*jax.tree.map(jnp.asarray, batch))

    _, along, pull = _linearised(each, direction(v, params), params, (inputs, targets))
    return pull((widen(along) / n).astype(along.dtype))


def _derivative(function: Callable[[PyTree], PyTree], at: PyTree, along: PyTree) -> PyTree:
    """The derivative of the function in a direction, by forward mode."""
    return jax.jvp(function, (at,), (along,))[1]


def _linearised(
    model: Callable[[PyTree, Any], PyTree], v: PyTree, params: PyTree, inputs: Any
) -> tuple[PyTree, PyTree, Callable[[PyTree], PyTree]]:
    """The outputs, J v, and the function u -> J' u, from one evaluation of the model."""
    outputs, push = jax.linearize(lambda p: float_leaves(model(p, inputs), "outputs"), params)
    transposed = jax.linear_transpose(push, params)

    def pull(u: PyTree) -> PyTree:
        (product,) = transposed(u)
        return product

    return outputs, push(v), pull


def _num_samples(rng: jax.Array | None, num_samples: int | None) -> int:
    if rng is None and num_samples is not None:
        raise ValueError(f"num_samples={num_samples} needs rng; without it the product is exact")
    samples = 1 if num_samples is None else num_samples
    check_integer("num_samples", samples, least=1)
    return samples


def _scalar(method: str, value: Any) -> jax.Array:
    number = widen(value)
    if number.shape != ():
        raise ValueError(
            f"{method} must be a scalar for one example, got shape {number.shape} (independent components become one "
            "event with Independent in TensorFlow Probability and distrax)"
        )
    return number

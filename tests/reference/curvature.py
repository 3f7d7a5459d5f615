"""A small network and its curvature matrices, dense, from their definitions."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

EXAMPLES, WIDTH, CLASSES = 6, 5, 3


class Curvature(NamedTuple):
    """Everything about one point, over the flat vector of the parameters.

    Attributes:
      hessian: of `loss`, the mean cross entropy.
      gauss_newton: J' H_L J, which for a cross entropy by logits is the Fisher matrix.
      gradients: one row for each example.
      gradient: of the mean.
    """

    hessian: Any
    gauss_newton: Any
    gradients: Any
    gradient: Any


def problem(dtype: Any) -> tuple[Any, Any, Any]:
    """Parameters (with None for a leaf), inputs (a tree) and targets."""
    r = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(r.standard_normal(shape), dtype)

    params = {
        "first": (normal(4, WIDTH), normal(WIDTH)),
        "none": None,
        "scale": normal(),
        "last": normal(WIDTH, CLASSES),
    }
    return params, {"x": normal(EXAMPLES, 4)}, jnp.asarray(r.integers(0, CLASSES, EXAMPLES))


def model(params: Any, inputs: Any) -> jax.Array:
    """Logits, shape (examples, classes)."""
    w, b = params["first"]
    h = jnp.tanh(inputs["x"] @ w + jnp.broadcast_to(b, (len(inputs["x"]), WIDTH)))
    return params["scale"] * h @ params["last"]


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """The mean over the examples."""
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1))


def loss(params: Any, inputs: Any, targets: Any) -> jax.Array:
    """The cross entropy of the network."""
    return cross_entropy(model(params, inputs), targets)


def dense(params: Any, inputs: Any, targets: Any) -> Curvature:
    """The matrices."""
    flat, unravel = ravel_pytree(params)

    @jax.jit
    def matrices(vector: jax.Array) -> Curvature:
        def total(v: jax.Array) -> jax.Array:
            return loss(unravel(v), inputs, targets)

        def logits(v: jax.Array) -> jax.Array:
            return model(unravel(v), inputs).reshape(-1)

        def outer(z: jax.Array) -> jax.Array:
            return cross_entropy(z.reshape(EXAMPLES, CLASSES), targets)

        def each(v: jax.Array) -> jax.Array:
            log_p = jax.nn.log_softmax(model(unravel(v), inputs))
            return -jnp.take_along_axis(log_p, targets[:, None], axis=1)[:, 0]

        jacobian = jax.jacrev(logits)(vector)
        curved = jax.hessian(outer)(logits(vector))
        return Curvature(
            jax.hessian(total)(vector),
            jacobian.T @ curved @ jacobian,
            jax.jacrev(each)(vector),
            jax.grad(total)(vector),
        )

    return jax.tree.map(np.asarray, matrices(flat))


def largest(function: Any, *arguments: Any) -> int:
    """The size of the largest array in the traced program, in the bodies of its loops and calls too."""

    def within(jaxpr: Any) -> int:
        sizes = [v.aval.size for eqn in jaxpr.eqns for v in eqn.outvars]
        inner = [
            getattr(j, "jaxpr", j)
            for eqn in jaxpr.eqns
            for j in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "jaxpr"))
            if hasattr(j, "jaxpr") or hasattr(j, "eqns")
        ]
        return max([0, *sizes, *map(within, inner)])

    return within(jax.make_jaxpr(function)(*arguments).jaxpr)

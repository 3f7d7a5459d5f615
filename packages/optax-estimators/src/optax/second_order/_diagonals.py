"""Diagonals of curvature matrices, exact, in memory that is linear in the number of parameters."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_integer, tree, vary_like, widen
from optax.second_order import _inputs
from optax.second_order._inputs import ABSENT, as_vector, examples, float_leaves, real_scalar, size, vector_dtype

__all__ = ["fisher_diag", "gauss_newton_diag", "hessian_diag"]


def hessian_diag(
    loss: Callable[..., Any],
    params: PyTree,
    inputs: Any = ABSENT,
    targets: Any = ABSENT,
    *more: Any,
    chunk_size: int | None = None,
    as_tree: bool = False,
) -> PyTree:
    """The diagonal of the Hessian of a loss, exactly.

        h_i = d^2 loss(params, inputs, targets) / d params_i^2

    Each element takes about the time of one gradient: for large models see the estimators of this package. It is a
    second derivative in the direction of one parameter, taken by forward mode twice, or over reverse mode if the loss
    calls a function with `jax.custom_vjp`.

    Args:
      loss: called as `loss(params, inputs, targets, *more)`, without those that are left out; returns a real scalar.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `loss`, if it has one.
      targets: the third.
      *more: all others.
      chunk_size: how many elements are computed at once, >= 1; memory grows in proportion. By default 8, but
        no more than make 2^20 numbers, and so 1 for a large model. An accelerator may be faster with more.
      as_tree: whether to return a tree like `params`, in the dtypes of its leaves.

    Returns:
      A flat vector in the order and the dtype of `jax.flatten_util.ravel_pytree(params)`, or a tree. JAX computes it
      in the dtypes of the parameters: cast bfloat16 to float32 beforehand where its 8 bits are not enough.

    Raises:
      ValueError: `loss` is no scalar, or `chunk_size` is below 1.
      TypeError: a leaf of `params` or the loss has a dtype without derivatives.

    >>> hessian_diag(lambda p: p["x"] ** 3 * p["y"] ** 2, {"x": 2.0, "y": 5.0})
    Array([300.,  16.], dtype=float32)
    """
    params = float_leaves(params)
    value, chunk = real_scalar("loss", loss, inputs, targets, *more), _chunk(chunk_size, params)
    leaves, structure = jax.tree.flatten(params)

    def of_part(start: int, stop: int) -> jax.Array:
        """Of some of the leaves; with the others fixed, what is zero in these directions is not computed."""

        def of_leaves(part: list[jax.Array]) -> jax.Array:
            return value(jax.tree.unflatten(structure, [*leaves[:start], *part, *leaves[stop:]]))

        part = leaves[start:stop]
        return _each(_second_derivative(of_leaves, part), size(part), chunk).astype(vector_dtype(params))

    parts = [of_part(*ends) for ends in itertools.pairwise(_parts(leaves))]
    return _of_vector(jnp.concatenate(parts or [as_vector(params)]), params, as_tree)


def gauss_newton_diag(
    model: Callable[[PyTree, Any], PyTree],
    loss: Callable[[PyTree, Any], Any],
    params: PyTree,
    inputs: Any,
    targets: Any,
    *,
    chunk_size: int | None = None,
    as_tree: bool = False,
) -> PyTree:
    """The diagonal of the generalised Gauss-Newton matrix of loss(model(params, inputs), targets), exactly.

        d_i = (J e_i)' H_L (J e_i) = sum over k of (J' e_k)_i (J' H_L e_k)_i
        J = d outputs / d params,    H_L = d^2 loss / d outputs^2

    The first form takes one derivative of the model for each parameter, the second two for each number in the
    outputs of the whole batch; the one that takes fewer is computed. Neither needs a square root of H_L, which may be
    indefinite, nor assumes that the examples are independent.

    Args:
      model: `model(params, inputs)` returns the outputs, an array of real floats or a tree of them.
      loss: `loss(outputs, targets)` returns a real scalar. A mean over the examples makes the matrix a mean too.
      params: where to differentiate, a tree of real floats.
      inputs: the second argument of `model`.
      targets: the second argument of `loss`.
      chunk_size: how many directions are computed at once, >= 1; memory grows in proportion. By default as in
        `hessian_diag`.
      as_tree: whether to return a tree like `params`, in the dtypes of its leaves.

    Returns:
      A flat vector in the order and the dtype of `jax.flatten_util.ravel_pytree(params)`, or a tree.

    Raises:
      ValueError: `loss` is no scalar, or `chunk_size` is below 1.
      TypeError: a leaf of `params` or the outputs or the loss has a dtype without derivatives.

    Reference:
      Schraudolph, "Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent", 2002, Neural
      Computation 14(7).
    """
    params = float_leaves(params)
    outputs, push = jax.linearize(lambda p: float_leaves(model(p, inputs), "outputs"), params)
    _, curved = jax.linearize(jax.grad(real_scalar("loss", loss, targets)), outputs)
    pull = jax.linear_transpose(push, params)
    chunk = _chunk(chunk_size, params)

    def by_parameter(i: jax.Array) -> jax.Array:
        u = push(_basis(params, i))
        entry: jax.Array = tree.vdot(u, curved(u))
        return entry

    def by_output(k: jax.Array) -> PyTree:
        e = _basis(outputs, k)
        return jax.tree.map(lambda a, b: widen(a) * widen(b), *pull(e), *pull(curved(e)))

    if size(params) <= 2 * size(outputs):
        return _of_vector(_each(by_parameter, size(params), chunk), params, as_tree)
    return _of_tree(_sum(by_output, size(outputs), chunk, params), params, as_tree)


def fisher_diag(
    negative_log_likelihood: Callable[..., Any],
    params: PyTree,
    inputs: Any,
    targets: Any,
    *,
    per_example: bool = True,
    chunk_size: int | None = None,
    as_tree: bool = False,
) -> PyTree:
    """The diagonal of the empirical Fisher matrix: the mean of the squared gradients of the examples.

        f = mean over examples of g_i^2,    g_i = d negative_log_likelihood(params, input_i, target_i) / d params

    With `per_example=False` it is the square of the gradient of the whole batch, g^2, as Optax 0.2.8 computes it. For
    more than one example that is no Fisher diagonal: gradients of opposite signs cancel, and where the loss has its
    minimum it is zero, whatever the curvature. It is right if the arguments are one example.

    Args:
      negative_log_likelihood: `negative_log_likelihood(params, inputs, targets)` returns a real scalar; called with a
        batch of one example, so that it makes no difference whether it is a sum or a mean over the examples.
      params: where to differentiate, a tree of real floats.
      inputs: an array or a tree, the examples along the first axis of every leaf.
      targets: the same.
      per_example: whether to square the gradient of each example instead of that of the batch.
      chunk_size: of how many examples the gradients are computed at once, >= 1; memory grows in proportion. By default
        as in `hessian_diag`.
      as_tree: whether to return a tree like `params`, in the dtypes of its leaves.

    Returns:
      A flat vector in the order and the dtype of `jax.flatten_util.ravel_pytree(params)`, or a tree. Squares and mean
      are computed in float32, or float64 if the leaf is.

    Raises:
      ValueError: the leaves of `inputs` and `targets` have no axis of examples in common, the function is no scalar, or
        `chunk_size` is below 1.
      TypeError: a leaf of `params` or the value has a dtype without derivatives.

    Reference:
      Kunstner, Balles and Hennig, "Limitations of the Empirical Fisher Approximation for Natural Gradient Descent",
      2019, NeurIPS, equation 3.

    >>> nll = lambda p, x, y: ((p - y) ** 2 / 2).mean()
    >>> x, y = jnp.zeros(2), jnp.array([1.0, 3.0])
    >>> fisher_diag(nll, jnp.array(2.0), x, y), fisher_diag(nll, jnp.array(2.0), x, y, per_example=False)
    (Array([1.], dtype=float32), Array([0.], dtype=float32))
    """
    params = float_leaves(params)
    chunk = _chunk(chunk_size, params)

    def squares(*batch: Any) -> PyTree:
        gradient = jax.grad(real_scalar("negative_log_likelihood", negative_log_likelihood, *batch))(params)
        return jax.tree.map(lambda g: jnp.square(widen(g)), gradient)

    if not per_example:
        return _of_tree(squares(inputs, targets), params, as_tree)
    n = examples(
        "per_example=False gives the square of the gradient of everything together", inputs=inputs, targets=targets
    )
    batch = jax.tree.map(jnp.asarray, (inputs, targets))

    def of_example(i: jax.Array) -> PyTree:
        return squares(*jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=True), batch))

    total = _sum(of_example, n, chunk, params)
    return _of_tree(jax.tree.map(lambda t: t / n, total), params, as_tree)


def _second_derivative(value: Callable[[PyTree], jax.Array], params: PyTree) -> Callable[[jax.Array], jax.Array]:
    """The function from the number of a parameter to the second derivative by it."""

    def forward(i: jax.Array) -> jax.Array:
        e = _basis(params, i)

        def slope(p: PyTree) -> Any:
            return jax.jvp(value, (p,), (e,))[1]

        second: jax.Array = jax.jvp(slope, (params,), (e,))[1]
        return second

    def over_reverse(product: Callable[[PyTree], PyTree]) -> Callable[[jax.Array], jax.Array]:
        def entry(i: jax.Array) -> jax.Array:
            e = _basis(params, i)
            second: jax.Array = tree.vdot(e, product(e))
            return second

        return entry

    # Forward mode takes least time and memory. It raises one of these errors where it meets a function with custom_vjp;
    # over reverse mode it does so only where such a function has another one in its own rule.
    impossible = (TypeError, NotImplementedError)
    with contextlib.suppress(*impossible):
        jax.eval_shape(forward, jnp.int32(0))
        return forward
    gradient = jax.grad(value)
    with contextlib.suppress(*impossible):
        return over_reverse(jax.linearize(gradient, params)[1])
    _, pull = jax.vjp(gradient, params)
    return over_reverse(lambda e: pull(e)[0])


def _parts(leaves: Sequence[jax.Array]) -> list[int]:
    """Where to divide the leaves, into up to four parts of about the same size; each is a program to compile."""
    ends = list(itertools.accumulate((x.size for x in leaves), initial=0))
    quarters = (bisect.bisect_left(ends, ends[-1] * i / 4) for i in range(1, 4))
    return sorted({0, *quarters, len(leaves)})


def _basis(like: PyTree, i: jax.Array) -> PyTree:
    """The tree of zeros with a 1 at place `i` of the flat order; of zeros alone if there is no such place."""
    leaves, structure = jax.tree.flatten(like)
    units, start = [], 0
    for x in leaves:
        here = jax.lax.iota(jnp.int32, x.size) == i - start
        units.append(here.astype(x.dtype).reshape(x.shape))
        start += x.size
    return jax.tree.unflatten(structure, units)


def _chunk(chunk_size: int | None, params: PyTree) -> int:
    if chunk_size is None:
        return min(max(2**20 // max(size(params), 1), 1), 8)
    chunk: int = check_integer("chunk_size", chunk_size, least=1)
    return chunk


def _each(entry: Callable[[jax.Array], jax.Array], count: int, chunk: int) -> jax.Array:
    """The vector of entries."""
    chunk = min(chunk, max(count, 1))

    def add(start: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return start + chunk, jax.vmap(entry)(start + jnp.arange(chunk, dtype=jnp.int32))

    # The places are counted in the loop: a list of them would be as large as the diagonal.
    entries: jax.Array = jax.lax.scan(add, jnp.int32(0), length=math.ceil(count / chunk))[1]
    return entries.reshape(-1)[:count]


def _sum(term: Callable[[jax.Array], PyTree], count: int, chunk: int, params: PyTree) -> PyTree:
    """The sum of the terms, trees like `params`, in float32 or wider."""
    chunk = min(chunk, max(count, 1))

    def add(carry: tuple[jax.Array, PyTree], _: None) -> tuple[tuple[jax.Array, PyTree], None]:
        start, total = carry
        places = start + jnp.arange(chunk, dtype=jnp.int32)
        terms = jax.vmap(term)(jnp.minimum(places, count - 1))
        exist = places < count
        total = jax.tree.map(lambda t, x: t + jnp.sum(x, axis=0, where=_column(exist, x)), total, terms)
        return (start + chunk, total), None

    zeros = vary_like(jax.tree.map(lambda x: jnp.zeros_like(widen(x)), params), params)
    return jax.lax.scan(add, (jnp.int32(0), zeros), length=math.ceil(count / chunk))[0][1]


def _column(rows: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.broadcast_to(rows.reshape(-1, *[1] * (like.ndim - 1)), like.shape)


def _of_vector(diagonal: jax.Array, params: PyTree, as_tree: bool) -> PyTree:
    return _inputs.as_tree(diagonal, params) if as_tree else diagonal.astype(vector_dtype(params))


def _of_tree(diagonal: PyTree, params: PyTree, as_tree: bool) -> PyTree:
    if as_tree:
        return jax.tree.map(lambda d, x: d.astype(x.dtype), diagonal, params)
    return as_vector(diagonal).astype(vector_dtype(params))

"""Orthonormal bases of Krylov spaces, the spans of v, A v, A^2 v and so on, kept orthonormal to rounding precision."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.second_order._operator import LinearOperator, product

__all__ = ["Basis", "extended", "start"]


class Basis(NamedTuple):
    """An orthonormal basis as it grows.

    Attributes:
      vectors: the basis, shape (m, n): rows that are not made yet are zero.
      matrix: A in that basis, shape (m, m).
      next: the next vector, orthogonal to the others.
      coupling: the size of the part of A times the last vector that lies outside the basis.
      scale: the largest norm of a product with a basis vector so far, which bounds that of A from below.
    """

    vectors: jax.Array
    matrix: jax.Array
    next: jax.Array
    coupling: jax.Array
    scale: jax.Array


def start(operator: LinearOperator, v: jax.Array, num_steps: int) -> Basis:
    """An empty basis with room for `num_steps` vectors, the first of which will be that of `v`."""
    zeros = jnp.zeros((num_steps, operator.size), operator.dtype)
    matrix, zero = jnp.zeros((num_steps, num_steps), operator.dtype), jnp.zeros((), operator.dtype)
    basis: Basis = operator.varying(Basis(zeros, matrix, v / jnp.linalg.norm(v), zero, zero))
    return basis


def extended(operator: LinearOperator, basis: Basis, v: jax.Array, first: Any = 0, shift: Any = 1) -> Basis:
    """The basis with all its vectors from number `first` on made anew, the first of them from `basis.next`.

    Where the span of the basis is closed under A, it goes on with some direction outside: random numbers `v` in
    another order, by `shift` and more.
    """
    m = basis.vectors.shape[0]
    finfo: Any = jnp.finfo
    rounding = 10 * float(finfo(operator.dtype).eps)

    def step(j: jax.Array, basis: Basis) -> Basis:
        q = basis.next
        vectors = basis.vectors.at[j].set(q)
        w = operator.flat(q)
        scale = jnp.maximum(basis.scale, jnp.linalg.norm(w))
        # Twice: what rounding left of the old directions after the first time would grow with every step.
        w, inside = projection(vectors, w)
        w, rest = projection(vectors, w)
        # All elements of the column, not three: after a restart the matrix is not tridiagonal.
        column = inside + rest
        matrix = basis.matrix.at[j, :].set(column).at[:, j].set(column)
        size = jnp.linalg.norm(w)

        def another() -> jax.Array:
            x = jnp.roll(v, shift + j)
            for _ in range(3):
                x, _ = projection(vectors, x)
                x = x / jnp.maximum(jnp.linalg.norm(x), float(finfo(x.dtype).tiny))
            return x

        closed = size <= rounding * scale
        following = jax.lax.cond(closed, another, lambda: w / size)
        return Basis(vectors, matrix, following, jnp.where(closed, 0, size), scale)

    result: Basis = jax.lax.fori_loop(first, m, step, basis)
    return result


def projection(vectors: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The part of `w` orthogonal to the orthonormal rows of `vectors`, and the coefficients of the other part."""
    coefficients = product(vectors, w)
    return w - product(coefficients, vectors), coefficients

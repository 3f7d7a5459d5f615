"""Solvers that iterate until they are near enough."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from optax.core import Numeric, check_hyperparameter, check_integer, tree, widen

__all__ = ["matrix_inverse_pth_root", "nnls", "power_iteration"]

_HIGHEST = jax.lax.Precision.HIGHEST


def power_iteration(
    matrix: Any,
    *,
    v0: Any = None,
    num_iters: int = 100,
    error_tolerance: Numeric = 1e-6,
    precision: Any = _HIGHEST,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """The eigenvalue of largest magnitude and its eigenvector: v = A v / |A v|, until A v = lambda v.

    Args:
      matrix: A, a Hermitian array of shape (n, n), or a linear function from a tree v to the tree A v.
      v0: where to begin, an array of shape (n,) or a tree; not zero, and not orthogonal to the eigenvector. None for
        random numbers.
      num_iters: integer >= 0, the largest number of iterations. Each reduces the error by the ratio of the two largest
        eigenvalues; if these differ in sign alone, none does.
      error_tolerance: scalar >= 0; the iteration ends where |A v - lambda v| <= error_tolerance * |lambda|.
      precision: of the products with an array, as in `jax.numpy.matmul`.
      key: random key for the random numbers; None for a fixed one.

    Returns:
      The eigenvalue and the eigenvector, of length 1; for a zero matrix 0 and `v0 / |v0|`. The eigenvalue can be
      differentiated with respect to an array; the eigenvector is a constant.

    Raises:
      ValueError: the array is not square, or `v0` is missing where `matrix` is a function.

    Reference:
      Golub, Van Loan, "Matrix computations", 2013, section 7.3.1.
    """
    check_hyperparameter("error_tolerance", error_tolerance, least=0)
    num_iters = check_integer("num_iters", num_iters, least=0)
    if callable(matrix):
        if v0 is None:
            raise ValueError("v0 must be given where matrix is a function")
        times = constant_times = matrix
        dtype = tree.dtype(v0, "promote")
    else:
        a, dtype = _square("matrix", matrix)
        if v0 is None:
            v0 = jax.random.normal(jax.random.key(0) if key is None else key, a.shape[:1], a.real.dtype)
        v0 = jnp.asarray(v0, a.dtype)

        def times(v: Any) -> Any:
            return jnp.matmul(a, v, precision=precision)

        def constant_times(v: Any) -> Any:
            return jnp.matmul(jax.lax.stop_gradient(a), v, precision=precision)

    def step(carry: Any) -> Any:
        i, v, w, _ = carry  # w = A v
        v = _unit(w, v)
        return (i + 1, v, *_judged(v, constant_times(v)))

    def _judged(v: Any, w: Any) -> tuple[Any, jax.Array]:
        w = tree.cast_like(w, v)
        eigenvalue = tree.vdot(v, w).real
        distance = tree.norm(tree.add_scale(w, -eigenvalue, v))
        return w, distance > error_tolerance * jnp.abs(eigenvalue)

    def unfinished(carry: Any) -> jax.Array:
        flag: jax.Array = (carry[0] < num_iters) & carry[-1]
        return flag

    v = jax.lax.stop_gradient(_unit(v0, v0))
    start = jnp.zeros([], jnp.int32), v, *_judged(v, constant_times(v))
    v = jax.lax.stop_gradient(jax.lax.while_loop(unfinished, step, start)[1])
    eigenvalue = tree.vdot(v, times(v)).real
    return eigenvalue.astype(jnp.zeros([], dtype).real.dtype), tree.cast(v, dtype) if not callable(matrix) else v


def _unit(w: Any, v: Any) -> Any:
    """w / |w|, or `v` if w is zero."""
    length = tree.norm(w)
    inverse = 1 / jnp.where(length == 0, 1, length)
    return tree.where(length == 0, v, tree.scale(inverse, w))


def _square(name: str, matrix: Any) -> tuple[jax.Array, Any]:
    """A square matrix in float32 or wider, and the dtype for results."""
    matrix = jnp.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square array, not of shape {matrix.shape}")
    wide = widen(matrix)
    return wide, matrix.dtype if jnp.issubdtype(matrix.dtype, jnp.inexact) else wide.dtype


def matrix_inverse_pth_root(
    matrix: jax.Array,
    p: int,
    num_iters: int = 100,
    ridge_epsilon: Numeric = 1e-6,
    error_tolerance: Numeric = 1e-6,
    precision: Any = _HIGHEST,
) -> tuple[jax.Array, jax.Array]:
    """A^(-1/p) of a positive definite matrix, by coupled Newton iterations.

        A = matrix + ridge_epsilon * lambda * I    with lambda, the largest eigenvalue of matrix
        M = z A,  H = z^(1/p) I                    with z = (1 + p) / (2 |A|)
        T = ((p + 1) I - M) / p,  M = T^p M,  H = H T    until M = I

    Args:
      matrix: Hermitian array of shape (n, n) without negative eigenvalues. Computed in float32 or wider.
      p: integer >= 1.
      num_iters: integer >= 0, the largest number of iterations.
      ridge_epsilon: scalar >= 0; how far small eigenvalues are raised, relative to the largest.
      error_tolerance: scalar >= 0; the iteration ends where no element of M - I is larger, or rounding errors grow.
      precision: of the products, as in `jax.numpy.matmul`.

    Returns:
      The root, of the shape and dtype of `matrix`, and the largest element of |M - I|, float32 or wider. Zeros and 1
      for a zero matrix, which has no root.

    Raises:
      ValueError: `matrix` is not square, or a number is out of its range.

    Reference:
      Guo, Higham, "A Schur-Newton method for the matrix pth root and its inverse", 2006, equation 3.4.
    """
    p, num_iters = check_integer("p", p, least=1), check_integer("num_iters", num_iters, least=0)
    check_hyperparameter("ridge_epsilon", ridge_epsilon, least=0)
    check_hyperparameter("error_tolerance", error_tolerance, least=0)
    a, dtype = _square("matrix", matrix)
    n, real = len(a), a.real.dtype
    one = jnp.eye(n, dtype=a.dtype)
    if n == 0:
        return jnp.asarray(a, dtype), jnp.zeros([], real)
    order = jnp.asarray(p, real)

    def product(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.matmul(x, y, precision=precision)

    def error_of(m: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(m - one))

    largest, _ = power_iteration(a, error_tolerance=1e-6, precision=precision)
    a = a + (jnp.asarray(ridge_epsilon, real) * largest).astype(a.dtype) * one
    norm = tree.norm(a)
    z = jnp.where(norm == 0, 0, (1 + order) / (2 * jnp.where(norm == 0, 1, norm)))
    m = z.astype(a.dtype) * a
    h = (z ** (1 / order)).astype(a.dtype) * one

    def step(carry: Any) -> Any:
        i, m, h, error, _ = carry
        t = ((order + 1).astype(a.dtype) * one - m) / order.astype(a.dtype)
        m_next = product(_power(t, p, one, product), m)
        new_error = error_of(m_next)
        grows = ~(new_error < 1.2 * error)  # or is NaN
        kept = tree.where(grows, (m, h, error), (m_next, product(h, t), new_error))
        return (i + 1, *kept, grows)

    def unfinished(carry: Any) -> jax.Array:
        i, _, _, error, grows = carry
        flag: jax.Array = (i < num_iters) & (error > error_tolerance) & ~grows
        return flag

    start = jnp.zeros([], jnp.int32), m, h, error_of(m), norm == 0
    _, _, h, error, _ = jax.lax.while_loop(unfinished, step, start)
    return h.astype(dtype), error


def _power(t: jax.Array, p: Any, one: jax.Array, product: Any) -> jax.Array:
    """t^p by repeated squaring; `p` may be traced."""

    def step(carry: Any) -> Any:
        result, square, rest = carry
        return jnp.where(rest % 2 == 1, product(result, square), result), product(square, square), rest // 2

    start = one, t, jnp.asarray(p, jnp.int32)
    return jax.lax.while_loop(lambda carry: carry[2] > 0, step, start)[0]


def nnls(A: jax.Array, b: jax.Array, iters: int, unroll: int | bool = 1, L: Any = None) -> jax.Array:
    """The x >= 0 with the smallest |A x - b|^2, by accelerated projected gradient steps from x = 0.

        x' = max(0, y - A^T (A y - b) / L),  s' = (1 + sqrt(1 + 4 s^2)) / 2,  y' = x' + (s - 1) / s' * (x' - x)

    The error falls like 1 / iters^2 at first, and geometrically in the end.

    Args:
      A: real array of shape (..., m, n); leading axes are a batch. Computed in float32 or wider.
      b: array of shape (..., m), or (..., m, k) for k right-hand sides.
      iters: integer >= 0, number of steps.
      unroll: how many steps one turn of the compiled loop makes, as in `jax.lax.scan`.
      L: scalar no smaller than the largest eigenvalue of A^T A. None for the Frobenius norm of A^T A.

    Returns:
      x, an array of shape (..., n) or (..., n, k).

    Raises:
      ValueError: the shapes do not fit.

    Reference:
      Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm", 2009, section 4.
    """
    iters = check_integer("iters", iters, least=0)
    A, b = jnp.asarray(A), jnp.asarray(b)
    vector = b.ndim == A.ndim - 1
    if A.ndim < 2 or b.shape[: A.ndim - 1] != A.shape[:-1] or b.ndim not in (A.ndim - 1, A.ndim):
        raise ValueError(
            f"b must have the shape (..., m) or (..., m, k) for A of (..., m, n), not {b.shape}, {A.shape}"
        )
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.result_type(A, b, jnp.float16)
        wide = widen(jnp.zeros([], dtype)).dtype
    a = A.astype(wide)
    right = (b[..., None] if vector else b).astype(wide)
    at = jnp.swapaxes(a, -2, -1)
    normal = jnp.matmul(at, a, precision=_HIGHEST)
    target = jnp.matmul(at, right, precision=_HIGHEST)
    bound = jnp.sqrt(jnp.sum(normal * normal, axis=(-2, -1), keepdims=True)) if L is None else jnp.asarray(L, wide)
    step_size = jnp.where(bound == 0, 0, 1 / jnp.where(bound == 0, 1, bound))

    def step(carry: Any, _: None) -> Any:
        x, y, s = carry
        x_next = jnp.maximum(0, y - (jnp.matmul(normal, y, precision=_HIGHEST) - target) * step_size)
        s_next = (1 + jnp.sqrt(1 + 4 * s * s)) / 2
        return (x_next, x_next + (s - 1) / s_next * (x_next - x), s_next), None

    zeros = jnp.zeros_like(target)
    (x, _, _), _ = jax.lax.scan(step, (zeros, zeros, jnp.ones([], wide)), None, iters, unroll=unroll)
    return (x[..., 0] if vector else x).astype(dtype)

"""Eigenvalues and eigenvectors of matrices that can only be multiplied with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_hyperparameter, check_integer
from optax.second_order._krylov import Basis, extended, start
from optax.second_order._operator import LinearOperator, product

__all__ = ["Eigenpairs", "top_eigenpairs"]


class Eigenpairs(NamedTuple):
    """Some eigenvalues of a symmetric matrix A, with their eigenvectors.

    Attributes:
      values: the eigenvalues, shape (k,), in the order that was asked for.
      vectors: the eigenvectors v, orthonormal: a tree like the parameters, leaves of shape (k, *leaf.shape).
      residuals: the norms of A v - value v, shape (k,). The distance from each value to the nearest eigenvalue is at
        most its residual.
    """

    values: jax.Array
    vectors: Any
    residuals: jax.Array


def top_eigenpairs(
    matvec: Callable[[PyTree], PyTree],
    params: PyTree,
    rng: jax.Array,
    k: int,
    *,
    which: str = "largest",
    num_steps: int | None = None,
    max_restarts: int = 10,
    tol: float | None = None,
) -> Eigenpairs:
    """The k outermost eigenvalues of a symmetric matrix A and their eigenvectors, by the Lanczos method.

    A basis of `num_steps` vectors, of the span of v, A v, A^2 v ... for a random v, is kept orthonormal to rounding
    precision; A within it has eigenvalues that approach those of A from inside. Until they are accurate, it is
    shrunk to the best approximations and extended again.

    Look at `residuals`: eigenvalues close to each other, relative to the width of the spectrum, converge slowly. Of an
    eigenvalue of multiplicity above 1 a copy may be missed, unless `num_steps` is the number of parameters.

    Args:
      matvec: maps v, a tree like `params` in its dtypes, to A v. For the Hessian of a loss:
        `lambda v: hvp(loss, v, params, inputs, targets)`.
      params: tree of real floating arrays (or of their shapes and dtypes); only the form counts. In 16 bits v is
        rounded before each product, which limits the accuracy.
      rng: a PRNG key, for the first vector.
      k: how many eigenvalues, from 1 to the number n of parameters; static under `jit`.
      which: "largest" (in falling order), "smallest" (in rising order: the most negative first), or "magnitude" (by
        absolute value, in falling order).
      num_steps: the size of the basis, > k (it is at most n); static under `jit`. Memory is that of
        `num_steps` trees. None for min(n, max(4 k, k + 40)).
      max_restarts: how often the basis may be shrunk and extended again, >= 0. That makes at most
        num_steps + max_restarts (num_steps - k) products, and k for the residuals.
      tol: stop as soon as all residuals are estimated to be at most tol times the largest absolute eigenvalue, >= 0.
        None for the root of the machine epsilon (3e-4, in float64 1e-8): the error of an eigenvalue goes with the
        square of its residual. Below 10 machine epsilons it counts as that.

    Returns:
      `Eigenpairs`, in float32, or float64 if a parameter is.

    Raises:
      ValueError: a number is out of range, another `which`, no parameters, or `matvec` returns other shapes.
      TypeError: a parameter or product is not real floating, or an argument is of another kind.

    Reference:
      Wu and Simon, "Thick-Restart Lanczos Method for Large Symmetric Eigenvalue Problems", 2000, SIAM Journal on
      Matrix Analysis and Applications 22(2).

    >>> values = jnp.arange(1.0, 6.0)
    >>> top_eigenpairs(lambda v: values * v, values, jax.random.key(0), k=2).values.round(4)
    Array([5., 4.], dtype=float32)
    """
    operator = LinearOperator(matvec, params)
    n = operator.size
    k = check_integer("k", k, least=1)
    if k > n:
        raise ValueError(f"k must be at most the number of parameters, {n}, not {k}")
    wanted = max(4 * k, k + 40) if num_steps is None else check_integer("num_steps", num_steps, least=1)
    if wanted <= k and wanted < n:
        raise ValueError(f"num_steps must be above k = {k}, or the number of parameters, {n}; not {num_steps}")
    m = min(wanted, n)
    restarts = check_integer("max_restarts", max_restarts, least=0)
    if m == n:
        restarts = 0  # the basis is complete
    if which not in _RANKS:
        raise ValueError(f"which must be one of {', '.join(map(repr, _RANKS))}, not {which!r}")
    if tol is not None:
        check_hyperparameter("tol", tol, least=0)
    finfo: Any = jnp.finfo
    eps = jnp.asarray(finfo(operator.dtype).eps, operator.dtype)
    # Below some epsilons there is only rounding: more restarts would add to it.
    bound = jnp.sqrt(eps) if tol is None else jnp.maximum(jnp.asarray(tol, operator.dtype), 10 * eps)

    # Half of the room is for what is not asked for: the neighbours that would slow convergence down.
    kept = min(m - 1, k + (m - k) // 2)

    def unfinished(carry: _Cycle) -> jax.Array:
        residuals = carry.basis.coupling * jnp.abs(carry.within[-1, :k])
        inaccurate = jnp.any(residuals > bound * jnp.max(jnp.abs(carry.values)))
        more: jax.Array = (carry.number == 0) | (carry.number <= restarts) & inaccurate
        return more

    def again(carry: _Cycle) -> _Cycle:
        number, values, within, basis = carry
        # The first cycle extends an empty basis: the same program as a restart that keeps nothing.
        first = jnp.where(number == 0, 0, kept)
        stays = jnp.arange(m) < first
        shrunk = jnp.where(stays[:, None], product(within.T, basis.vectors), 0)
        basis = basis._replace(vectors=shrunk, matrix=jnp.diag(jnp.where(stays, values, 0)))
        basis = extended(operator, basis, v, first, shift=1 + m * number)
        values, within = jnp.linalg.eigh(basis.matrix, symmetrize_input=False)
        best = jnp.argsort(-_RANKS[which](values))
        return _Cycle(number + 1, values[best], within[:, best], basis)

    v = operator.ravel(operator.random(rng, jax.random.normal))
    empty = start(operator, v, m)
    cycle = _Cycle(jnp.asarray(0), jnp.diag(empty.matrix), empty.matrix, empty)
    cycle = jax.lax.while_loop(unfinished, again, cycle)
    values, vectors = cycle.values[:k], product(cycle.within[:, :k].T, cycle.basis.vectors)

    def residual(pair: tuple[jax.Array, jax.Array]) -> jax.Array:
        value, v = pair
        return jnp.sqrt(jnp.sum(jnp.square(operator.flat(v) - value * v)))

    return Eigenpairs(values, operator.unravel(vectors), jax.lax.map(residual, (values, vectors)))


class _Cycle(NamedTuple):
    """What is known after some restarts: the basis, and eigenvalues and eigenvectors within it, the best first."""

    number: jax.Array
    values: jax.Array
    within: jax.Array
    basis: Basis


_RANKS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "largest": lambda values: values,
    "smallest": lambda values: -values,
    "magnitude": jnp.abs,
}

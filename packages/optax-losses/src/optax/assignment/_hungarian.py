"""Linear sum assignment: pair rows with columns so that the pairs cost the least."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from optax.core import widen

__all__ = ["base_hungarian_algorithm", "hungarian_algorithm"]


def hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Choose min(n, m) pairs of a row and a column, no row and no column twice, with the least sum of costs.

    Row by row, the partial assignment grows along a shortest path: at most n^2 steps, each over the m columns. Costs
    are computed with in float32 (float64 if they have that precision; integers of 32 bits or more in the default
    precision), and the sum is the least up to the rounding of that.

    The indices have no derivative, but `cost_matrix[rows, columns].sum()` has the right one by the costs. Under
    `jax.vmap` the matrices are solved one after the other on a CPU, and side by side on an accelerator.

    Args:
      cost_matrix: shape (n, m), real. An entry of infinity forbids the pair.

    Returns:
      Two int32 arrays of shape (min(n, m),): the rows in ascending order, and the column of each. All of them are -1
      if there is no assignment, or an entry is NaN or minus infinity, and the matrix is traced.

    Raises:
      TypeError: the costs are no real numbers.
      ValueError: not a matrix; or, unless it is traced, one without assignment or with NaN or minus infinity.

    Reference:
      Crouse, "On implementing 2D rectangular assignment algorithms" (2016), section II.
    """
    cost = _as_costs(cost_matrix)
    if 0 in cost.shape:
        return jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32)
    rows, columns = _assign(cost)
    if not isinstance(rows, jax.core.Tracer) and rows[0] < 0:
        if not jnp.all(cost > -jnp.inf):
            raise ValueError("cost_matrix has entries that are NaN or minus infinity")
        raise ValueError("cost_matrix has so many infinite entries that no assignment is possible")
    return rows, columns


def base_hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Solve the linear sum assignment problem: `hungarian_algorithm` under the name of an older implementation.

    Args:
      cost_matrix: shape (n, m), real. An entry of infinity forbids the pair.

    Returns:
      The rows and columns of the pairs, see `hungarian_algorithm`.

    Raises:
      TypeError: the costs are no real numbers.
      ValueError: see `hungarian_algorithm`.
    """
    return hungarian_algorithm(cost_matrix)


def _as_costs(cost_matrix: Any) -> jax.Array:
    cost = jax.lax.stop_gradient(jnp.asarray(cost_matrix))
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    if not any(jnp.issubdtype(cost.dtype, kind) for kind in kinds):
        raise TypeError(f"cost_matrix must be real, got dtype {cost.dtype}")
    if cost.ndim != 2:
        raise ValueError(f"cost_matrix must have two axes, rows and columns, got shape {cost.shape}")
    if jnp.issubdtype(cost.dtype, jnp.integer) and cost.dtype.itemsize >= 4:
        return cost.astype(jnp.result_type(float))
    return widen(cost)


@jax.jit
def _assign(cost: jax.Array) -> tuple[jax.Array, jax.Array]:
    n, m = cost.shape
    columns = _columns(cost if n <= m else cost.T)
    possible = columns[0] >= 0
    rows = jnp.arange(min(n, m), dtype=jnp.int32)
    if n > m:
        order = jnp.argsort(columns).astype(jnp.int32)
        rows, columns = columns[order], order
    return jnp.where(possible, rows, -1), jnp.where(possible, columns, -1)


@custom_vmap
def _columns(cost: jax.Array) -> jax.Array:
    """The column of each row, where there are at least as many columns as rows; -1 if there is no assignment."""
    return _shortest_augmenting_paths(cost)


@_columns.def_vmap
def _columns_of_a_batch(size: int, batched: list[bool], cost: jax.Array) -> tuple[jax.Array, bool]:
    del size, batched
    # Loops in lockstep take as long as the slowest matrix at every turn, which only many processors make up for.
    columns = jax.lax.platform_dependent(
        cost,
        cpu=lambda costs: jax.lax.map(_columns, costs),
        default=lambda costs: jax.vmap(_shortest_augmenting_paths)(costs),
    )
    return columns, True


class _Search(NamedTuple):
    """A search for the shortest path from a row without column to a column without row.

    Attributes:
      nearest: the shortest way known to each column; infinity once it is settled.
      settled: the length of the shortest way, once it is settled; infinity before.
      prices: the columns' prices; minus infinity once they are settled, which keeps others from reaching them.
      previous: the row from which each column is reached.
      row: the row to go on from; -1 when a column without row is settled.
      column: the column settled last.
      length: the length of the way to it.
      offset: what to add to the costs of the row, less the prices, to have the lengths of ways over it.
    """

    nearest: jax.Array
    settled: jax.Array
    prices: jax.Array
    previous: jax.Array
    row: jax.Array
    column: jax.Array
    length: jax.Array
    offset: jax.Array


def _shortest_augmenting_paths(cost: jax.Array) -> jax.Array:
    """`_columns`, without the choice of how to do a batch."""
    n, m = cost.shape
    valid = jnp.all(cost > -jnp.inf)
    cost = jnp.where(valid, cost, 0)
    cost = cost - _finite(jnp.min(cost, axis=1, keepdims=True))  # the same pairs are best
    # Only if every column gets a row in the end may the prices of columns begin with anything but 0.
    prices = _finite(jnp.min(cost, axis=0)) if n == m else jnp.zeros_like(cost[0])
    nobody = jnp.int32(-1)
    inf = jnp.full((), jnp.inf, cost.dtype)
    each = jnp.arange(m, dtype=jnp.int32)

    def take_free(i: Any, pairs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """Give row i a column that is free and as cheap as any."""
        row_of, column_of = pairs
        reduced = cost[i] - prices
        wanted = (reduced == jnp.min(reduced)) & (row_of < 0) & (reduced < jnp.inf)
        j = jnp.argmax(wanted).astype(jnp.int32)
        row = jnp.where(wanted[j], jnp.asarray(i, jnp.int32), row_of[j])
        return row_of.at[j].set(row), column_of.at[i].set(jnp.where(wanted[j], j, nobody))

    def augment(
        state: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Give a row that has none a column, and other columns to the rows on the way there."""
        prices, row_of, column_of, _ = state
        start = jnp.argmax(column_of < 0).astype(jnp.int32)

        def settle(s: _Search) -> _Search:
            length = cost[s.row] - s.prices + s.offset
            previous = jnp.where(length < s.nearest, s.row, s.previous)
            nearest = jnp.minimum(s.nearest, length)
            j = jnp.min(jnp.where(nearest == jnp.min(nearest), each, m - 1))  # an argmin takes twice as long on a CPU
            row = row_of[j]
            return _Search(
                nearest.at[j].set(inf),
                s.settled.at[j].set(nearest[j]),
                s.prices.at[j].set(-inf),
                previous,
                row,
                j,
                nearest[j],
                nearest[j] - (cost[row, j] - prices[j]),
            )

        far = jnp.full_like(prices, jnp.inf)
        zero = jnp.zeros_like(inf)
        found = jax.lax.while_loop(
            lambda s: (s.row >= 0) & (s.length < jnp.inf),
            settle,
            _Search(far, far, prices, jnp.full_like(row_of, -1), start, nobody, zero, zero),
        )
        possible = found.length < jnp.inf
        prices = prices + jnp.minimum(found.settled - found.length, 0)

        def swap(
            pairs: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
        ) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
            row_of, column_of, j, _ = pairs
            i = found.previous[j]
            return row_of.at[j].set(i), column_of.at[i].set(j), column_of[i], i != start

        row_of, column_of, _, _ = jax.lax.while_loop(
            lambda pairs: pairs[3], swap, (row_of, column_of, found.column, possible)
        )
        return prices, row_of, column_of, possible

    row_of, column_of = jax.lax.fori_loop(0, n, take_free, (jnp.full(m, -1, jnp.int32), jnp.full(n, -1, jnp.int32)))
    _, _, column_of, possible = jax.lax.while_loop(
        lambda state: jnp.any(state[2] < 0) & state[3], augment, (prices, row_of, column_of, valid)
    )
    return jnp.where(possible & valid, column_of, -1)


def _finite(x: jax.Array) -> jax.Array:
    """`x`, and 0 where that is infinite: what a row or a column of infinities is moved by."""
    return jnp.where(jnp.isfinite(x), x, 0)

import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from optax.assignment import base_hungarian_algorithm, hungarian_algorithm
from x64 import enable_x64

INTEGERS = st.integers(-4, 4).map(float)
FORBIDDEN = st.integers(-2, 2).map(float) | st.just(np.inf)
jitted = jax.jit(hungarian_algorithm)


def check(cost: np.ndarray, rows: jax.Array, columns: jax.Array) -> None:
    """That the pairs are pairs, in the order of the rows, and cost as little as SciPy's."""
    expected = linear_sum_assignment(cost.astype(np.float64))
    assert rows.dtype == columns.dtype == jnp.int32
    assert rows.shape == columns.shape == (min(cost.shape),)
    rows, columns = np.asarray(rows), np.asarray(columns)
    assert (np.diff(rows) > 0).all()
    assert len(set(columns.tolist())) == len(columns)
    np.testing.assert_allclose(
        cost[rows, columns].sum(dtype=np.float64), cost[expected].sum(dtype=np.float64), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (20, 20), (30, 12), (12, 30)])
def test_the_pairs_are_those_of_scipy(shape):
    """Random costs have one best assignment."""
    rng = np.random.default_rng(sum(shape))
    for cost in (rng.normal(size=shape), rng.exponential(size=shape) * 1e6, rng.uniform(size=shape) * 1e-6):
        cost = cost.astype(np.float32)
        rows, columns = linear_sum_assignment(cost)
        for result in (hungarian_algorithm(cost), jitted(cost), base_hungarian_algorithm(cost)):
            assert np.array_equal(result, (rows, columns))
            check(cost, *result)


@pytest.mark.parametrize("shape", [(5, 5), (6, 3)])
@hypothesis.given(st.data())
def test_ties(shape, data):
    cost = data.draw(hnp.arrays(np.float32, shape, elements=INTEGERS))
    check(cost, *jitted(cost))


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@hypothesis.given(st.data())
def test_forbidden_pairs(shape, data):
    cost = data.draw(hnp.arrays(np.float32, shape, elements=FORBIDDEN))
    try:
        linear_sum_assignment(cost)
    except ValueError:
        assert (np.asarray(jitted(cost)) == -1).all()
        with pytest.raises(ValueError, match=r"^cost_matrix has so many infinite entries"):
            hungarian_algorithm(cost)
    else:
        check(cost, *jitted(cost))


def test_paths_through_every_row():
    """Costs i * j make each row push all earlier ones to other columns."""
    i = np.arange(1, 31, dtype=np.float32)
    check(i[:, None] * i, *jitted(i[:, None] * i))
    rows, columns = jitted(i[:, None] * i)
    assert columns.tolist() == rows.tolist()[::-1]


def test_by_hand():
    cost = jnp.array([[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]])
    rows, columns = hungarian_algorithm(cost)
    assert (rows.tolist(), columns.tolist()) == ([0, 1, 2], [1, 0, 2])
    assert hungarian_algorithm([[1, 2], [3, 0]])[1].tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_to_assign(shape):
    for result in (hungarian_algorithm(jnp.zeros(shape)), jitted(jnp.zeros(shape))):
        assert [(x.shape, x.dtype) for x in result] == [((0,), jnp.int32)] * 2


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.uint8, jnp.int32, jnp.bool_])
def test_other_dtypes(dtype):
    cost = (np.random.default_rng(0).integers(0, 100, (6, 8)) % (2 if dtype == jnp.bool_ else 100)).astype(dtype)
    check(cost.astype(np.float32), *hungarian_algorithm(cost))


def test_double_precision():
    """Differences that float32 does not have decide; large integers count in full too."""
    with enable_x64():
        cost = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-12]])
        for c in (cost, -cost, (cost * 10**13).astype(np.int64)):
            check(c, *jitted(c))
            assert jitted(c)[1].tolist() == ([0, 1] if c[0, 0] < 0 else [1, 0])


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("shape", [(3, 3), (2, 3), (3, 2)])
def test_costs_without_meaning(value, shape):
    cost = np.zeros(shape, np.float32)
    cost[1, 1] = value
    with pytest.raises(ValueError, match="cost_matrix has entries that are NaN or minus infinity"):
        hungarian_algorithm(cost)
    assert (np.asarray(jitted(cost)) == -1).all()


@pytest.mark.parametrize("shape", [(4, 4), (5, 3)])
def test_vmap_is_a_loop(shape):
    """Also where a matrix of the batch has no assignment."""
    costs = np.random.default_rng(0).normal(size=(2, 3, *shape)).astype(np.float32)
    costs[1, 0, 1, 1] = np.nan
    expected = np.stack([[jitted(cost) for cost in row] for row in costs])
    for f in (jax.vmap(jax.vmap(hungarian_algorithm)), jax.jit(jax.vmap(jax.vmap(hungarian_algorithm)))):
        assert np.array_equal(np.stack(f(costs), axis=2), expected)
    side_by_side = jax.vmap(hungarian_algorithm, in_axes=-1, out_axes=-1)(np.moveaxis(costs[0], 0, -1))
    assert np.array_equal(np.stack(side_by_side), np.moveaxis(expected[0], 0, -1))


@pytest.mark.parametrize("shape", [(4, 4), (3, 5)])
def test_a_batch_side_by_side(shape):
    """What accelerators run."""
    from optax.assignment import _hungarian

    costs = np.random.default_rng(1).integers(0, 5, (6, *shape)).astype(np.float32)
    costs[2, 0] = np.inf
    together = jax.jit(jax.vmap(_hungarian._shortest_augmenting_paths))(costs)
    assert np.array_equal(together, [jitted(cost)[1] for cost in costs])


def test_the_cost_of_the_assignment_can_be_differentiated():
    cost = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32))

    def least(c):
        return c[hungarian_algorithm(c)].sum()

    expected = np.zeros((3, 4))
    expected[np.asarray(hungarian_algorithm(cost[0]))[0], np.asarray(hungarian_algorithm(cost[0]))[1]] = 1
    for gradient in (jax.grad(least)(cost[0]), jax.jit(jax.grad(least))(cost[0]), jax.vmap(jax.grad(least))(cost)[0]):
        assert np.array_equal(gradient, expected)
    assert jax.grad(lambda c: jax.vmap(least)(c).sum())(cost)[0].tolist() == expected.tolist()
    assert float(jax.jvp(least, (cost[0],), (jnp.ones((3, 4)),))[1]) == 3


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4)])
def test_not_a_matrix(shape):
    with pytest.raises(
        ValueError, match=re.escape(f"cost_matrix must have two axes, rows and columns, got shape {shape}")
    ):
        hungarian_algorithm(jnp.zeros(shape))


def test_complex_costs():
    with pytest.raises(TypeError, match="cost_matrix must be real, got dtype complex64"):
        hungarian_algorithm(jnp.zeros((2, 2), jnp.complex64))

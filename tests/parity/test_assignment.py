"""Assignments against SciPy's, at sizes and of kinds that the other tests are too quick for."""

import jax
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from optax.assignment import hungarian_algorithm

KINDS = {
    "uniform": lambda rng, shape: rng.uniform(size=shape),
    "normal": lambda rng, shape: rng.normal(size=shape) * 100,
    "few integers": lambda rng, shape: rng.integers(0, 10, shape),
    "many integers": lambda rng, shape: rng.integers(-10_000, 10_000, shape),
    "distances": lambda rng, shape: abs(rng.normal(size=(shape[0], 1)) - rng.normal(size=(1, shape[1]))),
    "products": lambda rng, shape: np.outer(np.arange(shape[0]), np.arange(shape[1])),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(50, 50), (40, 130), (130, 40), (300, 300)])
def test_it_costs_as_little_as_scipy(kind, shape):
    cost = KINDS[kind](np.random.default_rng(0), shape).astype(np.float32)
    rows, columns = map(np.asarray, jax.jit(hungarian_algorithm)(cost))
    expected = linear_sum_assignment(cost)
    np.testing.assert_allclose(
        cost[rows, columns].sum(dtype=float), cost[expected].sum(dtype=float), rtol=1e-6, atol=1e-4
    )
    assert len(set(columns)) == len(set(rows)) == min(shape)
    if kind == "uniform":  # where one assignment is the best
        assert np.array_equal((rows, columns), expected)

"""Eigenpairs against dense eigenvalue problems, and what happens where the span of the basis closes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from optax.second_order import hvp, top_eigenpairs
from reference.spectra import symmetric
from x64 import enable_x64

KEY = jax.random.key(0)
OUTLIERS = np.concatenate([np.linspace(-1, 1, 54), [3.0, 2.5, 2.0, -2.2, -4.0, 1.5]])


@functools.cache
def solver(n, k, dtype, which, num_steps):
    """`top_eigenpairs` of a dense matrix, compiled once."""

    def solve(matrix, key, max_restarts, tol):
        return top_eigenpairs(
            lambda v: jnp.matmul(matrix, v, precision="highest"),
            jnp.zeros(n, dtype),
            key,
            k,
            which=which,
            num_steps=num_steps,
            max_restarts=max_restarts,
            tol=tol,
        )

    return jax.jit(solve)


def solved(eigenvalues, k, dtype="float64", which="largest", num_steps=14, max_restarts=30, tol=1e-8):
    matrix = symmetric(eigenvalues)
    with enable_x64():
        solve = solver(len(eigenvalues), k, dtype, which, num_steps)
        pairs = solve(jnp.asarray(matrix, dtype), KEY, max_restarts, tol)
        assert {x.dtype.name for x in pairs} == {dtype}
        values, vectors, residuals = (np.asarray(x, np.float64) for x in pairs)
    eps, scale = np.finfo(dtype).eps, np.abs(eigenvalues).max()
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(k), atol=300 * eps)
    by_hand = np.linalg.norm(vectors @ matrix - values[:, None] * vectors, axis=1)
    np.testing.assert_allclose(residuals, by_hand, rtol=0.01, atol=30 * eps * scale)
    return values, residuals


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("largest", [3, 2.5, 2, 1.5, 1]),
        ("smallest", [-4, -2.2, -1, -1 + 2 / 53, -1 + 4 / 53]),
        ("magnitude", [-4, 3, 2.5, -2.2, 2]),
    ],
)
def test_the_outermost_eigenvalues(which, expected):
    values, residuals = solved(OUTLIERS, 5, which=which)
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    assert residuals.max() < 1e-6


def test_hessian_of_a_network():
    """Agrees with the dense Hessian of a network, with leaves of several shapes, to 1e-6 in float64."""
    random = np.random.default_rng(0)
    with enable_x64():
        x, y = jnp.asarray(random.normal(size=(40, 5))), jnp.asarray(random.normal(size=(40, 2)))
        first, second = jnp.asarray(0.7 * random.normal(size=(5, 16))), jnp.asarray(0.5 * random.normal(size=(16, 2)))
        params = {"first": (first, jnp.zeros(16)), "none": None, "second": second}

        def loss(p, x, y):
            hidden = jnp.tanh(x @ p["first"][0] + p["first"][1][None])
            return jnp.mean(jnp.square(hidden @ p["second"] - y))

        @jax.jit
        def pairs_and_hessian(params):
            flat, unravel = ravel_pytree(params)
            pairs = top_eigenpairs(lambda v: hvp(loss, v, params, x, y), params, KEY, 6, num_steps=40)
            vectors = jax.vmap(lambda v: ravel_pytree(v)[0])(pairs.vectors)
            return pairs, vectors, jax.hessian(lambda w: loss(unravel(w), x, y))(flat)

        pairs, vectors, dense = jax.tree.map(np.asarray, pairs_and_hessian(params))
    exact = np.linalg.eigvalsh(dense)[::-1][:6]
    np.testing.assert_allclose(pairs.values, exact, rtol=1e-6)
    assert pairs.residuals.max() < 1e-6 * exact[0]
    assert jax.tree.map(np.shape, pairs.vectors) == jax.tree.map(lambda p: (6, *p.shape), params)
    np.testing.assert_allclose(vectors @ dense, exact[:, None] * vectors, atol=1e-6 * exact[0])


def test_restarts_reach_what_one_basis_does_not():
    once, rough = solved(OUTLIERS, 5, max_restarts=0)
    again, fine = solved(OUTLIERS, 5)
    assert rough.max() > 0.01
    assert np.abs(once / again - 1).max() > 1e-3
    assert fine.max() < 4e-8


@pytest.mark.parametrize("tol", [1e-2, 1e-5])
def test_products_end_at_the_tolerance(tol):
    _, residuals = solved(OUTLIERS, 5, tol=tol)
    assert tol / 1e4 < residuals.max() / 4 < 1.1 * tol


@pytest.mark.parametrize("eigenvalues", [[2.0] * 8, [0.0] * 8, [3, 3, 3, 1, 1, 0, 0, -2.0]])
def test_all_eigenvalues_with_their_multiplicity(eigenvalues):
    """The span closes early for repeated eigenvalues: a new direction goes on from there."""
    values, residuals = solved(eigenvalues, 8)
    np.testing.assert_allclose(values, np.sort(eigenvalues)[::-1], atol=1e-13)
    assert residuals.max() < 1e-13


def test_a_closed_span_is_no_nan():
    values, residuals = solved([5.0] + [1.0] * 59, 5)
    np.testing.assert_allclose(values, [5, 1, 1, 1, 1])
    assert residuals.max() < 1e-13


def test_a_basis_of_one_vector():
    values, vectors, residuals = top_eigenpairs(lambda v: -3 * v, jnp.zeros(()), KEY, 1)
    assert (values, abs(vectors), residuals) == (-3, 1, 0)


def test_single_precision():
    values, residuals = solved(OUTLIERS, 5, "float32", tol=0.0)
    np.testing.assert_allclose(values, [3, 2.5, 2, 1.5, 1], rtol=3e-6)
    assert residuals.max() < 1e-4


def test_parameters_in_16_bits():
    scales = {"a": jnp.array([8.0, 1.0, 0.5]), "b": jnp.array([4.0, -2.0])}
    params = {"a": jnp.zeros(3, jnp.bfloat16), "b": jnp.zeros(2)}

    def matvec(v):
        assert v["a"].dtype == jnp.bfloat16
        return jax.tree.map(lambda x, s: x.astype(jnp.float32) * s, v, scales)

    pairs = jax.jit(lambda key: top_eigenpairs(matvec, params, key, 2))(KEY)
    assert {x.dtype for x in jax.tree.leaves(pairs)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(pairs.values, [8, 4], rtol=0.01)
    assert pairs.residuals.max() < 0.05


def test_not_a_number_is_not_hidden():
    with enable_x64():
        pairs = solver(60, 5, "float32", "largest", 14)(jnp.full((60, 60), jnp.nan, "float32"), KEY, 30, 0.0)
    assert np.all(np.isnan(pairs.values))


@pytest.mark.parametrize(
    ("k", "options", "error", "message"),
    [
        (0, {}, ValueError, "k must be at least 1, not 0"),
        (1.0, {}, TypeError, "k must be an integer"),
        (6, {}, ValueError, "k must be at most the number of parameters, 5, not 6"),
        (2, {"num_steps": 2}, ValueError, "num_steps must be above k = 2, or the number of parameters, 5; not 2"),
        (2, {"max_restarts": -1}, ValueError, "max_restarts must be at least 0"),
        (2, {"tol": -1e-3}, ValueError, "tol must be at least 0"),
        (2, {"which": "both"}, ValueError, "'largest', 'smallest', 'magnitude', not 'both'"),
    ],
)
def test_bad_arguments(k, options, error, message):
    with pytest.raises(error, match=message):
        top_eigenpairs(lambda v: v, jnp.zeros(5), KEY, k, **options)

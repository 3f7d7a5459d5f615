"""Eigenvectors, inverse roots and nonnegative least squares, by iteration."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import optax
from x64 import enable_x64


def hermitian(n: int, kind: str = "real") -> Any:
    """A positive definite matrix with eigenvalues 1, 2, 3, ..."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if kind == "complex" else 0)
    q, _ = np.linalg.qr(x)
    return q * np.arange(1, n + 1) @ q.conj().T


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("sign", [1, -1])
def test_power_iteration_finds_the_largest_eigenvalue(kind: str, sign: int) -> None:
    a = sign * hermitian(5, kind)
    with enable_x64():
        eigenvalue, v = map(np.asarray, optax.power_iteration(jnp.asarray(a), num_iters=200, error_tolerance=1e-9))
    assert not np.iscomplexobj(eigenvalue)
    np.testing.assert_allclose(eigenvalue, 5 * sign, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(v), 1, rtol=1e-12)
    np.testing.assert_allclose(a @ v, eigenvalue * v, atol=1e-7)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_tolerance_is_relative(size: float) -> None:
    a = jnp.diag(jnp.asarray([1.0, 0.9, 0.1])) * size
    eigenvalue, v = optax.power_iteration(a, v0=jnp.ones(3), num_iters=1000, error_tolerance=1e-4)
    assert 1e-5 < abs(v[1]) < 1e-3  # (0.9 - 1) times this is at most the tolerance
    np.testing.assert_allclose(eigenvalue, size, rtol=1e-5)


def test_power_iteration_takes_a_function_of_a_tree() -> None:
    a = jnp.asarray(hermitian(4), jnp.float32)

    def times(v: Any) -> Any:
        w = a @ jnp.concatenate([v["x"], v["y"][None]])
        return {"x": w[:3], "y": w[3]}

    v0 = {"x": jnp.ones(3), "y": jnp.ones(())}
    eigenvalue, v = optax.power_iteration(times, v0=v0)
    same, vector = optax.power_iteration(a, v0=jnp.ones(4))
    np.testing.assert_allclose(eigenvalue, same, rtol=1e-6)
    np.testing.assert_allclose(v["x"], vector[:3], rtol=1e-4)
    with pytest.raises(ValueError, match="v0 must be given"):
        optax.power_iteration(times)


def test_the_eigenvalue_can_be_differentiated() -> None:
    """Its derivative is v v^T."""
    a = jnp.asarray(hermitian(4), jnp.float32)
    _, v = optax.power_iteration(a)
    np.testing.assert_allclose(jax.grad(lambda a: optax.power_iteration(a)[0])(a), np.outer(v, v), atol=1e-6)


def test_power_iteration_begins_where_it_is_told() -> None:
    a = jnp.asarray(hermitian(3), jnp.float32)
    starts = [optax.power_iteration(a, num_iters=0, **k)[1] for k in ({}, {"key": jax.random.key(1)})]
    assert np.abs(starts[0] - starts[1]).max() > 0.1
    eigenvalue, v = optax.power_iteration(a, v0=jnp.asarray([3.0, 0.0, 4.0]), num_iters=0)
    np.testing.assert_allclose(v, [0.6, 0.0, 0.8], rtol=1e-6)
    np.testing.assert_allclose(eigenvalue, v @ a @ v, rtol=1e-5)


def test_a_zero_matrix_has_the_eigenvalue_zero() -> None:
    eigenvalue, v = optax.power_iteration(jnp.zeros((3, 3)), v0=jnp.asarray([0.0, 2.0, 0.0]))
    assert eigenvalue == 0
    np.testing.assert_array_equal(v, [0, 1, 0])


@pytest.mark.parametrize("function", [optax.power_iteration, lambda a: optax.matrix_inverse_pth_root(a, 2)])
@pytest.mark.parametrize("shape", [(2, 3), (3,), (2, 3, 3)])
def test_only_square_matrices_are_taken(function: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be a square array"):
        function(jnp.ones(shape))


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("p", [1, 2, 3, 8])
def test_the_inverse_root_is_that_of_the_eigenvalues(p: int, kind: str) -> None:
    """The original's third root is not one."""
    a = hermitian(5, kind)
    w, v = np.linalg.eigh(a)
    expected = v * (w + 1e-3 * w.max()) ** (-1 / p) @ v.conj().T
    with enable_x64():
        found = optax.matrix_inverse_pth_root(jnp.asarray(a), p, ridge_epsilon=1e-3, error_tolerance=1e-10)
        root, error = map(np.asarray, found)
    assert error < 1e-9
    np.testing.assert_allclose(root, expected, atol=1e-8)


def test_the_ridge_bounds_the_root_of_a_singular_matrix() -> None:
    """Of its smallest eigenvalue, 1e-6 times the largest; the recorded diagonal of the original 0.2.8 is this one."""
    root, error = optax.matrix_inverse_pth_root(jnp.diag(jnp.asarray([4.0, 1.0, 0.0])), 4)
    np.testing.assert_allclose(np.diag(root), [0.7071066, 0.99999887, 22.360678], rtol=1e-5)
    assert error < 1e-6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
def test_roots_are_computed_in_float32(dtype: str) -> None:
    root, error = optax.matrix_inverse_pth_root(jnp.diag(jnp.asarray([4, 1], dtype)), 2)
    np.testing.assert_allclose(root, np.diag([0.5, 1.0]), rtol=1e-5)
    assert root.dtype == ("float32" if dtype == "int32" else dtype)
    assert error.dtype == jnp.float32


def test_the_iterations_can_be_limited_and_everything_traced() -> None:
    a = jnp.diag(jnp.asarray([4.0, 1.0]))
    root, error = optax.matrix_inverse_pth_root(a, 2, num_iters=0, ridge_epsilon=0.0)
    z = 3 / (2 * 17**0.5)
    np.testing.assert_allclose(root, np.sqrt(z) * np.eye(2), rtol=1e-6)
    np.testing.assert_allclose(error, 1 - z, rtol=1e-6)
    root, _ = jax.jit(optax.matrix_inverse_pth_root)(a, 2, 100, 0.0, 1e-6)
    np.testing.assert_allclose(root, np.diag([0.5, 1.0]), rtol=1e-5)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_degenerate_matrices_have_finite_roots(n: int) -> None:
    root, error = optax.matrix_inverse_pth_root(jnp.zeros((n, n)), 2)
    np.testing.assert_array_equal(root, np.zeros((n, n)))
    assert float(error) == min(n, 1)


@pytest.mark.parametrize("p", [0, -2])
def test_the_order_of_a_root_is_positive(p: int) -> None:
    with pytest.raises(ValueError, match="p must be at least 1"):
        optax.matrix_inverse_pth_root(jnp.eye(2), p)


def problem(k: int | None = None) -> Any:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(8, 4))
    x = np.array([1.0, -0.5, 2.0, -0.1])
    b = a @ x + 0.3 * rng.normal(size=8)
    return a, b if k is None else np.stack([b, -b, rng.normal(size=8)][:k], axis=1)


def test_nnls_is_that_of_scipy() -> None:
    a, b = problem(3)
    expected = np.stack([scipy.optimize.nnls(a, column)[0] for column in b.T], axis=1)
    assert (expected == 0).any()
    with enable_x64():
        x = optax.nnls(jnp.asarray(a), jnp.asarray(b), 2000)
        np.testing.assert_allclose(x, expected, atol=1e-10)
        np.testing.assert_allclose(optax.nnls(jnp.asarray(a), jnp.asarray(b[:, 0]), 2000), x[:, 0], atol=1e-12)


def test_nnls_makes_the_steps_of_the_equations() -> None:
    a, b = problem()
    x = y = np.zeros(4)
    s = 1.0
    for _ in range(7):
        x_next = np.maximum(0, y - a.T @ (a @ y - b) / 50)
        s_next = (1 + np.sqrt(1 + 4 * s**2)) / 2
        x, y, s = x_next, x_next + (s - 1) / s_next * (x_next - x), s_next
    for unroll in (1, 3, True):
        ours = optax.nnls(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32), 7, unroll, L=50.0)
        np.testing.assert_allclose(ours, x, rtol=1e-4, atol=1e-6)


def test_nnls_takes_batches() -> None:
    a, b = (jnp.asarray(np.stack([x, -x]), jnp.float32) for x in problem(2))
    both = optax.nnls(a, b, 50)
    assert both.shape == (2, 4, 2)
    np.testing.assert_allclose(both[1], optax.nnls(a[1], b[1], 50), atol=1e-5)
    np.testing.assert_allclose(optax.nnls(a, b[..., 0], 50), both[..., 0], atol=1e-5)


def test_nnls_of_zeros() -> None:
    np.testing.assert_array_equal(optax.nnls(jnp.zeros((3, 2)), jnp.ones(3), 5), [0, 0])


@pytest.mark.parametrize("shape", [(4,), (8, 2, 2), ()])
def test_nnls_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="b must have the shape"):
        optax.nnls(jnp.ones((8, 4)), jnp.ones(shape), 5)

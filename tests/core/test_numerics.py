"""Scalars and norms: exact where a hand can compute them, differentiable where a norm is zero."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import (
    abs_sq,
    safe_increment,
    safe_int32_increment,
    safe_norm,
    safe_root_mean_squares,
    safe_sqrt,
    scale_gradient,
    scaled,
)
from strategies import INEXACT, REAL, Layer, arrays
from x64 import enable_x64

BF16, F16, F32 = jnp.bfloat16, jnp.float16, jnp.float32


# Counters


@pytest.mark.parametrize(
    ("count", "following"),
    [
        (np.int32(3), 4),
        (np.int32(2**31 - 2), 2**31 - 1),
        (np.int32(2**31 - 1), 2**31 - 1),
        (np.int8(127), 127),
        (np.uint8(255), 255),
        (np.float16(3), 4),
        (np.float32(np.finfo(np.float32).max), np.finfo(np.float32).max),
        (np.asarray([0, 2**31 - 1], np.int32), [1, 2**31 - 1]),
    ],
)
def test_counters_stop_at_the_largest_number_of_their_dtype(count: Any, following: Any) -> None:
    after = safe_increment(count)
    assert after.dtype == count.dtype
    assert np.array_equal(after, following)


def test_a_counter_is_strongly_typed() -> None:
    """Defect A11: a Python number is no reason to compile again."""
    for count in (3, jnp.asarray(3), jnp.asarray(3.0)):
        assert not safe_increment(count).weak_type


def test_a_counter_can_be_carried_by_scan() -> None:
    last, _ = jax.lax.scan(lambda n, _: (safe_int32_increment(n), None), jnp.int32(2**31 - 4), None, length=9)
    assert int(last) == 2**31 - 1


@pytest.mark.parametrize("count", [True, 1j])
def test_what_does_not_count_is_refused(count: Any) -> None:
    with pytest.raises(TypeError, match=r"count must be integer or floating, not (bool|complex64)"):
        safe_increment(count)


# Squares and roots


@hypothesis.given(arrays())
def test_abs_sq_is_real(x: Any) -> None:
    square = abs_sq(x)
    assert square.dtype == np.asarray(x).real.dtype
    exact = np.abs(np.asarray(x, np.complex128)) ** 2
    np.testing.assert_allclose(np.asarray(square, np.float64), exact, rtol=float(jnp.finfo(x.dtype).eps))


def test_abs_sq_by_hand() -> None:
    assert np.array_equal(abs_sq(jnp.asarray([3 + 4j, -2j])), [25, 4])
    assert float(abs_sq(-3.0)) == 9


def test_safe_sqrt_and_its_derivatives() -> None:
    x = jnp.asarray([0.0, 4.0, 0.25])
    assert np.array_equal(safe_sqrt(x), [0, 2, 0.5])
    assert np.array_equal(jax.jit(jax.vmap(jax.grad(safe_sqrt)))(x), [0, 0.25, 1])
    assert np.array_equal(jax.jit(jax.vmap(jax.grad(jax.grad(safe_sqrt))))(x), [0, -1 / 32, -2])
    assert np.isnan(safe_sqrt(jnp.float32(-1)))


# Norms


@pytest.mark.parametrize("ord", [None, 1, 2, 3, np.inf])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_safe_norm_of_a_vector_is_numpys(ord: Any, dtype: str) -> None:
    x = np.asarray([3, -4, 0.5], dtype) * (1 if dtype == "float32" else 1 + 1j)
    norm = jax.jit(lambda x: safe_norm(x, 0.0, ord=ord))
    np.testing.assert_allclose(norm(x), np.linalg.norm(x, ord=ord), rtol=1e-6)


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, np.inf])
def test_safe_norm_of_a_matrix_is_numpys(ord: Any) -> None:
    x = np.asarray([[3, -4, 0.5], [1, 2, 2]], np.float32)
    norm = jax.jit(lambda x: safe_norm(x, 0.0, ord=ord))
    np.testing.assert_allclose(norm(x), np.linalg.norm(x, ord=ord), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), (0, 2), None])
@pytest.mark.parametrize("keepdims", [True, False])
def test_safe_norm_along_axes(axis: Any, keepdims: bool) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    expected = np.sqrt(np.sum(x.astype(np.float64) ** 2, axis=axis, keepdims=keepdims))
    got = jax.jit(lambda x: safe_norm(x, 1e-3, axis=axis, keepdims=keepdims))(x)
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_safe_norm_bounds_the_norm_from_below() -> None:
    x = jnp.asarray([[3.0, 4.0], [0.0, 0.0]])
    assert np.array_equal(safe_norm(x, 1.0, axis=1), [5, 1])
    assert float(safe_norm(jnp.zeros((0,)), 0.5)) == 0.5
    assert float(safe_norm(3.0, 0.5)) == 3


@pytest.mark.parametrize("norm", [safe_norm, safe_root_mean_squares])
def test_norms_are_computed_in_float32(norm: Any) -> None:
    """Defect A2: 300**2 is infinite in float16, 1e-4**2 is 0, and bfloat16 cannot count beyond 256."""
    factor = 2 if norm is safe_norm else 1
    big, small = (np.full(4, v, np.float16) for v in (300.0, 1e-4))
    assert norm(big, 0.0).dtype == F32
    assert float(norm(big, 0.0)) == 300 * factor
    np.testing.assert_allclose(norm(small, 0.0), float(small[0]) * factor, rtol=1e-6)
    np.testing.assert_allclose(norm(jnp.ones(1024, BF16), 0.0), 32 if norm is safe_norm else 1, rtol=1e-6)


@pytest.mark.parametrize("norm", [safe_norm, safe_root_mean_squares])
@pytest.mark.parametrize("dtype", INEXACT)
def test_derivatives_of_norms(norm: Any, dtype: str) -> None:
    x = jnp.asarray([3, 4]).astype(dtype)
    expected = np.asarray([0.6, 0.8]) / (1 if norm is safe_norm else np.sqrt(2))
    derivative = jax.jit(jax.grad(norm))
    assert derivative(x, 0.5).dtype == x.dtype
    np.testing.assert_allclose(np.asarray(derivative(x, 0.5), np.complex64), expected, rtol=float(jnp.finfo(dtype).eps))
    for values, floor in (([0, 0], 0.5), ([0.25, 0.25], 0.5), ([0, 0], 0.0)):
        assert np.all(np.asarray(derivative(jnp.asarray(values, x.dtype), floor)) == 0)


def test_the_derivative_at_the_floor_is_that_of_the_floor() -> None:
    for norm in (safe_norm, safe_root_mean_squares):
        assert float(jax.jit(jax.grad(norm, argnums=1))(jnp.zeros(2), 0.5)) == 1


def test_safe_root_mean_squares_by_hand() -> None:
    assert float(safe_root_mean_squares(jnp.asarray([[1.0, 7.0], [1.0, 7.0]]), 0.0)) == 5
    assert float(safe_root_mean_squares(jnp.asarray([3 + 4j, 5j]), 0.0)) == 5
    assert float(safe_root_mean_squares(jnp.zeros((0, 3)), 0.25)) == 0.25
    assert np.isnan(safe_root_mean_squares(jnp.asarray([jnp.nan]), 0.25))


def test_safe_root_mean_squares_of_more_elements_than_int32_counts() -> None:
    huge = jax.ShapeDtypeStruct((2**16, 2**16), F32)
    assert jax.eval_shape(lambda x: safe_root_mean_squares(x, 0.0), huge).shape == ()


def test_a_floor_with_a_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="min_norm"):
        safe_norm(jnp.ones((2, 2)), jnp.asarray([0.1, 9.0]), axis=1, keepdims=False)


@pytest.mark.parametrize("norm", [safe_norm, safe_root_mean_squares])
def test_norms_under_jit_and_vmap(norm: Any) -> None:
    x = jnp.asarray([[3.0, 4.0], [0.0, 0.0], [5.0, 12.0]])
    one_by_one = [norm(row, 1.0) for row in x]
    assert np.array_equal(jax.jit(jax.vmap(lambda row: norm(row, 1.0)))(x), one_by_one)


def test_norms_under_x64() -> None:
    with enable_x64():
        for norm in (safe_norm, safe_root_mean_squares):
            for dtype, wide in ((jnp.float64, jnp.float64), (jnp.complex128, jnp.float64), (F32, F32)):
                assert jax.eval_shape(norm, jax.ShapeDtypeStruct((4,), dtype), 0.0).dtype == wide


# Factors

SCALARS = [3, 3.0, np.float32(3), np.float64(3), np.int64(3), F32(3), BF16(3), jnp.asarray(3.0)]


@pytest.mark.parametrize(
    ("dtype", "s"),
    [(dtype, s) for dtype in INEXACT for s in SCALARS],
    ids=lambda x: f"{type(x).__name__}-{getattr(x, 'dtype', x)}",
)
def test_a_factor_never_changes_the_dtype(dtype: str, s: Any) -> None:
    """Defects A10, A12: a float32 scalar beside bfloat16."""
    x = jnp.asarray([1.5, -2.0], dtype)
    product = scaled(x, s)
    assert product.dtype == x.dtype
    assert np.array_equal(np.asarray(product, np.complex64), [4.5, -6])


def test_a_factor_may_be_a_large_python_int() -> None:
    assert float(scaled(jnp.float32(1), 2**40)) == 2**40


@pytest.mark.parametrize("s", [pytest.param(2.0), np.float32(2)])
def test_an_infinite_real_part_does_not_spoil_the_imaginary_one(s: Any) -> None:
    assert np.array_equal(scaled(jnp.asarray(complex(np.inf, 1)), s), complex(np.inf, 2))


def test_a_factor_may_have_the_shape_of_the_array_and_no_other() -> None:
    assert np.array_equal(scaled(jnp.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])), [3, 8])
    with pytest.raises(
        ValueError, match=r"a factor of shape \(2,\) would broadcast against an array of shape \(3, 2\)"
    ):
        scaled(jnp.ones((3, 2)), np.asarray([3.0, 4.0]))


def test_a_factor_of_integers_is_not_truncated() -> None:
    with pytest.raises(TypeError, match="int32"):
        scaled(jnp.asarray([2, 4]), np.float32(0.5))


# scale_gradient


def test_scale_gradient_is_the_identity_that_scales_derivatives() -> None:
    tree = {"a": jnp.asarray([1.0, 2.0]), "b": (3.0, None)}

    def f(tree: Any) -> jax.Array:
        tree = scale_gradient(tree, -2.0)
        return jnp.sum(tree["a"] ** 2) + tree["b"][0]

    assert float(f(tree)) == 8
    derivative = jax.jit(jax.grad(f))(tree)
    assert np.array_equal(derivative["a"], [-4, -8])
    assert float(derivative["b"][0]) == -2


def test_scale_gradient_in_both_modes_with_a_traced_scale() -> None:
    x, scales = jnp.asarray([1.0, 2.0]), jnp.asarray([0.0, 1.0, -2.5])
    forward = jax.vmap(lambda s: jax.jvp(lambda x: scale_gradient(x, s), (x,), (x,))[1])
    backward = jax.vmap(lambda s: jax.grad(lambda x: jnp.sum(scale_gradient(x, s)))(x))
    assert np.array_equal(jax.jit(forward)(scales), [[0, 0], [1, 2], [-2.5, -5]])
    assert np.array_equal(jax.jit(backward)(scales), [[0, 0], [1, 1], [-2.5, -2.5]])


@pytest.mark.parametrize(
    "dtype",
    [*REAL, "complex64"],
)
def test_scale_gradient_keeps_dtypes(dtype: str) -> None:
    x = jnp.ones(2, dtype)
    assert scale_gradient(x, F32(0.5)).dtype == x.dtype
    derivative = jax.jit(jax.grad(lambda x: jnp.sum(scale_gradient(x, F32(0.5)).real).astype(F32)))(x)
    assert derivative.dtype == x.dtype
    assert np.array_equal(np.asarray(derivative, np.complex64), [0.5, 0.5])


def test_scale_gradient_lets_integers_through() -> None:
    params = Layer(jnp.ones(2), jnp.arange(2))
    derivative = jax.grad(lambda p: jnp.sum(scale_gradient(p, 3.0).weight), allow_int=True)(params)
    assert np.array_equal(derivative.weight, [3, 3])
    assert derivative.bias.dtype == jax.dtypes.float0


def test_the_scale_of_a_tree_with_integers_can_be_differentiated() -> None:
    tree = (jnp.ones(2), jnp.arange(2))
    assert float(jax.grad(lambda s: jnp.sum(scale_gradient(tree, s)[0]))(2.0)) == 0

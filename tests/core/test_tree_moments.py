"""Moving averages of powers: by hand, in the dtype of the average, for complex updates too."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import tree
from strategies import Layer
from x64 import enable_x64

G, M = np.asarray([2.0, -3.0]), np.asarray([4.0, 8.0])


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("update", [tree.update_moment, tree.update_moment_per_elem_norm])
def test_moments_of_real_updates(update: Any, order: int) -> None:
    moments = update({"a": jnp.asarray(G), "b": ()}, {"a": jnp.asarray(M), "b": ()}, 0.75, order)
    assert np.array_equal(moments["a"], 0.75 * M + 0.25 * G**order)
    assert moments["b"] == ()


@pytest.mark.parametrize(("order", "powers"), [(1, [5, 1]), (2, [25, 1]), (4, [625, 1])])
def test_moments_of_complex_updates(order: int, powers: Any) -> None:
    """Defect A15: the second moment of a complex gradient is that of its absolute value, and real."""
    g = jnp.asarray([3 + 4j, -1j])
    real = tree.update_moment_per_elem_norm(g, jnp.asarray(M), 0.5, order)
    assert real.dtype == jnp.float32
    np.testing.assert_allclose(real, 0.5 * M + 0.5 * np.asarray(powers), rtol=1e-6)
    complex_ = tree.update_moment(g, jnp.asarray(M, jnp.complex64), 0.5, order)
    np.testing.assert_allclose(complex_, 0.5 * M + 0.5 * np.asarray([3 + 4j, -1j]) ** order, rtol=1e-6)


def test_a_complex_moment_does_not_fit_a_real_slot() -> None:
    with pytest.raises(TypeError, match=r"the rule returned a complex array for one of dtype float32(.|\n)*\['w'\]"):
        tree.update_moment({"w": jnp.asarray([1j])}, {"w": jnp.zeros(1)}, 0.9, 2)


def test_infinity_moment() -> None:
    u = tree.update_infinity_moment(jnp.asarray([2.0, -0.5]), jnp.asarray([1.0, 8.0]), 0.5, 0.25)
    assert np.array_equal(u, [2.25, 4])
    u = tree.update_infinity_moment(jnp.asarray([3 + 4j]), jnp.asarray([1.0]), 0.5, 0.0)
    assert u.dtype == jnp.float32
    assert np.array_equal(u, [5])


@pytest.mark.parametrize(
    "update",
    [
        lambda g, m: tree.update_moment(g, m, 0.999, 2),
        lambda g, m: tree.update_moment_per_elem_norm(g, m, 0.999, 2),
        lambda g, m: tree.update_infinity_moment(g, m, 0.999, 1e-8),
    ],
    ids=["moment", "per element", "infinity"],
)
class TestEveryMoment:
    @pytest.mark.parametrize("g_dtype", ["bfloat16", "float16", "float32"])
    @pytest.mark.parametrize("m_dtype", ["bfloat16", "float32"])
    def test_keeps_its_dtype(self, update: Any, g_dtype: str, m_dtype: str) -> None:
        """Defects A8, A9."""
        g, m = (jax.ShapeDtypeStruct((2,), d) for d in (g_dtype, m_dtype))
        assert jax.eval_shape(update, g, m).dtype == m_dtype

    def test_squares_in_float32(self, update: Any) -> None:
        """Defects A2, A7: in float16 5e-5 squared is zero, and 300 squared infinite."""
        for value in (5e-5, 300.0):
            m = update(jnp.full(2, value, jnp.float16), jnp.zeros(2))
            assert np.all(np.isfinite(m))
            assert np.all(np.asarray(m) > 0)

    def test_stays_where_there_is_no_update(self, update: Any) -> None:
        """A leaf that is None, and the gradient of an integer (defect F8)."""
        m = Layer(jnp.ones(2), jnp.asarray([3, 4]))
        new = update(Layer(None, np.zeros(2, jax.dtypes.float0)), m)
        assert np.array_equal(new.weight, m.weight)
        assert np.array_equal(new.bias, m.bias)

    def test_refuses_another_shape(self, update: Any) -> None:
        with pytest.raises(ValueError, match=r"updates and state slot 1 .* at \['w'\]: \(3, 1\) and \(3,\)"):
            update({"w": jnp.ones((3, 1))}, {"w": jnp.ones(3)})

    def test_under_jit_vmap_and_scan(self, update: Any) -> None:
        g, m = jnp.asarray([[2.0, -3.0], [0.5, 1.0]]), jnp.asarray([[4.0, 8.0], [1.0, 0.0]])
        rows = [update(*row) for row in zip(g, m, strict=True)]
        np.testing.assert_allclose(jax.jit(jax.vmap(update))(g, m), rows, rtol=1e-6)
        last, _ = jax.lax.scan(lambda m, g: (update(g, m), None), m[0], g)
        np.testing.assert_allclose(last, update(g[1], update(g[0], m[0])), rtol=1e-6)

    def test_in_float64_under_x64(self, update: Any) -> None:
        with enable_x64():
            x = jax.ShapeDtypeStruct((2,), jnp.float64)
            assert jax.eval_shape(update, x, x).dtype == jnp.float64

    def test_is_differentiable_at_zero(self, update: Any) -> None:
        derivative = jax.jit(jax.grad(lambda g: jnp.sum(update(g, jnp.zeros(2)))))(jnp.zeros(2))
        assert np.all(np.isfinite(derivative))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_absolute_moments_are_differentiable_at_zero(order: int) -> None:
    derivative = jax.jit(jax.grad(lambda g: tree.update_moment_per_elem_norm(g, jnp.float32(0), 0.9, order)))
    assert np.isfinite(derivative(jnp.complex64(0)))


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.999, 0.999999])
@pytest.mark.parametrize("count", [1, 3, 1000])
def test_bias_correction(decay: float, count: int) -> None:
    """To full precision: 1 - 0.999999 in float32 has one correct digit."""
    corrected = tree.bias_correction({"a": jnp.asarray(G, jnp.float32), "n": None}, decay, count)
    np.testing.assert_allclose(corrected["a"], G / -np.expm1(count * np.log(decay)), rtol=5e-7)
    assert corrected["n"] is None


def test_bias_correction_with_arrays() -> None:
    m = {"bf16": jnp.ones(2, jnp.bfloat16), "complex": jnp.asarray([1j])}
    for decay, count in ((0.5, jnp.int32(2)), (jnp.float32(0.5), 2), (np.float32(0.5), np.int64(2))):
        corrected = tree.bias_correction(m, decay, count)
        assert corrected["bf16"].dtype == jnp.bfloat16
        assert np.all(np.asarray(corrected["bf16"]) == jnp.bfloat16(4 / 3))
        np.testing.assert_allclose(corrected["complex"], [4j / 3], rtol=1e-6)
    traced = jax.jit(tree.bias_correction)(m, 0.5, 2)
    np.testing.assert_allclose(traced["complex"], [4j / 3], rtol=1e-6)


def test_after_as_many_steps_as_int32_can_count() -> None:
    """Defect A16."""
    assert float(tree.bias_correction(jnp.float32(1), 0.9, jnp.int32(2**31 - 1))) == 1

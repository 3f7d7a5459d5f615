"""Numbers from whole trees: summed in float32 or wider, right for trees without elements, differentiable at zero."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import tree
from strategies import trees, with_gradients
from x64 import enable_x64


def flat(t: Any) -> Any:
    """All elements as one exact vector."""
    return np.concatenate([np.zeros(0), *(np.asarray(x, np.complex128).ravel() for x in jax.tree.leaves(t))])


@hypothesis.given(with_gradients(trees()))
def test_sums_products_and_norms_are_numpys(drawn: Any) -> None:
    """The strategies' numbers are quarters, so that nothing is rounded before the root."""
    a, b = drawn
    for associative in (False, True):
        assert complex(tree.sum(a, associative)) == flat(a).sum()
    assert complex(tree.vdot(a, b)) == np.vdot(flat(a), flat(b))
    assert float(tree.norm(a, squared=True)) == np.sum(flat(a).real ** 2 + flat(a).imag ** 2)
    np.testing.assert_allclose(tree.norm(a), np.linalg.norm(flat(a)), rtol=3e-7)
    np.testing.assert_allclose(tree.norm(a, ord=1), np.sum(np.abs(flat(a))), rtol=1e-6)
    np.testing.assert_allclose(tree.norm(a, ord=jnp.inf), np.max(np.abs(flat(a)), initial=0), rtol=3e-7)


T = {"a": jnp.asarray([3.0, -4.0]), "b": (jnp.asarray(12.0), None)}


@pytest.mark.parametrize(
    ("ord", "value"), [(None, 13), (2, 13), (2.0, 13), (1, 19), (jnp.inf, 12), (float("inf"), 12), ("inf", 12)]
)
def test_norms_by_hand(ord: Any, value: float) -> None:
    assert float(tree.norm(T, ord)) == value
    assert float(tree.norm(T, ord, squared=True)) == value**2


@pytest.mark.parametrize("ord", [3, 0, -jnp.inf, "fro"])
def test_other_norms_are_refused(ord: Any) -> None:
    with pytest.raises(ValueError, match=f'ord must be None, 1, 2, infinity or "inf", not {ord!r}'):
        tree.norm(T, ord)


def test_many_bfloat16_leaves() -> None:
    """Defects A1, A3: counted in bfloat16, a thousand ones are 256."""
    ones = [jnp.ones((), jnp.bfloat16)] * 1000
    for total in (tree.sum(ones), tree.sum(ones, associative_reduction=True), tree.vdot(ones, ones)):
        assert total.dtype == jnp.float32
        assert float(total) == 1000
    np.testing.assert_allclose(tree.norm(ones), np.sqrt(1000), rtol=1e-6)


def test_one_long_bfloat16_leaf() -> None:
    """Defects A1, A3, within a leaf."""
    ones = jnp.ones(4096, jnp.bfloat16)
    assert float(tree.sum(ones)) == float(tree.vdot(ones, ones)) == 4096
    assert float(tree.norm(ones)) == 64
    assert float(tree.norm(ones, ord=1)) == 4096


def test_float16_neither_overflows_nor_underflows() -> None:
    """Defect A2: 300**2 is infinite in float16, and 1e-4**2 is zero."""
    for value in (300.0, 1e-4):
        x = jnp.full(4, value, jnp.float16)
        np.testing.assert_allclose(tree.norm(x), 2 * float(x[0]), rtol=1e-6)
        np.testing.assert_allclose(tree.vdot(x, x), 4 * float(x[0]) ** 2, rtol=1e-6)


@pytest.mark.parametrize("t", [{}, (), {"a": None}, jnp.zeros((0, 3))], ids=["dict", "tuple", "None", "no elements"])
def test_nothing_to_reduce(t: Any) -> None:
    assert float(tree.sum(t)) == float(tree.vdot(t, t)) == 0
    for ord in (None, 1, jnp.inf):
        assert float(tree.norm(t, ord)) == 0
    assert float(tree.max(t)) == -np.inf
    assert float(tree.min(t)) == np.inf


@pytest.mark.parametrize("call", [tree.max, tree.min, lambda t: tree.norm(t, ord=jnp.inf)], ids=["max", "min", "norm"])
def test_reductions_of_nothing_are_strongly_typed(call: Any) -> None:
    assert not call({}).weak_type


def test_an_empty_leaf_is_no_zero() -> None:
    t = {"empty": jnp.zeros((0, 2)), "x": jnp.asarray([2.0, 5.0])}
    assert float(tree.min(t)) == 2
    assert float(tree.max(tree.scale(-1.0, t))) == -2


def test_extremes_over_leaves_of_different_dtypes() -> None:
    t = {"i": jnp.asarray([-7, 3]), "b": jnp.asarray(2.5, jnp.bfloat16), "f": 4.5}
    assert float(tree.max(t)) == 4.5
    assert float(tree.min(t)) == -7
    assert tree.max({"i": jnp.asarray([2**31 - 1, 0])}).dtype == jnp.int32
    assert tree.max(jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.parametrize("ord", [1, jnp.inf])
@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_absolute_values_of_complex_numbers_are_not_squared(ord: Any, size: float) -> None:
    np.testing.assert_allclose(tree.norm(jnp.asarray([size * 1j]), ord), size, rtol=1e-6)


def test_nan_is_not_lost() -> None:
    t = {"a": jnp.asarray([1.0, jnp.nan]), "b": jnp.asarray(2.0)}
    for call in (tree.max, tree.min, tree.sum, tree.norm, lambda t: tree.norm(t, 1), lambda t: tree.norm(t, "inf")):
        assert np.isnan(call(t))


def test_the_first_argument_of_an_inner_product_is_conjugated() -> None:
    assert complex(tree.vdot(jnp.asarray([1 + 2j]), jnp.asarray([3 + 1j]))) == np.vdot([1 + 2j], [3 + 1j])
    assert complex(tree.vdot(jnp.asarray([1j]), jnp.asarray([2.0]))) == -2j
    assert int(tree.vdot(jnp.asarray([1, 2]), jnp.asarray([3, 4]))) == 11


def test_vdot_refuses_what_does_not_match() -> None:
    with pytest.raises(ValueError, match=r"tree_x and tree_y differ in shape at \['w'\]: \(2, 1\) and \(2,\)"):
        tree.vdot({"w": jnp.ones((2, 1))}, {"w": jnp.ones(2)})


def test_vdot_refuses_none_beside_an_array() -> None:
    with pytest.raises(ValueError, match="None"):
        tree.vdot({"w": None}, {"w": jnp.ones(2)})


@pytest.mark.parametrize(
    ("ord", "dtype"),
    [
        (None, "float32"),
        (None, "bfloat16"),
        (None, "complex64"),
        (1, "complex64"),
        (jnp.inf, "complex64"),
        (1, "float32"),
        (jnp.inf, "float32"),
    ],
)
def test_the_derivative_of_a_norm_at_zero_is_zero(ord: Any, dtype: str) -> None:
    """Defect F7."""
    derivative = jax.jit(jax.grad(lambda t: tree.norm(t, ord)))({"x": jnp.zeros(2, dtype)})
    assert derivative["x"].dtype == dtype
    assert np.all(np.asarray(derivative["x"]) == 0)


def test_derivatives() -> None:
    t = {"x": jnp.asarray([3.0, 4.0]), "zero": jnp.zeros(1)}
    gradient = jax.jit(jax.grad(tree.norm))(t)
    np.testing.assert_allclose(gradient["x"], [0.6, 0.8], rtol=1e-6)
    assert float(gradient["zero"][0]) == 0
    hessian = jax.jit(jax.hessian(tree.norm))(jnp.asarray([3.0, 4.0]))
    np.testing.assert_allclose(hessian, [[0.128, -0.096], [-0.096, 0.072]], rtol=1e-6)
    assert np.array_equal(jax.jit(jax.grad(tree.vdot))(jnp.asarray([1.0, 2.0]), jnp.asarray([5.0, 6.0])), [5, 6])


@pytest.mark.parametrize(
    "call",
    [
        tree.sum,
        tree.max,
        tree.min,
        tree.norm,
        lambda t: tree.norm(t, 1),
        lambda t: tree.norm(t, "inf"),
        lambda t: tree.vdot(t, t),
    ],
    ids=["sum", "max", "min", "norm", "norm 1", "norm inf", "vdot"],
)
def test_under_jit_vmap_scan_and_x64(call: Any) -> None:
    rows = {"a": jnp.asarray([[1.0, -2.0], [0.5, 4.0]]), "b": jnp.asarray([3.0, -5.0])}
    one_by_one = [float(call(jax.tree.map(lambda x, i=i: x[i], rows))) for i in range(2)]
    np.testing.assert_allclose(jax.jit(jax.vmap(call))(rows), one_by_one, rtol=1e-6)
    scanned = jax.jit(lambda rows: jax.lax.scan(lambda c, row: (c, call(row)), None, rows)[1])(rows)
    np.testing.assert_allclose(scanned, one_by_one, rtol=1e-6)
    with enable_x64():
        double = {"a": jax.ShapeDtypeStruct((2,), jnp.float64), "b": jax.ShapeDtypeStruct((), jnp.bfloat16)}
        assert jax.eval_shape(call, double).dtype == jnp.float64

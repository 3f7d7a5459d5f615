"""Arithmetic leaf by leaf: NumPy's numbers, nothing broadcast, no dtype widened by a scalar."""

import operator
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import tree
from strategies import INEXACT, REAL, Layer, arrays, trees, with_gradients
from x64 import enable_x64

BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def exact(x: Any) -> Any:
    return np.asarray(x, np.complex128)


# The strategies' numbers and their sums are exact in these dtypes; products are in float32.
EXACT = arrays(dtypes=["float32", "complex64"])


@hypothesis.given(with_gradients(trees(EXACT)), st.sampled_from(sorted(BINARY)))
def test_sums_differences_and_products_are_numpys(drawn: Any, name: str) -> None:
    a, b = drawn
    result = getattr(tree, name)(a, b)
    assert jax.tree.structure(result) == jax.tree.structure(a)
    for x, y, z in zip(*map(jax.tree.leaves, (a, b, result)), strict=True):
        assert z.dtype == x.dtype
        assert np.array_equal(exact(z), BINARY[name](exact(x), exact(y)))


def test_quotients() -> None:
    quotient = tree.div({"a": jnp.asarray([1.0, 4.0]), "b": None}, {"a": jnp.asarray([2.0, 2.0]), "b": None})
    assert np.array_equal(quotient["a"], [0.5, 2])
    assert quotient["b"] is None


def test_several_terms() -> None:
    assert np.array_equal(tree.add(*[(jnp.asarray([1.0, 2.0]),)] * 4)[0], [4, 8])


def test_a_scalar_leaf_goes_with_any() -> None:
    x = {"a": jnp.asarray([1.0, 2.0])}
    for two in (2.0, jnp.float32(2), np.float32(2)):
        assert np.array_equal(tree.mul(x, {"a": two})["a"], [2, 4])
        assert np.array_equal(tree.sub({"a": two}, x)["a"], [1, 0])


@pytest.mark.parametrize("operation", ["add", "sub", "mul", "div", "add_scale", "where", "allclose"])
@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"w": [jnp.ones((2, 1)), None]},
            r"(tree_x|a) and (tree_y|b) differ in shape at \['w'\]\[0\]: \(2,\) and \(2, 1\)",
        ),
        ({"w": [jnp.ones(3), None]}, r"differ in shape at \['w'\]\[0\]: \(2,\) and \(3,\)"),
        ({"v": [jnp.ones(2), None]}, r"differ in tree structure: (tree_x|a) has a leaf at \['w'\]\[0\] \(and 1 more\)"),
        ({"w": (jnp.ones(2), None)}, r"differ in tree structure: PyTreeDef\(.*\) and PyTreeDef\(.*\)"),
        ({"w": [jnp.ones(2), jnp.ones(2)]}, r"None where the other has an array(.|\n)*at \['w'\]\[1\] of (tree_x|a)"),
    ],
    ids=["rank", "shape", "key", "container", "None"],
)
def test_trees_that_do_not_match_are_refused(operation: str, other: Any, message: str) -> None:
    mine = {"w": [jnp.ones(2), None]}
    call: Any = getattr(tree, operation)
    with pytest.raises(ValueError, match=message):
        call(mine, 2.0, other) if operation == "add_scale" else call(*[True] * (operation == "where"), mine, other)


@pytest.mark.parametrize("call", [tree.allclose, lambda a, b: tree.where(True, a, b)], ids=["allclose", "where"])
def test_a_scalar_leaf_is_another_shape_where_nothing_is_computed(call: Any) -> None:
    with pytest.raises(ValueError, match="shape"):
        call(jnp.ones(()), jnp.ones(3))


@pytest.mark.parametrize(
    ("dtype", "s"),
    [(dtype, s) for dtype in INEXACT for s in (3, 3.0, np.float32(3), jnp.float32(3), jnp.bfloat16(3))],
)
def test_a_scalar_does_not_widen_a_tree(dtype: str, s: Any) -> None:
    x = {"a": jnp.asarray([1.5, -2.0], dtype), "n": None}
    product, total = tree.scale(s, x), tree.add_scale(x, s, x)
    assert product["a"].dtype == total["a"].dtype == x["a"].dtype
    assert np.array_equal(exact(product["a"]), [4.5, -6])
    assert np.array_equal(exact(total["a"]), [6, -8])


def test_scaling_rounds_once() -> None:
    """In bfloat16 0.999 is 1: rounded before it is used, the difference would be 0."""
    one = jnp.ones((), jnp.bfloat16)
    assert float(tree.add_scale(one, -0.999, one)) == float(jnp.bfloat16(np.float32(1) - np.float32(0.999)))
    assert float(tree.scale(1.003, 200 * one)) == 201  # 200.6; 1.003 alone would round to 1


@pytest.mark.parametrize(("x", "s", "product"), [([1 + 1j], 2j, [-2 + 2j]), ([1.5], 2j, [3j])])
def test_complex_scalars(x: Any, s: complex, product: Any) -> None:
    with jax.numpy_dtype_promotion("standard"):  # a real leaf becomes complex, which strict promotion refuses
        assert np.array_equal(tree.scale(s, jnp.asarray(x)), product)
        assert np.array_equal(tree.add_scale(jnp.asarray(x), s, jnp.asarray(x)), np.asarray(x) + product)


def test_integers_times_integers() -> None:
    assert tree.scale(2, jnp.asarray([1, 2])).dtype == jnp.int32
    assert np.array_equal(tree.add_scale(jnp.asarray([1, 2]), 2, jnp.asarray([1, 2])), [3, 6])


def test_leaves_of_different_precision() -> None:
    low, high = jnp.asarray([1.5], jnp.bfloat16), jnp.asarray([0.001], jnp.float32)
    assert tree.add_scale(low, 2.0, high).dtype == jnp.float32
    np.testing.assert_allclose(tree.add_scale(low, 2.0, high), [1.502], rtol=1e-7)


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize(
    ("bounds", "clipped"),
    [
        ((-1, 1), [-1, 0.25, 1]),
        ((None, 1.0), [-2, 0.25, 1]),
        ((np.float32(0.5), jnp.inf), [0.5, 0.5, 3]),
        ((None, None), [-2, 0.25, 3]),
        ((jnp.float32(-1), jnp.float32(0)), [-1, 0, 0]),
    ],
)
def test_clip(dtype: str, bounds: Any, clipped: Any) -> None:
    """Defect A12: array-valued bounds."""
    out = tree.clip({"a": jnp.asarray([-2, 0.25, 3], dtype), "n": None}, *bounds)
    assert out["a"].dtype == dtype
    assert np.array_equal(exact(out["a"]), clipped)


def test_clip_lets_nan_through() -> None:
    assert np.isnan(tree.clip(jnp.asarray(jnp.nan), -1, 1))


@pytest.mark.parametrize(
    ("x", "bounds", "clipped"),
    [
        (np.asarray([-3, 0, 3], np.int32), (-1, 1), [-1, 0, 1]),
        (np.asarray([0, 3], np.uint8), (-1, 1), [0, 1]),
        (np.asarray([-3, 3]), (0, np.inf), [0, 3]),
        (np.asarray([0, 3]), (0.5, 1.5), [0.5, 1.5]),
    ],
    ids=["int", "below the smallest", "infinity", "fractions"],
)
def test_clip_of_integers(x: Any, bounds: Any, clipped: Any) -> None:
    """The original promotes integers where a bound is floating; a bound that is cast to an integer is another bound."""
    with jax.numpy_dtype_promotion("standard"):
        assert np.array_equal(tree.clip(x, *bounds), clipped)


def test_clip_of_booleans() -> None:
    with jax.numpy_dtype_promotion("standard"):
        assert np.array_equal(tree.clip(jnp.asarray([True, False]), 0, 1), [1, 0])


def test_conjugates_and_real_parts() -> None:
    x = {"a": jnp.asarray([1 + 2j]), "b": jnp.asarray([3.0]), "n": None}
    assert np.array_equal(tree.conj(x)["a"], [1 - 2j])
    assert np.array_equal(tree.conj(x)["b"], [3])
    assert tree.real(x)["a"].dtype == jnp.float32
    assert np.array_equal(tree.real(x)["a"], [1])


def test_where_selects() -> None:
    """Defects B1, B8: arithmetic would let the NaN of the other side in, and spoil booleans and random keys."""
    key = jax.random.key(0)
    a = Layer(jnp.asarray([1.0, jnp.nan]), (jnp.asarray([True, False]), jnp.asarray([1, 2]), key))
    b = Layer(jnp.asarray([jnp.nan, 2.0]), (jnp.asarray([False, True]), jnp.asarray([3, 4]), key))
    chosen = tree.where(jnp.asarray(True), a, b)
    assert np.array_equal(chosen.weight, a.weight, equal_nan=True)
    assert np.array_equal(chosen.bias[0], a.bias[0])
    assert chosen.bias[1].dtype == jnp.int32
    assert np.array_equal(tree.where(jnp.asarray([True, False]), a.weight, b.weight), [1, 2])


@pytest.mark.parametrize(
    ("a", "b", "options", "close"),
    [
        ([1.0, 2.0], [1.0, 2.0], {}, True),
        ([1.0, 2.0], [1.0, 2.1], {}, False),
        ([1.0, 2.0], [1.0, 2.1], {"rtol": 0.1}, True),
        ([1.0, 2.0], [1.0, 2.1], {"atol": 0.2}, True),
        ([np.nan], [np.nan], {}, False),
        ([np.nan], [np.nan], {"equal_nan": True}, True),
    ],
)
def test_allclose(a: Any, b: Any, options: Any, close: bool) -> None:
    same = {"same": jnp.ones(2)}
    agree = tree.allclose({"x": jnp.asarray(a), **same}, {"x": jnp.asarray(b), **same}, **options)
    assert agree.dtype == bool
    assert bool(agree) == close


def test_empty_trees() -> None:
    assert bool(tree.allclose({}, {}))
    for call in (tree.add, tree.sub, tree.mul, tree.div):
        assert call({"a": ()}, {"a": ()}) == {"a": ()}
    assert tree.scale(2.0, None) is None


CALLS = {
    "add": tree.add,
    "sub": tree.sub,
    "mul": tree.mul,
    "div": tree.div,
    "scale": lambda a, b: tree.scale(a["x"].ravel()[0], b),
    "add_scale": lambda a, b: tree.add_scale(a, 0.5, b),
    "clip": lambda a, b: tree.clip(a, -0.5, 0.5),
    "where": lambda a, b: tree.where(a["x"].ravel()[0] > 0, a, b),
    "conj": lambda a, b: tree.conj(a),
    "real": lambda a, b: tree.real(b),
}


@pytest.mark.parametrize("name", CALLS)
def test_under_jit_vmap_grad_and_scan(name: str) -> None:
    call = CALLS[name]
    a, b = ({"x": jnp.asarray([[1.0, -0.25], [3.0, 0.5]]) * s} for s in (1.0, -2.0))
    rows = [call({"x": a["x"][i]}, {"x": b["x"][i]})["x"] for i in range(2)]
    np.testing.assert_allclose(jax.jit(jax.vmap(call))(a, b)["x"], rows, rtol=1e-6)
    scanned = jax.jit(lambda a, b: jax.lax.scan(lambda c, ab: (c, call(*ab)), None, (a, b))[1])(a, b)
    np.testing.assert_allclose(scanned["x"], rows, rtol=1e-6)
    derivative = jax.jit(jax.grad(lambda a, b: jnp.sum(call(a, b)["x"])))(a, b)
    assert np.all(np.isfinite(derivative["x"]))


@pytest.mark.parametrize("name", CALLS)
def test_float64_stays_under_x64(name: str) -> None:
    with enable_x64():
        x = {"x": jax.ShapeDtypeStruct((2,), jnp.float64)}
        assert jax.eval_shape(CALLS[name], x, x)["x"].dtype == jnp.float64
        low = {"x": jax.ShapeDtypeStruct((2,), jnp.bfloat16)}
        assert jax.eval_shape(CALLS[name], low, low)["x"].dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", INEXACT)
def test_dtypes_of_results(dtype: str) -> None:
    x = {"x": jax.ShapeDtypeStruct((2,), dtype)}
    for name in ("add", "sub", "mul", "div", "conj"):
        assert jax.eval_shape(CALLS[name], x, x)["x"].dtype == dtype

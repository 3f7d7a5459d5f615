"""New trees from old ones: shapes, dtypes, strong types, keys."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import tree
from strategies import INEXACT, Layer, Pair, trees
from x64 import enable_x64

FLOAT0 = np.zeros(2, jax.dtypes.float0)


@hypothesis.given(trees())
def test_full_like_fills_the_shapes(t: Any) -> None:
    for new, number in ((tree.zeros_like(t), 0), (tree.ones_like(t), 1), (tree.full_like(t, 2.5), 2.5)):
        assert jax.tree.structure(new) == jax.tree.structure(t)
        for x, like in zip(jax.tree.leaves(new), jax.tree.leaves(t), strict=True):
            assert (x.shape, x.dtype, x.weak_type) == (like.shape, like.dtype, False)
            assert np.all(np.asarray(x) == number)


def test_full_like_in_one_dtype() -> None:
    new = tree.full_like({"a": jnp.ones(2, jnp.bfloat16), "b": 3, "n": None}, 2.5, dtype=jnp.float32)
    assert new["a"].dtype == new["b"].dtype == jnp.float32
    assert float(new["b"]) == 2.5
    assert new["n"] is None


@pytest.mark.parametrize("make", [tree.zeros_like, tree.ones_like, lambda t: tree.full_like(t, 2)])
def test_new_trees_are_strongly_typed(make: Any) -> None:
    """Defect A11: weak parameters and Python numbers."""
    new = make({"weak": jnp.asarray(1.5), "float": 1.5, "int": 2, "abstract": jax.ShapeDtypeStruct((2,), jnp.bfloat16)})
    assert not any(x.weak_type for x in jax.tree.leaves(new))
    assert {name: x.dtype for name, x in new.items()} == {
        "weak": jnp.float32,
        "float": jnp.float32,
        "int": jnp.int32,
        "abstract": jnp.bfloat16,
    }


@pytest.mark.parametrize(
    "call",
    [
        tree.zeros_like,
        lambda t: tree.cast_like(jnp.ones(3), t),
        lambda t: tree.random_like(jax.random.key(0), t),
    ],
    ids=["zeros_like", "cast_like", "random_like"],
)
def test_numpy_arrays_of_float64_count_as_what_jax_makes_of_them(call: Any) -> None:
    assert call(np.ones(3)).dtype == jnp.float32


def test_the_dtype_of_numpy_arrays_is_what_jax_makes_of_them() -> None:
    assert tree.dtype({"a": np.ones(3), "b": jnp.ones(3)}) == jnp.float32


# Random keys


@pytest.mark.parametrize("key", [jax.random.key(3), jax.random.PRNGKey(3)], ids=["typed", "raw"])
def test_keys_are_split_in_the_order_of_the_leaves(key: Any) -> None:
    keys = tree.split_key_like(key, {"b": (1.0, None), "a": jnp.ones(2)})
    expected = jax.random.split(key, 2)
    assert jnp.array_equal(keys["a"], expected[0])
    assert jnp.array_equal(keys["b"][0], expected[1])
    assert tree.split_key_like(key, {}) == {}


def test_random_leaves_are_independent_and_reproducible() -> None:
    """Equal to the original's, which splits the key in the same way."""
    key, like = jax.random.key(3), {"a": jnp.ones(4), "b": jnp.ones(4, jnp.bfloat16), "c": 1.5}
    new = tree.random_like(key, like)
    keys = jax.random.split(key, 3)
    assert np.array_equal(new["a"], jax.random.normal(keys[0], (4,)))
    assert new["b"].dtype == jnp.bfloat16
    assert new["c"].shape == ()
    assert np.array_equal(tree.random_like(key, like)["b"], new["b"])


def test_random_leaves_with_a_sampler_and_a_dtype() -> None:
    new = tree.random_like(jax.random.key(0), Layer(jnp.ones(9), None), jax.random.rademacher, dtype=jnp.int32)
    assert new.bias is None
    assert new.weight.dtype == jnp.int32
    assert set(np.unique(new.weight)) <= {-1, 1}


def test_key_data_is_unwrapped() -> None:
    key = jax.random.key(3)
    plain = tree.unwrap_random_key_data({"key": key, "x": jnp.ones(2), "number": 1.5, "n": None})
    assert np.array_equal(plain["key"], jax.random.key_data(key))
    assert plain["number"] == 1.5
    assert plain["n"] is None


@pytest.mark.parametrize(
    "call",
    [
        lambda key: tree.cast_like({"key": key}, {"key": key}),
        lambda key: tree.dtype(jax.eval_shape(lambda: {"key": key})),
    ],
    ids=["cast_like", "dtype"],
)
def test_states_with_random_keys(call: Any) -> None:
    call(jax.random.key(0))


def test_zeros_like_a_random_key() -> None:
    """The original makes a key; JAX does, if it is not told the dtype."""
    assert tree.zeros_like({"key": jax.random.key(1)})["key"].shape == ()


# Shapes and dtypes


def test_batch_shape_adds_leading_axes() -> None:
    batch = tree.batch_shape({"a": jnp.asarray([1.0, 2.0]), "b": 3.0, "n": None}, (2, 3))
    assert batch["a"].shape == (2, 3, 2)
    assert np.all(np.asarray(batch["a"]) == [1, 2])
    assert batch["b"].shape == (2, 3)
    assert np.array_equal(tree.batch_shape(jnp.asarray([1.0]))[0], 1)


@pytest.mark.parametrize("dtype", ["bfloat16", jnp.float16, np.dtype("int32"), "complex64", bool, float])
def test_cast(dtype: Any) -> None:
    t = Pair({"a": jnp.asarray([1.0, 0.0]), "n": None}, (2, jnp.asarray([3])))
    new = tree.cast(t, dtype)
    assert all(x.dtype == jax.dtypes.canonicalize_dtype(dtype) for x in jax.tree.leaves(new))
    assert np.array_equal(np.asarray(new.first["a"], np.complex64), [1, 0])
    assert tree.cast(t, None) is t


def test_cast_like() -> None:
    new = tree.cast_like((jnp.asarray([1.7]), None, 2), (jnp.asarray(1), None, jnp.ones((), jnp.bfloat16)))
    assert (new[0].dtype, new[2].dtype) == (jnp.int32, jnp.bfloat16)
    assert int(new[0][0]) == 1


def test_a_cast_does_not_drop_imaginary_parts() -> None:
    """Differs from the original, which does."""
    for call in (lambda x: tree.cast(x, "bfloat16"), lambda x: tree.cast_like(x, jnp.ones(1))):
        with pytest.raises(TypeError, match=r"casting a complex64 leaf to \w+ would drop its imaginary part"):
            call(jnp.asarray([1j]))


def test_a_cast_leaves_gradients_of_integers_alone() -> None:
    """Defect F8."""
    assert tree.cast({"i": FLOAT0, "x": jnp.ones(2)}, jnp.bfloat16)["i"].dtype == jax.dtypes.float0


F32, BF16, F16, C64, I32 = (jnp.ones(2, d) for d in ("float32", "bfloat16", "float16", "complex64", "int32"))


@pytest.mark.parametrize(
    ("leaves", "promoted", "highest", "lowest"),
    [
        ((F32, F32), "float32", "float32", "float32"),
        ((F32, BF16), "float32", "float32", "bfloat16"),
        ((F32, C64, BF16), "complex64", "complex64", "bfloat16"),
        ((I32, F16), "float16", "float16", "int32"),
        ((BF16, F16), "float32", None, None),
        ((BF16, F16, F32), "float32", "float32", None),
        ((1.5, None), "float32", "float32", "float32"),
        ((), "float32", "float32", "float32"),
    ],
)
def test_the_dtype_of_a_tree(leaves: Any, promoted: str, highest: str | None, lowest: str | None) -> None:
    assert tree.dtype(leaves, "promote") == promoted
    for handler, expected in (("highest", highest), ("lowest", lowest)):
        if expected is None:
            with pytest.raises(ValueError, match=f"is the {handler}: they do not promote to each other"):
                tree.dtype(leaves, handler)
        else:
            assert tree.dtype(leaves, handler) == expected


def test_mixed_dtypes_are_refused_by_default() -> None:
    with pytest.raises(ValueError, match=r"different dtypes: float32 at \['a'\], bfloat16 at \['b'\]\[0\]"):
        tree.dtype({"a": F32, "b": (BF16, F32)})
    with pytest.raises(ValueError, match="not 'hi'"):
        tree.dtype((), "hi")


def test_size() -> None:
    assert tree.size({"a": jnp.ones((2, 3)), "b": 1.5, "n": None, "s": jax.ShapeDtypeStruct((0, 2), jnp.int32)}) == 7
    assert tree.size({}) == 0
    assert tree.size(jax.ShapeDtypeStruct((2**20, 2**20), jnp.float32)) == 2**40


def test_under_jit_and_vmap() -> None:
    x = {"a": jnp.asarray([[1.0, 2.0], [3.0, 4.0]])}
    for call in (tree.zeros_like, lambda t: tree.cast(t, jnp.bfloat16), lambda t: tree.batch_shape(t, (2,))):
        rows = [call({"a": row})["a"] for row in x["a"]]
        out = jax.jit(jax.vmap(call))(x)["a"]
        assert out.dtype == rows[0].dtype
        assert np.array_equal(out, rows)
    random = jax.jit(jax.vmap(tree.random_like))(jax.random.split(jax.random.key(0)), x)["a"]
    assert len(np.unique(random)) == 4


@pytest.mark.parametrize("dtype", [*INEXACT, "float64"])
def test_dtypes_under_x64(dtype: str) -> None:
    with enable_x64():
        like = {"x": jax.ShapeDtypeStruct((2,), dtype)}
        for call in (tree.zeros_like, tree.ones_like, lambda t: tree.random_like(jax.random.key(0), t)):
            assert jax.eval_shape(call, like)["x"].dtype == dtype
        assert tree.dtype(like) == dtype
        assert tree.zeros_like(1.5).dtype == jnp.float64

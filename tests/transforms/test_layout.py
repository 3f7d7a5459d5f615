"""What only other layouts of the parameters promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import optax
from optax.core import tree
from strategies import trees, with_gradients

MIXED = {
    "complex": jnp.asarray([1 + 2j, -1j], jnp.complex64),
    "float16": jnp.ones((2, 2), jnp.float16),
    "none": None,
    "real": jnp.asarray(3.0),
    "short": jnp.asarray([0.5, -2.0], jnp.bfloat16),
}


def spy(seen: list[Any]) -> Any:
    """A transformation that passes on what it gets and notes it."""

    def init(params: Any) -> Any:
        seen.append(params)
        return optax.EmptyState()

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        seen.append((updates, params, extra_args))
        return updates, state

    return optax.GradientTransformationExtraArgs(init, update)


def test_flatten_shows_one_vector() -> None:
    params = {"b": jnp.asarray([1.0, 2.0]), "w": jnp.asarray([[3.0], [4.0]]), "x": jnp.asarray(5.0)}
    gradient = tree.scale(2.0, params)
    seen: list[Any] = []
    tx = optax.flatten(spy(seen))
    updates, _ = tx.update(gradient, tx.init(params), params, value=1)
    np.testing.assert_array_equal(seen[0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(seen[1][0], [2, 4, 6, 8, 10])
    np.testing.assert_array_equal(seen[1][1], [1, 2, 3, 4, 5])
    assert seen[1][2] == {"value": 1}
    assert tree.allclose(updates, gradient)
    tx.update(gradient, optax.EmptyState())
    assert seen[2][1] is None


def test_flatten_changes_nothing_for_an_elementwise_optimizer() -> None:
    params = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": [jnp.ones(()), None, jnp.zeros((0, 2)), jnp.ones(2)]}
    txs = [optax.adamw(0.1), optax.flatten(optax.adamw(0.1))]
    states = [tx.init(params) for tx in txs]
    for i in range(3):
        gradient = tree.random_like(jax.random.key(i), params)
        results = [tx.update(gradient, state, params) for tx, state in zip(txs, states, strict=True)]
        states = [state for _, state in results]
        assert tree.allclose(results[0][0], results[1][0])


@given(with_gradients(trees()))
def test_flatten_keeps_dtypes_and_values(drawn: Any) -> None:
    """Every dtype at once: the vector has room for all of them, and nothing of it is lost on the way back."""
    params, gradient = drawn
    tx = optax.flatten(optax.identity())
    updates, _ = tx.update(gradient, tx.init(params), params)
    assert jax.tree.structure(updates) == jax.tree.structure(gradient)
    for u, g in zip(jax.tree.leaves(updates), jax.tree.leaves(gradient), strict=True):
        assert u.dtype == g.dtype
        np.testing.assert_array_equal(np.asarray(u, np.complex64), np.asarray(g, np.complex64))


@pytest.mark.parametrize("params", [{}, (), None, {"a": None}, [jnp.zeros((0, 3))]])
def test_flatten_of_nothing(params: Any) -> None:
    """Defect D8: the original cannot concatenate no arrays."""
    tx = optax.flatten(optax.adam(0.1))
    updates, state = tx.update(params, tx.init(params), params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert state[0].mu.shape == (0,)


def test_flatten_of_parameters_and_gradients_of_different_precision() -> None:
    """Defects A8 and A9: the state has the dtype of the parameters' vector, for good."""
    for params_dtype, dtype in (("float32", "bfloat16"), ("bfloat16", "float32"), ("complex64", "complex64")):
        params = tree.cast({"a": jnp.ones(2), "b": jnp.ones(())}, params_dtype)
        gradient = tree.cast(params, dtype)
        tx = optax.flatten(optax.adam(0.1))
        state = tx.init(params)
        updates, after = tx.update(gradient, state, params)
        assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}
        assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(state)]


def test_flatten_gives_a_real_leaf_the_real_part() -> None:
    tx = optax.flatten(optax.stateless(lambda u, _: u * (1 + 1j)))
    params = {"complex": jnp.asarray([1j]), "real": jnp.asarray([2.0])}
    updates, _ = tx.update(params, tx.init(params))
    np.testing.assert_array_equal(updates["complex"], [-1 + 1j])
    np.testing.assert_array_equal(updates["real"], [2.0])


def test_flatten_has_no_place_for_integers() -> None:
    """Defect F8."""
    params = {"n": jnp.arange(3), "w": jnp.asarray([3.0, 4.0])}
    gradient = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    tx = optax.flatten(optax.clip_by_global_norm(1.0))
    updates, _ = tx.update(gradient, tx.init(params), params)
    np.testing.assert_allclose(updates["w"], [0.6, 0.8], rtol=1e-6)
    assert updates["n"] is gradient["n"]
    assert optax.flatten(optax.trace(0.9)).init(params).trace.shape == (2,)


def test_the_state_can_be_made_of_shapes() -> None:
    """Defect G5: `init` of the original's `flatten` needs arrays."""
    abstract = jax.eval_shape(lambda p: p, MIXED)
    for wrap in (optax.flatten, optax.split_real_and_imaginary):
        for params in (abstract, jax.tree.map(lambda x: x if x.ndim else 3.0, abstract)):
            state, wanted = wrap(optax.adam(0.1)).init(params), wrap(optax.adam(0.1)).init(MIXED)
            assert jax.tree.structure(state) == jax.tree.structure(wanted)
            assert [(x.shape, x.dtype) for x in jax.tree.leaves(state)] == [
                (x.shape, x.dtype) for x in jax.tree.leaves(wanted)
            ]


def test_what_of_the_state_belongs_to_the_parameters() -> None:
    tx = optax.chain(optax.flatten(optax.trace(0.9)), optax.split_real_and_imaginary(optax.trace(0.9)))
    mapped = tree.map_params(tx, lambda x: "param", tx.init(MIXED), transform_non_params=lambda x: "other")
    assert {*jax.tree.leaves(mapped[0])} == {"other"}  # a vector of all of them
    assert {*jax.tree.leaves(mapped[1])} == {"param"}


def test_flatten_tells_shapes_of_one_size_apart() -> None:
    """Defect F6: the vectors would fit each other."""
    tx = optax.flatten(optax.add_decayed_weights(0.1))
    state = tx.init({"w": jnp.ones((2, 3))})
    with pytest.raises(ValueError, match=r"params and updates differ in shape at \['w'\]: \(2, 3\) and \(3, 2\)"):
        tx.update({"w": jnp.ones((3, 2))}, state, {"w": jnp.ones((2, 3))})
    with pytest.raises(ValueError, match="params and updates differ in tree structure"):
        tx.update({"w": None}, state, {"w": jnp.ones((2, 3))})


def test_complex_parameters_as_pairs_of_real_ones() -> None:
    """The same as to optimize the two parts by name."""
    params, gradient = MIXED["complex"], jnp.asarray([3 - 1j, 2j], jnp.complex64)
    tx, parts_tx = optax.split_real_and_imaginary(optax.adamw(0.1)), optax.adamw(0.1)

    def parts(z: Any) -> Any:
        return {"re": z.real, "im": z.imag}

    state, parts_state = tx.init(params), parts_tx.init(parts(params))
    for _ in range(3):
        updates, state = tx.update(gradient, state, params)
        expected, parts_state = parts_tx.update(parts(gradient), parts_state, parts(params))
        np.testing.assert_allclose(updates.real, expected["re"], rtol=1e-6)
        np.testing.assert_allclose(updates.imag, expected["im"], rtol=1e-6)
        assert updates.dtype == jnp.complex64


def test_split_shows_real_arrays_as_they_are() -> None:
    seen: list[Any] = []
    tx = optax.split_real_and_imaginary(spy(seen))
    state = tx.init(MIXED)
    updates, state = tx.update(MIXED, state, MIXED, value=1)
    for shown in (seen[0], seen[1][0], seen[1][1]):
        assert type(shown["complex"]).__name__ == "SplitRealAndImaginaryArrays"
        np.testing.assert_array_equal(shown["complex"].real, [1, 0])
        np.testing.assert_array_equal(shown["complex"].imaginary, [2, -1])
        assert shown["complex"].real.dtype == jnp.float32
        assert all(shown[name] is MIXED[name] for name in MIXED if name != "complex")
    assert seen[1][2] == {"value": 1}
    assert state == optax.SplitRealAndImaginaryState(inner_state=optax.EmptyState())
    assert jax.tree.all(jax.tree.map(lambda a, b: a.dtype == b.dtype and bool(jnp.all(a == b)), updates, MIXED))


@pytest.mark.parametrize("wrap", [optax.flatten, optax.split_real_and_imaginary])
def test_what_is_no_transformation_is_refused(wrap: Any) -> None:
    with pytest.raises(TypeError, match="inner must be a transformation, not <function adam"):
        wrap(optax.adam)

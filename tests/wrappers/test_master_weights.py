"""Parameters of 16 bits that train as if they were of 32."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64

LOW = [jnp.bfloat16, jnp.float16]


def rounded(x: Any, dtype: Any) -> Any:
    return np.asarray(x).astype(dtype)


def trained(tx: Any, params: Any, gradients: Any) -> tuple[Any, Any]:
    def step(carry: Any, g: Any) -> Any:
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (params, tx.init(params)), gradients)
    return params, state


@pytest.mark.parametrize("dtype", LOW)
def test_small_steps_add_up(dtype: Any) -> None:
    """Defect A6: a thousand steps of Adam by 0.001 take 1 to 0, not nowhere."""
    params, state = trained(optax.master_weights(optax.adam(1e-3)), jnp.ones(2, dtype), jnp.ones((1000, 2), dtype))
    assert params.dtype == dtype
    np.testing.assert_allclose(params.astype(jnp.float32), 0, atol=1e-3)
    np.testing.assert_allclose(optax.master_params(state, params), 0, atol=1e-4)
    plain, _ = trained(optax.adam(1e-3), jnp.ones(2, jnp.bfloat16), jnp.ones((1000, 2), jnp.bfloat16))
    assert np.all(np.asarray(plain, np.float32) == 1)


@pytest.mark.parametrize("gradient_dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
@pytest.mark.parametrize("dtype", LOW)
def test_it_is_training_in_float32(dtype: Any, gradient_dtype: Any) -> None:
    """Whatever the updates are rounded to on their way: steps of all sizes, many of them across zero."""
    rng = np.random.default_rng(0)
    size = 10.0 ** rng.uniform(-6, 1, size=200)
    gradients = jnp.asarray(rng.normal(size=(500, 200)) * size, gradient_dtype)
    start = jnp.asarray(rng.normal(size=200), dtype)
    params, state = trained(optax.master_weights(optax.sgd(0.1, momentum=0.5)), start, gradients)
    wide, _ = trained(optax.sgd(0.1, momentum=0.5), start.astype(jnp.float32), gradients.astype(jnp.float32))
    masters = np.asarray(optax.master_params(state, params))
    np.testing.assert_allclose(masters, wide, rtol=1e-5, atol=1e-5)
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(params.astype(jnp.float32), masters, rtol=eps, atol=1e-3)


def test_a_step_too_long_for_its_dtype_is_made_up_for() -> None:
    """From 1 to 0.0100 the way is -0.98999, in bfloat16 -0.98828: p is 0.0117 and r the difference."""
    tx = optax.master_weights(optax.sgd(1.0))
    p = jnp.ones((), jnp.bfloat16)
    for first in (0.989990234375, 1.01):  # the second one crosses zero
        g = jnp.asarray(first, jnp.bfloat16)
        u, state = tx.update(g, tx.init(p), p)
        landed = optax.apply_updates(p, u)
        master = 1 - float(g)
        assert float(optax.master_params(state, landed)) == master
        u, _ = tx.update(jnp.zeros((), jnp.bfloat16), state, landed)
        assert float(optax.apply_updates(landed, u)) == float(rounded(master, jnp.bfloat16))


def test_tiny_numbers_of_float16_are_rounded_as_float16_has_them() -> None:
    """Below 6e-5 float16 has one number every 6e-8."""
    g = jnp.full((100, 1), 1e-7, jnp.float32)
    params, state = trained(optax.master_weights(optax.sgd(1.0)), jnp.full(1, 2e-5, jnp.float16), g)
    masters = optax.master_params(state, params)
    np.testing.assert_allclose(masters, float(jnp.float16(2e-5)) - 100 * 1e-7, rtol=1e-4)
    assert np.array_equal(params, rounded(masters, jnp.float16))


def test_compiled_and_eager_steps_agree_to_the_bit() -> None:
    """A compiler may leave out a conversion to 16 bits and back; the remainder must not depend on that."""
    tx = optax.master_weights(optax.sgd(0.01))
    rng = np.random.default_rng(0)
    for dtype in LOW:
        gradients = jnp.asarray(rng.normal(size=(20, 50)), dtype)
        params = jnp.asarray(rng.normal(size=50), dtype)
        scanned = trained(tx, params, gradients)
        state = tx.init(params)
        for g in gradients:
            updates, state = tx.update(g, state, params)
            params = optax.apply_updates(params, updates)
        assert np.array_equal(params, scanned[0])
        np.testing.assert_allclose(state.remainder, scanned[1].remainder, rtol=0, atol=2e-7)


class SeenState(NamedTuple):
    params: Any
    gradient: Any


def spy() -> optax.GradientTransformation:
    def init(params: Any) -> SeenState:
        return SeenState(params, jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(jnp.zeros_like, updates), SeenState(params, updates)

    return optax.GradientTransformation(init, update)


def test_the_inner_transformation_sees_float32() -> None:
    params = {"low": jnp.ones(2, jnp.bfloat16), "high": jnp.ones(2), "z": jnp.ones(2, jnp.complex64), "n": jnp.int32(1)}
    gradient = {**params, "n": np.zeros((), jax.dtypes.float0)}
    tx = optax.master_weights(optax.masked(spy(), {"low": True, "high": True, "z": True, "n": False}))
    state = tx.init(params)
    none = optax.MaskedNode()
    assert state.remainder["low"].dtype == jnp.float32
    assert [state.remainder[k] for k in ("high", "z", "n")] == [none, none, none]
    updates, state = tx.update(gradient, state, params)
    seen = state.inner_state.inner_state
    for tree in seen:
        assert {k: str(x.dtype) for k, x in tree.items() if k != "n"} == {
            "low": "float32",
            "high": "float32",
            "z": "complex64",
        }
    assert updates["low"].dtype == jnp.bfloat16
    assert updates["n"].dtype == jax.dtypes.float0


def test_wide_parameters_are_left_to_the_inner_transformation() -> None:
    params = jnp.ones(2)
    tx, inner = optax.master_weights(optax.adam(0.1)), optax.adam(0.1)
    state = tx.init(params)
    assert jax.tree.leaves(state.remainder) == []
    updates, state = tx.update(params, state, params)
    expected, inner_state = inner.update(params, inner.init(params), params)
    assert np.array_equal(updates, expected)
    assert jax.tree.structure(state.inner_state) == jax.tree.structure(inner_state)


def test_another_dtype() -> None:
    with enable_x64():
        params = {"single": jnp.ones(2, jnp.float32), "double": jnp.ones(2, jnp.float64)}
        gradients = jax.tree.map(lambda p: jnp.full((1000, 2), 1e-9, p.dtype), params)
        params, state = trained(optax.master_weights(optax.sgd(1.0), dtype=jnp.float64), params, gradients)
        masters = optax.master_params(state, params)
        assert np.array_equal(masters["double"], params["double"])
        np.testing.assert_allclose(masters["single"], 1 - 1e-6, rtol=1e-12)
        assert np.array_equal(params["single"], rounded(masters["single"], np.float32))


def test_changes_from_outside_are_followed() -> None:
    """The remainder is half a unit in the last place of the old value at most."""
    tx = optax.master_weights(optax.sgd(1.0))
    _, state = trained(tx, jnp.ones(2, jnp.bfloat16), jnp.full((3, 2), 1e-3, jnp.bfloat16))
    assert np.any(np.asarray(state.remainder) != 0)
    for value in (5.0, -300.0, 0.0):
        new = jnp.full(2, value, jnp.bfloat16)
        np.testing.assert_allclose(optax.master_params(state, new), value, atol=2**-8)
        updates, _ = tx.update(jnp.zeros(2, jnp.bfloat16), state, new)
        np.testing.assert_allclose(optax.apply_updates(new, updates).astype(jnp.float32), value, atol=2**-8)


def test_a_nan_is_gone_when_the_parameters_are_restored() -> None:
    tx = optax.master_weights(optax.sgd(1.0))
    params = jnp.ones(2, jnp.bfloat16)
    _, state = tx.update(jnp.full(2, jnp.nan, jnp.bfloat16), tx.init(params), params)
    updates, state = tx.update(jnp.full(2, 0.25, jnp.bfloat16), state, params)
    assert np.all(np.asarray(updates, np.float32) == -0.25)
    assert np.all(np.asarray(state.remainder) == 0)


def test_averages_at_full_precision() -> None:
    """By hand: p falls by 0.001 a step, from 1 by 0.005 on average over nine of them."""
    tx = optax.master_weights(optax.chain(optax.sgd(1.0), optax.params_mean()))
    params, state = trained(tx, jnp.ones(2, jnp.bfloat16), jnp.full((9, 2), 1e-3, jnp.float32))
    assert optax.eval_params(state, params).dtype == jnp.bfloat16
    average = optax.eval_params(state, optax.master_params(state, params))
    np.testing.assert_allclose(average, 0.995, rtol=1e-6)


def test_schedule_free_inside() -> None:
    params, state = trained(
        optax.chain(optax.clip(5.0), optax.master_weights(optax.schedule_free_sgd(1e-4))),
        jnp.ones(2, jnp.float16),
        jnp.ones((1000, 2), jnp.float16),
    )
    x = optax.schedule_free_eval_params(state, optax.master_params(state, params))
    np.testing.assert_allclose(x, 1 - 1e-4 * 500.5, rtol=1e-4)


def test_an_absent_gradient_leaves_the_parameter() -> None:
    params = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(2, jnp.bfloat16)}
    tx = optax.master_weights(optax.sgd(1.0))
    updates, state = tx.update({"a": None, "b": jnp.ones(2, jnp.bfloat16)}, tx.init(params), params)
    assert updates["a"] is None
    assert np.all(np.asarray(state.remainder["a"]) == 0)
    assert np.all(np.asarray(updates["b"], np.float32) == -1)


def test_mistakes_are_named() -> None:
    with pytest.raises(TypeError, match="dtype must be a real floating one, not 'int32'"):
        optax.master_weights(optax.sgd(0.1), dtype="int32")
    with pytest.raises(ValueError, match="there is no MasterWeightsState in this state"):
        optax.master_params(optax.sgd(0.1).init(jnp.ones(2)), jnp.ones(2))

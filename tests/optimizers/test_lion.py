"""What only Lion promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64


def first_update(tx: Any, g: Any) -> Any:
    return np.asarray(tx.update(g, tx.init(g))[0])


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.99), (0.5, 0.5), (0.9, 0.2), (0.0, 0.0)])
def test_traced_decays_give_the_same_updates(b1: float, b2: float) -> None:
    """Where the decays are known, and b1 <= b2, the direction is computed from the new mean and not from the old."""

    def updates(b1: Any, b2: Any) -> Any:
        tx = optax.scale_by_lion(b1, b2, mode="refined")
        state, found = tx.init(jnp.zeros(3)), []
        for g in ([1.0, -2.0, 0.3], [0.0, 0.5, -0.3], [-1.0, 0.5, 0.0]):
            u, state = tx.update(jnp.asarray(g), state)
            found.append(u)
        return found

    with enable_x64():
        np.testing.assert_allclose(updates(b1, b2), jax.jit(updates)(b1, b2), rtol=1e-14)


def test_the_old_mean_is_not_copied() -> None:
    """The new mean is written over the old one, and the parameters over the old ones: nothing is left to allocate."""
    tx, n = optax.lion(1e-3), 2**16

    def step(params: Any, state: Any, g: Any) -> Any:
        updates, state = tx.update(g, state, params)
        return optax.apply_updates(params, updates), state

    params = jnp.ones(n)
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < n


@pytest.mark.parametrize(
    ("mode", "magnitudes"), [("hard", [1, 1, 0]), ("smooth", np.tanh([4.0, 0.6, 0])), ("refined", [1, 0.3, 0])]
)
def test_a_complex_update_keeps_its_direction(mode: Any, magnitudes: Any) -> None:
    """Defect A15: the tanh of a complex number points elsewhere, and is not bounded."""
    directions = np.asarray([0.6 - 0.8j, 1j, 1])
    g = jnp.asarray(directions * np.asarray([20, 3, 0]), jnp.complex64)
    u = first_update(optax.scale_by_lion(mode=mode, smooth_beta=2.0), g)
    np.testing.assert_allclose(u, directions * np.asarray(magnitudes), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize(("mode", "slope"), [("hard", 0.0), ("smooth", 0.3), ("refined", 0.1)])
def test_the_slope_at_zero(mode: Any, slope: float, dtype: str) -> None:
    """Defect F7."""
    tx = optax.scale_by_lion(mode=mode, smooth_beta=3.0)

    def u(x: Any) -> Any:
        g = jnp.full((), x, dtype)
        return tx.update(g, tx.init(g))[0].real

    np.testing.assert_allclose(jax.grad(u)(0.0), slope, rtol=1e-6)


def test_the_mean_of_low_precision_gradients_forgets() -> None:
    """As defect A4 for Adam: bfloat16 cannot resolve 0.01, and 0.99 * m rounds back to m."""
    tx = optax.scale_by_lion()
    state = tx.init(jnp.ones(1, jnp.bfloat16))
    assert state.mu.dtype == jnp.float32
    state = state._replace(mu=jnp.ones(1))
    state = jax.lax.fori_loop(0, 500, lambda _, s: tx.update(jnp.zeros(1, jnp.bfloat16), s)[1], state)
    np.testing.assert_allclose(state.mu, 0.99**500, rtol=1e-3)
    assert state.count == 500
    assert optax.lion(0.1, mu_dtype="bfloat16").init(jnp.ones(1))[0].mu.dtype == jnp.bfloat16


def test_gradients_of_another_dtype_leave_the_state_as_it_is() -> None:
    """Defect A8."""
    tx = optax.lion(0.1, mu_dtype="bfloat16")
    params = jnp.ones(2, jnp.bfloat16)
    state = tx.init(params)
    u, (new_state, *_) = tx.update(jnp.ones(2), state, params)
    assert u.dtype == jnp.float32
    assert [x.dtype for x in (*state[0], *new_state)] == [jnp.int32, jnp.bfloat16] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"b2": -0.1}, "b2 must be at least 0 and below 1, not -0.1"),
        ({"smooth_beta": 0.0}, "smooth_beta must be above 0, not 0.0"),
        ({"mode": "soft"}, "mode must be one of 'hard', 'smooth', 'refined', not 'soft'"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    """Defect C12."""
    with pytest.raises((TypeError, ValueError), match=message):
        optax.scale_by_lion(**arguments)

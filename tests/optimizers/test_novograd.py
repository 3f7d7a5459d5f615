"""What only NovoGrad promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_the_first_step_has_the_norm_of_the_learning_rate(dtype: Any) -> None:
    """In float16 the square of 300 is infinite."""
    g = {"a": jnp.full((4, 4), 300.0, dtype), "b": jnp.full(4, 1e-3, dtype)}
    tx = optax.novograd(0.1)
    u, state = tx.update(g, tx.init(g))
    for name in g:
        np.testing.assert_allclose(np.linalg.norm(np.asarray(u[name], np.float64)), 0.1, rtol=1e-2)
        assert (state[0].nu[name].shape, state[0].nu[name].dtype) == ((), jnp.float32)


def test_mixed_precision_keeps_every_dtype() -> None:
    """Defect A8: the original raises for bfloat16 parameters and float32 gradients."""
    tx = optax.novograd(0.1, weight_decay=0.1)
    p = jnp.ones(3, jnp.bfloat16)

    def step(state: Any, g: Any) -> Any:
        u, state = tx.update(g, state, p)
        return state, u

    _, u = jax.lax.scan(step, tx.init(p), jnp.ones((3, 3)))
    assert u.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_zero_gradients_are_no_step(dtype: Any) -> None:
    """Defects A7 and F7: 0 / 0, and the derivative of a norm at 0."""
    tx = optax.scale_by_novograd(eps=0.0)

    def u(g: jax.Array) -> jax.Array:
        return tx.update(g, tx.init(g))[0]

    zero = jnp.zeros(3, dtype)
    assert np.all(np.asarray(u(zero)) == 0)
    assert np.all(np.isfinite(jax.jacobian(u)(jnp.zeros(3))))


def test_the_decay_goes_through_the_momentum_and_can_be_a_schedule() -> None:
    p, g = jnp.asarray([2.0]), jnp.zeros(1)
    tx = optax.scale_by_novograd(b1=0.5, weight_decay=lambda count: 1 + count.astype(float))
    state, found = tx.init(p), []
    for _ in range(3):
        u, state = tx.update(g, state, p)
        found.append(float(u[0]))
    np.testing.assert_allclose(found, [2, 1 + 4, 2.5 + 6], rtol=1e-6)


def test_the_parameters_are_needed_for_the_decay_only() -> None:
    p = jnp.ones(2)
    tx = optax.novograd(0.1, weight_decay=0.1)
    with pytest.raises(ValueError, match="reads the parameters"):
        tx.update(p, tx.init(p))
    assert np.all(np.asarray(optax.novograd(0.1).update(p, optax.novograd(0.1).init(p))[0]) < 0)


def test_the_norm_of_complex_parameters_is_real() -> None:
    g = jnp.asarray([3j, 4 + 0j], jnp.complex64)
    tx = optax.scale_by_novograd(eps=0.0)
    u, state = tx.update(g, tx.init(g))
    assert (state.nu.dtype, float(state.nu)) == (jnp.float32, 25.0)
    np.testing.assert_allclose(u, np.asarray(g) / 5, rtol=1e-6)


@pytest.mark.parametrize("name", ["b1", "b2"])
def test_mistakes_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0 and below 1, not 1.0"):
        optax.novograd(0.1, **{name: 1.0})

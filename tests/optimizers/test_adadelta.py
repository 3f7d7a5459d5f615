"""What only Adadelta promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_the_first_step() -> None:
    """g * sqrt(eps) / sqrt((1 - rho) * g^2 + eps), by hand: rho = 3/4, eps = 1 and g = 2 * sqrt(3) give sqrt(3)."""
    tx = optax.adadelta(0.5, rho=0.75, eps=1.0)
    g = jnp.full(1, 2 * np.sqrt(3))
    u, state = tx.update(g, tx.init(g))
    np.testing.assert_allclose(u, -0.5 * np.sqrt(3), rtol=1e-6)
    np.testing.assert_allclose(state[1].e_x, 0.25 * 3, rtol=1e-6)


def test_without_a_learning_rate_nothing_turns_the_sign() -> None:
    g = jnp.asarray([2.0, -3.0])
    bare, one = optax.adadelta(), optax.adadelta(1.0)
    u, v = bare.update(g, bare.init(g))[0], one.update(g, one.init(g))[0]
    np.testing.assert_array_equal(u, -v)
    assert np.all(np.asarray(u * g) > 0)


def test_the_parameters_are_needed_for_the_decay_only() -> None:
    p = jnp.ones(2)
    tx = optax.adadelta(1.0, weight_decay=0.1)
    with pytest.raises(ValueError, match="reads the parameters"):
        tx.update(p, tx.init(p))
    assert np.all(np.asarray(optax.adadelta(1.0).update(p, optax.adadelta(1.0).init(p))[0]) < 0)


def test_both_means_of_float16_parameters_are_float32() -> None:
    """The first mean of the squared updates is about eps * (1 - rho), which is 0 in float16."""
    tx = optax.scale_by_adadelta()
    g = jnp.full(1, 0.5, jnp.float16)
    state = tx.init(g)
    assert {x.dtype for x in state} == {np.dtype("float32")}
    for _ in range(3):
        _, state = tx.update(g, state)
    assert float(state.e_x[0]) > 1e-6


@pytest.mark.parametrize("rho", [0.0, 0.9])
@pytest.mark.parametrize("g", [0.0, 1e-30, 1e15])
def test_updates_and_their_derivatives_are_finite(g: float, rho: float) -> None:
    """Defects A7 and F7."""
    tx = optax.scale_by_adadelta(rho)

    def u(g: jax.Array) -> jax.Array:
        return tx.update(g, tx.init(g))[0].sum()

    value, derivative = jax.value_and_grad(u)(jnp.full(1, g))
    assert np.isfinite(value)
    assert np.all(np.isfinite(derivative))


def test_the_step_sets_no_memory_aside() -> None:
    tx, p = optax.adadelta(1.0), jnp.ones((256, 256))

    def step(p: Any, state: Any, g: Any) -> Any:
        u, state = tx.update(g, state, p)
        return optax.apply_updates(p, u), state

    memory = jax.jit(step, donate_argnums=(0, 1)).lower(p, tx.init(p), p).compile().memory_analysis()
    assert memory.temp_size_in_bytes < p.nbytes / 4


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="eps must be above 0"):
        optax.adadelta(eps=0.0)
    with pytest.raises(ValueError, match="rho must be at least 0 and below 1"):
        optax.adadelta(rho=1.0)

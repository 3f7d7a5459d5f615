"""What only AdaMax promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_the_largest_gradient_is_forgotten_at_the_rate_of_b2() -> None:
    tx = optax.scale_by_adamax(b2=0.5, eps=0.0)
    state = tx.init(jnp.zeros(1))
    seen = []
    for g in (8.0, 1.0, -1.0, 2.5):
        _, state = tx.update(jnp.full(1, g), state)
        seen.append(float(state.nu[0]))
    assert seen == [8.0, 4.0, 2.0, 2.5]


def test_the_first_step_is_the_sign() -> None:
    g = jnp.asarray([1e-3, -2.0, 5e2])
    tx = optax.adamax(0.1, eps=0.0)
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(np.asarray(u), -0.1 * np.sign(np.asarray(g)), rtol=1e-6)


def test_it_sees_gradients_whose_squares_are_zero() -> None:
    """Unlike Adam it squares nothing."""
    g = jnp.asarray([1e-30, -1e-36])
    tx = optax.scale_by_adamax(eps=0.0)
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(np.asarray(u), [1, -1], rtol=1e-6)


def test_the_maximum_of_bfloat16_gradients_forgets() -> None:
    """Defect A4: in bfloat16 0.999 * v rounds back to v."""
    tx = optax.scale_by_adamax()
    state = tx.init(jnp.ones(1, jnp.bfloat16))
    assert state.nu.dtype == jnp.float32
    _, state = tx.update(jnp.ones(1, jnp.bfloat16), state)
    zeros = jnp.zeros(1, jnp.bfloat16)
    state = jax.lax.fori_loop(0, 1000, lambda _, s: tx.update(zeros, s)[1], state)
    np.testing.assert_allclose(float(state.nu[0]), 0.999**1000, rtol=1e-4)


def test_adamaxw_adds_a_pull_that_the_learning_rate_scales() -> None:
    p, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.5])
    plain, _ = optax.adamax(0.1).update(g, optax.adamax(0.1).init(p))
    tx = optax.adamaxw(0.1, weight_decay=0.3)
    decayed, _ = tx.update(g, tx.init(p), p)
    np.testing.assert_allclose(np.asarray(decayed - plain), -0.1 * 0.3 * np.asarray(p), rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"b2": 1.0}, "b2 must be at least 0 and below 1, not 1.0"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
        ({"weight_decay": "1e-3"}, "weight_decay must be a real number or a schedule"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.adamaxw(0.1, **arguments)

"""What only Yogi promises."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_the_mean_square_moves_by_a_share_of_the_newest() -> None:
    tx = optax.scale_by_yogi(b2=0.75, initial_accumulator_value=1.0)
    state = tx.init(jnp.zeros(3))
    # above, below and at v = 1
    _, state = tx.update(jnp.asarray([2.0, 0.5, 1.0]), state)
    np.testing.assert_allclose(np.asarray(state.nu), [1 + 0.25 * 4, 1 - 0.25 * 0.25, 1.0], rtol=1e-6)


def test_a_large_gradient_is_forgotten_more_slowly_than_by_adam() -> None:
    tx, adam = optax.scale_by_yogi(b2=0.9), optax.scale_by_adam(b2=0.9)
    state, other = tx.init(jnp.zeros(1)), adam.init(jnp.zeros(1))
    for g in [10.0] + [0.1] * 20:
        _, state = tx.update(jnp.full(1, g), state)
        _, other = adam.update(jnp.full(1, g), other)
    np.testing.assert_allclose(float(state.nu[0]), 1e-6 + 0.1 * (100 - 20 * 0.01), rtol=1e-5)
    assert float(other.nu[0]) < 0.15 * float(state.nu[0])


def test_both_moments_start_from_the_initial_value() -> None:
    """So the first step is not zero where the gradient is: recorded from the original 0.2.8, which does the same."""
    tx = optax.yogi(1.0)
    params = {"w": jnp.ones(2, jnp.bfloat16), "n": jnp.ones(2, jnp.int32)}
    state = tx.init(params)
    np.testing.assert_allclose(np.asarray(state[0].mu["w"], np.float32), 1e-6, rtol=1e-2)
    np.testing.assert_allclose(np.asarray(state[0].nu["w"]), 1e-6, rtol=1e-6)
    p = jnp.zeros(1)
    u, _ = tx.update(jnp.zeros(1), tx.init(p))
    np.testing.assert_allclose(float(u[0]), -9e-6 / (np.sqrt(1e-3) + 1e-3), rtol=1e-4)


def test_it_can_start_from_zero() -> None:
    tx = optax.scale_by_yogi(eps=0.0, initial_accumulator_value=0.0)
    g = jnp.asarray([2.0, 0.0, -1e-3])
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(np.asarray(u), np.sign(np.asarray(g)), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"b2": 1.0}, "b2 must be at least 0 and below 1, not 1.0"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"eps_root": -1.0}, "eps_root must be at least 0, not -1.0"),
        ({"initial_accumulator_value": -1e-6}, "initial_accumulator_value must be at least 0, not -1e-06"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.scale_by_yogi(**arguments)

"""What only AMSGrad promises."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_the_denominator_never_falls() -> None:
    tx, adam = optax.scale_by_amsgrad(b2=0.5), optax.scale_by_adam(b2=0.5)
    state, forgetful = tx.init(jnp.zeros(2)), adam.init(jnp.zeros(2))
    largest = np.zeros(2)
    for g in ([100.0, 1.0], [1.0, 1.0], [1.0, 50.0], [1.0, 1.0], [1.0, 1.0]):
        u, state = tx.update(jnp.asarray(g), state)
        v, forgetful = adam.update(jnp.asarray(g), forgetful)
        assert np.all(np.asarray(state.nu_max) >= largest)
        assert np.all(np.abs(u) <= np.abs(v))
        largest = np.asarray(state.nu_max)
    assert np.all(np.abs(u) < 0.5 * np.abs(v))


def test_constant_gradients_make_it_adam() -> None:
    g = jnp.asarray([0.5, -3.0])
    tx, adam = optax.amsgrad(0.1), optax.adam(0.1)
    state, other = tx.init(g), adam.init(g)
    for _ in range(5):
        u, state = tx.update(g, state)
        v, other = adam.update(g, other)
        np.testing.assert_allclose(np.asarray(u), np.asarray(v), rtol=1e-6)


def test_without_corrections_it_is_the_paper_s() -> None:
    tx = optax.scale_by_amsgrad(eps=0.0, bias_correction_mu=False, bias_correction_nu=False)
    u, state = tx.update(jnp.full(1, 2.0), tx.init(jnp.zeros(1)))
    np.testing.assert_allclose(np.asarray(u), 0.1 / np.sqrt(0.001), rtol=1e-5)
    np.testing.assert_allclose(np.asarray(state.nu_max), 0.001 * 4, rtol=1e-5)


def test_the_maximum_of_16_bit_parameters_is_float32() -> None:
    """Defect A4."""
    state = optax.scale_by_amsgrad().init(jnp.ones(2, jnp.bfloat16))
    assert (state.mu.dtype, state.nu.dtype, state.nu_max.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    state = optax.scale_by_amsgrad(mu_dtype="float32", nu_dtype="bfloat16").init(jnp.ones(2, jnp.float16))
    assert (state.mu.dtype, state.nu.dtype, state.nu_max.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b1": -0.1}, "b1 must be at least 0 and below 1, not -0.1"),
        ({"b2": 1.0}, "b2 must be at least 0 and below 1, not 1.0"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"eps_root": -1.0}, "eps_root must be at least 0, not -1.0"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.amsgrad(0.1, **arguments)

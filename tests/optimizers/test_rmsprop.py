"""What only RMSProp promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


@pytest.mark.parametrize("settings", [{"bias_correction": True}, {"bias_correction": True, "eps_in_sqrt": False}, {}])
@pytest.mark.parametrize("size", [1.0, 0.3, 7.7])
def test_the_variance_of_equal_gradients_is_not_negative(size: float, settings: dict[str, Any]) -> None:
    """v - |m|^2 is then a rounding error: the root of a negative one is NaN (in the original it is, at size 1)."""
    tx = optax.scale_by_stddev(**settings)

    def step(state: Any, _: Any) -> Any:
        u, state = tx.update(jnp.full(1, size), state)
        return state, u

    _, updates = jax.lax.scan(step, tx.init(jnp.zeros(1)), length=300)
    assert np.all(np.isfinite(updates))
    assert np.all(np.asarray(updates) > 0)


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_small_squares_count_in_low_precision(dtype: Any, centered: bool) -> None:
    """In float16 the square of 1e-4 is 0."""
    tx = optax.rmsprop(1.0, eps=1e-12, centered=centered)
    g = jnp.full(1, 1e-4, dtype)
    u, state = tx.update(g, tx.init(g))
    assert state[0].nu.dtype == jnp.float32
    # v = 0.1 g^2, and m^2 = 0.01 g^2
    np.testing.assert_allclose(float(u[0]), -1 / np.sqrt(0.09 if centered else 0.1), rtol=1e-2)
    assert u.dtype == dtype


def test_moments_can_be_stored_in_16_bits() -> None:
    state = optax.rmsprop(0.1, centered=True, nu_dtype="bfloat16").init(jnp.ones(2))
    assert (state[0].mu.dtype, state[0].nu.dtype) == (jnp.bfloat16, jnp.bfloat16)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({}, optax.ScaleByRmsState),
        ({"bias_correction": True}, optax.ScaleByRmsWithCountState),
        ({"centered": True}, optax.ScaleByRStdDevState),
        ({"centered": True, "bias_correction": True}, optax.ScaleByRStdDevWithCountState),
    ],
)
def test_only_the_bias_correction_counts_the_steps(settings: dict[str, Any], kind: type) -> None:
    tx = optax.rmsprop(0.1, initial_scale=0.5, **settings)
    _, state = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    assert type(state[0]) is kind
    assert state[0]._asdict().get("count") == (1 if settings.get("bias_correction") else None)
    np.testing.assert_allclose(state[0].nu, 0.9 * 0.5 + 0.1, rtol=1e-6)


def test_a_complex_gradient_is_divided_by_a_real_deviation() -> None:
    g = jnp.asarray([3 + 4j, -2j], jnp.complex64)
    tx = optax.scale_by_stddev(eps=0.0)
    u, state = tx.update(g, tx.init(g))
    assert (state.mu.dtype, state.nu.dtype) == (jnp.complex64, jnp.float32)
    np.testing.assert_allclose(u, np.asarray(g) / np.abs(g) / 0.3, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": 1.0}, "decay must be at least 0 and below 1, not 1.0"),
        ({"initial_scale": -1.0}, "initial_scale must be at least 0, not -1.0"),
        ({"eps": -1.0, "centered": True}, "eps must be at least 0, not -1.0"),
        ({"momentum": 1.5}, "momentum must be at least -1 and at most 1, not 1.5"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.rmsprop(0.1, **arguments)

"""What only AdEMAMix and its simplified form promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

GRADIENTS = [jnp.asarray([1.0, -2.0, 0.0]), jnp.asarray([0.5, 3.0, 0.0]), jnp.asarray([-1.0, 0.0, 0.0])]


def run(tx: Any, gradients: list[Any]) -> tuple[np.ndarray, Any]:
    params = jax.tree.map(jnp.ones_like, gradients[0])
    state = tx.init(params)
    found = []
    for g in gradients:
        u, state = tx.update(g, state, params)
        found.append(np.asarray(u))
    return np.stack(found), state


def test_without_the_slow_mean_it_is_adam() -> None:
    ours, _ = run(optax.scale_by_ademamix(alpha=0.0), GRADIENTS)
    adam, _ = run(optax.scale_by_adam(), GRADIENTS)
    np.testing.assert_allclose(ours, adam, rtol=1e-6)


def test_the_slow_mean_adds_alpha_times_its_weight() -> None:
    """For a constant gradient of 1: 1 + alpha * (1 - b3^t). alpha is 6 by itself, 5 in the optimizer."""
    ones = [jnp.ones(1)] * 3
    weights = 1 - 0.9999 ** np.arange(1, 4)
    np.testing.assert_allclose(run(optax.scale_by_ademamix(), ones)[0][:, 0], 1 + 6 * weights, rtol=1e-6)
    np.testing.assert_allclose(run(optax.ademamix(1.0), ones)[0][:, 0], -1 - 5 * weights, rtol=1e-6)


def test_schedules_follow_a_step_count_of_their_own() -> None:
    tx = optax.scale_by_ademamix(b3=lambda t: jnp.where(t < 5, 0.5, 0.0), alpha=lambda t: jnp.where(t < 5, 2.0, 1.0))
    p = jnp.ones(1)
    state = tx.init(p)._replace(count_m2=jnp.asarray(4, jnp.int32))
    u, state = tx.update(p, state, p)
    np.testing.assert_allclose(u, 1 + 2 * 0.5, rtol=1e-6)
    u, state = tx.update(p, state, p)
    np.testing.assert_allclose(u, 1 + 1 * 1.0, rtol=1e-6)
    assert (int(state.count), int(state.count_m2)) == (2, 6)


def test_long_memories_are_kept_in_float32() -> None:
    """Defect A4: in bfloat16, 0.999 * v and 0.9999 * m2 round back to v and m2; in float16 squares underflow."""
    p = jnp.ones(2, jnp.bfloat16)
    state = optax.scale_by_ademamix().init(p)
    assert (state.m1.dtype, state.m2.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    state = optax.scale_by_simplified_ademamix().init(p)
    assert (state.m.dtype, state.n.dtype) == (jnp.float32, jnp.float32)
    state = optax.scale_by_ademamix(b3=lambda t: 0.5, mu_dtype="bfloat16", nu_dtype="bfloat16").init(p)
    assert {x.dtype for x in state[2:]} == {jnp.dtype("bfloat16")}


def test_the_simplified_form_by_hand() -> None:
    found, state = run(optax.scale_by_simplified_ademamix(b1=0.5, b2=0.0, alpha=3.0, eps=0.0), [2 * jnp.ones(1)] * 2)
    np.testing.assert_allclose(found[:, 0], [(2 + 3 * 2) / 2, (3 + 3 * 2) / 2], rtol=1e-6)
    assert (float(state.m[0]), float(state.n[0]), int(state.t)) == (3.0, 4.0, 2)


@pytest.mark.parametrize("factory", [optax.scale_by_ademamix, optax.scale_by_simplified_ademamix])
def test_float16_takes_zero_gradients(factory: Any) -> None:
    """Defect A7: eps = 1e-8 is 0 in float16."""
    found, _ = run(factory(), [g.astype(jnp.float16) for g in GRADIENTS])
    assert np.all(np.isfinite(found))
    assert np.all(found[:, 2] == 0)


@pytest.mark.parametrize("factory", [optax.scale_by_ademamix, optax.scale_by_simplified_ademamix])
def test_a_phase_of_complex_gradients_goes_through(factory: Any) -> None:
    """Defect A15: squares are those of the magnitude."""
    gradients = [jnp.asarray([1 + 2j, -3j]), jnp.asarray([2 - 1j, 1 + 1j])]
    plain, state = run(factory(), gradients)
    turned, _ = run(factory(), [1j * g for g in gradients])
    np.testing.assert_allclose(turned, 1j * plain, rtol=1e-5)
    assert state[-1].dtype == jnp.float32


@pytest.mark.parametrize(
    ("factory", "settings", "message"),
    [
        (optax.ademamix, {"b3": 1.0}, "b3 must be at least 0 and below 1, not 1.0"),
        (optax.ademamix, {"eps": -1.0}, "eps must be at least 0, not -1.0"),
        (optax.simplified_ademamix, {"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
    ],
)
def test_what_cannot_be_meant_raises(factory: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(0.1, **settings)

"""What only Rprop promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def updates_of(tx: Any, gradients: Any, dtype: Any = jnp.float32) -> Any:
    state, found = tx.init(jnp.zeros([], dtype)), []
    for g in gradients:
        u, state = tx.update(jnp.asarray(g, dtype), state)
        found.append(np.asarray(u))
    return np.asarray(found), state


def test_each_update_is_of_its_own_gradient() -> None:
    """Defect D1: the original returned what it had computed at the step before. By hand; PyTorch's are the same."""
    found, _ = updates_of(optax.rprop(0.1), [1.0, 1.0, 1.0, -1.0, 1.0, 1.0, 0.0, 1.0])
    expected = [-0.1, -0.12, -0.144, 0, -0.072, -0.0864, 0, -0.0864]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


def test_lengths_stay_within_their_bounds() -> None:
    growing, state = updates_of(optax.rprop(1.0, eta_plus=3.0, max_step_size=5.0), 4 * [2.0])
    np.testing.assert_allclose(growing, [-1, -3, -5, -5], rtol=1e-6)
    _, state = updates_of(optax.scale_by_rprop(1.0, min_step_size=0.3), 9 * [1.0, -1.0, 1.0])
    np.testing.assert_allclose(state.step_sizes, 0.3, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-30, 6e-5, 1e30])
def test_only_the_signs_count(size: float) -> None:
    signs = np.asarray([1.0, 1.0, -1.0, 1.0])
    np.testing.assert_array_equal(updates_of(optax.rprop(0.1), size * signs)[0], updates_of(optax.rprop(0.1), signs)[0])


def test_complex_gradients_turn_by_angles() -> None:
    """Defect A15: the original raises. The angles to the last step are 0, acute, obtuse, and none."""
    g = [2j, 1j, 1 + 1j, -1 - 1j, -1j]
    found, state = updates_of(optax.rprop(0.1), g, jnp.complex64)
    half = np.sqrt(0.5)
    expected = [-0.1j, -0.12j, -0.144 * half * (1 + 1j), 0, 0.072j]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert state[0].step_sizes.dtype == jnp.float32


def test_lengths_of_low_precision_parameters_are_float32() -> None:
    found, state = updates_of(optax.rprop(0.1), 5 * [1.0], jnp.bfloat16)
    assert state[0].step_sizes.dtype == jnp.float32
    np.testing.assert_allclose(state[0].step_sizes, 0.1 * 1.2**4, rtol=1e-6)
    assert found.dtype == jnp.bfloat16


def test_the_step_sets_no_memory_aside() -> None:
    tx, p = optax.rprop(0.1), jnp.ones((256, 256))

    def step(p: Any, state: Any, g: Any) -> Any:
        u, state = tx.update(g, state, p)
        return optax.apply_updates(p, u), state

    memory = jax.jit(step, donate_argnums=(0, 1)).lower(p, tx.init(p), p).compile().memory_analysis()
    assert memory.temp_size_in_bytes < p.nbytes / 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": lambda count: 0.1}, "learning_rate must be a real number, not"),
        ({"learning_rate": -0.1}, "learning_rate must be at least 0"),
        ({"learning_rate": 0.1, "eta_minus": 1.2}, "eta_minus must be at least 0 and at most 1"),
        ({"learning_rate": 0.1, "eta_plus": 0.5}, "eta_plus must be at least 1"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.rprop(**arguments)

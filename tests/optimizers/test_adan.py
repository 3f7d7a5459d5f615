"""What only Adan promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def run(tx: Any, gradients: list[Any], params: Any = None) -> tuple[list[Any], Any]:
    params = jax.tree.map(jnp.ones_like, gradients[0]) if params is None else params
    state = tx.init(params)
    found = []
    for g in gradients:
        u, state = tx.update(g, state, params)
        found.append(u)
    return found, state


def test_two_steps_by_hand() -> None:
    """It looks ahead by b2 = 1 - beta2 of the paper, in the numerator and in the mean square; the original by beta2."""
    tx = optax.scale_by_adan(b1=0.0, b2=0.5, b3=0.0, eps=0.0)
    (first, second), state = run(tx, [jnp.float32(1.0), jnp.float32(2.0)])
    assert float(first) == 1.0
    # The change is 1; v = 0.5 * 1 over 1 - 0.5^2; |2 + 0.5 * 1| = 2.5.
    np.testing.assert_allclose(second, (2 + 0.5 * 0.5 / 0.75) / 2.5, rtol=1e-6)
    assert (float(state.m), float(state.v), float(state.n), float(state.g), int(state.t)) == (2.0, 0.5, 6.25, 2.0, 2)


def test_a_constant_gradient_gives_its_sign() -> None:
    found, _ = run(optax.scale_by_adan(), [jnp.asarray([2.0, -0.5])] * 5)
    np.testing.assert_allclose(np.stack(found), np.tile([1.0, -1.0], (5, 1)), rtol=1e-5)


@pytest.mark.parametrize(("param", "grad"), [("float32", "bfloat16"), ("bfloat16", "float32")])
def test_state_keeps_its_dtypes(param: str, grad: str) -> None:
    """Defects A8 and A9: the last gradient took the dtype of the gradients."""
    tx = optax.adan(0.1)
    params = jnp.ones(3, param)
    state = tx.init(params)

    def step(state: Any, _: Any) -> Any:
        return tx.update(jnp.ones(3, grad), state, params)[1], None

    state, _ = jax.lax.scan(step, state, None, 3)
    assert [x.dtype for x in state[0][:4]] == [param, param, "float32", param]


def test_float16_takes_zero_gradients() -> None:
    """Defect A7: eps = 1e-8 is 0 in float16."""
    found, _ = run(optax.adan(0.1), [jnp.asarray([0.0, g], jnp.float16) for g in (5e-5, 0.0, 1.0)])
    assert np.all(np.isfinite(np.stack(found)))
    assert np.all(np.stack(found)[:, 0] == 0)


def test_a_phase_of_complex_gradients_goes_through() -> None:
    """Defect A15: squares are those of the magnitude."""
    gradients = [jnp.asarray([1 + 2j, -3j]), jnp.asarray([2 - 1j, 1 + 1j])]
    plain, state = run(optax.scale_by_adan(), gradients)
    turned, _ = run(optax.scale_by_adan(), [1j * g for g in gradients])
    np.testing.assert_allclose(np.stack(turned), 1j * np.stack(plain), rtol=1e-5)
    assert state.n.dtype == jnp.float32


def test_memory_for_nothing_but_the_state() -> None:
    """The original keeps a copy of the last gradient during the step."""
    size = 2**16
    p = jnp.ones(size)
    tx = optax.adan(0.1)

    def step(p: Any, state: Any, g: Any) -> Any:
        u, state = tx.update(g, state, p)
        return optax.apply_updates(p, u), state

    memory = jax.jit(step, donate_argnums=(0, 1)).lower(p, tx.init(p), p).compile().memory_analysis()
    assert memory.temp_size_in_bytes < size


@pytest.mark.parametrize("name", ["b1", "b2", "b3"])
def test_decays_are_checked(name: str) -> None:
    decay: Any = {name: 1.0}
    with pytest.raises(ValueError, match=f"{name} must be at least 0 and below 1, not 1.0"):
        optax.adan(0.1, **decay)

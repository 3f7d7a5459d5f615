"""What only ADOPT promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def run(tx: Any, gradients: list[Any]) -> tuple[np.ndarray, Any]:
    params = jnp.ones_like(gradients[0])
    state = tx.init(params)
    found = []
    for g in gradients:
        u, state = tx.update(g, state, params)
        found.append(np.asarray(u))
    return np.stack(found), state


def test_the_first_gradient_only_gives_the_scale() -> None:
    found, state = run(optax.adopt(0.1), [jnp.asarray([3.0, -4.0])])
    assert np.all(found == 0)
    np.testing.assert_allclose(state[0].nu, [9.0, 16.0])
    assert int(state[0].count) == 1


def test_a_gradient_is_divided_by_those_before_it() -> None:
    found, _ = run(optax.scale_by_adopt(b1=0.0, b2=0.5, use_clipping=False), [jnp.full(1, g) for g in (2.0, 6.0, 1.0)])
    np.testing.assert_allclose(found[:, 0], [0, 6 / 2, 1 / np.sqrt((4 + 36) / 2)], rtol=1e-6)


def test_the_bound_grows_with_the_fourth_root_of_the_step() -> None:
    found, _ = run(optax.scale_by_adopt(b1=0.0, b2=0.0), [jnp.full(1, 10.0**t) for t in range(4)])
    np.testing.assert_allclose(found[:, 0], [0, 1, 2**0.25, 3**0.25], rtol=1e-6)


def test_another_bound() -> None:
    tx = optax.scale_by_adopt(b1=0.0, b2=0.0, clip_value_fn=lambda t: 0.5)
    found, _ = run(tx, [jnp.full(1, g) for g in (1.0, -5.0, 1.0)])
    np.testing.assert_allclose(found[:, 0], [0, -0.5, 0.2], rtol=1e-6)


@pytest.mark.parametrize("eps", [1e-6, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64"])
def test_zero_gradients_come_first(eps: float, dtype: str) -> None:
    """Defect A7: 0 / 0 with eps = 0, or where eps underflows; what comes after them is bounded."""
    gradients = [jnp.full(2, g, dtype) for g in (0.0, 0.0, 1.0, 1e-3)]
    found, _ = run(optax.scale_by_adopt(b1=0.0, eps=eps), gradients)
    assert np.all(found[:2] == 0)
    np.testing.assert_allclose(found[2], 2**0.25, rtol=1e-3)
    assert np.all(np.isfinite(found[3]))


def test_complex_elements_keep_their_direction_when_they_are_clipped() -> None:
    """Defect A15: the original rejects complex parameters."""
    g = jnp.asarray([1 + 1j, 0.1 + 0j])
    found, state = run(optax.scale_by_adopt(b1=0.0), [g, jnp.asarray([3j, -0.05 + 0j])])
    np.testing.assert_allclose(found[1], [1j, -0.5], rtol=1e-6)
    assert state.nu.dtype == jnp.float32


def test_low_precision_parameters_keep_the_squares_in_float32() -> None:
    """Defect A4: bfloat16 cannot resolve 1 - 0.9999."""
    state = optax.scale_by_adopt().init(jnp.ones(2, jnp.bfloat16))
    assert (state.mu.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.float32)
    state = optax.scale_by_adopt(mu_dtype="float32", nu_dtype="bfloat16").init(jnp.ones(2, jnp.bfloat16))
    assert (state.mu.dtype, state.nu.dtype) == (jnp.float32, jnp.bfloat16)


def test_memory_for_nothing_but_the_state() -> None:
    """The original keeps a copy of the mean square during the step."""
    size = 2**16
    p = jnp.ones(size)
    tx = optax.adopt(0.1)

    def step(p: Any, state: Any, g: Any) -> Any:
        u, state = tx.update(g, state, p)
        return optax.apply_updates(p, u), state

    memory = jax.jit(step, donate_argnums=(0, 1)).lower(p, tx.init(p), p).compile().memory_analysis()
    assert memory.temp_size_in_bytes < size


def test_the_bound_must_be_a_function() -> None:
    bound: Any = 1.0
    with pytest.raises(TypeError, match=r"clip_value_fn must be a function of the step count, not 1\.0"):
        optax.adopt(0.1, clip_value_fn=bound)
    optax.adopt(0.1, use_clipping=False, clip_value_fn=bound)


def test_it_is_a_value_with_the_default_bound() -> None:
    assert optax.adopt(0.1) == optax.adopt(0.1)
    assert repr(optax.adopt(0.1)) == "optax.optimizers.adopt(0.1)"

"""What only AdaGrad promises."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_constant_gradients_give_steps_that_shrink_with_the_root_of_time() -> None:
    tx = optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    g = jnp.asarray([1e-3, -2.0, 5e2])
    state = tx.init(g)
    for t in range(1, 6):
        u, state = tx.update(g, state)
        np.testing.assert_allclose(np.asarray(u), -0.1 * np.sign(np.asarray(g)) / np.sqrt(t), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_sum_of_low_precision_parameters_neither_stalls_nor_underflows(dtype: Any) -> None:
    tx = optax.scale_by_rss(initial_accumulator_value=0.0)
    state = tx.init(jnp.ones(2, dtype))
    for _ in range(300):
        u, state = tx.update(jnp.asarray([1.0, 1e-4], dtype), state)
    assert state.sum_of_squares.dtype == jnp.float32
    np.testing.assert_allclose(state.sum_of_squares, [300, 300e-8], rtol=1e-2)  # 1e-4 itself is rounded
    assert u.dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_no_gradient_yet_is_no_step(dtype: Any) -> None:
    """Defect A7: 0 / 0."""
    tx = optax.adagrad(0.1, initial_accumulator_value=0.0, eps=0.0)
    u, _ = tx.update(jnp.zeros(2, dtype), tx.init(jnp.ones(2, dtype)))
    assert np.all(np.asarray(u) == 0)


def test_complex_parameters_have_a_real_sum() -> None:
    g = jnp.asarray([3 + 4j, -1j], jnp.complex64)
    tx = optax.scale_by_rss(0.0, 0.0)
    u, state = tx.update(g, tx.init(g))
    np.testing.assert_allclose(state.sum_of_squares, [25, 1], rtol=1e-6)
    np.testing.assert_allclose(u, [0.6 + 0.8j, -1j], rtol=1e-6)


@pytest.mark.parametrize("name", ["initial_accumulator_value", "eps"])
def test_negative_sums_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 0"):
        optax.adagrad(0.1, **{name: -1.0})

"""What only MADGRAD promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64


def test_the_first_step_without_momentum() -> None:
    """x0 - a g / cbrt(a g^2) is a^(2/3) cbrt(g) away: 4 for a = 8, g = 1, and 8 for g = 8."""
    g = jnp.asarray([1.0, -8.0, 0.0])
    tx = optax.madgrad(8.0, momentum=0.0, eps=0.0)
    u, _ = tx.update(g, tx.init(g), jnp.ones(3))
    np.testing.assert_allclose(u - (jnp.asarray(g) - 1.0), [-4, 8, 0], rtol=1e-6)


def test_the_parameters_approach_those_of_dual_averaging() -> None:
    """u = (1 - momentum) * (z - p): half of the way with momentum 1/2."""
    p, g = jnp.zeros(2), jnp.asarray([1.0, -8.0])
    whole, half = (optax.madgrad(0.1, momentum=c, eps=0.0) for c in (0.0, 0.5))
    u, v = whole.update(g, whole.init(p), p)[0], half.update(g, half.init(p), p)[0]
    np.testing.assert_allclose(v, u / 2, rtol=1e-6)


@pytest.mark.parametrize("count", [2**31 - 2, 2**31 - 1])
def test_the_step_count_saturates(count: int) -> None:
    """Defect A16: count + 1 was negative, and its root NaN."""
    tx = optax.scale_by_madgrad(0.1)
    state = tx.init(jnp.zeros(1))._replace(count=jnp.asarray(count, jnp.int32))
    u, state = tx.update(jnp.ones(1), state, jnp.zeros(1))
    a = (0.1 + 1e-6) * np.sqrt(2.0**31)
    np.testing.assert_allclose(u, -0.1 * np.cbrt(a) ** 2, rtol=1e-4)
    assert int(state.count) == 2**31 - 1


@pytest.mark.parametrize("v", [1e-37, 1e-20, 0.3, 8.0, 1e20, 3e38])
def test_the_cube_root_is_right_to_the_last_digits(v: float) -> None:
    """Seen in the first step from 0 without momentum, whose size is a * g over the root."""
    with enable_x64():
        g = jnp.asarray([np.sqrt(v)], jnp.float32)
        tx = optax.madgrad(1.0, momentum=0.0, eps=0.0)
        u, state = tx.update(g, tx.init(jnp.zeros_like(g)), jnp.zeros_like(g))
        exact = float(g[0]) / np.cbrt(float(state[1].grad_sum_sq[0]))
        np.testing.assert_allclose(-float(u[0]), exact, rtol=4e-7)


def test_zero_gradients_are_no_step() -> None:
    """Defects A7 and F7: 0 / 0, and the derivative of a cube root at 0."""
    tx = optax.scale_by_madgrad(0.1, eps=0.0)

    def u(g: jax.Array) -> jax.Array:
        return tx.update(g, tx.init(jnp.ones(2)), jnp.ones(2))[0]

    assert np.all(np.asarray(u(jnp.zeros(2))) == 0)
    assert np.all(np.isfinite(jax.jacobian(u)(jnp.zeros(2))))
    assert np.all(np.isfinite(u(jnp.full(2, 1e30))))  # whose square is infinite


def test_complex_parameters() -> None:
    """Defect A15: the original raises. |u| depends on |g| alone, and u points against g."""
    g = jnp.asarray([8j, -8.0, 4.8 + 6.4j], jnp.complex64)
    tx = optax.madgrad(8.0, momentum=0.0, eps=0.0)
    p = jnp.zeros(3, jnp.complex64)
    u, state = tx.update(g, tx.init(p), p)
    np.testing.assert_allclose(u, -np.asarray(g), rtol=1e-5)  # 4 * cbrt(8) is 8
    assert (state[1].grad_sum_sq.dtype, state[1].s.dtype) == (jnp.float32, jnp.complex64)


def test_sums_of_low_precision_parameters_are_float32() -> None:
    state = optax.scale_by_madgrad(0.1).init(jnp.ones(2, jnp.bfloat16))
    assert (state.grad_sum_sq.dtype, state.s.dtype, state.x0.dtype) == (jnp.float32, jnp.float32, jnp.bfloat16)


def test_parameters_and_state_can_be_donated() -> None:
    """Defect G4: x0 was the buffer of the parameters."""
    p = jnp.ones(3)
    state = optax.scale_by_madgrad(0.1).init(p)
    assert state.x0.unsafe_buffer_pointer() != p.unsafe_buffer_pointer()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "0.1"}, "learning_rate must be a real number or a schedule"),
        ({"learning_rate": 0.1, "momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"learning_rate": 0.1, "eps": -1.0}, "eps must be at least 0, not -1.0"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.madgrad(**arguments)

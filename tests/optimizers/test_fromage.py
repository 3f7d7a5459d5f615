"""What only Fromage promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def updated(tx: Any, p: Any, g: Any) -> Any:
    return tx.update(g, tx.init(p), p)[0]


def test_an_orthogonal_gradient_turns_a_leaf_by_the_angle_of_the_learning_rate() -> None:
    p, g = jnp.asarray([3.0, 4.0]), jnp.asarray([-400.0, 300.0])
    new = p + updated(optax.fromage(1.0), p, g)  # the angle whose tangent is 1
    np.testing.assert_allclose(new, np.sqrt(0.5) * np.asarray([3 + 4, 4 - 3]), rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(new), 5, rtol=1e-6)


@pytest.mark.parametrize("learning_rate", [1e-5, jnp.float32(1e-5), lambda t: jnp.float32(1e-5)])
def test_small_steps_are_scaled_back_too(learning_rate: Any) -> None:
    """In float32 1 / sqrt(1 + 1e-10) is 1, and the difference from 1 would be lost."""
    p = jnp.asarray([3.0, 4.0])
    np.testing.assert_allclose(updated(optax.fromage(learning_rate), p, jnp.zeros(2)), -0.5e-10 * p, rtol=1e-5)


def test_a_leaf_that_starts_at_zero() -> None:
    p, g = jnp.zeros(2), jnp.asarray([3.0, 4.0])
    np.testing.assert_allclose(updated(optax.fromage(0.75, min_norm=0.0), p, g), -0.75 * g / 1.25, rtol=1e-6)
    np.testing.assert_allclose(updated(optax.fromage(0.75), p, g), -0.75e-6 * g / 5 / 1.25, rtol=1e-6)


@pytest.mark.parametrize("min_norm", [0.0, 1e-6])
def test_derivatives_at_zero(min_norm: float) -> None:
    """Defect F7."""

    def total(learning_rate: Any, p: Any, g: Any) -> Any:
        return jnp.sum(updated(optax.fromage(learning_rate, min_norm), p, g))

    for x in jax.grad(total, argnums=(0, 1, 2))(0.1, jnp.zeros(2), jnp.zeros(2)):
        assert np.all(np.isfinite(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_of_low_precision_leaves(dtype: Any) -> None:
    """Defect A7: 1e-4**2 is zero in float16, and 300**2 infinite; so is 1e-6 ** 2."""
    p, g = jnp.full(4, 300, dtype), jnp.full(4, 1e-4, dtype)
    u = updated(optax.fromage(0.75), p, g)
    assert u.dtype == dtype
    np.testing.assert_allclose(u.astype(float), (300 - 0.75 * 300) / 1.25 - 300, rtol=1e-2)


def test_numbers_of_python() -> None:
    """Defect A17."""
    assert updated(optax.fromage(0.75), {"w": 2.0}, {"w": -0.5})["w"] == pytest.approx((2 + 0.75 * 2) / 1.25 - 2)


@pytest.mark.parametrize("learning_rate", [None, "0.1"])
def test_the_learning_rate_must_be_one(learning_rate: Any) -> None:
    """Defect C12."""
    with pytest.raises(TypeError, match="learning_rate must be a real number or a schedule"):
        optax.fromage(learning_rate)


def test_the_states_are_those_of_existing_code() -> None:
    kinds = [type(s).__name__ for s in optax.fromage(lambda t: 0.1).init(jnp.ones(2))]
    assert kinds == ["EmptyState", "ScaleByScheduleState", "WeightDecaySchedule"]

"""What only scaling promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


@pytest.mark.parametrize("step_size", [0.5, np.float32(0.5), np.float64(0.5), jnp.float32(0.5), 1])
def test_the_scalar_never_changes_the_dtype(step_size: Any) -> None:
    """Defect A10: a NumPy scalar promoted bfloat16 updates to float32."""
    u, _ = optax.scale(step_size).update(jnp.ones(2, jnp.bfloat16), optax.EmptyState())
    assert u.dtype == jnp.bfloat16
    assert np.all(np.asarray(u, np.float32) == float(step_size))


def test_a_bfloat16_update_is_rounded_once() -> None:
    g = jnp.asarray([3.0], jnp.bfloat16)
    u, _ = optax.scale(0.1).update(g, optax.EmptyState())
    assert u[0] == jnp.asarray(0.3, jnp.bfloat16)  # 3 * bfloat16(0.1) would round to 0.3008


def test_a_schedule_starts_at_zero_and_counts_updates() -> None:
    tx = optax.scale_by_schedule(lambda count: jnp.asarray(count, jnp.float32) + 1.0)
    state = tx.init(None)
    seen = []
    for _ in range(3):
        u, state = tx.update(jnp.ones(()), state)
        seen.append(float(u))
    assert seen == [1.0, 2.0, 3.0]
    assert state.count == 3


def test_learning_rates_descend_unless_told_otherwise() -> None:
    g = jnp.ones(())
    for rate in (0.1, lambda count: 0.1):
        down = optax.scale_by_learning_rate(rate)
        up = optax.scale_by_learning_rate(rate, flip_sign=False)
        assert down.update(g, down.init(g))[0] == jnp.float32(-0.1)
        assert up.update(g, up.init(g))[0] == jnp.float32(0.1)
    assert optax.scale_by_learning_rate(None).update(g, optax.EmptyState())[0] == 1.0


def test_the_learning_rate_can_be_differentiated() -> None:
    def loss(rate: Any) -> Any:
        tx = optax.sgd(rate)
        u, _ = tx.update(jnp.asarray([1.0, 2.0]), tx.init(jnp.zeros(2)))
        return u.sum()

    assert jax.grad(loss)(0.1) == -3.0


@pytest.mark.parametrize("step_size", ["0.1", None, 1j, jnp.ones(2), True])
def test_what_is_no_scalar_is_refused(step_size: Any) -> None:
    with pytest.raises(TypeError, match="step_size must be a real number"):
        optax.scale(step_size)


def test_a_schedule_must_be_callable() -> None:
    with pytest.raises(TypeError, match=r"step_size_fn must be a function of the step count, not 0\.1"):
        optax.scale_by_schedule(0.1)


@pytest.mark.parametrize("tx", [optax.scale(0.5), optax.scale_by_schedule(lambda _: 0.5)], ids=["scale", "schedule"])
def test_leaves_without_values_and_numbers_of_python(tx: Any) -> None:
    """Defects F8 and A17; a complex leaf is scaled part by part."""
    g = {"c": jnp.asarray([complex(np.inf, 2)]), "i": np.zeros(2, jax.dtypes.float0), "n": None, "w": 3.0}
    u, _ = tx.update(g, tx.init(g))
    assert u["c"] == complex(np.inf, 1)
    assert u["i"] is g["i"]
    assert u["n"] is None
    assert u["w"] == 1.5

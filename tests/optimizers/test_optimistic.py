"""What only the optimistic methods promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def play(tx: Any, steps: int = 300) -> float:
    """The distance from the equilibrium of min_x max_y x * y, which starts as 1.41."""
    p = {"x": jnp.float32(1.0), "y": jnp.float32(1.0)}

    def step(carry: Any, _: Any) -> Any:
        p, state = carry
        u, state = tx.update({"x": p["y"], "y": -p["x"]}, state, p)
        return (optax.apply_updates(p, u), state), None

    (p, _), _ = jax.lax.scan(step, (p, tx.init(p)), None, steps)
    return float(optax.tree.norm(p))


def test_it_finds_the_equilibrium_of_a_game() -> None:
    assert play(optax.sgd(0.1)) > 2.0
    assert play(optax.optimistic_gradient_descent(0.1)) < 0.5


def test_three_steps_by_hand() -> None:
    tx = optax.scale_by_optimistic_gradient(alpha=2.0, beta=0.5)
    p = jnp.ones(())
    state = tx.init(p)
    assert bool(state.is_initial_step)
    found = []
    for g in (1.0, 3.0, -1.0):
        u, state = tx.update(jnp.float32(g), state, p)
        found.append(float(u))
    assert found == [2 * 1, 2 * 3 + 0.5 * 2, 2 * -1 + 0.5 * -4]
    assert not bool(state.is_initial_step)
    assert float(state.previous_gradient) == -1.0


@pytest.mark.parametrize(("param", "grad"), [("float32", "bfloat16"), ("bfloat16", "float32")])
@pytest.mark.parametrize("factory", [optax.optimistic_gradient_descent, optax.optimistic_adam_v2])
def test_state_keeps_its_dtypes(factory: Any, param: str, grad: str) -> None:
    """Defects A8 and A9: the previous gradient took the dtype of the gradients."""
    tx = factory(0.1)
    params = jnp.ones(3, param)
    g = jnp.ones(3, grad)
    state, _ = jax.lax.scan(lambda state, _: (tx.update(g, state, params)[1], None), tx.init(params), None, 3)
    assert optax.tree.get(state, "previous_gradient").dtype == param


def test_the_older_form_is_the_newer_one_with_other_numbers() -> None:
    old = optax.optimistic_adam(0.1, optimism=0.3, b1=0.8)
    new = optax.optimistic_adam_v2(0.1, beta=3.0, b1=0.8)
    same = optax.optimistic_adam(0.1), optax.optimistic_adam_v2(0.1)
    g = jnp.asarray([1.0, -0.5])
    for a, b in ((old, new), same):
        s, t = a.init(g), b.init(g)
        for k in range(4):
            u, s = a.update(g * (1 + k) ** 2, s, g)
            v, t = b.update(g * (1 + k) ** 2, t, g)
            np.testing.assert_allclose(u, v, rtol=1e-6)


def test_only_the_newer_form_takes_schedules() -> None:
    schedule: Any = optax.linear_schedule(0.1, 0.0, 10)
    with pytest.raises(ValueError, match="optimistic_adam_v2 does"):
        optax.optimistic_adam(schedule)
    u, _ = optax.optimistic_adam_v2(schedule).update(jnp.ones(1), optax.optimistic_adam_v2(schedule).init(jnp.ones(1)))
    np.testing.assert_allclose(u, -0.1 * (0.9 / (1 - 0.81) * 0.1 + 1 * 0.1 / 0.1), rtol=1e-3)


def test_weights_must_be_numbers() -> None:
    alpha: Any = "1"
    with pytest.raises(TypeError, match="alpha must be a real number, not '1'"):
        optax.optimistic_gradient_descent(0.1, alpha=alpha)

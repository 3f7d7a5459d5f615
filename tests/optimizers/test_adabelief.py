"""What only AdaBelief and ACProp promise."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_belief_in_a_constant_gradient_grows() -> None:
    """The mean comes to miss the gradient by b1^t * g: s is a sum of two geometric series."""
    b1, b2, g = 0.5, 0.75, 3.0
    tx = optax.scale_by_belief(b1, b2, eps=0.0, eps_root=0.0)
    state = tx.init(jnp.zeros(1))
    for t in range(1, 7):
        u, state = tx.update(jnp.full(1, g), state)
        s = sum((1 - b2) * b2 ** (t - i) * (b1**i * g) ** 2 for i in range(1, t + 1))
        np.testing.assert_allclose(float(state.nu[0]), s, rtol=1e-5)
        np.testing.assert_allclose(float(u[0]), g / np.sqrt(s / (1 - b2**t)), rtol=1e-5)


def test_the_inner_epsilon_accumulates() -> None:
    tx = optax.scale_by_belief(b2=0.5, eps_root=0.01)
    state = tx.init(jnp.zeros(1))
    for _ in range(30):
        _, state = tx.update(jnp.zeros(1), state)
    np.testing.assert_allclose(float(state.nu[0]), 0.01 / (1 - 0.5), rtol=1e-6)


def test_adabelief_decays_only_if_asked_to() -> None:
    p, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.5])
    tx = optax.adabelief(0.1)
    plain, state = tx.update(g, tx.init(p))
    assert len(state) == 2
    tx = optax.adabelief(0.1, weight_decay=0.3, weight_decay_mask=True)
    decayed, state = tx.update(g, tx.init(p), p)
    assert len(state) == 3
    np.testing.assert_allclose(np.asarray(decayed - plain), -0.1 * 0.3 * np.asarray(p), rtol=1e-5)
    with pytest.raises(ValueError, match="reads the parameters"):
        tx.update(g, tx.init(p))


def test_the_first_step_of_acprop_is_the_gradient() -> None:
    g = jnp.asarray([1e-3, -2.0, 5e2])
    tx = optax.acprop(0.1)
    u, _ = tx.update(g, tx.init(g), g)
    np.testing.assert_allclose(np.asarray(u), -0.1 * np.asarray(g), rtol=1e-6)


@pytest.mark.parametrize("b1", [0.0, 0.3, 0.9])
def test_acprop_does_not_divide_a_gradient_by_itself(b1: float) -> None:
    tx = optax.scale_by_acprop(b1)
    _, state = tx.update(jnp.asarray([2.0, -1.0]), tx.init(jnp.zeros(2)))
    once, after = tx.update(jnp.asarray([3.0, 1.0]), state)
    twice, _ = tx.update(jnp.asarray([6.0, 2.0]), state)
    np.testing.assert_allclose(np.asarray(once), [3 / 2, 1.0], rtol=1e-5)
    np.testing.assert_allclose(np.asarray(twice), 2 * np.asarray(once), rtol=1e-6)
    # m was (1 - b1) * g after the first step
    distance = np.asarray([3.0, 1.0]) - (1 - b1) * np.asarray([2.0, -1.0])
    s = 0.999 * 0.001 * np.asarray([4.0, 1.0]) + 0.001 * distance**2
    np.testing.assert_allclose(np.asarray(after.nu), s, rtol=1e-5)


def test_acprop_decays_what_the_mask_names() -> None:
    p = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    tx = optax.acprop(0.1, weight_decay=0.5, mask={"kernel": True, "bias": False})
    zeros = {"kernel": jnp.zeros((2, 2)), "bias": jnp.zeros(2)}
    updates, _ = tx.update(zeros, tx.init(p), p)
    np.testing.assert_allclose(np.asarray(updates["kernel"]), -0.05, rtol=1e-6)
    assert np.all(np.asarray(updates["bias"]) == 0)


@pytest.mark.parametrize("factory", [optax.adabelief, optax.acprop])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"b2": -1}, "b2 must be at least 0 and below 1, not -1"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"eps_root": -1.0}, "eps_root must be at least 0, not -1.0"),
        ({"weight_decay": "1e-3"}, "weight_decay must be a real number or a schedule"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(factory: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        factory(0.1, **arguments)

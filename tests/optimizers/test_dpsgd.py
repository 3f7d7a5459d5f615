"""What only differentially private gradient descent promises; its first stage has tests of its own."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.dpsgd import clipped_mean
from reference.sgd import Momentum
from x64 import enable_x64


@pytest.mark.parametrize(
    ("settings", "beta"), [({}, 0.0), ({"momentum": 0.9}, 0.9), ({"momentum": 0.8, "nesterov": True}, 0.8)]
)
def test_without_noise_it_matches_the_reference(settings: dict[str, Any], beta: float) -> None:
    rng = np.random.default_rng(0)
    with enable_x64():
        tx = optax.dpsgd(0.1, 1.5, 0.0, seed=0, **settings)
        state = tx.init({"a": jnp.zeros((2, 3)), "b": jnp.zeros(())})
        rules = [Momentum(beta, settings.get("nesterov", False)) for _ in range(2)]
        for _ in range(10):
            examples = [[rng.normal(size=(2, 3)), rng.normal(size=())] for _ in range(4)]
            a, b = (jnp.asarray(np.stack(leaves)) for leaves in zip(*examples, strict=True))
            u, state = tx.update({"a": a, "b": b}, state)
            for name, rule, mean in zip("ab", rules, clipped_mean(examples, 1.5), strict=True):
                np.testing.assert_allclose(u[name], -0.1 * rule(mean), rtol=1e-12)


def test_the_noise() -> None:
    """Of deviation noise_multiplier * l2_norm_clip in the sum, and so of a quarter of it in the mean of four."""
    tx = optax.dpsgd(0.5, 2.0, 3.0, jax.random.key(1))
    u, state = tx.update(jnp.zeros((4, 40_000)), tx.init(jnp.zeros(40_000)))
    np.testing.assert_allclose(np.std(u), 0.5 * 3 * 2 / 4, rtol=0.02)
    other, _ = tx.update(jnp.zeros((4, 40_000)), state)
    assert not np.any(other == u)


def test_one_infinite_example_spoils_nothing() -> None:
    """Defect D15."""
    tx = optax.dpsgd(1.0, 1.0, 0.0, seed=0)
    u, _ = tx.update(jnp.asarray([[jnp.inf, 0.0], [3.0, 4.0]]), tx.init(jnp.zeros(2)))
    np.testing.assert_allclose(u, [-0.3, -0.4], rtol=1e-6)


def test_a_plain_gradient_is_refused() -> None:
    """Defect D15: a matrix is no batch of matrices."""
    tx, params = optax.dpsgd(1.0, 1.0, 0.0, seed=0), jnp.zeros((2, 2))
    with pytest.raises(ValueError, match="a leading axis of examples before the shape of params"):
        tx.update(params, tx.init(params), params)


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_an_empty_tree(momentum: Any) -> None:
    """Defect D8: an IndexError."""
    tx = optax.dpsgd(1.0, 1.0, 1.0, seed=0, momentum=momentum)
    assert tx.update({}, tx.init({}))[0] == {}


def test_keys() -> None:
    """Defect F10: integers in the state, and no seed of its own."""
    with pytest.raises(ValueError, match=r"give a key .* or a seed"):
        optax.dpsgd(0.1, 1.0, 1.0)
    with pytest.raises(ValueError, match="either a key or a seed"):
        optax.dpsgd(0.1, 1.0, 1.0, 0, seed=0)
    older = optax.dpsgd(0.1, 1.0, 1.0, 7, 0.9)  # the fourth argument was a seed
    state = older.init(jnp.zeros(2))
    assert state[0].rng_key.dtype == jnp.uint32
    np.testing.assert_array_equal(state[0].rng_key, jax.random.key_data(jax.random.key(7)))
    assert [type(s).__name__ for s in state[1:]] == ["TraceState", "EmptyState"]


def test_derivatives_at_zero() -> None:
    """Defect F7."""
    tx = optax.dpsgd(0.1, 1.0, 1.0, seed=0)
    slopes = jax.grad(lambda g: jnp.sum(tx.update(g, tx.init(jnp.zeros(3)))[0]))(jnp.zeros((2, 3)))
    np.testing.assert_allclose(slopes, -0.05, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l2_norm_clip": -1.0}, "l2_norm_clip must be at least 0, not -1.0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier must be at least 0, not -1.0"),
        ({"momentum": 1.5}, "decay must be at least -1 and at most 1, not 1.5"),
        ({"learning_rate": "0.1"}, "learning_rate must be a real number or a schedule .* not '0.1'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    """Defect C12."""
    with pytest.raises((TypeError, ValueError), match=message):
        optax.dpsgd(**{"learning_rate": 0.1, "l2_norm_clip": 1.0, "noise_multiplier": 1.0, "seed": 0} | arguments)

"""What only added noise promises."""

import math
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

COUNT = 100_000


def added(tx: Any, like: Any, steps: int = 1) -> list[Any]:
    """The noise of the first updates: what they make of zeros."""
    state, seen = tx.init(like), []
    for _ in range(steps):
        noise, state = tx.update(like, state)
        seen.append(noise)
    return seen


def assert_normal(z: Any, variance: float) -> None:
    """Mean, variance and fourth moment of a normal distribution, within 5 standard errors each.

    Those of the sample's mean, variance and mean fourth power are, relative to s, s^2 and s^4 for a deviation s, the
    roots of 1/n, 2/n and 96/n.
    """
    z, n = np.asarray(z, np.float64) / math.sqrt(variance), np.size(z)
    np.testing.assert_allclose(np.mean(z), 0, atol=5 / math.sqrt(n))
    np.testing.assert_allclose(np.var(z), 1, atol=5 * math.sqrt(2 / n))
    np.testing.assert_allclose(np.mean(z**4), 3, atol=5 * math.sqrt(96 / n))


@pytest.mark.parametrize(("eta", "gamma"), [(1.0, 1.0), (4.0, 0.55), (0.01, 0.0)])
def test_the_variance_falls_as_a_power_of_the_step(eta: float, gamma: float) -> None:
    for t, z in enumerate(added(optax.add_noise(eta, gamma, seed=0), jnp.zeros(COUNT), steps=3), 1):
        assert_normal(z, eta / t**gamma)


def test_it_is_added() -> None:
    g = jnp.asarray([1.0, -2.0])
    tx = optax.add_noise(1.0, 0.5, seed=3)
    (z,) = added(tx, jnp.zeros(2))
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], g + z, rtol=1e-6)
    silent = optax.add_noise(0.0, 0.5, seed=3)
    assert np.array_equal(silent.update(g, silent.init(g))[0], g)


def test_complex_leaves_get_complex_noise() -> None:
    """Defect A15: the variance is the mean of |z|^2, half of it in each part."""
    (z,) = added(optax.add_noise(2.0, 0.0, seed=0), jnp.zeros(COUNT, jnp.complex64))
    assert_normal(z.real, 1.0)
    assert_normal(z.imag, 1.0)
    assert abs(np.mean(np.asarray(z.real) * np.asarray(z.imag))) < 5 / math.sqrt(COUNT)


def test_leaves_and_steps_are_independent() -> None:
    like = {"a": jnp.zeros(COUNT), "b": jnp.zeros(COUNT)}
    first, second = added(optax.add_noise(1.0, 0.0, seed=0), like, steps=2)
    for x, y in ((first["a"], first["b"]), (first["a"], second["a"]), (first["a"], second["b"])):
        assert abs(np.mean(np.asarray(x) * np.asarray(y))) < 5 / math.sqrt(COUNT)


def test_noise_is_drawn_and_added_in_float32() -> None:
    low, wide = (added(optax.add_noise(1.0, 0.0, seed=0), jnp.zeros(100, t))[0] for t in (jnp.bfloat16, jnp.float32))
    assert low.dtype == jnp.bfloat16
    assert np.array_equal(low, wide.astype(jnp.bfloat16))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_the_state_is_made_of_plain_integers(impl: str) -> None:
    """Defect F10: a typed key in the state cannot be serialised by flax."""
    tx = optax.add_noise(1.0, 0.5, jax.random.key(1, impl=impl))
    like = jnp.zeros(3)
    _, state = tx.update(like, tx.init(like))
    assert [(x.dtype, x.ndim) for x in jax.tree.leaves(state)] == [(np.int32, 0), (np.uint32, 1)]
    restored = jax.tree.map(jnp.asarray, pickle.loads(pickle.dumps(jax.tree.map(np.asarray, state))))
    assert np.array_equal(tx.update(like, restored)[0], tx.update(like, state)[0])


def test_a_key_or_a_seed_is_required() -> None:
    """Defect F10: with a default seed, two of these added the same noise."""
    with pytest.raises(
        ValueError, match="by a default of its own, every such transformation would draw the same numbers"
    ):
        optax.add_noise(1.0, 0.5)
    with pytest.raises(ValueError, match="either a key or a seed, not both"):
        optax.add_noise(1.0, 0.5, 0, seed=0)
    first, second = (added(optax.add_noise(1.0, 0.5, seed=seed), jnp.zeros(3))[0] for seed in (0, 1))
    assert not np.any(np.asarray(first) == np.asarray(second))


@pytest.mark.parametrize(
    "source", [{"key": np.int64(7)}, {"key": jnp.int32(7)}, {"seed": 7}, {"key": jax.random.key(7)}, {"raw": 7}]
)
def test_all_ways_to_say_seven(source: dict[str, Any]) -> None:
    """Older code passes a seed where the key is now."""
    if "raw" in source:
        source = {"key": jax.random.PRNGKey(7)}
    expected = added(optax.add_noise(1.0, 0.5, 7), jnp.zeros(3))[0]
    assert np.array_equal(added(optax.add_noise(1.0, 0.5, **source), jnp.zeros(3))[0], expected)


@pytest.mark.parametrize(
    "source", [{"key": 1.5}, {"key": "a"}, {"key": True}, {"seed": 0.5}, {"seed": np.zeros(2, int)}]
)
def test_what_is_neither_key_nor_seed(source: dict[str, Any]) -> None:
    """Defect C12."""
    with pytest.raises(TypeError, match=f"{next(iter(source))} must be"):
        optax.add_noise(1.0, 0.5, **source)
    with pytest.raises(TypeError, match="key must be one random key or an integer"):
        optax.add_noise(1.0, 0.5, jax.random.split(jax.random.key(0)))


def test_the_key_survives_a_state_that_is_donated() -> None:
    """Defect G4: the state must not lie in the key's own buffer."""
    for key in (jax.random.key(0), jax.random.PRNGKey(0)):
        tx = optax.add_noise(1.0, 0.5, key)
        g = jnp.zeros(3)
        first, _ = jax.jit(tx.update, donate_argnums=1)(g, tx.init(g))
        assert np.array_equal(first, tx.update(g, tx.init(g))[0])


def test_keys_can_be_mapped_over() -> None:
    noise = jax.vmap(lambda key: added(optax.add_noise(1.0, 0.5, key), jnp.zeros(2))[0])
    keys = jax.random.split(jax.random.key(0), 3)
    expected = jnp.stack([added(optax.add_noise(1.0, 0.5, key), jnp.zeros(2))[0] for key in keys])
    np.testing.assert_allclose(noise(keys), expected, rtol=1e-6)


def test_hyperparameters_can_be_traced_and_differentiated() -> None:
    def noise(eta: Any, gamma: Any) -> Any:
        return added(optax.add_noise(eta, gamma, 0), jnp.zeros(3), steps=2)[1]

    by_eta, by_gamma = jax.jacobian(noise, (0, 1))(4.0, 0.5)
    z = noise(4.0, 0.5)
    np.testing.assert_allclose(by_eta, z / 8, rtol=1e-5)  # sqrt(eta) has the slope sqrt(eta) / (2 eta)
    np.testing.assert_allclose(by_gamma, -z * math.log(2) / 2, rtol=1e-5)  # at t = 2
    assert np.all(np.isfinite(jax.jacobian(noise)(0.0, 0.5)))


def test_numbers_that_are_arrays_promote_nothing() -> None:
    """Defect A10."""
    g = jnp.zeros(3, jnp.bfloat16)
    (expected,) = added(optax.add_noise(0.5, 0.5, 0), g)
    for kind in (np.float32, np.float64, jnp.float32, jnp.bfloat16):
        (z,) = added(optax.add_noise(kind(0.5), kind(0.5), 0), g)
        assert z.dtype == jnp.bfloat16
        assert np.array_equal(z, expected)


def test_leaves_without_values() -> None:
    """Defect F8."""
    g = {"i": np.zeros(2, jax.dtypes.float0), "n": None, "e": jnp.zeros((0, 2)), "w": 0.0}
    (z,) = added(optax.add_noise(1.0, 0.5, 0), g)
    assert z["i"] is g["i"]
    assert z["n"] is None
    assert z["e"].shape == (0, 2)
    assert z["w"] != 0  # a number of Python, as in defect A17


def test_a_negative_variance_is_refused() -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match="eta must be at least 0, not -1"):
        optax.add_noise(-1, 0.5, 0)


def test_a_typed_key_put_into_the_state_is_used_and_stays_typed() -> None:
    tx, g = optax.add_noise(1.0, 0.5, seed=0), jnp.zeros(3)
    state = tx.init(g)._replace(rng_key=jax.random.key(0))
    u, state = tx.update(g, state)
    np.testing.assert_array_equal(u, tx.update(g, tx.init(g))[0])  # the same key as integers
    assert jnp.issubdtype(state.rng_key.dtype, jax.dtypes.prng_key)

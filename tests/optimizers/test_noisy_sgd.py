"""What only noisy gradient descent promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

N = 40_000


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_the_noise_fades(dtype: Any) -> None:
    """Of variance eta / t^gamma, for the mean of |z|^2 of complex leaves (defect A15)."""
    tx = optax.noisy_sgd(0.5, eta=4.0, gamma=1.0, key=jax.random.key(1))
    g = jnp.full(N, 3, dtype)
    state = tx.init(g)
    for t in (1, 2, 3):
        u, state = tx.update(g, state)
        assert u.dtype == dtype
        z = np.asarray(u, np.complex128) / -0.5 - 3
        assert abs(np.mean(z)) < 5 * 2 / np.sqrt(t * N)
        np.testing.assert_allclose(np.mean(np.abs(z) ** 2), 4 / t, rtol=0.05)


def test_without_a_key_the_seed_is_zero() -> None:
    """Existing code calls it like that. Defect F10 is why nothing else chooses a seed of its own."""
    g = jnp.zeros(5)
    found = []
    for tx in (optax.noisy_sgd(0.1), optax.noisy_sgd(0.1, seed=0), optax.noisy_sgd(0.1, 0.01, 0.55, 0)):
        found.append(tx.update(g, tx.init(g))[0])
    other = optax.noisy_sgd(0.1, key=1)
    assert np.all(found[0] == found[1])
    assert np.all(found[0] == found[2])
    assert not np.any(found[0] == other.update(g, other.init(g))[0])


def test_it_adds_the_noise_before_the_step() -> None:
    g, key = jnp.ones(5), jax.random.key(2)
    noise, scale = optax.add_noise(1.0, 0.5, key), optax.scale(-0.1)
    expected, _ = scale.update(noise.update(g, noise.init(g))[0], scale.init(g))
    tx = optax.noisy_sgd(0.1, 1.0, 0.5, key)
    np.testing.assert_allclose(tx.update(g, tx.init(g))[0], expected, rtol=1e-6)


def test_the_key_is_kept_as_integers() -> None:
    """Defect F10: a typed key in the state cannot be serialised by flax."""
    state = optax.noisy_sgd(0.1).init(jnp.ones(2))
    assert [x.dtype for x in jax.tree.leaves(state)] == [jnp.int32, jnp.uint32]


def test_mistakes_are_named() -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match="either a key or a seed, not both"):
        optax.noisy_sgd(0.1, key=1, seed=1)
    with pytest.raises(ValueError, match=r"eta must be at least 0, not -1\.0"):
        optax.noisy_sgd(0.1, eta=-1.0)

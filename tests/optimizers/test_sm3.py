"""What only SM3 promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.adagrad import AdaGrad
from reference.sm3 import SM3
from x64 import enable_x64


@pytest.mark.parametrize("shape", [(), (5,)])
def test_of_scalars_and_vectors_it_is_adagrad(shape: tuple[int, ...]) -> None:
    """Defect D8: a scalar raised IndexError."""
    rng = np.random.default_rng(0)
    tx, reference = optax.scale_by_sm3(b1=0.0), AdaGrad(0.0, 1e-8)
    state = tx.init(jnp.ones(shape))
    for _ in range(5):
        g = rng.normal(size=shape)
        u, state = tx.update(jnp.asarray(g, jnp.float32), state)
        np.testing.assert_allclose(u, reference(g), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 3), (2, 1, 2, 2)])
def test_arrays_of_any_rank_have_a_vector_for_each_axis(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    reference = SM3(0.9, 1.0, 1e-8)
    with enable_x64():
        tx = optax.scale_by_sm3()
        state = tx.init(jnp.ones(shape))
        assert [x.shape for x in state.mu] == [(n,) for n in shape]
        for _ in range(5):
            g = rng.normal(size=shape)
            u, state = tx.update(jnp.asarray(g), state)
            np.testing.assert_allclose(u, reference(g), rtol=1e-12)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_arrays_without_elements_pass(shape: tuple[int, ...]) -> None:
    """Defect D8: a maximum of nothing."""
    tx = optax.sm3(0.1)
    p = {"empty": jnp.ones(shape), "none": None}
    u, state = jax.jit(tx.update)(p, tx.init(p))
    assert u["empty"].shape == shape
    assert u["none"] is None
    assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(state))


def test_the_covers_bound_the_sums_of_adagrad() -> None:
    """Claim 2 of the paper: n is at least the sum of the squares of its element, and shrinks with no step."""
    rng = np.random.default_rng(0)
    tx = optax.scale_by_sm3()
    state, total = tx.init(jnp.ones((3, 4))), np.zeros((3, 4))
    for _ in range(10):
        g = rng.normal(size=(3, 4))
        total += g**2
        before = state.mu
        _, state = tx.update(jnp.asarray(g, jnp.float32), state)
        bound = np.minimum(np.asarray(state.mu[0])[:, None], np.asarray(state.mu[1])[None, :])
        assert np.all(bound >= total * (1 - 1e-6))
        assert all(np.all(np.asarray(new) >= np.asarray(old)) for new, old in zip(state.mu, before, strict=True))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_covers_of_low_precision_parameters_are_float32(dtype: Any) -> None:
    tx = optax.sm3(0.1, momentum=0.0)
    g = jnp.full((2, 2), 1e-4, dtype)
    state = tx.init(g)
    for _ in range(300):
        _, state = tx.update(g, state)
    assert state[0].nu.dtype == dtype
    np.testing.assert_allclose(state[0].mu[0], 300e-8, rtol=1e-2)


def test_complex_parameters() -> None:
    """Defect A15: the original raises."""
    g = jnp.asarray([[3 + 4j, 0j]], jnp.complex64)
    tx = optax.scale_by_sm3(b1=0.0, eps=0.0)
    u, state = tx.update(g, tx.init(g))
    np.testing.assert_allclose(u, [[0.6 + 0.8j, 0]], rtol=1e-6)
    np.testing.assert_allclose(state.mu[1], [25, 0], rtol=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="momentum must be at least 0 and below 1"):
        optax.sm3(0.1, momentum=1.0)
    with pytest.raises(ValueError, match="b2 must be at least 0 and at most 1"):
        optax.scale_by_sm3(b2=1.5)

"""What only LAMB promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def updated(tx: Any, p: Any, g: Any) -> Any:
    return tx.update(g, tx.init(p), p)[0]


def test_every_step_is_as_long_as_the_leaf_times_the_learning_rate() -> None:
    params = {"w": jnp.asarray([[3.0, 4.0]]), "b": jnp.asarray([-0.01])}
    tx = optax.lamb(0.1, weight_decay=0.01)
    state = tx.init(params)
    for scale in (1e-3, 1.0, 1e3):
        u, state = tx.update(optax.tree.scale(scale, jax.tree.map(jnp.cos, params)), state, params)
        lengths = [float(jnp.linalg.norm(x)) for x in (u["w"], u["b"])]
        np.testing.assert_allclose(lengths, [0.5, 0.001], rtol=1e-5)


def test_a_leaf_without_a_norm_moves_as_in_adamw() -> None:
    p, g = jnp.zeros(2), jnp.asarray([3.0, -1e-2])
    np.testing.assert_allclose(updated(optax.lamb(0.1, eps=0.0), p, g), [-0.1, 0.1], rtol=1e-5)
    assert np.all(updated(optax.lamb(0.1), jnp.ones(2), jnp.zeros(2)) == 0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype: Any) -> None:
    """Defects A7 (an eps of 1e-6 is 0 in float16, and so is 1e-4**2), A4 and A8."""
    tx = optax.lamb(0.1)
    p, g = jnp.full(4, 300, dtype), jnp.asarray([1e-4, 0, 0, 0], dtype)
    state = tx.init(p)
    assert (state[0].mu.dtype, state[0].nu.dtype) == (dtype, jnp.float32)
    u, state = tx.update(g, state, p)
    np.testing.assert_allclose(u.astype(float), [-60, 0, 0, 0], rtol=1e-2)
    u, state = tx.update(jnp.zeros(4), state, p)
    assert u.dtype == jnp.float32
    assert (state[0].mu.dtype, state[0].nu.dtype) == (dtype, jnp.float32)
    assert np.all(np.isfinite(u))


def test_moment_dtypes_can_be_chosen() -> None:
    state = optax.lamb(0.1, mu_dtype="bfloat16", nu_dtype="float16").init(jnp.ones(2))
    assert (state[0].mu.dtype, state[0].nu.dtype) == (jnp.bfloat16, jnp.float16)


def test_numbers_of_python() -> None:
    """Defect A17: a number has no dtype to ask for."""
    assert updated(optax.lamb(0.1), {"w": 1.5}, {"w": 0.3})["w"] == pytest.approx(-0.15)


def test_weakly_typed_parameters() -> None:
    """Defect A11."""
    params = jnp.asarray(1.5)
    assert params.weak_type
    assert not any(x.weak_type for x in jax.tree.leaves(optax.lamb(0.1).init(params)))


def test_a_complex_leaf_has_one_norm() -> None:
    """Defect A15: the first direction is the sign of the gradient, g / |g|."""
    p, g = jnp.asarray([3 + 4j]), jnp.asarray([-1e-2j])
    np.testing.assert_allclose(updated(optax.lamb(0.1, eps=0.0), p, g), [0.5j], rtol=1e-5)


def test_derivatives_at_zero() -> None:
    """Defect F7."""

    def total(p: Any, g: Any) -> Any:
        return jnp.sum(updated(optax.lamb(0.1, weight_decay=0.1), p, g))

    for p, g in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0)):
        for x in jax.grad(total, argnums=(0, 1))(jnp.full(2, p), jnp.asarray([g, 0.0])):
            assert np.all(np.isfinite(x))


def test_mistakes_are_named() -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match=r"b2 must be at least 0 and below 1, not 1\.0"):
        optax.lamb(0.1, b2=1.0)

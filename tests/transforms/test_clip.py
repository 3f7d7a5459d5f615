"""What only clipping promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def clipped(tree: Any, max_norm: Any) -> Any:
    return optax.clip_by_global_norm(max_norm).update(tree, optax.EmptyState())[0]


def test_direction_is_kept_and_the_norm_is_the_bound() -> None:
    out = clipped({"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(4.0)}, 1.0)
    np.testing.assert_allclose(out["a"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(out["b"], 0.8, rtol=1e-6)


def test_within_the_bound_nothing_changes() -> None:
    g = jnp.asarray([0.1, 0.7, -0.3])
    assert np.array_equal(np.asarray(clipped(g, 1.0)), np.asarray(g))


def test_many_bfloat16_leaves() -> None:
    """Defect A1: summed in bfloat16, the square of the norm stops at 256."""
    out = clipped([jnp.ones((), jnp.bfloat16)] * 1000, 1.0)
    assert out[0].dtype == jnp.bfloat16
    np.testing.assert_allclose(float(optax.core.tree.norm(out)), 1.0, rtol=4e-3)  # half an ulp of bfloat16


def test_float16_neither_overflows_nor_underflows() -> None:
    """Defect A2: 300**2 is infinite in float16, and 1e-4**2 is zero."""
    np.testing.assert_allclose(np.asarray(clipped(jnp.full(4, 300.0, jnp.float16), 1.0), np.float32), 0.5, rtol=1e-3)
    tiny = clipped(jnp.full(4, 1e-4, jnp.float16), 1e-4)
    np.testing.assert_allclose(np.asarray(tiny, np.float32), 5e-5, rtol=1e-2)


def test_array_valued_bounds() -> None:
    """Defect A12: a float32 bound beside bfloat16 gradients."""
    out = clipped(jnp.full(2, 9.0, jnp.bfloat16), jnp.float32(1.0))
    assert out.dtype == jnp.bfloat16


def test_a_bound_of_zero_gives_zeros() -> None:
    for g in (jnp.asarray([3.0, 4.0]), jnp.zeros(2)):
        assert np.all(np.asarray(clipped(g, 0.0)) == 0)


def test_the_derivative_at_zero_is_that_of_the_identity() -> None:
    """Defect F7."""
    assert np.array_equal(jax.grad(lambda g: clipped(g, 1.0).sum())(jnp.zeros(3)), np.ones(3))


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="max_norm must be at least 0, not -1"):
        optax.clip_by_global_norm(-1)

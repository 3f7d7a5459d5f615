import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax import losses
from x64 import enable_x64

NUMBERS = st.floats(-1e3, 1e3, width=32)
PAIRS = st.tuples(*[hnp.arrays(np.float32, (2, 3), elements=NUMBERS)] * 2)  # one shape: compiled once
LOSSES = [losses.squared_error, losses.l2_loss]


@hypothesis.given(PAIRS)
def test_the_square_of_the_error(pair):
    predictions, targets = pair
    expected = (predictions.astype(np.float64) - targets) ** 2
    np.testing.assert_allclose(losses.squared_error(predictions, targets), expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(losses.l2_loss(predictions, targets), expected / 2, rtol=1e-5, atol=1e-3)


def test_by_hand():
    assert losses.squared_error([1.0, -2.0, 4.0], [1.0, 1.0, 1.0]).tolist() == [0.0, 9.0, 9.0]
    assert losses.l2_loss([1.0, -2.0, 4.0], [1.0, 1.0, 1.0]).tolist() == [0.0, 4.5, 4.5]


@pytest.mark.parametrize("loss", LOSSES)
def test_without_targets_they_are_zero(loss):
    x = jnp.array([[1.0, -3.0]])
    assert jnp.array_equal(loss(x), loss(x, jnp.zeros_like(x)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "arguments",
    [(3, 1), (3.0, 1), (np.float64(3.0), True), ([3], [1.0]), (jnp.array(3), jnp.array(1.0)), ([jnp.array(3.0)], [1])],
)
def test_numbers_lists_and_integers(loss, arguments):
    assert jnp.ravel(loss(*arguments)).tolist() == [4.0 if loss is losses.squared_error else 2.0]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), ()), ((), (4,)), ((2, 3), (3, 2)), ((1, 3), (2, 3))])
def test_shapes_must_be_equal(loss, shapes):
    p, y = (jnp.zeros(s) for s in shapes)
    message = f"predictions and targets must have the same shape, got {shapes[0]} and {shapes[1]}"
    with pytest.raises(ValueError, match=re.escape(message)):
        loss(p, y)
    with pytest.raises(ValueError, match="same shape"):
        jax.eval_shape(loss, p, y)


@pytest.mark.parametrize("loss", LOSSES)
def test_complex_numbers_are_refused(loss):
    with pytest.raises(TypeError, match="predictions must be real numbers, got dtype complex64"):
        loss(1 + 1j)
    with pytest.raises(TypeError, match="targets must be real numbers, got dtype complex64"):
        loss(jnp.ones(2), jnp.ones(2, jnp.complex64))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32, jnp.uint8, jnp.bool_])
def test_float32_is_the_least(loss, dtype):
    for targets in (None, jnp.ones(3, dtype), jnp.ones(3, jnp.float32), np.ones(3), [1, 1, 1]):
        value = loss(jnp.ones(3, dtype), targets)
        assert value.dtype == jnp.float32
        assert not value.weak_type


@pytest.mark.parametrize("loss", LOSSES)
def test_float64_stays(loss):
    with enable_x64():
        assert loss(jnp.ones(3, jnp.float64)).dtype == jnp.float64
        assert loss(jnp.ones(3, jnp.float32), jnp.ones(3, jnp.float64)).dtype == jnp.float64
        assert loss(jnp.ones(3, jnp.float32), [1, 1, 1]).dtype == jnp.float32
        assert loss(jnp.float32(1), 0.5).dtype == jnp.float32  # a Python number follows
        assert loss(0.5).dtype == jnp.float64


def test_half_precision_does_not_overflow():
    assert losses.squared_error(jnp.float16(300), jnp.float16(-300)) == 360000
    assert jnp.isfinite(losses.l2_loss(jnp.float16(60000)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_gradient_of_half_the_square_is_the_error(dtype):
    p, y = jnp.array([1.0, 2.0, 3.0], dtype), jnp.array([3.0, 2.0, 1.0], jnp.float32)
    gradient = jax.grad(lambda p: losses.l2_loss(p, y).sum())(p)
    assert gradient.dtype == dtype
    assert gradient.tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_under_transformations(loss):
    p, y = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[0.0, 2.5], [1.0, -1.0]])
    expected = loss(p, y)
    assert jnp.array_equal(jax.jit(loss)(p, y), expected)
    assert jnp.array_equal(jax.vmap(jax.vmap(loss))(p, y), expected)
    value, slope = jax.jvp(loss, (p, y), (jnp.ones_like(p), jnp.zeros_like(y)))
    assert jnp.array_equal(value, expected)
    assert jnp.allclose(slope, jax.grad(lambda p: loss(p, y).sum())(p))


@pytest.mark.parametrize("loss", LOSSES)
def test_empty(loss):
    assert loss(jnp.zeros((0, 3)), jnp.zeros((0, 3))).shape == (0, 3)

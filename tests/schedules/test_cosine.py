import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import cosine_decay_schedule
from reference import schedules as reference

COUNTS = np.arange(40)


@hypothesis.given(st.floats(-10, 10), st.integers(0, 50), st.floats(0, 2), st.floats(0.2, 4))
def test_against_the_definition(init, steps, alpha, exponent):
    expected = [reference.cosine(t, init, steps, alpha, exponent) for t in COUNTS]
    values = cosine_decay_schedule(init, steps, alpha, exponent)(COUNTS)
    np.testing.assert_allclose(values, expected, 1e-5, 1e-5)


def test_by_hand():
    values = cosine_decay_schedule(2.0, 6)(jnp.arange(8))
    half = np.sqrt(3) / 2
    np.testing.assert_allclose(values, [2, 1 + half, 1.5, 1, 0.5, 1 - half, 0, 0], 1e-6, 1e-7)


@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_both_ends_are_exact(alpha, exponent):
    s = cosine_decay_schedule(0.3, 7, alpha, exponent)
    assert s(0) == jnp.float32(0.3)
    assert s(7) == s(100) == jnp.float32(0.3) * jnp.float32(alpha)


def test_the_last_steps_keep_their_digits():
    steps = 10**6
    assert cosine_decay_schedule(1.0, steps)(steps - 1) == pytest.approx(np.sin(np.pi / 2 / steps) ** 2, rel=1e-5)


def test_a_decay_of_no_steps_is_over():
    assert cosine_decay_schedule(1.0, 0, alpha=0.25)(jnp.arange(3)).tolist() == [0.25] * 3

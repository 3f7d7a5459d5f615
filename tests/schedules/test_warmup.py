import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import (
    cosine_decay_schedule,
    linear_schedule,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
)
from reference import schedules as reference

VALUES = st.floats(-10, 10)
COUNTS = np.arange(40)


@hypothesis.given(VALUES, VALUES, VALUES, st.integers(0, 15), st.integers(0, 20), st.floats(0.2, 4))
def test_cosine_against_the_definition(init, peak, end, warmup, decay, exponent):
    s = warmup_cosine_decay_schedule(init, peak, warmup, warmup + decay, end, exponent)
    expected = [reference.warmup_cosine(t, init, peak, warmup, warmup + decay, end, exponent) for t in COUNTS]
    np.testing.assert_allclose(s(COUNTS), expected, 1e-5, 1e-5)


def test_cosine_is_its_two_halves():
    s = warmup_cosine_decay_schedule(0.0, 0.5, 4, 10, 0.1)
    np.testing.assert_allclose(s(jnp.arange(5)), linear_schedule(0.0, 0.5, 4)(jnp.arange(5)), 1e-6)
    np.testing.assert_allclose(s(jnp.arange(4, 12)), cosine_decay_schedule(0.5, 6, 0.2)(jnp.arange(8)), 1e-6)


def test_the_length_of_the_decay_counts_the_warm_up():
    s = warmup_cosine_decay_schedule(0.0, 1.0, 4, 10, end_value=0.25)
    assert s(4) == 1
    assert s(9) > 0.25
    assert s(10) == s(11) == 0.25


def test_phases_of_no_steps_are_at_their_end():
    assert warmup_constant_schedule(0.0, 1.0, 0)(jnp.arange(3)).tolist() == [1, 1, 1]
    assert warmup_cosine_decay_schedule(0.0, 1.0, 0, 10)(0) == 1
    assert warmup_cosine_decay_schedule(0.0, 1.0, 2, 2, 0.25)(jnp.arange(4)).tolist() == [0, 0.5, 0.25, 0.25]
    assert warmup_cosine_decay_schedule(0.0, 1.0, 0, 0, 0.25)(0) == 0.25


def test_from_a_peak_of_zero_the_end_is_reached_too():
    s = warmup_cosine_decay_schedule(1.0, 0.0, 4, 10, end_value=0.5)
    assert s(4) == 0
    assert s(7) == pytest.approx(0.25)
    assert s(10) == 0.5


def test_a_sweep_over_peaks():
    values = jax.vmap(lambda peak: warmup_cosine_decay_schedule(0.0, peak, 5, 10)(7))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(values, [reference.warmup_cosine(7, 0, peak, 5, 10) for peak in (0.1, 0.2)], 1e-6)


def test_constant_by_hand():
    assert warmup_constant_schedule(0.5, 1.5, 4)(jnp.arange(6)).tolist() == [0.5, 0.75, 1, 1.25, 1.5, 1.5]

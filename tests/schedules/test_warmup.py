from typing import ClassVar

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import (
    cosine_decay_schedule,
    exponential_decay,
    linear_schedule,
    rex_schedule,
    sgdr_schedule,
    shift_schedule,
    warmup,
    warmup_constant_schedule,
    warmup_cosine_decay_schedule,
    warmup_exponential_decay_schedule,
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
    """Defect C6: a warm-up of no steps stayed at its beginning for ever."""
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
    """Defect C9: the original asks in Python whether the peak is 0."""
    values = jax.vmap(lambda peak: warmup_cosine_decay_schedule(0.0, peak, 5, 10)(7))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(values, [reference.warmup_cosine(7, 0, peak, 5, 10) for peak in (0.1, 0.2)], 1e-6)


def test_constant_by_hand():
    assert warmup_constant_schedule(0.5, 1.5, 4)(jnp.arange(6)).tolist() == [0.5, 0.75, 1, 1.25, 1.5, 1.5]


def test_exponential_is_its_two_halves():
    s = warmup_exponential_decay_schedule(0.1, 1.0, 4, 3, 0.5, transition_begin=2, staircase=True, end_value=0.2)
    np.testing.assert_allclose(s(jnp.arange(5)), linear_schedule(0.1, 1.0, 4)(jnp.arange(5)), 1e-6)
    decay = exponential_decay(1.0, 3, 0.5, 2, True, 0.2)
    np.testing.assert_allclose(s(jnp.arange(4, 20)), decay(jnp.arange(16)), 1e-6)


class TestWarmupOfAnything:
    def test_by_hand(self):
        s = warmup(lambda t: 8 - t, 4, init_value=2.0)
        assert s(jnp.arange(7)).tolist() == [2, 3.5, 5, 6.5, 8, 7, 6]

    def test_of_a_constant_it_is_the_one_for_constants(self):
        s = warmup(lambda t: 0.5, 7, 0.1)
        np.testing.assert_allclose(s(COUNTS), warmup_constant_schedule(0.1, 0.5, 7)(COUNTS), 1e-6)

    def test_of_no_steps_it_is_the_schedule(self):
        s = rex_schedule(1.0, 10)
        assert jnp.array_equal(warmup(s, 0)(COUNTS), s(COUNTS))

    def test_without_a_delay(self):
        s = rex_schedule(1.0, 10)
        values = warmup(shift_schedule(s, -4), 4)(COUNTS)
        assert jnp.array_equal(values[4:], s(COUNTS)[4:])
        np.testing.assert_allclose(values[:4], s(4).item() * COUNTS[:4] / 4, 1e-6)

    def test_its_arguments_are_checked(self):
        with pytest.raises(TypeError, match=r"schedule must be a schedule \(a function of the step count\), not 0\.1"):
            warmup(0.1, 5)
        with pytest.raises(ValueError, match="steps must be at least 0, not -5"):
            warmup(rex_schedule(1.0, 10), -5)


class TestSgdr:
    CYCLE: ClassVar = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 6}

    def test_each_cycle_counts_from_its_own_beginning(self):
        s = sgdr_schedule([self.CYCLE, self.CYCLE | {"peak_value": 0.5, "decay_steps": 4}])
        first = warmup_cosine_decay_schedule(**self.CYCLE)
        second = warmup_cosine_decay_schedule(0.0, 0.5, 2, 4)
        assert jnp.array_equal(s(jnp.arange(6)), first(jnp.arange(6)))
        assert jnp.array_equal(s(jnp.arange(6, 20)), second(jnp.arange(14)))

    def test_an_iterator_will_do(self):
        assert sgdr_schedule(iter([self.CYCLE] * 2))(8) == 1

    def test_an_error_says_in_which_cycle(self):
        with pytest.raises(ValueError, match="decay_steps must be at least warmup_steps=2, not 1") as caught:
            sgdr_schedule([self.CYCLE, self.CYCLE | {"decay_steps": 1}])
        assert caught.value.__notes__ == ["in cosine_kwargs[1]"]
        with pytest.raises(TypeError, match="peak"):
            sgdr_schedule([{"peak": 1.0}])
        with pytest.raises(ValueError, match="cosine_kwargs must not be empty"):
            sgdr_schedule([])

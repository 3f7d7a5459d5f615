import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import cosine_cycles_schedule, cosine_decay_schedule, sgdr_schedule
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


class TestCycles:
    def test_by_hand(self):
        s = cosine_cycles_schedule(0.1, 1.0, 2, 6, cycles=2, end_value=0.2, peak_decay=0.7)
        first = [0.1, 0.55, 1.0, 0.2 + 0.8 * np.cos(np.pi / 8) ** 2, 0.6, 0.2 + 0.8 * np.sin(np.pi / 8) ** 2]
        second = [0.2, 0.45, 0.7, 0.2 + 0.5 * np.cos(np.pi / 8) ** 2, 0.45, 0.2 + 0.5 * np.sin(np.pi / 8) ** 2]
        np.testing.assert_allclose(s(jnp.arange(14)), [*first, *second, 0.2, 0.2], 1e-6)

    def test_growing_cycles_are_those_of_sgdr(self):
        s = cosine_cycles_schedule(0.1, 1.0, 2, 5, cycles=3, end_value=0.1, cycle_growth=2, peak_decay=0.5)
        cycles = [
            {"init_value": 0.1, "peak_value": peak, "warmup_steps": 2, "decay_steps": steps, "end_value": 0.1}
            for peak, steps in ((1.0, 5), (0.5, 10), (0.25, 20))
        ]
        counts = jnp.arange(40)
        np.testing.assert_allclose(s(counts), sgdr_schedule(cycles)(counts), 1e-6)

    def test_a_warm_up_below_one_is_a_fraction_of_its_cycle(self):
        s = cosine_cycles_schedule(0.0, 1.0, 0.2, 10, cycles=2, cycle_growth=2)
        assert (s(2), s(10), s(14)) == (1, 0, 1)

    def test_cycles_begin_at_their_count_however_late(self):
        s = cosine_cycles_schedule(0.0, 1.0, 0, 2**24 + 1, cycles=3)
        assert s(2**24 + 1) == s(2 * (2**24 + 1)) == 1
        assert s(2**24) == pytest.approx(0, abs=1e-6)

    def test_a_cycle_may_be_all_warm_up(self):
        assert cosine_cycles_schedule(0.0, 1.0, 2, 2, cycles=2, end_value=0.5)(jnp.arange(5)).tolist() == [
            0,
            0.5,
            0.5,
            0.75,
            0.5,
        ]

    def test_lengths_may_be_swept(self):
        def values(warmup, steps, growth):
            return cosine_cycles_schedule(0.0, 1.0, warmup, steps, 3, cycle_growth=growth)(jnp.arange(40))

        rows = [(2.0, 6.0, 1.0), (0.25, 8.0, 1.5)]
        swept = jax.vmap(values)(*jnp.array(rows).T)
        np.testing.assert_allclose(swept, [values(*row) for row in rows], 1e-5, 1e-6)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"warmup_steps": 7}, "warmup_steps must be at most cycle_steps=6, not 7"),
            ({"cycle_steps": 0}, "cycle_steps must be above 0, not 0"),
            ({"cycles": 0}, "cycles must be at least 1, not 0"),
            ({"cycle_growth": 0}, "cycle_growth must be above 0, not 0"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, options, message):
        given = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 1, "cycle_steps": 6, "cycles": 2}
        with pytest.raises(ValueError, match=message):
            cosine_cycles_schedule(**(given | options))

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import constant_schedule, join_schedules, linear_schedule
from reference import schedules as reference


@hypothesis.given(st.lists(st.integers(0, 15), max_size=3).map(sorted))
def test_against_the_definition(boundaries):
    ends = range(len(boundaries) + 1)
    ours = join_schedules([linear_schedule(0.0, float(end), 10) for end in ends], boundaries)
    theirs = [lambda t, end=end: reference.linear(t, 0.0, end, 10) for end in ends]
    expected = [reference.joined(t, theirs, boundaries) for t in range(20)]
    np.testing.assert_allclose(ours(np.arange(20)), expected, 1e-6, 1e-7)


def test_plain_functions_count_from_the_beginning_of_their_phase():
    s = join_schedules([lambda t: t, lambda t: 10 + t, lambda t: 7], [3, 5])
    assert s(jnp.arange(7)).tolist() == [0, 1, 2, 10, 11, 7, 7]
    assert [s(t).item() for t in range(7)] == [0, 1, 2, 10, 11, 7, 7]


def test_phases_of_no_steps_are_skipped():
    parts = [constant_schedule(v) for v in (1.0, 2.0, 3.0)]
    assert join_schedules(parts, [0, 2])(jnp.arange(4)).tolist() == [2, 2, 3, 3]
    assert join_schedules(parts, [2, 2])(jnp.arange(4)).tolist() == [1, 1, 3, 3]
    assert join_schedules(parts, [0, 0])(jnp.arange(4)).tolist() == [3, 3, 3, 3]


def test_one_schedule_needs_no_boundary():
    assert join_schedules([linear_schedule(0.0, 1.0, 2)], [])(1) == 0.5


def test_a_schedule_sees_only_counts_of_its_own_phase():
    seen = []

    def watch(t):
        seen.append(int(t))
        return 0.0

    s = join_schedules([watch, watch, watch], [3, 5])
    for t in (0, 2, 3, 4, 5, 1000):
        s(t)
    assert {*seen[0::3]} == {0, 2}
    assert {*seen[1::3]} == {0, 1}
    assert {*seen[2::3]} == {0, 995}


def test_a_schedule_that_overflows_later_does_no_harm():
    def growing(rate):
        return join_schedules([lambda t: jnp.exp(rate * t.astype(float)), lambda t: rate], [10])

    for count, slope in ((5, 5 * np.exp(5.0)), (10, 1), (10**6, 1)):
        assert jax.grad(lambda r, count=count: growing(r)(count))(1.0) == pytest.approx(slope)
    assert jax.jvp(lambda r: growing(r)(10**6), (1.0,), (1.0,))[1] == 1


def test_boundaries_may_be_traced_or_fractional():
    def value(b, t):
        return join_schedules([constant_schedule(0.0), lambda t: t.astype(float)], [b])(t)

    assert jax.vmap(value, (0, None))(jnp.array([2, 5, 9]), 7).tolist() == [5, 2, 0]
    assert jax.vmap(value, (0, None))(jnp.array([2.5, 5.5, 9.5]), 7).tolist() == [4.5, 1.5, 0]
    assert value(6.5, 6) == 0
    assert value(6.5, 7) == 0.5


def test_large_counts_stay_exact():
    s = join_schedules([constant_schedule(0.0), linear_schedule(0.0, 1.0, 2)], [2**24])
    assert [s(2**24 + t).item() for t in (-1, 0, 1, 2)] == [0, 0, 0.5, 1]


def test_later_changes_to_the_lists_do_not_matter():
    parts, boundaries = [constant_schedule(1.0), constant_schedule(2.0)], [5]
    s = join_schedules(parts, boundaries)
    parts.clear()
    boundaries.append(3)
    assert s(jnp.array([0, 9])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("n", "boundaries", "message"),
    [
        (0, [], "schedules must not be empty"),
        (1, [3], r"1 schedules need 0 boundaries between them, got 1: \[3\]"),
        (3, [10], r"3 schedules need 2 boundaries between them, got 1: \[10\]"),
        (2, [10, 20], r"2 schedules need 1 boundaries between them, got 2: \[10, 20\]"),
        (3, [20, 10], r"boundaries must be in ascending order, not \[20, 10\]"),
        (2, [-1], r"boundaries\[0\] must be at least 0, not -1"),
        (3, [1, float("nan")], r"boundaries\[1\] must be at least 0, not nan"),
    ],
)
def test_boundaries_are_checked(n, boundaries, message):
    """Defect C7: missing, surplus and unsorted ones gave another schedule without a word."""
    with pytest.raises(ValueError, match=message):
        join_schedules([constant_schedule(1.0)] * n, boundaries)


def test_schedules_are_checked():
    with pytest.raises(
        TypeError, match=r"schedules\[1\] must be a schedule \(a function of the step count\), not 0\.1"
    ):
        join_schedules([constant_schedule(1.0), 0.1], [3])
    with pytest.raises(TypeError, match=r"boundaries\[0\] must be a real number, not '3'"):
        join_schedules([constant_schedule(1.0)] * 2, ["3"])

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import multi_step_schedule, piecewise_constant_schedule, piecewise_interpolate_schedule


def test_constant_by_hand():
    s = piecewise_constant_schedule(0.5, {4: 3.0, 2: 0.1})
    np.testing.assert_allclose(s(jnp.arange(6)), [0.5, 0.5, 0.05, 0.05, 0.15, 0.15], 1e-6)


def test_interpolated_by_hand():
    s = piecewise_interpolate_schedule("linear", 1.0, {4: 3.0, 2: 2.0})
    np.testing.assert_allclose(s(jnp.arange(6)), [1, 1.5, 2, 4, 6, 6], 1e-6)
    s = piecewise_interpolate_schedule("cosine", 1.0, {3: 0.0})
    np.testing.assert_allclose(s(jnp.arange(5)), [1, 0.75, 0.25, 0, 0], 1e-6)
    s = piecewise_interpolate_schedule("1-sqrt", 1.0, {4: 0.0})
    np.testing.assert_allclose(s(jnp.arange(5)), 1 - np.sqrt(np.arange(5) / 4), 1e-6, 1e-7)


@pytest.mark.parametrize("kind", ["linear", "cosine", "1-sqrt"])
def test_both_agree_at_the_boundaries(kind):
    scales = {3: 0.5, 7: 3.0, 8: 0.25, 20: 0.0}
    counts = jnp.array([0, *scales])
    smooth, jumps = piecewise_interpolate_schedule(kind, 0.3, scales), piecewise_constant_schedule(0.3, scales)
    assert jnp.array_equal(smooth(counts), jumps(counts))


@pytest.mark.parametrize("kind", ["linear", "cosine", "1-sqrt"])
def test_a_count_before_the_beginning_is_the_beginning(kind):
    """Defect C11: the interpolated one was 0 there."""
    for boundaries in (None, {}, {2: 0.5}, {0: 0.5, 2: 0.5}):
        s = piecewise_interpolate_schedule(kind, 2.0, boundaries)
        assert s(-1) == s(0) == piecewise_constant_schedule(2.0, boundaries)(-1)


def test_a_boundary_at_the_beginning_is_a_jump_there():
    assert piecewise_interpolate_schedule("linear", 1.0, {0: 2.0, 2: 2.0})(jnp.arange(4)).tolist() == [2, 3, 4, 4]


def test_milestones_may_repeat_and_be_traced():
    def values(a, b):
        return multi_step_schedule(1.0, [a, b], 0.5)(jnp.arange(5))

    assert values(3, 3).tolist() == [1, 1, 1, 0.25, 0.25]
    swept = jax.vmap(values)(jnp.array([1, 3]), jnp.array([2, 3]))
    assert swept.tolist() == [[1, 0.5, 0.25, 0.25, 0.25], [1, 1, 1, 0.25, 0.25]]
    assert multi_step_schedule(1.0, [])(7) == 1


def test_scales_may_be_traced():
    slope = jax.grad(lambda scale: piecewise_constant_schedule(0.5, {3: scale, 5: 2.0})(7))(0.1)
    assert slope == 1


def test_later_changes_to_the_dict_do_not_matter():
    scales = {3: 0.5}
    s = piecewise_constant_schedule(1.0, scales)
    scales[3] = 7.0
    assert s(3) == 0.5
    assert s == piecewise_constant_schedule(1.0, {3: 0.5})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: piecewise_constant_schedule(1.0, {2: -0.5}),
            r"boundaries_and_scales\[2\] must be at least 0, not -0\.5",
        ),
        (
            lambda: piecewise_constant_schedule(1.0, {-2: 0.5}),
            "a boundary in boundaries_and_scales must be at least 0, not -2",
        ),
        (
            lambda: piecewise_interpolate_schedule("cubic", 1.0, {2: 0.5}),
            "interpolate_type must be one of 'linear', 'cosine', '1-sqrt', not 'cubic'",
        ),
        (lambda: multi_step_schedule(1.0, [3, 2]), r"milestones must be in ascending order, not \[3, 2\]"),
        (lambda: multi_step_schedule(1.0, [-3]), r"milestones\[0\] must be at least 0, not -3"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

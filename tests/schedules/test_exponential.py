import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import exponential_decay, step_schedule


def test_by_hand():
    s = exponential_decay(2.0, 4, 0.25, transition_begin=3)
    np.testing.assert_allclose(s(jnp.array([0, 3, 5, 7, 11])), [2, 2, 1, 0.5, 0.125], 1e-6)


def test_stairs_begin_at_multiples_of_the_length():
    s = exponential_decay(1.0, 3, 0.5, transition_begin=1, staircase=True)
    np.testing.assert_allclose(s(jnp.arange(8)), [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25], 1e-6)


@pytest.mark.parametrize("steps", [3, 7, 1000, 2**24 + 1])
def test_no_stair_is_late_or_early(steps):
    s = step_schedule(1.0, steps, 0.5)
    np.testing.assert_allclose([s(3 * steps - 1), s(3 * steps)], [0.25, 0.125], 1e-6)
    traced = jax.jit(lambda n: step_schedule(1.0, n, 0.5)(jnp.array([3 * steps - 1, 3 * steps])))(jnp.int32(steps))
    np.testing.assert_allclose(traced, [0.25, 0.125], 1e-6)


@pytest.mark.parametrize(("rate", "end", "late"), [(0.5, 0.3, 0.3), (1.5, 4.0, 4.0), (0.5, 2.0, 2.0), (1.5, 0.5, 0.5)])
def test_the_bound_lies_on_the_side_to_which_the_value_moves(rate, end, late):
    assert exponential_decay(1.0, 1, rate, end_value=end)(100) == jnp.float32(late)
    assert exponential_decay(1.0, 1, jnp.float32(rate), end_value=end)(100) == jnp.float32(late)


def test_a_factor_near_one_keeps_its_digits():
    assert exponential_decay(1.0, 1, 0.99999)(100_000) == pytest.approx(0.99999**100_000, rel=1e-6)


@pytest.mark.parametrize("count", [0, 999, 1000, 1001, 10**6, 2**31 - 1])
@pytest.mark.parametrize("rate", [0.5, 1.0, 3.0])
def test_derivatives_by_the_factor_are_finite(count, rate):
    """Defect C10: 0.5 r to the power of the count before the beginning made them NaN; so did overflow after it."""
    slope = jax.grad(lambda r: exponential_decay(1.0, 1, 0.5 * r, transition_begin=1000)(count))(2 * rate)
    assert jnp.isfinite(slope)
    assert count > 1000 or slope == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, 0, 0.5), "transition_steps must be above 0, not 0"),
        ((1.0, 5, 0.0), r"decay_rate must be above 0, not 0\.0"),
        ((1.0, 5, -0.5), r"decay_rate must be above 0, not -0\.5"),
        ((1.0, 5, 0.5, -1), "transition_begin must be at least 0, not -1"),
        ((1.0, 5, 0.5, 0, False, float("nan")), "end_value must be a number, not nan"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        exponential_decay(*arguments)


def test_a_step_names_its_own_argument():
    with pytest.raises(ValueError, match="step_size must be above 0, not 0"):
        step_schedule(1.0, 0)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import (
    add_schedules,
    clip_schedule,
    cosine_decay_schedule,
    linear_schedule,
    multiply_schedules,
    shift_schedule,
    step_schedule,
    stretch_schedule,
    warmup_cosine_decay_schedule,
)

UP = linear_schedule(0.0, 1.0, 4)
DOWN = linear_schedule(1.0, 0.0, 8)
COUNTS = np.arange(12)
up, down = np.clip(COUNTS / 4, 0, 1), np.clip(1 - COUNTS / 8, 0, 1)


def plain(t):
    return 2 * t


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (UP + DOWN, up + down),
        (UP - DOWN, up - down),
        (UP * DOWN, up * down),
        (-UP, -up),
        (UP + plain, up + 2 * COUNTS),
        (plain + UP, up + 2 * COUNTS),
        (plain * UP, up * 2 * COUNTS),
        (plain - UP, 2 * COUNTS - up),
        (UP - plain, up - 2 * COUNTS),
        (0.5 * UP, 0.5 * up),
        (UP * 0.5, 0.5 * up),
        (UP / 4, up / 4),
        (1 - UP, 1 - up),
        (UP - 1, up - 1),
        (np.float32(0.5) * UP, 0.5 * up),
        (np.float64(2) - UP, 2 - up),
        (jnp.float32(0.5) * UP, 0.5 * up),
        (jnp.float32(0.5) + UP, 0.5 + up),
        (add_schedules(UP, DOWN, plain, 1), up + down + 2 * COUNTS + 1),
        (multiply_schedules(UP, DOWN, plain, 3), up * down * 2 * COUNTS * 3),
        (add_schedules(0.5), np.full(12, 0.5)),
        (sum([UP, DOWN]), up + down),
    ],
)
def test_arithmetic(made, expected):
    np.testing.assert_allclose([made(int(t)) for t in COUNTS], expected, 1e-6, 1e-7)
    np.testing.assert_allclose(jax.jit(made)(COUNTS), expected, 1e-6, 1e-7)


def test_what_is_neither_a_function_nor_a_number_cannot_be_added():
    for other in ("1", None, [1.0], {}):
        with pytest.raises(TypeError, match="unsupported operand"):
            UP + other
        with pytest.raises(TypeError, match=r"unsupported operand|can't multiply"):
            UP * other
    with pytest.raises(TypeError, match="unsupported operand"):
        UP / DOWN
    with pytest.raises(TypeError, match=r"schedules\[1\] must be a real number or a schedule .* not '1'"):
        add_schedules(UP, "1")
    with pytest.raises(ValueError, match="schedules must not be empty"):
        multiply_schedules()


def test_sums_are_values():
    assert linear_schedule(0, 1, 4) + DOWN == UP + DOWN
    assert UP + DOWN != DOWN + UP
    assert repr(2 * UP) == "optax.schedules.multiply_schedules(optax.schedules.linear_schedule(0.0, 1.0, 4), 2)"


def test_a_factor_may_be_traced():
    slopes = jax.vmap(jax.grad(lambda factor: (factor * UP + DOWN)(2)))(jnp.array([0.5, 3.0]))
    assert slopes.tolist() == [0.5, 0.5]


class TestClip:
    def test_by_numbers(self):
        assert clip_schedule(plain, 3, 7)(jnp.arange(5)).tolist() == [3, 3, 4, 6, 7]
        assert clip_schedule(plain, most=3)(jnp.arange(4)).tolist() == [0, 2, 3, 3]
        assert clip_schedule(plain)(3) == 6

    def test_by_schedules(self):
        np.testing.assert_allclose(clip_schedule(UP, most=DOWN)(COUNTS), np.minimum(up, down), 1e-6)
        np.testing.assert_allclose(clip_schedule(UP, least=DOWN)(COUNTS), np.maximum(up, down), 1e-6)

    def test_its_bounds_may_be_traced(self):
        values = jax.vmap(lambda least, most: clip_schedule(plain, least, most)(3))(jnp.arange(2), jnp.array([4, 9]))
        assert values.tolist() == [4, 6]
        assert jax.jit(lambda least: clip_schedule(plain, least, 9)(3))(7.0) == 7

    def test_its_bounds_are_checked(self):
        with pytest.raises(ValueError, match="least must be at most most=1, not 2"):
            clip_schedule(UP, 2, 1)
        with pytest.raises(TypeError, match="most must be a real number or a schedule"):
            clip_schedule(UP, 0, "1")


class TestShift:
    def test_later_and_earlier(self):
        assert shift_schedule(plain, 2)(jnp.arange(5)).tolist() == [0, 0, 0, 2, 4]
        assert shift_schedule(plain, -2)(jnp.arange(4)).tolist() == [4, 6, 8, 10]

    @pytest.mark.parametrize("steps", [5, -5, 2**31 - 1, 1 - 2**31, jnp.int32(-7)])
    def test_the_largest_count_is_no_negative_one(self, steps):
        shifted = shift_schedule(lambda t: t.astype(float) / 2.0**31, steps)
        assert shifted(2**31 - 1) == pytest.approx((2**31 - 1 - max(steps, 0)) / 2**31)

    def test_there_and_back_again(self):
        s = step_schedule(1.0, 3, 0.5)
        assert jnp.array_equal(shift_schedule(shift_schedule(s, 4), -4)(COUNTS), s(COUNTS))


class TestStretch:
    def test_fractions_of_a_run_become_steps(self):
        in_fractions = warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=0.1, decay_steps=1.0)
        in_steps = warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=50, decay_steps=500)
        counts = jnp.arange(520)
        np.testing.assert_allclose(stretch_schedule(in_fractions, 500)(counts), in_steps(counts), 1e-5, 1e-6)

    def test_tokens_become_steps(self):
        in_tokens = cosine_decay_schedule(1.0, 512 * 100)
        counts = jnp.arange(110)
        values = stretch_schedule(in_tokens, 1 / 512)(counts)
        np.testing.assert_allclose(values, cosine_decay_schedule(1.0, 100)(counts), 1e-5, 1e-6)

    def test_the_factor_is_checked(self):
        with pytest.raises(ValueError, match="factor must be above 0, not 0"):
            stretch_schedule(UP, 0)

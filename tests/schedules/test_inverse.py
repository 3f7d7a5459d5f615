import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import (
    cooldown,
    inverse_sqrt_schedule,
    inverse_time_schedule,
    power_schedule,
    shift_schedule,
    warmup,
)

COUNTS = np.array([0, 1, 3, 10, 99, 1000, 10**6])


def test_against_the_definitions():
    np.testing.assert_allclose(inverse_sqrt_schedule(0.3, 7)(COUNTS), 0.3 / np.sqrt(1 + COUNTS / 7), 2e-6)
    np.testing.assert_allclose(inverse_time_schedule(0.3, 7, 0.5)(COUNTS), 0.3 / (1 + 0.5 * COUNTS / 7), 2e-6)
    stairs = 0.3 / (1 + 0.5 * (COUNTS // 7))
    np.testing.assert_allclose(inverse_time_schedule(0.3, 7, 0.5, staircase=True)(COUNTS), stairs, 2e-6)
    expected = np.minimum(0.02, 4 * (512 * np.maximum(COUNTS, 1e-9)) ** -0.51)
    np.testing.assert_allclose(power_schedule(0.02, 4, -0.51, 512)(COUNTS), expected, 2e-6)


def test_warmed_up_the_inverse_square_root_is_that_of_the_transformer():
    d, w = 512, 400
    t = np.arange(1, 5000, 37)
    ours = warmup(inverse_sqrt_schedule(d**-0.5 * w**-0.5, w), w)(t)
    np.testing.assert_allclose(ours, d**-0.5 * np.minimum(t**-0.5, t * w**-1.5), 2e-6)


def test_the_power_schedule_of_its_paper():
    a, b, batch, w, total, last = 4.6, -0.51, 8, 10, 100, 20

    def power(n):
        return min(0.5, batch * a * n**b)

    def paper(n):
        if n < w:
            return n / w * power(w)
        return power(n) if n < total - last else (total - n) / last * power(total - last)

    s = shift_schedule(power_schedule(0.5, batch * a, b), -w)
    ours = cooldown(warmup(s, w), total - last, last, shape="linear")
    np.testing.assert_allclose(ours(np.arange(total + 1)), [paper(n) for n in range(total + 1)], 2e-6, 1e-7)


@pytest.mark.parametrize("count", [0, 0.5, 1, 2**31 - 1])
def test_derivatives_of_the_power_are_finite(count):
    slopes = jax.jacrev(lambda x: power_schedule(x[0], x[1], x[2], x[3])(count))(jnp.array([0.5, 4.0, -0.5, 100.0]))
    assert jnp.isfinite(slopes).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: inverse_sqrt_schedule(1.0, 0), "timescale must be above 0, not 0"),
        (lambda: inverse_time_schedule(1.0, -1), "transition_steps must be above 0, not -1"),
        (lambda: inverse_time_schedule(1.0, 1, -1), "decay_rate must be at least 0, not -1"),
        (lambda: power_schedule(1.0, 1.0, 0.5), r"exponent must be below 0, not 0\.5"),
        (lambda: power_schedule(1.0, 0.0), r"factor must be above 0, not 0\.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import cosine_onecycle_schedule, linear_onecycle_schedule


def test_linear_by_hand():
    s = linear_onecycle_schedule(20, 1.0, pct_start=0.2, pct_final=0.8, div_factor=5.0, final_div_factor=4.0)
    np.testing.assert_allclose(s(jnp.array([0, 2, 4, 10, 16, 18, 20])), [0.2, 0.6, 1, 0.6, 0.2, 0.125, 0.05], 1e-6)


def test_cosine_by_hand():
    s = cosine_onecycle_schedule(18, 1.0, pct_start=1 / 3, div_factor=4.0, final_div_factor=2.0)
    assert s(jnp.array([0, 6, 18])).tolist() == [0.25, 1.0, 0.125]
    np.testing.assert_allclose(s(jnp.array([2, 3, 12])), [0.25 * 0.75 + 0.25, 0.625, 0.5625], 1e-6)


@pytest.mark.parametrize("factory", [linear_onecycle_schedule, cosine_onecycle_schedule])
def test_the_final_value_is_the_initial_one_divided(factory):
    """Defect C11: the documentation of the original had two of them."""
    s = factory(50, 1.0, div_factor=8.0, final_div_factor=4.0)
    assert s(50) == s(1000) == s(0) / 4 == 1 / 32


def test_short_cycles_have_all_their_phases():
    """Defect C8: boundaries that were rounded to the same count made one of them disappear."""
    s = linear_onecycle_schedule(3, 1.0, 0.3, 0.6, div_factor=4.0, final_div_factor=2.0)
    assert s(jnp.arange(5)).tolist() == [0.25, 1, 0.25, 0.125, 0.125]
    for steps in (1, 2):
        assert linear_onecycle_schedule(steps, 1.0, div_factor=4.0, final_div_factor=2.0)(jnp.arange(5)).tolist() == [
            0.25,
            1,
            0.25,
            0.125,
            0.125,
        ]
    assert cosine_onecycle_schedule(1, 1.0, div_factor=4.0, final_div_factor=2.0)(jnp.arange(4)).tolist() == [
        0.25,
        1,
        0.125,
        0.125,
    ]


@pytest.mark.parametrize("steps", range(1, 40))
def test_it_rises_and_falls_whatever_its_length(steps):
    values = np.array(linear_onecycle_schedule(steps, 1.0)(np.arange(steps + 4)))
    peak = values.argmax()
    assert (values[peak], values[0], values[-1]) == (1, np.float32(1 / 25), np.float32(1 / 25 / 1e4))
    assert (np.diff(values[: peak + 1]) > 0).all()
    assert (np.diff(values[peak : max(steps, 3) + 1]) < 0).all()


def test_a_phase_of_no_fraction_is_left_out():
    assert linear_onecycle_schedule(10, 1.0, pct_start=0.0)(0) == 1
    s = linear_onecycle_schedule(10, 1.0, pct_start=0.5, pct_final=0.5, div_factor=4.0)
    assert (s(4), s(5)) == (0.25 + 0.75 * 0.8, 0.25)
    s = linear_onecycle_schedule(10, 1.0, pct_start=0.5, pct_final=1.0, div_factor=4.0, final_div_factor=2.0)
    assert s(10) == 0.125


def test_every_argument_may_be_traced():
    arguments = (20.0, 0.5, 0.3, 0.7, 8.0, 4.0)
    counts = jnp.arange(25)
    swept = jax.jit(jax.vmap(lambda row: linear_onecycle_schedule(*row)(counts)))(jnp.array([arguments] * 2))
    np.testing.assert_allclose(swept, [linear_onecycle_schedule(*arguments)(counts)] * 2, 1e-5, 1e-7)
    slopes = jax.jit(jax.jacrev(lambda row: linear_onecycle_schedule(*row)(counts)))(jnp.array(arguments))
    assert jnp.isfinite(slopes).all()
    short = jax.jit(lambda n: linear_onecycle_schedule(n, 1.0)(jnp.arange(5)))(1.0)
    np.testing.assert_allclose(short, linear_onecycle_schedule(1, 1.0)(jnp.arange(5)), 1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transition_steps": 0}, "transition_steps must be above 0, not 0"),
        ({"pct_start": 1.5}, r"pct_start must be at least 0 and at most 1, not 1\.5"),
        ({"pct_start": 0.9}, r"pct_final must be at least 0\.9, where the phase before it ends, not 0\.85"),
        ({"div_factor": 0}, "div_factor must be above 0, not 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        linear_onecycle_schedule(**({"transition_steps": 10, "peak_value": 1.0} | options))

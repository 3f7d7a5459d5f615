import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.schedules import (
    cooldown,
    cosine_decay_schedule,
    inverse_sqrt_schedule,
    linear_schedule,
    warmup_constant_schedule,
    warmup_stable_decay_schedule,
)

F = np.arange(5) / 4
SHAPES = {"linear": 1 - F, "1-sqrt": 1 - np.sqrt(F), "cosine": 0.5 * (1 + np.cos(np.pi * F))}
shapes = pytest.mark.parametrize("shape", SHAPES)


@shapes
def test_by_hand(shape):
    s = cooldown(inverse_sqrt_schedule(1.0, 5), 15, 4, end_value=0.1, shape=shape)
    np.testing.assert_allclose(s(jnp.arange(15)), inverse_sqrt_schedule(1.0, 5)(jnp.arange(15)), 1e-6)
    np.testing.assert_allclose(s(jnp.arange(15, 20)), SHAPES[shape] * 0.5 + (1 - SHAPES[shape]) * 0.1, 1e-6)
    assert s(19) == s(1000) == jnp.float32(0.1)


def test_after_the_cool_down_began_the_schedule_is_not_asked_any_more():
    def fails_later(t):
        return jnp.where(t <= 3, 1.0, jnp.nan)

    assert cooldown(fails_later, 3, 2, shape="linear")(jnp.arange(7)).tolist() == [1, 1, 1, 1, 0.5, 0, 0]
    slope = jax.grad(lambda begin: cooldown(lambda t: jnp.exp(t), begin, 2.0, shape="linear")(10**6))(3.0)
    assert slope == 0


def test_the_last_steps_keep_their_digits():
    steps = 10**6
    s = cooldown(lambda t: 1.0, 0, steps)
    assert s(steps - 1) == pytest.approx(-np.expm1(0.5 * np.log1p(-1 / steps)), rel=1e-5)


def test_a_run_is_cooled_down_from_a_checkpoint_and_resumed_within():
    """The state of the optimizer fits another schedule, and the cool-down goes on wherever it is interrupted."""
    endless = warmup_constant_schedule(0.0, 1.0, 3)
    params = jnp.zeros(())
    gradient = jnp.ones(())

    def run(schedule, params, state, steps):
        tx = optax.sgd(schedule)
        state = tx.init(params) if state is None else state
        for _ in range(steps):
            updates, state = tx.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    checkpoint, state = run(endless, params, None, 7)
    ending = cooldown(endless, state[-1].count, 4, shape="linear")
    assert ending(jnp.arange(7, 12)).tolist() == [1, 0.75, 0.5, 0.25, 0]
    at_once, _ = run(ending, checkpoint, state, 6)
    paused, state = run(ending, checkpoint, state, 2)
    resumed, _ = run(cooldown(endless, 7, 4, shape="linear"), paused, state, 4)
    assert resumed == at_once == -(0 + 1 / 3 + 2 / 3 + 4 + 2.5)


def test_the_whole_run():
    s = warmup_stable_decay_schedule(0.1, 1.0, 4, 20, 6, end_value=0.2, shape="linear")
    assert jnp.array_equal(s(jnp.arange(5)), linear_schedule(0.1, 1.0, 4)(jnp.arange(5)))
    assert s(jnp.arange(4, 15)).tolist() == [1] * 11
    np.testing.assert_allclose(s(jnp.arange(14, 23)), linear_schedule(1.0, 0.2, 6)(jnp.arange(9)), 1e-6)
    cosine = warmup_stable_decay_schedule(0.1, 1.0, 4, 20, 6, shape="cosine")
    np.testing.assert_allclose(cosine(jnp.arange(14, 21)), cosine_decay_schedule(1.0, 6)(jnp.arange(7)), 1e-6, 1e-7)


@pytest.mark.parametrize(("fraction", "steps"), [(0.1, 7), (0.07, 5), (0.999, 69)])
def test_a_length_below_one_is_a_fraction_of_the_run(fraction, steps):
    of_run, in_steps = (warmup_stable_decay_schedule(0.0, 1.0, n, 70, 0) for n in (fraction, round(70 * fraction)))
    assert round(70 * fraction) in (steps, steps + 1)
    assert jnp.array_equal(of_run(jnp.arange(80)), in_steps(jnp.arange(80)))
    of_run, in_steps = (warmup_stable_decay_schedule(0.0, 1.0, 0, 70, n) for n in (fraction, round(70 * fraction)))
    assert jnp.array_equal(of_run(jnp.arange(80)), in_steps(jnp.arange(80)))


def test_fractions_may_be_swept():
    swept = jax.vmap(lambda f: warmup_stable_decay_schedule(0.0, 1.0, f, 100, f)(jnp.arange(110)))
    fractions = [0.1, 0.25]
    expected = [warmup_stable_decay_schedule(0.0, 1.0, f, 100, f)(jnp.arange(110)) for f in fractions]
    np.testing.assert_allclose(swept(jnp.array(fractions)), expected, 1e-5, 1e-6)
    slope = jax.grad(lambda f: warmup_stable_decay_schedule(0.0, 1.0, f, 100, 0.2)(5))(0.1)
    assert slope == pytest.approx(-5 / 100 / 0.1**2, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: cooldown(lambda t: 1.0, 5, 5, shape="sqrt"),
            "shape must be one of 'linear', 'cosine', '1-sqrt', not 'sqrt'",
        ),
        (lambda: cooldown(lambda t: 1.0, -1, 5), "begin must be at least 0, not -1"),
        (
            lambda: warmup_stable_decay_schedule(0.0, 1.0, 60, 100, 0.5),
            "total_steps must be at least 60 of warm-up and 50 of cool-down, not 100",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

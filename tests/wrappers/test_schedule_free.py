"""Averages in place of schedules."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from problems import PROBLEMS
from reference.schedule_free import RootMeanSquare, ScheduleFree
from x64 import enable_x64

START = np.asarray([1.0, 0.0, -2.0])


def gradients(number: int = 40) -> list[Any]:
    return list(np.random.default_rng(0).normal(size=(number, 3)))


def rising(count: Any) -> Any:
    """A schedule that rises, and falls again: 0, 0.01, ... 0.1, 0.09, ..."""
    return 0.1 - 0.01 * jnp.abs(10 - jnp.asarray(count, jnp.float64))


@pytest.mark.parametrize(
    ("b1", "power", "rate"),
    [(0.9, 2.0, 0.1), (0.5, 0.0, 0.1), (0.0, 2.0, rising), (1.0, 1.0, rising), (0.9, 3, rising)],
)
def test_it_is_the_reference(b1: float, power: float, rate: Any) -> None:
    """The schedule is read as the base optimizer reads it, 0 at the first step (defect D5, pull request #1744)."""
    with enable_x64():
        tx = optax.schedule_free(optax.sgd(rate), rate, b1, power)
        reference = ScheduleFree(START, b1, power)
        params = jnp.asarray(START)
        state = tx.init(params)
        step = jax.jit(tx.update)
        for t, g in enumerate(gradients()):
            updates, state = step(jnp.asarray(g), state, params)
            params = optax.apply_updates(params, updates)
            gamma = float(rate(t)) if callable(rate) else rate
            reference(-gamma * g, gamma)
            np.testing.assert_allclose(params, reference.y, rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(optax.eval_params(state, params), reference.x, rtol=1e-9, atol=1e-11)
            np.testing.assert_allclose(state.z, reference.z, rtol=1e-10, atol=1e-12)
        assert int(state.step_count) == 40


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw_is_the_reference(weight_decay: float) -> None:
    with enable_x64():
        tx = optax.schedule_free_adamw(0.05, b1=0.8, b2=0.95, eps=1e-3, weight_decay=weight_decay)
        reference, direction = ScheduleFree(START, 0.8), RootMeanSquare(0.95, 1e-3)
        params = jnp.asarray(START)
        state = tx.init(params)
        for g in gradients():
            updates, state = tx.update(jnp.asarray(g), state, params)
            params = optax.apply_updates(params, updates)
            reference(-0.05 * (direction(g) + weight_decay * reference.y), 0.05)
            np.testing.assert_allclose(params, reference.y, rtol=1e-9)
            np.testing.assert_allclose(optax.schedule_free_eval_params(state, params), reference.x, rtol=1e-9)


def test_sgd_with_warm_up_and_decay_is_the_reference() -> None:
    with enable_x64():
        tx = optax.schedule_free_sgd(0.1, warmup_steps=4, weight_decay=0.01)
        reference = ScheduleFree(START, 0.9)
        params = jnp.asarray(START)
        state = tx.init(params)
        for t, g in enumerate(gradients(10)):
            updates, state = tx.update(jnp.asarray(g), state, params)
            params = optax.apply_updates(params, updates)
            gamma = 0.1 * min(t / 4, 1)
            reference(-gamma * (g + 0.01 * reference.y), gamma)
            np.testing.assert_allclose(params, reference.y, rtol=1e-9, atol=1e-12)


def test_what_the_original_computes() -> None:
    """Recorded from the original 0.2.8 (whose bias correction is off by 1e-5): gradients 1, 2, 3, 4 from 1 and 2."""
    tx = optax.schedule_free_adamw(0.1)
    params = jnp.asarray([1.0, 2.0])
    state = tx.init(params)
    for g in (1.0, 2.0, 3.0, 4.0):
        updates, state = tx.update(jnp.full(2, g), state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, [0.67817855, 1.6781787], rtol=1e-5)
    np.testing.assert_allclose(state.z, [0.4886998, 1.4886997], rtol=1e-5)
    np.testing.assert_allclose(optax.schedule_free_eval_params(state, params), [0.6992318, 1.699232], rtol=1e-5)


def after(tx: Any, params: Any, number: int, gradient: float = 1.0) -> tuple[Any, Any]:
    """Parameters and state after so many equal gradients."""

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jnp.full_like(params, gradient), state, params)
        return (optax.apply_updates(params, updates), state), None

    carry, _ = jax.lax.scan(step, (params, tx.init(params)), length=number)
    return carry


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_averages_to_the_end(dtype: Any) -> None:
    """Defect D5: bfloat16 sums of ones stall at 256, and the float16 square of a rate of 1e-4 is 0.

    By hand: z falls from 1 by 1e-4 a step (rounded to 16 bits), and x is the mean of its path.
    """
    tx = optax.schedule_free_sgd(1e-4)
    params, state = after(tx, jnp.ones(2, dtype), 1000)
    assert state.weight_sum.dtype == state.x.dtype == state.z.dtype == jnp.float32
    np.testing.assert_allclose(state.weight_sum, 1000 * 1e-8, rtol=1e-4)
    np.testing.assert_allclose(state.z, 0.9, rtol=3e-4)
    np.testing.assert_allclose(state.x, 1 - 1e-4 * 500.5, rtol=3e-4)
    chosen = optax.schedule_free_eval_params(state, params)
    assert chosen.dtype == params.dtype == dtype
    np.testing.assert_allclose(chosen.astype(jnp.float32), 0.94995, atol=2e-3)
    np.testing.assert_allclose(params.astype(jnp.float32), 0.9 * 0.94995 + 0.1 * 0.9, atol=2e-3)
    _, state = after(optax.schedule_free(optax.sgd(1e-4), 1.0), jnp.ones(2, dtype), 1000)
    assert float(state.weight_sum) == 1000


def test_gradients_at_z_keep_x_in_the_state() -> None:
    """Defect D5: with b1 = 0 the parameters are z, and x cannot be computed from them."""
    params, state = after(optax.schedule_free_sgd(0.1, b1=0.0), jnp.ones(2), 3)
    np.testing.assert_allclose(params, 0.7, rtol=1e-6)
    np.testing.assert_allclose(optax.schedule_free_eval_params(state, params), 0.8, rtol=1e-6)


def test_x_is_stored_only_where_it_must_be() -> None:
    params = {"wide": jnp.ones(2), "narrow": jnp.ones(2, jnp.bfloat16), "steps": jnp.int32(1)}
    none = optax.MaskedNode()
    x = optax.schedule_free_sgd().init(params).x
    assert (x["wide"], x["narrow"].dtype, x["steps"]) == (none, jnp.float32, none)
    for b1 in (0, np.float32(0), jnp.float32(0.9)):
        assert optax.schedule_free_sgd(b1=b1).init(params).x["wide"].dtype == jnp.float32
    assert jax.tree.leaves(optax.schedule_free_sgd().init(jnp.ones(2)).x) == []


def test_a_state_of_the_original_goes_on() -> None:
    """It has no x at all."""
    tx = optax.schedule_free_sgd(0.1)
    params, state = after(tx, jnp.ones(2), 3)
    theirs = optax.ScheduleFreeState(*state[:6])
    expected, _ = tx.update(jnp.ones(2), state, params)
    updates, new_state = jax.jit(tx.update)(jnp.ones(2), theirs, params)
    np.testing.assert_allclose(updates, expected, rtol=1e-6)
    assert new_state.x is None


def test_b1_may_change_from_step_to_step() -> None:
    """x is read with the b1 that the parameters were made with."""
    reference, params = ScheduleFree(START, 0.9), jnp.asarray(START, jnp.float32)
    state = optax.schedule_free_sgd(0.1).init(params)
    for b1, g in zip((0.9, 0.5, 0.7), gradients(3), strict=True):
        tx = optax.schedule_free_sgd(0.1, b1=b1)
        updates, state = tx.update(jnp.asarray(g, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
        reference.beta = b1
        reference(-0.1 * g, 0.1)
        np.testing.assert_allclose(params, reference.y, rtol=1e-5, atol=1e-6)


def test_eval_params_are_found_anywhere() -> None:
    """Defect D5."""
    params = {"w": jnp.ones(2), "b": jnp.zeros(2)}
    gradient = jax.tree.map(jnp.ones_like, params)
    sf = optax.schedule_free_sgd(0.1)
    for tx in (
        optax.chain(optax.clip(5.0), sf),
        optax.MultiSteps(sf, 1),
        optax.apply_if_finite(sf, 2),
        optax.partition({"sf": sf, "ema": optax.params_ema(0.5)}, {"w": "sf", "b": "ema"}),
        optax.masked(sf, {"w": True, "b": False}),
    ):
        p, state = params, tx.init(params)
        for _ in range(2):
            updates, state = tx.update(gradient, state, p)
            p = optax.apply_updates(p, updates)
        chosen = optax.schedule_free_eval_params(state, p)
        np.testing.assert_allclose(chosen["w"], 0.85, rtol=1e-6)  # the mean of 0.9 and 0.8
        if isinstance(tx.init(params), optax.MaskedState):
            assert chosen["b"] is p["b"]
    with pytest.raises(ValueError, match="it would take a ScheduleFreeState"):
        optax.schedule_free_eval_params(optax.params_ema(0.5).init(params), params)


def test_no_warm_up_trains() -> None:
    """Defect C6: a warm-up of no steps is over at once."""
    for factory in (optax.schedule_free_adamw, optax.schedule_free_sgd):
        expected, _ = after(factory(0.1), jnp.ones(2), 5)
        params, state = after(factory(0.1, warmup_steps=0), jnp.ones(2), 5)
        np.testing.assert_allclose(params, expected, rtol=1e-6)
        assert np.all(np.asarray(optax.schedule_free_eval_params(state, params)) < 0.9)


def test_steps_of_no_weight_change_nothing() -> None:
    params, state = after(optax.schedule_free_sgd(0.0), jnp.ones(2), 3)
    assert np.all(np.asarray(params) == 1)
    assert np.all(np.asarray(optax.schedule_free_eval_params(state, params)) == 1)


def test_a_negative_learning_rate_ascends() -> None:
    params, state = after(optax.schedule_free_sgd(-0.1), jnp.ones(2), 3)
    np.testing.assert_allclose(optax.schedule_free_eval_params(state, params), 1.2, rtol=1e-6)


def test_the_dtype_of_z_can_be_chosen() -> None:
    state = optax.schedule_free_sgd(state_dtype=jnp.bfloat16).init(jnp.ones(2))
    assert state.z.dtype == jnp.bfloat16


def test_extra_arguments_reach_the_base_optimizer() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, factor: Any, **extra_args: Any) -> Any:
        return jax.tree.map(lambda g: -factor * g, updates), state

    base = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.schedule_free(base, 1.0)
    updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2), factor=3.0)
    np.testing.assert_allclose(updates, -3, rtol=1e-6)


@pytest.mark.parametrize("tx", [optax.schedule_free_adamw(0.3), optax.schedule_free_sgd(0.015)], ids=repr)
def test_it_finds_a_minimum(tx: Any) -> None:
    problem = PROBLEMS["quadratic"]

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(problem.f)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, state), _ = jax.lax.scan(step, (problem.start, tx.init(problem.start)), length=2000)
    assert float(problem.f(optax.schedule_free_eval_params(state, params))) < 1e-3


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optax.schedule_free_sgd(b1=1.5), ValueError, "b1 must be at least 0 and at most 1, not 1.5"),
        (lambda: optax.schedule_free_sgd(b1=-0.5), ValueError, "b1 must be at least 0 and at most 1, not -0.5"),
        (lambda: optax.schedule_free_adamw(b2=1.0), ValueError, "b2 must be at least 0 and below 1, not 1.0"),
        (lambda: optax.schedule_free_adamw(eps=-1.0), ValueError, "eps must be at least 0, not -1.0"),
        (lambda: optax.schedule_free(optax.sgd(0.1), "0.1"), TypeError, "learning_rate must be a real number or"),
        (lambda: optax.schedule_free_sgd(rising, warmup_steps=3), TypeError, "let the schedule warm up itself"),
        (lambda: optax.schedule_free_sgd(warmup_steps=-1), ValueError, "warmup_steps"),
    ],
)
def test_arguments_that_cannot_be_meant(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

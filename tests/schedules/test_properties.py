"""What schedules do between and at their joints, for lengths that hypothesis chooses."""

from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from optax import schedules
from optax.schedules import ScheduleValue
from x64 import enable_x64

UP, DOWN, FLAT = 1, -1, 0

# From the lengths of three phases: the schedule, where its phases begin, and which way its value moves in them.
Phases = tuple[ScheduleValue, list[int], list[int]]
PHASES: dict[str, Callable[[int, int, int], Phases]] = {
    "linear": lambda a, b, c: (schedules.linear_schedule(0.1, 0.7, b, a), [0, a, a + b], [FLAT, UP, FLAT]),
    "polynomial": lambda a, b, c: (schedules.polynomial_schedule(0.7, 0.1, 2, b, a), [0, a, a + b], [FLAT, DOWN, FLAT]),
    "cosine": lambda a, b, c: (schedules.cosine_decay_schedule(0.7, a, 0.1), [0, a], [DOWN, FLAT]),
    "exponential": lambda a, b, c: (schedules.exponential_decay(0.7, b, 0.5, a), [0, a], [FLAT, DOWN]),
    "warmup_cosine": lambda a, b, c: (
        schedules.warmup_cosine_decay_schedule(0.1, 0.7, a, a + b, 0.2),
        [0, a, a + b],
        [UP, DOWN, FLAT],
    ),
    "warmup_exponential": lambda a, b, c: (
        schedules.warmup_exponential_decay_schedule(0.1, 0.7, a, c, 0.5, b),
        [0, a, a + b],
        [UP, FLAT, DOWN],
    ),
    "piecewise_cosine": lambda a, b, c: (
        schedules.piecewise_interpolate_schedule("cosine", 0.1, {a: 3.0, a + b: 0.5}),
        [0, a, a + b],
        [UP, DOWN, FLAT],
    ),
    "linear_onecycle": lambda a, b, c: (
        schedules.linear_onecycle_schedule(
            4 * (a + b + c), 1.0, (a + 0.01 / 4) / (a + b + c), (a + b + 0.01 / 4) / (a + b + c)
        ),
        [0, 4 * a, 4 * (a + b), 4 * (a + b + c)],
        [UP, DOWN, DOWN, FLAT],
    ),
    "warmup_stable_decay": lambda a, b, c: (
        schedules.warmup_stable_decay_schedule(0.1, 0.7, a, a + b + c, c, 0.05),
        [0, a, a + b, a + b + c],
        [UP, FLAT, DOWN, FLAT],
    ),
    "cosine_cycles": lambda a, b, c: (
        schedules.cosine_cycles_schedule(0.1, 0.7, a, a + b, 2, 0.1, peak_decay=0.5),
        [0, a, a + b, 2 * a + b, 2 * (a + b)],
        [UP, DOWN, UP, DOWN, FLAT],
    ),
    "cyclic": lambda a, b, c: (
        schedules.cyclic_schedule(0.1, 0.7, a, b, cycle_decay=0.5),
        [0, a, a + b, 2 * a + b],
        [UP, DOWN, UP, DOWN],
    ),
    "rex": lambda a, b, c: (schedules.rex_schedule(0.7, a, 0.1), [0, a], [DOWN, FLAT]),
    "warmup": lambda a, b, c: (
        schedules.warmup(schedules.inverse_sqrt_schedule(0.7, b), a, 0.1),
        [0, a],
        [UP, DOWN],
    ),
    "cooldown": lambda a, b, c: (
        schedules.cooldown(schedules.linear_schedule(0.1, 0.7, a), a + b, c),
        [0, a, a + b, a + b + c],
        [UP, FLAT, DOWN, FLAT],
    ),
    "clip": lambda a, b, c: (
        schedules.clip_schedule(schedules.linear_schedule(0.0, 1.0, 4 * a), 0.25, 0.75),
        [0, a, 3 * a],
        [FLAT, UP, FLAT],
    ),
}


@pytest.mark.parametrize("name", PHASES)
@hypothesis.settings(max_examples=8)
@hypothesis.given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_phases_are_monotone_and_joined_without_a_jump(name: str, a: int, b: int, c: int) -> None:
    with enable_x64():
        s, begins, directions = PHASES[name](a, b, c)
        ends = [*begins[1:], begins[-1] + 20]
        inside = np.stack([np.linspace(begin, end, 9) for begin, end in zip(begins, ends, strict=True)])
        if name == "cyclic":
            inside[-1] = np.linspace(begins[-1], begins[-1] + b - 1e-6, 9)
        before = np.array(begins[1:]) - 1e-10
        values = np.asarray(jax.jit(s)(np.concatenate([inside.ravel(), before])))
    steps = np.diff(values[: inside.size].reshape(inside.shape))
    for row, direction in zip(steps, directions, strict=True):
        assert (np.sign(row) == direction).all() if direction else np.allclose(row, 0, 0, 1e-12)
    np.testing.assert_allclose(values[inside.size :], values[: inside.size].reshape(inside.shape)[1:, 0], 0, 2e-5)


JUMPS: dict[str, Callable[[], Any]] = {
    "stairs": lambda: schedules.exponential_decay(1.0, 5, 0.5, staircase=True),
    "step": lambda: schedules.step_schedule(1.0, 5, 0.5),
    "multi_step": lambda: schedules.multi_step_schedule(1.0, [5], 0.5),
    "piecewise_constant": lambda: schedules.piecewise_constant_schedule(1.0, {5: 0.5}),
    "inverse_time": lambda: schedules.inverse_time_schedule(1.0, 5, 1.0, staircase=True),
    "restarts": lambda: schedules.cosine_cycles_schedule(0.0, 0.5, 0, 5, 2) + 0.5,
    "join": lambda: schedules.join_schedules([lambda t: 1.0, lambda t: 0.5], [5]),
}


@pytest.mark.parametrize("make", JUMPS.values(), ids=JUMPS)
def test_declared_jumps_are_made_at_their_step(make: Callable[[], Any]) -> None:
    s = make()
    assert abs(s(5) - s(4)) > 0.4
    assert abs(s(5) - s(4.999)) > 0.4
    assert abs(s(6) - s(5)) < 0.1

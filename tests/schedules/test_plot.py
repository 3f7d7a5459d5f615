import functools
import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest

from optax.schedules import (
    ScheduleValue,
    constant_schedule,
    exponential_decay,
    join_schedules,
    linear_schedule,
    plot,
    warmup_cosine_decay_schedule,
)

matplotlib.use("agg")
from matplotlib import pyplot  # after the backend is chosen

UP = linear_schedule(0.0, 1.0, 4)


@pytest.fixture(autouse=True)
def no_figures() -> Iterator[None]:
    pyplot.close("all")
    yield
    pyplot.close("all")


def drawn(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.get_lines()}


def legend(axes: Any) -> list[str] | None:
    return None if axes.get_legend() is None else [text.get_text() for text in axes.get_legend().get_texts()]


def test_one_schedule() -> None:
    axes = plot(UP, 6)
    assert isinstance(axes, matplotlib.axes.Axes)
    assert drawn(axes) == {"linear_schedule(0.0, 1.0, 4)": ([0, 1, 2, 3, 4, 5, 6], [0, 0.25, 0.5, 0.75, 1, 1, 1])}
    assert (axes.get_xlabel(), axes.get_ylabel(), legend(axes)) == ("step", "value", None)


def test_a_new_figure_is_the_current_one_of_pyplot() -> None:
    first, second = plot(UP, 6), plot(UP, 6)
    assert first.figure is not second.figure
    assert (pyplot.gca(), len(pyplot.get_fignums())) == (second, 2)


def test_names() -> None:
    def _private(t: int) -> float:
        return 2.0

    long = join_schedules([linear_schedule(0.0, 1.0, 4)] * 9, range(8))
    axes = plot([UP, abs, _private, functools.partial(pow, exp=2), UP, long], 3)
    names = legend(axes)
    assert names is not None
    assert [names[i] for i in (0, 1, 4)] == [
        "linear_schedule(0.0, 1.0, 4) [0]",
        "abs",
        "linear_schedule(0.0, 1.0, 4) [4]",
    ]
    assert names[2].strip() == "_private"
    assert names[3] == "functools.partial(<built-in function pow>, exp=2)"[:47] + "…"
    assert names[4] == "linear_schedule(0.0, 1.0, 4) [4]"
    assert names[5] == "join_schedules([linear_schedule(0.0, 1.0, 4), linear_schedule("[:47] + "…"


def test_a_dict_names_even_a_single_one() -> None:
    axes = plot({"η": UP}, 3)
    assert legend(axes) == ["η"] == list(drawn(axes))
    assert legend(plot({1: UP, "2": UP}, 3)) == ["1", "2"]  # type: ignore[dict-item]


def test_axes_of_the_caller_are_drawn_on() -> None:
    _, (axes, other) = pyplot.subplots(1, 2)
    axes.set_ylabel("learning rate")
    assert plot([UP, abs], 3, ax=axes) is axes
    assert plot(constant_schedule(1.0), 3, ax=axes) is axes
    assert (len(axes.get_lines()), len(other.get_lines()), len(pyplot.get_fignums())) == (3, 0, 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "learning rate")


def test_jumps_are_upright() -> None:
    counts, values = drawn(plot(exponential_decay(1.0, 3, 0.5, staircase=True), 8)).popitem()[1]
    assert counts == [0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8]
    assert values == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("steps", [2, 40])
def test_slopes_and_kinks_are_no_jumps(steps: int) -> None:
    s = warmup_cosine_decay_schedule(0.0, 1.0, 2, 30)
    counts, _ = drawn(plot(s, steps)).popitem()[1]
    assert counts == [*range(steps + 1)]


def test_between_counts_that_are_not_neighbours_nothing_is_upright() -> None:
    counts, values = drawn(plot(lambda t: float(t >= 20), [0, 10, 20, 30])).popitem()[1]
    assert (counts, values) == ([0, 10, 20, 30], [0, 0, 1, 1])


def test_values_that_are_not_finite_leave_gaps() -> None:
    broken = {1: math.nan, 2: math.inf, 3: -math.inf, 4: math.inf}
    axes = plot([lambda t: broken.get(t, 0.5), lambda t: math.nan], 6)
    axes.figure.canvas.draw()
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [0.5, *broken.values(), 0.5, 0.5])
    low, high = axes.get_ylim()
    assert low < 0.5 < high < 1


@pytest.mark.parametrize("last", [2000, 123_456, 2**31 - 1, 2**40])
def test_long_ranges_are_sampled(last: int) -> None:
    counts, values = drawn(plot(lambda t: t % 3, last)).popitem()[1]
    assert len({*counts}) == len(counts) == 2000
    assert (counts[0], counts[-1]) == (0, last)
    assert max(np.diff(counts)) - min(np.diff(counts)) <= 1
    assert values == [t % 3 for t in counts]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (np.int64(2), [0, 1, 2]),
        (jnp.int32(2), [0, 1, 2]),
        (range(2, 8, 3), [2, 5]),
        (range(3, 0, -1), [1, 2, 3]),
        (np.array([4, 0, 4], np.uint8), [0, 4]),
        (jnp.array([0.5, 2.0]), [0.5, 2]),
        ([7], [7]),
    ],
)
def test_counts(steps: Any, expected: list[float]) -> None:
    shown = drawn(plot([linear_schedule(0.0, 8.0, 8), float], steps))
    assert [*shown.values()] == [(expected, expected)] * 2


def test_a_long_range_of_counts_is_sampled_too() -> None:
    counts, _ = drawn(plot(float, range(10, 10**9, 7))).popitem()[1]
    assert (len(counts), counts[0], counts[-1]) == (2000, 10, range(10, 10**9, 7)[-1])


def table(t: Any) -> Any:
    return [0.0, 2.0, 4.0, 6.0][t]


@pytest.mark.parametrize(
    "schedule",
    [
        table,
        lambda t: 0 if t == 0 else 2 * t,
        lambda t: np.float32(2 * t),
        lambda t: jnp.asarray(2 * t, jnp.bfloat16),
        lambda t: t.astype(float) * 2,  # fits what training passes, but no integer of Python's
        ScheduleValue(lambda t: 2 * t),
        join_schedules([lambda t: 0 if t == 0 else 2 * t], []),  # cannot be traced
        join_schedules([lambda t: jnp.sum(2 * t)], []),  # would add the counts of an array
    ],
)
def test_any_function_of_a_count_will_do(schedule: Callable[[Any], Any]) -> None:
    assert drawn(plot(schedule, 3)).popitem()[1] == ([0, 1, 2, 3], [0, 2, 4, 6])


@pytest.mark.parametrize(
    ("schedule", "steps", "error", "message"),
    [
        (0.1, 3, TypeError, "schedule must be a function of the count, or a sequence or dict of them, not 0.1"),
        ("cosine", 3, TypeError, "schedule must be a function of the count, .*not 'cosine'"),
        ([abs, 0.1], 3, TypeError, r"^schedule\[1\] must be a function of the count, not 0.1"),
        ({"a": None}, 3, TypeError, r"^schedule\['a'\] must be a function of the count, not None"),
        ([], 3, ValueError, r"^schedule must not be empty, not \[\]"),
        ({}, 3, ValueError, r"^schedule must not be empty, not {}"),
        (abs, 0, ValueError, "^steps must be at least 1, not 0"),
        (abs, -3, ValueError, "^steps must be at least 1, not -3"),
        (abs, 1e3, TypeError, "^steps must be an integer or an array of counts, not 1000.0"),
        (abs, True, TypeError, "^steps must be an integer or an array of counts, not True"),
        (abs, None, TypeError, "^steps must be an integer or an array of counts, not None"),
        (abs, "10", TypeError, "^steps must be an integer or an array of counts, not '10'"),
        (abs, ["10"], TypeError, r"^steps must be an integer or an array of counts, not \['10'\]"),
        (abs, [], ValueError, r"^steps must be an integer or counts along one axis, not of shape \(0,\)"),
        (abs, np.ones((2, 2)), ValueError, r"^steps must be .* not of shape \(2, 2\)"),
        (abs, [3, -1], ValueError, "^steps must be counts of 0 and more, not -1"),
        (abs, [0, math.nan], ValueError, "^steps must be counts of 0 and more, not nan"),
        (lambda t: "0.1", 3, TypeError, "^schedule must return a real scalar, at count 0 it is '0.1'"),
        (lambda t: None if t == 2 else t, 3, TypeError, "^schedule must return a real scalar, at count 2 it is None"),
        ([abs, lambda t: 1j], 3, TypeError, r"^schedule\[1\] must return a real scalar, at count 0 it is 1j"),
        ({"a": lambda t: np.ones(1)}, 3, TypeError, r"^schedule\['a'\] must .* at count 0 it is .* of shape \(1,\)"),
        (constant_schedule(np.ones(4)), 3, TypeError, r"^schedule must return .* at count 0 it is .* of shape \(4,\)"),
        (lambda t: 1 / (t - 2), 3, ZeroDivisionError, "division"),
    ],
)
def test_mistakes_leave_no_figure(schedule: Any, steps: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plot(schedule, steps)
    assert pyplot.get_fignums() == []


def test_something_else_than_axes() -> None:
    with pytest.raises(TypeError, match="ax must be the axes of matplotlib or None, not <module"):
        plot(UP, 3, ax=pyplot)


@pytest.mark.parametrize("missing", ["matplotlib", "matplotlib.pyplot"])
def test_without_matplotlib(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.split(".")[0] == "matplotlib":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)  # as if it were not installed
    with pytest.raises(ImportError, match=r'^plot needs matplotlib: pip install "optax-schedules\[plot\]"$'):
        plot(UP, 3)

import io
import math
from typing import Any

import pytest

from optax.schedules import constant_schedule, linear_schedule, preview, warmup_cosine_decay_schedule


def lines(*args: Any, **kwargs: Any) -> list[str]:
    file = io.StringIO()
    preview(*args, file=file, **kwargs)
    return file.getvalue().splitlines()


def test_the_table() -> None:
    schedules = {"up": linear_schedule(0.0, 0.7, 7), "down": lambda t: 1234567 - t, "none": constant_schedule(3e-5)}
    assert lines(schedules, 15, width=16) == [
        "      0             15     first       min       max      last",
        "up    ▁▂▃▄▅▆▇█████████         0         0       0.7       0.7",
        "down  ██▇▇▆▆▅▅▄▄▃▃▂▂▁▁  1.23e+06  1.23e+06  1.23e+06  1.23e+06",
        "none  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁     3e-05     3e-05     3e-05     3e-05",
    ]


def test_it_goes_to_the_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert preview(linear_schedule(0.0, 1.0, 4), 3) is None  # type: ignore[func-returns-value]
    assert capsys.readouterr().out.splitlines()[1].startswith("linear_schedule(0.0, 1.0, 4)  ▁▁▁")


@pytest.mark.parametrize("width", [1, 7, 60])
@pytest.mark.parametrize("steps", [1, 9, 100, 10**6])
def test_the_width(width: int, steps: int) -> None:
    header, row = lines({"a": warmup_cosine_decay_schedule(0.1, 1.0, 3, 100)}, steps, width=width)
    assert len(row.split()[1]) == width
    assert len(header) == len(row)
    assert header.split()[:2] == ["0", str(steps)]


def test_a_column_is_the_mean_of_its_counts() -> None:
    _, row = lines({"a": [0.0, 0.0, 1.0, 0.0, 1.0, 1.0].__getitem__}, 5, width=3)
    assert row.split()[1] == "▁▅█"


def test_few_counts_are_wide() -> None:
    _, row = lines({"a": [0.0, 1.0, 0.5].__getitem__}, 2, width=6)
    assert row.split()[1] == "▁▁██▅▅"


def test_values_that_are_not_finite_are_seen() -> None:
    values = [0.0, math.inf, 1.0, math.nan, -math.inf, 2.0]
    _, row, none = lines({"a": values.__getitem__, "b": lambda t: math.nan}, 5, width=6)
    assert row.split() == ["a", "▁^▅?v█", "0", "nan", "nan", "2"]
    assert none.split() == ["b", "??????", *["nan"] * 4]
    _, row = lines({"a": values[:3].__getitem__}, 2, width=3)
    assert row.split() == ["a", "▁^█", "0", "0", "inf", "1"]


def test_the_rounding_of_float32_is_no_shape() -> None:
    _, row = lines({"a": [0.1, 0.1 + 7e-9, 0.1].__getitem__}, 2, width=3)
    assert row.split()[1] == "▁▁▁"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_streams_that_cannot_take_the_blocks_get_ascii(encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    long = warmup_cosine_decay_schedule(0.0, 1.0, 1000, 100_000, 0.1, 0.123456789)
    preview({"é": linear_schedule(0.0, 1.0, 7)}, 7, width=8, file=file)
    preview(long, 7, width=8, file=file)
    file.flush()
    _, row, _, other = raw.getvalue().decode(encoding).splitlines()
    assert (
        row.split()[:2]
        == {
            "ascii": ["\\xe9", "_.:-=+*#"],
            "latin-1": ["é", "_.:-=+*#"],
            "utf-8": ["é", "▁▂▃▄▅▆▇█"],
        }[encoding]
    )
    dots = "…" if encoding == "utf-8" else "..."
    assert other.split("  ")[0] == str(long).removeprefix("optax.schedules.")[:47] + dots


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"schedule": [0.1]}, TypeError, r"^schedule\[0\] must be a function of the count, not 0.1"),
        ({"schedule": ()}, ValueError, r"^schedule must not be empty, not \(\)"),
        ({"steps": 0}, ValueError, "^steps must be at least 1, not 0"),
        ({"width": 0}, ValueError, "^width must be at least 1, not 0"),
        ({"width": 1.5}, TypeError, "^width must be an integer, not 1.5"),
    ],
)
def test_mistakes(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        preview(**{"schedule": abs, "steps": 3} | arguments)

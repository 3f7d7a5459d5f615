"""Schedules in a terminal."""

import sys
from typing import TextIO

import numpy as np

from optax.core import check_integer
from optax.schedules._samples import Array, Floats, Schedules, Steps, sampled

__all__ = ["preview"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.:-=+*#"


def preview(schedule: Schedules, steps: Steps, *, width: int = 60, file: TextIO | None = None) -> None:
    """Print one or several schedules as a table: a line of blocks for the shape, and the numbers that it runs between.

    The blocks are the means of the values along the counts. Each row has a scale of its own, from its smallest value
    to its largest, both of which are printed. A count whose value is not finite shows as "?" (NaN), "^" (infinity)
    or "v" (minus infinity).

    Args:
      schedule: a schedule or any other function of a count; or a sequence of them; or a dict of them by the names
        to print.
      steps: the last count to show, >= 1, of those from 0 on; or the counts themselves, as an array or a range. Of
        an integer or a range, no more than 2000 counts are looked at, at equal distances.
      width: how many blocks make a row, >= 1.
      file: the stream to print to; None for the standard output. One that cannot take the blocks gets ASCII.

    Raises:
      TypeError: an argument is of another kind, or a schedule returns what is no real scalar.
      ValueError: there are no schedules, or no counts, or a count or `width` is too small.

    >>> from optax.schedules import linear_schedule
    >>> preview({"warm-up": linear_schedule(0.0, 0.1, 50)}, 100, width=16)
             0            100  first  min  max  last
    warm-up  ▁▂▃▄▅▆▇█████████      0    0  0.1   0.1
    """
    width = check_integer("width", width, least=1)
    counts, rows = sampled(schedule, steps)
    text = _table(counts, rows, width, _BLOCKS)
    encoding = getattr(sys.stdout if file is None else file, "encoding", None) or "utf-8"
    try:
        _BLOCKS.encode(encoding)
    except UnicodeEncodeError:
        text = _table(counts, rows, width, _ASCII).replace("…", "...")
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file)


def _table(counts: Array, rows: dict[str, Floats], width: int, levels: str) -> str:
    first, last = (f"{count:.10g}" for count in (counts[0], counts[-1]))
    cells = [["", f"{first}{last:>{max(width - len(first), len(last) + 1)}}", "first", "min", "max", "last"]]
    for name, values in rows.items():
        numbers = values[0], values.min(), values.max(), values[-1]
        cells.append([name, _blocks(values, width, levels), *(f"{x:.3g}" for x in numbers)])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{'<' if i < 2 else '>'}{widths[i]}}" for i, cell in enumerate(row)) for row in cells
    )


def _blocks(values: Floats, width: int, levels: str) -> str:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    flat = high - low <= 1e-6 * max(abs(low), abs(high))  # no more than the rounding of float32
    edges = np.arange(width + 1) * len(values) // width
    shown = []
    for begin, end in zip(edges, np.maximum(edges[1:], edges[:-1] + 1), strict=False):
        part = values[begin:end]
        if np.isfinite(part).all():
            level = 0 if flat else int((part.mean() - low) / (high - low) * len(levels))
            shown.append(levels[min(level, len(levels) - 1)])
        else:
            shown.append("?" if np.isnan(part).any() else "^" if np.inf in part else "v")
    return "".join(shown)

"""Schedules in a picture."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from optax.schedules._samples import Array, Floats, Schedules, Steps, sampled

if TYPE_CHECKING:
    import matplotlib.axes

__all__ = ["plot"]


def plot(schedule: Schedules, steps: Steps, *, ax: "matplotlib.axes.Axes | None" = None) -> "matplotlib.axes.Axes":
    """Draw one or several schedules with matplotlib (`pip install "optax-schedules[plot]"`).

    A jump from one count to the next is drawn upright. Values that are not finite leave gaps.

    Args:
      schedule: a schedule or any other function of a count; or a sequence of them; or a dict of them by the names
        for the legend.
      steps: the last count to draw, >= 1, of those from 0 on; or the counts themselves, as an array or a range. Of
        an integer or a range, no more than 2000 counts are drawn, at equal distances.
      ax: the axes to draw on; its labels stay, if it has any. None for a new figure of `matplotlib.pyplot`: notebooks
        display it, `matplotlib.pyplot.show()` shows it, and it stays open until `matplotlib.pyplot.close()`.

    Returns:
      The axes. Its `figure` can be saved: `plot(schedule, 1000).figure.savefig("schedule.png")`.

    Raises:
      ImportError: matplotlib is not installed.
      TypeError: an argument is of another kind, or a schedule returns what is no real scalar.
      ValueError: there are no schedules, or no counts, or a count is negative.
    """
    axes_type, pyplot = _matplotlib()
    if ax is not None and not isinstance(ax, axes_type):
        raise TypeError(f"ax must be the axes of matplotlib or None, not {ax!r}")
    counts, lines = sampled(schedule, steps)  # before there is a figure, which an error would leave open
    if ax is None:
        _, ax = pyplot.subplots(layout="constrained")
        ax.locator_params(axis="x", integer=True)
        ax.margins(x=0.01)
        ax.grid(alpha=0.3)
    for name, values in lines.items():
        label = f" {name}" if name.startswith("_") else name  # legends leave out what begins with an underscore
        ax.plot(*_upright(counts, values), label=label)
    ax.set_xlabel(ax.get_xlabel() or "step")
    ax.set_ylabel(ax.get_ylabel() or "value")
    if len(lines) > 1 or isinstance(schedule, Mapping):
        ax.legend(loc="best", fontsize="small")
    return ax


def _matplotlib() -> tuple[Any, Any]:
    try:
        from matplotlib import pyplot
        from matplotlib.axes import Axes
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ImportError('plot needs matplotlib: pip install "optax-schedules[plot]"') from error
    return Axes, pyplot


def _upright(counts: Array, values: Floats) -> tuple[Array, Floats]:
    """The same points and, before each jump, one more: the old value at the new count.

    A jump is a change in one step of more than 4 times those in the steps before and after.
    """
    if counts.size < 3:
        return counts, values
    with np.errstate(invalid="ignore"):
        change = np.abs(np.diff(values))
    before, after = np.append(0, change[:-1]), np.append(change[1:], 0)
    jumps = 1 + np.flatnonzero((change > 4 * np.maximum(before, after)) & (np.diff(counts) == 1))
    return np.insert(counts, jumps, counts[jumps]), np.insert(values, jumps, values[jumps - 1])

"""What `plot` and `preview` show: names, counts and values of one or several schedules."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Schedule
from optax.schedules._numbers import is_real
from optax.schedules._value import ScheduleValue

__all__ = ["Array", "Floats", "Schedules", "Steps", "named", "sampled"]

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Schedules: TypeAlias = Schedule | Sequence[Schedule] | Mapping[str, Schedule]
Steps: TypeAlias = int | Sequence[int] | Array | jax.Array

_SAMPLES = 2000  # more than a picture has columns
_LONGEST = 48  # letters of a name


def sampled(schedule: Schedules, steps: Steps) -> tuple[Array, dict[str, Floats]]:
    """The counts to look at, in ascending order, and the values there of each schedule, by its name.

    Raises:
      TypeError: an argument is of another kind, or a schedule returns what is no real scalar.
      ValueError: there are no schedules, or no counts.
    """
    counts = _counts(steps)
    named_ones = named(schedule)
    return counts, {name: _values(where, one, counts) for name, (where, one) in named_ones.items()}


def named(schedule: Schedules) -> dict[str, tuple[str, Schedule]]:
    """The schedules by different names, each with what to call it in a message."""
    if callable(schedule):
        found = [("schedule", _name(schedule), schedule)]
    elif isinstance(schedule, Mapping):
        found = [(f"schedule[{key!r}]", str(key), one) for key, one in schedule.items()]
    elif isinstance(schedule, Sequence) and not isinstance(schedule, str | bytes):
        found = [(f"schedule[{i}]", _name(one), one) for i, one in enumerate(schedule)]
    else:
        raise TypeError(f"schedule must be a function of the count, or a sequence or dict of them, not {schedule!r}")
    if not found:
        raise ValueError(f"schedule must not be empty, not {schedule!r}")
    named_ones: dict[str, tuple[str, Schedule]] = {}
    names = [name for _, name, _ in found]
    for i, (where, name, one) in enumerate(found):
        if not callable(one):
            raise TypeError(f"{where} must be a function of the count, not {one!r}")
        named_ones[name if names.count(name) == 1 else f"{name} [{i}]"] = (where, one)
    return named_ones


def _name(schedule: Any) -> str:
    """The call that made a schedule, or the name of a function, in one short line."""
    if isinstance(schedule, ScheduleValue) or not hasattr(schedule, "__name__"):
        name = " ".join(repr(schedule).replace("optax.schedules.", "").split())
    else:
        name = str(schedule.__name__)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _counts(steps: Any) -> Array:
    if not isinstance(steps, range) and np.ndim(steps) == 0:
        try:
            last = operator.index(steps)
        except TypeError:
            last = None
        if last is None or isinstance(steps, bool):
            raise TypeError(f"steps must be an integer or an array of counts, not {steps!r}")
        if last < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        steps = range(last + 1)
    if isinstance(steps, range) and len(steps) > _SAMPLES:
        # in integers: of large ones, floats would lose digits
        steps = [steps[i * (len(steps) - 1) // (_SAMPLES - 1)] for i in range(_SAMPLES)]
    counts = np.asarray(steps)
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"steps must be an integer or counts along one axis, not of shape {counts.shape}")
    if not is_real(counts.dtype) or counts.dtype == bool:
        raise TypeError(f"steps must be an integer or an array of counts, not {steps!r}")
    if wrong := [count for count in counts.tolist() if not 0 <= count < np.inf]:
        raise ValueError(f"steps must be counts of 0 and more, not {wrong[0]}")
    wide = np.int64 if jnp.issubdtype(counts.dtype, np.integer) else np.float64
    return np.unique(counts.astype(wide))


def _values(where: str, schedule: Schedule, counts: Array) -> Floats:
    if isinstance(schedule, ScheduleValue):
        representable = jnp.asarray(np.minimum(counts, np.iinfo(np.int32).max))
        try:
            values = np.asarray(jax.jit(jax.vmap(schedule))(representable))
        except Exception:  # a function inside may not be fit for tracing; if it is worse, that shows below
            pass
        else:
            return _real_scalars(where, [*values], counts)
    try:
        found = [schedule(count) for count in counts.tolist()]
    except (AttributeError, TypeError):  # it may want what it gets in training
        found = [schedule(count) for count in jnp.asarray(counts)]
    return _real_scalars(where, found, counts)


def _real_scalars(where: str, values: Sequence[Any], counts: Array) -> Floats:
    floats = []
    for count, value in zip(counts.tolist(), values, strict=True):
        array = np.asarray(value)
        if array.ndim or not is_real(array.dtype):
            shape = f" of shape {array.shape}" if array.ndim else ""
            raise TypeError(f"{where} must return a real scalar, at count {count} it is {value!r}{shape}")
        floats.append(float(array))
    return np.asarray(floats)

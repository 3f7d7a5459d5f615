"""Hyperparameters are checked once, where the transformation is made."""

import math
import numbers
import operator
from typing import Any

import jax
import numpy as np

__all__ = ["check_dtype", "check_hyperparameter", "check_integer"]


def check_hyperparameter(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    schedule: bool = False,
    array: bool = False,
) -> None:
    """Reject a hyperparameter that cannot be meant.

    Args:
      name: the argument's name, for the message.
      value: a real number, or a real scalar array. A traced array passes unseen, so that hyperparameters can be
        swept over and differentiated.
      least: the smallest value that makes sense.
      above: a bound that it must stay over.
      most: the largest value that makes sense.
      below: a bound that it must stay under.
      schedule: whether a function of the step count will do too.
      array: whether an array of any shape will do too; all of its elements have to be within the bounds.

    Raises:
      TypeError: `value` is of another kind.
      ValueError: `value` is NaN, or outside the bounds.
    """
    if isinstance(value, jax.core.Tracer) or (schedule and callable(value)):
        return
    if not _is_real(value, array):
        wanted = "a real number or a schedule (a function of the step count)" if schedule else "a real number"
        shape = f" of shape {value.shape}" if getattr(value, "shape", ()) else ""
        raise TypeError(f"{name} must be {wanted}, not {value!r}{shape}")
    number = _as_floats(value)
    inside = (number >= least) & (number <= most)  # NaN is neither
    inside &= ((number > above) | (above == -math.inf)) & ((number < below) | (below == math.inf))
    if not np.all(inside):
        rules = {"at least": least, "above": above, "at most": most, "below": below}
        bounds = [f"{rule} {bound}" for rule, bound in rules.items() if not math.isinf(bound)]
        raise ValueError(f"{name} must be {' and '.join(bounds) or 'a number'}, not {value}")


def check_integer(name: str, value: Any, *, least: int) -> Any:
    """Reject a count or a period that cannot be meant.

    Args:
      name: the argument's name, for the message.
      value: an integer of any kind.
      least: the smallest value that makes sense.

    Returns:
      `value` as a Python integer, at most 2**31 - 1: no int32 counter gets further. A traced value as it is.

    Raises:
      TypeError: `value` is not an integer.
      ValueError: it is below `least`.
    """
    if isinstance(value, jax.core.Tracer):
        return value
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {value}")
    return min(number, 2**31 - 1)


def check_dtype(name: str, dtype: Any) -> None:
    """Reject a dtype that no average can be kept in.

    Args:
      name: the argument's name, for the message.
      dtype: a dtype, or None for the default one.

    Raises:
      TypeError: `dtype` is neither floating nor complex, or no dtype at all.
    """
    try:
        known = dtype is None or jax.numpy.issubdtype(np.dtype(dtype), np.inexact)
    except TypeError:
        known = False
    if not known:
        raise TypeError(f"{name} must be a floating dtype, not {dtype!r}")


def _as_floats(value: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return np.asarray(value).astype(np.float64)
    except OverflowError:  # an integer of hundreds of digits
        return np.asarray(math.inf if value > 0 else -math.inf)


def _is_real(value: Any, array: bool) -> bool:
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        scalar = value.ndim == 0 or array
        return scalar and bool(jax.numpy.issubdtype(value.dtype, np.number)) and not np.iscomplexobj(value)
    return isinstance(value, numbers.Real) and not isinstance(value, bool)

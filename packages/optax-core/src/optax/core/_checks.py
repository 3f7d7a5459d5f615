"""Hyperparameters are checked once, where the transformation is made."""

import math
import numbers
from typing import Any

import jax
import numpy as np

__all__ = ["check_hyperparameter"]


def check_hyperparameter(
    name: str,
    value: Any,
    *,
    least: float = -math.inf,
    below: float = math.inf,
    schedule: bool = False,
) -> None:
    """Reject a hyperparameter that cannot be meant.

    Args:
      name: the argument's name, for the message.
      value: a real number, or a real scalar array. A traced array passes unseen, so that hyperparameters can be
        swept over and differentiated.
      least: the smallest value that makes sense.
      below: the bound that it must stay under.
      schedule: whether a function of the step count will do too.

    Raises:
      TypeError: `value` is of another kind.
      ValueError: `value` is NaN, below `least`, or not under `below`.
    """
    if isinstance(value, jax.core.Tracer) or (schedule and callable(value)):
        return
    if not _is_real_scalar(value):
        wanted = "a real number or a schedule (a function of the step count)" if schedule else "a real number"
        shape = f" of shape {value.shape}" if getattr(value, "shape", ()) else ""
        raise TypeError(f"{name} must be {wanted}, not {value!r}{shape}")
    number = _as_float(value)
    if not least <= number < below and not (number == below == math.inf):
        bounds = [f"at least {least}"] * (least > -math.inf) + [f"below {below}"] * (below < math.inf)
        raise ValueError(f"{name} must be {' and '.join(bounds) or 'a number'}, not {value}")


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.inf if value > 0 else -math.inf


def _is_real_scalar(value: Any) -> bool:
    if isinstance(value, (jax.Array, np.ndarray, np.generic)):
        return value.ndim == 0 and bool(jax.numpy.issubdtype(value.dtype, np.number)) and not np.iscomplexobj(value)
    return isinstance(value, numbers.Real) and not isinstance(value, bool)

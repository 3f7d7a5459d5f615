"""Names that existing code takes from private modules, and that no public name replaces."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from optax.core import Array, Numeric, tree
from optax.optimizers import scale_by_factored_rms

__all__ = [
    "PRNGKey",
    "ScheduleState",
    "Shape",
    "_UpdateResult",
    "_decay_rate_pow",
    "_factored_dims",
    "canonicalize_dtype",
]

PRNGKey = Array
ScheduleState = Any
Shape = Sequence[int]


@dataclasses.dataclass
class _UpdateResult:
    """The update of one array and its second moments. No pytree: `jax.tree.map` may return it for a leaf.

    Attributes:
      update: array of the shape of the gradient.
      v_row: its second moments, without the longest axis.
      v_col: its second moments, without the second longest axis.
      v: its second moments, if it is not factored.
    """

    update: Numeric
    v_row: Numeric
    v_col: Numeric
    v: Numeric


_decay_rate_pow = inspect.signature(scale_by_factored_rms).parameters["decay_rate_fn"].default


def _factored_dims(shape: Sequence[int], factored: bool, min_dim_size_to_factor: int) -> tuple[int, int] | None:
    """The axes that `scale_by_factored_rms` factors.

    Args:
      shape: shape of an array.
      factored: whether to factor at all.
      min_dim_size_to_factor: least length of both axes.

    Returns:
      The second longest axis and the longest, of equal ones the last; None if the array is not factored.
    """
    if not factored or len(shape) < 2:
        return None
    second, longest = sorted(range(len(shape)), key=lambda axis: shape[axis])[-2:]
    return (second, longest) if shape[second] >= min_dim_size_to_factor else None


def canonicalize_dtype(dtype: Any) -> Any:
    """The dtype that JAX uses for a dtype as things are set (float32 for float64 without x64); None stays None."""
    return None if dtype is None else tree.dtype(tree.cast(0, dtype))

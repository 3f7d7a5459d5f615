"""Names that older code and older documents use: they work, but whoever asks `optax` for one is warned, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    PyTree,
    ScalarOrSchedule,
    chain,
)
from optax.core.tree import add_scale, norm
from optax.core.tree import scale as scale_tree

if TYPE_CHECKING:  # the parts are imported by what needs them: `optax.tree_utils` needs none
    from optax.estimators import ControlVariate
    from optax.schedules import ScheduleValue

__all__ = ["additive_weight_decay", "delta", "piecewise_linear_schedule", "scale_and_decay"]  # those of `optax` itself


def additive_weight_decay(weight_decay: ScalarOrSchedule = 0.0, mask: MaskOrFn = None) -> GradientTransformation:
    """Older name of `optax.add_decayed_weights`."""
    from optax.transforms import add_decayed_weights

    return add_decayed_weights(weight_decay, mask)


def delta(function: Callable[[Any], Any]) -> ControlVariate:
    """Older name of `optax.control_delta_method`."""
    from optax.estimators import control_delta_method

    return control_delta_method(function)


def piecewise_linear_schedule(
    init_value: Numeric, boundaries_and_scales: Mapping[int, Numeric] | None = None
) -> ScheduleValue:
    """Older name of `optax.piecewise_interpolate_schedule("linear", ...)`."""
    from optax.schedules import piecewise_interpolate_schedule

    return piecewise_interpolate_schedule("linear", init_value, boundaries_and_scales)


def scale_and_decay(step_size: Numeric, weight_decay: ScalarOrSchedule = 0.0) -> GradientTransformationExtraArgs:
    """Add decayed weights, then scale: u = step_size * (g + weight_decay * p).

    Args:
      step_size: the factor, a scalar; negative to descend.
      weight_decay: scalar or schedule.

    Returns:
      The two, chained.
    """
    from optax.transforms import add_decayed_weights, scale

    return chain(add_decayed_weights(weight_decay), scale(step_size))


tree_add_scalar_mul = add_scale
tree_scalar_mul = scale_tree


def tree_l1_norm(tree: PyTree, squared: bool = False) -> Any:
    """Older spelling of `optax.tree.norm(tree, ord=1)`."""
    return norm(tree, 1, squared)


def tree_l2_norm(tree: PyTree, squared: bool = False) -> Any:
    """Older spelling of `optax.tree.norm(tree)`."""
    return norm(tree, 2, squared)


def tree_linf_norm(tree: PyTree, squared: bool = False) -> Any:
    """Older spelling of `optax.tree.norm(tree, ord="inf")`."""
    return norm(tree, "inf", squared)

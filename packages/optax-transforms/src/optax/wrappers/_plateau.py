"""Reduce the updates when a metric stops improving."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    Updates,
    check_hyperparameter,
    check_integer,
    new_scalar,
    over_leaves,
    safe_increment,
    scaled,
    transformation,
)
from optax.transforms._loss import loss_of_step

__all__ = ["ReduceLROnPlateauState", "reduce_on_plateau"]


class ReduceLROnPlateauState(NamedTuple):
    """State of `reduce_on_plateau`; the real scalars are float32 (float64 under x64), whatever the parameters are.

    Attributes:
      scale: real scalar, what the updates are multiplied by.
      best_value: real scalar, the best mean of the metric so far.
      plateau_count: int32 scalar, how many means in a row have been no better.
      cooldown_count: int32 scalar, for how many more means the scale stays.
      count: int32 scalar, how many values the mean has so far.
      avg_value: real scalar, that mean.
    """

    scale: jax.Array
    best_value: jax.Array
    plateau_count: jax.Array
    cooldown_count: jax.Array
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    avg_value: jax.Array


@transformation
def reduce_on_plateau(
    factor: Numeric = 0.1,
    patience: int = 10,
    rtol: Numeric = 1e-4,
    atol: Numeric = 0.0,
    cooldown: int = 0,
    accumulation_size: int = 1,
    min_scale: Numeric = 0.0,
) -> GradientTransformationExtraArgs:
    """Scale the updates down by a factor each time the loss, or another metric to minimise, has stopped improving.

    Chain it behind an optimizer and hand it the metric: `update(updates, state, params, value=loss)`. The mean of every
    `accumulation_size` values is compared with the best mean so far. It is an improvement if

        mean < best - rtol * |best| - atol

    and after `patience` means in a row that are not, scale = max(factor * scale, min_scale). For the next `cooldown`
    means no count is kept. A NaN or an infinity is no improvement.

    Args:
      factor: scalar in (0, 1).
      patience: integer >= 0; 0 and 1 both reduce at the first mean that is no improvement.
      rtol: scalar in [0, 1], the least improvement relative to the best mean.
      atol: scalar >= 0, the least improvement in the metric's unit.
      cooldown: integer >= 0.
      accumulation_size: integer >= 1.
      min_scale: scalar in [0, 1], the smallest scale.

    Returns:
      A transformation whose state is `ReduceLROnPlateauState` and whose `update` needs the argument `value`, a real
      scalar. Where the updates are the same on several devices, `value` must be too: average it first.

    Raises:
      TypeError: an argument is not of its kind; from `update`, if `value` is missing or not real.
      ValueError: an argument is out of its range, or `rtol` and `atol` are both 0; from `update`, if `value` is no
        scalar.
    """
    check_hyperparameter("factor", factor, above=0, below=1)
    check_hyperparameter("rtol", rtol, least=0, most=1)
    check_hyperparameter("atol", atol, least=0)
    check_hyperparameter("min_scale", min_scale, least=0, most=1)
    patience = check_integer("patience", patience, least=0)
    cooldown = check_integer("cooldown", cooldown, least=0)
    accumulation_size = check_integer("accumulation_size", accumulation_size, least=1)
    if _is_known(rtol) and _is_known(atol) and rtol == 0 and atol == 0:
        raise ValueError("rtol and atol must not both be 0: every change in the last digit would be an improvement")

    def init(params: Params) -> ReduceLROnPlateauState:
        def scalar(x: float) -> jax.Array:
            return new_scalar(x, jnp.result_type(float), params)

        def counter() -> jax.Array:
            return new_scalar(0, jnp.int32, params)

        return ReduceLROnPlateauState(
            scale=scalar(1),
            best_value=scalar(jnp.inf),
            plateau_count=counter(),
            cooldown_count=counter(),
            count=jnp.zeros([], jnp.int32),
            avg_value=scalar(0),
        )

    def update(
        updates: Updates,
        state: ReduceLROnPlateauState,
        params: Params | None = None,
        *,
        value: Any = None,
        **extra_args: Any,
    ) -> tuple[Updates, ReduceLROnPlateauState]:
        del params, extra_args
        scale, best, bad, cooling, count, mean = map(jnp.asarray, state)
        dtype = scale.dtype

        n = safe_increment(count)
        loss = loss_of_step(value, dtype, "reduce_on_plateau looks at the loss")
        mean = (mean * count.astype(dtype) + loss) / n.astype(dtype)
        due = n >= accumulation_size

        # Any finite number is better than the infinity to begin with, from which nothing can be subtracted.
        margin = jnp.where(jnp.isfinite(best), scaled(jnp.abs(best), rtol) + jnp.asarray(atol, dtype), 0)
        better = due & jnp.isfinite(mean) & (mean < best - margin)
        waiting = cooling > 0
        bad_now = jnp.where(better | waiting, 0, safe_increment(bad))
        reduced = due & (bad_now > 0) & (bad_now >= patience)

        smaller = jnp.maximum(scaled(scale, factor), jnp.asarray(min_scale, dtype))
        scale = jnp.where(reduced, smaller, scale)
        new_state = ReduceLROnPlateauState(
            scale=scale,
            best_value=jnp.where(better, mean, best),
            plateau_count=jnp.where(due, jnp.where(reduced, 0, bad_now), bad),
            cooldown_count=jnp.where(
                reduced, jnp.asarray(cooldown, jnp.int32), jnp.where(due & waiting, cooling - 1, cooling)
            ),
            count=jnp.where(due, 0, n),
            avg_value=jnp.where(due, 0, mean),
        )
        return over_leaves(lambda g: scaled(g, scale), updates), new_state

    return GradientTransformationExtraArgs(init, update)


def _is_known(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)

"""Train in float16: keep small gradients above its smallest numbers by scaling the loss up."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    PyTree,
    Updates,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    has_value,
    new_scalar,
    safe_increment,
    scaled,
    transformation,
    tree,
    vary_like,
    widen,
)
from optax.transforms._traced_step import taken_if
from optax.wrappers._finite import AxisName, all_finite

__all__ = ["DynamicLossScalingState", "dynamic_loss_scaling", "loss_scale"]


class DynamicLossScalingState(NamedTuple):
    """State of `dynamic_loss_scaling`.

    Attributes:
      scale: float32 scalar, the factor that the next loss is to be multiplied by.
      good_steps: int32 scalar, the number of finite steps since the scale last changed.
      total_skips: int32 scalar, the number of steps skipped so far.
      inner_state: the state of the inner transformation.
    """

    scale: jax.Array
    good_steps: jax.Array
    total_skips: jax.Array
    inner_state: OptState


@transformation
def dynamic_loss_scaling(
    inner: GradientTransformation,
    init_scale: Numeric = 2.0**15,
    growth_interval: int = 2000,
    growth_factor: Numeric = 2.0,
    backoff_factor: Numeric = 0.5,
    *,
    min_scale: Numeric = 1.0,
    max_scale: Numeric = 2.0**24,
    axis_name: AxisName | None = None,
) -> GradientTransformationExtraArgs:
    """Take the gradients of a scaled loss, and find the scale: as large as it can be without overflow.

        scale = optax.loss_scale(opt_state)
        grads = jax.grad(lambda p: scale * loss(p))(params)
        updates, opt_state = tx.update(grads, opt_state, params)

    If the gradients are finite, `inner` gets g / scale, and after `growth_interval` such steps in a row the scale grows
    by `growth_factor`. Else the step is skipped (zeros for updates, `inner` left alone) and the scale falls by
    `backoff_factor`. Factors that are powers of two change no digit of the gradients.

    g / scale is computed and goes into `inner` in float32 or wider, whatever the dtype of g: it would underflow in
    float16. What `inner` makes of it comes out in the dtype of g: a step too small for float16 would be too small for
    a float16 parameter. Keep the parameters in float32 and cast them inside the loss if such steps are to count.

    Args:
      inner: a transformation; clipping, for one, belongs inside.
      init_scale: scalar > 0, the first scale.
      growth_interval: integer >= 1, in steps.
      growth_factor: scalar >= 1.
      backoff_factor: scalar in (0, 1).
      min_scale: scalar > 0, where the fall ends.
      max_scale: scalar >= `min_scale`, where the growth ends.
      axis_name: mesh axis, or tuple of them, over which the devices decide together; see `apply_if_finite`.

    Returns:
      A transformation whose state is `DynamicLossScalingState`.

    Raises:
      TypeError, ValueError: an argument is not of its kind or out of its range.

    Reference:
      Micikevicius et al., "Mixed precision training", 2018, section 3.2.
    """
    inner = checked_transformation("inner", inner)
    check_hyperparameter("init_scale", init_scale, above=0)
    check_hyperparameter("growth_factor", growth_factor, least=1)
    check_hyperparameter("backoff_factor", backoff_factor, above=0, below=1)
    check_hyperparameter("min_scale", min_scale, above=0)
    check_hyperparameter(
        "max_scale", max_scale, least=0 if isinstance(min_scale, jax.core.Tracer) else float(min_scale)
    )
    if not any(isinstance(x, jax.core.Tracer) for x in (init_scale, max_scale)) and init_scale > max_scale:
        raise ValueError(f"init_scale must be at most max_scale, {max_scale}, not {init_scale}")
    growth_interval = check_integer("growth_interval", growth_interval, least=1)

    def init(params: Params) -> DynamicLossScalingState:
        return DynamicLossScalingState(
            scale=new_scalar(init_scale, jnp.float32, params),
            good_steps=new_scalar(0, jnp.int32, params),
            total_skips=new_scalar(0, jnp.int32, params),
            inner_state=vary_like(inner.init(params), params),
        )

    def update(
        updates: Updates, state: DynamicLossScalingState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, DynamicLossScalingState]:
        scale = state.scale

        def step(updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any) -> Any:
            return inner.update(_divided(updates, scale), state, params, **extra_args)

        finite = all_finite(updates, axis_name)
        unscaled = GradientTransformationExtraArgs(inner.init, step)
        updates, inner_state = taken_if(finite, unscaled, updates, state.inner_state, params, **extra_args)
        more, fewer, least, most = (
            jnp.asarray(x, jnp.float32) for x in (growth_factor, backoff_factor, min_scale, max_scale)
        )
        good_steps = safe_increment(state.good_steps)
        grows = good_steps >= growth_interval
        larger = jnp.where(grows, jnp.minimum(scale * more, most), scale)
        return updates, DynamicLossScalingState(
            scale=jnp.where(finite, larger, jnp.maximum(scale * fewer, least)),
            good_steps=jnp.where(finite & ~grows, good_steps, 0),
            total_skips=jnp.where(finite, state.total_skips, safe_increment(state.total_skips)),
            inner_state=inner_state,
        )

    return GradientTransformationExtraArgs(init, update)


def loss_scale(state: PyTree) -> jax.Array:
    """The factor to multiply the loss by, from the state of an optimizer with `dynamic_loss_scaling` in it.

    Args:
      state: the state, in whatever chains and wrappers it lies.

    Returns:
      A float32 scalar.

    Raises:
      ValueError: there is no such state in it.
      KeyError: there are several, so that no one factor fits.
    """
    found = tree.get(state, DynamicLossScalingState.__name__)
    if found is None:
        raise ValueError("there is no state of dynamic_loss_scaling in this one")
    scale: jax.Array = found.scale
    return scale


def _divided(updates: Updates, scale: jax.Array) -> Updates:
    """updates / scale, in float32 or wider."""

    def on_leaf(g: Any) -> Any:
        return scaled(widen(g), 1 / scale) if has_value(g) else g

    return jax.tree.map(on_leaf, updates)

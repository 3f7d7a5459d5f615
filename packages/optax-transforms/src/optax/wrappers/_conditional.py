"""Run a transformation on some steps only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    Updates,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    new_scalar,
    safe_increment,
    safe_sqrt,
    transformation,
    tree,
    update_if,
    vary_like,
)
from optax.transforms._traced_step import taken_if

__all__ = [
    "ConditionFn",
    "ConditionallyMaskState",
    "ConditionallyTransformState",
    "MaybeUpdateState",
    "SkipIfState",
    "conditionally_mask",
    "conditionally_transform",
    "maybe_update",
    "skip_if",
]


class ConditionFn(Protocol):
    """`condition(step, **extra_args)`: whether to act after `step` updates (a boolean scalar, Python's or JAX's)."""

    def __call__(self, step: jax.Array, **extra_args: Any) -> Any: ...


class ConditionallyTransformState(NamedTuple):
    """State of `conditionally_transform`.

    Attributes:
      inner_state: the state of the inner transformation.
      step: int32 scalar, the number of updates so far, whether or not they were transformed.
    """

    inner_state: OptState
    step: jax.Array


class ConditionallyMaskState(NamedTuple):
    """State of `conditionally_mask`.

    Attributes:
      step: int32 scalar, the number of updates so far, whether or not they were let through.
      inner_state: the state of the inner transformation.
    """

    step: jax.Array
    inner_state: OptState


MaybeUpdateState = ConditionallyTransformState


class SkipIfState(NamedTuple):
    """State of `skip_if`.

    Attributes:
      observed: int32 scalar, how many of `values` are filled.
      values: float32 array of shape (window,), the measured values of the last steps made, newest last.
      consecutive_skips: int32 scalar, the number of outliers skipped since the last step made.
      total_skips: int32 scalar, the number of steps skipped so far, for whatever reason.
      inner_state: the state of the inner transformation.
    """

    observed: jax.Array
    values: jax.Array
    consecutive_skips: jax.Array
    total_skips: jax.Array
    inner_state: OptState


@transformation
def conditionally_transform(
    inner: GradientTransformation,
    should_transform_fn: ConditionFn | Callable[[jax.Array], Any],
    forward_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """Apply `inner` on the steps that a condition picks; on the others the updates pass through as they are.

    Where the condition does not hold, nothing of `inner` is computed and its state stays.

    Args:
      inner: a transformation.
      should_transform_fn: `should_transform_fn(step)` returns a boolean scalar; `step` is 0 at the first update.
      forward_extra_args: whether the function is given the extra arguments of `update` as well (the loss `value`,
        say), as keyword arguments. `inner` gets them in any case.

    Returns:
      A transformation whose state is `ConditionallyTransformState`.
    """
    return _conditionally(ConditionallyTransformState, inner, should_transform_fn, forward_extra_args, _or_as_they_are)


@transformation
def conditionally_mask(
    inner: GradientTransformation,
    should_transform_fn: ConditionFn | Callable[[jax.Array], Any],
    forward_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """Apply `inner` on the steps that a condition picks; on the others the updates are zeros.

    Where the condition does not hold, nothing of `inner` is computed and its state stays.

    Args:
      inner: a transformation.
      should_transform_fn: `should_transform_fn(step)` returns a boolean scalar; `step` is 0 at the first update.
      forward_extra_args: whether the function is given the extra arguments of `update` as well (the loss `value`,
        say), as keyword arguments. `inner` gets them in any case.

    Returns:
      A transformation whose state is `ConditionallyMaskState`.
    """
    return _conditionally(ConditionallyMaskState, inner, should_transform_fn, forward_extra_args, taken_if)


@transformation
def maybe_update(
    inner: GradientTransformation, should_update_fn: Callable[[jax.Array], Any]
) -> GradientTransformationExtraArgs:
    """`conditionally_transform` under its older name.

    Args:
      inner: a transformation.
      should_update_fn: `should_update_fn(step)` returns a boolean scalar; `step` is 0 at the first update.

    Returns:
      A transformation whose state is `MaybeUpdateState`, another name of `ConditionallyTransformState`.
    """
    return conditionally_transform(inner, should_update_fn)


@transformation
def skip_if(
    inner: GradientTransformation,
    measure: Literal["norm", "value"] | Callable[..., Any] = "norm",
    *,
    sigmas: Numeric = 6.0,
    window: int = 128,
    min_observations: int | None = None,
    max_consecutive: int = 10,
) -> GradientTransformationExtraArgs:
    """Skip the steps on which the gradient norm, the loss or another number is out of the ordinary.

    Let x be the number measured on this step, and m and s the mean and the standard deviation (the root of the mean
    square of the distances from m) of those of the last `window` steps that were made. A skipped step gives zeros for
    updates and leaves the state of `inner` alone; its x does not count in later means. A step is

    - skipped if x is NaN or infinite;
    - made if fewer than `min_observations` numbers are known, or if x <= m + sigmas * s;
    - else an outlier, and skipped, unless `max_consecutive` outliers have been skipped since the last step made
      (non-finite steps in between do not count). Then the level has shifted for good: the numbers known are
      forgotten, the step is made, and its x is the first of the new ones.

    Inside `shard_map` each device judges by what it sees, unless `measure` reduces over the mesh axes.

    Args:
      inner: a transformation.
      measure: "norm" for the Euclidean norm of all updates, "value" for the extra argument `value` of `update` (the
        loss), or a function `measure(updates, params, **extra_args)` that returns a real scalar.
      sigmas: scalar >= 0, the number of standard deviations that is still ordinary.
      window: the number of steps remembered, an integer >= 2.
      min_observations: how many are needed for a judgement, from 1 to `window`; None for half the window.
      max_consecutive: the number of outliers skipped in a row at most, an integer >= 0.

    Returns:
      A transformation whose state is `SkipIfState`.

    Raises:
      TypeError: a count is no integer, `sigmas` no real scalar, or `measure` no function and none of the two words.
      ValueError: a number is out of its range; from `update`, if `value` is measured and missing.
    """
    inner = checked_transformation("inner", inner)
    check_hyperparameter("sigmas", sigmas, least=0)
    window = check_integer("window", window, least=2)
    enough = window // 2 if min_observations is None else check_integer("min_observations", min_observations, least=1)
    if not isinstance(enough, jax.core.Tracer) and enough > window:
        raise ValueError(f"min_observations must be at most the window of {window}, not {enough}")
    max_consecutive = check_integer("max_consecutive", max_consecutive, least=0)
    measured = _measure(measure)

    def init(params: Params) -> SkipIfState:
        return SkipIfState(
            observed=new_scalar(0, jnp.int32, params),
            values=vary_like(jnp.zeros([window], jnp.float32), params),
            consecutive_skips=new_scalar(0, jnp.int32, params),
            total_skips=new_scalar(0, jnp.int32, params),
            inner_state=vary_like(inner.init(params), params),
        )

    def update(
        updates: Updates, state: SkipIfState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, SkipIfState]:
        x = jnp.asarray(measured(updates, params, **extra_args), jnp.float32)
        if x.shape != ():
            raise ValueError(f"measure must return a scalar, not an array of shape {x.shape}")
        mean, deviation = _statistic(state.values, state.observed)
        outlier = (state.observed >= enough) & (x > mean + jnp.asarray(sigmas, jnp.float32) * deviation)
        shifted = outlier & (state.consecutive_skips >= max_consecutive)
        finite = jnp.isfinite(x)
        made = finite & (~outlier | shifted)
        updates, inner_state = taken_if(made, inner, updates, state.inner_state, params, **extra_args)
        known = jnp.minimum(jnp.where(shifted, 0, state.observed) + 1, window)
        skips = jnp.where(finite, safe_increment(state.consecutive_skips), state.consecutive_skips)
        return updates, SkipIfState(
            observed=jnp.where(made, known, state.observed),
            values=jnp.where(made, jnp.concatenate([state.values[1:], x[None]]), state.values),
            consecutive_skips=jnp.where(made, 0, skips),
            total_skips=jnp.where(made, state.total_skips, safe_increment(state.total_skips)),
            inner_state=inner_state,
        )

    return GradientTransformationExtraArgs(init, update)


def _conditionally(
    kind: type[ConditionallyTransformState] | type[ConditionallyMaskState],
    inner: GradientTransformation,
    should_transform_fn: ConditionFn | Callable[[jax.Array], Any],
    forward_extra_args: bool,
    step: Callable[..., tuple[Updates, OptState]],
) -> GradientTransformationExtraArgs:
    """`step(condition, inner, ...)`, with a state of class `kind`."""
    inner = checked_transformation("inner", inner)
    if not callable(should_transform_fn):
        raise TypeError(f"should_transform_fn must be a function of the step, not {should_transform_fn!r}")

    def init(params: Params) -> OptState:
        state = inner.init(params)
        # A condition that looks at the extra arguments may come out differently on each device.
        return kind(
            step=jnp.zeros([], jnp.int32), inner_state=vary_like(state, params) if forward_extra_args else state
        )

    def update(
        updates: Updates, state: Any, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        condition = should_transform_fn(state.step, **extra_args if forward_extra_args else {})
        updates, inner_state = step(condition, inner, updates, state.inner_state, params, **extra_args)
        return updates, kind(step=safe_increment(state.step), inner_state=inner_state)

    return GradientTransformationExtraArgs(init, update)


def _or_as_they_are(*args: Any, **extra_args: Any) -> tuple[Updates, OptState]:
    return update_if(*args, otherwise=lambda updates: updates, **extra_args)


def _measure(measure: str | Callable[..., Any]) -> Callable[..., Any]:
    if callable(measure):
        return measure
    if measure == "norm":
        return _norm
    if measure == "value":
        return _value
    raise TypeError(f'measure must be "norm", "value" or a function, not {measure!r}')


def _norm(updates: Updates, params: Params | None, **extra_args: Any) -> jax.Array:
    del params, extra_args
    return tree.norm(updates)


def _value(updates: Updates, params: Params | None, **extra_args: Any) -> Any:
    del updates, params
    if "value" not in extra_args:
        raise ValueError("the loss is to be measured: call update(updates, state, params, value=loss)")
    return extra_args["value"]


def _statistic(values: jax.Array, observed: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean and the standard deviation of the last `observed` entries; 0 and 0 if there are none."""
    known = jnp.arange(values.size, dtype=jnp.int32) >= values.size - observed
    number = jnp.maximum(observed, 1).astype(values.dtype)
    mean = jnp.sum(jnp.where(known, values, 0)) / number
    return mean, safe_sqrt(jnp.sum(jnp.where(known, values - mean, 0) ** 2) / number)

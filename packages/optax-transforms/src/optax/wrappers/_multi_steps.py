"""Accumulate the gradients of several micro-batches, and make one step with them."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    PyTree,
    Recipe,
    Schedule,
    Updates,
    check_dtype,
    check_integer,
    checked_transformation,
    has_value,
    new_slot,
    over_leaves,
    register_transformation_class,
    safe_increment,
    scaled,
    tree,
    vary_like,
    with_recipe,
)
from optax.transforms._accumulate import begun
from optax.transforms._traced_step import taken_if

__all__ = ["MultiSteps", "MultiStepsState", "ShouldSkipUpdateFunction", "skip_large_updates", "skip_not_finite"]


class MultiStepsState(NamedTuple):
    """State of `MultiSteps`.

    Attributes:
      mini_step: int32 scalar, the number of gradients accumulated for the next step.
      gradient_step: int32 scalar, the number of steps made so far.
      inner_opt_state: the state of the inner transformation.
      acc_grads: tree of the parameters' structure and shapes, the mean (or sum) of the gradients of the step under
        way; while `mini_step` is 0, that of the last step, which the next gradient replaces. `()` if every gradient
        makes a step.
      skip_state: what `should_skip_update_fn` returned beside its answer; `()` if there is no such function.
    """

    mini_step: jax.Array
    gradient_step: jax.Array
    inner_opt_state: OptState
    acc_grads: Updates
    skip_state: PyTree = ()


class ShouldSkipUpdateFunction(Protocol):
    """Whether to leave a gradient out, and a tree of arrays to keep in `MultiStepsState.skip_state`.

    Its form must not change from call to call; the state begins with zeros. If it is a dict with the answer under
    "should_skip", `MultiSteps.has_updated` knows of it.
    """

    def __call__(self, updates: Updates, gradient_step: jax.Array, params: Params | None) -> tuple[Any, PyTree]: ...


@register_transformation_class
class MultiSteps(GradientTransformationExtraArgs):
    """Make one step of a transformation for every k gradients, with their mean.

        a = g                        for the first of the k gradients
        a = a + (g - a) / n          for the n-th
        u = the updates of opt for a after the k-th; zeros after all others

    Only on the k-th is anything of `opt` computed; it is then given the parameters and the extra arguments of that
    call. A gradient that is not finite spoils the step that it is part of, and no other. The mean goes into `opt` in
    the dtype of the accumulator, its updates come out in that of the gradients. Where every gradient makes a step
    (`every_k_schedule=1`) nothing is accumulated and the updates are those of `opt`.

    Args:
      opt: a transformation.
      every_k_schedule: k, an integer >= 1; or a function of the number of steps made so far that returns k (rounded
        to an integer, and taken as 1 if it is less).
      use_grad_mean: whether to take the mean of the gradients; else their sum, a = a + g.
      should_skip_update_fn: `should_skip_update_fn(updates, gradient_step, params)` returns whether to leave this
        gradient out (the k gradients are then counted without it) and a tree of arrays for the state. None for no.
      accumulator_dtype: dtype of a; None for the parameter's, float32 if that is narrower. That of complex parameters
        is complex in any case.

    Returns:
      A transformation whose state is `MultiStepsState`.

    Raises:
      TypeError: `every_k_schedule` is neither an integer nor callable.
      ValueError: it is below 1.
    """

    _opt: GradientTransformationExtraArgs

    def __new__(
        cls,
        opt: GradientTransformation,
        every_k_schedule: int | Schedule,
        use_grad_mean: bool = True,
        should_skip_update_fn: ShouldSkipUpdateFunction | None = None,
        accumulator_dtype: DTypeLike | None = None,
    ) -> MultiSteps:
        inner = checked_transformation("opt", opt)
        if should_skip_update_fn is not None and not callable(should_skip_update_fn):
            raise TypeError(f"should_skip_update_fn must be a function, not {should_skip_update_fn!r}")
        if not isinstance(use_grad_mean, (bool, np.bool_)):
            raise TypeError(f"use_grad_mean must be True or False, not {use_grad_mean!r}")
        check_dtype("accumulator_dtype", accumulator_dtype)
        k = (
            every_k_schedule
            if callable(every_k_schedule)
            else check_integer("every_k_schedule", every_k_schedule, least=1)
        )
        if isinstance(k, int) and k == 1:
            made = _every_gradient(inner, should_skip_update_fn)
        else:
            made = _every_kth_gradient(inner, k, use_grad_mean, should_skip_update_fn, accumulator_dtype)
        options = {
            "use_grad_mean": (use_grad_mean, True),
            "should_skip_update_fn": (should_skip_update_fn, None),
            "accumulator_dtype": (accumulator_dtype, None),
        }
        given = {name: value for name, (value, default) in options.items() if value is not default}
        recipe = Recipe.of(cls, opt, k, **given)
        self = super().__new__(cls, *with_recipe(made, recipe))
        self._opt, self._recipe = inner, recipe
        return self

    @property
    def inner_opt(self) -> GradientTransformationExtraArgs:
        """The transformation that makes the steps."""
        return self._opt

    def has_updated(self, state: MultiStepsState) -> jax.Array:
        """Whether the update that returned this state made a step.

        Args:
          state: the state.

        Returns:
          A boolean scalar.
        """
        skipped = isinstance(state.skip_state, dict) and state.skip_state.get("should_skip", False)
        return (state.mini_step == 0) & (state.gradient_step > 0) & jnp.logical_not(skipped)

    def gradient_transformation(self) -> GradientTransformationExtraArgs:
        """This object, which is a transformation as it is.

        Returns:
          Itself.
        """
        return self


def skip_not_finite(updates: Updates, gradient_step: jax.Array, params: Params | None) -> tuple[jax.Array, PyTree]:
    """Leave out a gradient with a NaN or an infinity in it: a `should_skip_update_fn` of `MultiSteps`.

    Args:
      updates: tree of gradients.
      gradient_step: not used.
      params: not used.

    Returns:
      The answer, and for the state a dict of it ("should_skip") and the number of such elements ("num_not_finite").
    """
    del gradient_step, params
    bad = [jnp.sum(~jnp.isfinite(g), dtype=jnp.int32) for g in jax.tree.leaves(updates) if has_value(g)]
    number = sum(bad, jnp.zeros([], jnp.int32))
    return number > 0, {"should_skip": number > 0, "num_not_finite": number}


def skip_large_updates(
    updates: Updates, gradient_step: jax.Array, params: Params | None, max_squared_norm: float
) -> tuple[jax.Array, PyTree]:
    """Leave out a gradient whose norm is too large, or no number: a `should_skip_update_fn` of `MultiSteps`.

    Bind the bound first: `functools.partial(optax.skip_large_updates, max_squared_norm=100.0)`.

    Args:
      updates: tree of gradients.
      gradient_step: not used.
      params: not used.
      max_squared_norm: real scalar; gradients stay below it, in the sum of the squares of all elements.

    Returns:
      The answer, and for the state a dict of it ("should_skip") and the squared norm ("norm_squared").
    """
    del gradient_step, params
    square = tree.norm(updates, squared=True)
    too_large = ~(square < jnp.asarray(max_squared_norm, square.dtype))  # true for NaN
    return too_large, {"should_skip": too_large, "norm_squared": square}


def _every_gradient(
    inner: GradientTransformationExtraArgs, should_skip: ShouldSkipUpdateFunction | None
) -> GradientTransformationExtraArgs:
    """`MultiSteps` for k = 1: what is left of it are the counters."""

    def init(params: Params) -> MultiStepsState:
        return _start(inner, (), should_skip, params)

    def update(
        updates: Updates, state: MultiStepsState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MultiStepsState]:
        wanted, skip_state = _ask(should_skip, updates, state, params)
        updates, inner_state = taken_if(wanted, inner, updates, state.inner_opt_state, params, **extra_args)
        gradient_step = jnp.where(wanted, safe_increment(state.gradient_step), state.gradient_step)
        return updates, MultiStepsState(state.mini_step, gradient_step, inner_state, state.acc_grads, skip_state)

    return GradientTransformationExtraArgs(init, update)


def _every_kth_gradient(
    inner: GradientTransformationExtraArgs,
    every_k: int | Schedule,
    mean: bool,
    should_skip: ShouldSkipUpdateFunction | None,
    accumulator_dtype: DTypeLike | None,
) -> GradientTransformationExtraArgs:
    def init(params: Params) -> MultiStepsState:
        return _start(inner, new_slot(params, dtype=accumulator_dtype), should_skip, params)

    def update(
        updates: Updates, state: MultiStepsState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MultiStepsState]:
        before = jnp.asarray(state.mini_step, jnp.int32)
        weight = 1 / (1 + before.astype(float))
        wanted, skip_state = _ask(should_skip, updates, state, params)

        def rule(g: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
            # What is left of the last step is replaced by a select, never multiplied away: it may be NaN.
            new = jnp.where(before == 0, g, a + scaled(g - a, weight) if mean else a + g)
            return g, new if wanted is True else jnp.where(wanted, new, a)

        _, acc = over_leaves(rule, updates, begun(updates, state.acc_grads, before == 0))
        due = wanted & (before >= _number(every_k, state.gradient_step) - 1)

        def step(updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any) -> Any:
            return inner.update(_in_place_of(updates, acc), state, params, **extra_args)

        # The accumulator stays outside of the condition: whatever a condition returns, XLA may copy.
        emitting = GradientTransformationExtraArgs(inner.init, step)
        updates, inner_state = taken_if(due, emitting, updates, state.inner_opt_state, params, **extra_args)
        mini_step = jnp.where(due, 0, jnp.where(wanted, safe_increment(before), before))
        gradient_step = jnp.where(due, safe_increment(state.gradient_step), state.gradient_step)
        return updates, MultiStepsState(mini_step, gradient_step, inner_state, acc, skip_state)

    return GradientTransformationExtraArgs(init, update)


def _start(
    inner: GradientTransformation, acc: Updates, should_skip: ShouldSkipUpdateFunction | None, params: Params
) -> MultiStepsState:
    counters = jnp.zeros([], jnp.int32), jnp.zeros([], jnp.int32)
    inner_state = inner.init(params)
    if should_skip is None:
        return MultiStepsState(*counters, inner_state, acc)
    # Everything but the accumulator now depends on the gradients of this device.
    if isinstance(params, tree.ParamsPlaceholder):
        return MultiStepsState(*counters, inner_state, acc, counters[0])  # nothing that belongs to a parameter
    skip_state = tree.zeros_like(jax.eval_shape(should_skip, params, counters[1], params)[1])
    counters, inner_state, skip_state = vary_like((counters, inner_state, skip_state), params)
    return MultiStepsState(*counters, inner_state, acc, skip_state)


def _ask(
    should_skip: ShouldSkipUpdateFunction | None, updates: Updates, state: MultiStepsState, params: Params | None
) -> tuple[Any, PyTree]:
    """Whether the gradient is wanted (True itself if nobody asks), and the new `skip_state`."""
    if should_skip is None:
        return True, state.skip_state
    skip, skip_state = should_skip(updates, state.gradient_step, params)
    return jnp.logical_not(skip), vary_like(tree.cast_like(skip_state, state.skip_state), state.mini_step)


def _number(every_k: int | Schedule, gradient_step: jax.Array) -> jax.Array:
    """k as an int32 scalar >= 1."""
    k = jnp.asarray(every_k(gradient_step) if callable(every_k) else every_k)
    return jnp.maximum(jnp.round(k).astype(jnp.int32), 1)


def _in_place_of(updates: Updates, means: Updates) -> Updates:
    """`means`, where `updates` has something to take the mean of."""

    def on_leaf(g: Any, a: Any) -> Any:
        return a if has_value(g) else g

    return jax.tree.map(on_leaf, updates, means, is_leaf=lambda x: x is None)

"""Leave out the steps that would bring NaN or infinity into the parameters."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    Updates,
    check_integer,
    checked_transformation,
    new_scalar,
    over_leaves,
    safe_increment,
    transformation,
    tree,
    update_if,
    vary_like,
)
from optax.transforms._traced_step import TracedStep

__all__ = ["ApplyIfFiniteState", "apply_if_finite"]

psum: Any = jax.lax.psum  # unannotated in JAX

AxisName: TypeAlias = Hashable | tuple[Hashable, ...]


class ApplyIfFiniteState(NamedTuple):
    """State of `apply_if_finite`.

    Attributes:
      notfinite_count: int32 scalar, the number of bad steps since the last good one. It stops at
        `max_consecutive_errors + 1`: bad steps are then applied.
      last_finite: boolean scalar, whether the last step was good.
      total_notfinite: int32 scalar, the number of bad steps so far.
      inner_state: the state of the inner transformation.
    """

    notfinite_count: jax.Array
    last_finite: jax.Array
    total_notfinite: jax.Array
    inner_state: OptState


@transformation
def apply_if_finite(
    inner: GradientTransformation,
    max_consecutive_errors: int,
    *,
    check_updates: bool = True,
    axis_name: AxisName | None = None,
) -> GradientTransformationExtraArgs:
    """Skip the steps whose gradients or updates hold a NaN or an infinity, up to so many of them in a row.

    A step is bad if the gradients that come in are not all finite, or what `inner` makes of them is not. A bad step
    gives zeros for updates and leaves the state of `inner` as it was. After `max_consecutive_errors` bad steps in a
    row the wrapper gives up: it applies what `inner` makes, bad or not, until a step is good again.

    Args:
      inner: a transformation. What it makes of gradients that are not finite is used only after giving up.
      max_consecutive_errors: the number of bad steps skipped in a row at most, an integer >= 0.
      check_updates: whether what `inner` makes is looked at too. Its elementwise arithmetic is done twice then; of
        anything else it takes room for a second inner state, since the old one is kept until the new is found good.
      axis_name: mesh axis, or tuple of them, over which the devices decide together inside `shard_map` (or `pmap`,
        `vmap`): all skip if one of them has to. None where all of them hold the same gradients.

    Returns:
      A transformation whose state is `ApplyIfFiniteState`.

    Raises:
      TypeError: `max_consecutive_errors` is no integer.
      ValueError: it is negative.
    """
    inner = checked_transformation("inner", inner)
    most = check_integer("max_consecutive_errors", max_consecutive_errors, least=0)

    def init(params: Params) -> ApplyIfFiniteState:
        return ApplyIfFiniteState(
            notfinite_count=new_scalar(0, jnp.int32, params),
            last_finite=new_scalar(True, jnp.bool_, params),
            total_notfinite=new_scalar(0, jnp.int32, params),
            inner_state=vary_like(inner.init(params), params),
        )

    def update(
        updates: Updates, state: ApplyIfFiniteState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, ApplyIfFiniteState]:
        given_up = state.notfinite_count >= most
        finite = all_finite(updates, axis_name)

        def attempt(updates: Updates, state: Any, params: Params | None = None, **extra_args: Any) -> Any:
            old, _ = state
            updates, new = update_if(True, inner, updates, old, params, **extra_args)
            if not check_updates:
                return updates, (new, finite)
            good = finite & all_finite(updates, axis_name)
            applied = good | given_up
            updates = over_leaves(lambda u: jnp.where(applied, u, 0), updates)
            return updates, (tree.where(applied, new, old), good)

        step = None if axis_name is not None else TracedStep.of(inner, updates, state.inner_state, params, extra_args)
        if step is not None and step.is_elementwise:
            good = jax.lax.cond(finite, step.is_finite, lambda: finite) if check_updates else finite
            updates, inner_state = step.kept_if(good | given_up)
        else:
            # The choice is made inside of the condition: XLA would copy the old state to keep it for a later one.
            tried = GradientTransformationExtraArgs(inner.init, attempt)
            old = state.inner_state, jnp.asarray(False)
            updates, (inner_state, good) = update_if(finite | given_up, tried, updates, old, params, **extra_args)
        bad = state.notfinite_count
        return updates, ApplyIfFiniteState(
            notfinite_count=jnp.where(good, 0, jnp.where(bad > most, bad, safe_increment(bad))),
            last_finite=vary_like(good, state.last_finite),
            total_notfinite=jnp.where(good, state.total_notfinite, safe_increment(state.total_notfinite)),
            inner_state=inner_state,
        )

    return GradientTransformationExtraArgs(init, update)


def all_finite(updates: Updates, axis_name: AxisName | None) -> jax.Array:
    """Whether every element is finite, here and, if there is an axis to ask, on the other devices along it."""
    finite = tree.all_finite(updates)
    if axis_name is None:
        return finite
    everywhere: jax.Array = psum((~finite).astype(jnp.int32), axis_name) == 0
    return everywhere

"""Steps that are taken only under a condition."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import _numerics as numerics
from optax.core._align import map_aligned
from optax.core._types import (
    GradientTransformation,
    OptState,
    Params,
    PyTree,
    Updates,
    with_extra_args_support,
)
from optax.core.tree import zeros_like

__all__ = ["update_if"]


def update_if(
    condition: Any,
    tx: GradientTransformation,
    updates: Updates,
    state: OptState,
    params: Params | None = None,
    *,
    otherwise: Callable[[Updates], Updates] = zeros_like,
    **extra_args: Any,
) -> tuple[Updates, OptState]:
    """Run `tx.update` if a condition holds, and only then: otherwise nothing of it is computed.

    The choice is `lax.cond`, or Python's where the condition is known. So what the other side would have computed, a
    NaN say, is never seen; and both sides return updates in the dtypes of the gradients and a state in the dtypes
    it has, whatever `tx` returns.

    Args:
      condition: boolean scalar.
      tx: a transformation.
      updates: tree of arrays.
      state: the state of `tx`.
      params: the parameters, or None.
      otherwise: what to make of the updates if the condition does not hold: zeros, unless said otherwise.
      **extra_args: further arguments of `tx.update`.

    Returns:
      The updates, and the next state or the same.

    Raises:
      ValueError: `tx` or `otherwise` changes the structure or a shape of the updates or the state.
    """
    tx = with_extra_args_support(tx)

    def step() -> PyTree:
        new_updates, new_state = tx.update(updates, state, params, **extra_args)
        return _in_the_form_of(updates, new_updates, "updates"), _in_the_form_of(state, new_state, "state")

    def skip() -> PyTree:
        return _in_the_form_of(updates, otherwise(updates), "updates"), _in_the_form_of(state, state, "state")

    if not isinstance(condition, jax.core.Tracer):
        chosen, new_state = step() if condition else skip()
    elif numerics.manual_axes(condition, updates, state, params, extra_args):
        chosen, new_state = _cond_over_manual_axes(condition, step, skip)
    else:
        chosen, new_state = jax.lax.cond(condition, step, skip)
    return map_aligned(lambda g, u: g if numerics.is_float0(g) else u, ["updates", "new updates"], updates, chosen), (
        new_state
    )


def _in_the_form_of(old: PyTree, new: PyTree, name: str) -> PyTree:
    """`new` in the dtypes of `old`, strongly typed; what has no value for `lax.cond` to carry becomes None."""

    def on_leaf(before: Any, after: Any) -> Any:
        if before is None and after is not None:
            raise TypeError(f"the transformation turned None in {name} into {after!r}")
        if not numerics.has_value(before):
            return None
        if numerics.is_random_key(before):
            return after
        dtype = numerics.dtype_of(before)
        if after is None or (numerics.is_complex(numerics.dtype_of(after)) and not numerics.is_complex(dtype)):
            raise TypeError(f"the transformation turned {name} of dtype {dtype} into {after!r}")
        return jnp.asarray(after, dtype if numerics.is_inexact(dtype) or name == "state" else numerics.wide())

    return map_aligned(on_leaf, [name, f"new {name}"], old, new)


def _cond_over_manual_axes(condition: Any, *sides: Callable[[], PyTree]) -> PyTree:
    """`lax.cond` inside `shard_map`, with the mesh axes over which each result may differ between devices.

    By itself it refuses sides whose results vary over different axes, and does not see that whatever is chosen by a
    condition that varies varies too.
    """
    from jax.extend.core import jaxpr_as_fun  # heavy, and seldom needed

    traced = [jax.make_jaxpr(side, return_shape=True)() for side in sides]
    found = [[numerics.axes_of(x) for x in program.out_avals] for program, _ in traced]
    axes = [a | b | numerics.manual_axes(condition) for a, b in zip(*found, strict=True)]

    def declared(program: Any) -> Callable[[], list[jax.Array]]:
        run = jaxpr_as_fun(program)  # not the side itself: conditions within conditions would be traced 2^depth times
        return lambda: list(map(numerics.varying, run(), axes))

    leaves = jax.lax.cond(condition, *(declared(program) for program, _ in traced))
    return jax.tree.unflatten(jax.tree.structure(traced[0][1]), leaves)

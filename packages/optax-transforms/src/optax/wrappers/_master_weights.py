"""Train parameters of 16 bits as if they were of 32."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskedNode,
    OptState,
    Params,
    Updates,
    apply_updates,
    checked_transformation,
    has_value,
    new_slot,
    require_params,
    transformation,
    tree,
)
from optax.transforms._precision import rounded
from optax.wrappers._averages import is_gap, states_in, within

__all__ = ["MasterWeightsState", "master_params", "master_weights"]


class MasterWeightsState(NamedTuple):
    """State of `master_weights`.

    Attributes:
      inner_state: the state of the inner transformation, that of parameters in the wider dtype.
      remainder: tree of the parameters' structure and shapes in the wider dtype: what rounding to the parameters' own
        dtype took away from them. `MaskedNode()` for parameters that are wide enough.
    """

    inner_state: OptState
    remainder: Params


@transformation
def master_weights(inner: GradientTransformation, dtype: DTypeLike = jnp.float32) -> GradientTransformationExtraArgs:
    """Run `inner` on copies of the parameters in float32, and let the parameters be their rounded values.

        m = p + r                       the copy, exactly
        m = m + u                       u from the inner transformation, given m and the gradient in float32
        update = round(m) - p           rounded to the dtypes of parameter and gradient
        r = m - (p + update)            what the parameters do not hold, as `apply_updates` will leave them

    By itself a bfloat16 parameter of 1 stays 1 under any number of updates by 0.001. Here m moves, and p follows. Only
    r is stored, in as many bits as m would take, and no error adds up: even where round(m) - p is rounded itself (it
    is exact but for steps longer than half of p) r holds the difference. If p is changed from
    outside, m changes along with it, up to r: the rounding error of what p was.

    This must be the last stage of a chain: the updates that it returns have to reach the parameters as they are.

    Args:
      inner: a transformation, the whole optimizer.
      dtype: real floating dtype of the copies.

    Returns:
      A transformation that needs the parameters, whose state is `MasterWeightsState`. Parameters of `dtype` or wider
      (integer and complex ones too) are handed to `inner` as they are, and nothing is stored for them.

    Raises:
      TypeError: `dtype` is not a real floating one.

    Reference:
      Micikevicius et al., "Mixed precision training", 2018, section 3.1.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"dtype must be a real floating one, not {dtype!r}")
    inner = checked_transformation("inner", inner)

    def init(params: Params) -> MasterWeightsState:
        wide = jax.dtypes.canonicalize_dtype(dtype)
        narrow = jax.tree.map(lambda p: p if _is_narrower(tree.dtype(p), wide) else MaskedNode(), params)
        copies = jax.tree.map(lambda n, p: p if is_gap(n) else _widened(p, wide), narrow, params, is_leaf=is_gap)
        return MasterWeightsState(inner.init(copies), new_slot(narrow, dtype=wide))

    def update(
        updates: Updates, state: MasterWeightsState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MasterWeightsState]:
        params, remainder = require_params(params), state.remainder
        copies = _copies(remainder, params)
        gradients = jax.tree.map(
            lambda r, g: g if is_gap(r) or not has_value(g) else jnp.asarray(g, r.dtype),
            *(remainder, updates),
            is_leaf=is_gap,
        )
        steps, inner_state = inner.update(gradients, state.inner_state, copies, **extra_args)
        moved = apply_updates(within(remainder, copies), within(remainder, steps))

        def on_leaf(r: Any, g: Any, p: Any, m: Any, step: Any) -> tuple[Any, Any]:
            if is_gap(r) or not has_value(g):
                return step, r
            p, g = jnp.asarray(p), jnp.asarray(g)
            # To both dtypes: a wrapper that works in float32 takes the update back to that of the gradients.
            update = rounded(rounded(rounded(m, p.dtype) - p.astype(m.dtype), p.dtype), g.dtype)
            return update.astype(g.dtype), m - rounded(p.astype(m.dtype) + update, p.dtype)

        leaves, structure = jax.tree.flatten(remainder, is_leaf=is_gap)
        treedef: Any = structure  # of a class that type checkers do not see
        columns = map(treedef.flatten_up_to, (updates, params, moved, steps))
        rows = [on_leaf(*row) for row in zip(leaves, *columns, strict=True)]
        new_updates, new_remainder = (treedef.unflatten([row[i] for row in rows]) for i in range(2))
        return new_updates, MasterWeightsState(inner_state, new_remainder)

    return GradientTransformationExtraArgs(init, update)


def master_params(state: OptState, params: Params) -> Params:
    """The parameters as `master_weights` knows them, before they are rounded to their own dtype.

    Averages are had at full precision by `eval_params(state, master_params(state, params))`.

    Args:
      state: a `MasterWeightsState`, or any state that holds one (of a chain, a mask, a wrapper).
      params: the parameters.

    Returns:
      `params`, those that are narrower than the copies in the dtype of these.

    Raises:
      ValueError: there is no `MasterWeightsState`.
    """
    found = [node for _, node in states_in(state, lambda x: isinstance(x, MasterWeightsState))]
    if not found:
        raise ValueError("there is no MasterWeightsState in this state")
    for node in found:
        params = _copies(node.remainder, params)
    return params


def _copies(remainder: Params, params: Params) -> Params:
    def on_leaf(r: Any, p: Any) -> Any:
        # Where p overflowed, or was once NaN, nothing is left to add to a p that somebody has put in order.
        return p if is_gap(r) else jnp.asarray(p, r.dtype) + jnp.where(jnp.isfinite(r), r, 0)

    return jax.tree.map(on_leaf, remainder, params, is_leaf=is_gap)


def _widened(p: Any, dtype: Any) -> Any:
    if isinstance(p, jax.ShapeDtypeStruct):
        form: Any = jax.ShapeDtypeStruct  # unannotated in JAX
        return form(p.shape, dtype, sharding=p.sharding)
    return jnp.asarray(p, dtype)


_finfo: Any = jnp.finfo  # unannotated in JAX


def _is_narrower(dtype: Any, wide: Any) -> bool:
    return bool(jnp.issubdtype(dtype, jnp.floating)) and _finfo(dtype).nmant < _finfo(wide).nmant

"""Value and gradient without computing again what a line search has computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from optax.core import OptState, Params, PyTree, Updates
from optax.linesearch._backtracking import ScaleByBacktrackingLinesearchState
from optax.linesearch._fingerprint import fingerprint
from optax.linesearch._zoom import ScaleByZoomLinesearchState

__all__ = ["value_and_grad_from_state"]

T = TypeVar("T")

_STATES = (ScaleByBacktrackingLinesearchState, ScaleByZoomLinesearchState)


def value_and_grad_from_state(
    value_fn: Callable[..., Any], has_aux: bool = False
) -> Callable[..., tuple[Any, Updates]]:
    """Like `jax.value_and_grad(value_fn)`, but what a line search has left in the state is not computed again.

        value_and_grad = value_and_grad_from_state(f)
        value, grad = value_and_grad(params, state=state)
        updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=f)
        params = apply_updates(params, updates)

    The search has evaluated f where its step leads. If the parameters are those, bit by bit, value and gradient are
    taken from the state, else they are computed. Whether f itself has changed is not known: for a loss on another
    batch in each step use `jax.value_and_grad`.

    Args:
      value_fn: function of the parameters, and further arguments, that returns a real scalar.
      has_aux: whether `value_fn` returns a pair, of the scalar and auxiliary data. These are computed in each call,
        forwards, since no state can hold them.

    Returns:
      `value_and_grad(params, *args, state, **kwargs)`, which returns the pair (value, gradient), or
      ((value, auxiliary data), gradient), as `jax.value_and_grad` does. `state` is the state of a transformation that
      contains a line search with the gradient in its state. ValueError if it does not, or contains several.
    """

    def value_and_grad(params: Params, *args: Any, state: OptState, **kwargs: Any) -> tuple[Any, Updates]:
        def computed() -> tuple[Any, Updates]:
            return jax.value_and_grad(value_fn, has_aux=has_aux)(params, *args, **kwargs)

        def known() -> tuple[Any, Updates]:
            value, grad = jax.tree.map(lambda x, form: jnp.asarray(x, form.dtype), (found.value, found.grad), forms)
            return ((value, value_fn(params, *args, **kwargs)[1]) if has_aux else value), grad

        found = state_of_search(state)
        if found is None or found.grad is None:
            raise ValueError(
                "state must be that of a transformation with one line search that keeps the gradient "
                "(scale_by_zoom_linesearch, or scale_by_backtracking_linesearch with store_grad=True)"
            )
        value_form, grad_form = jax.eval_shape(computed)
        forms = value_form[0] if has_aux else value_form, grad_form
        return if_else(is_reached(found, params), known, computed)

    return value_and_grad


def state_of_search(state: OptState) -> Any:
    """The state of the line search in the state of a transformation; None if there is none, or several."""
    states = [s for s in jax.tree.leaves(state, is_leaf=lambda s: isinstance(s, _STATES)) if isinstance(s, _STATES)]
    return states[0] if len(states) == 1 else None


def ends_with_search(state: OptState) -> bool:
    """Whether the state is that of a line search, or of a chain that ends with one: nothing changes its step then."""
    while type(state) is tuple and state:
        state = state[-1]
    return isinstance(state, _STATES)


def is_reached(found: Any, params: Params) -> bool | jax.Array:
    """Whether these are the parameters for which value and gradient are in the state of a line search."""
    if found.fingerprint is None or not _alike(found.grad, params):  # of a part of the parameters, say
        return False
    return jnp.logical_and(jnp.isfinite(found.value), found.fingerprint == fingerprint(params))


def _alike(a: PyTree, b: PyTree) -> bool:
    """Whether two trees have the same structure and shapes."""
    structures: list[Any] = [jax.tree.structure(t) for t in (a, b)]
    shapes = [[jnp.shape(x) for x in jax.tree.leaves(t)] for t in (a, b)]
    return bool(structures[0] == structures[1] and shapes[0] == shapes[1])


def if_else(condition: bool | jax.Array, yes: Callable[[], T], no: Callable[[], T]) -> T:
    """`yes() if condition else no()`, in the program where that is not known yet."""
    if isinstance(condition, jax.core.Tracer):
        result: T = jax.lax.cond(condition, yes, no)
        return result
    return yes() if condition else no()

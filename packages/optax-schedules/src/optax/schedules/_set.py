"""Change the hyperparameters that are in a state."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from optax.core import PyTree
from optax.schedules._inject import listed, real_array

__all__ = ["set_hyperparams"]


def set_hyperparams(state: PyTree, **values: Any) -> PyTree:
    """Change hyperparameters that `inject_hyperparams` keeps in the state of an optimizer.

        state = set_hyperparams(state, learning_rate=1e-4, weight_decay=0.0)

    A compiled step goes on with the new state as it is. (`state.hyperparams["learning_rate"] = 1e-4` works as well, but
    a number of Python's is of another type than the array that it replaces: the step is compiled once more.) What the
    optimizer has decided by its first hyperparameters, such as the dtype of a slot, stays.

    Args:
      state: the state of an optimizer that was made by `inject_hyperparams`, or has such a one in it at any depth: in a
        chain, in `MultiSteps`, in a group of `partition`.
      **values: the new values by name: real numbers, or real arrays of the shapes of the old ones. They may be traced.

    Returns:
      The state with these values, in the dtypes and with the sharding of the old ones. `state` itself stays as it is.

    Raises:
      ValueError: no hyperparameter, or more than one, goes by a name, or it follows a schedule; a value has another
        shape or is NaN.
      TypeError: a value is not a real number.
    """
    found = list(_injected_states(state))
    if not found:
        raise ValueError("there are no hyperparameters in this state: make the optimizer with inject_hyperparams")
    for name in values:
        _check_name(name, found)

    def on_node(x: Any) -> Any:
        if not _is_injected(x):
            return x
        new = {name: _in_place_of(name, old, values.get(name, old)) for name, old in x.hyperparams.items()}
        return x._replace(hyperparams=new, inner_state=changed(x.inner_state))

    def changed(t: PyTree) -> PyTree:
        return jax.tree.map(on_node, t, is_leaf=_is_injected)

    return changed(state)


def _is_injected(x: Any) -> bool:
    """Whether `x` is a state with hyperparameters, ours or of another release of Optax."""
    return isinstance(x, tuple) and {"hyperparams", "inner_state"} <= {*getattr(x, "_fields", ())}


def _injected_states(state: PyTree, where: str = "") -> Iterator[tuple[str, Any]]:
    """The states with hyperparameters and where they are, outer ones first."""
    for path, x in tree_flatten_with_path(state, is_leaf=_is_injected)[0]:
        if _is_injected(x):
            here = where + keystr(path)
            yield here or "the root", x
            yield from _injected_states(x.inner_state, f"{here}.inner_state")


def _check_name(name: str, found: list[tuple[str, Any]]) -> None:
    owners = [(where, x) for where, x in found if name in x.hyperparams]
    if not owners:
        known = sorted({known for _, x in found for known in x.hyperparams})
        close = "".join(f"; did you mean {match!r}?" for match in difflib.get_close_matches(name, known, 1))
        raise ValueError(f"there is no hyperparameter {name!r}, but there are: {listed(known)}{close}")
    if len(owners) > 1:
        raise ValueError(
            f"there are {len(owners)} hyperparameters {name!r}, at {', '.join(where for where, _ in owners)}: "
            "pass the part of the state that is meant, and put what is returned in its place"
        )
    if name in getattr(owners[0][1], "hyperparams_states", ()):
        raise ValueError(
            f"{name!r} follows a schedule, which would overwrite the new value: make the optimizer with a number for "
            f"{name!r}, or change the state of its schedule, which is in hyperparams_states"
        )


def _in_place_of(name: str, old: Any, new: Any) -> Any:
    """`new`, in the dtype and with the sharding of `old`."""
    if new is old:
        return old
    value = real_array(name, new)
    if value.shape != np.shape(old):
        raise ValueError(f"{name} must be of shape {np.shape(old)}, not of shape {value.shape}: {new!r}")
    dtype = getattr(old, "dtype", jnp.result_type(float))
    if isinstance(value, jax.core.Tracer):
        return jnp.asarray(value, dtype)
    number = np.asarray(value, dtype)
    if np.isnan(number).any():
        raise ValueError(f"{name} must be a number, not {new!r}")
    if isinstance(old, jax.Array) and not isinstance(old, jax.core.Tracer) and old.committed:
        return jax.device_put(number, old.sharding)
    return jnp.asarray(number)

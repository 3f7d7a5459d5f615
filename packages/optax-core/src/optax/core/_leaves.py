"""The authoring vocabulary: write a rule for one array, in the paper's letters, and lift it over the tree.

def update(updates, state, params=None):
    def rule(g, m):
        m = moving_average(g, m, b1)
        return jnp.sign(m), m
    updates, mu = over_leaves(rule, updates, state.mu)
    return updates, MyState(mu)
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import _numerics as numerics
from optax.core._align import rows_aligned
from optax.core._allocate import copied, filled
from optax.core._types import (
    NO_PARAMS_MSG,
    GradientTransformation,
    Numeric,
    OptState,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    init_empty_state,
)

__all__ = [
    "copy_slot",
    "debias",
    "leafwise",
    "moving_average",
    "new_scalar",
    "new_slot",
    "over_leaves",
    "ratio",
    "require_params",
    "scaled",
    "scheduled",
    "slot_dtype",
    "total_weight",
    "vary_like",
]

T = TypeVar("T")

scaled = numerics.scaled


def over_leaves(
    rule: Callable[..., Any],
    updates: Updates,
    *slots: PyTree,
    reads: tuple[PyTree, ...] = (),
    summaries: tuple[PyTree, ...] = (),
) -> Any:
    """Apply a rule for one array to every leaf of the updates and of the state slots beside them.

    Each leaf reaches the rule in float32 or wider (complex stays complex, a real slot real); each result goes back to
    the dtype of what it replaces. So a state slot keeps its dtype for ever, updates keep that of the gradients, and
    the arithmetic between is never done in 16 bits. This is the one place where slots are read and written, and the
    one that knows of leaves that are None and of integer leaves (whose gradient is of dtype float0): they pass
    untouched, with their slots.

    Args:
      rule: `rule(g, *slots, *summaries, *reads)` for one leaf; returns the update and the new value of each slot and
        summary, or just the update where there are none. Shapes must not change. It must be a function of its
        arguments alone: inside `jax.jit` it is traced once for all leaves of one shape and dtype.
      updates: tree of arrays.
      *slots: state trees with the structure and the shapes of `updates`.
      reads: further such trees that the rule reads only (the parameters, say).
      summaries: state trees that have, in the place of each leaf, an array of any shape or a tree of such arrays: the
        norm of the leaf, say, or the means of its rows and columns.

    Returns:
      The tree of updates if there are no slots and no summaries, else a tuple of that and one new tree for each. An
      integer update comes out as float32.

    Raises:
      ValueError: structures or shapes differ; the message names the trees, the path and both sides.
    """
    names = ["updates", *(f"state slot {i}" for i in range(1, len(slots) + 1)), *_read_names(reads)]
    width = 1 + len(slots)

    def apply(row: tuple[jax.Array, ...], summary: tuple[PyTree, ...]) -> tuple[Any, ...]:
        return _apply(rule, row[:width], summary, row[width:])

    if numerics.is_tracing() and _any_alike(updates):
        apply = jax.jit(apply)  # a thousand leaves of three shapes are then three traces and a thousand calls

    def on_leaf(*row: Any) -> tuple[Any, ...]:
        g, leaves, summary = row[0], row[: len(names)], row[len(names) :]
        if not numerics.has_value(g):
            return *row[:width], *summary
        if missing := [name for name, x in zip(names[1:], leaves[1:], strict=True) if x is None]:
            raise ValueError(f"updates has an array where {missing[0]} has None")
        return apply(tuple(x if isinstance(x, jax.Array) else jnp.asarray(x) for x in leaves), summary)

    # A rule mixes real with complex, and hyperparameters of any dtype with both. Nothing it promotes can leave: every
    # result is cast back to the dtype of what it replaces.
    with jax.numpy_dtype_promotion("standard"):
        rows, treedef = rows_aligned(on_leaf, names, updates, *slots, *reads, prefixed=summaries)
    columns = tuple(treedef.unflatten([row[i] for row in rows]) for i in range(width + len(summaries)))
    return columns if len(columns) > 1 else columns[0]


def _any_alike(tree: PyTree) -> bool:
    """Whether two leaves have the same shape and dtype."""
    leaves = jax.tree.leaves(tree)
    return len({(np.shape(x), getattr(x, "dtype", type(x))) for x in leaves}) < len(leaves)


def _read_names(reads: tuple[PyTree, ...]) -> list[str]:
    return ["params"] if len(reads) == 1 else [f"tree {i} to read" for i in range(1, len(reads) + 1)]


def _apply(
    rule: Callable[..., Any], replaced: tuple[jax.Array, ...], summary: tuple[PyTree, ...], reads: tuple[jax.Array, ...]
) -> tuple[Any, ...]:
    old = (*replaced, *summary)
    precision = numerics.wide(*(x.dtype for x in jax.tree.leaves((old, reads))))

    def widened(x: jax.Array) -> jax.Array:
        return x.astype(numerics.at_precision(x.dtype, precision)) if numerics.is_inexact(x.dtype) else x

    g, *rest = jax.tree.map(widened, (*old, *reads))
    result = rule(g if numerics.is_inexact(g.dtype) else g.astype(precision), *rest)
    results = result if len(old) > 1 or isinstance(result, (tuple, list)) else (result,)
    if not isinstance(results, (tuple, list)) or len(results) != len(old):
        number = len(results) if isinstance(results, (tuple, list)) else 1
        arrays = f"{number} array{'s' * (number != 1)}"
        raise ValueError(f"the rule returned {arrays}, expected {len(old)}: the update and one for each slot")
    update, *new = results
    kept = old[0].dtype if numerics.is_inexact(old[0].dtype) else numerics.wide()
    return _written(update, kept, old[0]), *(
        jax.tree.map(lambda before, x: _written(x, before.dtype, before), before, x)
        for before, x in zip(old[1:], new, strict=True)
    )


def _written(x: jax.Array, dtype: Any, before: jax.Array) -> jax.Array:
    """`x` in `dtype`, as it is stored in the place of `before`."""
    if jnp.shape(x) != before.shape:
        raise ValueError(f"the rule turned an array of shape {before.shape} into one of shape {jnp.shape(x)}")
    if jnp.iscomplexobj(x) and not numerics.is_complex(dtype):
        raise TypeError(f"the rule returned a complex array for one of dtype {before.dtype}")
    return jnp.asarray(x, dtype)


def leafwise(rule: Callable[[jax.Array], jax.Array]) -> GradientTransformation:
    """A transformation without memory, from its rule for one array.

    Args:
      rule: takes a gradient in float32 or wider and returns an array of the same shape.

    Returns:
      A transformation whose state is `EmptyState()`.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        return over_leaves(rule, updates), state

    return GradientTransformation(init_empty_state, update)


def slot_dtype(dtype: Any, decay: Any = None) -> np.dtype[Any]:
    """The dtype in which a state slot can do its own arithmetic.

    Args:
      dtype: dtype of the parameter.
      decay: the decay of the average that the slot holds, in [0, 1); None for a running sum, a distance, or anything
        else that grows without forgetting. A traced array or a schedule counts as a decay that may come close to 1.

    Returns:
      `dtype` if it is an integer one, or if `1 - decay` is at least twice its machine epsilon (a change that small
      would otherwise be rounded away and the average would stall); else float32, complex64 for a complex `dtype`.
    """
    own: np.dtype[Any] = np.dtype(dtype)
    if not numerics.is_inexact(own):
        return own
    try:
        change = 0.0 if decay is None else 1.0 - float(decay)
    except (TypeError, jax.errors.ConcretizationTypeError):
        change = 0.0
    if change >= 2 * float(numerics.finfo(own).eps):
        return own
    return numerics.at_precision(own, numerics.wide(own))


def new_slot(params: Params, *, decay: Any = None, dtype: Any = None, real: bool = False) -> PyTree:
    """A state slot for every parameter, filled with zeros.

    Args:
      params: tree of arrays, `ShapeDtypeStruct`s or Python numbers.
      decay: see `slot_dtype`.
      dtype: the slot's dtype, in place of the one that `slot_dtype` gives; complex parameters get its complex
        counterpart.
      real: whether the slot of a complex parameter is real (a second moment).

    Returns:
      A tree of strongly typed zeros with the shapes and, where it is known, the sharding of the parameters.
    """

    return filled(params, 0, lambda p: p.dtype if numerics.is_random_key(p) else _dtype_of_slot(p, decay, dtype, real))


def _dtype_of_slot(p: Any, decay: Any, dtype: Any, real: bool) -> np.dtype[Any]:
    wanted = slot_dtype(numerics.dtype_of(p), decay) if dtype is None else jax.dtypes.canonicalize_dtype(dtype)
    if real and numerics.is_complex(wanted):
        return numerics.wide(wanted)
    if not real and numerics.is_complex(numerics.dtype_of(p)):
        return numerics.at_precision(numerics.dtype_of(p), numerics.wide(wanted))
    return wanted


def copy_slot(params: Params, *, decay: Any = None, dtype: Any = None) -> PyTree:
    """A state slot for every parameter that starts as the parameter.

    Args:
      params: tree of arrays, `ShapeDtypeStruct`s (whose slots start as zeros) or Python numbers.
      decay: see `slot_dtype`; 0 keeps the dtypes of the parameters.
      dtype: see `new_slot`.

    Returns:
      A tree of strongly typed copies, in buffers of their own: parameters and state can be donated together.
    """

    return copied(params, lambda p: _dtype_of_slot(p, decay, dtype, real=False))


def new_scalar(value: Any, dtype: Any, params: Params) -> jax.Array:
    """A scalar of the state that will be computed from the gradients (a flag, a metric, a distance; not a step count).

    Args:
      value: its initial value.
      dtype: its dtype, for good.
      params: the parameters. Inside `shard_map` the scalar may come to differ between devices as they do, and a loop
        can carry it only if its type says so from the beginning.

    Returns:
      A strongly typed scalar.
    """
    return vary_like(jnp.full((), value, dtype), params)


def vary_like(tree: T, params: Params) -> T:
    """`tree`, of a type that may differ between devices wherever the parameters do; for states made in `init`.

    Args:
      tree: tree of arrays, such as the state of an inner transformation that will be updated only where the gradients
        allow it.
      params: the parameters.

    Returns:
      The same values. Outside `shard_map` nothing happens at all.
    """
    return numerics.varying(tree, numerics.manual_axes(params))


def moving_average(x: jax.Array, average: jax.Array, decay: Any) -> jax.Array:
    """decay * average + (1 - decay) * x.

    Args:
      x: the newest term.
      average: the average so far, of the shape and dtype of `x`.
      decay: scalar in [0, 1).

    Returns:
      The new average.
    """
    return scaled(average, decay) + scaled(x, 1 - decay)


def total_weight(decay: Any, count: Any) -> jax.Array:
    """1 - decay**count: what the weights of the first `count` terms of a moving average add up to.

    Args:
      decay: scalar in [0, 1).
      count: integer scalar, the number of terms.

    Returns:
      A scalar of the default floating dtype; accurate where `decay` is a Python number close to 1, since nothing is
      then subtracted from 1.
    """
    t = numerics.as_array(count).astype(float)
    if isinstance(decay, (int, float)) and 0 < decay < 1:
        return -jnp.expm1(t * math.log(decay))
    return 1 - jnp.asarray(decay, t.dtype) ** t


def debias(average: jax.Array, weight: Any) -> jax.Array:
    """average / weight: the mean that a moving average started from zero estimates.

    Args:
      average: a moving average.
      weight: scalar, `total_weight(decay, count)`.

    Returns:
      An array of the shape and dtype of `average`.
    """
    return average / jnp.asarray(weight, average.dtype)


def ratio(x: jax.Array, d: jax.Array) -> jax.Array:
    """x / d for a real d.

    Args:
      x: array, real or complex.
      d: real array of the shape of `x`, at the same precision.

    Returns:
      An array of the shape and dtype of `x`; a complex `x` is divided part by part.
    """
    return jax.lax.complex(x.real / d, x.imag / d) if numerics.is_complex(x.dtype) else x / d


def scheduled(value: ScalarOrSchedule, count: Any) -> Numeric:
    """`value`, or `value(count)` if it is a schedule.

    Args:
      value: a scalar, or a function of the step count.
      count: the number of steps taken so far.

    Returns:
      The scalar to use at this step.
    """
    return value(count) if callable(value) else value


def require_params(params: Params | None) -> Params:
    """Say clearly that a transformation cannot work without the parameters.

    Args:
      params: what `update` was given.

    Returns:
      `params`.

    Raises:
      ValueError: `params` is None.
    """
    if params is None:
        raise ValueError(NO_PARAMS_MSG)
    return params

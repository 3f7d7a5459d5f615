"""Show a transformation the same parameters in another layout."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    PyTree,
    Updates,
    checked_transformation,
    over_leaves,
    transformation,
    tree,
)

__all__ = [
    "SplitRealAndImaginaryArrays",
    "SplitRealAndImaginaryState",
    "flatten",
    "split_real_and_imaginary",
]


class SplitRealAndImaginaryArrays(NamedTuple):
    """What `split_real_and_imaginary` puts in the place of a complex array.

    Attributes:
      real: the real part, an array of the same shape.
      imaginary: the imaginary part, likewise real.
    """

    real: Any
    imaginary: Any


class SplitRealAndImaginaryState(NamedTuple):
    """State of `split_real_and_imaginary`.

    Attributes:
      inner_state: the state of the inner transformation, with `SplitRealAndImaginaryArrays` for complex arrays.
    """

    inner_state: OptState


@transformation
def flatten(inner: GradientTransformation) -> GradientTransformationExtraArgs:
    """Show `inner` all leaves as one vector: u = inner([g_1, g_2, ...]).

    Where the parameters are many small arrays this is one operation a step in place of many. A method that looks at
    the shapes (a norm for each leaf, a matrix) does something else on the vector, and arrays that are sharded
    differently are brought together.

    Args:
      inner: a transformation. Its vector is of the dtype to which those of the leaves promote, and has no place for
        integer parameters.

    Returns:
      A transformation whose state is that of `inner`. Every leaf of the updates keeps its dtype; a real one among
      complex ones gets the real part of its place in the vector.

    Raises:
      TypeError: `inner` is not a transformation.
      ValueError: from `update`, if the updates and the parameters differ in structure or in a shape.
    """
    inner = checked_transformation("inner", inner)

    def init(params: Params) -> OptState:
        if isinstance(params, tree.ParamsPlaceholder):
            return inner.init(_as_vector([]))  # nothing in this state has the structure of the parameters
        return inner.init(_as_vector(jax.tree.leaves(without_integers(params))))

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        arrays = without_float0(updates)
        p_vector = None
        if params is not None:
            params = without_integers(params)
            require_same_layout("params", params, "updates", arrays)
            p_vector = _as_vector(jax.tree.leaves(params))
        leaves, structure = jax.tree.flatten(arrays)
        treedef: Any = structure
        u_vector, state = inner.update(_as_vector(leaves), state, p_vector, **extra_args)
        parts, start = [], 0
        for g in leaves:
            stop = start + math.prod(jnp.shape(g))
            parts.append(jax.lax.slice_in_dim(u_vector, start, stop).reshape(jnp.shape(g)))
            start = stop

        def rule(g: jax.Array, u: jax.Array) -> jax.Array:
            return u if jnp.iscomplexobj(g) else u.real

        return over_leaves(rule, updates, reads=(treedef.unflatten(parts),)), state

    return GradientTransformationExtraArgs(init, update)


@transformation
def split_real_and_imaginary(inner: GradientTransformation) -> GradientTransformationExtraArgs:
    """Show `inner` every complex array as two real ones: u = inner(Re g) + i * inner(Im g).

    The real and the imaginary part are then parameters of their own: elementwise methods scale them independently.

    Args:
      inner: a transformation. In place of each complex array it sees a `SplitRealAndImaginaryArrays`; the other
        leaves it sees as they are.

    Returns:
      A transformation whose state is `SplitRealAndImaginaryState`. Extra arguments go to `inner` as they are.

    Raises:
      TypeError: `inner` is not a transformation.
    """
    inner = checked_transformation("inner", inner)

    def init(params: Params) -> SplitRealAndImaginaryState:
        return SplitRealAndImaginaryState(inner.init(jax.tree.map(_split, params)))

    def update(
        updates: Updates, state: SplitRealAndImaginaryState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, SplitRealAndImaginaryState]:
        updates, inner_state = inner.update(
            jax.tree.map(_split, updates),
            state.inner_state,
            None if params is None else jax.tree.map(_split, params),
            **extra_args,
        )
        return jax.tree.map(_join, updates, is_leaf=_is_split), SplitRealAndImaginaryState(inner_state)

    return GradientTransformationExtraArgs(init, update)


def _as_vector(leaves: list[Any]) -> Any:
    """One vector of all elements; abstract if a leaf is."""
    if any(isinstance(x, jax.ShapeDtypeStruct) for x in leaves):
        return jax.eval_shape(_as_vector, leaves)
    dtype = tree.dtype(leaves, "promote")
    parts = [jnp.ravel(jnp.asarray(x)).astype(dtype) for x in leaves]
    return jnp.concatenate([jnp.zeros(0, dtype), *parts])  # of nothing at all too


def _split(x: Any) -> Any:
    if not jnp.iscomplexobj(x):
        return x
    if isinstance(x, jax.ShapeDtypeStruct):
        struct: Any = jax.ShapeDtypeStruct  # unannotated in JAX
        part = struct(x.shape, np.finfo(x.dtype).dtype, sharding=x.sharding)
        return SplitRealAndImaginaryArrays(part, part)
    x = jnp.asarray(x)
    return SplitRealAndImaginaryArrays(x.real, x.imag)


def _join(part: Any) -> Any:
    return jax.lax.complex(part.real, part.imaginary) if _is_split(part) else part


def _is_split(x: Any) -> bool:
    return isinstance(x, SplitRealAndImaginaryArrays)


def require_same_layout(name: str, new: PyTree, old_name: str, old: PyTree) -> None:
    """Raise a ValueError that names both trees and the path, unless structures and shapes agree."""
    structures: list[Any] = [jax.tree.structure(t) for t in (new, old)]
    if structures[0] != structures[1]:
        raise ValueError(f"{name} and {old_name} differ in tree structure: {structures[0]} and {structures[1]}")
    for (path, x), y in zip(tree_leaves_with_path(new), jax.tree.leaves(old), strict=True):
        if jnp.shape(x) != jnp.shape(y):
            at = f" at {keystr(path)}" if path else ""
            raise ValueError(f"{name} and {old_name} differ in shape{at}: {jnp.shape(x)} and {jnp.shape(y)}")


def without_integers(params: Params) -> Params:
    """The parameters, with None for those that have no gradient."""
    return jax.tree.map(lambda p: p if jnp.issubdtype(tree.dtype(p), jnp.inexact) else None, params)


def without_float0(updates: Updates) -> Updates:
    """The updates, with None for those of integer parameters, which no arithmetic can take."""
    return jax.tree.map(lambda u: None if tree.dtype(u) == jax.dtypes.float0 else u, updates)

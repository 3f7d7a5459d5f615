"""What the products and diagonals do with their arguments before the mathematics starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import PyTree

__all__ = [
    "ABSENT",
    "Absent",
    "as_tree",
    "as_vector",
    "direction",
    "examples",
    "float_leaves",
    "real_scalar",
    "size",
    "vector_dtype",
]


class Absent:
    """An argument that was left out, where None may be meant."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent()


def float_leaves(params: PyTree, name: str = "params") -> PyTree:
    """The tree with strongly typed arrays for leaves, every one of them real and floating."""

    def as_array(path: tuple[Any, ...], leaf: Any) -> jax.Array:
        x = jnp.asarray(leaf)
        if not jnp.issubdtype(x.dtype, jnp.floating):
            why = (
                "take its real and imaginary parts as two leaves"
                if jnp.issubdtype(x.dtype, jnp.complexfloating)
                else "there is no derivative by it: bind it to the function beforehand"
            )
            raise TypeError(f"{name}{jax.tree_util.keystr(path)} has dtype {x.dtype}, not a real floating one; {why}")
        return jnp.asarray(x, x.dtype)

    return jax.tree_util.tree_map_with_path(as_array, params)


def real_scalar(name: str, function: Callable[..., Any], *arguments: Any) -> Callable[[PyTree], jax.Array]:
    """The function of `params` alone, with those `arguments` after them that are not ABSENT; its value is checked."""
    given = [x for x in arguments if x is not ABSENT]

    def value(params: PyTree) -> jax.Array:
        y = jnp.asarray(function(params, *given))
        if y.shape != ():
            raise ValueError(f"{name} must return a scalar, got shape {y.shape}; take the mean over the examples")
        if not jnp.issubdtype(y.dtype, jnp.floating):
            raise TypeError(f"{name} must return a real floating number, got dtype {y.dtype}")
        return jnp.asarray(y, y.dtype)

    return value


def size(tree: PyTree) -> int:
    """How many numbers there are in the leaves."""
    return sum(x.size for x in jax.tree.leaves(tree))


def vector_dtype(tree: PyTree) -> np.dtype[Any]:
    """The dtype of `as_vector`: the one that the leaves promote to, by JAX's standard rules."""
    with jax.numpy_dtype_promotion("standard"):
        return np.dtype(jnp.result_type(*[x.dtype for x in jax.tree.leaves(tree)] or [float]))


def as_vector(tree: PyTree) -> jax.Array:
    """The leaves one behind the other, as in `jax.flatten_util.ravel_pytree`."""
    dtype = vector_dtype(tree)
    leaves = [x.astype(dtype).reshape(-1) for x in jax.tree.leaves(tree)]
    return jnp.concatenate(leaves) if leaves else jnp.zeros(0, dtype)


def as_tree(vector: jax.Array, params: PyTree) -> PyTree:
    """The inverse of `as_vector`: a tree like `params`, in the dtypes of its leaves."""
    leaves, structure = jax.tree.flatten(params)
    ends = np.cumsum([x.size for x in leaves])
    parts = (vector[end - x.size : end] for x, end in zip(leaves, ends, strict=True))
    return jax.tree.unflatten(
        structure, [v.reshape(x.shape).astype(x.dtype) for v, x in zip(parts, leaves, strict=True)]
    )


def direction(v: Any, params: PyTree) -> PyTree:
    """`v` as a tree like `params`, whether it came as one or as a flat vector."""
    structure: Any = jax.tree.structure(params)
    alike: bool = jax.tree.structure(v) == structure
    if hasattr(v, "shape") and len(v.shape) == 1 and not (alike and jnp.ndim(params) == 1):
        if v.size != size(params):
            raise ValueError(f"v must have one element for each of the {size(params)} parameters, got shape {v.shape}")
        vector = jnp.asarray(v)
        if not jnp.issubdtype(vector.dtype, jnp.floating):
            raise TypeError(f"v must have dtype {vector_dtype(params)}, got {vector.dtype}")
        return as_tree(vector, params)
    if not alike:
        raise ValueError(
            f"v must be a tree like params, {structure}, or a flat vector in the order of ravel_pytree, "
            f"got {getattr(v, 'shape', None) or jax.tree.structure(v)}"
        )

    def on_leaf(path: tuple[Any, ...], t: Any, x: jax.Array) -> jax.Array:
        t, name = jnp.asarray(t), jax.tree_util.keystr(path)
        if t.shape != x.shape:
            raise ValueError(f"v{name} must have the shape of params{name}, {x.shape}, got {t.shape}")
        if t.dtype != x.dtype and not (t.weak_type and jnp.issubdtype(t.dtype, jnp.floating)):
            raise TypeError(f"v{name} must have the dtype of params{name}, {x.dtype}, got {t.dtype}")
        return jnp.asarray(t, x.dtype)

    return jax.tree_util.tree_map_with_path(on_leaf, v, params)


def examples(instead: str, **named: PyTree) -> int:
    """The length of the leading axis that all leaves share; `instead` says what to do without one."""
    shapes = {
        f"{name}{jax.tree_util.keystr(path)}": jnp.shape(x)
        for name, tree in named.items()
        for path, x in jax.tree_util.tree_leaves_with_path(tree)
    }
    lengths = {shape[0] if shape else None for shape in shapes.values()}
    if len(lengths) != 1 or None in lengths:
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "no arrays at all"
        raise ValueError(
            f"the examples must lie along the first axis of every leaf of {' and '.join(named)}, got {found}; {instead}"
        )
    (length,) = lengths
    if not length:
        raise ValueError(f"there must be an example at least in {' and '.join(named)}, got none")
    return length

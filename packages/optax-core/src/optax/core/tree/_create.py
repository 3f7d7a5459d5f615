"""New trees in the shape of old ones, and their dtypes."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core._allocate import filled
from optax.core._numerics import (
    as_array,
    dtype_of,
    holds_random_key,
    is_complex,
    is_float0,
    is_random_key,
    promoted,
)
from optax.core._types import PyTree

__all__ = [
    "batch_shape",
    "cast",
    "cast_like",
    "dtype",
    "full_like",
    "ones_like",
    "random_like",
    "size",
    "split_key_like",
    "unwrap_random_key_data",
    "zeros_like",
]


def full_like(tree: PyTree, fill_value: Any, dtype: Any = None) -> PyTree:
    """A tree of the shapes of `tree`, filled with one value.

    Args:
      tree: tree of arrays, `ShapeDtypeStruct`s or Python numbers.
      fill_value: scalar.
      dtype: dtype of every leaf; None for that of each leaf of `tree`.

    Returns:
      A tree of strongly typed arrays.
    """

    return filled(tree, fill_value, lambda x: dtype_of(x) if dtype is None else dtype)


def zeros_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """`full_like` with zeros.

    Args:
      tree: tree of arrays, `ShapeDtypeStruct`s or Python numbers.
      dtype: dtype of every leaf; None for that of each leaf of `tree`.

    Returns:
      A tree of strongly typed zeros.
    """
    return full_like(tree, 0, dtype)


def ones_like(tree: PyTree, dtype: Any = None) -> PyTree:
    """`full_like` with ones.

    Args:
      tree: tree of arrays, `ShapeDtypeStruct`s or Python numbers.
      dtype: dtype of every leaf; None for that of each leaf of `tree`.

    Returns:
      A tree of strongly typed ones.
    """
    return full_like(tree, 1, dtype)


def split_key_like(rng_key: jax.Array, target_tree: PyTree) -> PyTree:
    """One random key for every leaf.

    Args:
      rng_key: key, typed or raw.
      target_tree: any tree.

    Returns:
      A tree of the structure of `target_tree` whose leaves are keys split from `rng_key`.
    """
    treedef: Any = jax.tree.structure(target_tree)
    return treedef.unflatten(jax.random.split(rng_key, treedef.num_leaves))


def random_like(
    rng_key: jax.Array,
    target_tree: PyTree,
    sampler: Callable[..., jax.Array] = jax.random.normal,
    dtype: Any = None,
) -> PyTree:
    """Independent random leaves in the shapes of a tree.

    Args:
      rng_key: key, typed or raw.
      target_tree: tree of arrays or `ShapeDtypeStruct`s.
      sampler: `sampler(key, shape, dtype)`, such as `jax.random.normal`.
      dtype: dtype of every leaf; None for that of each leaf of `target_tree`.

    Returns:
      A tree of the structure and the shapes of `target_tree`.
    """
    keys = split_key_like(rng_key, target_tree)
    return jax.tree.map(
        lambda x, key: sampler(key, jnp.shape(x), dtype_of(x) if dtype is None else dtype), target_tree, keys
    )


def unwrap_random_key_data(input_tree: PyTree) -> PyTree:
    """Replace typed random keys by the integers in them (to store them, say).

    Args:
      input_tree: tree of arrays, some of them typed keys.

    Returns:
      The same tree, with uint32 arrays in place of keys.
    """
    return jax.tree.map(lambda x: jax.random.key_data(x) if holds_random_key(x) else x, input_tree)


def batch_shape(tree: PyTree, shape: tuple[int, ...] = ()) -> PyTree:
    """Repeat every leaf along new leading axes.

    Args:
      tree: tree of arrays.
      shape: the lengths of the new axes.

    Returns:
      A tree whose leaves have the shapes `shape + leaf.shape`.
    """
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*shape, *jnp.shape(x))), tree)


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """Convert every leaf to one dtype.

    Args:
      tree: tree of arrays.
      dtype: the dtype; None leaves the tree as it is.

    Returns:
      The tree in `dtype`; random keys, and gradients of dtype float0, as they are.

    Raises:
      TypeError: a complex leaf would become real; take `real` first if that is meant.
    """
    return tree if dtype is None else jax.tree.map(lambda x: _cast_leaf(x, jax.dtypes.canonicalize_dtype(dtype)), tree)


def cast_like(tree: PyTree, other_tree: PyTree) -> PyTree:
    """Convert every leaf to the dtype of its counterpart.

    Args:
      tree: tree of arrays.
      other_tree: tree of the same structure; only its dtypes count.

    Returns:
      `tree` in the dtypes of `other_tree`; random keys, and gradients of dtype float0, as they are.

    Raises:
      TypeError: a complex leaf would become real.
    """
    return jax.tree.map(lambda x, like: _cast_leaf(x, dtype_of(like)), tree, other_tree)


def _cast_leaf(x: Any, to: Any) -> Any:
    if is_float0(x) or is_random_key(x):
        return x
    if is_complex(dtype_of(x)) and not is_complex(to) and to != np.dtype(bool):
        raise TypeError(f"casting a {dtype_of(x)} leaf to {to} would drop its imaginary part")
    return as_array(x).astype(to)


def dtype(tree: PyTree, mixed_dtype_handler: str | None = None) -> np.dtype[Any]:
    """The dtype of a tree.

    Args:
      tree: tree of arrays.
      mixed_dtype_handler: what to do if the leaves disagree. None: raise. "promote": JAX's standard promotion of all.
        "highest", "lowest": the leaf dtype that all others promote to, or that promotes to all others.

    Returns:
      A dtype; the default floating one for a tree without leaves.

    Raises:
      ValueError: the leaves disagree and `mixed_dtype_handler` is None, no leaf has the highest or lowest dtype
        (float16 beside bfloat16), or the handler is none of these.
    """
    if mixed_dtype_handler not in (None, "promote", "highest", "lowest"):
        allowed = 'None, "promote", "highest" or "lowest"'
        raise ValueError(f"mixed_dtype_handler must be {allowed}, not {mixed_dtype_handler!r}")
    found: dict[np.dtype[Any], str] = {}
    for path, leaf in tree_leaves_with_path(tree):
        found.setdefault(dtype_of(leaf), keystr(path))
    if not found:
        return jnp.asarray(0.0).dtype
    first, *others = found
    if not others:
        return first
    if mixed_dtype_handler is None:
        listed = ", ".join(f"{d} at {path}" for d, path in found.items())
        raise ValueError(f"the leaves have different dtypes: {listed}")
    if mixed_dtype_handler == "promote":
        return functools.reduce(promoted, found)
    for d in found:
        target = [d if mixed_dtype_handler == "highest" else other for other in found]
        if [promoted(d, other) for other in found] == target:
            return d
    raise ValueError(
        f"none of {', '.join(map(str, found))} is the {mixed_dtype_handler}: they do not promote to each other"
    )


def size(tree: PyTree) -> int:
    """The number of elements in all leaves.

    Args:
      tree: tree of arrays.

    Returns:
      A Python int.
    """
    return sum(int(np.size(x)) if not hasattr(x, "size") else int(x.size) for x in jax.tree.leaves(tree))

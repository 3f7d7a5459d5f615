"""Bringing a state that was saved elsewhere into the form that it has here."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, keystr, tree_leaves_with_path

from optax.core._numerics import dtype_of, is_random_key
from optax.core._types import PyTree
from optax.core.tree._lookup import KeyPath, children_of, is_named_tuple, spelled

__all__ = ["restore_like"]

_KINDS = (jnp.bool_, jnp.integer, jnp.floating, jnp.complexfloating)  # each can take those before it


def restore_like(tree: PyTree, target_tree: PyTree) -> PyTree:
    """Give the values of a restored tree the form of another: the state of a checkpoint that of this library.

    Checkpoints of optax 0.2.x mostly restore without it. It is for those whose states differ in classes, dtypes, last
    fields or scalars of shape (1,), and for those that were read without their classes: the dicts of flax's
    `msgpack_restore`, or what Orbax gives without a target. Nothing of the library that saved them need be installed.

    Every value goes where the names of its path lead. A field of a named tuple has its name or its position, an element
    of a tuple its index, as a number or a string. What has neither an array with elements nor a number in it (None,
    `EmptyState()`, {}) stands for any other such thing, or for nothing at all.

    Args:
      tree: the values: named tuples, tuples, lists, dicts with such keys, and other pytrees.
      target_tree: the form, `tx.init(params)` or what `jax.eval_shape(tx.init, params)` returns. The dtypes are its
        own, but no number loses its fraction or its imaginary part for it. A typed random key gives its integers.

    Returns:
      The tree of the target's containers with the values found, as JAX arrays. A field that `tree` does not have and
      that is None by default is None: the next update computes it, and changes the structure, so do not begin with
      such a state in a `scan`. What `tree` has beyond the target in `hyperparams` is left out: it is not injected here.

    Raises:
      ValueError: values are missing, left over, or of another shape or kind; the message lists all of them.
    """
    problems: list[str] = []
    restored = _restored((), target_tree, tree, problems)
    if problems:
        raise ValueError(f"the tree does not have the form of the target: {'; '.join(problems)}")
    return restored


def _restored(path: KeyPath, target: Any, found: Any, problems: list[str]) -> Any:
    if not _has_values(target):
        problems += _unused(path, found)
        return jax.tree.map(lambda x: jnp.zeros(jnp.shape(x), dtype_of(x)), target)
    pairs, treedef = children_of(target)
    if not pairs:
        return _converted(path, target, found, problems)
    parts = {_name(key): part for key, part in children_of(found)[0]}
    if not parts:
        problems += _unused(path, found)  # an array where the target has a container
    by_position = is_named_tuple(target) and {*parts} == {str(i) for i in range(len(parts))}
    defaults = getattr(target, "_field_defaults", {})
    children = []
    for i, (key, child) in enumerate(pairs):
        part = parts.pop(str(i) if by_position else _name(key), None)
        optional = defaults.get(_name(key), key) is None
        children.append(
            None
            if optional and _has_values(child) and not _has_values(part)
            else _restored((*path, key), child, part, problems)
        )
    if not path or _name(path[-1]) not in ("hyperparams", "hyperparams_states"):
        for name, part in parts.items():
            problems += _unused((*path, DictKey(name)), part)
    return treedef.unflatten(children)


def _converted(path: KeyPath, target: Any, found: Any, problems: list[str]) -> Any:
    shape, dtype = jnp.shape(target), dtype_of(target)
    if not _has_values(found):
        problems.append(f"nothing is found for {spelled(path)}")
        return target
    if children_of(found)[0]:
        problems.append(f"a {type(found).__name__} is found for the array {spelled(path)}")
        return target
    if is_random_key(found) and not is_random_key(target):
        found = jax.random.key_data(found)
    if jnp.iscomplexobj(found) and not jnp.issubdtype(dtype, jnp.complexfloating) and not np.any(np.imag(found)):
        found = found.real  # a mean of squares of complex numbers
    if jnp.shape(found) != shape and {jnp.shape(found), shape} != {(), (1,)}:
        problems.append(f"{spelled(path)} has the shape {shape}, {jnp.shape(found)} is found")
    elif dtype_of(found) != dtype and _kind(found) > _kind(target):
        problems.append(f"{spelled(path)} has the dtype {dtype}, {dtype_of(found)} is found")
    else:
        return jnp.reshape(found if is_random_key(found) else jnp.asarray(found, dtype), shape)
    return target


def _has_values(tree: Any) -> bool:
    """Whether a number is in it: an array without elements says no more than None."""
    return any(np.prod(jnp.shape(x)) for x in jax.tree.leaves(tree))


def _unused(path: KeyPath, found: Any) -> list[str]:
    leaves = tree_leaves_with_path(found)
    return [f"nothing takes {spelled(path)}{keystr(rest)}" for rest, x in leaves if _has_values(x)]


def _kind(x: Any) -> int:
    return next((i for i, kind in enumerate(_KINDS) if jnp.issubdtype(dtype_of(x), kind)), len(_KINDS))


def _name(key: Any) -> str:
    """A name of a dict's key, a field or an index, whatever way they are spelled."""
    return str(next((getattr(key, a) for a in ("name", "key", "idx") if hasattr(key, a)), key))

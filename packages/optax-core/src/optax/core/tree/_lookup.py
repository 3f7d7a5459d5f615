"""Finding, replacing and mapping the parts of an optimizer's state by name."""

import collections
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import DictKey, GetAttrKey, keystr, tree_flatten_with_path

from optax.core._numerics import dtype_of, is_inexact
from optax.core._types import GradientTransformation, MaskedNode, Params, PyTree, TransformInitFn

__all__ = ["NamedTupleKey", "ParamsPlaceholder", "get", "get_all_with_path", "map_params", "set"]


@dataclasses.dataclass(frozen=True)
class NamedTupleKey:
    """The step of a key path from a named tuple to one of its fields.

    Attributes:
      tuple_name: name of the tuple's class.
      name: name of the field.
    """

    tuple_name: str
    name: str

    def __str__(self) -> str:
        return f"{self.tuple_name}.{self.name}"


KeyPath: TypeAlias = tuple[Any, ...]
Filter: TypeAlias = Callable[[KeyPath, Any], Any]


def is_named_tuple(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(x, "_fields")


def children_of(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """The (key, child) pairs of one pytree node, and what puts them together again; none for a leaf."""
    pairs, treedef = tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    if len(pairs) == 1 and not pairs[0][0]:  # a leaf is its own only child
        return [], treedef
    if is_named_tuple(node):
        return [(NamedTupleKey(type(node).__name__, path[0].name), x) for path, x in pairs], treedef
    return [(path[0], x) for path, x in pairs], treedef


def _matches(key: Any, path: KeyPath, value: Any, filtering: Filter | None) -> bool:
    last = path[-1] if path else None
    names = [last.key] if isinstance(last, DictKey) else []
    names += [last.name] if isinstance(last, (NamedTupleKey, GetAttrKey)) else []
    names += [type(value).__name__] if is_named_tuple(value) else []
    return key in names and (filtering is None or bool(filtering(path, value)))


def _walk(tree: PyTree) -> Iterator[tuple[KeyPath, Any]]:
    """Every node with its path, those near the root first."""
    queue: collections.deque[tuple[KeyPath, Any]] = collections.deque([((), tree)])
    while queue:
        path, node = queue.popleft()
        yield path, node
        queue.extend(((*path, key), child) for key, child in children_of(node)[0])


def get_all_with_path(tree: PyTree, key: Any, filtering: Filter | None = None) -> list[tuple[KeyPath, Any]]:
    """Everything in a tree that goes by a name.

    Args:
      tree: any tree, an optimizer's state for one.
      key: a key of a dict, a field of a named tuple or dataclass, or the class name of a named tuple.
      filtering: `filtering(path, value)` tells which matches to keep. A path is a tuple of JAX's keys, but
        `NamedTupleKey` for the fields of named tuples.

    Returns:
      (path, value) pairs, those near the root first.
    """
    return [(path, value) for path, value in _walk(tree) if _matches(key, path, value, filtering)]


def get(tree: PyTree, key: Any, default: Any = None, filtering: Filter | None = None) -> Any:
    """The one thing in a tree that goes by a name.

    Args:
      tree: any tree, an optimizer's state for one.
      key: see `get_all_with_path`.
      default: what to return if there is none.
      filtering: see `get_all_with_path`.

    Returns:
      The value found, or `default`.

    Raises:
      KeyError: several match; the message lists their paths, and `filtering` can tell them apart.
    """
    found = get_all_with_path(tree, key, filtering)
    if len(found) > 1:
        places = ", ".join(spelled(path) for path, _ in found)
        raise KeyError(f"{len(found)} values go by the name {key!r}: at {places}")
    return found[0][1] if found else default


def set(tree: PyTree, filtering: Filter | None = None, /, **kwargs: Any) -> PyTree:
    """Replace everything in a tree that goes by given names.

    Args:
      tree: any tree, an optimizer's state for one.
      filtering: see `get_all_with_path`.
      **kwargs: the new value for each name. A Python number, or a tree of them, takes the dtype of the arrays that it
        replaces, so that a jitted step is not compiled again.

    Returns:
      The tree with the new values.

    Raises:
      KeyError: a name is nowhere in the tree.
      TypeError: a Python number with a fraction would replace an integer.
    """
    for key in kwargs:
        if not get_all_with_path(tree, key, filtering):
            raise KeyError(f"nothing in the tree goes by the name {key!r}")

    def rebuilt(path: KeyPath, node: Any) -> Any:
        for key, value in kwargs.items():
            if _matches(key, path, node, filtering):
                return _in_place_of(node, value)
        pairs, treedef = children_of(node)
        return treedef.unflatten([rebuilt((*path, key), child) for key, child in pairs]) if pairs else node

    return rebuilt((), tree)


def _in_place_of(old: Any, new: Any) -> Any:
    def on_leaf(before: Any, after: Any) -> Any:
        weak = getattr(after, "weak_type", isinstance(after, (bool, int, float, complex)))
        if not weak or not isinstance(before, (jax.Array, np.ndarray, np.generic)):
            return after
        whole = not is_inexact(dtype_of(after)) or (isinstance(after, float) and after.is_integer())
        if jnp.issubdtype(before.dtype, jnp.integer) and not whole:
            raise TypeError(f"{after} does not fit the dtype {before.dtype} of what it replaces")
        return jnp.asarray(after, before.dtype)

    old_structure: Any = jax.tree.structure(old)
    if old_structure != jax.tree.structure(new):
        return new
    return jax.tree.map(on_leaf, old, new)


def spelled(path: KeyPath) -> str:
    return "".join(f"[{k}]" if isinstance(k, NamedTupleKey) else keystr((k,)) for k in path) or "the root"


@jax.tree_util.register_pytree_node_class
class ParamsPlaceholder:
    """Stands for the whole tree of parameters: a node without leaves, which `init` copies wherever it makes a slot.

    `map_params` calls `init` with it. A wrapper whose `init` looks into the parameters has to pass it on as it is.
    """

    def tree_flatten(self) -> tuple[tuple[()], None]:
        return (), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: tuple[()]) -> "ParamsPlaceholder":
        return cls()


def _is_placeholder(x: Any) -> bool:
    return isinstance(x, ParamsPlaceholder)


def _is_masked(x: Any) -> bool:
    return isinstance(x, MaskedNode)


def map_params(
    initable: GradientTransformation | TransformInitFn,
    f: Callable[..., Any],
    state: PyTree,
    /,
    *rest: Params,
    transform_non_params: Callable[[Any], Any] | None = None,
    is_leaf: Callable[[Any], bool] | None = None,
) -> PyTree:
    """Map a function over those parts of a state that are trees of the parameters' structure.

    Args:
      initable: the transformation that made the state, or its `init`.
      f: takes one leaf of such a part and the leaf at the same place of each tree in `rest`.
      state: the state.
      *rest: trees of the parameters' structure (their sharding, say).
      transform_non_params: applied to all other leaves (counters, norms); None leaves them as they are.
      is_leaf: as in `jax.tree.map`, for the leaves of the parameters.

    Returns:
      The new state.
    """
    init: Any = getattr(initable, "init", initable)
    pattern = init(ParamsPlaceholder())

    def on_param(leaf: Any, *others: Any) -> Any:
        return leaf if _is_masked(leaf) and not (is_leaf and is_leaf(leaf)) else f(leaf, *others)

    def on_part(part: Any, actual: Any) -> Any:
        if _is_placeholder(part):
            return jax.tree.map(
                on_param, actual, *rest, is_leaf=lambda x: _is_masked(x) or bool(is_leaf and is_leaf(x))
            )
        # A leaf of the pattern may stand for a tree whose form `init` cannot know without the parameters.
        return actual if transform_non_params is None else jax.tree.map(transform_non_params, actual)

    return jax.tree.map(on_part, pattern, state, is_leaf=_is_placeholder)

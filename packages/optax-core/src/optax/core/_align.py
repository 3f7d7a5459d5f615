"""Walking several trees side by side, with one good message when they do not match."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

from optax.core._numerics import is_float0

Fit: TypeAlias = Callable[[tuple[int, ...], tuple[int, ...]], Any]


def _is_none(x: Any) -> bool:
    return x is None


def _flatten(tree: Any) -> tuple[list[Any], Any]:
    leaves, treedef = jax.tree.flatten(tree, is_leaf=_is_none)
    return leaves, treedef


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape) if hasattr(x, "shape") else np.shape(x)


def any_shapes(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Let every two shapes go together."""
    return True


def same_or_scalar(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Let equal shapes go together, and a scalar with any: it is a factor or an offset."""
    return a == b or () in (a, b)


def on_pairs(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`operation` for two leaves that are both arrays, or both None."""

    def rule(x: Any, y: Any) -> Any:
        if (x is None) != (y is None):
            raise ValueError("one tree has None where the other has an array")
        return None if x is None else operation(x, y)

    return rule


def map_aligned(rule: Callable[..., Any], names: Sequence[str], *trees: Any, fit: Fit = operator.eq) -> Any:
    """Map `rule` over the leaves of trees of one structure: `rows_aligned`, put together again.

    Returns:
      The tree of results, with the structure of the first tree.
    """
    results, treedef = rows_aligned(rule, names, *trees, fit=fit)
    return treedef.unflatten(results)


def rows_aligned(
    rule: Callable[..., Any], names: Sequence[str], *trees: Any, fit: Fit = operator.eq, prefixed: Sequence[Any] = ()
) -> tuple[list[Any], Any]:
    """Apply `rule` to the leaves of trees of one structure, one after the other.

    Args:
      rule: takes one leaf of each tree. A leaf may be None in any of them, and the rule must cope.
      names: what the trees are called in messages, first tree first.
      *trees: trees of the structure of the first; None counts as a leaf.
      fit: whether a leaf of the first tree may have another shape than its counterpart.
      prefixed: trees that have any tree in the place of each leaf of the first; the rule takes those trees last.

    Returns:
      The results, and the structure of the first tree.

    Raises:
      ValueError: the structures differ, or the shapes of two leaves; names the trees, the path and both sides.
    """
    leaves, treedef = _flatten(trees[0])
    columns = [leaves]
    for name, tree in zip(names[1:], trees[1:], strict=True):
        others, other_treedef = _flatten(tree)
        if other_treedef != treedef:
            raise _structure_error(names[0], trees[0], name, tree)
        for i, (leaf, other) in enumerate(zip(leaves, others, strict=True)):
            if leaf is None or other is None or is_float0(leaf) or is_float0(other):
                continue
            a, b = _shape(leaf), _shape(other)
            if not fit(a, b):
                raise ValueError(f"{names[0]} and {name} differ in shape{_at(trees[0], i)}: {a} and {b}")
        columns.append(others)
    for tree in prefixed:
        try:
            columns.append(treedef.flatten_up_to(tree))
        except ValueError:
            raise _structure_error(names[0], trees[0], "a tree of summaries", tree) from None
    results = []
    for i, row in enumerate(zip(*columns, strict=True)):
        try:
            results.append(rule(*row))
        except Exception as error:
            error.add_note(f"at the leaf{_at(trees[0], i)} of {names[0]}")
            raise
    return results, treedef


def _at(tree: Any, i: int) -> str:
    path = keystr(tree_flatten_with_path(tree, is_leaf=_is_none)[0][i][0])
    return f" at {path}" if path else ""


def _structure_error(name: str, tree: Any, other_name: str, other: Any) -> ValueError:
    paths, other_paths = (
        [keystr(path) for path, _ in tree_flatten_with_path(t, is_leaf=_is_none)[0]] for t in (tree, other)
    )
    head = f"{name} and {other_name} differ in tree structure: "
    for have, lack, found in (
        (name, other_name, set(paths) - set(other_paths)),
        (other_name, name, set(other_paths) - set(paths)),
    ):
        if found:
            first = min(found, key=(paths + other_paths).index)
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            return ValueError(f"{head}{have} has a leaf at {first or 'the root'}{more} where {lack} has none")
    return ValueError(f"{head}{jax.tree.structure(tree)} and {jax.tree.structure(other)}")

"""Choose leaves by their paths."""

from __future__ import annotations

import collections
import fnmatch
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
from jax.tree_util import GetAttrKey, keystr, tree_flatten_with_path

from optax.core import MaskedNode, PyTree, Recipe
from optax.transforms._mask import listed

__all__ = ["PathMask", "at_paths"]

Pattern: TypeAlias = str | Callable[..., Any]
"""Which leaves: a glob over their paths, a predicate of the path, or one of path and leaf."""


class PathMask:
    """A mask made of patterns: called with a tree, it says of each leaf whether one of them matches. See `at_paths`.

    `~mask` is True where `mask` is False. Masks made by equal calls are equal and hash alike; they print as that
    call, and pickle if their patterns do.

    Args:
      patterns: globs and predicates.
      invert: whether the mask is True where no pattern matches.
    """

    def __init__(self, patterns: tuple[Pattern, ...], invert: bool):
        self._patterns = patterns
        self._invert = invert
        self._recipe = Recipe.of(at_paths, *patterns, **({"invert": True} if invert else {}))

    def __call__(self, params: PyTree) -> PyTree:
        """The tree of booleans for `params`."""
        leaves, treedef = leaves_by_path(params)
        rows = [[matches(pattern, path, leaf) for pattern in self._patterns] for path, leaf in leaves]
        unmatched = [p for p, hits in zip(self._patterns, zip(*rows, strict=True), strict=False) if not any(hits)]
        if unmatched and not hides_leaves(params):
            raise ValueError(
                f"at_paths: patterns that match nothing: {listed(unmatched)}; there is {listed([p for p, _ in leaves])}"
            )
        return treedef.unflatten([any(hits) != self._invert for hits in rows])

    def __invert__(self) -> PathMask:
        return PathMask(self._patterns, not self._invert)

    def __repr__(self) -> str:
        return repr(self._recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PathMask) and self._recipe == other._recipe

    def __hash__(self) -> int:
        return hash(self._recipe)


def at_paths(*patterns: Pattern, invert: bool = False) -> PathMask:
    """A mask that is True for the leaves whose path matches one of the patterns.

    A leaf's path is what leads to it, joined by "/": keys of dicts, names of attributes, positions in sequences, as in
    "encoder/layers/0/kernel". (A box with nothing in it but a `value`, as flax has them, is no part of it.) A glob must
    match all of the path, in upper and lower case as it is. `*` stands for any run of characters, "/" among them, `?`
    for one character, `[ab]` for one of those. A leading `*/` also stands for nothing: "*/bias" is every leaf called
    bias, at the top too.

    >>> at_paths("*/bias")({"dense": {"kernel": 1.0, "bias": 0.0}, "bias": 0.0})
    {'bias': True, 'dense': {'bias': True, 'kernel': False}}

    Args:
      *patterns: globs, or predicates: a function of the path, or of path and leaf (an array, or the form of one). For
        a regular expression, `re.compile(...).search`.
      invert: whether the mask is True where no pattern matches; `~at_paths(...)` is short for it.

    Returns:
      A function from a tree to a tree of booleans, to be used as a mask; None counts as a leaf. It raises a ValueError
      if a pattern matches no leaf, unless the tree has none, or another mask has hidden some (`MaskedNode`).

    Raises:
      TypeError: a pattern is neither a string nor a function.
      ValueError: there are no patterns.
    """
    if not patterns:
        raise ValueError("at_paths needs at least one pattern")
    for pattern in patterns:
        check_pattern("a pattern of at_paths", pattern)
    return PathMask(patterns, invert)


def check_pattern(name: str, pattern: Any) -> None:
    """Reject what is neither a glob nor a predicate."""
    if not isinstance(pattern, str) and not callable(pattern):
        raise TypeError(f"{name} must be a string or a function of the path, not {pattern!r}")


def matches(pattern: Pattern, path: str, leaf: Any) -> bool:
    """Whether a leaf is one of those that the pattern means."""
    if not isinstance(pattern, str):
        return bool(leaf is not None and pattern(path, leaf) if _takes_leaf(pattern) else pattern(path))
    at_top = pattern.startswith("*/") and fnmatch.fnmatchcase(path, pattern.removeprefix("*/"))
    return at_top or fnmatch.fnmatchcase(path, pattern)


def _takes_leaf(predicate: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(predicate).parameters.values()
    except ValueError:  # some builtins have none
        return False
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) > 1


def leaves_by_path(params: PyTree) -> tuple[list[tuple[str, Any]], Any]:
    """Path and leaf for every leaf, and the structure. None is a leaf here: a gradient may be None now and then."""
    leaves, treedef = tree_flatten_with_path(params, is_leaf=lambda x: x is None)
    inside = collections.Counter(path[:i] for path, _ in leaves for i in range(len(path)))

    def spelled(path: tuple[Any, ...]) -> str:
        # Boxes come and go: flax's nnx gives them to `init`, and to `update` what is in them.
        boxed = bool(path) and path[-1] == GetAttrKey("value") and inside[path[:-1]] == 1
        return keystr(path[:-1] if boxed else path, simple=True, separator="/")

    return [(spelled(path), leaf) for path, leaf in leaves], treedef


def hides_leaves(params: PyTree) -> bool:
    """Whether a mask has taken leaves away, so that what is left cannot tell that a pattern is wrong."""
    nodes = jax.tree.leaves(params, is_leaf=lambda x: isinstance(x, MaskedNode))
    return any(isinstance(x, MaskedNode) for x in nodes)

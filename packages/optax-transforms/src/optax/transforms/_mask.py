"""Apply a transformation to some of the leaves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_leaves_with_path, tree_map_with_path

from optax.core import (
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskedNode,
    MaskOrFn,
    OptState,
    Params,
    PyTree,
    Updates,
    checked_transformation,
    set_to_zero,
    transformation,
    tree,
)

__all__ = ["MaskedNode", "MaskedState", "freeze", "masked"]

KeyPath: TypeAlias = tuple[Any, ...]


class MaskedState(NamedTuple):
    """State of `masked`.

    Attributes:
      inner_state: the state of the inner transformation, with `MaskedNode()` in place of what the mask takes away.
    """

    inner_state: OptState


@transformation
def masked(
    inner: GradientTransformation,
    mask: MaskOrFn,
    *,
    mask_compatible_extra_args: bool = False,
    unmasked: Literal["pass", "zero"] = "pass",
) -> GradientTransformationExtraArgs:
    """Apply `inner` where the mask is True.

    Elsewhere the updates pass as they are, and that is not to freeze: a gradient that nothing transforms is added to
    its parameter, which ascends. `unmasked="zero"`, `selective_transform` and `freeze` are ways to leave a parameter
    alone.

    Args:
      inner: a transformation.
      mask: tree of booleans with the structure of the parameters, a prefix of one (a boolean for a whole subtree), or
        a function that makes it from a tree of that structure (`at_paths` is one). `update` calls it on the
        parameters where it has them, and on the updates otherwise. A callable pytree (a module) is the mask itself.
      mask_compatible_extra_args: whether extra arguments of `update` that have the structure of the updates are
        masked along with them, and functions among them (a `value_fn`) get the whole parameters to compute with.
      unmasked: what becomes of the updates where the mask is False: "pass" or "zero" (true zeros, for NaN too).

    Returns:
      A transformation whose state is `MaskedState`; no state is kept where the mask is False.

    Raises:
      TypeError: `inner` is no transformation; from `init` or `update`, if the mask holds something other than booleans
        that are known when the update is traced.
      ValueError: `unmasked` is neither of the two; from `init` or `update`, if the mask is no prefix of the tree.
    """
    if unmasked not in ("pass", "zero"):
        raise ValueError(f'unmasked must be "pass" or "zero", not {unmasked!r}')
    inner = checked_transformation("inner", inner)
    zeros = set_to_zero().update

    def init(params: Params) -> MaskedState:
        if isinstance(params, tree.ParamsPlaceholder):
            return MaskedState(inner.init(params))
        return MaskedState(inner.init(split_by_mask(mask, params).part(True, params, "the params")))

    def update(
        updates: Updates, state: MaskedState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MaskedState]:
        split = split_by_mask(mask, updates if params is None else params)
        if mask_compatible_extra_args:
            extra_args = split.extra_args(True, updates, params, extra_args)
        inside, inner_state = inner.update(
            split.part(True, updates, "the updates"),
            state.inner_state,
            None if params is None else split.part(True, params, "the params"),
            **extra_args,
        )
        outside = updates if unmasked == "pass" else zeros(split.part(False, updates, "the updates"), EmptyState())[0]
        return split.joined([outside, inside]), MaskedState(inner_state)

    return GradientTransformationExtraArgs(init, update)


@transformation
def freeze(mask: MaskOrFn) -> GradientTransformationExtraArgs:
    """Replace the updates by zeros where the mask is True, NaN and infinity included.

    It acts where it stands. The stages before it have seen the frozen leaves, kept a state for them and counted them
    in their norms: `selective_transform` hides them from an optimizer altogether.

    Args:
      mask: as in `masked`; True where the parameters are frozen.

    Returns:
      A transformation whose state is `MaskedState(EmptyState())`.

    Raises:
      TypeError: from `init` or `update`, if the mask holds something other than booleans.
      ValueError: from `init` or `update`, if the mask is no prefix of the tree.
    """
    return masked(set_to_zero(), mask)


# What `partition` and `rules` share with `masked`.

_NO_PREFIX = "is neither of the tree's structure nor a prefix of it"


class Split:
    """Which part of a tree goes where: a tree of the parts' numbers, with the structure of the tree or a prefix."""

    def __init__(self, name: str, numbers: PyTree):
        self.name = name  # of the argument that it was made from
        self.numbers = numbers

    def part(self, number: int, whole: PyTree, what: str) -> PyTree:
        """`whole`, with `MaskedNode()` in place of all that is not in this part; `what` is its name in messages."""

        def on_entry(path: KeyPath, n: int, subtree: PyTree) -> PyTree:
            return subtree if n == number else MaskedNode()

        return map_prefix(on_entry, self.numbers, whole, f"{self.name} does not fit {what}")

    def joined(self, parts: Sequence[PyTree]) -> PyTree:
        """The parts put together again, in the order of their numbers."""
        return jax.tree.map(lambda n, *subtrees: subtrees[n], self.numbers, *parts)

    def extra_args(
        self, number: int, updates: Updates, params: Params | None, extra_args: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The extra arguments that fit a part: trees cut down to it, functions of a part that they fill up."""
        structures: list[Any] = [jax.tree.structure(t) for t in (updates, params) if t is not None]

        def on_argument(x: Any) -> Any:
            if is_function(x):
                return x if params is None else self._of_whole_params(x, number, params)
            structure: Any = jax.tree.structure(x)
            if structure not in structures:
                return x
            if jax.tree_util.treedef_is_leaf(structure) and np.shape(x) != np.shape(updates):
                return x  # a loss value, beside parameters that are a bare array
            return self.part(number, x, "an extra argument")

        return {name: on_argument(x) for name, x in extra_args.items()}

    def _of_whole_params(self, f: Callable[..., Any], number: int, params: Params) -> Callable[..., Any]:
        """`f`, to be called with a part of the parameters where it expects all of them; the others stay as they are."""
        structure: Any = jax.tree.structure(self.part(number, params, "the params"))

        def filled(x: Any) -> Any:
            if jax.tree.structure(x) != structure:
                return x
            return jax.tree.map(lambda n, mine, other: mine if n == number else other, self.numbers, x, params)

        whole: Any = jax.tree.structure(params)
        shapes = [*map(np.shape, jax.tree.leaves(params))]

        def cut(x: Any) -> Any:
            """A gradient of all parameters, or a pair of value and gradient, cut down to the part."""
            if jax.tree.structure(x) == whole and [*map(np.shape, jax.tree.leaves(x))] == shapes:
                return self.part(number, x, "what a function among the extra arguments returns")
            return type(x)(map(cut, x)) if type(x) in (tuple, list) else x

        @functools.wraps(f)  # line searches read the signature
        def of_part(*args: Any, **kwargs: Any) -> Any:
            return cut(f(*map(filled, args), **{name: filled(x) for name, x in kwargs.items()}))

        return of_part


def split_by_mask(mask: MaskOrFn, target: PyTree, name: str = "mask") -> Split:
    """Part 1 of `target` is where the mask is True."""

    def on_entry(path: KeyPath, keep: Any, part: Any) -> bool:
        where = _where(path)
        if isinstance(keep, jax.core.Tracer):
            raise TypeError(
                f"{name} must be known when the update is traced; at {where} it is computed from traced values: "
                "decide by shapes, dtypes or paths"
            )
        if isinstance(keep, (bool, np.bool_)):
            return bool(keep)
        if isinstance(keep, (np.ndarray, jax.Array)) and keep.shape == () and keep.dtype == bool:
            return bool(keep)
        raise TypeError(f"{name} must hold True and False; at {where} it has {keep!r}")

    return Split(name, map_prefix(on_entry, _made_for(mask, target), target, f"{name} {_NO_PREFIX}"))


def split_by_label(labels: PyTree | Callable[[Params], PyTree], target: PyTree, known: Mapping[Any, int]) -> Split:
    """The part that a leaf of `target` belongs to is the number known for its label."""
    unknown: list[str] = []

    def is_known(label: Any) -> bool:
        return _is_hashable(label) and label in known

    def on_entry(path: KeyPath, label: Any, part: Any) -> int | None:
        if is_known(label):
            return known[label]
        if label is not None or jax.tree.leaves(part):  # None for None needs no group
            unknown.append(f"{label!r} at {_where(path)}")
        return None

    made = _made_for(labels, target)
    numbers = map_prefix(on_entry, made, target, f"param_labels {_NO_PREFIX}", lambda x: x is None or is_known(x))
    if unknown:
        raise ValueError(
            f"param_labels names groups that transforms does not have: {listed(unknown, str)}; "
            f"it has {listed(list(known)) or 'none'}"
        )
    return Split("param_labels", numbers)


def _made_for(choice: Any, target: PyTree) -> PyTree:
    """The tree that a mask or labels mean for the tree `target`: a function is called on it."""
    return choice(target) if is_function(choice) else choice


def is_function(x: Any) -> bool:
    """Whether `x` is to be called: not if it is a pytree that happens to be callable, a module with weights."""
    structure: Any = jax.tree.structure(x)
    return callable(x) and (jax.tree_util.treedef_is_leaf(structure) or isinstance(x, functools.partial))


def _is_hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def map_prefix(
    f: Callable[[KeyPath, Any, PyTree], Any],
    prefix: PyTree,
    target: PyTree,
    complaint: str,
    is_leaf: Callable[[Any], bool] | None = None,
) -> PyTree:
    """`f(path, entry, subtree)` for each entry of a prefix of `target`; the complaint where it is none."""
    try:
        return tree_map_with_path(f, prefix, target, is_leaf=is_leaf)
    except ValueError as error:
        return _map_by_path(f, prefix, target, complaint, is_leaf, error)


def _map_by_path(
    f: Callable[[KeyPath, Any, PyTree], Any],
    prefix: PyTree,
    target: PyTree,
    complaint: str,
    is_leaf: Callable[[Any], bool] | None,
    error: ValueError,
) -> PyTree:
    """The same where only the paths fit: a dict for a module, or entries in boxes that the leaves are out of.

    Flax's nnx calls `init` with boxed parameters and `update` with what is in the boxes.
    """
    entries = dict(tree_leaves_with_path(prefix, is_leaf=is_leaf))
    below: dict[KeyPath, list[KeyPath]] = {}
    for path in entries:
        for i in range(len(path) + 1):
            below.setdefault(path[:i], []).append(path)
    leaves, treedef = tree_flatten_with_path(target)
    owners = {
        path: below.get(path) or [path[:i] for i in range(len(path)) if path[:i] in entries] for path, _ in leaves
    }
    if surplus := entries.keys() - {owner for found in owners.values() for owner in found}:
        what = f"it has an entry at {listed(sorted(map(keystr, surplus)), str)} where the tree has none"
        raise ValueError(f"{complaint}: {what}") from error
    if wrong := [path for path, found in owners.items() if len(found) != 1]:
        what = f"it has no entry, or several, for the leaf at {listed(wrong, _where)}"
        raise ValueError(f"{complaint}: {what}") from error
    rebuilt: Any = treedef  # of a class that type checkers do not see
    return rebuilt.unflatten([f(path, entries[owners[path][0]], leaf) for path, leaf in leaves])


def _where(path: KeyPath) -> str:
    return keystr(path) or "the root"


def listed(items: Sequence[Any], show: Callable[[Any], str] = repr) -> str:
    """The first few items, for a message."""
    more = f" and {len(items) - 8} more" if len(items) > 8 else ""
    return ", ".join(map(show, items[:8])) + more

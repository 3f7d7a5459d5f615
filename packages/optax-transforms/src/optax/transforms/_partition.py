"""A transformation of its own for each group of parameters."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, NamedTuple

import jax

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
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
from optax.transforms._mask import MaskedState, listed, split_by_label, split_by_mask

__all__ = [
    "MultiTransformState",
    "PartitionState",
    "multi_transform",
    "partition",
    "reset_group",
    "selective_transform",
]


class PartitionState(NamedTuple):
    """State of `partition`.

    Attributes:
      inner_states: label -> `MaskedState` with the state of that group's transformation, which has `MaskedNode()` in
        place of the parameters of other groups. A dict; an `OrderedDict` if the labels cannot be sorted.
    """

    inner_states: Any


MultiTransformState = PartitionState


@transformation
def partition(
    transforms: Mapping[Any, GradientTransformation],
    param_labels: PyTree | Callable[[Params], PyTree],
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """Apply to each leaf the transformation that its label names. Each sees the leaves of its own group only.

    Args:
      transforms: label -> transformation. A label is anything that can be hashed: a string, a number, a member of an
        enumeration, None. A group that no leaf belongs to is allowed.
      param_labels: tree of labels with the structure of the parameters, a prefix of one (a label for a whole subtree),
        or a function that makes it from a tree of that structure. `update` calls it on the parameters where it has
        them, and on the updates otherwise. A callable pytree (a module) is the tree itself.
      mask_compatible_extra_args: whether extra arguments of `update` that have the structure of the updates are cut
        down to each group, and functions among them (a `value_fn`) get the whole parameters to compute with.

    Returns:
      A transformation whose state is `PartitionState`. `reset_group` starts one of its groups anew.

    Raises:
      TypeError: `transforms` is no mapping to transformations.
      ValueError: from `init` or `update`, if a label is not in `transforms` or the labels are no prefix of the tree;
        from `update`, if the state has other groups.
    """
    if not isinstance(transforms, Mapping):
        raise TypeError(f"transforms must be a mapping from labels to transformations, not {transforms!r}")
    transforms = dict(transforms)
    groups = {label: checked_transformation(f"transforms[{label!r}]", tx) for label, tx in transforms.items()}
    numbers = {label: i for i, label in enumerate(groups)}

    def init(params: Params) -> PartitionState:
        whole = isinstance(params, tree.ParamsPlaceholder)
        split = None if whole else split_by_label(param_labels, params, numbers)
        states = {}
        for i, (label, tx) in enumerate(groups.items()):
            with _note(label, transforms[label]):
                states[label] = MaskedState(tx.init(params if split is None else split.part(i, params, "the params")))
        return PartitionState(_as_pytree(states))

    def update(
        updates: Updates, state: PartitionState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, PartitionState]:
        found = getattr(state, "inner_states", {})
        if {*found} != {*groups}:
            raise ValueError(
                f"the state of a partition into {listed([*groups])} does not have the groups {listed([*found])}: "
                "pass what its own init(params) returned"
            )
        split = split_by_label(param_labels, updates if params is None else params, numbers)
        parts, states = [], {}
        for i, (label, tx) in enumerate(groups.items()):
            known = split.extra_args(i, updates, params, extra_args) if mask_compatible_extra_args else extra_args
            with _note(label, transforms[label]):
                part, inner_state = tx.update(
                    split.part(i, updates, "the updates"),
                    found[label].inner_state,
                    None if params is None else split.part(i, params, "the params"),
                    **known,
                )
            parts.append(part)
            states[label] = MaskedState(inner_state)
        return split.joined(parts), PartitionState(_as_pytree(states))

    return GradientTransformationExtraArgs(init, update)


@transformation
def multi_transform(
    transforms: Mapping[Any, GradientTransformation],
    param_labels: PyTree | Callable[[Params], PyTree],
    *,
    mask_compatible_extra_args: bool = False,
) -> GradientTransformationExtraArgs:
    """`partition` under its older name.

    Args:
      transforms: label -> transformation.
      param_labels: tree of labels, a prefix of one, or a function that makes it from the parameters.
      mask_compatible_extra_args: whether extra arguments of `update` that have the structure of the updates are cut
        down to each group.

    Returns:
      A transformation whose state is `PartitionState`.
    """
    return partition(transforms, param_labels, mask_compatible_extra_args=mask_compatible_extra_args)


@transformation
def selective_transform(optimizer: GradientTransformation, *, freeze_mask: MaskOrFn) -> GradientTransformationExtraArgs:
    """Train some of the parameters, as if the others did not exist.

    The optimizer sees only what is not frozen: it keeps no state for the rest, and nothing of it (NaN, large gradients)
    enters a norm. The updates of frozen parameters are zeros. Extra arguments of `update` that have the structure of
    the updates are cut down in the same way, and functions among them (a `value_fn`) get the whole parameters.

    Args:
      optimizer: a transformation; clipping and weight decay belong inside it.
      freeze_mask: tree of booleans, True for what is frozen; or a prefix of one, or a function that makes it from the
        parameters, as in `masked`.

    Returns:
      A transformation whose state is a `PartitionState` with the groups "train" and "freeze".

    Raises:
      TypeError: `optimizer` is no transformation; from `init` or `update`, if the mask holds something other than
        booleans.
      ValueError: from `init` or `update`, if the mask is no prefix of the tree.
    """

    def labels(params: Params) -> PyTree:
        split = split_by_mask(freeze_mask, params, "freeze_mask")
        return jax.tree.map(lambda frozen: "freeze" if frozen else "train", split.numbers)

    optimizer = checked_transformation("optimizer", optimizer)
    return partition({"train": optimizer, "freeze": set_to_zero()}, labels, mask_compatible_extra_args=True)


def reset_group(tx: GradientTransformation, state: OptState, label: Hashable, params: Params) -> OptState:
    """Start one group of `partition` (`rules`, `selective_transform`) anew: its moments, its counters.

    Args:
      tx: the optimizer that `state` belongs to. The partition may be anywhere inside: in a chain, in a wrapper.
      state: its state.
      label: the group; in a table of rules, the pattern.
      params: tree of parameters, to start from.

    Returns:
      The state, with that group as `tx.init(params)` makes it and everything else as it was.

    Raises:
      KeyError: there is no such group.
      ValueError: `state` is none of `tx` for these parameters.
    """
    fresh = tx.init(params)
    structure: Any = jax.tree.structure(fresh)
    if structure != jax.tree.structure(state):
        raise ValueError("the state is not one that tx.init makes for these parameters")
    labels: list[Hashable] = []

    def on_node(old: Any, new: Any) -> Any:
        if not isinstance(old, PartitionState):
            return old
        labels.extend(old.inner_states)
        groups = old.inner_states.copy()
        for name, group in groups.items():
            groups[name] = new.inner_states[name] if name == label else reset(group, new.inner_states[name])
        return PartitionState(groups)

    def reset(old: OptState, new: OptState) -> OptState:
        return jax.tree.map(on_node, old, new, is_leaf=lambda x: isinstance(x, PartitionState))

    result = reset(state, fresh)
    if label not in labels:
        raise KeyError(f"there is no group {label!r} in the state, but {listed(labels) or 'none'}")
    return result


def _as_pytree(states: dict[Hashable, MaskedState]) -> dict[Hashable, MaskedState]:
    """JAX sorts the keys of a dict; labels that cannot be sorted keep their order in another kind of dict."""
    labels: Any = states
    try:
        sorted(labels)
    except TypeError:
        return collections.OrderedDict(states)
    return states


@contextlib.contextmanager
def _note(label: Hashable, tx: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"in group {label!r} of partition: {getattr(tx, 'name', tx)}")
        raise

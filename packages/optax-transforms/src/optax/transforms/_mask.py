"""Apply a transformation to some of the leaves."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskedNode,
    MaskOrFn,
    OptState,
    Params,
    PyTree,
    Updates,
    transformation,
    tree,
    with_extra_args_support,
)

__all__ = ["MaskedNode", "MaskedState", "masked"]


class MaskedState(NamedTuple):
    """State of `masked`.

    Attributes:
      inner_state: the state of the inner transformation, with `MaskedNode()` in place of what the mask takes away.
    """

    inner_state: OptState


def resolve_mask(mask: MaskOrFn, target: PyTree) -> PyTree:
    """The tree of booleans that a mask means for the tree `target`.

    A function is called on it. A pytree that happens to be callable (a module with booleans for weights) is
    the mask itself.
    """
    if callable(mask) and jax.tree_util.treedef_is_leaf(jax.tree.structure(mask)):
        mask = mask(target)
    for path, keep in jax.tree_util.tree_leaves_with_path(mask):
        if not isinstance(keep, (bool, np.bool_)):
            where = jax.tree_util.keystr(path) or "the root"
            raise TypeError(f"mask must hold True and False; at {where} it has {keep!r}")
    return mask


@transformation
def masked(
    inner: GradientTransformation, mask: MaskOrFn, *, mask_compatible_extra_args: bool = False
) -> GradientTransformationExtraArgs:
    """Apply `inner` where the mask is True; elsewhere the updates pass through as they are.

    To pass through is not to freeze: a gradient that nothing transforms is added to its parameter as it is.

    Args:
      inner: a transformation.
      mask: tree of booleans with the structure of the parameters, a prefix of one (a boolean for a whole subtree), or
        a function that makes it from a tree of that structure.
      mask_compatible_extra_args: whether extra arguments of `update` that have the structure of the updates are
        masked along with them.

    Returns:
      A transformation whose state is `MaskedState`; no state is kept where the mask is False.

    Raises:
      TypeError: from `init` or `update`, if the mask holds something other than booleans.
      ValueError: from `init` or `update`, if the mask is no prefix of the tree.
    """
    inner = with_extra_args_support(inner)

    def init(params: Params) -> MaskedState:
        if isinstance(params, tree.ParamsPlaceholder):
            return MaskedState(inner.init(params))
        return MaskedState(inner.init(_keep(resolve_mask(mask, params), params)))

    def update(
        updates: Updates, state: MaskedState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MaskedState]:
        kept = resolve_mask(mask, updates)
        if mask_compatible_extra_args:
            structure: Any = jax.tree.structure(updates)
            extra_args = {
                name: _keep(kept, value) if jax.tree.structure(value) == structure else value
                for name, value in extra_args.items()
            }
        new_updates, inner_state = inner.update(
            _keep(kept, updates), state.inner_state, None if params is None else _keep(kept, params), **extra_args
        )
        merged = jax.tree.map(
            lambda keep, new, old: new if keep else old, kept, new_updates, updates, is_leaf=lambda x: x is None
        )
        return merged, MaskedState(inner_state)

    return GradientTransformationExtraArgs(init, update)


def _keep(mask: PyTree, target: PyTree) -> PyTree:
    try:
        return jax.tree.map(lambda keep, part: part if keep else MaskedNode(), mask, target)
    except ValueError as error:
        raise ValueError(f"mask is neither of the tree's structure nor a prefix of it: {error}") from error

"""Join transformations: one after the other under names, or side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    Updates,
    chain,
    check_hyperparameter,
    checked_transformation,
    over_leaves,
    scaled,
    transformation,
    tree,
)
from optax.transforms._layout import require_same_layout, without_float0

__all__ = ["BranchesState", "branches", "graft", "named_chain"]


class BranchesState(NamedTuple):
    """State of `branches` and `graft`.

    Attributes:
      branch_states: tuple with the state of each branch.
    """

    branch_states: tuple[OptState, ...]


@transformation
def named_chain(*args: tuple[str, GradientTransformation]) -> GradientTransformationExtraArgs:
    """`chain` with a name for every stage, by which its state is found.

    Args:
      *args: pairs of a name and a transformation, first applied first.

    Returns:
      A transformation whose state is a dict from names to the states of the stages. The stages are applied in the
      order given here; that of the keys, which JAX sorts, says nothing. Extra arguments of `update` go to the stages
      that take them.

    Raises:
      TypeError: an argument is no pair of a string and a transformation.
      ValueError: a name comes twice; or, from `update`, the names in the state are others.
    """
    for i, arg in enumerate(args):
        if not isinstance(arg, (tuple, list)) or len(arg) != 2 or not isinstance(arg[0], str):
            raise TypeError(f"argument {i} of named_chain must be a pair (name, transformation), not {arg!r}")
    names = [name for name, _ in args]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"the names in a named_chain must differ; {', '.join(map(repr, repeated))} comes twice")
    stages = chain(*(checked_transformation(f"{name!r} of named_chain", tx) for name, tx in args))

    def init(params: Params) -> dict[str, OptState]:
        return dict(zip(names, stages.init(params), strict=True))

    def update(
        updates: Updates, state: Any, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, dict[str, OptState]]:
        if not isinstance(state, Mapping) or {*state} != {*names}:
            found = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise ValueError(f"the state of this named_chain is a dict with the keys {sorted(names)}, not {found}")
        updates, states = stages.update(updates, tuple(state[name] for name in names), params, **extra_args)
        new = dict(zip(names, states, strict=True))
        kind: Any = type(state)  # an OrderedDict, from a checkpoint of the original, stays one, in its order
        return updates, kind((name, new[name]) for name in state)

    return GradientTransformationExtraArgs(init, update)


@transformation
def branches(
    merge: Callable[..., Updates], *transformations: GradientTransformation
) -> GradientTransformationExtraArgs:
    """Apply transformations side by side to the same updates, then merge: u = merge(u_1, u_2, ...), u_i = tx_i(g).

    The mean of two optimizers, for one:

        branches(lambda a, b: tree.scale(0.5, tree.add(a, b)), adam(1e-3), sgd(1e-1))

    Args:
      merge: takes the updates of every branch, whole trees, and returns one tree of their structure and shapes.
      *transformations: at least one. Each keeps a state of its own.

    Returns:
      A transformation whose state is `BranchesState`. What `merge` returns is cast to the dtypes of the gradients.
      Extra arguments of `update` go to the branches that take them.

    Raises:
      TypeError: `merge` cannot be called, one of the others is not a transformation; or, from `update`, `merge`
        made a complex array of real ones.
      ValueError: there is no branch; or, from `update`, `merge` changed the structure or a shape.
    """
    if not callable(merge):
        raise TypeError(f"merge must be a function of the updates of all branches, not {merge!r}")
    if not transformations:
        raise ValueError("branches needs at least one transformation beside merge")
    txs = [checked_transformation(f"branch {i}", tx) for i, tx in enumerate(transformations)]

    def init(params: Params) -> BranchesState:
        return BranchesState(tuple(tx.init(params) for tx in txs))

    def update(
        updates: Updates, state: BranchesState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, BranchesState]:
        results = [
            tx.update(updates, branch_state, params, **extra_args)
            for tx, branch_state in zip(txs, state.branch_states, strict=True)
        ]
        merged = merge(*(without_float0(branch_updates) for branch_updates, _ in results))
        require_same_layout("the result of merge", merged, "updates", without_float0(updates))
        merged = over_leaves(lambda g, u: u, updates, reads=(merged,))  # in the dtypes of the gradients
        return merged, BranchesState(tuple(branch_state for _, branch_state in results))

    return GradientTransformationExtraArgs(init, update)


@transformation
def graft(
    magnitude: GradientTransformation,
    direction: GradientTransformation,
    *,
    eps: Numeric = 1e-16,
    layerwise: bool = True,
) -> GradientTransformationExtraArgs:
    """The direction of one optimizer's step with the length of another's: u = d * norm(m) / (norm(d) + eps).

    m and d are what `magnitude` and `direction` make of the same gradients.

    Args:
      magnitude: the transformation whose steps have the right length, learning rate included.
      direction: the transformation whose steps have the right direction; their own length does not matter.
      eps: real scalar >= 0; far below the norms of ordinary steps.
      layerwise: whether to compare the Euclidean norms leaf by leaf; else those of the whole steps.

    Returns:
      A transformation whose state is `BranchesState`, with the states of `magnitude` and `direction`. Where one of the
      two steps is zero, so is the update.

    Raises:
      TypeError: one of the two is not a transformation, or `eps` is not a real scalar.
      ValueError: `eps` is negative.

    Reference:
      Agarwal, Anil, Hazan, Koren, Zhang, "Disentangling adaptive gradient methods from learning rates", 2020,
      algorithm 1.
    """
    check_hyperparameter("eps", eps, least=0)

    def factor(m: Any, d: Any) -> jax.Array:
        m_norm, d_norm = tree.norm(m), tree.norm(d)
        divisor = d_norm + jnp.asarray(eps, d_norm.dtype)
        return m_norm / jnp.where(divisor == 0, 1, divisor)

    def layer_by_layer(m: Updates, d: Updates) -> Updates:
        return over_leaves(lambda d, m: scaled(d, factor(m, d)), d, reads=(m,))

    def as_a_whole(m: Updates, d: Updates) -> Updates:
        s = factor(m, d)
        return over_leaves(lambda d: scaled(d, s), d)

    return branches(
        layer_by_layer if layerwise else as_a_whole,
        checked_transformation("magnitude", magnitude),
        checked_transformation("direction", direction),
    )

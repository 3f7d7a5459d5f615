"""GaLore: an optimizer that works on a projection of each gradient to a few dimensions, and keeps its state there.

P = the rank leading left singular vectors of g    anew every update_proj_gap steps
r = P^H g
u = scale * P * base(r)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskedNode,
    MaskOrFn,
    Numeric,
    OptState,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    chain,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    has_value,
    init_empty_state,
    safe_increment,
    scaled,
    transformation,
    tree,
    update_if,
    vary_like,
    widen,
)
from optax.optimizers._adam import scale_by_adam
from optax.optimizers._matrices import Layout, dimension_numbers, on_any_mesh
from optax.transforms import add_decayed_weights, scale_by_learning_rate

__all__ = ["GaLoreDimensionNumbers", "GaLoreState", "galore", "scale_by_galore"]


class GaLoreDimensionNumbers(NamedTuple):
    """Which axes of a weight make a matrix. All other axes number matrices that are projected one by one.

    Attributes:
      reduction_axis: the axis, or the axes, that make the rows: those over which the weight sums its inputs.
      output_axis: the axis, or the axes, that make the columns: those of its outputs.
    """

    reduction_axis: int | Sequence[int] = 0
    output_axis: int | Sequence[int] = 1


class GaLoreState(NamedTuple):
    """State of `scale_by_galore`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      base_optimizer_state: state of the base optimizer, for parameters of the projections' shapes.
      projector: tree of the parameters' structure: P, of shape (..., longer side, rank), or `MaskedNode()` for what is
        not projected.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    base_optimizer_state: OptState
    projector: PyTree


@transformation
def scale_by_galore(
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Numeric = 1.0,
    base_optimizer: GradientTransformation | None = None,
    weight_dimension_numbers: PyTree | Callable[[Params], PyTree] | None = None,
) -> GradientTransformationExtraArgs:
    """Run an optimizer on low-rank projections of the gradients of matrices.

        r = P^H g,  u = scale * P * base(r)    with P, the leading left singular vectors of g
        r = g P,    u = scale * base(r) * P^H  with P, the leading right ones, for more columns than rows

    P is computed from the gradient of the first step and then of every `update_proj_gap`-th one. The state of the base
    optimizer has `rank` in place of the longer side of each matrix; it stays when P changes.

    Args:
      rank: integer >= 1; a matrix of a shorter side keeps all its singular vectors.
      update_proj_gap: integer >= 1, the number of steps for which a projection is used.
      scale: scalar, factor of the updates that come out of a projection.
      base_optimizer: a transformation that does without parameters; it gets the other leaves as they are. None for
        `scale_by_adam()`.
      weight_dimension_numbers: tree of `GaLoreDimensionNumbers` with None for leaves that are not projected, a prefix
        of one, or a function that makes it from the parameters. None for arrays of two axes.

    Returns:
      A transformation whose state is `GaLoreState`.

    Raises:
      ValueError: a number is out of its range.
      TypeError: `base_optimizer` is no transformation; from `init` or `update`, if `weight_dimension_numbers` holds
        something else.

    Reference:
      Zhao et al., "GaLore: memory-efficient LLM training by gradient low-rank projection", 2024, algorithm 2.
    """
    rank = check_integer("rank", rank, least=1)
    gap = check_integer("update_proj_gap", update_proj_gap, least=1)
    check_hyperparameter("scale", scale)
    base = checked_transformation("base_optimizer", scale_by_adam() if base_optimizer is None else base_optimizer)

    def find(target: Params) -> tuple[list[_Projection | None], Any]:
        found, structure = dimension_numbers(
            "weight_dimension_numbers", GaLoreDimensionNumbers, weight_dimension_numbers, target
        )
        return [_projection(path, x, numbers, rank) for path, x, numbers in found], structure

    def init(params: Params) -> GaLoreState:
        count = jnp.zeros([], jnp.int32)
        if isinstance(params, tree.ParamsPlaceholder):
            return GaLoreState(count, base.init(params), params)
        projections, structure = find(params)
        pairs = list(zip(jax.tree.leaves(params), projections, strict=True))
        projected = [p if f is None else vary_like(jnp.zeros(f.projected, tree.dtype(p)), p) for p, f in pairs]
        projectors = [MaskedNode() if f is None else jnp.zeros(f.projector, tree.dtype(p)) for p, f in pairs]
        return GaLoreState(
            count=count,
            base_optimizer_state=base.init(structure.unflatten(projected)),
            projector=vary_like(structure.unflatten(projectors), params),
        )

    def update(
        updates: Updates, state: GaLoreState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, GaLoreState]:
        del params  # of other shapes than what the base optimizer sees
        projections, structure = find(updates)
        due = state.count % gap == 0
        rows = zip(projections, jax.tree.leaves(updates), structure.flatten_up_to(state.projector), strict=True)
        # A condition for each leaf: with one for all, the decompositions and projections of all are alive at once.
        triples = [(f, g, p if f is None or not has_value(g) else _refreshed(due, f, g, p)) for f, g, p in rows]
        small = [g if f is None else on_any_mesh(f.project, g, p, like=None) for f, g, p in triples]
        small_updates, base_state = base.update(
            structure.unflatten(small), state.base_optimizer_state, None, **extra_args
        )
        back = [
            u if f is None else scaled(on_any_mesh(f.back, u, p, like=g), scale).astype(tree.dtype(g))
            for u, (f, g, p) in zip(structure.flatten_up_to(small_updates), triples, strict=True)
        ]
        return structure.unflatten(back), GaLoreState(
            safe_increment(state.count), base_state, structure.unflatten([p for _, _, p in triples])
        )

    return GradientTransformationExtraArgs(init, update)


class _Projection(NamedTuple):
    """How the matrices of one leaf are projected: from the left, unless there are more columns than rows."""

    layout: Layout
    rank: int

    @property
    def left(self) -> bool:
        return self.layout.row_count >= self.layout.column_count

    @property
    def projector(self) -> tuple[int, ...]:
        """The shape of P."""
        return *self.layout.stack, max(self.layout.row_count, self.layout.column_count), self.rank

    @property
    def projected(self) -> tuple[int, ...]:
        """The shape of r."""
        f = self.layout
        return (*f.stack, self.rank, f.column_count) if self.left else (*f.stack, f.row_count, self.rank)

    def from_gradient(self, g: jax.Array) -> jax.Array:
        """P. Its derivative is taken to be 0: it would be infinite where singular values coincide."""
        matrices = self.layout.matrices(widen(jax.lax.stop_gradient(g)))
        u, _, vh = jnp.linalg.svd(matrices, full_matrices=False)
        return (u if self.left else _adjoint(vh))[..., : self.rank]

    def project(self, g: jax.Array, p: jax.Array) -> jax.Array:
        """r, in the dtype of g."""
        g_matrices, p = self.layout.matrices(widen(g)), widen(p)
        r = _product(_adjoint(p), g_matrices) if self.left else _product(g_matrices, p)
        return r.astype(tree.dtype(g))

    def back(self, u: jax.Array, p: jax.Array) -> jax.Array:
        """What u, of the form of r, is an update of; float32 or wider."""
        u, p = widen(u), widen(p)
        return self.layout.array(_product(p, u) if self.left else _product(u, _adjoint(p)))


def _refreshed(due: jax.Array, f: _Projection, g: jax.Array, p: jax.Array) -> jax.Array:
    """The projector of a leaf, from its gradient if it is due."""

    def from_gradient(
        updates: Updates, state: OptState, params: Params | None = None, *, gradient: Any = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        del params, extra_args
        return updates, on_any_mesh(f.from_gradient, gradient, like=state)

    anew = GradientTransformationExtraArgs(init_empty_state, from_gradient)
    projector: jax.Array = update_if(due, anew, {}, p, gradient=g)[1]
    return projector


def _projection(path: str, x: Any, numbers: Any, rank: int) -> _Projection | None:
    """None for what is no matrix, and for what has no elements."""
    if numbers is None or not has_value(x) or not jnp.issubdtype(tree.dtype(x), jnp.inexact):
        return None
    layout = Layout.of(numbers, path, x)
    smaller = min(layout.row_count, layout.column_count)
    return _Projection(layout, min(rank, smaller)) if math.prod(layout.shape) else None


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
    with jax.numpy_dtype_promotion("standard"):
        return jnp.matmul(x, y)


def _adjoint(x: jax.Array) -> jax.Array:
    return jnp.conj(jnp.swapaxes(x, -2, -1))


@transformation
def galore(
    learning_rate: ScalarOrSchedule,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: Numeric = 1.0,
    base_optimizer: GradientTransformation | None = None,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    weight_dimension_numbers: PyTree | Callable[[Params], PyTree] | None = None,
) -> GradientTransformationExtraArgs:
    """GaLore: Adam, or another optimizer, on low-rank projections of the gradients of matrices.

        u = -learning_rate * (scale * P * base(P^H g) + weight_decay * p)
        with P, the `rank` leading singular vectors of g on its longer side, anew every `update_proj_gap` steps

    Args:
      learning_rate: real scalar or schedule.
      rank: integer >= 1; a matrix of a shorter side keeps all its singular vectors.
      update_proj_gap: integer >= 1, the number of steps for which a projection is used.
      scale: scalar, factor of the updates that come out of a projection.
      base_optimizer: a transformation that does without parameters and learning rate; it gets the leaves that are not
        projected as they are. None for `scale_by_adam()`.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      weight_dimension_numbers: tree of `GaLoreDimensionNumbers` with None for leaves that are not projected, a prefix
        of one, or a function that makes it from the parameters. None for arrays of two axes.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      ValueError: a number is out of its range.
      TypeError: `base_optimizer` is no transformation, or `learning_rate` or `weight_decay` neither a real scalar nor
        callable.

    Reference:
      Zhao et al., "GaLore: memory-efficient LLM training by gradient low-rank projection", 2024, algorithm 2.
    """
    return chain(
        scale_by_galore(rank, update_proj_gap, scale, base_optimizer, weight_dimension_numbers),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )

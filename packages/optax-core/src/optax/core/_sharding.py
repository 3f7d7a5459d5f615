"""Where the state of an optimizer should lie, given where the parameters do."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jax.tree_util import tree_flatten_with_path

from optax.core._numerics import dtype_of
from optax.core._types import GradientTransformation, Params, PyTree
from optax.core.tree import ParamsPlaceholder

__all__ = ["state_shardings"]

Shape: TypeAlias = tuple[int, ...]


def state_shardings(tx: GradientTransformation, params: Params, *, zero: Sequence[str] = ()) -> PyTree:
    """The sharding of every leaf of `tx.init(params)`, from the shardings of the parameters.

    A leaf that belongs to a parameter is split like it, axis by axis: one that has lost some of its parameter's axes
    (a row sum, say) or gained others is split along those that are left. Everything else is replicated. Nothing is
    allocated: `init` is only evaluated abstractly.

        shardings = state_shardings(tx, params)
        state = jax.jit(tx.init, out_shardings=shardings)(params)

    Args:
      tx: a transformation.
      params: tree of arrays, or of `ShapeDtypeStruct`s with shardings.
      zero: names of mesh axes, those of data parallelism, over which each leaf of the state is split further, along
        the longest axis whose length allows it: every device then keeps, and updates, only a part of the state
        (Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models", 2020, stage 1).

    Returns:
      A tree of the structure of the state with a `Sharding` for each leaf. Parameters that are on no mesh give the
      sharding of the first one for every leaf.

    Raises:
      ValueError: the parameters lie on different meshes, `zero` names an axis that their mesh does not have or is used
        with explicit axes, or no parameter has a sharding.
    """
    shardings = [getattr(x, "sharding", None) for x in jax.tree.leaves(params)]
    state = jax.eval_shape(tx.init, jax.tree.map(_struct, params))
    meshes = {s.mesh for s in shardings if isinstance(s, NamedSharding)}
    if len(meshes) > 1:
        raise ValueError(f"params lie on {len(meshes)} different meshes: {', '.join(map(str, meshes))}")
    if not meshes:
        first = next((s for s in shardings if s is not None), None)
        if first is None:
            raise ValueError("params have no shardings: pass arrays, or ShapeDtypeStructs made with sharding=")
        if zero:
            raise ValueError(f"zero={zero!r} needs params on a mesh")
        return jax.tree.map(lambda _: first, state)
    (mesh,) = meshes
    if unknown := [name for name in zero if name not in mesh.axis_names]:
        raise ValueError(f"zero names {unknown}; the axes of the mesh are {list(mesh.axis_names)}")

    if zero and any(kind == AxisType.Explicit for kind in mesh.axis_types):
        raise ValueError(
            f"zero={zero!r} needs a mesh of automatic axes: jax.make_mesh(..., axis_types=(AxisType.Auto, ...)). "
            "On explicit axes the gradients would have to be split like the state before they meet"
        )

    def on_leaf(leaf: Any, owner: int | None, axes: tuple[int | None, ...]) -> NamedSharding:
        like = None if owner is None else shardings[owner]
        if not isinstance(like, NamedSharding):
            like = _on_mesh(mesh)
        names = [like.spec[i] if i is not None and i < len(like.spec) else None for i in axes]
        return _on_mesh(mesh, *_split_further(names, leaf.shape, mesh, tuple(zero)), memory_kind=like.memory_kind)

    leaves, state_treedef = jax.tree.flatten(state)
    owners = _owners(tx, params, state)
    axes = _axes(tx, params, state, owners)
    return jax.tree.unflatten(state_treedef, list(map(on_leaf, leaves, owners, axes)))


def _on_mesh(mesh: Mesh | AbstractMesh, *spec: Any, memory_kind: str | None = None) -> NamedSharding:
    untyped: Any = PartitionSpec  # in JAX
    while spec and spec[-1] is None:
        spec = spec[:-1]
    return NamedSharding(mesh, untyped(*spec), memory_kind=memory_kind)


def _struct(x: Any, shape: Shape | None = None) -> Any:
    untyped: Any = jax.ShapeDtypeStruct  # in JAX
    return untyped(jnp.shape(x) if shape is None else shape, dtype_of(x))


def _owners(tx: GradientTransformation, params: Params, state: PyTree) -> list[int | None]:
    """For each leaf of the state the number of the parameter that it belongs to.

    `init` puts what stands for the parameters wherever it makes a slot for each of them; within such a slot a leaf
    belongs to the parameter whose path its own begins with.
    """
    numbers = {path: i for i, (path, _) in enumerate(tree_flatten_with_path(params)[0])}
    pattern = tx.init(ParamsPlaceholder())

    def on_part(part: Any, actual: PyTree) -> list[int | None]:
        paths = [path for path, _ in tree_flatten_with_path(actual)[0]]
        if not isinstance(part, ParamsPlaceholder):
            return [None] * len(paths)
        return [next((numbers[p[:n]] for n in range(len(p) + 1) if p[:n] in numbers), None) for p in paths]

    parts = jax.tree.map(on_part, pattern, state, is_leaf=lambda x: isinstance(x, ParamsPlaceholder))
    return jax.tree.leaves(parts, is_leaf=lambda x: x is None)


def _axes(
    tx: GradientTransformation, params: Params, state: PyTree, owners: list[int | None]
) -> list[tuple[int | None, ...]]:
    """For each axis of each leaf of the state the axis of its parameter that it comes from.

    Equal lengths are no proof: a square matrix has two sums of one shape, and a memory of 10 vectors of length 10 has
    two axes of 10. So `init` is evaluated on parameters whose axes all differ in length, twice, with two such lengths
    for each: an axis of the state comes from the one that it follows both times.
    """
    leaves, treedef = jax.tree.flatten(params)
    state_leaves = jax.tree.leaves(state)
    state_treedef: Any = jax.tree.structure(state)  # of a class that type checkers do not see
    lengths = [[jnp.shape(x)] for x in leaves]  # of each parameter in each evaluation
    state_lengths = [[x.shape] for x in state_leaves]
    for extra in (0, 1):
        shapes = [_distinct(jnp.shape(x), extra) for x in leaves]
        try:
            other = jax.eval_shape(tx.init, jax.tree.unflatten(treedef, list(map(_struct, leaves, shapes))))
        except Exception:  # it has taken the true lengths and takes no others
            continue
        if jax.tree.structure(other) == state_treedef:
            for known, new in zip(lengths, shapes, strict=True):
                known.append(new)
            for known, leaf in zip(state_lengths, jax.tree.leaves(other), strict=True):
                known.append(leaf.shape)

    def on_leaf(owner: int | None, own: list[Shape]) -> tuple[int | None, ...]:
        theirs = [] if owner is None else lengths[owner]
        if len(theirs) == 3 and len({*map(len, own)}) == 1:
            origin = {followed: i for i, followed in enumerate(zip(*theirs, strict=True))}
            return tuple(origin.get(followed) for followed in zip(*own, strict=True))
        same = theirs[:1] == own[:1]  # all that is known, if other lengths lead `init` elsewhere
        return tuple(i if same else None for i in range(len(own[0])))

    return list(map(on_leaf, owners, state_lengths))


def _distinct(shape: Shape, extra: int) -> Shape:
    """The nearest lengths that all differ, in the same order (the later of two equal ones becomes the longer)."""
    lengths = list(shape)
    longest = 0
    for i in sorted(range(len(shape)), key=lambda i: shape[i]):
        lengths[i] = longest = max(shape[i] + extra, longest + 1) if shape[i] else 0
    return tuple(lengths)


def _split_further(names: list[Any], shape: Shape, mesh: Mesh | AbstractMesh, zero: tuple[str, ...]) -> list[Any]:
    """The spec `names` with the longest axis that can be split so split over the mesh axes `zero` too."""
    split = [() if n is None else n if isinstance(n, tuple) else (n,) for n in names]
    new = tuple(name for name in zero if not any(name in n for n in split))
    if not new:
        return names
    length = [size // math.prod(mesh.shape[n] for n in over) for size, over in zip(shape, split, strict=True)]
    parts = math.prod(mesh.shape[n] for n in new)
    able = [i for i, n in enumerate(length) if n and n % parts == 0]
    if not able:
        return names
    i = max(able, key=lambda i: length[i])
    over = (*split[i], *new)
    return [*names[:i], over if len(over) > 1 else over[0], *names[i + 1 :]]

"""Batches as they are split into microbatches and put together again, where they lie."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import PyTree, check_integer

__all__ = ["reshape_batch_axis"]


def reshape_batch_axis(tree: PyTree, microbatch_size: int, axis: int = 0) -> PyTree:
    """Split the batch axis of every leaf into microbatches.

        (..., n, ...)  ->  (..., K, microbatch_size, ...),    K = n / microbatch_size

    Microbatch k has the examples k, k + K, k + 2 K, ...: every K-th one, not neighbours. So where the examples are
    spread over devices in order, each device has its share of every microbatch, and nothing is moved between them.

    Args:
      tree: tree of arrays of one length n along `axis`.
      microbatch_size: how many examples form a microbatch, >= 1; divides n. It must be a multiple of the number of
        devices that `axis` is split over, if the split is to be kept.
      axis: the axis of the examples; negative ones count from the end.

    Returns:
      The tree, each leaf with K at `axis` and `microbatch_size` after it; sharded over the latter.

    Raises:
      ValueError: a leaf has no such axis, its length there is no multiple of `microbatch_size` or not that of others,
        or it is split, by type, over devices whose number does not divide `microbatch_size`.

    >>> reshape_batch_axis(jnp.arange(6), 2)
    Array([[0, 3],
           [1, 4],
           [2, 5]], dtype=int32)
    """
    size = check_integer("microbatch_size", microbatch_size, least=1)
    batch = Batch.of(["tree"], [tree], [axis], size)

    def moved(leaf: Any, axis: int | None) -> Any:
        return leaf if axis is None else jnp.moveaxis(leaf, axis + 1, axis)

    return batch.unflatten([moved(leaf, axis) for leaf, axis in zip(batch.leaves, batch.axes, strict=True)])[0]


class Batch(NamedTuple):
    """Arguments whose batch axes are split in two, first the number within a microbatch, then that of the microbatch.

    Attributes:
      leaves: their leaves, so reshaped; the axis stays where it is.
      axes: for each leaf the axis of its examples, None if it has none.
      treedef: the structure of the list of arguments.
      size: how many examples form a microbatch.
      number: how many microbatches there are.
    """

    leaves: list[Any]
    axes: list[int | None]
    treedef: Any
    size: int
    number: int

    @classmethod
    def of(cls, names: Sequence[str], values: Sequence[PyTree], in_axes: Sequence[PyTree], size: int | None) -> "Batch":
        """Check and split arguments, given what to call them, and for each an axis or tree of axes."""
        leaves, axes, lengths = [], [], {}
        for name, value, in_axis in zip(names, values, in_axes, strict=True):
            for (path, leaf), axis in zip(
                tree_leaves_with_path(value), spread("in_axes", in_axis, name, value), strict=True
            ):
                label = name + keystr(path)
                if axis is not None:
                    leaf = leaf if isinstance(leaf, jax.Array) else jnp.asarray(leaf)
                    axis = _axis_of(label, leaf, axis)
                    lengths[label] = leaf.shape[axis]
                leaves.append(leaf)
                axes.append(axis)
        if len({*lengths.values()}) != 1:
            raise ValueError(
                "the lengths of the batch axes differ: " + ", ".join(f"{label} has {n}" for label, n in lengths.items())
                if lengths
                else f"there is no array to split among the batch arguments, {', '.join(names) or 'none'}"
            )
        (label, length), *_ = lengths.items()
        size, number = (length, 1) if size is None else (size, length // size)
        if size * number != length:
            raise ValueError(
                f"microbatch_size must divide the length of the batch axis, but {label} has {length} examples, "
                f"not a multiple of {size}"
            )
        split = [leaf if a is None else _split(leaf, size, number, a) for leaf, a in zip(leaves, axes, strict=True)]
        return cls(split, axes, jax.tree.structure(list(values)), size, number)

    def unflatten(self, leaves: Sequence[Any]) -> list[PyTree]:
        """The arguments with these leaves."""
        arguments: list[PyTree] = jax.tree.unflatten(self.treedef, leaves)
        return arguments

    def microbatch(self, index: jax.Array) -> list[PyTree]:
        """The arguments with the examples of one microbatch alone."""

        def part(leaf: Any, axis: int | None) -> Any:
            return leaf if axis is None else jax.lax.dynamic_index_in_dim(leaf, index, axis + 1, keepdims=False)

        return self.unflatten([part(leaf, axis) for leaf, axis in zip(self.leaves, self.axes, strict=True)])

    def with_one(self) -> "Batch":
        """The same for an empty batch, but with one microbatch, of which only the type is of interest."""

        def one(leaf: Any, axis: int | None) -> Any:
            if axis is None:
                return leaf
            key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            shape = (*leaf.shape[: axis + 1], 1, *leaf.shape[axis + 2 :])
            if not key:
                return jnp.zeros(shape, leaf.dtype)
            return jnp.broadcast_to(jax.random.key(0, impl=jax.random.key_impl(leaf)), shape)

        return self._replace(leaves=[one(leaf, a) for leaf, a in zip(self.leaves, self.axes, strict=True)], number=1)


def joined(parts: jax.Array, number: int) -> jax.Array:
    """What microbatches gave, (their number, ...), in the order of the examples; zeros for those that are missing."""
    if missing := number - parts.shape[0]:
        parts = jnp.concatenate([parts, jnp.zeros_like(parts, shape=(missing, *parts.shape[1:]))])
    if parts.ndim == 1:
        return parts
    parts = jnp.moveaxis(parts, 0, 1)
    return parts.reshape(parts.shape[0] * parts.shape[1], *parts.shape[2:])


def spread(what: str, prefix: PyTree, name: str, tree: PyTree) -> list[Any]:
    """For each leaf of a tree what the prefix tree `what` has for it or for a branch that it belongs to."""
    pairs = branches(what, prefix, name, tree, is_leaf=lambda x: x is None)
    return [entry for entry, branch in pairs for _ in jax.tree.leaves(branch)]


def branches(
    what: str, prefix: PyTree, name: str, tree: PyTree, is_leaf: Callable[[Any], bool] | None = None
) -> list[tuple[Any, PyTree]]:
    """Each leaf of the prefix tree `what` with the branch of `tree` that it belongs to."""
    treedef: Any = jax.tree.structure(prefix, is_leaf=is_leaf)  # of a class that type checkers do not see
    try:
        parts = treedef.flatten_up_to(tree)
    except ValueError as error:
        raise ValueError(f"{what} {prefix!r} does not fit {name}: {error}") from None
    return list(zip(jax.tree.leaves(prefix, is_leaf=is_leaf), parts, strict=True))


def _axis_of(label: str, leaf: jax.Array, axis: int) -> int:
    if not -leaf.ndim <= axis < leaf.ndim:
        raise ValueError(f"{label} has no axis {axis} to split, its shape is {leaf.shape}")
    axis %= leaf.ndim
    return axis


def _split(leaf: jax.Array, size: int, number: int, axis: int) -> jax.Array:
    shards = _shards(leaf, axis)
    if size % shards:
        raise ValueError(
            f"microbatch_size must be a multiple of {shards}, the number of devices that axis {axis} is split over, "
            f"not {size}"
        )
    return leaf.reshape(*leaf.shape[:axis], size, number, *leaf.shape[axis + 1 :])


def _shards(leaf: jax.Array, axis: int) -> int:
    """Into how many parts the type of an array says that an axis is split: 1 on meshes of automatic axes."""
    sharding: Any = getattr(jax.typeof(leaf), "sharding", None)
    spec = getattr(sharding, "spec", ())
    names = spec[axis] if axis < len(spec) else None
    shards = 1
    for name in names if isinstance(names, tuple) else (names,):
        shards *= sharding.mesh.shape[name] if isinstance(name, str) else 1
    return shards

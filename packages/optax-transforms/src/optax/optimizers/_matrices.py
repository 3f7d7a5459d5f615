"""Arrays as stacks of matrices: what Muon and GaLore share."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import Params, PyTree
from optax.transforms._mask import is_function, map_prefix


class Layout(NamedTuple):
    """Which axes of an array make the rows and the columns of matrices; those before them number the matrices.

    Attributes:
      shape: of the array.
      batch: the axes that are left.
      rows: the axes over which the weight sums its inputs.
      columns: the axes of its outputs.
    """

    shape: tuple[int, ...]
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    @classmethod
    def of(cls, numbers: Any, path: str, x: Any) -> Layout:
        """From dimension numbers and the leaf at a path that they belong to."""
        shape = jnp.shape(x)
        try:
            return cls._of(numbers, shape)
        except (TypeError, ValueError) as error:
            error.add_note(f"at the leaf at {path}")
            raise

    @classmethod
    def _of(cls, numbers: Any, shape: tuple[int, ...]) -> Layout:
        rows, columns = _axes(numbers, 0, len(shape)), _axes(numbers, 1, len(shape))
        if len({*rows, *columns}) < len(rows) + len(columns):
            raise ValueError(f"{numbers} names an axis of an array of shape {shape} twice")
        batch = tuple(i for i in range(len(shape)) if i not in rows + columns)
        return cls(shape, batch, rows, columns)

    @property
    def row_count(self) -> int:
        """The number of rows of each matrix."""
        return math.prod(self.shape[i] for i in self.rows)

    @property
    def column_count(self) -> int:
        """The number of columns of each matrix."""
        return math.prod(self.shape[i] for i in self.columns)

    @property
    def stack(self) -> tuple[int, ...]:
        """The shape in which the matrices are stacked."""
        return tuple(self.shape[i] for i in self.batch)

    @property
    def wide(self) -> Layout:
        """The same matrices with no more rows than columns, transposed if need be; square ones in the array's order."""
        sizes = (self.row_count, self.rows), (self.column_count, self.columns)
        return self if sizes[0] <= sizes[1] else self._replace(rows=self.columns, columns=self.rows)

    def matrices(self, x: jax.Array) -> jax.Array:
        """The stack of matrices, of shape (*stack, rows, columns)."""
        order = self.batch + self.rows + self.columns
        return jnp.transpose(x, order).reshape(*self.stack, self.row_count, self.column_count)

    def array(self, matrices: jax.Array) -> jax.Array:
        """The inverse of `matrices`."""
        order = self.batch + self.rows + self.columns
        x = matrices.reshape(tuple(self.shape[i] for i in order))
        return jnp.transpose(x, tuple(sorted(range(len(order)), key=order.__getitem__)))


def _axes(numbers: Any, which: int, ndim: int) -> tuple[int, ...]:
    axes = numbers[which]
    axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
    for i in axes:
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)):
            raise TypeError(f"{numbers} must hold integers and sequences of integers")
        if not -ndim <= i < ndim:
            raise ValueError(f"{numbers} names axis {i} of an array of {ndim} axes")
    return tuple(int(i) % ndim for i in axes)


def dimension_numbers(
    name: str, kind: Callable[..., Any], numbers: Any, target: Params
) -> tuple[list[tuple[str, Any, Any]], Any]:
    """What is known of each leaf of a tree, and the tree's structure.

    Args:
      name: of the argument, for messages.
      kind: the class of dimension numbers.
      numbers: tree of those with None for leaves that are no matrices, a prefix of such a tree, or a function that
        makes it from the tree. None for the default ones where there are two axes, and for None elsewhere.
      target: tree of arrays.

    Returns:
      (path, leaf, dimension numbers or None) for each leaf, and the structure.
    """
    leaves, structure = jax.tree.flatten(target)
    paths = [keystr(path) or "the root" for path, _ in tree_leaves_with_path(target)]
    if numbers is None or not leaves:
        found = [kind() if jnp.ndim(x) == 2 else None for x in leaves]
        return list(zip(paths, leaves, found, strict=True)), structure
    made = numbers(target) if is_function(numbers) else numbers

    def is_entry(x: Any) -> bool:
        return x is None or hasattr(x, "reduction_axis")

    found = []

    def on_entry(path: Any, entry: Any, part: PyTree) -> None:
        if not is_entry(entry):
            known = getattr(kind, "__name__", kind)
            raise TypeError(f"{name} must hold {known} and None; at {keystr(path) or 'the root'} is {entry!r}")
        found.extend([entry] * len(jax.tree.leaves(part)))

    map_prefix(on_entry, made, target, f"{name} is neither of the tree's structure nor a prefix of it", is_entry)
    return list(zip(paths, leaves, found, strict=True)), structure


def is_split_by_type(x: jax.Array) -> bool:
    """Whether the type of `x` says how it is split over a mesh of explicit axes."""
    sharding = getattr(jax.typeof(x), "sharding", None)
    return sharding is not None and AxisType.Explicit in sharding.mesh.axis_types


def on_any_mesh(f: Callable[..., jax.Array], *args: jax.Array, like: jax.Array | None) -> jax.Array:
    """`f(*args)`, whose work the compiler divides, also where the types of arrays say how they are split.

    Products and decompositions of split matrices can be divided in several ways, and refuse to choose.

    Args:
      f: a function of arrays and of nothing else.
      *args: arrays.
      like: an array that the result is to be split like; None for a result that is on every device as a whole.
    """
    if not is_split_by_type(args[0]):
        return f(*args)
    untyped: Any = PartitionSpec  # in JAX
    mesh = jax.typeof(args[0]).sharding.mesh
    sharding = NamedSharding(mesh, untyped()) if like is None else jax.typeof(like).sharding
    modern: Any = jax.sharding
    if hasattr(modern, "auto_axes"):
        result: jax.Array = modern.auto_axes(f, out_sharding=sharding)(*args)
        return result
    older: Any = importlib.import_module("jax.experimental.shard")  # JAX 0.6
    result = older.auto_axes(f, out_shardings=sharding)(*args)
    return result

"""Hypothesis strategies: arrays, pytrees of them, and gradients that fit."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

REAL = ("bfloat16", "float16", "float32")
INEXACT = (*REAL, "complex64")
DOUBLE = ("float64", "complex128")  # draw these inside `with enable_x64()`, through `st.data()`
SHAPES = ((), (1,), (3,), (2, 3), (0,), (0, 2))

# Quarters up to 8 in size: every dtype holds them exactly, and float32 holds their sums and products exactly too, so
# that a test can ask for equality with NumPy.
QUARTERS = st.integers(-32, 32).map(lambda n: n / 4)


class Pair(NamedTuple):
    """A named tuple."""

    first: Any
    second: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    """A registered dataclass."""

    weight: Any
    bias: Any


@st.composite
def filled(draw: st.DrawFn, shape: tuple[int, ...], dtype: str) -> jax.Array:
    """An array of this shape and dtype, filled with quarters."""
    size = math.prod(shape)
    values = np.asarray(draw(st.lists(QUARTERS, min_size=size, max_size=size)), np.complex128)
    if np.issubdtype(np.dtype(dtype), np.complexfloating):
        values = values + 1j * np.asarray(draw(st.lists(QUARTERS, min_size=size, max_size=size)))
    else:
        values = values.real
    return jnp.asarray(values.reshape(shape).astype(dtype))


@st.composite
def arrays(draw: st.DrawFn, dtypes: Sequence[str] = INEXACT, shapes: Sequence[tuple[int, ...]] = SHAPES) -> jax.Array:
    """An array, perhaps of shape (), perhaps without elements."""
    return draw(filled(draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes))))


def trees(leaves: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """A pytree of every kind of container, some of them empty, with None among the leaves."""

    def containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(parts, max_size=3)
        return st.one_of(
            st.dictionaries(st.sampled_from("abcd"), parts, max_size=3),
            several,
            several.map(tuple),
            st.builds(Pair, parts, parts),
            st.builds(Layer, parts, parts),
        )

    return st.recursive(st.one_of(arrays() if leaves is None else leaves, st.none()), containers, max_leaves=5)


def gradients(params: Any, dtype: str | None = None) -> st.SearchStrategy[Any]:
    """A tree of the structure and shapes of `params`, and of its dtypes unless told otherwise."""
    leaves, treedef = jax.tree.flatten(params)
    return st.tuples(*(filled(x.shape, dtype or str(x.dtype)) for x in leaves)).map(treedef.unflatten)


def with_gradients(params: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    """Parameters and a gradient for them."""
    return params.flatmap(lambda p: st.tuples(st.just(p), gradients(p)))

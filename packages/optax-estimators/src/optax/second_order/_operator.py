"""A product with a symmetric matrix, given as a function from trees to trees, and its view of vectors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, tree, vary_like

__all__ = ["LinearOperator", "product"]


class LinearOperator:
    """A function `matvec` of trees like `params`, whose results are checked and computed with in float32 or wider.

    Args:
      matvec: maps a tree like `params`, in its dtypes, to one of the same structure and shapes.
      params: tree of floating arrays or of their shapes and dtypes.

    Attributes:
      size: the number of elements of all leaves.
      dtype: float32, or float64 if a leaf is.
    """

    def __init__(self, matvec: Callable[[PyTree], PyTree], params: PyTree):
        if not callable(matvec):
            raise TypeError(f"matvec must be a function from trees to trees, not {matvec!r}")
        self._params = params
        self._form = jax.tree_util.tree_map_with_path(_form, params)
        self._leaves: list[Any] = jax.tree.leaves(self._form)
        self.size = sum(x.size for x in self._leaves)
        if self.size == 0:
            raise ValueError("params has no elements: there is no matrix")
        self.dtype = jnp.dtype("float64" if any(x.dtype == jnp.float64 for x in self._leaves) else "float32")
        # Traced once, however many loops the products are in.
        self._matvec = jax.jit(lambda v: self._checked(matvec(v)))

    def __call__(self, v: PyTree) -> PyTree:
        """The product, as a tree in `dtype`; `v` is rounded to the dtypes of the parameters first."""
        return self._matvec(self.rounded(v))

    def flat(self, v: jax.Array) -> jax.Array:
        """The product of the matrix with a vector of length `size`."""
        return self.ravel(self(self.unravel(v)))

    def rounded(self, v: PyTree) -> PyTree:
        """`v` in the dtypes of the parameters."""
        return jax.tree.map(lambda x, p: x.astype(p.dtype), v, self._form)

    def zeros(self) -> PyTree:
        """Zeros for every parameter, in `dtype`."""
        return self.varying(tree.zeros_like(self._form, self.dtype))

    def varying(self, x: PyTree) -> PyTree:
        """`x`, of a type that a loop can carry: inside `shard_map` it may differ between devices as params do."""
        return vary_like(x, self._params)

    def random(self, rng: jax.Array, sampler: Callable[..., jax.Array]) -> PyTree:
        """A tree of independent numbers in `dtype`, none of which rounding to the parameters' dtypes changes."""
        return tree.cast(self.rounded(tree.random_like(rng, self._form, sampler, self.dtype)), self.dtype)

    def ravel(self, v: PyTree) -> jax.Array:
        """The tree as one vector, in `dtype`."""
        return jnp.concatenate([x.astype(self.dtype).ravel() for x in jax.tree.leaves(v)])

    def unravel(self, v: jax.Array) -> PyTree:
        """The tree of vectors of shape (..., size); leaves of shape (..., *leaf.shape), in `dtype`."""
        pieces, start = [], 0
        for x in self._leaves:
            pieces.append(v[..., start : start + x.size].reshape(*v.shape[:-1], *x.shape))
            start += x.size
        return jax.tree.unflatten(jax.tree.structure(self._form), pieces)

    def _checked(self, result: PyTree) -> PyTree:
        wanted: Any = jax.tree.structure(self._form)
        got: Any = jax.tree.structure(result)
        if wanted != got:
            raise ValueError(f"matvec must return a tree like params, {wanted}, but returned {got}")

        def on_leaf(path: tuple[Any, ...], p: Any, x: Any) -> jax.Array:
            name = f"matvec(v){jax.tree_util.keystr(path)}"
            if jnp.shape(x) != p.shape:
                raise ValueError(f"{name} must have the shape of its parameter, {p.shape}, but has {jnp.shape(x)}")
            array = jnp.asarray(x)
            if not jnp.issubdtype(array.dtype, jnp.floating):
                raise TypeError(f"{name} must be real and floating, but has dtype {array.dtype}")
            return array.astype(self.dtype)

        return jax.tree_util.tree_map_with_path(on_leaf, self._form, result)


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """a @ b in the full precision of the dtype, which accelerators do not give by default."""
    return jnp.matmul(a, b, precision="highest")


def _form(path: tuple[Any, ...], leaf: Any) -> Any:
    x = leaf if hasattr(leaf, "shape") and hasattr(leaf, "dtype") else jnp.asarray(leaf)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        why = (
            "take its real and imaginary parts as two leaves"
            if jnp.issubdtype(x.dtype, jnp.complexfloating)
            else "bind it to matvec beforehand"
        )
        raise TypeError(f"params{jax.tree_util.keystr(path)} has dtype {x.dtype}, not a real floating one; {why}")
    struct: Any = jax.ShapeDtypeStruct
    return struct(x.shape, jax.dtypes.canonicalize_dtype(x.dtype))

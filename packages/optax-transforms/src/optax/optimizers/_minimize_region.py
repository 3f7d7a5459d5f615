"""Where `minimize` searches: everywhere, within bounds, or in a convex set that there is a projection onto."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import Params, PyTree, Updates, tree
from optax.transforms._mask import map_prefix


class Region(NamedTuple):
    """A convex set of parameters.

    Attributes:
      bounds: pair (lower, upper) of trees like the parameters; None for none.
      projection: function from parameters to the nearest ones of the set; None for none.
    """

    bounds: tuple[PyTree, PyTree] | None = None
    projection: Callable[[Params], Params] | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self.bounds is None and self.projection is None

    def nearest(self, x: Params) -> Params:
        """The point of the set that is nearest to x."""
        if self.bounds is not None:
            return jax.tree.map(_between, x, *self.bounds)
        return x if self.projection is None else tree.cast_like(self.projection(x), x)

    def free(self, x: Params, g: Updates) -> PyTree:
        """Where the bounds let x go against the gradient."""

        def on_leaf(x: jax.Array, g: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
            return ~((x <= a) & (g > 0) | (x >= b) & (g < 0))

        return None if self.bounds is None else jax.tree.map(on_leaf, x, g, *self.bounds)

    def gradient_norm(self, x: Params, g: Updates) -> jax.Array:
        """The norm of the gradient, or of what the set leaves of it: 0 at a minimum."""
        if self.bounds is not None:
            g = jax.tree.map(lambda g, is_free: jnp.where(is_free, g, 0), g, self.free(x, g))
        if self.projection is not None:
            g = self.residual(x, g, lambda _: tree.conj(g))
        return tree.norm(g)

    def residual(self, x: Params, g: Updates, gradient: Callable[[Params], Updates]) -> PyTree:
        """What is 0 at a minimum, and whose derivatives say where the minimum goes.

        Args:
          x: the minimum.
          g: the gradient there, which says what is on a bound.
          gradient: the function that gives it.

        Returns:
          A tree like x. Within bounds its derivatives by x are a symmetric matrix: what is on a bound is taken from
          there wherever the gradient is computed, and moves nothing else by itself.
        """
        if self.bounds is not None:
            free = self.free(x, g)
            bound = jax.tree.map(lambda g, a, b: jnp.where(g > 0, a, b), g, *self.bounds)
            slopes = gradient(jax.tree.map(jnp.where, free, x, bound))
            return jax.tree.map(jnp.where, free, slopes, tree.sub(x, bound))
        slopes = gradient(x)
        return slopes if self.projection is None else tree.sub(x, self.nearest(tree.sub(x, slopes)))


def _between(x: jax.Array, a: jax.Array, b: jax.Array) -> jax.Array:
    """x between a and b; on the bounds its derivative is 1, as inside."""
    return jnp.where(x < a, a, jnp.where(x > b, b, x))


def bounds_for(x0: Params, bounds: Any) -> tuple[PyTree, PyTree]:
    """The argument `bounds` in the structure, the shapes and the dtypes of `x0`."""
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"bounds must be a pair (lower, upper), not {bounds!r}")
    for path, x in tree_leaves_with_path(x0):
        if jnp.iscomplexobj(x):
            raise TypeError(f"bounds are for real parameters; x0 at {keystr(path) or 'the root'} is complex")

    def limit(i: int, default: float) -> PyTree:
        def on_entry(path: Any, bound: Any, part: PyTree) -> PyTree:
            def on_leaf(x: jax.Array) -> jax.Array:
                found = jnp.asarray(default if bound is None else bound, x.dtype)
                if found.shape not in ((), x.shape):
                    where = keystr(path) or "the root"
                    raise ValueError(f"bounds[{i}] at {where} has the shape {found.shape} where x0 has {x.shape}")
                return jnp.broadcast_to(found, x.shape)

            return jax.tree.map(on_leaf, part)

        complaint = f"bounds[{i}] is neither of the structure of x0 nor a prefix of it"
        return map_prefix(on_entry, bounds[i], x0, complaint, lambda x: x is None)

    lower, upper = limit(0, -jnp.inf), limit(1, jnp.inf)
    for path, fit in tree_leaves_with_path(jax.tree.map(lambda a, b: jnp.all(a <= b), lower, upper)):
        if not isinstance(fit, jax.core.Tracer) and not fit:  # NaN does not fit either
            raise ValueError(f"bounds[0] is not at most bounds[1] everywhere at {keystr(path) or 'the root'}")
    return lower, upper

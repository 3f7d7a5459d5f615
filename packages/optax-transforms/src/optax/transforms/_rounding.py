"""Train parameters of 16 bits without a copy in 32: round what they cannot hold by chance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    Params,
    PyTree,
    Updates,
    has_value,
    over_leaves,
    require_params,
    transformation,
    tree,
)
from optax.transforms._precision import wide_dtype
from optax.transforms._random import RandomKey, random_keys

__all__ = ["StochasticRoundingState", "stochastic_rounding"]


class StochasticRoundingState(NamedTuple):
    """State of `stochastic_rounding`.

    Attributes:
      rng_key: uint32 array, the integers of the next random key.
    """

    rng_key: jax.Array


@transformation
def stochastic_rounding(key: RandomKey | None = None, *, seed: int | None = None) -> GradientTransformation:
    """Make `apply_updates` round by chance instead of to the nearest number: the last stage of a chain.

    A bfloat16 parameter of 1 cannot hold 1 - 0.001: rounded to the nearest number it stays 1, after a thousand such
    updates too. Here the update is replaced by one that takes the parameter to the number below p + u, or above it,

        P(above) = (p + u - below) / (above - below)

    so that the new parameter is p + u on average. Parameters of 32 or more bits keep their updates (unless these are
    wider), and so do complex ones. Derivatives are those of the identity.

    Args:
      key: random key (typed or raw), or an integer seed.
      seed: integer seed, in place of a key.

    Returns:
      A transformation that needs the parameters. Its state is `StochasticRoundingState`. Where no number of the
      update's dtype leads to a neighbour of p + u (both are bfloat16, say, and u is larger than p), one that leads
      beyond takes the neighbour's place in the formula: the average stays right.

    Raises:
      ValueError: there is not exactly one of `key` and `seed`.

    Reference:
      Gupta et al., "Deep learning with limited numerical precision", 2015, section 3.
    """
    start, advance = random_keys(key, seed)

    def init(params: Params) -> StochasticRoundingState:
        del params
        return StochasticRoundingState(rng_key=start())

    def update(
        updates: Updates, state: StochasticRoundingState, params: Params | None = None
    ) -> tuple[Updates, StochasticRoundingState]:
        now, rng_key = advance(state.rng_key)

        def on_leaf(u: jax.Array, p: jax.Array, key: jax.Array) -> jax.Array:
            wide = wide_dtype(u, p)
            if p.dtype == wide or not all(jnp.issubdtype(x.dtype, jnp.floating) for x in (u, p)):
                return u
            return _rounded(u, p, jax.random.uniform(key, u.shape, wide))

        return beside_params(on_leaf, updates, params, tree.split_key_like(now, updates)), (
            StochasticRoundingState(rng_key)
        )

    return GradientTransformation(init, update)


@jax.custom_jvp
def _rounded(u: jax.Array, p: jax.Array, chance: jax.Array) -> jax.Array:
    """The update that takes `p` below `p + u`, or above where `chance`, uniform in [0, 1), is small enough."""
    wide = chance.dtype
    exact_p, exact_u = p.astype(wide), u.astype(wide)

    def landed(x: jax.Array) -> jax.Array:
        """Where `apply_updates` arrives."""
        return _rounded_with(jnp.round, exact_p + x, p.dtype)

    def leading_to(target: jax.Array, otherwise: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """The update that lands on `target`; where `u.dtype` has none, one that lands beyond."""
        exact = target - exact_p
        x = _rounded_with(jnp.round, exact, u.dtype)
        return jnp.where(landed(x) == target, x, _rounded_with(otherwise, exact, u.dtype))

    nearest, step = landed(exact_u), _power_of_two(_spacing_exponent(exact_p + exact_u, p.dtype), exact_p)
    # The nearest number is subtracted first: the sum could lose all of a small u.
    rest = (exact_p - nearest) + exact_u
    down = leading_to(jnp.where(rest < 0, nearest - step, nearest), jnp.floor)
    up = leading_to(jnp.where(rest > 0, nearest + step, nearest), jnp.ceil)
    below, above = landed(down), landed(up)
    chosen = jnp.where(chance * (above - below) < (exact_p - below) + exact_u, up, down).astype(u.dtype)
    held = jnp.maximum(jnp.abs(below), jnp.abs(above)) <= float(_finfo(p.dtype).max)  # False for NaN
    return jnp.where((rest != 0) & held, chosen, u)


@_rounded.defjvp
def _rounded_jvp(primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
    return _rounded(*primals), tangents[0]


_finfo: Any = jnp.finfo  # unannotated in JAX


def rounded_up(x: jax.Array, dtype: Any) -> jax.Array:
    """The least number of `dtype` that is not below `x`, in the dtype of `x`."""
    return _rounded_with(jnp.ceil, x, dtype)


def _rounded_with(to_integer: Callable[[jax.Array], jax.Array], x: jax.Array, dtype: Any) -> jax.Array:
    # By arithmetic with powers of two, which is exact: a conversion to `dtype` and back is one that the compiler may
    # leave out.
    if _finfo(dtype).nmant >= _finfo(x.dtype).nmant:
        return x
    exponent = _spacing_exponent(x, dtype)
    return to_integer(x * _power_of_two(-exponent, x)) * _power_of_two(exponent, x)


def _spacing_exponent(x: jax.Array, dtype: Any) -> jax.Array:
    """The e for which 2^e is the distance between two neighbouring numbers of `dtype` about `x`."""
    own, its = _finfo(x.dtype), _finfo(dtype)
    _, exponent = jnp.frexp(x)  # 2^(exponent - 1) <= |x| < 2^exponent
    return jnp.maximum(exponent - 1 - its.nmant, max(its.minexp - its.nmant, own.minexp))


def _power_of_two(exponent: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.ldexp(jnp.ones_like(like), exponent)


def beside_params(
    on_leaf: Callable[..., jax.Array], updates: Updates, params: Params | None, *others: PyTree
) -> Updates:
    """Map `on_leaf(u, p, ...)` in the dtypes that the leaves have, where `over_leaves` would widen them."""

    def on_array(u: Any, p: Any, *rest: Any) -> Any:
        return on_leaf(jnp.asarray(u), jnp.asarray(p), *rest) if has_value(u) else u

    over_leaves(lambda u, _: u, updates, reads=(require_params(params),))  # raises if the trees do not match
    return jax.tree.map(on_array, updates, params, *others, is_leaf=lambda x: x is None)

"""Add noise to the updates."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    Numeric,
    Params,
    Updates,
    check_hyperparameter,
    over_leaves,
    safe_increment,
    safe_sqrt,
    scaled,
    transformation,
)
from optax.transforms._random import RandomKey, random_keys, standard_normal

__all__ = ["AddNoiseState", "add_noise"]


class AddNoiseState(NamedTuple):
    """State of `add_noise`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      rng_key: uint32 array, the integers of the next random key (`jax.random.wrap_key_data` makes a key of them).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    rng_key: jax.Array


@transformation
def add_noise(
    eta: Numeric, gamma: Numeric, key: RandomKey | None = None, *, seed: int | None = None
) -> GradientTransformation:
    """Add Gaussian noise that fades: u = g + z, z ~ N(0, eta / t^gamma), with t = 1 at the first update.

    The noise is drawn in float32 or wider, for every element of every leaf by itself. For a complex leaf it is complex,
    and eta / t^gamma is the mean of |z|^2. Inside `shard_map` every device draws the same numbers.

    Args:
      eta: real scalar >= 0, variance of the noise at the first update.
      gamma: real scalar, how fast the variance falls.
      key: random key (typed or raw), or an integer seed.
      seed: integer seed, in place of a key.

    Returns:
      A transformation whose state is `AddNoiseState`.

    Raises:
      ValueError: `eta` is negative, or there is not exactly one of `key` and `seed`.

    Reference:
      Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015, equations 1 and 2
      (where t starts from 0 and 1 is added to it).
    """
    check_hyperparameter("eta", eta, least=0)
    check_hyperparameter("gamma", gamma)
    start, advance = random_keys(key, seed)

    def init(params: Params) -> AddNoiseState:
        del params
        return AddNoiseState(count=jnp.zeros([], jnp.int32), rng_key=start())

    def update(updates: Updates, state: AddNoiseState, params: Params | None = None) -> tuple[Updates, AddNoiseState]:
        del params
        count = safe_increment(state.count)
        t = count.astype(float)
        deviation = safe_sqrt(jnp.asarray(eta, t.dtype) / t ** jnp.asarray(gamma, t.dtype))
        now, rng_key = advance(state.rng_key)

        def rule(g: jax.Array, z: jax.Array) -> jax.Array:
            return g + scaled(z, deviation)

        updates = over_leaves(rule, updates, reads=(standard_normal(now, updates),))
        return updates, AddNoiseState(count, rng_key)

    return GradientTransformation(init, update)

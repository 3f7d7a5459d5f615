"""Bound what a single example can do to the updates."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import (
    GradientTransformation,
    Numeric,
    Params,
    PyTree,
    Updates,
    abs_sq,
    check_hyperparameter,
    has_value,
    over_leaves,
    safe_sqrt,
    scaled,
    transformation,
    tree,
    vary_like,
    widen,
)
from optax.transforms._clip import shrinking
from optax.transforms._random import RandomKey, random_keys, standard_normal

__all__ = [
    "DifferentiallyPrivateAggregateState",
    "differentially_private_aggregate",
    "per_example_global_norm_clip",
    "per_example_layer_norm_clip",
]


class DifferentiallyPrivateAggregateState(NamedTuple):
    """State of `differentially_private_aggregate`.

    Attributes:
      rng_key: uint32 array, the integers of the next random key (`jax.random.wrap_key_data` makes a key of them).
    """

    rng_key: jax.Array


@transformation
def differentially_private_aggregate(
    l2_norm_clip: Numeric, noise_multiplier: Numeric, key: RandomKey | None = None, *, seed: int | None = None
) -> GradientTransformation:
    """Average the gradients of single examples so that none of them can be told from the result.

    Each example's gradient g_i, all leaves taken as one vector, is scaled down to a norm of at most `l2_norm_clip`;
    then

        u = (sum_i g_i + z) / n,    z ~ N(0, (noise_multiplier * l2_norm_clip)^2)

    for the n examples, with a number z of its own for every real number in u (two for a complex one). An example with a
    NaN or an infinity in its gradient counts as zero.

    Args:
      l2_norm_clip: real scalar >= 0, the bound on the norm.
      noise_multiplier: real scalar >= 0, the noise's standard deviation in units of that bound.
      key: random key (typed or raw), or an integer seed. No two runs on the same data may share it.
      seed: integer seed, in place of a key.

    Returns:
      A transformation whose state is `DifferentiallyPrivateAggregateState`. Unlike others it takes gradients with a
      leading axis of examples (`jax.vmap` of `jax.grad` makes them) and returns updates without it. Put it first in a
      chain.

    Raises:
      ValueError: a bound is negative, or there is not exactly one of `key` and `seed`; from `update`, if the leaves
        disagree about the number of examples or, where `params` is passed, are no batches of its shapes.

    Reference:
      Abadi et al., "Deep learning with differential privacy", 2016, algorithm 1.
    """
    check_hyperparameter("l2_norm_clip", l2_norm_clip, least=0)
    check_hyperparameter("noise_multiplier", noise_multiplier, least=0)
    start, advance = random_keys(key, seed)

    def init(params: Params) -> DifferentiallyPrivateAggregateState:
        del params
        return DifferentiallyPrivateAggregateState(rng_key=start())

    def update(
        updates: Updates, state: DifferentiallyPrivateAggregateState, params: Params | None = None
    ) -> tuple[Updates, DifferentiallyPrivateAggregateState]:
        n = max(_batch_size(updates), 1)
        if params is not None:
            _check_batches(updates, params)
        total, _ = _clipped_sum(updates, l2_norm_clip)
        now, rng_key = advance(state.rng_key)

        def rule(g: jax.Array, z: jax.Array) -> jax.Array:
            per_number = math.sqrt(2) if jnp.iscomplexobj(z) else 1.0  # the parts of z have half its mean square each
            return scaled(g + scaled(scaled(z, l2_norm_clip), noise_multiplier) * per_number, 1 / n)

        mean = over_leaves(rule, total, reads=(standard_normal(now, total),))
        return tree.cast_like(mean, updates), DifferentiallyPrivateAggregateState(rng_key)

    return GradientTransformation(init, update)


def per_example_global_norm_clip(grads: Updates, l2_norm_clip: Numeric) -> tuple[Updates, jax.Array]:
    """Sum the gradients of single examples, each scaled down to a bounded norm: sum_i g_i * min(1, bound / norm(g_i)).

    The norm of an example is that of all its leaves taken as one vector. An example with a NaN or an infinity in its
    gradient, or with a norm too large for float32, contributes zero and counts as scaled down.

    Args:
      grads: tree of arrays whose axis 0 is the example's.
      l2_norm_clip: real scalar >= 0, the bound.

    Returns:
      The tree of sums, without axis 0, in the dtypes of `grads`; and how many examples were scaled down, an int32
      scalar.

    Raises:
      ValueError: the bound is negative, or the leaves disagree about the number of examples.

    Reference:
      Abadi et al., "Deep learning with differential privacy", 2016, algorithm 1.
    """
    check_hyperparameter("l2_norm_clip", l2_norm_clip, least=0)
    total, number = _clipped_sum(grads, l2_norm_clip)
    return tree.cast_like(total, grads), number


def per_example_layer_norm_clip(
    grads: Updates, global_l2_norm_clip: Numeric, uniform: bool = True
) -> tuple[Updates, PyTree]:
    """Sum the gradients of single examples, each leaf scaled down to a bounded norm of its own.

    The squares of the bounds add up to that of the global one, so that the norm of a whole example is bounded by it.
    What is not finite contributes zero, as in `per_example_global_norm_clip`, leaf by leaf.

    Args:
      grads: tree of arrays whose axis 0 is the example's.
      global_l2_norm_clip: real scalar >= 0, the bound for whole examples.
      uniform: whether the bound of each of the L leaves is global_l2_norm_clip / sqrt(L). Else it is
        global_l2_norm_clip * sqrt(leaf's size / size of all), sizes being those of one example.

    Returns:
      The tree of sums, without axis 0, in the dtypes of `grads`; and a tree with the number of examples that were
      scaled down in each leaf, int32 scalars.

    Raises:
      ValueError: the bound is negative, or the leaves disagree about the number of examples.

    Reference:
      McMahan et al., "Learning differentially private recurrent language models", 2018, section 3.
    """
    check_hyperparameter("global_l2_norm_clip", global_l2_norm_clip, least=0)
    _batch_size(grads)
    sizes = [_size(g) for g in jax.tree.leaves(grads) if has_value(g)]

    def on_leaf(g: Any) -> tuple[Any, jax.Array]:
        share = 1 / max(len(sizes), 1) if uniform else _size(g) / max(sum(sizes), 1)
        return _clipped_sum(g, jnp.asarray(global_l2_norm_clip, float) * math.sqrt(share))

    leaves, treedef = jax.tree.flatten(grads)
    pairs = [on_leaf(g) for g in leaves]
    sums, numbers = (jax.tree.unflatten(treedef, [pair[i] for pair in pairs]) for i in (0, 1))
    return tree.cast_like(sums, grads), numbers


def _clipped_sum(grads: Updates, bound: Numeric) -> tuple[Updates, jax.Array]:
    """The sum of the examples, each scaled down to the bound, in float32 or wider; and how many have been."""
    n = _batch_size(grads)
    # Real with complex, float32 with float64: nothing that is promoted here leaves.
    with jax.numpy_dtype_promotion("standard"):
        leaves = [widen(g) for g in jax.tree.leaves(grads) if has_value(g)]
        squares = [jnp.sum(abs_sq(g), axis=tuple(range(1, g.ndim))) for g in leaves]
        norms = safe_sqrt(functools.reduce(jnp.add, squares, jnp.zeros(n)))
        finite = jnp.isfinite(norms)
        factors = jnp.where(finite, shrinking(jnp.where(finite, norms, 1), bound), 0)

        def product() -> list[jax.Array]:
            return [jnp.tensordot(factors.astype(g.dtype), g, 1, precision=jax.lax.Precision.HIGHEST) for g in leaves]

        def one_by_one() -> list[jax.Array]:
            def add(i: jax.Array, sums: list[jax.Array]) -> list[jax.Array]:
                return [
                    x + jnp.where(finite[i], g[i] * factors[i].astype(g.dtype), jnp.zeros_like(x))
                    for x, g in zip(sums, leaves, strict=True)
                ]

            zeros = vary_like(jax.tree.map(jnp.zeros_like, product()), grads)
            total: list[jax.Array] = jax.lax.fori_loop(0, n, add, zeros)
            return total

        # Zeros in the place of what is not finite would be a copy of all gradients, so the product goes without them
        # wherever it can: 0 * infinity is NaN.
        sums = iter(jax.lax.cond(jnp.all(finite), product, one_by_one) if leaves and n else product())
        total = jax.tree.map(lambda g: next(sums) if has_value(g) else np.zeros(g.shape[1:], jax.dtypes.float0), grads)
    within = norms <= jnp.asarray(bound, norms.dtype)  # False for NaN
    return total, jnp.sum(~within, dtype=jnp.int32)


def _size(g: Any) -> int:
    """The number of elements of one example."""
    return math.prod(g.shape[1:])


def _batch_size(grads: Updates) -> int:
    """The number of examples; 0 in a tree without leaves."""
    first = None
    for path, g in jax.tree_util.tree_leaves_with_path(grads):
        if not jnp.shape(g):
            raise ValueError(f"grads must have a leading axis of examples; {_at(path)} is a scalar")
        first = first or (path, g.shape[0])
        if g.shape[0] != first[1]:
            raise ValueError(
                "the leaves of grads disagree about the number of examples: "
                f"{_at(first[0])} has {first[1]}, {_at(path)} has {g.shape[0]}"
            )
    return first[1] if first else 0


def _check_batches(grads: Updates, params: Params) -> None:
    def on_leaf(path: Any, g: Any, p: Any) -> None:
        if g is not None and p is not None and g.shape[1:] != jnp.shape(p):
            raise ValueError(
                f"grads must have a leading axis of examples before the shape of params: "
                f"{_at(path)} is of shape {g.shape}, its parameter of shape {jnp.shape(p)}"
            )

    jax.tree_util.tree_map_with_path(on_leaf, grads, params, is_leaf=lambda x: x is None)


def _at(path: Any) -> str:
    return f"the leaf at {jax.tree_util.keystr(path)}" if path else "the leaf"

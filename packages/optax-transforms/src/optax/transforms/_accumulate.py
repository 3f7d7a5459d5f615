"""Collect updates over several steps."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    Params,
    Updates,
    check_integer,
    new_slot,
    over_leaves,
    transformation,
)

__all__ = ["ApplyEvery", "apply_every"]


class ApplyEvery(NamedTuple):
    """State of `apply_every`.

    Attributes:
      count: int32 scalar, the number of updates since the last one that was passed on, below k.
      grad_acc: tree of the parameters' structure and shapes, the sum of the updates of this round.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    grad_acc: Updates


@transformation
def apply_every(k: int = 1) -> GradientTransformation:
    """Pass on the sum of k updates at every k-th step, and zeros in between.

    Place it last in a chain: what follows it would see the zeros too. `MultiSteps` averages gradients before an
    optimizer instead.

    Args:
      k: integer >= 1.

    Returns:
      A transformation whose state is `ApplyEvery`. A NaN is forgotten with the round that it came in. The sums of
      bfloat16 and float16 updates are taken in float32.

    Raises:
      TypeError: `k` is not an integer.
      ValueError: `k` is below 1.
    """
    k = check_integer("k", k, least=1)

    def init(params: Params) -> ApplyEvery:
        return ApplyEvery(count=jnp.zeros([], jnp.int32), grad_acc=new_slot(params))

    def update(updates: Updates, state: ApplyEvery, params: Params | None = None) -> tuple[Updates, ApplyEvery]:
        del params
        first, last = state.count == 0, state.count >= k - 1

        def rule(g: jax.Array, acc: jax.Array) -> tuple[jax.Array, jax.Array]:
            acc = jnp.where(first, g, acc + g)
            return jnp.where(last, acc, 0), acc

        updates, grad_acc = over_leaves(rule, updates, begun(updates, state.grad_acc, first))
        return updates, ApplyEvery(jnp.where(last, 0, state.count + 1), grad_acc)

    return GradientTransformation(init, update)


def begun(updates: Updates, acc: Updates, first: jax.Array) -> Updates:
    """The accumulator, where a gradient that is None would leave the last sum in it for the next one."""

    def on_leaf(g: Any, a: Any) -> Any:
        return jnp.where(first, jnp.zeros_like(a), a) if g is None and a is not None else a

    return jax.tree.map(on_leaf, updates, acc, is_leaf=lambda x: x is None)

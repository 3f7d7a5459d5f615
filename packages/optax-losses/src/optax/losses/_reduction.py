"""What every loss does with its values after the mathematics: `where`, `weights` and `reduction`, in one spelling.

A value that is left out counts nothing, whatever it is; the loss itself sees to it that its slope is finite there.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, Axes, as_axes, as_floats, as_mask, as_weights, require_same_shape

__all__ = ["Reduction", "per_element", "reduced"]

Reduction: TypeAlias = Literal["mean", "sum"] | None


def reduced(
    losses: jax.Array,
    *,
    kept: jax.Array | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
    axis: Axes | None = None,
) -> jax.Array:
    """The losses as the user wants them: those not kept are 0, each times its weight, summed or averaged or neither.

    Args:
      losses: one value each, any shape.
      kept: boolean, the shape of `losses`: which of them count; None means all.
      weights: what each loss is multiplied by, the shape of `losses`; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights, and 0 if nothing counts.
      axis: the axis or axes that are reduced; None means all.

    Returns:
      The dtype of `losses`; their shape without what is reduced.

    Raises:
      ValueError: `weights` has another shape, `reduction` is none of these, or `axis` is no axis or is given without
        a reduction.
      TypeError: the weights are no real numbers.
    """
    if reduction not in (None, "mean", "sum"):
        raise ValueError(f"reduction must be None, 'mean' or 'sum', got {reduction!r}")
    if reduction is None and axis is not None:
        raise ValueError(f"axis={axis} names what `reduction` runs over, but there is no reduction")
    axes = None if axis is None else as_axes(axis, "the losses", losses)
    w = as_weights(weights, losses)
    if w is not None:
        kept = w != 0 if kept is None else kept & (w != 0)
        losses = w * (losses if kept is None else jnp.where(kept, losses, 0))
    elif kept is not None:
        losses = jnp.where(kept, losses, 0)
    if reduction is None:
        return losses
    total = jnp.sum(losses, axis=axes)
    if reduction == "sum":
        return total
    counts = jnp.ones_like(losses) if w is None else w
    count = jnp.sum(counts if kept is None else jnp.where(kept, counts, 0), axis=axes)
    return jnp.where(count == 0, 0, total / jnp.where(count == 0, 1, count))


def per_element(
    rule: Callable[..., jax.Array],
    *,
    where: ArrayOrSequence | None,
    weights: ArrayOrSequence | None,
    reduction: Reduction,
    axis: Axes | None,
    fill: float = 0.0,
    **named: ArrayOrSequence | None,
) -> jax.Array:
    """An elementwise loss, written for its arrays alone, with all that it has in common with the others.

    Args:
      rule: from arrays of one shape and one floating dtype to the losses, of that shape.
      where: boolean, the shape of the first argument; the elements left out have loss 0 and gradient 0.
      weights: as for `reduced`.
      reduction: as for `reduced`.
      axis: the axis or axes that `reduction` runs over; None means all.
      fill: stands for elements left out when `rule` is called; its loss and slopes must be finite there.
      **named: the arguments of the rule by the names of the user's; None means zeros.

    Returns:
      The losses, or what `reduction` makes of them.

    Raises:
      ValueError: the shapes differ, or as for `reduced`.
      TypeError: an argument is not real, or `where` is not boolean.
    """
    arrays = dict(zip(named, as_floats(**{name: 0.0 if x is None else x for name, x in named.items()}), strict=True))
    first, x = next(iter(arrays.items()))
    for name in named:
        if named[name] is None:
            arrays[name] = jnp.zeros_like(x)
        require_same_shape(first, x, name, arrays[name])
    mask = as_mask("where", where, first, x)
    filled = [a if mask is None else jnp.where(mask, a, fill) for a in arrays.values()]
    return reduced(rule(*filled), kept=mask, weights=weights, reduction=reduction, axis=axis)

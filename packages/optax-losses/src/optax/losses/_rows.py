"""Rows of class scores with the index of a class each: what the losses with integer labels have in common."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, Axes, as_classes, as_floats, as_mask, class_axes, flatten_last
from optax.losses._log_space import label_logit

__all__ = ["Rows", "is_label", "labelled_rows"]


class Rows(NamedTuple):
    """Scores with the classes on the last axis, and their labels.

    Attributes:
      z: the scores, shape (..., C); -inf for classes that are left out.
      k: class indices, shape (...), which may name no class.
      defined: which of them name a class that takes part, shape (...).
      mask: which classes take part, the shape of `z`; None if all do.
    """

    z: jax.Array
    k: jax.Array
    defined: jax.Array
    mask: jax.Array | None


def labelled_rows(
    name: str,
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    axis: Axes,
    where: ArrayOrSequence | None,
    otherwise: str = "",
) -> Rows:
    """The user's arguments as rows, checked.

    Args:
      name: what messages shall call the scores.
      scores: the user's argument.
      labels: the user's argument of that name.
      axis: the user's argument of that name: the axis or axes of the classes, flattened into one here.
      where: the user's argument of that name.
      otherwise: what a message says to those whose labels are not integers.

    Returns:
      The rows.

    Raises:
      ValueError: the shapes do not fit, or `axis` is not an axis of the scores.
      TypeError: labels are not integers, scores are not real, or `where` is not boolean.
    """
    (z,) = as_floats(**{name: scores})
    mask = as_mask("where", where, name, z)
    axes = class_axes(axis, name, z)
    k = as_classes(labels, axis, name, z, otherwise)
    z = flatten_last(z, axes)
    defined = (k >= 0) & (k < z.shape[-1])
    if mask is not None:
        mask = flatten_last(mask, axes)
        z = jnp.where(mask, z, -jnp.inf)
        defined &= label_logit(mask, k)
    return Rows(z, k, defined, mask)


def is_label(z: jax.Array, k: jax.Array) -> jax.Array:
    """For each class of each row whether it is the labelled one; nowhere for an index out of range.

    A comparison that a compiler fuses with what uses it: no one-hot array is made.
    """
    return jax.lax.broadcasted_iota(k.dtype, z.shape, z.ndim - 1) == k[..., None]

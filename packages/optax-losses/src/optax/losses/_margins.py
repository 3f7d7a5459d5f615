"""Losses of margins: piecewise linear in the scores, zero for what is classified well enough."""

import jax
import jax.numpy as jnp

from optax.losses._inputs import ArrayOrSequence, Axes
from optax.losses._log_space import label_logit, nan_unless
from optax.losses._reduction import Reduction, per_element, reduced
from optax.losses._rows import is_label, labelled_rows

__all__ = ["hinge_loss", "multiclass_hinge_loss", "multiclass_perceptron_loss", "perceptron_loss"]


def hinge_loss(
    predictor_outputs: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The hinge loss of binary classifiers: by how much the margin of a score falls short of 1.

        loss = max(0, 1 - targets * predictor_outputs)

    Args:
      predictor_outputs: scores, real numbers of any shape; their signs are the decisions.
      targets: -1 or +1, the same shape.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictor_outputs`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictor_outputs` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Cortes and Vapnik, "Support-Vector Networks", 1995, section 3.

    >>> hinge_loss([0.25, 0.25, 3.0], [1.0, -1.0, 1.0])
    Array([0.75, 1.25, 0.  ], dtype=float32)
    """
    return per_element(
        lambda p, y: jnp.maximum(0, 1 - y * p),
        predictor_outputs=predictor_outputs,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def perceptron_loss(
    predictor_outputs: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The perceptron's loss of binary classifiers: how far a score lies on the wrong side of 0.

        loss = max(0, - targets * predictor_outputs)

    Args:
      predictor_outputs: scores, real numbers of any shape; their signs are the decisions.
      targets: -1 or +1, the same shape.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `predictor_outputs`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `predictor_outputs` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the Brain", 1958.

    >>> perceptron_loss([0.25, 0.25, 3.0], [1.0, -1.0, 1.0])
    Array([0.  , 0.25, 0.  ], dtype=float32)
    """
    return per_element(
        lambda p, y: jnp.maximum(0, -y * p),
        predictor_outputs=predictor_outputs,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def multiclass_hinge_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The hinge loss for several classes: by how much the label's score misses a lead of 1 over all the others.

        loss = max(0, 1 + max_{c != label} scores_c - scores_label)

    Args:
      scores: real numbers, shape (..., C, ...); a class with score -inf takes no part unless it is the label.
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `scores` without `axis`; the loss of an
        index that names no class is NaN, and its gradient is not finite.
      axis: the axis of the classes; several are counted as one, flattened in the order of the array.
      where: boolean mask, the shape of `scores`: the classes that take part; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `labels` unless reduced; float32, or float64 if the scores are.

    Raises:
      ValueError: the shapes do not fit, or `axis` or `reduction` is none.
      TypeError: labels are not integers, scores are not real, or `where` is not boolean.

    Reference:
      Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines", 2001.

    >>> multiclass_hinge_loss([[0.5, 2.0, -1.0], [0.5, 2.0, -1.0]], [0, 1])
    Array([2.5, 0. ], dtype=float32)
    """
    return _lead_missed(1.0, scores, labels, axis, where, weights, reduction)


def multiclass_perceptron_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The perceptron's loss for several classes: by how much the largest score exceeds that of the label.

        loss = max_c scores_c - scores_label

    Args:
      scores: real numbers, shape (..., C, ...); a class with score -inf takes no part unless it is the label.
      labels: class indices 0 ... C - 1 of an integer dtype, the shape of `scores` without `axis`; the loss of an
        index that names no class is NaN, and its gradient is not finite.
      axis: the axis of the classes; several are counted as one, flattened in the order of the array.
      where: boolean mask, the shape of `scores`: the classes that take part; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `labels` unless reduced; float32, or float64 if the scores are.

    Raises:
      ValueError: the shapes do not fit, or `axis` or `reduction` is none.
      TypeError: labels are not integers, scores are not real, or `where` is not boolean.

    Reference:
      Collins, "Discriminative Training Methods for Hidden Markov Models", 2002, figure 1, whose update it has as
      gradient.

    >>> multiclass_perceptron_loss([[0.5, 2.0, -1.0], [0.5, 2.0, -1.0]], [0, 1])
    Array([1.5, 0. ], dtype=float32)
    """
    return _lead_missed(0.0, scores, labels, axis, where, weights, reduction)


def _lead_missed(
    lead: float,
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    axis: Axes,
    where: ArrayOrSequence | None,
    weights: ArrayOrSequence | None,
    reduction: Reduction,
) -> jax.Array:
    """max_c of: how far class c is from lying `lead` below the label, and 0 for the label itself.

    Said of differences, so that a large score that all have in common costs no digits. Where several classes attain
    the maximum, each gets an equal share of the slope.
    """
    z, k, defined, _ = labelled_rows("scores", scores, labels, axis, where)
    absent = z == -jnp.inf
    excess = jnp.where(absent, 0, z) - label_logit(z, k)[..., None] + lead
    excess = jnp.where(absent, -jnp.inf, excess)
    losses = jnp.max(jnp.where(is_label(z, k), 0, excess), axis=-1)
    return reduced(nan_unless(defined, losses), weights=weights, reduction=reduction)

"""Losses that compare the order of items by their scores with that by their labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_axes,
    as_floats,
    as_mask,
    flatten_last,
    require_same_shape,
)
from optax.losses._log_space import cross_entropy, largest
from optax.losses._reduction import Reduction, per_element, reduced

__all__ = [
    "approx_ndcg_loss",
    "listmle_loss",
    "margin_ranking_loss",
    "pairwise_hinge_loss",
    "pairwise_logistic_loss",
    "ranking_softmax_loss",
]


def ranking_softmax_loss(
    logits: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduce_fn: Callable[..., jax.Array] | None = jnp.mean,
) -> jax.Array:
    """The cross entropy between the relevances of the items of a list and the softmax of their scores.

        loss = - sum_i weights_i labels_i log(exp(logits_i) / sum_j exp(logits_j))

    Args:
      logits: the scores of the items, shape (..., L).
      labels: their relevances, >= 0, the shape of `logits`; they need not sum to 1.
      where: boolean mask, the shape of `logits`: the items of each list; None means all. Lists without items have
        loss 0.
      weights: of the items, the shape of `logits`; None means 1.
      reduce_fn: called with the losses, and with `where=` the lists that have items (None if `where` is); None leaves
        one loss per list.

    Returns:
      What `reduce_fn` makes of the losses, of shape (...); float32, or float64 if an argument is. The default is the
      mean over the lists that have items, and 0 if none has.

    Raises:
      ValueError: the shapes differ, or the lists have length 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007, section 4.3.

    >>> ranking_softmax_loss([[0.0, 0.0]], [[1.0, 0.0]])
    Array(0.6931472, dtype=float32)
    """
    named = {"logits": logits, "labels": labels} | ({} if weights is None else {"weights": weights})
    (z, y, *w), mask = _as_lists(-1, where, **named)
    y = y * w[0] if w else y
    if mask is not None:
        z, y = jnp.where(mask, z, -jnp.inf), jnp.where(mask, y, 0)
    losses = cross_entropy(z - largest(z), y)
    if reduce_fn is None:
        return losses
    lists = None
    if mask is not None:
        lists = jnp.any(mask, axis=-1)
        lists |= ~jnp.any(lists)  # if no list counts, they all do, with loss 0: a mean of nothing would be NaN
    result = reduce_fn(losses, where=lists)
    return result if losses.size else jnp.zeros_like(result)


def margin_ranking_loss(
    scores: ArrayOrSequence,
    other_scores: ArrayOrSequence,
    targets: ArrayOrSequence,
    *,
    margin: ArrayLike = 0.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """By how much one score lacks the margin by which it shall be above, or below, another one.

        loss = max(0, - targets (scores - other_scores) + margin)

    Args:
      scores: real numbers of any shape.
      other_scores: what each is compared with, the shape of `scores`.
      targets: 1 where `scores` shall be the higher ones, -1 where `other_scores` shall; the shape of `scores`.
      margin: in units of the scores.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `scores`: the elements that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `scores` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Herbrich et al., "Support Vector Learning for Ordinal Regression", 1999, equation 8.

    >>> margin_ranking_loss([2.0, 2.0], [1.0, 1.0], [1, -1], margin=0.5)
    Array([0. , 1.5], dtype=float32)
    """
    check_hyperparameter("margin", margin)
    return per_element(
        lambda s, o, y: jnp.maximum(jnp.asarray(margin).astype(s.dtype) - y * (s - o), 0),
        scores=scores,
        other_scores=other_scores,
        targets=targets,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def pairwise_logistic_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The mean logistic loss of telling, for two items of a list, which of them is the more relevant one.

        loss = mean over pairs (i, j) with labels_i > labels_j of log(1 + exp(- (scores_i - scores_j)))

    Args:
      scores: shape (..., L, ...).
      labels: relevances, the shape of `scores`; only compared.
      axis: the axis of the items of a list, or several.
      where: boolean mask, the shape of `scores`: the items of each list; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, one per list: shape of `scores` without `axis` unless reduced; float32, or float64 if an argument
      is. Lists without such a pair have loss 0, and do not count in a mean.

    Raises:
      ValueError: the shapes differ, the lists have length 0, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Burges et al., "Learning to Rank using Gradient Descent", 2005, equation 3 (RankNet).
    """
    return _pairwise(lambda d: jax.nn.softplus(-d), scores, labels, axis, where, weights, reduction)


def pairwise_hinge_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """By how much the more relevant one of two items of a list lacks a score that is higher by 1, on average.

        loss = mean over pairs (i, j) with labels_i > labels_j of max(0, 1 - (scores_i - scores_j))

    Args:
      scores: shape (..., L, ...).
      labels: relevances, the shape of `scores`; only compared.
      axis: the axis of the items of a list, or several.
      where: boolean mask, the shape of `scores`: the items of each list; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, one per list: shape of `scores` without `axis` unless reduced; float32, or float64 if an argument
      is. Lists without such a pair have loss 0, and do not count in a mean.

    Raises:
      ValueError: the shapes differ, the lists have length 0, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Joachims, "Optimizing Search Engines using Clickthrough Data", 2002, optimization problem 1.
    """
    return _pairwise(lambda d: jnp.maximum(1 - d, 0), scores, labels, axis, where, weights, reduction)


def _pairwise(
    rule: Callable[[jax.Array], jax.Array],
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    axis: Axes,
    where: ArrayOrSequence | None,
    weights: ArrayOrSequence | None,
    reduction: Reduction,
) -> jax.Array:
    """The mean of a rule for score differences over the pairs of items that the labels put in an order."""
    (s, y), mask = _as_lists(axis, where, scores=scores, labels=labels)
    if mask is not None:
        s = jnp.where(mask, s, 0)
    ordered = y[..., :, None] > y[..., None, :]
    if mask is not None:
        ordered &= mask[..., :, None] & mask[..., None, :]
    difference = jnp.where(ordered, s[..., :, None] - s[..., None, :], 0)
    count = jnp.sum(ordered, axis=(-2, -1)).astype(s.dtype)
    losses = jnp.sum(jnp.where(ordered, rule(difference), 0), axis=(-2, -1)) / jnp.maximum(count, 1)
    return reduced(losses, kept=count > 0, weights=weights, reduction=reduction)


def listmle_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-probability of the order of the labels, if items are drawn one by one by their scores.

        loss = - sum_i log(exp(s_i) / sum_{j >= i} exp(s_j)),    s = the scores, in descending order of the labels

    Items of equal labels keep the order that they have in the array.

    Args:
      scores: shape (..., L, ...).
      labels: relevances, the shape of `scores`; only compared.
      axis: the axis of the items of a list, or several.
      where: boolean mask, the shape of `scores`: the items of each list; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, one per list: shape of `scores` without `axis` unless reduced; float32, or float64 if an argument
      is. Lists without items have loss 0, and do not count in a mean.

    Raises:
      ValueError: the shapes differ, the lists have length 0, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Xia et al., "Listwise Approach to Learning to Rank: Theory and Algorithm", 2008, section 4.2.
    """
    (s, y), mask = _as_lists(axis, where, scores=scores, labels=labels)
    kept = None
    if mask is None:
        order = jnp.argsort(-y, axis=-1, stable=True)
    else:
        s = jnp.where(mask, s, 0)
        order = jnp.lexsort((-y, mask), axis=-1)  # those left out come first: no sum over j >= i includes them
        kept = jnp.any(mask, axis=-1)
    s = jnp.take_along_axis(s - largest(s), order, axis=-1)
    # Finite, lest the slopes are NaN; where nothing but scores of -inf is left, their order costs nothing.
    lowest = float(np.finfo(s.dtype).min)
    left = jax.lax.cumlogsumexp(jnp.maximum(s, lowest), axis=s.ndim - 1, reverse=True)
    terms = jnp.where(left == lowest, 0, left - s)
    if mask is not None:
        terms = jnp.where(jnp.take_along_axis(mask, order, axis=-1), terms, 0)
    return reduced(jnp.sum(terms, axis=-1), kept=kept, weights=weights, reduction=reduction)


def approx_ndcg_loss(
    scores: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    temperature: ArrayLike = 1.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """What a smooth normalised discounted cumulative gain (NDCG) of a list lacks of 1.

        loss = 1 - sum_i gain_i / log2(1 + rank_i) / ideal,     gain_i = 2^labels_i - 1
        rank_i = 1 + sum_{j != i} sigmoid((scores_j - scores_i) / temperature)

    with ideal = the same sum for the items in descending order of their labels, of ranks 1, 2, 3, ...

    Args:
      scores: shape (..., L, ...).
      labels: relevances >= 0, the shape of `scores`.
      temperature: > 0, in units of the scores; the ranks become integers as it goes to 0.
      axis: the axis of the items of a list, or several.
      where: boolean mask, the shape of `scores`: the items of each list; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, one per list: shape of `scores` without `axis` unless reduced; float32, or float64 if an argument
      is. Lists without a relevant item have loss 0, and do not count in a mean.

    Raises:
      ValueError: the shapes differ, the lists have length 0, the temperature is not positive, or `axis` or
        `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Qin et al., "A General Approximation Framework for Direct Optimization of Information Retrieval Measures", 2010,
      equations 12 and 18.
    """
    check_hyperparameter("temperature", temperature, above=0)
    (s, y), mask = _as_lists(axis, where, scores=scores, labels=labels)
    if mask is not None:
        s, y = jnp.where(mask, s, 0), jnp.where(mask, y, 0)
    m = jnp.maximum(largest(y), 0)
    gains = jnp.exp2(y - m) - jnp.exp2(-m)  # in units of 2^m, which the quotient does not see: lest they overflow
    beaten = jax.nn.sigmoid((s[..., None, :] - s[..., :, None]) / jnp.asarray(temperature).astype(s.dtype))
    others = ~jnp.eye(s.shape[-1], dtype=bool)
    if mask is None:
        others = jnp.broadcast_to(others, beaten.shape)
    else:
        others = mask[..., None, :] & jnp.expand_dims(others, range(mask.ndim - 1))
    ranks = 1 + jnp.sum(jnp.where(others, beaten, 0), axis=-1)
    best = jnp.broadcast_to(jnp.arange(1, s.shape[-1] + 1, dtype=s.dtype), s.shape)
    ideal = jnp.sum(_discounted(-jnp.sort(-gains, axis=-1), best), axis=-1)
    relevant = ideal > 0
    losses = 1 - jnp.sum(_discounted(gains, ranks), axis=-1) / jnp.where(relevant, ideal, 1)
    return reduced(losses, kept=relevant, weights=weights, reduction=reduction)


def _discounted(gains: jax.Array, ranks: jax.Array) -> jax.Array:
    return gains / jnp.log2(1 + ranks)


def _as_lists(
    axis: Axes, where: ArrayOrSequence | None, **named: ArrayOrSequence
) -> tuple[tuple[jax.Array, ...], jax.Array | None]:
    """The arguments and the mask, checked, with the items of a list along one last axis."""
    arrays = as_floats(**named)
    (first, x), *others = zip(named, arrays, strict=True)
    for name, y in others:
        require_same_shape(first, x, name, y)
    mask = as_mask("where", where, first, x)
    axes = as_axes(axis, first, x)
    if 0 in (x.shape[a] for a in axes):
        raise ValueError(f"{first} of shape {x.shape} has lists of length 0 along axis={axis}")
    return tuple(flatten_last(a, axes) for a in arrays), None if mask is None else flatten_last(mask, axes)

"""Losses that compare the examples of a batch with each other: similar ones together, the others apart.

All of them see directions alone: embeddings are divided by their lengths, and the matrix of the cosines is one matrix
product, so that N examples of D features take memory for N^2 + N D numbers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._classification import softmax_cross_entropy_with_integer_labels
from optax.losses._inputs import ArrayOrSequence, as_floats, as_mask, require_same_shape
from optax.losses._log_space import cross_entropy, largest, log_sum_exp
from optax.losses._reduction import Reduction, reduced

__all__ = ["clip_loss", "info_nce_loss", "ntxent", "siglip_loss", "supervised_contrastive_loss"]


def ntxent(
    embeddings: ArrayOrSequence,
    labels: ArrayOrSequence,
    temperature: ArrayLike = 0.07,
    *,
    where: ArrayOrSequence | None = None,
) -> jax.Array:
    """The normalised, temperature-scaled cross entropy: each positive pair against the negatives of its anchor.

        loss = mean over positive pairs (i, j) of  - log(exp(s_ij) / (exp(s_ij) + sum_k exp(s_ik)))

    with s_ij = cos(embeddings_i, embeddings_j) / temperature. Positive are the ordered pairs i != j of one label; the
    sum runs over the k whose label is another one, so that the other positives of i do not compete with j.

    Args:
      embeddings: shape (N, D). An embedding of zeros has cosine 0 with all others, and gradient 0.
      labels: shape (N,); only compared for equality.
      temperature: > 0; smaller ones weigh the nearest negatives more. May be traced and differentiated.
      where: boolean mask, shape (N,): the examples that take part, as anchors and as others; None means all.

    Returns:
      A scalar; float32, or float64 if the embeddings are. 0 if there is no positive pair, with gradient 0.

    Raises:
      ValueError: the shapes do not fit, or the temperature is not positive.
      TypeError: the embeddings are not real, or `where` is not boolean.

    Reference:
      Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", 2020, equation 1.

    >>> ntxent([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [7, 7, 8])
    Array(0.6931472, dtype=float32)
    """
    (x,), t, mask = _as_embeddings(temperature, where, embeddings=embeddings)
    s = _cosines(x, x) / t
    same, compared = _same_label(labels, x), _pairs(x, mask)
    positive, negative = same & compared & ~_diagonal(x), ~same & compared

    z = jnp.where(negative, s, -jnp.inf)
    m = largest(z)
    against = log_sum_exp(z - m)[:, None] + m
    # An anchor without negatives has no competitor: its pairs count, and are 0.
    opposed = positive & jnp.any(negative, axis=1, keepdims=True)
    total = jnp.sum(jnp.where(opposed, jax.nn.softplus(jnp.where(opposed, against - s, 0)), 0))
    # By rows, whose counts are exact: N^2 pairs can be more than float32 counts one by one, or int32 holds.
    count = jnp.sum(jnp.sum(positive, axis=1).astype(s.dtype))
    return total / jnp.maximum(count, 1)


def supervised_contrastive_loss(
    embeddings: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    temperature: ArrayLike = 0.07,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """For each example, the mean cross entropy of finding those of its label among all others.

        loss_i = - mean over p of log(exp(s_ip) / sum_a exp(s_ia))
        s_ij = cos(embeddings_i, embeddings_j) / temperature

    p runs over the other examples of label_i, and a over all examples but i, those of label_i among them.

    Args:
      embeddings: shape (N, D). An embedding of zeros has cosine 0 with all others, and gradient 0.
      labels: shape (N,); only compared for equality.
      temperature: > 0. May be traced and differentiated.
      where: boolean mask, shape (N,): the examples that take part, as anchors and as others; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (N,) unless reduced; float32, or float64 if an argument is. Examples without another one of
      their label have loss 0, and do not count in a mean.

    Raises:
      ValueError: the shapes do not fit, the temperature is not positive, or `reduction` is none.
      TypeError: the embeddings are not real, or `where` is not boolean.

    Reference:
      Khosla et al., "Supervised Contrastive Learning", 2020, equation 2.
    """
    (x,), t, mask = _as_embeddings(temperature, where, embeddings=embeddings)
    others = _pairs(x, mask) & ~_diagonal(x)
    positive = _same_label(labels, x) & others
    count = jnp.sum(positive, axis=1, keepdims=True)
    z = jnp.where(others, _cosines(x, x) / t, -jnp.inf)
    losses = cross_entropy(z - largest(z), jnp.where(positive, 1 / jnp.maximum(count, 1).astype(z.dtype), 0))
    return reduced(losses, kept=count[:, 0] > 0, weights=weights, reduction=reduction)


def info_nce_loss(
    queries: ArrayOrSequence,
    keys: ArrayOrSequence,
    *,
    temperature: ArrayLike = 0.07,
    negatives: ArrayOrSequence | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """For each query, the cross entropy of finding its own key among others.

        loss_i = - log(exp(s_ii) / (exp(s_ii) + sum_k exp(s_ik))),    s_ik = cos(queries_i, key k) / temperature

    The others are the keys of the other queries, or `negatives`, the same for all queries.

    Args:
      queries: shape (N, D). A vector of zeros has cosine 0 with all others, and gradient 0.
      keys: shape (N, D); row i belongs to query i.
      temperature: > 0. May be traced and differentiated.
      negatives: shape (M, D), the keys that belong to no query; None means that each key is one for all other queries.
      where: boolean mask, shape (N,): the pairs that take part, also as others; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (N,) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, the temperature is not positive, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, equation 4.
    """
    if negatives is None:
        (q, k), t, mask = _as_embeddings(temperature, where, queries=queries, keys=keys)
        return reduced(_matching(_paired(q, k, t, mask)), kept=mask, weights=weights, reduction=reduction)

    others = _as_matrix("negatives", as_floats(queries=queries, keys=keys, negatives=negatives)[2])
    (q, k), t, mask = _as_embeddings(temperature, where, queries=queries, keys=keys)
    if others.shape[1] != q.shape[1]:
        raise ValueError(f"negatives must have shape (M, {q.shape[1]}) like queries, got {others.shape}")
    dtype = jnp.result_type(q, others)  # float32 or float64, whichever argument asks for it
    q, k, others = (a.astype(dtype) for a in (q, k, others))
    own = jnp.sum(_unit(q) * _unit(k), axis=1, keepdims=True)
    z = jnp.concatenate([own, _cosines(q, others)], axis=1) / t.astype(dtype)
    first = jnp.zeros(len(z), jnp.int32)
    losses = softmax_cross_entropy_with_integer_labels(z, first)
    return reduced(losses, kept=mask, weights=weights, reduction=reduction)


def clip_loss(
    image_embeddings: ArrayOrSequence,
    text_embeddings: ArrayOrSequence,
    *,
    temperature: ArrayLike = 0.07,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """For each pair, the mean of two cross entropies: of finding the text by the image, and the image by the text.

        loss_i = - (log(exp(s_ii) / sum_j exp(s_ij)) + log(exp(s_ii) / sum_j exp(s_ji))) / 2

    with s_ij = cos(image_embeddings_i, text_embeddings_j) / temperature.

    Args:
      image_embeddings: shape (N, D). A vector of zeros has cosine 0 with all others, and gradient 0.
      text_embeddings: shape (N, D); row i belongs to image i.
      temperature: > 0. To learn it, pass exp(-c) for a parameter c: e^c is what the cosines are multiplied by.
      where: boolean mask, shape (N,): the pairs that take part, also as others; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (N,) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, the temperature is not positive, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, figure 3.
    """
    (x, y), t, mask = _as_embeddings(
        temperature, where, image_embeddings=image_embeddings, text_embeddings=text_embeddings
    )
    z = _paired(x, y, t, mask)
    losses = 0.5 * (_matching(z) + _matching(z.T))
    return reduced(losses, kept=mask, weights=weights, reduction=reduction)


def siglip_loss(
    image_embeddings: ArrayOrSequence,
    text_embeddings: ArrayOrSequence,
    *,
    temperature: ArrayLike = 0.1,
    bias: ArrayLike = -10.0,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """For each image, the binary cross entropies of telling for every text whether it belongs to it, summed.

        loss_i = - sum_j log sigmoid(y_ij z_ij)
        z_ij = cos(image_embeddings_i, text_embeddings_j) / temperature + bias

    with y_ij = 1 if i = j and -1 otherwise. Unlike in a softmax, every pair stands alone.

    Args:
      image_embeddings: shape (N, D). A vector of zeros has cosine 0 with all others, and gradient 0.
      text_embeddings: shape (N, D); row i belongs to image i.
      temperature: > 0. To learn it, pass exp(-c) for a parameter c, which the paper starts at log 10.
      bias: a number, learnt as well; negative ones say that most pairs do not belong together. The paper starts at -10.
      where: boolean mask, shape (N,): the pairs that take part, also as others; None means all.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape (N,) unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, the temperature is not positive, or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023, equation 1; its mean over a batch is
      `reduction="mean"`.
    """
    (x, y), t, mask = _as_embeddings(
        temperature, where, image_embeddings=image_embeddings, text_embeddings=text_embeddings
    )
    z = _cosines(x, y) / t + _as_scalar("bias", bias, x)
    pairs = jax.nn.softplus(jnp.where(_diagonal(x), -z, z))
    return reduced(
        jnp.sum(jnp.where(_pairs(x, mask), pairs, 0), axis=1), kept=mask, weights=weights, reduction=reduction
    )


def _as_embeddings(
    temperature: ArrayLike, where: ArrayOrSequence | None, **named: ArrayOrSequence
) -> tuple[tuple[jax.Array, ...], jax.Array, jax.Array | None]:
    """Matrices of one shape, zero in the rows that are left out; the temperature; and the mask of the rows."""
    matrices = as_floats(**named)
    (first, x), *others = zip(named, matrices, strict=True)
    _as_matrix(first, x)
    for name, y in others:
        require_same_shape(first, x, name, y)
    check_hyperparameter("temperature", temperature, above=0)
    mask = as_mask("where", where, f"the rows of {first}", x[:, 0])
    if mask is not None:
        matrices = tuple(jnp.where(mask[:, None], y, 0) for y in matrices)
    return matrices, _as_scalar("temperature", temperature, x), mask


def _as_matrix(name: str, x: jax.Array) -> jax.Array:
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} must have shape (N, D), one vector of D features per example, got shape {x.shape}")
    return x


def _as_scalar(name: str, value: ArrayLike, like: jax.Array) -> jax.Array:
    check_hyperparameter(name, value)
    if jnp.shape(value) != ():
        raise ValueError(f"{name} must be a scalar, got shape {jnp.shape(value)}")
    return jnp.asarray(value).astype(like.dtype)


def _same_label(labels: ArrayOrSequence, x: jax.Array) -> jax.Array:
    """Which pairs of the N examples have one label, shape (N, N)."""
    k = jnp.asarray(labels)
    if k.shape != x.shape[:1]:
        raise ValueError(f"labels must have shape {x.shape[:1]}, one per row of embeddings, got shape {k.shape}")
    return k[:, None] == k[None, :]


def _diagonal(x: jax.Array) -> jax.Array:
    return jnp.eye(len(x), dtype=bool)


def _pairs(x: jax.Array, mask: jax.Array | None) -> jax.Array:
    """Which pairs of the N examples are compared, shape (N, N)."""
    return jnp.ones((len(x), len(x)), bool) if mask is None else mask[:, None] & mask[None, :]


def _paired(x: jax.Array, y: jax.Array, t: jax.Array, mask: jax.Array | None) -> jax.Array:
    """cos(x_i, y_j) / t, and -inf for the others of those left out; these keep themselves, lest a row has nothing."""
    s = _cosines(x, y) / t
    return s if mask is None else jnp.where(_pairs(x, mask) | _diagonal(x), s, -jnp.inf)


def _matching(z: jax.Array) -> jax.Array:
    """The cross entropy of each row of logits, whose label is on the diagonal."""
    return softmax_cross_entropy_with_integer_labels(z, jnp.arange(len(z)))


def _cosines(x: jax.Array, y: jax.Array) -> jax.Array:
    """The cosine of each row of `x` with each row of `y`; without the shortcuts in precision of accelerators."""
    return jnp.matmul(_unit(x), _unit(y).T, precision=jax.lax.Precision.HIGHEST)


def _unit(x: jax.Array) -> jax.Array:
    """Each row divided by its length; zeros for a row that is shorter than its gradient could be a number.

    The row is divided by its largest entry first, lest squares overflow or vanish. The direction does not depend on
    that number, which may therefore be a constant for the derivatives.
    """
    m = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=1, keepdims=True)
    short = m < float(np.finfo(x.dtype).tiny) ** 0.75
    y = jnp.where(short, 0, x / jnp.where(short, 1, m))
    squares = jnp.sum(jnp.square(y), axis=1, keepdims=True)
    return y / jnp.sqrt(jnp.where(short, 1, squares))

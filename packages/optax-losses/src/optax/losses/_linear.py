"""The cross entropy of a linear layer over many classes, without its logits."""

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._classification import check_one_class_options
from optax.losses._inputs import ArrayOrSequence, as_classes, as_floats, as_mask
from optax.losses._log_space import Row, capped, is_zero, label_logit, nan_unless, one_class_loss
from optax.losses._reduction import Reduction, reduced

__all__ = ["linear_softmax_cross_entropy"]

_psum: Any = jax.lax.psum  # unannotated in JAX, all three
_pmax: Any = jax.lax.pmax
_named: Any = checkpoint_name


def linear_softmax_cross_entropy(
    hidden: ArrayOrSequence,
    weights: ArrayOrSequence,
    labels: ArrayOrSequence,
    *,
    where: ArrayOrSequence | None = None,
    ignore_index: int | None = None,
    label_smoothing: ArrayLike = 0.0,
    z_loss: ArrayLike = 0.0,
    soft_cap: ArrayLike | None = None,
    example_weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
    block_size: int | None = None,
    axis_name: str | Sequence[str] | None = None,
) -> jax.Array:
    """`softmax_cross_entropy_with_integer_labels(hidden @ weights, labels)`, without ever having all of the logits.

        logits = hidden @ weights,        loss = log sum_c exp(logits_c) - logits_label

    The logits are made a block of classes at a time, once for the value and once more for the gradient: instead of
    two arrays of N x C numbers there are two or three of N x block_size, and a fourth product beside the three.

    Args:
      hidden: the last activations, shape (..., D). Examples may be divided over devices.
      weights: the layer, shape (D, C). Half precision is multiplied as such and summed in float32.
      labels: class indices 0 ... C - 1 of an integer dtype, shape (...). One that names no class has loss NaN.
      where: boolean mask, shape (C,): the classes that take part, such as those that do not pad; None means all.
      ignore_index: the label of rows that do not count: loss 0, gradient 0, not in the mean. None means none.
      label_smoothing: a in [0, 1): the labels become (1 - a) e_label + a / C over the C classes that take part.
      z_loss: b >= 0: b (log sum_c exp(logits_c))^2 is added.
      soft_cap: a bound > 0: the logits become soft_cap tanh(logits / soft_cap) first.
      example_weights: what each loss is multiplied by, shape (...); None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.
      block_size: how many classes at a time; None means 1/32 of them, but 256 at least.
      axis_name: the mesh axis, or axes, over which the classes are divided inside `jax.shard_map`: `weights` and
        `where` are the part of a device, `labels` count over all parts, and the losses are those of all classes.

    Returns:
      The losses, shape (...), unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes do not fit, or an option is out of range.
      TypeError: labels are not integers, hidden or weights are not real, or `where` is not boolean.

    Reference:
      Wijmans et al., "Cut your losses in large-vocabulary language models", 2024, https://arxiv.org/abs/2411.09009.
    """
    check_one_class_options(label_smoothing, z_loss, soft_cap)
    h, w = jnp.asarray(hidden), jnp.asarray(weights)
    (like, _) = as_floats(hidden=jnp.zeros((), h.dtype), weights=jnp.zeros((), w.dtype))
    if w.ndim != 2 or h.ndim == 0 or h.shape[-1] != w.shape[0]:
        raise ValueError(f"hidden and weights must have shapes (..., D) and (D, C), got {h.shape} and {w.shape}")
    _, classes = w.shape
    if classes == 0:
        raise ValueError(f"weights of shape {w.shape} have no classes")
    mask = as_mask("where", where, "the classes of weights", w[0])
    k = as_classes(labels, -1, "hidden", h)
    size = max(256, -(-classes // 32)) if block_size is None else operator.index(block_size)
    check_hyperparameter("block_size", size, least=1)

    batch = k.shape
    h, k = h.reshape(-1, h.shape[-1]), k.reshape(-1)
    kept = None if ignore_index is None else k != operator.index(ignore_index)
    if kept is not None:
        h = jnp.where(kept[:, None], h, 0)
    if axis_name is not None:
        k = k - classes * jax.lax.axis_index(axis_name).astype(k.dtype)
    named = (k >= 0) & (k < classes)
    if mask is not None:
        named &= jnp.take(mask, jnp.clip(k, 0, classes - 1))
    if axis_name is not None:
        named = _psum(named.astype(jnp.int32), axis_name) > 0

    part = _blocks(h, w, k, mask, soft_cap, min(size, classes), like.dtype)
    row = _row(part, mask, classes, axis_name, mean=not is_zero(label_smoothing))
    losses = nan_unless(named if kept is None else named | ~kept, one_class_loss(row, label_smoothing, z_loss))
    kept = None if kept is None else kept.reshape(batch)
    return reduced(losses.reshape(batch), kept=kept, weights=example_weights, reduction=reduction)


class _Part(NamedTuple):
    """What some of the logits z of each example come to; all of shape (N,).

    Attributes:
      m: their largest, the least finite number if all are -inf; a constant for derivatives.
      total: sum_c exp(z_c - m).
      label: z_k, and 0 if k is none of them.
      sum: sum_c z_c.
    """

    m: jax.Array
    total: jax.Array
    label: jax.Array
    sum: jax.Array


def _blocks(
    h: jax.Array,
    w: jax.Array,
    k: jax.Array,
    mask: jax.Array | None,
    soft_cap: ArrayLike | None,
    size: int,
    dtype: jnp.dtype,
) -> _Part:
    """The part of all classes, a block of `size` at a time; the first block is what remains."""
    multiplied = w.dtype if h.dtype == w.dtype and jnp.issubdtype(w.dtype, jnp.floating) else dtype
    # in half precision its gradient would be rounded after each block
    h = h.astype(dtype)

    def block(h: jax.Array, w: jax.Array, k: jax.Array, start: ArrayLike, size: int) -> _Part:
        columns = jax.lax.dynamic_slice_in_dim(w, start, size, axis=1).astype(multiplied)
        z = capped(jnp.matmul(h.astype(multiplied), columns, preferred_element_type=dtype), soft_cap)
        kept = z
        if mask is not None:
            takes_part = jax.lax.dynamic_slice_in_dim(mask, start, size)[None]
            z, kept = jnp.where(takes_part, z, -jnp.inf), jnp.where(takes_part, z, 0)
        m = jnp.maximum(jnp.max(jax.lax.stop_gradient(z), axis=-1), np.finfo(dtype).min)
        m = _named(m, "largest")
        j = k - start
        label = jnp.where((j >= 0) & (j < size), label_logit(z, j), 0)
        return _Part(m, jnp.sum(jnp.exp(z - m[:, None]), axis=-1), label, jnp.sum(kept, axis=-1))

    # Of a block only the largest logits are kept: the others are made again for its derivative.
    again: Callable[..., _Part] = partial(
        jax.checkpoint,
        prevent_cse=False,
        static_argnums=(4,),
        policy=jax.checkpoint_policies.save_only_these_names("largest"),
    )(block)
    rest = (w.shape[1] - 1) % size + 1

    def body(part: _Part, start: jax.Array) -> tuple[_Part, None]:
        return _joined(part, again(h, w, k, start, size)), None

    starts = jnp.arange(rest, w.shape[1], size, dtype=k.dtype)
    part, _ = jax.lax.scan(body, again(h, w, k, 0, rest), starts)
    return part


def _joined(a: _Part, b: _Part) -> _Part:
    m = jnp.maximum(a.m, b.m)
    total = a.total * jnp.exp(a.m - m) + b.total * jnp.exp(b.m - m)
    return _Part(m, total, a.label + b.label, a.sum + b.sum)


def _row(
    part: _Part, mask: jax.Array | None, classes: int, axis_name: str | Sequence[str] | None, *, mean: bool
) -> Row:
    """What the loss needs to know, of the parts of all devices."""
    m, total, label, z_sum = part
    count = jnp.asarray(classes, m.dtype) if mask is None else jnp.sum(mask, dtype=m.dtype)
    if axis_name is not None:
        m = _pmax(jax.lax.stop_gradient(part.m), axis_name)
        total, label, z_sum = _psum((total * jnp.exp(part.m - m), label, z_sum), axis_name)
        count = _psum(count, axis_name)
    impossible = m <= np.finfo(m.dtype).min  # all of them: the normaliser is taken to be 1
    m, total = jnp.where(impossible, 0, m), jnp.where(impossible, 1, total)
    return Row(m, jnp.log(total), label, z_sum / jnp.maximum(count, 1) if mean else None)

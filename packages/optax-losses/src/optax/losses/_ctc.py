"""Connectionist temporal classification: how probable a label sequence is, over all its alignments with the frames.

The sums over alignments run over numbers as small as exp(-1e9), so each is kept as a fraction and an exponent of its
own, f 2^e. Sums and products of those need neither exp nor log, and keep all the digits of f, where logarithms of such
numbers have lost half of theirs: one is as large as the loss, and its last digit is an error of the gradient.

States are held in two arrays of N + 1 columns. In column j "label" has just emitted label j (column 0 stays empty), and
"blank" the blanks between labels j and j + 1. A frame can then lead from (blank, label) in column j to blank in column
j and to label in column j + 1: one shift for all.
"""

import functools
import math
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from optax.core import check_hyperparameter, vary_like
from optax.losses._inputs import ArrayOrSequence, as_floats, as_weights
from optax.losses._log_space import largest, log_sum_exp, nan_unless
from optax.losses._reduction import Reduction, reduced

__all__ = ["ctc_loss", "ctc_loss_with_forward_probs"]


def ctc_loss(
    logits: ArrayOrSequence,
    logit_paddings: ArrayOrSequence,
    labels: ArrayOrSequence,
    label_paddings: ArrayOrSequence,
    *,
    blank_id: int = 0,
    log_epsilon: float = -100000.0,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The negative log-probability of a label sequence whose alignment with the frames is unknown.

        loss = - log sum_paths prod_t p_t(path_t),        p_t = softmax(logits_t)

    over all paths that become the labels when repeated classes are merged and blanks are then dropped. Paddings play
    the part of a mask `where`, and with one loss for each sequence there is no `axis` to choose.

    Labels that no path becomes (more than the frames hold, counting a blank between equal neighbours, or only paths
    through logits of -inf) have probability 0: loss -log_epsilon, gradient 0. An unlikely path is not cut off.

    A label that is the blank or no class has loss NaN, and a gradient that is not finite. Padded frames and labels
    may hold anything.

    Args:
      logits: unnormalised log-probabilities, shape (B, T, K).
      logit_paddings: 0 for a frame that counts and 1 for padding, shape (B, T), real or boolean. Padding belongs at
        the end; elsewhere it counts as if the frame were not there.
      labels: class indices of an integer dtype, shape (B, N).
      label_paddings: 0 for a label that counts and 1 for padding, shape (B, N), likewise.
      blank_id: the class of the blank.
      log_epsilon: the logarithm that stands for that of probability 0, at most 0; may be -inf.
      weights: what each loss is multiplied by, shape (B,); None means 1. Weight 0 leaves a sequence out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, >= 0, shape (B,) unless reduced; float32, or float64 if the logits are.

    Raises:
      ValueError: the shapes do not fit, `blank_id` is no class, or `log_epsilon` or `reduction` is none of these.
      TypeError: labels are not integers, or another array is not real.

    Reference:
      Graves et al., "Connectionist Temporal Classification", ICML 2006, equations 6-8 and 16.

    >>> ctc_loss([[[0.0, 0.0], [0.0, 0.0]]], [[0, 0]], [[1]], [[0]])
    Array([0.2876821], dtype=float32)
    """
    data = _checked(logits, logit_paddings, labels, label_paddings, blank_id)
    check_hyperparameter("log_epsilon", log_epsilon, most=0)
    w = as_weights(weights, jnp.zeros(len(data.z), data.z.dtype))
    if w is not None:  # what is left out must not reach the recursion: 0 times its NaN would be NaN
        data = data._replace(frames=data.frames & (w != 0)[:, None])
    losses = _losses(data, log_epsilon, operator.index(blank_id))
    return reduced(losses, weights=w, reduction=reduction)


def ctc_loss_with_forward_probs(
    logits: ArrayOrSequence,
    logit_paddings: ArrayOrSequence,
    labels: ArrayOrSequence,
    label_paddings: ArrayOrSequence,
    *,
    blank_id: int = 0,
    log_epsilon: float = -100000.0,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """`ctc_loss`, and the log-probabilities of the frames so far and of the labels so far, for each state.

    The probability of a state after frame t is the sum over all paths of the frames up to t that have emitted the
    first n labels and end there: in a blank, or in the last of these labels. A padded frame leaves it as it was. In
    the last frame, padded or not, "blank" counts both ends, so that it is minus the loss where n is the number of
    labels.

    Args:
      logits: unnormalised log-probabilities, shape (B, T, K).
      logit_paddings: 0 for a frame that counts and 1 for padding at the end, shape (B, T).
      labels: class indices of an integer dtype, shape (B, N).
      label_paddings: 0 for a label that counts and 1 for padding at the end, shape (B, N).
      blank_id: the class of the blank.
      log_epsilon: the logarithm that stands for that of probability 0, at most 0; may be -inf.

    Returns:
      The losses, shape (B,); the log-probabilities of blanks after n = 0 ... N labels, shape (T, B, N + 1); and those
      of labels n = 1 ... N, shape (T, B, N).

    Raises:
      ValueError: as for `ctc_loss`.
      TypeError: as for `ctc_loss`.

    Reference:
      Graves et al., "Connectionist Temporal Classification", ICML 2006, equations 5-7 (alpha).
    """
    data = _checked(logits, logit_paddings, labels, label_paddings, blank_id)
    check_hyperparameter("log_epsilon", log_epsilon, most=0)
    blank = operator.index(blank_id)
    return _losses(data, log_epsilon, blank), *_log_alphas(data, log_epsilon, blank)


class _Data(NamedTuple):
    """What the user passed, checked.

    Attributes:
      z: logits, shape (B, T, K).
      frames: which frames count, shape (B, T).
      labels: those that count come first, shape (B, N).
      lengths: how many those are, shape (B,).
    """

    z: jax.Array
    frames: jax.Array
    labels: jax.Array
    lengths: jax.Array


def _checked(
    logits: ArrayOrSequence,
    logit_paddings: ArrayOrSequence,
    labels: ArrayOrSequence,
    label_paddings: ArrayOrSequence,
    blank_id: int,
) -> _Data:
    (z,) = as_floats(logits=logits)
    (frames,) = as_floats(logit_paddings=logit_paddings)
    (absent,) = as_floats(label_paddings=label_paddings)
    k = jnp.asarray(labels)
    if z.ndim != 3:
        raise ValueError(f"logits must have shape (B, T, K), got {z.shape}")
    if frames.shape != z.shape[:2]:
        raise ValueError(f"logit_paddings must have shape {z.shape[:2]}, (B, T) of the logits, got {frames.shape}")
    if k.ndim != 2 or len(k) != len(z):
        raise ValueError(f"labels must have shape (B, N) with B = {len(z)} as the logits {z.shape}, got {k.shape}")
    if absent.shape != k.shape:
        raise ValueError(f"label_paddings must have the shape of labels {k.shape}, got {absent.shape}")
    if not jnp.issubdtype(k.dtype, jnp.integer):
        raise TypeError(f"labels must be class indices of an integer dtype, got dtype {k.dtype}")
    if not 0 <= blank_id < z.shape[2]:
        raise ValueError(
            f"blank_id must be one of the {z.shape[2]} classes of logits of shape {z.shape}, got {blank_id}"
        )
    k = k.astype(jnp.int64 if k.dtype.itemsize == 8 else jnp.int32)
    order = jnp.argsort(absent != 0, axis=1, stable=True)
    k = jnp.take_along_axis(k, order, axis=1, mode="clip")
    return _Data(z, frames == 0, k, jnp.sum(absent == 0, axis=1, dtype=jnp.int32))


@functools.partial(jax.jit, static_argnames="blank")
def _losses(data: _Data, log_epsilon: float, blank: int) -> jax.Array:
    """One loss for each sequence. Compiled as a whole, so that its loops are not traced at every call."""
    present, defined = _valid(data, blank)
    loss = _minus_log_likelihood(_inside(data, present), blank)
    loss = jnp.where(loss == jnp.inf, -jnp.asarray(log_epsilon, loss.dtype), loss)
    return nan_unless(defined, loss)


@functools.partial(jax.jit, static_argnames="blank")
def _log_alphas(data: _Data, log_epsilon: float, blank: int) -> tuple[jax.Array, jax.Array]:
    """The log-probabilities of the states "blank" and "label" after each frame, where label has no column 0."""
    present, defined = _valid(data, blank)
    _, alphas = _forward(_problem(_inside(data, present), blank))
    last = jnp.arange(len(alphas.blank.f)) == len(alphas.blank.f) - 1
    either = _plus(alphas.blank, alphas.label)
    ends = jax.tree.map(lambda x, y: jnp.where(last[:, None, None], x, y), either, alphas.blank)

    def result(number: "_Wide") -> jax.Array:
        log_p = _log(number, jnp.asarray(log_epsilon, number.f.dtype))
        return nan_unless(jnp.broadcast_to(defined[:, None], log_p.shape), log_p)

    return result(ends), result(alphas.label)[:, :, 1:]


def _valid(data: _Data, blank: int) -> tuple[jax.Array, jax.Array]:
    """Which labels are not padding, shape (B, N), and whether all of those name a class other than the blank, (B,)."""
    n, k = lax.broadcasted_iota(jnp.int32, data.labels.shape, 1), data.labels
    present = n < data.lengths[:, None]
    named = (k >= 0) & (k < data.z.shape[2]) & (k != blank)
    return present, jnp.all(named | ~present, axis=1)


def _inside(data: _Data, present: jax.Array) -> _Data:
    """The same, without what could do harm: padded frames are 0, and every label can be looked up."""
    z = jnp.where(data.frames[:, :, None], data.z, 0)
    k = jnp.clip(jnp.where(present, data.labels, 0), 0, data.z.shape[2] - 1)
    return data._replace(z=z, labels=k)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _minus_log_likelihood(data: _Data, blank: int) -> jax.Array:
    """The loss of each sequence, shape (B,); +inf for probability 0.

    Its derivative by a logit is p - q, where p is the softmax and q the probability, given the labels, that the path
    is in that class in that frame (equation 16 of Graves et al.). It is linear in memory and time, and its rule can
    be differentiated again.
    """
    problem = _problem(data, blank)
    return _minus_log(_total(problem, _forward(problem)[0]))


@_minus_log_likelihood.defjvp
def _minus_log_likelihood_jvp(blank: int, primals: tuple[_Data], tangents: tuple[_Data]) -> tuple[jax.Array, jax.Array]:
    (data,), (tangent,) = primals, tangents
    problem = _problem(data, blank)
    end, alphas = _forward(problem)
    total = _total(problem, end)
    occupancy = _occupancies(problem, alphas.label, total)

    s = data.z - largest(data.z)
    p = jnp.exp(s - log_sum_exp(s)[..., None])
    is_blank = (lax.broadcasted_iota(jnp.int32, p.shape, 2) == blank) & (data.z > -jnp.inf)
    of_blank = jnp.where(is_blank, 1 - jnp.sum(occupancy, axis=2).T[:, :, None], 0)
    slope = _minus_at_labels(p - of_blank, occupancy, data.labels)
    slope = jnp.where((total.f == 0)[:, :, None], 0, slope)
    return _minus_log(total), jnp.sum(slope * tangent.z, axis=(1, 2))


def _minus_at_labels(p: jax.Array, occupancy: jax.Array, labels: jax.Array) -> jax.Array:
    """`p` less the occupancies of labels, each from the class it is, shape (B, T, K)."""
    of_labels, classes = occupancy[:, :, 1:], p.shape[2]
    if classes <= 256:  # measured: for few classes a product of matrices is faster than a scatter
        one_hot = (labels[:, :, None] == jnp.arange(classes)[None, None]).astype(p.dtype)
        return p - jnp.einsum("tbn,bnk->btk", of_labels, one_hot, precision=lax.Precision.HIGHEST)
    b = lax.broadcasted_iota(jnp.int32, (len(p), 1, 1), 0)
    t = lax.broadcasted_iota(jnp.int32, (1, p.shape[1], 1), 1)
    return p.at[b, t, labels[:, None, :]].add(-jnp.swapaxes(of_labels, 0, 1))


class _Wide(NamedTuple):
    """A number f 2^e >= 0 that cannot underflow. Whole exponents e are constants for derivatives; 0 has e = -inf.

    Where numbers are added up again and again f may leave [1, 2); `_normalised` after every 16 steps is enough.
    """

    f: jax.Array
    e: jax.Array


_LOG_2_HIGH = round(math.log(2) * 2**15) / 2**15  # of 15 bits, so that whole numbers up to 2^9 times it are exact
_LOG_2_LOW = math.log(2) - _LOG_2_HIGH


def _exp(x: jax.Array) -> _Wide:
    """exp(x) for x <= 0, with f in (1/2, 1]."""
    e = jnp.ceil(lax.stop_gradient(x) / math.log(2))
    finite = jnp.maximum(e, float(np.finfo(x.dtype).min))
    return _Wide(jnp.exp(x - finite * _LOG_2_HIGH - finite * _LOG_2_LOW), e)


def _log(x: _Wide, of_zero: jax.Array) -> jax.Array:
    zero = x.f == 0
    return jnp.where(zero, of_zero, jnp.log(jnp.where(zero, 1, x.f)) + jnp.where(zero, 0, x.e) * math.log(2))


def _minus_log(total: _Wide) -> jax.Array:
    """- log of probabilities, shape (B, 1) to (B,): >= 0 even if the last digit of the probability is not."""
    return jnp.maximum(-_log(total, jnp.asarray(-jnp.inf, total.f.dtype)), 0)[:, 0]


def _times(x: _Wide, y: _Wide) -> _Wide:
    return _Wide(x.f * y.f, x.e + y.e)


def _plus(*terms: _Wide) -> _Wide:
    e = functools.reduce(jnp.maximum, [x.e for x in terms])
    finite = jnp.maximum(e, float(np.finfo(e.dtype).min))
    return _Wide(functools.reduce(operator.add, [x.f * _power_of_2(x.e - finite) for x in terms]), e)


def _normalised(x: _Wide) -> _Wide:
    """The same number with f in [1, 2), or 0."""
    info = np.finfo(x.f.dtype)
    bits = lax.bitcast_convert_type(x.f, jnp.int64 if info.bits == 64 else jnp.int32)
    shift = jnp.where(x.f == 0, 0, (bits >> info.nmant) - (1 - info.minexp)).astype(x.e.dtype)
    return _Wide(x.f * _power_of_2(-shift), x.e + shift)


def _power_of_2(k: jax.Array) -> jax.Array:
    """2^k for whole numbers k <= 127, from the bits of a float; 0 from the smallest normal number downwards."""
    info = np.finfo(k.dtype)
    bias = 1 - info.minexp
    whole = jnp.maximum(k, -bias).astype(jnp.int64 if info.bits == 64 else jnp.int32)
    return lax.bitcast_convert_type((whole + bias) << info.nmant, k.dtype)


class _States(NamedTuple):
    """A number for each state, shape (B, N + 1)."""

    blank: _Wide
    label: _Wide


class _Problem(NamedTuple):
    """What the recursions read.

    Attributes:
      p: the probability to emit each state, shape (T, B, 1) for blanks and (T, B, N + 1).
      frames: which frames count, shape (T, B, 1).
      penalty: the exponent of the step from label j - 1 to label j: 0, or -inf if they are equal; shape (B, N + 1).
      lengths: the number of labels, shape (B, 1).
    """

    p: _States
    frames: jax.Array
    penalty: jax.Array
    lengths: jax.Array


def _problem(data: _Data, blank: int) -> _Problem:
    s = data.z - largest(data.z)
    log_normaliser = log_sum_exp(s).T[:, :, None]
    columns = jnp.pad(data.labels, ((0, 0), (1, 0)))
    index = jnp.broadcast_to(columns[:, None, :], (*s.shape[:2], columns.shape[1]))
    labels = jnp.swapaxes(jnp.take_along_axis(s, index, axis=2, mode="promise_in_bounds"), 0, 1) - log_normaliser
    column = lax.broadcasted_iota(jnp.int32, columns.shape, 1)
    labels = jnp.where(((column > 0) & (column <= data.lengths[:, None]))[None], labels, -jnp.inf)
    blanks = s[:, :, blank].T[:, :, None] - log_normaliser
    again = jnp.pad(columns[:, 1:] == columns[:, :-1], ((0, 0), (1, 0)))
    return _Problem(
        p=_States(_exp(blanks), _exp(labels)),
        frames=data.frames.T[:, :, None],
        penalty=jnp.where(again, -jnp.inf, jnp.zeros(again.shape, s.dtype)),
        lengths=data.lengths[:, None],
    )


def _forward(problem: _Problem) -> tuple[_States, _States]:
    """alpha: the probability of the frames so far and of being in each state after them.

    Returns:
      After the last frame, and after each, shape (T, B, N + 1).
    """

    def step(alpha: _States, x: tuple[jax.Array, jax.Array, _States]) -> tuple[_States, _States]:
        t, counts, p = x
        alpha = _now_and_then(t, alpha)
        before = _moved(alpha.blank, 1), _barred(_moved(alpha.label, 1), problem.penalty)
        emitted = _States(
            _times(_plus(alpha.blank, alpha.label), p.blank), _times(_plus(alpha.label, *before), p.label)
        )
        alpha = _where(counts, emitted, alpha)
        return alpha, alpha

    t = jnp.arange(len(problem.frames))
    start = _at(jnp.zeros_like(problem.lengths), problem)
    return lax.scan(step, start, (t, problem.frames, problem.p))


def _occupancies(problem: _Problem, alphas: _Wide, total: _Wide) -> jax.Array:
    """The probability of each label state in each frame, given the labels, shape (T, B, N + 1); 0 in padded frames.

    Args:
      problem: as for `_forward`.
      alphas: of the labels after each frame.
      total: the probability of the labels, shape (B, 1).
    """
    penalty = _moved(_Wide(problem.penalty, problem.penalty), -1).e
    per_total = 1 / jnp.where(total.f == 0, 1, total.f)

    def step(beta: _States, x: tuple[jax.Array, jax.Array, _States, _Wide]) -> tuple[_States, jax.Array]:
        t, counts, p, alpha = x
        beta = _now_and_then(t, beta)  # from a state of the next frame on, with what it emits
        after = _moved(beta.label, -1)
        label = _plus(beta.label, beta.blank, _barred(after, penalty))
        emitted = _States(_times(_plus(beta.blank, after), p.blank), _times(label, p.label))
        occupancy = alpha.f * per_total * label.f * _power_of_2(alpha.e + label.e - total.e)
        return _where(counts, emitted, beta), jnp.where(counts, occupancy, 0)

    t = jnp.arange(len(problem.frames))
    xs = (t, problem.frames, problem.p, alphas)
    return lax.scan(step, _at(problem.lengths, problem), xs, reverse=True)[1]


def _total(problem: _Problem, end: _States) -> _Wide:
    """The probability of the labels, shape (B, 1): of the blanks after the last, and of the last itself."""
    either = jax.tree.map(lambda x: jnp.take_along_axis(x, problem.lengths, axis=1, mode="clip"), end)
    return _normalised(_plus(*either))


def _at(column: jax.Array, problem: _Problem) -> _States:
    """Certainly in the blank state of one column, shape (B, 1)."""
    here = lax.broadcasted_iota(column.dtype, problem.penalty.shape, 1) == column
    zero = jnp.zeros_like(problem.penalty)
    states = _States(
        _Wide(jnp.where(here, 1, zero), jnp.where(here, zero, -jnp.inf)),
        _Wide(zero, jnp.full_like(zero, -jnp.inf)),
    )
    return vary_like(states, (problem.p.label.f, problem.frames, problem.penalty))


def _now_and_then(t: jax.Array, states: _States) -> _States:
    """The same numbers, normalised if it is time: in 16 steps no f leaves what a float holds."""
    blank, label = lax.cond(t % 16 == 0, lambda x: _States(*map(_normalised, x)), lambda x: x, states)
    return _States(blank, label)


def _barred(x: _Wide, penalty: jax.Array) -> _Wide:
    return _Wide(x.f, x.e + penalty)


def _where(condition: jax.Array, x: _States, y: _States) -> _States:
    blank, label = jax.tree.map(lambda a, b: jnp.where(condition, a, b), x, y)
    return _States(blank, label)


def _moved(x: _Wide, columns: int) -> _Wide:
    """Each column takes what stands so many to its left, or 0 if there is none."""
    pad = ((0, 0), (columns, 0) if columns > 0 else (0, -columns))
    part = slice(None, -columns) if columns > 0 else slice(-columns, None)
    return _Wide(jnp.pad(x.f, pad)[:, part], jnp.pad(x.e, pad, constant_values=-jnp.inf)[:, part])

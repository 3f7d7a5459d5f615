"""Losses between the logits of a student and those of its teacher.

The divergences are computed from the logits, and their derivatives written out: a compiler sees two passes over the
logits for a loss, the maxima and the sums, and one elementwise expression for each gradient.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import (
    ArrayOrSequence,
    Axes,
    as_floats,
    as_mask,
    class_axes,
    flatten_last,
    require_same_shape,
)
from optax.losses._log_space import largest
from optax.losses._reduction import Reduction, reduced

__all__ = ["forward_kl_distillation_loss", "jensen_shannon_distillation_loss", "reverse_kl_distillation_loss"]


def forward_kl_distillation_loss(
    student_logits: ArrayOrSequence,
    teacher_logits: ArrayOrSequence,
    *,
    temperature: ArrayLike = 1.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of the student from the teacher: the student covers all that the teacher does.

        loss = T^2 sum_c p_c (log p_c - log q_c),    p = softmax(teacher_logits / T),  q = softmax(student_logits / T)

    The factor T^2 keeps the size of the gradients: by the logits they would fall with 1 / T^2. The loss has a
    gradient by the teacher's logits too; `jax.lax.stop_gradient(teacher_logits)` keeps a teacher as it is.

    Args:
      student_logits: unnormalised log-probabilities, shape (..., C, ...). A class with -inf has probability 0, which
        costs +inf if the teacher's is positive, and nothing otherwise.
      teacher_logits: the same of the teacher, the same shape.
      temperature: T > 0, by which all logits are divided.
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of the logits: the classes that take part, for both; None means all. A row in
        which none does has loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of the logits without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` or `reduction` is none, or `temperature` is not above 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.

    >>> forward_kl_distillation_loss([0.0, 0.0], [0.0, -jnp.inf])
    Array(0.6931472, dtype=float32)
    """
    student, teacher, t = _inputs(student_logits, teacher_logits, temperature, axis, where)
    return reduced(t * t * _kl(teacher, student), weights=weights, reduction=reduction)


def reverse_kl_distillation_loss(
    student_logits: ArrayOrSequence,
    teacher_logits: ArrayOrSequence,
    *,
    temperature: ArrayLike = 1.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Kullback-Leibler divergence of the teacher from the student: the student stays where the teacher is.

        loss = T^2 sum_c q_c (log q_c - log p_c),    p = softmax(teacher_logits / T),  q = softmax(student_logits / T)

    `forward_kl_distillation_loss` with the two exchanged; what it says of T^2 and of the teacher holds here too.

    Args:
      student_logits: unnormalised log-probabilities, shape (..., C, ...). A class with -inf has probability 0.
      teacher_logits: the same of the teacher, the same shape. A class with -inf costs +inf if the student's
        probability is positive, and nothing otherwise.
      temperature: T > 0, by which all logits are divided.
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of the logits: the classes that take part, for both; None means all. A row in
        which none does has loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of the logits without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` or `reduction` is none, or `temperature` is not above 0.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Gu et al., "MiniLLM: Knowledge Distillation of Large Language Models", 2024, section 2.1.

    >>> reverse_kl_distillation_loss([0.0, -jnp.inf], [0.0, 0.0])
    Array(0.6931472, dtype=float32)
    """
    student, teacher, t = _inputs(student_logits, teacher_logits, temperature, axis, where)
    return reduced(t * t * _kl(student, teacher), weights=weights, reduction=reduction)


def jensen_shannon_distillation_loss(
    student_logits: ArrayOrSequence,
    teacher_logits: ArrayOrSequence,
    *,
    beta: ArrayLike = 0.5,
    temperature: ArrayLike = 1.0,
    axis: Axes = -1,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """The Jensen-Shannon divergence between teacher and student, with a mixture that may lean to one of them.

        loss = T^2 (beta KL(p, m) + (1 - beta) KL(q, m)),    m = beta p + (1 - beta) q,
        p = softmax(teacher_logits / T),  q = softmax(student_logits / T),  KL(p, m) = sum_c p_c log(p_c / m_c)

    It is finite whatever the logits are. Divided by beta it tends to `forward_kl_distillation_loss` as beta tends to
    0; divided by 1 - beta, to `reverse_kl_distillation_loss` as beta tends to 1. At 0 and 1 itself it would be 0.
    What `forward_kl_distillation_loss` says of T^2 and of the teacher holds here too.

    Args:
      student_logits: unnormalised log-probabilities, shape (..., C, ...). A class with -inf has probability 0.
      teacher_logits: the same of the teacher, the same shape.
      beta: the share of the teacher in the mixture, between 0 and 1, both excluded.
      temperature: T > 0, by which all logits are divided.
      axis: the axis of the classes, or several.
      where: boolean mask, the shape of the logits: the classes that take part, for both; None means all. A row in
        which none does has loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of the logits without `axis` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, `axis` or `reduction` is none, or `temperature` or `beta` is out of its range.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Agarwal et al., "On-Policy Distillation of Language Models", 2024, section 2.

    >>> jensen_shannon_distillation_loss([0.0, -jnp.inf], [-jnp.inf, 0.0])
    Array(0.6931472, dtype=float32)
    """
    check_hyperparameter("beta", beta, above=0.0, below=1.0)
    student, teacher, t = _inputs(student_logits, teacher_logits, temperature, axis, where)
    return reduced(
        t * t * _js(teacher, student, jnp.asarray(beta, student.dtype)), weights=weights, reduction=reduction
    )


def _inputs(
    student_logits: ArrayOrSequence,
    teacher_logits: ArrayOrSequence,
    temperature: ArrayLike,
    axis: Axes,
    where: ArrayOrSequence | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Both logits over T, less the largest of their row, with the classes last; and T."""
    check_hyperparameter("temperature", temperature, above=0.0)
    student, teacher = as_floats(student_logits=student_logits, teacher_logits=teacher_logits)
    require_same_shape("student_logits", student, "teacher_logits", teacher)
    mask = as_mask("where", where, "student_logits", student)
    axes = class_axes(axis, "student_logits", student)
    t = jnp.asarray(temperature, student.dtype)

    def shifted(z: jax.Array) -> jax.Array:
        z = flatten_last(z if mask is None else jnp.where(mask, z, -jnp.inf), axes)
        impossible = z == -jnp.inf  # no slope by T, which would be infinite
        return jnp.where(impossible, -jnp.inf, jnp.where(impossible, 0, z - largest(z)) / t)

    return shifted(student), shifted(teacher), t


def _softmax(s: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The softmax over the last axis of rows whose maximum is 0, the logarithm of its normaliser, and if it has one.

    A row of -inf has no class: probabilities 0, and a normaliser that is taken to be 1. The last two are (..., 1).
    """
    e = jnp.exp(s)
    total = jnp.sum(e, axis=-1, keepdims=True)
    some = total != 0
    total = jnp.where(some, total, 1)
    return e / total, jnp.log(total), some


@jax.custom_jvp
def _kl(a: jax.Array, b: jax.Array) -> jax.Array:
    """sum_c p_c log(p_c / q_c) over the last axis, p = softmax(a), q = softmax(b), for rows whose maximum is 0.

    Not below 0, where rounding would push it if the two are almost equal.
    """
    p, log_p_total, some = _softmax(a)
    _, log_q_total, _ = _softmax(b)
    loss = jnp.sum(p * _difference(a, b, p), axis=-1, keepdims=True) + (log_q_total - log_p_total)
    return jnp.where(some, jnp.maximum(loss, 0), 0)[..., 0]


@_kl.defjvp
def _kl_jvp(primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    (a, b), (da, db) = primals, tangents
    p, _, some = _softmax(a)
    q, _, _ = _softmax(b)
    difference = _difference(a, b, p)
    by_a = p * (difference - jnp.sum(p * difference, axis=-1, keepdims=True))
    by_b = jnp.where(some, q - p, 0)
    return _kl(a, b), jnp.sum(by_a * da + by_b * db, axis=-1)


def _difference(a: jax.Array, b: jax.Array, p: jax.Array) -> jax.Array:
    """a - b, and 0 where nothing has the probability p that it is multiplied by."""
    nothing = p == 0
    return jnp.where(nothing, 0, a) - jnp.where(nothing, 0, b)


@jax.custom_jvp
def _js(a: jax.Array, b: jax.Array, beta: jax.Array) -> jax.Array:
    """sum_c beta p_c log(p_c / m_c) + (1 - beta) q_c log(q_c / m_c) over the last axis, p = softmax(a), q = softmax(b).

    Not below 0, where rounding would push it if the two are almost equal.
    """
    p, q = _softmax(a)[0], _softmax(b)[0]
    of_p, of_q = _log_ratios(p, q, beta)
    return jnp.maximum(jnp.sum(beta * p * of_p + (1 - beta) * q * of_q, axis=-1), 0)


@_js.defjvp
def _js_jvp(
    primals: tuple[jax.Array, jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (a, b, beta), (da, db, dbeta) = primals, tangents
    p, q = _softmax(a)[0], _softmax(b)[0]
    of_p, of_q = _log_ratios(p, q, beta)
    kl_p = jnp.sum(p * of_p, axis=-1, keepdims=True)
    kl_q = jnp.sum(q * of_q, axis=-1, keepdims=True)
    # The divergence's own slopes by p and q are beta log(p / m) and (1 - beta) log(q / m): what m does cancels.
    by_a = beta * p * (of_p - kl_p)
    by_b = (1 - beta) * q * (of_q - kl_q)
    return _js(a, b, beta), jnp.sum(by_a * da + by_b * db, axis=-1) + (kl_p - kl_q)[..., 0] * dbeta


def _log_ratios(p: jax.Array, q: jax.Array, beta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log(p / m) and log(q / m), m = beta p + (1 - beta) q; 0 where p or q is."""
    m = beta * p + (1 - beta) * q
    m = jnp.where(m == 0, 1, m)
    return jnp.log(jnp.where(p == 0, 1, p / m)), jnp.log(jnp.where(q == 0, 1, q / m))

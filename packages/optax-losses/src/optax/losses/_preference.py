"""Losses that fit a model of sequences to preferences, by their log-probabilities under it and under a reference."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from optax.core import check_hyperparameter
from optax.losses._inputs import ArrayOrSequence, Axes, as_floats, as_mask
from optax.losses._reduction import Reduction, per_element

__all__ = ["dpo_loss", "ipo_loss", "kto_loss"]


def dpo_loss(
    policy_chosen_logps: ArrayOrSequence,
    policy_rejected_logps: ArrayOrSequence,
    reference_chosen_logps: ArrayOrSequence,
    reference_rejected_logps: ArrayOrSequence,
    *,
    beta: ArrayLike = 0.1,
    label_smoothing: ArrayLike = 0.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """Direct preference optimization: the logistic loss of telling the chosen sequence of a pair from the rejected one.

        loss = - (1 - label_smoothing) log sigmoid(beta h) - label_smoothing log sigmoid(- beta h)
        h = (policy_chosen_logps - reference_chosen_logps) - (policy_rejected_logps - reference_rejected_logps)

    Args:
      policy_chosen_logps: log-probability of the preferred sequence under the model that is trained, which is the sum
        over its tokens, in nats; any shape, one element per pair.
      policy_rejected_logps: that of the other sequence, the same shape.
      reference_chosen_logps: log-probability of the preferred sequence under the reference model, the same shape.
      reference_rejected_logps: that of the other sequence, the same shape.
      beta: > 0; the larger it is, the closer the model stays to the reference.
      label_smoothing: the probability, from 0 to 0.5, that a pair is labelled the wrong way round.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `policy_chosen_logps`: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `policy_chosen_logps` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, a number is out of its range, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward Model", 2023,
      equation 7; for `label_smoothing`, Mitchell, "A note on DPO with noisy preferences and relationship to IPO", 2023.
    """
    check_hyperparameter("beta", beta, above=0)
    check_hyperparameter("label_smoothing", label_smoothing, least=0, most=0.5)

    def rule(pc: jax.Array, pr: jax.Array, rc: jax.Array, rr: jax.Array) -> jax.Array:
        z = jnp.asarray(beta).astype(pc.dtype) * _advantage(pc, pr, rc, rr)
        if isinstance(label_smoothing, (int, float)) and label_smoothing == 0:
            return jax.nn.softplus(-z)  # not 0 times the other loss, which is infinite for an impossible sequence
        e = jnp.asarray(label_smoothing).astype(pc.dtype)
        return (1 - e) * jax.nn.softplus(-z) + e * jax.nn.softplus(z)

    return per_element(
        rule,
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def ipo_loss(
    policy_chosen_logps: ArrayOrSequence,
    policy_rejected_logps: ArrayOrSequence,
    reference_chosen_logps: ArrayOrSequence,
    reference_rejected_logps: ArrayOrSequence,
    *,
    beta: ArrayLike = 0.1,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """Identity preference optimization: the squared error of the advantage of the chosen sequence of a pair.

        loss = (h - 1 / (2 beta))^2
        h = (policy_chosen_logps - reference_chosen_logps) - (policy_rejected_logps - reference_rejected_logps)

    Other than in `dpo_loss`, the advantage h has a finite optimum, also if all agree on the preference.

    Args:
      policy_chosen_logps: log-probability of the preferred sequence under the model that is trained, in nats; any
        shape, one element per pair.
      policy_rejected_logps: that of the other sequence, the same shape.
      reference_chosen_logps: log-probability of the preferred sequence under the reference model, the same shape.
      reference_rejected_logps: that of the other sequence, the same shape.
      beta: > 0, the paper's tau; the larger it is, the closer the model stays to the reference.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `policy_chosen_logps`: the pairs that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `policy_chosen_logps` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, beta is not positive, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` is not boolean.

    Reference:
      Azar et al., "A General Theoretical Paradigm to Understand Learning from Human Preferences", 2024, equation 17.
    """
    check_hyperparameter("beta", beta, above=0)
    return per_element(
        lambda pc, pr, rc, rr: jnp.square(_advantage(pc, pr, rc, rr) - 0.5 / jnp.asarray(beta).astype(pc.dtype)),
        policy_chosen_logps=policy_chosen_logps,
        policy_rejected_logps=policy_rejected_logps,
        reference_chosen_logps=reference_chosen_logps,
        reference_rejected_logps=reference_rejected_logps,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )


def _advantage(pc: jax.Array, pr: jax.Array, rc: jax.Array, rr: jax.Array) -> jax.Array:
    """How much more the chosen sequence has gained than the rejected one; each compared with itself, to keep digits."""
    return (pc - rc) - (pr - rr)


def kto_loss(
    policy_logps: ArrayOrSequence,
    reference_logps: ArrayOrSequence,
    labels: ArrayOrSequence,
    kl: ArrayOrSequence,
    *,
    beta: ArrayLike = 0.1,
    desirable_weight: ArrayLike = 1.0,
    undesirable_weight: ArrayLike = 1.0,
    axis: Axes | None = None,
    where: ArrayOrSequence | None = None,
    weights: ArrayOrSequence | None = None,
    reduction: Reduction = None,
) -> jax.Array:
    """Kahneman-Tversky optimization: sequences that are desirable or not, without pairs of them.

        loss = desirable_weight sigmoid(- beta (r - z))       where the label is True
        loss = undesirable_weight sigmoid(beta (r - z))       where it is False
        r = policy_logps - reference_logps,    z = max(kl, 0)

    Args:
      policy_logps: log-probability of a sequence under the model that is trained, which is the sum over its tokens,
        in nats; any shape, one element per sequence.
      reference_logps: the same under the reference model, the same shape.
      labels: boolean, the same shape: which sequences are desirable.
      kl: an estimate of the divergence of the model from the reference, in nats: the point from which gains and
        losses are counted. One number for all sequences, or the same shape. It is taken as a constant: its gradient
        is 0.
      beta: > 0; the larger it is, the less a sequence matters once it is far from the reference.
      desirable_weight: >= 0, what the losses of desirable sequences are multiplied by.
      undesirable_weight: >= 0, that of the others.
      axis: the axis or axes that `reduction` runs over; None means all.
      where: boolean mask, the shape of `policy_logps`: the sequences that count; the others have loss 0.
      weights: what each loss is multiplied by, the shape of the losses; None means 1. Weight 0 leaves a loss out.
      reduction: None, "sum", or "mean": the sum divided by that of the weights that count, 0 if none does.

    Returns:
      The losses, shape of `policy_logps` unless reduced; float32, or float64 if an argument is.

    Raises:
      ValueError: the shapes differ, a number is out of its range, or `axis` or `reduction` is none.
      TypeError: an argument is not real, or `where` or the labels are not boolean.

    Reference:
      Ethayarajh et al., "KTO: Model Alignment as Prospect Theoretic Optimization", 2024, equation 8.
    """
    check_hyperparameter("beta", beta, above=0)
    check_hyperparameter("desirable_weight", desirable_weight, least=0)
    check_hyperparameter("undesirable_weight", undesirable_weight, least=0)
    p, r, k = as_floats(policy_logps=policy_logps, reference_logps=reference_logps, kl=kl)
    desirable = as_mask("labels", labels, "policy_logps", p)
    if k.shape == ():
        k = jnp.broadcast_to(k, p.shape)

    def rule(p: jax.Array, r: jax.Array, desirable: jax.Array, k: jax.Array) -> jax.Array:
        gain = jnp.asarray(beta).astype(p.dtype) * (p - r - jax.lax.stop_gradient(jnp.maximum(k, 0)))
        good, bad = (jnp.asarray(w).astype(p.dtype) for w in (desirable_weight, undesirable_weight))
        return jnp.where(desirable != 0, good * jax.nn.sigmoid(-gain), bad * jax.nn.sigmoid(gain))

    return per_element(
        rule,
        policy_logps=p,
        reference_logps=r,
        labels=desirable,
        kl=k,
        where=where,
        weights=weights,
        reduction=reduction,
        axis=axis,
    )

"""LARS: momentum, with a step for each layer in proportion to the layer's norm.

d = g + weight_decay * p
m = momentum * m + learning_rate * d * trust_coefficient * norm(p) / (norm(d) + eps)
u = -m
"""

from __future__ import annotations

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    ScalarOrSchedule,
    chain,
    transformation,
)
from optax.transforms import add_decayed_weights, masked, scale_by_learning_rate, scale_by_trust_ratio, trace

__all__ = ["lars"]


@transformation
def lars(
    learning_rate: ScalarOrSchedule,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn = True,
    trust_coefficient: Numeric = 0.001,
    eps: Numeric = 0.0,
    trust_ratio_mask: MaskOrFn = True,
    momentum: Numeric = 0.9,
    nesterov: bool = False,
) -> GradientTransformationExtraArgs:
    """LARS: gradient descent with momentum, and a step for each leaf in proportion to its norm.

        d = g + weight_decay * p
        s = learning_rate * d * trust_coefficient * norm(p) / (norm(d) + eps)
        m = momentum * m + s
        u = -m      (with Nesterov's momentum: -(momentum * m + s))

    Where norm(p) or norm(d) is 0, and where `trust_ratio_mask` is False, s = learning_rate * d.

    Args:
      learning_rate: real scalar or schedule.
      weight_decay: real scalar or schedule.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from
        the parameters. True or None for all.
      trust_coefficient: real scalar.
      eps: scalar >= 0.
      trust_ratio_mask: which parameters have a step in proportion to their norm, in the same forms. Biases and the
        parameters of normalization layers are often left out of both masks.
      momentum: scalar in [-1, 1].
      nesterov: whether the momentum is Nesterov's.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: `eps` is negative, or `momentum` is outside [-1, 1].

    Reference:
      You, Gitman, Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1. Its
      equation 6 has norm(g) + weight_decay * norm(p) in the place of norm(d).
    """
    layerwise: GradientTransformation = scale_by_trust_ratio(trust_coefficient=trust_coefficient, eps=eps)
    return chain(
        add_decayed_weights(weight_decay, weight_decay_mask),
        layerwise if trust_ratio_mask is None else masked(layerwise, trust_ratio_mask),
        scale_by_learning_rate(learning_rate),
        trace(momentum, nesterov),
    )

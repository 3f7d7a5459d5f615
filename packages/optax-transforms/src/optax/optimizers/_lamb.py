"""LAMB: Adam's direction, with a step for each layer in proportion to the layer's norm.

d = m^ / (sqrt(v^) + eps) + weight_decay * p        with the means m^ and v^ of Adam
u = -learning_rate * d * norm(p) / norm(d)
"""

from __future__ import annotations

from jax.typing import DTypeLike

from optax.core import (
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    ScalarOrSchedule,
    chain,
    transformation,
)
from optax.optimizers._adam import scale_by_adam
from optax.transforms import add_decayed_weights, scale_by_learning_rate, scale_by_trust_ratio
from optax.transforms._traced_step import reduced_by_blocks

__all__ = ["lamb"]


@transformation
def lamb(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-6,
    eps_root: Numeric = 0.0,
    weight_decay: ScalarOrSchedule = 0.0,
    mask: MaskOrFn = None,
    *,
    mu_dtype: DTypeLike | None = None,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """LAMB: AdamW with a step for each leaf in proportion to its norm.

        d = m^ / (sqrt(v^ + eps_root) + eps) + weight_decay * p    with m^ and v^ of `scale_by_adam`
        u = -learning_rate * d * norm(p) / norm(d)

    Where norm(p) or norm(d) is 0, u = -learning_rate * d.

    Args:
      learning_rate: real scalar or schedule: how far a leaf moves, in units of its norm.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of their squares.
      eps: scalar >= 0, added outside the root.
      eps_root: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.
      mu_dtype: dtype of m; see `scale_by_adam`.
      nu_dtype: dtype of v; see `scale_by_adam`.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1), or an epsilon is negative.

    Reference:
      You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020, algorithm 2.
    """
    stages = (
        scale_by_adam(b1, b2, eps, eps_root, mu_dtype, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_trust_ratio(),
        scale_by_learning_rate(learning_rate),
    )
    return reduced_by_blocks(chain(*stages))

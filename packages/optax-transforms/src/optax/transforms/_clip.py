"""Keep the updates within bounds."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from optax.core import (
    EmptyState,
    GradientTransformation,
    Numeric,
    OptState,
    Params,
    Updates,
    check_hyperparameter,
    init_empty_state,
    over_leaves,
    scaled,
    transformation,
    tree,
)

__all__ = ["ClipByGlobalNormState", "clip_by_global_norm"]

ClipByGlobalNormState = EmptyState


@transformation
def clip_by_global_norm(max_norm: Numeric) -> GradientTransformation:
    """Scale all updates down together when their norm exceeds a bound: u = g * min(1, max_norm / norm(g)).

    The norm is the Euclidean norm of all leaves taken as one vector, summed in float32 or wider.

    Args:
      max_norm: real scalar >= 0.

    Returns:
      A transformation whose state is `EmptyState()`. Updates within the bound are left exactly as they are.

    Raises:
      ValueError: `max_norm` is negative.

    Reference:
      Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    """
    check_hyperparameter("max_norm", max_norm, least=0)

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        norm = tree.norm(updates)
        bound = jnp.asarray(max_norm, norm.dtype)
        # Within the bound this is bound / bound; the smallest number keeps 0 / 0 away when the bound is 0.
        factor = bound / jnp.maximum(jnp.maximum(norm, bound), np.finfo(norm.dtype).tiny)
        return over_leaves(lambda g: scaled(g, factor), updates), state

    return GradientTransformation(init_empty_state, update)

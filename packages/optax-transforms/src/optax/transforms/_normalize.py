"""Give the updates another length: their sign, a fixed norm, one in proportion to the parameters."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from optax.core import (
    EmptyState,
    GradientTransformation,
    Numeric,
    OptState,
    Params,
    Updates,
    check_hyperparameter,
    init_empty_state,
    leafwise,
    over_leaves,
    require_params,
    safe_norm,
    safe_root_mean_squares,
    scaled,
    transformation,
    tree,
)

__all__ = [
    "NormalizeState",
    "ScaleByTrustRatioState",
    "centralize",
    "normalize",
    "normalize_by_update_norm",
    "scale_by_param_block_norm",
    "scale_by_param_block_rms",
    "scale_by_sign",
    "scale_by_trust_ratio",
]

NormalizeState = EmptyState
ScaleByTrustRatioState = EmptyState


@transformation
def scale_by_sign() -> GradientTransformation:
    """Keep the sign of every element: u = g / |g|, and 0 where g is 0.

    Returns:
      A transformation whose state is `EmptyState()`. A complex update has magnitude 1 or 0.

    Reference:
      Bernstein et al., "signSGD: compressed optimisation for non-convex problems", 2018, algorithm 1.
    """
    return leafwise(jnp.sign)


@transformation
def scale_by_trust_ratio(
    min_norm: Numeric = 0.0, trust_coefficient: Numeric = 1.0, eps: Numeric = 0.0
) -> GradientTransformation:
    """Give each leaf a norm in proportion to that of its parameter.

        u = g * trust_coefficient * norm(p) / (norm(g) + eps)

    Norms below `min_norm` count as that; where one of the two is 0 nevertheless, u = g.

    Args:
      min_norm: real scalar >= 0.
      trust_coefficient: real scalar.
      eps: real scalar >= 0.

    Returns:
      A transformation that needs the parameters. Its state is `EmptyState()`.

    Raises:
      ValueError: `min_norm` or `eps` is negative.

    References:
      You, Gitman, Ginsburg, "Large batch training of convolutional networks", 2017, equation 6.
      You et al., "Large batch optimization for deep learning", 2020, algorithm 2.
    """
    check_hyperparameter("min_norm", min_norm, least=0)
    check_hyperparameter("trust_coefficient", trust_coefficient)
    check_hyperparameter("eps", eps, least=0)

    def rule(g: jax.Array, p: jax.Array) -> jax.Array:
        norm_p, norm_g = safe_norm(p, min_norm), safe_norm(g, min_norm)
        ratio = scaled(norm_p, trust_coefficient) / _nonzero(norm_g + jnp.asarray(eps, norm_g.dtype))
        return scaled(g, jnp.where((norm_p == 0) | (norm_g == 0), 1, ratio))

    return _beside_params(rule)


@transformation
def scale_by_param_block_norm(min_scale: Numeric = 1e-3) -> GradientTransformation:
    """Multiply each leaf by the norm of its parameter: u = g * max(norm(p), min_scale).

    Args:
      min_scale: real scalar >= 0.

    Returns:
      A transformation that needs the parameters. Its state is `EmptyState()`.

    Raises:
      ValueError: `min_scale` is negative.
    """
    check_hyperparameter("min_scale", min_scale, least=0)
    return _beside_params(lambda g, p: scaled(g, safe_norm(p, min_scale)))


@transformation
def scale_by_param_block_rms(min_scale: Numeric = 1e-3) -> GradientTransformation:
    """Multiply each leaf by the root mean square of its parameter: u = g * max(rms(p), min_scale).

    Args:
      min_scale: real scalar >= 0.

    Returns:
      A transformation that needs the parameters. Its state is `EmptyState()`.

    Raises:
      ValueError: `min_scale` is negative.

    Reference:
      Shazeer, Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, section 8.
    """
    check_hyperparameter("min_scale", min_scale, least=0)
    return _beside_params(lambda g, p: scaled(g, safe_root_mean_squares(p, min_scale)))


@transformation
def normalize_by_update_norm(scale_factor: Numeric = 1.0, eps: Numeric = 1e-6) -> GradientTransformation:
    """Divide all updates by their common norm: u = g * scale_factor / (norm(g) + eps).

    The norm is the Euclidean norm of all leaves taken as one vector.

    Args:
      scale_factor: real scalar.
      eps: real scalar >= 0.

    Returns:
      A transformation whose state is `EmptyState()`. Zeros stay zeros, with `eps=0` too.

    Raises:
      ValueError: `eps` is negative.
    """
    check_hyperparameter("scale_factor", scale_factor)
    check_hyperparameter("eps", eps, least=0)

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        del params
        norm = tree.norm(updates)
        factor = jnp.asarray(scale_factor, norm.dtype) / _nonzero(norm + jnp.asarray(eps, norm.dtype))
        return over_leaves(lambda g: scaled(g, factor), updates), state

    return GradientTransformation(init_empty_state, update)


@transformation
def normalize() -> GradientTransformation:
    """Divide all updates by their common norm: u = g / norm(g), and zeros where all of them are 0.

    The norm is the Euclidean norm of all leaves taken as one vector.

    Returns:
      A transformation whose state is `EmptyState()`.
    """
    return normalize_by_update_norm(eps=0.0)


@transformation
def centralize() -> GradientTransformation:
    """Subtract the mean over all axes but the first from each leaf of two axes or more: u = g - mean(g).

    Returns:
      A transformation whose state is `EmptyState()`. Vectors and scalars pass as they are.

    Reference:
      Yong et al., "Gradient centralization: a new optimization technique for deep neural networks", 2020, equation 1.
    """

    def rule(g: jax.Array) -> jax.Array:
        if g.ndim < 2 or not g.size:
            return g
        return g - jnp.mean(g, axis=tuple(range(1, g.ndim)), keepdims=True)

    return leafwise(rule)


def _beside_params(rule: Callable[[jax.Array, jax.Array], jax.Array]) -> GradientTransformation:
    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return over_leaves(rule, updates, reads=(require_params(params),)), state

    return GradientTransformation(init_empty_state, update)


def _nonzero(d: jax.Array) -> jax.Array:
    """`d`, or 1 where it is 0: what is divided by it is 0 there itself."""
    return jnp.where(d == 0, 1, d)

"""Keep the updates within bounds."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from optax.core import (
    EmptyState,
    GradientTransformation,
    Numeric,
    OptState,
    Params,
    Updates,
    abs_sq,
    check_hyperparameter,
    init_empty_state,
    leafwise,
    over_leaves,
    require_params,
    safe_root_mean_squares,
    safe_sqrt,
    scaled,
    transformation,
    tree,
    widen,
)

__all__ = [
    "AdaptiveGradClipState",
    "ClipByGlobalNormState",
    "ClipState",
    "adaptive_grad_clip",
    "clip",
    "clip_by_block_rms",
    "clip_by_global_norm",
    "unitwise_clip",
    "unitwise_norm",
]

ClipState = EmptyState
ClipByGlobalNormState = EmptyState
AdaptiveGradClipState = EmptyState

_psum: Any = jax.lax.psum  # unannotated in JAX


@transformation
def clip(max_delta: Numeric) -> GradientTransformation:
    """Bound every element of the updates: u = min(max(g, -max_delta), max_delta).

    A complex element keeps its direction, and its magnitude is bounded: u = g * min(1, max_delta / |g|), which is the
    same thing for a real one.

    Args:
      max_delta: real scalar >= 0.

    Returns:
      A transformation whose state is `EmptyState()`. NaN stays NaN; a real infinity becomes `max_delta` or its
      negative.

    Raises:
      ValueError: `max_delta` is negative.
    """
    check_hyperparameter("max_delta", max_delta, least=0)

    def rule(g: jax.Array) -> jax.Array:
        if jnp.iscomplexobj(g):
            return scaled(g, shrinking(jnp.abs(g), max_delta))
        bound = jnp.asarray(max_delta, g.dtype)
        return jnp.clip(g, -bound, bound)

    return leafwise(rule)


@transformation
def clip_by_block_rms(threshold: Numeric) -> GradientTransformation:
    """Scale each leaf down by itself when its root mean square exceeds a bound: u = g * min(1, threshold / rms(g)).

    Args:
      threshold: real scalar >= 0.

    Returns:
      A transformation whose state is `EmptyState()`. Leaves within the bound are left exactly as they are.

    Raises:
      ValueError: `threshold` is negative.

    Reference:
      Shazeer, Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, section 6.
    """
    check_hyperparameter("threshold", threshold, least=0)
    return leafwise(lambda g: scaled(g, shrinking(safe_root_mean_squares(g, 0.0), threshold)))


@transformation
def clip_by_global_norm(max_norm: Numeric, *, axis_name: str | tuple[str, ...] | None = None) -> GradientTransformation:
    """Scale all updates down together when their norm exceeds a bound: u = g * min(1, max_norm / norm(g)).

    The norm is the Euclidean norm of all leaves taken as one vector, summed in float32 or wider.

    Args:
      max_norm: real scalar >= 0.
      axis_name: inside `shard_map` or `vmap`, the name of the axis, or the names of the axes, over which every leaf is
        split: the squared norms of the parts are added up over them. A leaf that is the same all along such an axis
        would count once for each of its copies. None where each device sees whole leaves, and under plain `jit`, which
        sees to it by itself.

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
        square = tree.norm(updates, squared=True)
        norm = safe_sqrt(square if axis_name is None else _psum(square, axis_name))
        factor = shrinking(norm, max_norm)
        return over_leaves(lambda g: scaled(g, factor), updates), state

    return GradientTransformation(init_empty_state, update)


@transformation
def adaptive_grad_clip(
    clipping: Numeric, eps: Numeric = 1e-3, axis: int | tuple[int, ...] | None = None
) -> GradientTransformation:
    """Bound the norm of each unit's update by that of the unit's parameters.

        u = g * min(1, clipping * max(norm(p), eps) / norm(g))

    with the norms of `unitwise_norm`: one for each output of a layer.

    Args:
      clipping: real scalar >= 0, the largest ratio of the norms.
      eps: real scalar >= 0, stands in for smaller norms of parameters (which could not grow away from zero).
      axis: the axis or axes that a norm is taken over, for every leaf; None for those that `unitwise_norm` chooses.

    Returns:
      A transformation that needs the parameters. Its state is `EmptyState()`.

    Raises:
      ValueError: `clipping` or `eps` is negative; from `update`, if a leaf has no such axis.

    Reference:
      Brock et al., "High-performance large-scale image recognition without normalization", 2021, equation 3.
    """
    check_hyperparameter("clipping", clipping, least=0)
    check_hyperparameter("eps", eps, least=0)

    def rule(g: jax.Array, p: jax.Array) -> jax.Array:
        norm = unitwise_norm(p, axis)
        bound = scaled(jnp.maximum(norm, jnp.asarray(eps, norm.dtype)), clipping)
        return unitwise_clip(unitwise_norm(g, axis), bound, g)

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return over_leaves(rule, updates, reads=(require_params(params),)), state

    return GradientTransformation(init_empty_state, update)


def unitwise_norm(x: Any, axis: int | tuple[int, ...] | None = None) -> jax.Array:
    """The Euclidean norm of every unit of a parameter: the part of it that makes one output.

    Args:
      x: array, real or complex.
      axis: the axis or axes to take the norm over. None for all axes of scalars, vectors, and arrays with no more than
        one axis longer than 1; for axis 0 of those with 2 or 3 axes; for all axes but the last of those with more (the
        kernels of convolutions, output features last).

    Returns:
      An array of the shape of `x` with the norm of the unit that each element belongs to, float32 or wider. Its
      gradient is zero where the unit is.

    Raises:
      ValueError: `x` has no such axis.
    """
    x = jnp.asarray(x)
    if axis is None:
        one_unit = sum(length != 1 for length in x.shape) <= 1
        axis = tuple(range(x.ndim)) if one_unit else 0 if x.ndim <= 3 else tuple(range(x.ndim - 1))
    elif not isinstance(axis, int):
        axis = tuple(axis)
    squares = jnp.sum(abs_sq(widen(x)), axis=axis, keepdims=True)
    return jnp.broadcast_to(safe_sqrt(squares), x.shape)


def unitwise_clip(g_norm: Any, max_norm: Any, grad: Any, div_eps: Any = 1e-6) -> jax.Array:
    """Scale down what exceeds its bound: g * max_norm / max(g_norm, div_eps) where g_norm >= max_norm.

    Args:
      g_norm: real array of the shape of `grad`, the norm of the unit that each element belongs to (`unitwise_norm`).
      max_norm: real array of that shape, the bounds.
      grad: array, real or complex.
      div_eps: real scalar, the smallest number to divide by.

    Returns:
      An array of the shape and dtype of `grad`.

    Raises:
      ValueError: the shapes differ; nothing is broadcast.
    """
    grad = jnp.asarray(grad)
    wide = widen(grad)
    g_norm, max_norm = (jnp.asarray(x).astype(wide.real.dtype) for x in (g_norm, max_norm))
    if not g_norm.shape == max_norm.shape == grad.shape:
        raise ValueError(f"g_norm, max_norm and grad differ in shape: {g_norm.shape}, {max_norm.shape}, {grad.shape}")
    factor = max_norm / jnp.maximum(g_norm, jnp.asarray(div_eps, g_norm.dtype))
    clipped: jax.Array = scaled(wide, jnp.where(g_norm < max_norm, 1, factor)).astype(grad.dtype)
    return clipped


def shrinking(norm: jax.Array, bound: Numeric) -> jax.Array:
    """min(1, bound / norm), element by element: exactly 1 within the bound, which may be 0 or infinite."""
    limit = jnp.asarray(bound, norm.dtype)
    within = norm <= limit  # False for NaN
    # Both are replaced before they are divided: neither 0 / 0 nor an infinite derivative is hidden by a select.
    return jnp.where(within, 1, limit) / jnp.where(within, 1, norm)

"""Adafactor: Adam without momentum, its second moments kept as the means of rows and columns.

b = 1 - t^-decay_rate
R = b * R + (1 - b) * mean of |g|^2 + eps over the columns
C = b * C + (1 - b) * mean of |g|^2 + eps over the rows
u = g / sqrt(R * C / mean(R))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_dtype,
    check_hyperparameter,
    check_integer,
    moving_average,
    new_slot,
    over_leaves,
    ratio,
    safe_increment,
    transformation,
)
from optax.optimizers._parts import divisor, summed
from optax.transforms import (
    add_decayed_weights,
    clip_by_block_rms,
    ema,
    scale,
    scale_by_learning_rate,
    scale_by_param_block_rms,
)
from optax.transforms._traced_step import reduced_by_blocks

__all__ = ["FactoredState", "adafactor", "scale_by_factored_rms"]

_LAST = int(np.iinfo(np.int32).max)


class FactoredState(NamedTuple):
    """State of `scale_by_factored_rms`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      v_row: tree of the parameters' structure, real: the mean of the second moments over a leaf's longest axis (R),
        of the leaf's shape without that axis; of shape (1,) and unused where a leaf is not factored.
      v_col: tree of the same kind, their mean over the second longest axis (C).
      v: tree of the same kind, the second moments themselves, of the shape of the leaf; of shape (1,) and unused where
        it is factored.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    v_row: PyTree
    v_col: PyTree
    v: PyTree


def _decay_rate_pow(i: jax.Array, exponent: Numeric = 0.8) -> jax.Array:
    """1 - (i + 1)^-exponent."""
    t = jnp.asarray(i).astype(float) + 1
    return 1 - t ** -jnp.asarray(exponent, t.dtype)


@transformation
def scale_by_factored_rms(
    factored: bool = True,
    decay_rate: Numeric = 0.8,
    step_offset: int = 0,
    min_dim_size_to_factor: int = 128,
    epsilon: Numeric = 1e-30,
    decay_rate_fn: Callable[[Any, Any], Any] = _decay_rate_pow,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformation:
    """Divide by the root of the second moments, of which a matrix has one for each row and one for each column.

        b = 1 - t^-decay_rate,  V = |g|^2 + epsilon
        R = b * R + (1 - b) * mean(V over columns),  C = b * C + (1 - b) * mean(V over rows)
        u = g / sqrt(R * C / mean(R))

    Arrays of more axes are stacks of matrices: the two longest axes are the columns (the longest) and the rows; of
    equal ones the later counts as longer. Where the second of them is shorter than `min_dim_size_to_factor`, each
    element has a moment of its own: v = b * v + (1 - b) * V, u = g / sqrt(v).

    Args:
      factored: False for no factoring at all.
      decay_rate: real scalar, how soon b comes close to 1.
      step_offset: integer, the count at which t is 1, for training that goes on from a state with that count. Before
        it t is 1 too.
      min_dim_size_to_factor: integer >= 0.
      epsilon: scalar >= 0. With 0, u is 0 where all moments are.
      decay_rate_fn: `decay_rate_fn(count - step_offset, decay_rate)` returns b. The default is the one above.
      nu_dtype: dtype of R, C and v. None for float32, or float64 for parameters of that precision.

    Returns:
      A transformation whose state is `FactoredState`.

    Raises:
      TypeError: `step_offset` or `min_dim_size_to_factor` is not an integer.
      ValueError: `epsilon` or `min_dim_size_to_factor` is negative.

    Reference:
      Shazeer, Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, algorithms 4 and 5.
    """
    check_hyperparameter("decay_rate", decay_rate)
    check_hyperparameter("epsilon", epsilon, least=0)
    check_dtype("nu_dtype", nu_dtype)
    offset = check_integer("step_offset", step_offset, least=-_LAST)
    least = check_integer("min_dim_size_to_factor", min_dim_size_to_factor, least=0) if factored else None

    def init(params: Params) -> FactoredState:
        leaves, structure = jax.tree.flatten(params)
        treedef: Any = structure  # of a class that type checkers do not see
        rows = [_moments(new_slot(p, dtype=nu_dtype, real=True), least) for p in leaves]
        R, C, v = (treedef.unflatten([row[i] for row in rows]) for i in range(3))
        return FactoredState(jnp.zeros([], jnp.int32), R, C, v)

    def update(updates: Updates, state: FactoredState, params: Params | None = None) -> tuple[Updates, FactoredState]:
        del params
        # Between these bounds the difference is no negative number, nor too large for an int32.
        within = jnp.clip(state.count, jnp.maximum(offset, 0), _LAST + jnp.minimum(offset, 0))
        b = jnp.asarray(decay_rate_fn(within - offset, decay_rate), float)

        def rule(g: jax.Array, R: jax.Array, C: jax.Array, v: jax.Array) -> tuple[jax.Array, ...]:
            axes = _factored_axes(g.shape, least)
            square = abs_sq(g)
            if axes is None:
                v = moving_average(square + epsilon, v, b)
                return ratio(g, divisor(v)), R, C, v
            longest, second = axes
            R = moving_average(jnp.mean(square, longest) + epsilon, R, b)
            C = moving_average(jnp.mean(square, second) + epsilon, C, b)
            rows, columns = jnp.expand_dims(R, longest), jnp.expand_dims(C, second)
            mean = jnp.mean(rows, second, keepdims=True)
            # A factor for each row and one for each column, made of roots: R * C would underflow, as would the square
            # of either, which derivatives divide by.
            row, column = divisor(mean) / divisor(rows), 1 / divisor(columns)
            return g * row * column, R, C, v

        updates, R, C, v = over_leaves(rule, updates, summaries=(state.v_row, state.v_col, state.v))
        return updates, FactoredState(safe_increment(state.count), R, C, v)

    return GradientTransformation(init, update)


@transformation
def adafactor(
    learning_rate: ScalarOrSchedule | None = None,
    min_dim_size_to_factor: int = 128,
    decay_rate: Numeric = 0.8,
    decay_offset: int = 0,
    multiply_by_parameter_scale: bool = True,
    clipping_threshold: Numeric | None = 1.0,
    momentum: Numeric | None = None,
    dtype_momentum: DTypeLike = jnp.float32,
    weight_decay_rate: ScalarOrSchedule | None = None,
    eps: Numeric = 1e-30,
    factored: bool = True,
    weight_decay_mask: MaskOrFn = None,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Adafactor: adaptive steps with memory for the rows and columns of a matrix only, relative to the parameters.

        d = g / sqrt(R * C / mean(R))                       with the moments of `scale_by_factored_rms`
        d = d / max(1, rms(d) / clipping_threshold)
        d = d * learning_rate * max(rms(p), 0.001)
        m = momentum * m + (1 - momentum) * d,  d = m
        u = -(d + weight_decay_rate * p)

    Args:
      learning_rate: real scalar or schedule; None for 1. The paper's is min(0.01, 1 / sqrt(t)).
      min_dim_size_to_factor: integer >= 0; matrices with a shorter side have a moment for each element.
      decay_rate: real scalar: the moments decay by 1 - t^-decay_rate.
      decay_offset: integer, the count at which t is 1; see `scale_by_factored_rms`.
      multiply_by_parameter_scale: whether steps are relative to the root mean square of the parameter.
      clipping_threshold: scalar >= 0, bound of the root mean square of d; None for none.
      momentum: scalar in [0, 1), or None for none (and no state for it).
      dtype_momentum: dtype of m.
      weight_decay_rate: real scalar or schedule, or None for none. The learning rate does not multiply it.
      eps: scalar >= 0, added to the squared gradients.
      factored: False for a moment for each element, always.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from
        the parameters. None for all.
      nu_dtype: dtype of the moments. None for float32, or float64 for parameters of that precision.

    Returns:
      A transformation that needs the parameters for their scale and for the decay; add its updates to them with
      `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay_rate` is neither a real scalar nor callable.
      ValueError: an argument is out of range.

    Reference:
      Shazeer, Stern, "Adafactor: adaptive learning rates with sublinear memory cost", 2018, algorithms 4 and 5.
    """
    check_integer("decay_offset", decay_offset, least=-_LAST)
    check_hyperparameter("eps", eps, least=0)
    stages = [scale_by_factored_rms(factored, decay_rate, decay_offset, min_dim_size_to_factor, eps, nu_dtype=nu_dtype)]
    if clipping_threshold is not None:
        check_hyperparameter("clipping_threshold", clipping_threshold, least=0)
        stages.append(clip_by_block_rms(clipping_threshold))
    if learning_rate is not None:
        stages.append(scale_by_learning_rate(learning_rate, flip_sign=False))
    if multiply_by_parameter_scale:
        stages.append(scale_by_param_block_rms())
    if momentum is not None:
        check_hyperparameter("momentum", momentum, least=0, below=1)
        check_dtype("dtype_momentum", dtype_momentum)
        stages.append(ema(momentum, debias=False, accumulator_dtype=dtype_momentum))
    if weight_decay_rate is not None:
        check_hyperparameter("weight_decay_rate", weight_decay_rate, schedule=True)
        stages.append(add_decayed_weights(weight_decay_rate, weight_decay_mask))
    return reduced_by_blocks(chain(*stages, scale(-1.0)))


def _factored_axes(shape: tuple[int, ...], least: int | None) -> tuple[int, int] | None:
    """The longest and the second longest axis, or None for a leaf that is not factored."""
    if least is None or len(shape) < 2:
        return None
    second, longest = sorted(range(len(shape)), key=lambda axis: shape[axis])[-2:]
    return (longest, second) if shape[second] >= max(least, 1) else None


def _moments(zeros: jax.Array, least: int | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """R, C and v of a leaf, of which those that it has are made from `zeros` and sharded like it."""
    axes = _factored_axes(zeros.shape, least)
    if axes is None:
        return jnp.zeros(1, zeros.dtype), jnp.zeros(1, zeros.dtype), zeros
    return summed(zeros, axes[0]), summed(zeros, axes[1]), jnp.zeros(1, zeros.dtype)

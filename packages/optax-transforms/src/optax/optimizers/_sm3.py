"""SM3: AdaGrad with one sum for each row and column in place of one for each element.

n = min(M_1[i], M_2[j], ...) + |g|^2        for the element (i, j, ...)
M_k[i] = max(n)                             over all elements with i as their index k
m = b1 * m + (1 - b1) * g / sqrt(n + eps)
u = m
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_hyperparameter,
    moving_average,
    new_slot,
    over_leaves,
    ratio,
    scaled,
    transformation,
)
from optax.optimizers._parts import divisor, summed
from optax.transforms import scale_by_learning_rate
from optax.transforms._traced_step import reduced_by_blocks

__all__ = ["ScaleBySM3State", "scale_by_sm3", "sm3"]


class ScaleBySM3State(NamedTuple):
    """State of `scale_by_sm3`.

    Attributes:
      mu: tree with, in the place of each parameter, a list of real vectors, one for each axis and as long as it: what
        covers the second moments of its elements (M). The list of a scalar has one scalar.
      nu: tree of the parameters' structure and shapes, the mean of the directions (m).
    """

    mu: PyTree
    nu: Updates


@transformation
def scale_by_sm3(b1: Numeric = 0.9, b2: Numeric = 1.0, eps: Numeric = 1e-8) -> GradientTransformation:
    """SM3's direction: a mean of gradients, each divided by the root of a bound on the sum of their squares.

        n = b2 * min(M_1[i], M_2[j], ...) + c * |g|^2       with c = 1 - b2, but 1 for b2 = 1
        M_k[i] = max(n)                                     over all elements with i as their index k
        m = b1 * m + (1 - b1) * g / sqrt(n + eps)
        u = m

    Args:
      b1: scalar in [0, 1), decay of m.
      b2: scalar in [0, 1], decay of the second moments; 1 for sums, as in the paper.
      eps: scalar >= 0, added inside the root. With 0, an element whose n is 0 has direction 0.

    Returns:
      A transformation whose state is `ScaleBySM3State`. M is float32, float64 for parameters of that precision.

    Raises:
      ValueError: a decay is out of range, or `eps` is negative.

    Reference:
      Anil et al., "Memory-efficient adaptive optimization", 2019, algorithm SM3-II.
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, most=1)
    check_hyperparameter("eps", eps, least=0)

    def init(params: Params) -> ScaleBySM3State:
        M = jax.tree.map(lambda p: _no_covers(new_slot(p, real=True)), params)
        return ScaleBySM3State(M, new_slot(params, decay=b1))

    def update(
        updates: Updates, state: ScaleBySM3State, params: Params | None = None
    ) -> tuple[Updates, ScaleBySM3State]:
        del params
        weight = jnp.where(jnp.asarray(b2) == 1, 1.0, 1.0 - b2)

        def rule(g: jax.Array, m: jax.Array, M: PyTree) -> tuple[jax.Array, jax.Array, PyTree]:
            covers, structure = jax.tree.flatten(M)  # a list; a mapping in the states of flax.nnx
            bound = functools.reduce(jnp.minimum, (_along(x, axis, g.ndim) for axis, x in enumerate(covers)))
            n = scaled(jnp.broadcast_to(bound, g.shape), b2) + scaled(abs_sq(g), weight)
            m = moving_average(ratio(g, divisor(n + eps)), m, b1)
            return m, m, jax.tree.unflatten(structure, _covers(n))

        updates, m, M = over_leaves(rule, updates, state.nu, summaries=(state.mu,))
        return updates, ScaleBySM3State(M, m)

    return GradientTransformation(init, update)


@transformation
def sm3(learning_rate: ScalarOrSchedule, momentum: Numeric = 0.9) -> GradientTransformationExtraArgs:
    """SM3: AdaGrad whose memory grows with the lengths of the axes, not with their product.

        n = min(M_1[i], M_2[j], ...) + |g|^2        for the element (i, j, ...)
        M_k[i] = max(n)                             over all elements with i as their index k
        m = momentum * m + (1 - momentum) * g / sqrt(n + 1e-8)
        u = -learning_rate * m

    Args:
      learning_rate: real scalar or schedule.
      momentum: scalar in [0, 1), decay of m.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `momentum` is outside [0, 1).

    Reference:
      Anil et al., "Memory-efficient adaptive optimization", 2019, algorithm SM3-II.
    """
    check_hyperparameter("momentum", momentum, least=0, below=1)
    return reduced_by_blocks(chain(scale_by_sm3(momentum), scale_by_learning_rate(learning_rate)))


def _others(axis: int, ndim: int) -> tuple[int, ...]:
    return tuple(a for a in range(ndim) if a != axis)


def _covers(n: jax.Array) -> list[jax.Array]:
    """For each axis the maxima of `n`, which is not negative, over all others; a vector or scalar is its own."""
    if n.ndim < 2:
        return [n]
    return [jnp.max(n, axis=_others(axis, n.ndim), initial=0.0) for axis in range(n.ndim)]


def _no_covers(zeros: jax.Array) -> list[jax.Array]:
    """The covers of zeros: made from the array, so that they are sharded like it, by sums, since XLA sees at once what
    those of a constant are, while it computes its maxima when it compiles."""
    return [summed(zeros, _others(axis, zeros.ndim)) for axis in range(max(zeros.ndim, 1))]


def _along(x: jax.Array, axis: int, ndim: int) -> jax.Array:
    """The vector `x` as an array of `ndim` axes, all but `axis` of length 1."""
    return jnp.expand_dims(x, _others(axis, ndim))

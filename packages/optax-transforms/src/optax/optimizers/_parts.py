"""Parts of several optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import (
    Numeric,
    Params,
    PyTree,
    Updates,
    check_hyperparameter,
    debias,
    new_slot,
    ratio,
    safe_increment,
    safe_sqrt,
    scaled,
    total_weight,
    tree,
)
from optax.transforms._precision import is_zero


def filled_slot(params: Params, value: Numeric, dtype: DTypeLike | None = None) -> PyTree:
    """A slot as `new_slot(params, dtype=dtype, real=True)` makes it, but filled with `value`; integers stay 0."""
    zeros = new_slot(params, dtype=dtype, real=True)
    if is_zero(value):
        return zeros
    return jax.tree.map(lambda v: tree.full_like(v, value) if jnp.issubdtype(v.dtype, jnp.floating) else v, zeros)


def summed(zeros: jax.Array, axes: Any) -> jax.Array:
    """The sum of zeros over some axes, with the sharding of the others."""
    if isinstance(zeros, jax.core.Tracer) or len(zeros.devices()) > 1:
        return jnp.sum(zeros, axes)
    # Without a program for every shape.
    kept = jax.eval_shape(lambda x: jnp.sum(x, axes), zeros)
    empty: jax.Array = tree.zeros_like(kept)
    return jax.device_put(empty, zeros.sharding) if zeros.committed else empty


def divisor(v: jax.Array) -> jax.Array:
    """sqrt(v) for v >= 0, but never 0, and small enough a number to divide 0 by, and to differentiate that."""
    return jnp.sqrt(jnp.maximum(v, float(np.finfo(v.dtype).tiny)))


def bounded_ratio(x: jax.Array, d: jax.Array, eps: Numeric, bound: Any = None) -> jax.Array:
    """clip(x / max(d, eps), -bound, bound), element by element.

    Args:
      x: array, real or complex. A complex element keeps its direction when it is clipped.
      d: real array of the shape of `x`, at the same precision.
      eps: scalar >= 0. With 0, whatever is divided by 0 becomes the bound, but 0 / 0 is 0.
      bound: scalar >= 0; None for none.

    Returns:
      An array of the shape and dtype of `x`.
    """
    # Its root, so that neither the quotient of ordinary numbers nor the derivative overflows.
    least = jnp.asarray(np.sqrt(np.finfo(d.dtype).tiny), d.dtype)
    d = jnp.maximum(d, jnp.maximum(jnp.asarray(eps, d.dtype), least))
    if bound is None:
        return ratio(x, d)
    bound = jnp.asarray(bound, d.dtype)
    if not jnp.iscomplexobj(x):
        return jnp.clip(x / d, -bound, bound)
    size = jnp.abs(x)
    outside = size > bound * d
    return ratio(jnp.where(outside, x * bound, x), jnp.where(outside, size, d))


def written_after(x: jax.Array, others: jax.Array, count: jax.Array) -> jax.Array:
    """`x`, the new value of a slot whose old value `others` were computed from.

    Where nothing says that they come first, XLA copies the old value to be sure, and a copy of a large array takes
    longer than the update. So `x` depends on them here, on paper: a count is never negative, which XLA cannot know.

    Args:
      x: array.
      others: array of the same shape that is to be computed before `x` is written.
      count: integer scalar >= 0.

    Returns:
      `x`.
    """
    return jnp.where(count < 0, others.astype(x.dtype), x)


def mean_estimate(b1: Numeric, t: jax.Array, nesterov: bool) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """(g, m) -> m^: the mean of the gradients without the bias of its start at zero, at step t."""
    c1 = total_weight(b1, t)
    if not nesterov:
        return lambda g, m: debias(m, c1)
    c1_next = total_weight(b1, safe_increment(t))
    return lambda g, m: scaled(debias(m, c1_next), b1) + scaled(debias(g, c1), 1 - b1)


def over_root(m: jax.Array, v: jax.Array, eps: Any = 0.0, eps_root: Any = 0.0) -> jax.Array:
    """m / (sqrt(v + eps_root) + eps)."""
    return over(m, safe_sqrt(v + eps_root) + eps, eps, eps_root)


def over(x: jax.Array, d: jax.Array, *terms: Any) -> jax.Array:
    """x / d for a real d, and x where d is 0, which is where there has been no gradient yet that is worth a square.

    A positive number among `terms`, which d contains, keeps it from 0; then nothing is compiled that looks.
    """
    if any(isinstance(term, (int, float)) and term > 1e-30 for term in terms):
        return ratio(x, d)
    return ratio(x, jnp.where(d == 0, 1, d))


def pair_of_decays(betas: Any) -> tuple[Numeric, Numeric]:
    """The two decays, checked."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise TypeError(f"betas must be a pair such as (0.9, 0.999), not {betas!r}")
    for i, decay in enumerate(betas):
        check_hyperparameter(f"betas[{i}]", decay, least=0, below=1)
    return betas[0], betas[1]


def bias_corrected(learning_rate: Numeric, b1: Numeric, b2: Numeric, t: jax.Array) -> jax.Array:
    """The factor of m / sqrt(v) in Adam's step."""
    corrected = safe_sqrt(total_weight(b2, t)) / total_weight(b1, t)
    return scaled(corrected, learning_rate)


def zeros_each(updates: Updates, dtype: Any, shape: tuple[int, ...] = ()) -> PyTree:
    """A tree with zeros in the place of each leaf, for `over_leaves` to put sums over the leaves in."""
    return jax.tree.map(lambda _: jnp.zeros(shape, dtype), updates)


def total(sums: PyTree, dtype: Any) -> jax.Array:
    """The sum of those sums."""
    return jnp.asarray(tree.sum(sums), dtype)


def inner(x: jax.Array, y: jax.Array) -> jax.Array:
    """Re <x, y>."""
    return jnp.sum(x.real * y.real + x.imag * y.imag if jnp.iscomplexobj(x) else x * y.real)

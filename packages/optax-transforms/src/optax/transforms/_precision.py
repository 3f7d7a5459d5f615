"""Arithmetic that several transformations share: the precision to compute in, and what is 0 or would divide by it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Params, tree

_finfo: Any = jnp.finfo  # unannotated in JAX


def wide_dtype(*things: Any) -> Any:
    """The dtype, float32 or wider, that holds what all these arrays or dtypes do; complex if one of them is."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(jnp.float32, *things)


def real_dtype(params: Params) -> Any:
    """The dtype of scalars that are computed from all parameters: float32 or wider, real."""
    return np.finfo(wide_dtype(*map(tree.dtype, jax.tree.leaves(params)))).dtype


def is_zero(value: Any) -> bool:
    """Whether a hyperparameter is the number 0, for good: then what it multiplies need not be read."""
    return isinstance(value, (int, float)) and value == 0


def rounded(x: jax.Array, dtype: Any) -> jax.Array:
    """The number of `dtype` next to `x`, in the dtype of `x`."""
    own, its = _finfo(x.dtype), _finfo(dtype)
    if its.nmant >= own.nmant:
        return x
    # Not by a conversion and back, which the compiler may leave out.
    normal = jax.lax.reduce_precision(x, its.nexp, its.nmant)
    if its.nexp == own.nexp:
        return normal
    # Below its normal range `dtype` has evenly spaced numbers, for which `reduce_precision` returns 0. The sum with
    # this number has the same spacing.
    even = jnp.asarray(1.5 * 2.0**own.nmant * float(its.smallest_subnormal), x.dtype)
    return jnp.where(jnp.abs(x) < float(its.smallest_normal), (x + even) - even, normal)


def quotient(x: jax.Array, d: jax.Array) -> jax.Array:
    """x / d, and 0 where d is 0; the derivative is finite there too."""
    # The division comes last: XLA repeats everything cheaper in the loop of every leaf that uses the quotient, and
    # where d is a sum over a thousand leaves that takes minutes to compile.
    return x / jnp.where(d == 0, jnp.inf, d)

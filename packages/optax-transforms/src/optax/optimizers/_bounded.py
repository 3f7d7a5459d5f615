"""A quotient whose divisor is kept away from zero and whose magnitude is bounded: what ADOPT and Sophia step by."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric, ratio


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

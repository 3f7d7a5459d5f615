"""Counts and values: which dtype they have, and which part of a phase a count has reached.

Steps are counted in integers as long as everything they meet is an integer, so that no digit of a large count is lost
before it is divided by a length: float32 cannot tell 2**24 from 2**24 + 1.
"""

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric

__all__ = ["aligned", "as_steps", "as_value", "interpolate", "phase", "power_of"]


def as_value(x: Numeric) -> jax.Array:
    """`x` in the dtype of all schedule values: float32, or float64 under x64; strongly typed."""
    return jnp.asarray(x).astype(jnp.result_type(float))


def as_steps(x: Numeric) -> jax.Array:
    """`x` as a number of steps: int32 (int64 under x64) if it is integral and fits, else as a value.

    Args:
      x: a scalar or array, Python's, NumPy's, JAX's or traced. A Python or NumPy float such as 1000.0 is an integer.

    Returns:
      A strongly typed array of the shape of `x`.
    """
    dtype = jnp.result_type(int)
    largest = int(np.iinfo(dtype).max)
    if isinstance(x, int | float | np.integer | np.floating):
        number = float(x)
        x = int(x) if number.is_integer() and abs(number) <= largest else number
    steps = jnp.asarray(x)
    if not jnp.issubdtype(steps.dtype, jnp.integer):
        return as_value(steps)
    if jnp.issubdtype(steps.dtype, jnp.unsignedinteger) and steps.dtype.itemsize >= dtype.itemsize:
        steps = jnp.minimum(steps, largest)
    return steps.astype(dtype)


def aligned(*steps: Numeric) -> list[jax.Array]:
    """Numbers of steps in one dtype: integers if all are."""
    arrays = [as_steps(s) for s in steps]
    if all(jnp.issubdtype(s.dtype, jnp.integer) for s in arrays):
        return arrays
    return [as_value(s) for s in arrays]


def phase(t: Numeric, begin: Numeric, steps: Numeric) -> tuple[jax.Array, jax.Array]:
    """The fractions of a phase that are done and left after `t` steps.

    Each is rounded once, so neither loses digits where it is small. Their derivatives by `begin` and `steps` are
    finite for all counts.

    Args:
      t: a count >= 0, of any shape.
      begin: the count at which the phase begins.
      steps: its length; a phase of length 0 is a jump at `begin`.

    Returns:
      f and r = 1 - f, both between 0 and 1, of the shape of `t`.
    """
    t, begin, steps = aligned(t, begin, steps)
    begin, steps = jnp.maximum(begin, 0), jnp.maximum(steps, 0)
    done = jnp.clip(t - begin, 0, steps)
    left = steps - done
    inside = (done > 0) & (left > 0)
    over = (left == 0) & (t >= begin)
    length = as_value(jnp.where(inside, steps, 1))
    # the ends are not divided: a compiler may make x / x = x (1 / x) of it, which need not be 1
    f = jnp.where(inside, as_value(done) / length, as_value(over))
    r = jnp.where(inside, as_value(left) / length, as_value(~over))
    return f, r


def power_of(x: jax.Array, p: Numeric) -> jax.Array:
    """x^p for x >= 0 and p > 0, with finite derivatives by both at x = 0 too."""
    positive = x > 0
    return jnp.where(positive, jnp.where(positive, x, 1) ** as_value(p), 0)


def interpolate(init: Numeric, end: Numeric, w: jax.Array, v: jax.Array) -> jax.Array:
    """w init + v end, for weights that sum to 1: exact at both ends, unlike end + w (init - end)."""
    return w * as_value(init) + v * as_value(end)

"""Counts and values: which dtype they have, and which part of a phase a count has reached.

Steps are counted in integers as long as everything they meet is an integer, so that no digit of a large count is lost
before it is divided by a length: float32 cannot tell 2**24 from 2**24 + 1.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric

__all__ = [
    "aligned",
    "as_steps",
    "as_value",
    "geometric",
    "in_python",
    "interpolate",
    "is_real",
    "phase",
    "power_of",
    "stage",
    "steps_of",
    "xp",
]


class _Either:
    """NumPy as long as all arrays are its own or numbers, and jax.numpy from the first array of JAX on.

    A value that a training loop or a log asks for, outside of any compiled program, costs about a tenth of a
    millisecond so, and nothing is compiled for it.
    """

    def __getattr__(self, name: str) -> Callable[..., Any]:
        in_numpy, in_jax = getattr(np, name), getattr(jnp, name)

        def function(*args: Any, **kwargs: Any) -> Any:
            return (in_jax if any(map(_holds_jax, args)) else in_numpy)(*args, **kwargs)

        setattr(self, name, function)
        return function


def _holds_jax(x: Any) -> bool:
    if isinstance(x, np.generic | np.ndarray | int | float):  # mostly; to ask for arrays of JAX takes longer
        return False
    return any(map(_holds_jax, x)) if isinstance(x, list) else isinstance(x, jax.Array)


if TYPE_CHECKING:
    import jax.numpy as xp
else:
    xp = _Either()


def is_real(dtype: Any) -> bool:
    """Whether numbers of a dtype are real."""
    return any(jnp.issubdtype(dtype, kind) for kind in (np.integer, np.floating, np.bool_))


def as_value(x: Numeric) -> jax.Array:
    """`x` in the dtype of all schedule values: float32, or float64 under x64; strongly typed."""
    return xp.asarray(x).astype(jax.dtypes.canonicalize_dtype(np.float64))


def as_steps(x: Numeric) -> jax.Array:
    """`x` as a number of steps: int32 (int64 under x64) if it is integral and fits, else as a value.

    Args:
      x: a scalar or array, Python's, NumPy's, JAX's or traced. A Python or NumPy float such as 1000.0 is an integer.

    Returns:
      A strongly typed array of the shape of `x`.
    """
    dtype = jax.dtypes.canonicalize_dtype(np.int64)
    largest = int(np.iinfo(dtype).max)
    if isinstance(x, int | float | np.integer | np.floating):
        number = float(x)
        whole = number.is_integer() and abs(number) <= largest
        return xp.asarray(int(x), dtype) if whole else as_value(number)
    steps = xp.asarray(x)
    if not jnp.issubdtype(steps.dtype, np.integer):
        return as_value(steps)
    unsigned = steps.dtype.kind == "u"
    if steps.dtype.itemsize + unsigned > dtype.itemsize:
        steps = xp.clip(steps, 0 if unsigned else -largest, largest)
    return steps.astype(dtype)


def aligned(*steps: Numeric) -> list[jax.Array]:
    """Numbers of steps in one dtype: integers if all are."""
    arrays = [as_steps(s) for s in steps]
    if all(jnp.issubdtype(s.dtype, np.integer) for s in arrays):
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
    begin, steps = xp.maximum(begin, 0), xp.maximum(steps, 0)
    done = xp.clip(t - begin, 0, steps)
    left = steps - done
    inside = (done > 0) & (left > 0)
    over = (left == 0) & (t >= begin)
    length = as_value(xp.where(inside, steps, 1))
    # the ends are not divided: a compiler may make x / x = x (1 / x) of it, which need not be 1
    f = xp.where(inside, as_value(done) / length, as_value(over))
    r = xp.where(inside, as_value(left) / length, as_value(~over))
    return f, r


def stage(t: jax.Array, edges: jax.Array) -> jax.Array:
    """How many of the edges, in ascending order, lie at or before `t`: an integer array of the shape of `t`."""
    now, begins = aligned(t, edges)
    return xp.searchsorted(begins, now, side="right")


def in_python(op: Callable[[Any, Any], Any], a: Numeric, b: Numeric) -> Any:
    """op(a, b): of two Python numbers in their own precision, of anything else as values."""
    return op(a, b) if all(isinstance(x, int | float) for x in (a, b)) else op(as_value(a), as_value(b))


def steps_of(length: Numeric, whole: Numeric) -> Numeric:
    """A length in steps; one below 1 is a fraction of the steps in `whole`, rounded to whole steps where known."""
    if isinstance(length, int | float):
        if length == 0 or length >= 1:
            return length
        if isinstance(whole, int | float):
            return round(length * whole)
    n = as_value(length)
    return xp.where(n < 1, n * as_value(whole), n)


def geometric(ratio: Numeric, k: Numeric) -> jax.Array:
    """ratio^k for ratio > 0, not above e^80, so that its derivatives are finite."""
    # of a ratio near 1, float32 would keep too few digits for its thousandth power
    known = isinstance(ratio, int | float)
    log = math.log(ratio) if known else xp.log(as_value(ratio))
    return xp.exp(xp.minimum(as_value(k) * as_value(log), 80))


def power_of(x: jax.Array, p: Numeric) -> jax.Array:
    """x^p for x >= 0 and p > 0, with finite derivatives by both at x = 0 too."""
    positive = x > 0
    return xp.where(positive, xp.where(positive, x, 1) ** as_value(p), 0)


def interpolate(init: Numeric, end: Numeric, w: jax.Array, v: jax.Array) -> jax.Array:
    """w init + v end, for weights that sum to 1: exact at both ends, unlike end + w (init - end)."""
    return w * as_value(init) + v * as_value(end)

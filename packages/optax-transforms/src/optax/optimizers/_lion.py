"""Lion: the sign of a mean of the gradients that weighs the newest one more than the mean it keeps does.

c = b1 * m + (1 - b1) * g
m = b2 * m + (1 - b2) * g
u = sign(c)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_dtype,
    check_hyperparameter,
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    scaled,
    transformation,
)
from optax.transforms import add_decayed_weights, scale_by_learning_rate
from optax.transforms._clip import shrinking
from optax.transforms._precision import quotient

__all__ = ["ScaleByLionState", "lion", "scale_by_lion"]


class ScaleByLionState(NamedTuple):
    """State of `scale_by_lion`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates


@transformation
def scale_by_lion(
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: DTypeLike | None = None,
    *,
    mode: Literal["hard", "smooth", "refined"] = "hard",
    smooth_beta: Numeric = 1.0,
) -> GradientTransformation:
    """Lion's direction: the sign of a mean of the gradients, or a bounded function of it that is continuous at 0.

        c = b1 * m + (1 - b1) * g
        m = b2 * m + (1 - b2) * g
        u = sign(c)                 ("hard")
        u = tanh(smooth_beta * c)   ("smooth")
        u = min(max(c, -1), 1)      ("refined")

    Of a complex c, each of the three keeps the direction and takes the function of the magnitude.

    Args:
      b1: scalar in [0, 1), weight of m in c.
      b2: scalar in [0, 1), decay of m.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b2` (bfloat16 cannot
        resolve 0.01).
      mode: what u is made of: "hard", "smooth" or "refined".
      smooth_beta: scalar > 0, slope of u at c = 0 in the mode "smooth".

    Returns:
      A transformation whose state is `ScaleByLionState`. No element of u is larger than 1 in magnitude.

    Raises:
      ValueError: a decay is out of range, `smooth_beta` is not positive, or there is no such mode.

    Reference:
      Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2 (for "hard").
    """
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_dtype("mu_dtype", mu_dtype)
    check_hyperparameter("smooth_beta", smooth_beta, above=0)
    if mode not in _BOUNDED:
        raise ValueError(f"mode must be one of {', '.join(map(repr, _BOUNDED))}, not {mode!r}")
    bounded, weight_of_new = _BOUNDED[mode], _weight_of_new_mean(b1, b2)

    def init(params: Params) -> ScaleByLionState:
        return ScaleByLionState(jnp.zeros([], jnp.int32), new_slot(params, decay=b2, dtype=mu_dtype))

    def update(
        updates: Updates, state: ScaleByLionState, params: Params | None = None
    ) -> tuple[Updates, ScaleByLionState]:
        del params

        def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
            new_m = moving_average(g, m, b2)
            c = moving_average(g, m, b1) if weight_of_new is None else moving_average(g, new_m, weight_of_new)
            return bounded(c, smooth_beta), new_m

        updates, mu = over_leaves(rule, updates, state.mu)
        return updates, ScaleByLionState(safe_increment(state.count), mu)

    return GradientTransformation(init, update)


@transformation
def lion(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    b2: Numeric = 0.99,
    mu_dtype: DTypeLike | None = None,
    weight_decay: ScalarOrSchedule = 1e-3,
    mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """Lion: steps of the same length for every element, in the direction of a mean of its gradients.

        c = b1 * m + (1 - b1) * g
        m = b2 * m + (1 - b2) * g
        u = -learning_rate * (sign(c) + weight_decay * p)

    The updates are larger than Adam's: it is used with a learning rate 3 to 10 times smaller, and a weight decay as
    many times larger. For other functions than the sign, put them in its place:
    `chain(scale_by_lion(mode="refined"), add_decayed_weights(1e-3), scale_by_learning_rate(1e-4))`.

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), weight of m in c.
      b2: scalar in [0, 1), decay of m.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b2` (bfloat16 cannot
        resolve 0.01).
      weight_decay: real scalar or schedule.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: a decay is outside [0, 1).

    Reference:
      Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.
    """
    return chain(
        scale_by_lion(b1, b2, mu_dtype),
        add_decayed_weights(weight_decay, mask),
        scale_by_learning_rate(learning_rate),
    )


def _weight_of_new_mean(b1: Numeric, b2: Numeric) -> float | None:
    """The w for which c = w * m + (1 - w) * g with the new m: the old one can then be overwritten before c is computed.

    None where that would cost precision (w > 1), or where it is not known.
    """
    if isinstance(b1, jax.core.Tracer) or isinstance(b2, jax.core.Tracer):
        return None
    b1, b2 = float(b1), float(b2)
    return b1 / b2 if b2 > 0 and b1 <= b2 else None


def _sign(c: jax.Array, beta: Numeric) -> jax.Array:
    del beta
    return jnp.sign(c)


def _tanh(c: jax.Array, beta: Numeric) -> jax.Array:
    if not jnp.iscomplexobj(c):
        return jnp.tanh(scaled(c, beta))
    size = jnp.abs(c)
    slope = jnp.where(size == 0, jnp.asarray(beta, size.dtype), quotient(jnp.tanh(scaled(size, beta)), size))
    return scaled(c, slope)


def _clip(c: jax.Array, beta: Numeric) -> jax.Array:
    del beta
    return scaled(c, shrinking(jnp.abs(c), 1)) if jnp.iscomplexobj(c) else jnp.clip(c, -1, 1)


_BOUNDED: dict[str, Callable[[jax.Array, Numeric], jax.Array]] = {"hard": _sign, "smooth": _tanh, "refined": _clip}

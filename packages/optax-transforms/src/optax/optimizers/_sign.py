"""Descent by signs: every element moves by the learning rate, whatever its gradient's size.

u = sign(g)                                          (signSGD)
m = beta * m + (1 - beta) * g    and u = sign(m)     (Signum)
"""

from __future__ import annotations

from jax.typing import DTypeLike

from optax.core import GradientTransformationExtraArgs, Numeric, ScalarOrSchedule, chain, transformation
from optax.transforms import ema, scale_by_learning_rate, scale_by_sign

__all__ = ["sign_sgd", "signum"]


@transformation
def sign_sgd(learning_rate: ScalarOrSchedule) -> GradientTransformationExtraArgs:
    """Descend by the signs of the gradients: u = -learning_rate * sign(g), and 0 where g is 0.

    Args:
      learning_rate: real scalar or schedule.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`. The sign of a complex g is g / |g|.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.

    Reference:
      Bernstein et al., "signSGD: compressed optimisation for non-convex problems", 2018, algorithm 1.
    """
    return chain(scale_by_sign(), scale_by_learning_rate(learning_rate))


@transformation
def signum(
    learning_rate: ScalarOrSchedule, beta: Numeric = 0.9, accumulator_dtype: DTypeLike | None = None
) -> GradientTransformationExtraArgs:
    """Signum: descend by the signs of the momentum.

        m = beta * m + (1 - beta) * g
        u = -learning_rate * sign(m)

    Args:
      learning_rate: real scalar or schedule.
      beta: scalar in [0, 1), decay of m.
      accumulator_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - beta`.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`. The sign of a complex m is m / |m|.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `beta` is outside [0, 1).

    Reference:
      Bernstein et al., "signSGD: compressed optimisation for non-convex problems", 2018, algorithm 2.
    """
    return chain(
        ema(beta, debias=False, accumulator_dtype=accumulator_dtype),  # a positive factor would not change the sign
        scale_by_sign(),
        scale_by_learning_rate(learning_rate),
    )

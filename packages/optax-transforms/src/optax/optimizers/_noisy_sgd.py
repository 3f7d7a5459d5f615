"""Gradient descent with noise that fades.

u = -learning_rate * (g + z),    z ~ N(0, eta / t^gamma)
"""

from __future__ import annotations

from optax.core import GradientTransformationExtraArgs, Numeric, ScalarOrSchedule, chain, transformation
from optax.transforms import add_noise, scale_by_learning_rate
from optax.transforms._random import RandomKey

__all__ = ["noisy_sgd"]


@transformation
def noisy_sgd(
    learning_rate: ScalarOrSchedule,
    eta: Numeric = 0.01,
    gamma: Numeric = 0.55,
    key: RandomKey | None = None,
    *,
    seed: int | None = None,
) -> GradientTransformationExtraArgs:
    """Gradient descent with Gaussian noise that fades: u = -learning_rate * (g + z), z ~ N(0, eta / t^gamma).

    t is 1 at the first update; for the noise of complex leaves see `add_noise`.

    Args:
      learning_rate: real scalar or schedule.
      eta: real scalar >= 0, variance of the noise at the first update.
      gamma: real scalar, how fast the variance falls.
      key: random key (typed or raw), or an integer seed.
      seed: integer seed, in place of a key. With neither the seed is 0, every time: two runs draw the same noise.

    Returns:
      A transformation; add its updates to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `eta` is negative, or `key` and `seed` are both given.

    Reference:
      Neelakantan et al., "Adding gradient noise improves learning for very deep networks", 2015, equations 1 and 2.
    """
    if key is None and seed is None:
        seed = 0  # existing code calls noisy_sgd(learning_rate)
    return chain(add_noise(eta, gamma, key, seed=seed), scale_by_learning_rate(learning_rate))

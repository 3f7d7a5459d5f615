"""Gradient descent from whose result no single example can be told.

u = -learning_rate * (sum_i clip(g_i) + z) / n,    z ~ N(0, (noise_multiplier * l2_norm_clip)^2)
"""

from __future__ import annotations

from optax.core import GradientTransformationExtraArgs, Numeric, ScalarOrSchedule, chain, identity, transformation
from optax.transforms import differentially_private_aggregate, scale_by_learning_rate, trace
from optax.transforms._random import RandomKey

__all__ = ["dpsgd"]


@transformation
def dpsgd(
    learning_rate: ScalarOrSchedule,
    l2_norm_clip: Numeric,
    noise_multiplier: Numeric,
    key: RandomKey | None = None,
    momentum: Numeric | None = None,
    nesterov: bool = False,
    *,
    seed: int | None = None,
) -> GradientTransformationExtraArgs:
    """Differentially private gradient descent: `sgd` on the mean of bounded gradients of single examples, with noise.

        G = (sum_i g_i * min(1, l2_norm_clip / norm(g_i)) + z) / n,    z ~ N(0, (noise_multiplier * l2_norm_clip)^2)
        m = G + momentum * m
        u = -learning_rate * m      (with Nesterov's momentum: -learning_rate * (G + momentum * m))

    The norm of the gradient g_i of example i is that of all leaves taken as one vector. What the privacy amounts to
    depends on how the n examples are drawn and on the number of steps; nothing here keeps account of it.

    Args:
      learning_rate: real scalar or schedule.
      l2_norm_clip: real scalar >= 0, the bound on the norm.
      noise_multiplier: real scalar >= 0, the noise's standard deviation in units of that bound.
      key: random key (typed or raw), or an integer seed. No two runs on the same data may share it.
      momentum: scalar in [-1, 1], or None for none (and no state).
      nesterov: whether the momentum is Nesterov's.
      seed: integer seed, in place of a key.

    Returns:
      A transformation that takes gradients with a leading axis of examples (`jax.vmap` of `jax.grad` makes them); add
      its updates, which have none, to the parameters with `apply_updates`.

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: a bound is negative, `momentum` is outside [-1, 1], or there is not exactly one of `key` and `seed`;
        from `update`, if the gradients are no batches of one size.

    Reference:
      Abadi et al., "Deep learning with differential privacy", 2016, algorithm 1.
    """
    return chain(
        differentially_private_aggregate(l2_norm_clip, noise_multiplier, key, seed=seed),
        identity() if momentum is None else trace(momentum, nesterov),
        scale_by_learning_rate(learning_rate),
    )

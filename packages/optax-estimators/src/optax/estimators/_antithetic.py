"""Samples in pairs that mirror each other."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, widen
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import float_leaves
from optax.estimators._families import by_family, family_of
from optax.estimators._pathwise import pathwise_jacobians

__all__ = ["antithetic_jacobians"]


def antithetic_jacobians(
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    *,
    grad_estimator: Callable[..., PyTree] = pathwise_jacobians,
) -> PyTree:
    """Gradients of an expectation from pairs of samples that mirror each other.

        J_i = (J(x_i) + J(2 c - x_i)) / 2,    c the centre of a symmetric distribution, J(x) by `grad_estimator`

    Both halves have the same distribution, so J_i has the expectation of J. What is odd about the centre cancels: with
    pathwise gradients, a quadratic `function` leaves no variance in the gradient by the centre. Where J is even
    instead, the second half repeats the first: the variance is that of one sample at the price of two.

    Args:
      function: maps one sample to a real scalar; as `grad_estimator` needs it.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats.
      dist_builder: called as `dist_builder(*params)`, returns a normal, Laplace, logistic, Student t or uniform
        distribution, of one component or independent ones.
      rng: a PRNG key. The first halves of the pairs are the samples of `grad_estimator` with this key.
      num_samples: how many pairs; static under `jit`. `function` is called twice for each.
      grad_estimator: an estimator of this package, called as
        `grad_estimator(function, params, dist_builder, rng, num_samples)` for each half.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype. The mean over the first
      axis estimates the gradient.

    Raises:
      ValueError: the distribution is not of those families, and whatever `grad_estimator` raises.
      TypeError: a leaf is not floating.

    Reference:
      Hammersley, Morton, "A new Monte Carlo technique: antithetic variates", 1956, Proc. Camb. Phil. Soc. 52(3).
    """
    params = float_leaves(params)
    by_family(dist_builder, params, *_CENTRES)  # raises for others

    def mirrored(*args: Any, **kwargs: Any) -> MirroredDistribution:
        return MirroredDistribution(dist_builder(*args, **kwargs))

    first = grad_estimator(function, params, dist_builder, rng, num_samples)
    second = grad_estimator(function, params, mirrored, rng, num_samples)
    return jax.tree.map(lambda a, b: ((widen(a) + widen(b)) / 2).astype(a.dtype), first, second)


class MirroredDistribution:
    """A symmetric distribution with its samples on the other side of the centre; all else is the same."""

    def __init__(self, distribution: Distribution):
        self.distribution = distribution

    def __getattr__(self, name: str) -> Any:
        return getattr(self.distribution, name)

    def sample(self, *, seed: jax.Array, sample_shape: Sequence[int]) -> jax.Array:
        """2 c - x for samples x of the distribution."""
        x = self.distribution.sample(seed=seed, sample_shape=sample_shape)
        family = family_of(self.distribution)
        c = jnp.broadcast_to(_CENTRES[family.name](family.parameters), x.shape)
        mirrored: jax.Array = (2 * c - x.astype(c.dtype)).astype(x.dtype)
        return mirrored


def _loc(parameters: dict[str, jax.Array]) -> jax.Array:
    return parameters["loc"]


# By family: the centre that it is symmetric about.
_CENTRES: dict[str, Callable[[dict[str, jax.Array]], jax.Array]] = {
    "laplace": _loc,
    "logistic": _loc,
    "normal": _loc,
    "student_t": _loc,
    "uniform": lambda parameters: parameters["low"] / 2 + parameters["high"] / 2,
}

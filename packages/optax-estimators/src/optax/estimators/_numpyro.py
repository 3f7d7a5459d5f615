"""Distributions of numpyro, which sample by `sample(key, sample_shape)`."""

import importlib
from collections.abc import Sequence
from typing import Any

import jax

__all__ = ["NumpyroDistribution", "from_numpyro"]


class NumpyroDistribution:
    """A distribution of numpyro under the names that the estimators use.

    Args:
      distribution: an instance of `numpyro.distributions.Distribution`.
    """

    def __init__(self, distribution: Any):
        self.distribution = distribution

    def __repr__(self) -> str:
        return f"NumpyroDistribution({self.distribution!r})"

    def sample(self, *, seed: jax.Array, sample_shape: Sequence[int]) -> Any:
        """Samples made from the PRNG key `seed`, `sample_shape` of them; with () just one."""
        return self.distribution.sample(seed, tuple(sample_shape))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density or probability of one sample."""
        return self.distribution.log_prob(value)

    def kl_divergence(self, other: "NumpyroDistribution") -> Any:
        """The Kullback-Leibler divergence from this distribution to `other`, where numpyro knows it."""
        divergences = importlib.import_module("numpyro.distributions.kl")  # there if the distributions are
        return divergences.kl_divergence(self.distribution, other.distribution)


def from_numpyro(distribution: Any) -> NumpyroDistribution:
    """A distribution of numpyro as the estimators expect one, with `sample(seed=, sample_shape=)`.

    Args:
      distribution: an instance of `numpyro.distributions.Distribution`; `to_event` joins independent components.

    Returns:
      A distribution for `dist_builder` to return: `lambda loc: from_numpyro(numpyro.distributions.Normal(loc, 1.0))`.

    Raises:
      TypeError: it has no `sample` and `log_prob`.
    """
    if not (callable(getattr(distribution, "sample", None)) and callable(getattr(distribution, "log_prob", None))):
        raise TypeError(
            f"distribution must be one of numpyro, with sample and log_prob, got {type(distribution).__name__}"
        )
    return NumpyroDistribution(distribution)

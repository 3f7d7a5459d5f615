"""Negative log-likelihoods in NumPy, as their densities read, one number at a time and in float64."""

import math


def gaussian(mean: float, y: float, variance: float) -> float:
    """- log of exp(-(y - mean)^2 / (2 variance)) / sqrt(2 pi variance)."""
    return (y - mean) ** 2 / (2 * variance) + math.log(math.sqrt(2 * math.pi * variance))


def poisson(mean: float, y: int) -> float:
    """- log of mean^y exp(-mean) / y!."""
    return mean - y * math.log(mean) + math.lgamma(y + 1)


def negative_binomial(mean: float, y: int, r: float) -> float:
    """- log of (r)(r + 1)...(r + y - 1) / y! p^y (1 - p)^r, with p = mean / (r + mean)."""
    rising = sum(math.log(r + k) for k in range(y))
    p = mean / (r + mean)
    return math.lgamma(y + 1) - rising - y * math.log(p) - r * math.log1p(-p)

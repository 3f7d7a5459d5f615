"""Per-sample gradients of E[f(x)], x ~ N(mu, sigma^2), written out by hand for one component."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.floating]


def normal_log_density(x: Samples, mu: float, log_sigma: float) -> Samples:
    """log N(x; mu, sigma^2)."""
    sigma = np.exp(log_sigma)
    density: Samples = np.log(np.exp(-((x - mu) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi * sigma**2))
    return density


def score_function(x: Samples, f: Samples, mu: float, log_sigma: float) -> tuple[Samples, Samples]:
    """f(x) d log p / d mu and f(x) d log p / d log sigma."""
    z = (x - mu) / np.exp(log_sigma)
    return f * z / np.exp(log_sigma), f * (z**2 - 1)


def pathwise(x: Samples, df: Samples, mu: float) -> tuple[Samples, Samples]:
    """f'(x) dx / d mu and f'(x) dx / d log sigma, for x = mu + sigma e."""
    return df, df * (x - mu)

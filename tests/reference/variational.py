"""Per-sample gradients for a normal variable x ~ N(mu, sigma^2), written out by hand in float64.

All are pairs: the derivatives by mu and by log sigma.
"""

import numpy as np
from numpy.typing import NDArray

from reference.estimators import normal_log_density, score_function

Floats = NDArray[np.float64]


def target(x: Floats) -> Floats:
    """log p(x), up to a constant."""
    log_p: Floats = np.sin(x) - 0.25 * x**4
    return log_p


def target_slope(x: Floats) -> Floats:
    """d log p / dx."""
    slope: Floats = np.cos(x) - x**3
    return slope


def leave_one_out(x: Floats, f: Floats, mu: float, log_sigma: float) -> tuple[Floats, Floats]:
    """The score times f less the mean of all other f."""
    advantage = np.array([f[i] - np.delete(f, i).mean() for i in range(len(f))])
    return score_function(x, advantage, mu, log_sigma)


def var_grad(x: Floats, mu: float, log_sigma: float) -> tuple[Floats, Floats]:
    """Leave-one-out for log q - log p."""
    return leave_one_out(x, normal_log_density(x, mu, log_sigma) - target(x), mu, log_sigma)


def sticking_the_landing(x: Floats, mu: float, log_sigma: float) -> tuple[Floats, Floats]:
    """d(log q - log p)/dx times dx/dmu = 1 and dx/dlog sigma = x - mu."""
    slope = -(x - mu) / np.exp(log_sigma) ** 2 - target_slope(x)
    return slope, slope * (x - mu)


def dreg(x: Floats, mu: float, log_sigma: float) -> tuple[Floats, Floats]:
    """The same, summed over each row of x with the squares of the normalised weights p / q."""
    w = np.exp(target(x) - normal_log_density(x, mu, log_sigma))
    v = w / w.sum(axis=1, keepdims=True)
    by_mu, by_log_sigma = sticking_the_landing(x, mu, log_sigma)
    return (v**2 * by_mu).sum(axis=1), (v**2 * by_log_sigma).sum(axis=1)

"""CTC in NumPy: the definition by listing all paths, and the recursion of Graves et al. in float64."""

import itertools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_softmax(z: Array) -> Array:
    """log p of each class, rows of -inf included: they have no class."""
    m = np.max(z, axis=-1, keepdims=True)
    s = z - np.where(np.isfinite(m), m, 0)
    with np.errstate(divide="ignore"):
        log_p: Array = s - np.where(np.isfinite(m), np.log(np.sum(np.exp(s), axis=-1, keepdims=True)), 0)
    return log_p


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """The labels of a path: equal neighbours are merged, then blanks are dropped."""
    return [k for k, _ in itertools.groupby(path) if k != blank]


def by_listing(z: Array, labels: list[int], blank: int) -> tuple[float, Array]:
    """The probability of the labels, and the gradient of minus its logarithm by the logits, zeros if it is 0.

    Args:
      z: logits, shape (T, K).
      labels: classes.
      blank: that of the blank.
    """
    p = np.exp(log_softmax(z))
    total, visits = 0.0, np.zeros_like(z)
    for path in itertools.product(range(z.shape[1]), repeat=len(z)):
        if collapsed(path, blank) == labels:
            weight = float(np.prod([p[t, k] for t, k in enumerate(path)]))
            total += weight
            for t, k in enumerate(path):
                visits[t, k] += weight
    return total, p - visits / total if total > 0 else np.zeros_like(z)


def log_alphas(z: Array, labels: list[int], blank: int) -> Array:
    """log alpha_t(s) for states s = blank, label 1, blank, label 2 ..., shape (T, 2 N + 1)."""
    states = _states(labels, blank)
    emitted = log_softmax(z)[:, states]
    may_skip = [s > 1 and states[s] not in (blank, states[s - 2]) for s in range(len(states))]
    alphas = np.full((len(z), len(states)), -np.inf)
    before = np.where(np.arange(len(states)) < 2, 0, -np.inf)
    for t in range(len(z)):
        alphas[t] = before + emitted[t]
        padded = np.concatenate([[-np.inf, -np.inf], alphas[t]])
        skipped = np.where(may_skip, padded[:-2], -np.inf)
        before = np.logaddexp(np.logaddexp(padded[2:], padded[1:-1]), skipped)
    return alphas


def _states(labels: list[int], blank: int) -> list[int]:
    return [blank, *(state for k in labels for state in (k, blank))]


def loss(z: Array, labels: list[int], blank: int) -> float:
    """Minus the logarithm of the probability of the labels."""
    if len(z) == 0:
        return np.inf if labels else 0.0
    return -float(np.logaddexp.reduce(log_alphas(z, labels, blank)[-1, -2:]))


def gradient(z: Array, labels: list[int], blank: int) -> Array:
    """Of the loss by the logits, if it is finite: p less the occupancy of each class, from alpha and beta."""
    log_p, states = log_softmax(z), _states(labels, blank)
    alphas = log_alphas(z, labels, blank)
    betas = log_alphas(z[::-1], labels[::-1], blank)[::-1, ::-1]
    total = loss(z, labels, blank)
    slope: Array = np.exp(log_p)
    for s, k in enumerate(states):
        with np.errstate(invalid="ignore"):
            log_q = alphas[:, s] + betas[:, s] - log_p[:, k] + total
        slope[:, k] -= np.where(np.isneginf(alphas[:, s]), 0, np.exp(log_q))
    return slope

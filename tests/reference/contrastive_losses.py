"""Losses of a batch of vectors in NumPy, as their definitions read, one pair at a time and in float64."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cosine(x: Array, y: Array) -> float:
    """The cosine of two vectors, 0 if one of them is zero."""
    x, y = (np.asarray(v, np.float64) for v in (x, y))
    x, y = (v / np.max(np.abs(v)) if np.any(v) else v for v in (x, y))
    lengths = np.sqrt(np.sum(x * x) * np.sum(y * y))
    return float(np.dot(x, y) / lengths) if lengths > 0 else 0.0


def log_share(s: float, others: list[float]) -> float:
    """log(exp(s) / (exp(s) + sum of exp(others)))."""
    return float(s - np.logaddexp.reduce([s, *others]))


def ntxent(x: Array, labels: NDArray[np.int32], temperature: float) -> float:
    """The mean over positive pairs, each against the negatives of its anchor; 0 without any."""
    terms = []
    for i, a in enumerate(labels):
        negatives = [cosine(x[i], x[k]) / temperature for k, c in enumerate(labels) if c != a]
        for j, b in enumerate(labels):
            if j != i and a == b:
                terms.append(-log_share(cosine(x[i], x[j]) / temperature, negatives))
    return float(np.mean(terms)) if terms else 0.0


def supervised(x: Array, labels: NDArray[np.int32], temperature: float) -> list[float]:
    """One loss per anchor: the mean over the others of its label, each against all others; 0 without any."""
    losses = []
    for i, a in enumerate(labels):
        s = {j: cosine(x[i], x[j]) / temperature for j in range(len(x)) if j != i}
        terms = [-log_share(s[j], [s[k] for k in s if k != j]) for j in s if labels[j] == a]
        losses.append(float(np.mean(terms)) if terms else 0.0)
    return losses


def info_nce(q: Array, k: Array, temperature: float, negatives: Array | None = None) -> list[float]:
    """One loss per query: its key against the other keys, or against `negatives`."""
    losses = []
    for i in range(len(q)):
        others = negatives if negatives is not None else [k[j] for j in range(len(k)) if j != i]
        s = [cosine(q[i], other) / temperature for other in others]
        losses.append(-log_share(cosine(q[i], k[i]) / temperature, s))
    return losses


def clip(x: Array, y: Array, temperature: float) -> list[float]:
    """The means of both directions."""
    return [(a + b) / 2 for a, b in zip(info_nce(x, y, temperature), info_nce(y, x, temperature), strict=True)]


def siglip(x: Array, y: Array, temperature: float, bias: float) -> list[float]:
    """One loss per image: - log sigmoid(+- z) summed over the texts."""
    z = [[cosine(a, b) / temperature + bias for b in y] for a in x]
    return [
        sum(float(np.logaddexp(0, -value if i == j else value)) for j, value in enumerate(row))
        for i, row in enumerate(z)
    ]

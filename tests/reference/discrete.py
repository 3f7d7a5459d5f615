"""Expectations over discrete variables by enumeration, and relaxed samples written out, in float64."""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def sigmoid(x: ArrayLike) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def softmax(x: ArrayLike) -> Array:
    """exp(x) / sum exp(x), over the last axis."""
    e = np.exp(np.asarray(x, np.float64))
    return e / e.sum(-1, keepdims=True)


def bernoulli_gradient(f: Callable[[Array], float], logits: ArrayLike) -> Array:
    """d/d logits of sum_b p(b) f(b) over all vectors b of zeros and ones."""
    p = np.atleast_1d(sigmoid(logits))
    total = np.zeros_like(p)
    for bits in itertools.product([0.0, 1.0], repeat=p.size):
        b = np.array(bits)
        total += np.prod(np.where(b == 1, p, 1 - p)) * f(b.reshape(np.shape(logits))) * (b - p)
    return total.reshape(np.shape(logits))


def softmax_jacobian(z: Array, temperature: float) -> Array:
    """d softmax(z / temperature) / d z, for one vector."""
    y = softmax(z / temperature)
    return (np.diag(y) - np.outer(y, y)) / temperature


def conditional_gumbels(theta: Array, given: int, e: Array) -> Array:
    """theta + Gumbel noise, given that component `given` is the largest, from exponential noise e."""
    total = np.exp(theta).sum()
    z = -np.log(e / np.exp(theta) + e[given] / total)
    z[given] = -np.log(e[given] / total)
    return z

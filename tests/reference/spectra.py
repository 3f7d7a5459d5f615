"""What traces, eigenpairs and densities are compared with: dense matrices and distances in NumPy."""

import numpy as np


def symmetric(eigenvalues, seed=0):
    """A dense matrix with these eigenvalues and random eigenvectors."""
    n = len(eigenvalues)
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    return (q * np.asarray(eigenvalues, np.float64)) @ q.T


def softmax_fisher_diag(w, x):
    """Mean over the rows of x and expectation over classes of the squared gradients of log softmax(x w), for w."""
    logits = x @ w
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    total = np.zeros_like(w)
    for row, probabilities in zip(x, p, strict=True):
        for k, probability in enumerate(probabilities):
            total += probability * np.outer(row, np.eye(len(probabilities))[k] - probabilities) ** 2
    return total / len(x)


def wasserstein(nodes, masses, eigenvalues):
    """The Wasserstein-1 distance of point masses from equal masses at the eigenvalues: the area between the CDFs."""
    points = np.sort(np.concatenate([nodes, eigenvalues]))
    ours = [masses[nodes <= x].sum() for x in points[:-1]]
    exact = [np.mean(eigenvalues <= x) for x in points[:-1]]
    return np.sum(np.abs(np.subtract(ours, exact)) * np.diff(points))

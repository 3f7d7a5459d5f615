"""Differentially private gradient descent in NumPy, without the noise (Abadi et al. 2016, algorithm 1)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def clipped_mean(examples: list[list[Array]], C: float) -> list[Array]:
    """The mean over the examples, each a list of leaves, of their gradients scaled down to a norm of at most C."""
    total = [np.zeros(leaf.shape) for leaf in examples[0]]
    for g in examples:
        norm = np.sqrt(sum(float(np.sum(np.abs(leaf) ** 2)) for leaf in g))
        total = [t + leaf / max(1.0, norm / C) for t, leaf in zip(total, g, strict=True)]
    return [t / len(examples) for t in total]

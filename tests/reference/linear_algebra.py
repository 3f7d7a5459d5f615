"""Orthogonal factors and the polynomials that lead to them, in NumPy, and the best polynomials by their definition."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]


def orthogonalized(x: Array, rows: Iterable[tuple[float, float, float]]) -> Array:
    """a x + b (x x^H) x + c (x x^H)^2 x for each row, one product after the other."""
    for a, b, c in rows:
        third = x @ x.conj().T @ x
        x = a * x + b * third + c * (x @ x.conj().T @ third)
    return x


def polar(x: Array) -> Array:
    """U V^H."""
    u, _, vh = np.linalg.svd(x, full_matrices=False)
    return u @ vh


def best_quintic(low: float, high: float) -> NDArray[np.float64]:
    """The odd polynomial of degree five that is nearest 1 on [low, high]: its error alternates at four points.

    Remez: solve for equal errors of alternating sign, move the inner two points to the extrema, repeat.
    """
    inner = np.array([(3 * low + high) / 4, (low + 3 * high) / 4])
    for _ in range(100):
        x = np.array([low, *inner, high])
        a, b, c, _ = np.linalg.solve(np.stack([x, x**3, x**5, [1, -1, 1, -1]], axis=1), np.ones(4))
        root = np.sqrt(9 * b**2 - 20 * a * c)
        inner = np.sqrt((-3 * b + np.array([-root, root])) / (10 * c))
    return np.array([a, b, c])


def polar_express(low: float, cushion: float, steps: int) -> list[NDArray[np.float64]]:
    """Amsel et al., "The Polar Express", 2025: each polynomial is the best for where the ones before it lead.

    No interval is taken to begin below `cushion` times its end; the polynomial is then scaled so that the images of
    its ends lie around 1.
    """
    rows, high = [], 1.0
    for _ in range(steps):
        row = best_quintic(max(low, cushion * high), high)
        ends = [row @ [x, x**3, x**5] for x in (low, high)]
        if low < cushion * high:
            row = row * 2 / sum(ends)
        rows.append(row)
        low = row @ [low, low**3, low**5]
        high = 2 - low
    return rows

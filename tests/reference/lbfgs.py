"""L-BFGS in NumPy, in the letters of Nocedal and Wright (2006), algorithm 7.4: the recursion in two loops."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class LBFGS:
    """Takes x_k and grad f_k, one after another, and returns H_k times the gradient.

    A step without a pair (s^T y is not positive) takes the place of one. Entries that a mask leaves out do not exist.
    The scale of the newest pair outlives it.
    """

    def __init__(self, m: int, scaled: bool = True):
        self.m, self.scaled = m, scaled
        self.points: list[tuple[Vector, Vector]] = []
        self.pairs: list[tuple[Vector, Vector] | None] = []
        self.newest: tuple[Vector, Vector] | None = None

    def __call__(self, x: Vector, grad: Vector, free: NDArray[np.bool_] | None = None) -> Vector:
        if self.points:
            last_x, last_grad = self.points[-1]
            s, y = x - last_x, grad - last_grad
            self.pairs.append((s, y) if self.curved(s, y) else None)
            self.newest = self.pairs[-1] or self.newest
        self.points.append((x, grad))
        free = np.ones(x.shape, bool) if free is None else free
        pairs = [(pair[0][free], pair[1][free]) for pair in self.pairs[-self.m :] if pair is not None]
        r = np.zeros_like(x)
        r[free] = self.two_loops([pair for pair in pairs if pair[0] @ pair[1] > 0], grad[free])
        return r

    @staticmethod
    def curved(s: Vector, y: Vector) -> bool:
        return bool(s @ y > np.finfo(s.dtype).eps * np.linalg.norm(s) * np.linalg.norm(y))

    def two_loops(self, pairs: list[tuple[Vector, Vector]], grad: Vector) -> Vector:
        q = grad.copy()
        alphas = []
        for s, y in reversed(pairs):
            alpha = s @ q / (y @ s)
            q = q - alpha * y
            alphas.append(alpha)
        r = self.gamma(pairs, grad) * q
        for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
            beta = y @ r / (y @ s)
            r = r + s * (alpha - beta)
        return r

    def gamma(self, pairs: list[tuple[Vector, Vector]], grad: Vector) -> float:
        if not self.scaled:
            return 1.0
        newest = pairs[-1] if pairs else self.newest
        if newest is None or newest[0].shape != grad.shape:  # the scale of all entries is not that of some
            return 1 / max(1.0, float(np.linalg.norm(grad)))
        s, y = newest
        return float(s @ y / (y @ y))

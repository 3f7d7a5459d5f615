"""The orthogonal factor of a matrix: nearly, by matrix products alone, or exactly.

X = U S V^H with nonnegative S. Both functions return U f(S) V^H: `polar_factor` with f = 1, `newton_schulz` with an odd
polynomial that is near 1 on most of (0, 1].
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric, abs_sq, check_hyperparameter, check_integer, safe_sqrt, widen

__all__ = ["newton_schulz", "polar_factor"]

Coefficients: TypeAlias = str | Sequence[Any] | jax.Array | np.ndarray

# (a, b, c) of x -> a x + b x^3 + c x^5, one row for each iteration; the last row serves for all that follow.
_PRESETS = {
    "standard": [(3.4445, -4.775, 2.0315)],
    # The best composition for singular values in [0.001, 1] (tests/reference/linear_algebra.py computes it), each
    # polynomial but the last for arguments up to 1.01, so that rounding cannot leave the interval.
    "polar_express": [
        *(
            (a / 1.01, b / 1.01**3, c / 1.01**5)
            for a, b, c in [
                (8.2872120181456, -23.5958865190988, 17.3003873125309),
                (4.1070591115422, -2.9478499167379, 0.5448431082926),
                (3.9486908534823, -2.9089021159630, 0.5518191394370),
                (3.3184196573706, -2.4884880243149, 0.5100489401237),
                (2.3006520199548, -1.6689039845748, 0.4188073119526),
                (1.8913014077874, -1.2679958271946, 0.3768040894852),
                (1.8750014808097, -1.2500016453125, 0.3750001645037),
            ]
        ),
        (1.875, -1.25, 0.375),
    ],
    "quintic": [(1.875, -1.25, 0.375)],
    "cubic": [(1.5, -0.5, 0.0)],
}

_PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")

# After how many iterations on the small matrix it is computed anew: its small eigenvalues carry the rounding errors of
# the large ones, which every iteration magnifies by the square of what it does to small singular values.
_FRESH = 3


def newton_schulz(
    matrix: jax.Array,
    coefficients: Coefficients = "standard",
    steps: int = 5,
    *,
    preconditioning: str = "frobenius",
    eps: Numeric = 1e-8,
    precision: Any = None,
) -> jax.Array:
    """Bring all singular values of a matrix near 1 by odd polynomials of it: matrix products and nothing else.

        x = matrix / (|matrix| + eps)
        x = a x + b (x x^H) x + c (x x^H)^2 x    in each step, with its own a, b, c

    On a matrix with at least twice as many columns as rows (or rows as columns) three steps at a time are made on x x^H
    alone, wherever products keep the full precision of their operands: the result is the same up to rounding, for
    less work.

    Args:
      matrix: array of shape (..., m, n), real or complex; leading axes are a batch. Computed in float32 or wider.
      coefficients: (a, b, c) for all steps, or one such row for each step. Or the name of a preset: "standard" (Muon's,
        fast, singular values end between 0.6 and 1.2), "polar_express" (the best for each number of steps), and the
        classical "cubic" and "quintic", which converge to 1.
      steps: integer >= 0, number of iterations; no more are made than there are rows.
      preconditioning: what the matrix is divided by: its "frobenius" norm, its "spectral" norm (by an eigenvalue
        solver), or its Schatten-4 norm ("schatten"); or "aol": each row (column, if there are fewer) by the root of
        the sum of its absolute inner products with all of them. The last two are near the spectral norm for little.
      eps: scalar >= 0, added to the Frobenius or spectral norm.
      precision: of the products, as in `jax.numpy.matmul`.

    Returns:
      An array of the shape and dtype of `matrix`; zeros for zeros.

    Raises:
      ValueError: a name is unknown, `coefficients` has another shape, or `matrix` has fewer than two axes.

    References:
      Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
      Amsel et al., "The Polar Express", 2025, algorithm 1.
      Prach, Lampert, "Almost-orthogonal layers for efficient general-purpose Lipschitz networks", 2022, theorem 1.
    """
    steps = check_integer("steps", steps, least=0)
    check_preconditioning("preconditioning", preconditioning)
    check_hyperparameter("eps", eps, least=0)
    check_coefficients("coefficients", coefficients)
    rows = coefficient_rows(coefficients, steps)
    rows = jnp.broadcast_to(rows, (steps, 3)) if rows.ndim == 1 else rows[:steps]

    def iterated(x: jax.Array) -> jax.Array:
        real = x.real.dtype
        y: jax.Array = _orthogonalized(x, rows.astype(real), jnp.asarray(eps, real), preconditioning, precision)
        return y

    return _of_wide(iterated, matrix)


def _of_wide(f: Callable[[jax.Array], jax.Array], matrix: jax.Array) -> jax.Array:
    """f of matrices with no more rows than columns, in float32 or wider; of tall ones it gets the transpose."""
    matrix = jnp.asarray(matrix)
    _require_matrix(matrix)
    if not matrix.size:
        return matrix
    x = widen(matrix)
    wide = x.shape[-2] <= x.shape[-1]
    y = f(x if wide else _transpose(x))
    return (y if wide else _transpose(y)).astype(matrix.dtype)


def coefficient_rows(coefficients: Coefficients, steps: int) -> jax.Array:
    """The coefficients as an array of shape (3,) or (rows, 3); of a preset with several rows, one for each step."""
    if isinstance(coefficients, str):
        rows = _PRESETS[coefficients]
        if len(rows) == 1:
            return jnp.asarray(rows[0], float)
        return jnp.asarray([*rows[:steps], *[rows[-1]] * (steps - len(rows))], float).reshape(steps, 3)
    array = jnp.asarray(coefficients)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def check_coefficients(name: str, coefficients: Coefficients) -> None:
    """Reject what is neither a preset nor of the shape of coefficients. No array is made: that would start JAX."""
    if isinstance(coefficients, str):
        if coefficients not in _PRESETS:
            raise ValueError(f"{name} must be numbers or one of {', '.join(_PRESETS)}, not {coefficients!r}")
    elif not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(coefficients)):
        shape = np.shape(coefficients)
        if shape[-1:] != (3,) or len(shape) > 2 or 0 in shape:
            raise ValueError(f"{name} must have the shape (3,) or (n, 3), not {shape}")


def check_preconditioning(name: str, value: str) -> None:
    """Reject what is no name of a preconditioning."""
    if value not in _PRECONDITIONINGS:
        raise ValueError(f"{name} must be one of {', '.join(_PRECONDITIONINGS)}, not {value!r}")


def _require_matrix(matrix: jax.Array) -> None:
    if matrix.ndim < 2:
        raise ValueError(f"matrix must have two axes or more, not the shape {matrix.shape}")


@functools.partial(jax.jit, static_argnames=("preconditioning", "precision"))
def _orthogonalized(x: jax.Array, rows: jax.Array, eps: jax.Array, preconditioning: str, precision: Any) -> jax.Array:
    x, g = _normalized(x, eps, preconditioning, precision)
    m, n = x.shape[-2:]
    fresh = _FRESH if n >= 2 * m and _keeps_precision(x.dtype, precision) else 1
    for start in range(0, len(rows), fresh):
        g = _gram(x, precision) if g is None else g
        x = _product(_factor(g, rows[start : start + fresh], precision), x, precision)
        g = None
    return x


def _factor(g: jax.Array, rows: jax.Array, precision: Any) -> Any:
    """The matrix q such that q x is what the steps make of x, from g = x x^H."""
    one = jnp.broadcast_to(jnp.eye(g.shape[-1], dtype=g.dtype), g.shape)
    q: Any = None
    for i, row in enumerate(rows):
        a, b, c = row.astype(g.dtype)
        p = a * one + b * g + c * _product(g, g, precision)
        q = p if q is None else _product(p, q, precision)
        if i + 1 < len(rows):
            g = _product(p, _product(g, p, precision), precision)
    return q


def _normalized(
    x: jax.Array, eps: jax.Array, preconditioning: str, precision: Any
) -> tuple[jax.Array, jax.Array | None]:
    """`x` with no singular value above 1, and x x^H if it is known."""
    norm = safe_sqrt(jnp.sum(abs_sq(x), axis=(-2, -1), keepdims=True))
    if preconditioning == "frobenius":
        return _divided(x, norm + eps), None
    unit = _divided(x, norm)  # so that products of tiny numbers do not vanish
    g = _gram(unit, precision)
    if preconditioning == "spectral":
        largest = jnp.linalg.eigvalsh(g)[..., -1:, None]
        return _divided(x, norm * safe_sqrt(jnp.maximum(largest, 0)) + eps), None
    if preconditioning == "schatten":
        d = safe_sqrt(safe_sqrt(jnp.sum(abs_sq(g), axis=(-2, -1), keepdims=True)))
        return _divided(unit, d), _divided(g, d * d)
    size = safe_sqrt(abs_sq(g)) if jnp.iscomplexobj(g) else jnp.abs(g)
    d = safe_sqrt(jnp.sum(size, axis=-1, keepdims=True))
    return _divided(unit, d), _divided(g, d * _transpose(d))


def _divided(x: jax.Array, d: jax.Array) -> jax.Array:
    """x / d for a real d, 0 where d is 0."""
    zero, d = d == 0, jnp.where(d == 0, 1, d)
    if jnp.iscomplexobj(x):
        return jax.lax.complex(jnp.where(zero, 0, x.real / d), jnp.where(zero, 0, x.imag / d))
    return jnp.where(zero, 0, x / d)


def _keeps_precision(dtype: Any, precision: Any) -> bool:
    """Whether products keep what float32 has, rather than round it to 10 bits or fewer as accelerators like to do."""
    if np.dtype(dtype).itemsize >= 8 * (1 + np.issubdtype(dtype, np.complexfloating)):
        return True
    settings: Any = jax.config
    asked = {str(precision), str(settings.jax_default_matmul_precision)}
    return jax.default_backend() == "cpu" or bool(asked & {str(jax.lax.Precision.HIGHEST), "highest", "float32"})


def _product(x: jax.Array, y: jax.Array, precision: Any) -> jax.Array:
    return jnp.matmul(x, y, precision=precision)


def _gram(x: jax.Array, precision: Any) -> jax.Array:
    return jnp.matmul(x, jnp.conj(_transpose(x)), precision=precision)


def _transpose(x: jax.Array) -> jax.Array:
    return jnp.swapaxes(x, -2, -1)


def polar_factor(matrix: jax.Array) -> jax.Array:
    """The nearest matrix with orthonormal rows (columns, if there are fewer): U V^H of matrix = U S V^H.

    It is computed by a singular value decomposition, for any condition of the matrix: its rows are orthonormal to a few
    units of rounding (1e-6 in float32 up to some hundred rows), and it is the factor of a matrix as close to the given
    one. Its derivative is finite, also where singular values coincide.

    Args:
      matrix: array of shape (..., m, n), real or complex; leading axes are a batch. Computed in float32 or wider.

    Returns:
      An array of the shape and dtype of `matrix`. For a matrix of lower rank, which has many such factors, one of them.

    Raises:
      ValueError: `matrix` has fewer than two axes.

    Reference:
      Higham, "Functions of matrices", 2008, chapter 8.
    """
    return _of_wide(_polar, matrix)


@jax.custom_jvp
def _polar(x: jax.Array) -> jax.Array:
    return _decomposed(x)[-1]


def _decomposed(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    u, s, vh = jnp.linalg.svd(x, full_matrices=False)
    return u, s, vh, _product(u, vh, jax.lax.Precision.HIGHEST)


@_polar.defjvp
def _polar_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    # Differentiate x = p q with p = u s u^H: within the rows of q the change is a rotation, and what leaves their span
    # is divided by p.
    (x,), (dx,) = primals, tangents
    u, s, vh, q = _decomposed(x)
    highest = jax.lax.Precision.HIGHEST
    turned = _product(jnp.conj(_transpose(u)), dx, highest)
    inside = _product(turned, jnp.conj(_transpose(vh)), highest)
    rotation = _divided(inside - jnp.conj(_transpose(inside)), s[..., :, None] + s[..., None, :])
    outside = _divided(turned - _product(inside, vh, highest), s[..., :, None])
    return q, _product(u, _product(rotation, vh, highest) + outside, highest)

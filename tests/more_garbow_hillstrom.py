"""The problems of More, Garbow and Hillstrom for unconstrained minimisation.

Section 3 of J. J. More, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM Transactions
on Mathematical Software 7(1), 1981, pp. 17-41. Each problem asks for the least sum of squares of m residuals
f_1, ..., f_m in n unknowns x_1, ..., x_n, from the starting point that the paper sets. The letters are the paper's.

A residual function takes x as one vector of float32 or of float64, computes in that type, and, where the paper lets n
vary, reads n off the vector. What does not depend on x is computed by NumPy in double precision and rounded once.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike


class Problem(NamedTuple):
    """One problem at one size, with its starting point and what the paper says of its minima."""

    name: str
    residuals: Callable[[jax.Array], jax.Array]  # from (n,) to (m,)
    start: tuple[float, ...]
    minima: tuple[float, ...]  # of the sum of squares at local minima, or at infinity; six digits unless it is rational

    def value(self, x: jax.Array) -> jax.Array:
        """The sum of squares, f_1(x)^2 + ... + f_m(x)^2."""
        return jnp.sum(self.residuals(x) ** 2)


def _like(x: jax.Array, values: ArrayLike) -> jax.Array:
    """Constants in the type of x, as strict promotion wants them."""
    return jnp.asarray(np.asarray(values), x.dtype)


def _weighted(weights: np.ndarray, x: jax.Array) -> jax.Array:
    """The sums over j of weights[i, j] x[j]; not a matrix product, which some devices would do in fewer bits."""
    return jnp.sum(_like(x, weights) * x[None, :], axis=1)


def _upto(last: int) -> np.ndarray:
    """1, 2, ..., last, in double precision."""
    return np.arange(1.0, last + 1)


def _rosenbrock(x: jax.Array) -> jax.Array:
    """(1) for n = 2, else (21): f_{2i-1} = 10 (x_{2i} - x_{2i-1}^2), f_{2i} = 1 - x_{2i-1}; m = n, even."""
    odd, even = x.reshape(-1, 2).T
    return jnp.stack([10 * (even - odd**2), 1 - odd], axis=1).ravel()


def _freudenstein_roth(x: jax.Array) -> jax.Array:
    """(2) f_1 = -13 + x_1 + ((5 - x_2) x_2 - 2) x_2, f_2 = -29 + x_1 + ((x_2 + 1) x_2 - 14) x_2."""
    x1, x2 = x
    return jnp.stack([-13 + x1 + ((5 - x2) * x2 - 2) * x2, -29 + x1 + ((x2 + 1) * x2 - 14) * x2])


def _powell_badly_scaled(x: jax.Array) -> jax.Array:
    """(3) f_1 = 10^4 x_1 x_2 - 1, f_2 = exp(-x_1) + exp(-x_2) - 1.0001."""
    x1, x2 = x
    return jnp.stack([1e4 * x1 * x2 - 1, jnp.exp(-x1) + jnp.exp(-x2) - 1.0001])


def _brown_badly_scaled(x: jax.Array) -> jax.Array:
    """(4) f_1 = x_1 - 10^6, f_2 = x_2 - 2 10^-6, f_3 = x_1 x_2 - 2."""
    x1, x2 = x
    return jnp.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2])


def _beale(x: jax.Array) -> jax.Array:
    """(5) f_i = y_i - x_1 (1 - x_2^i), y = (1.5, 2.25, 2.625)."""
    x1, x2 = x
    return _like(x, [1.5, 2.25, 2.625]) - x1 * (1 - jnp.stack([x2, x2**2, x2**3]))


def _jennrich_sampson(x: jax.Array) -> jax.Array:
    """(6) f_i = 2 + 2i - (exp(i x_1) + exp(i x_2)); m = 10."""
    x1, x2 = x
    i = _like(x, _upto(10))
    return 2 + 2 * i - (jnp.exp(i * x1) + jnp.exp(i * x2))


def _helical_valley(x: jax.Array) -> jax.Array:
    """(7) f_1 = 10 (x_3 - 10 theta), f_2 = 10 (sqrt(x_1^2 + x_2^2) - 1), f_3 = x_3, where 2 pi theta is the angle of
    (x_1, x_2): arctan(x_2 / x_1) where x_1 > 0, and half a turn more where x_1 < 0."""
    x1, x2, x3 = x
    # So theta jumps on the lower half of the x_2 axis. The angle as arctan2 has it would jump at the starting point: we
    # turn the plane by a quarter first, which also spares the division by x_1. At x_1 = x_2 = 0 there is no gradient.
    theta = 0.25 + jnp.arctan2(-x1, x2) / (2 * math.pi)
    return jnp.stack([10 * (x3 - 10 * theta), 10 * (jnp.sqrt(x1**2 + x2**2) - 1), x3])


_BARD = (0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39)


def _bard(x: jax.Array) -> jax.Array:
    """(8) f_i = y_i - (x_1 + u_i / (v_i x_2 + w_i x_3)), u_i = i, v_i = 16 - i, w_i = min(u_i, v_i); m = 15."""
    x1, x2, x3 = x
    u = _upto(15)
    v = 16 - u
    return _like(x, _BARD) - (x1 + _like(x, u) / (_like(x, v) * x2 + _like(x, np.minimum(u, v)) * x3))


_GAUSSIAN = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521)  # y_1 to y_7, and y_15 down to y_9


def _gaussian(x: jax.Array) -> jax.Array:
    """(9) f_i = x_1 exp(-x_2 (t_i - x_3)^2 / 2) - y_i, t_i = (8 - i) / 2; m = 15."""
    x1, x2, x3 = x
    t = _like(x, (8 - _upto(15)) / 2)
    return x1 * jnp.exp(-x2 * (t - x3) ** 2 / 2) - _like(x, (*_GAUSSIAN, 0.3989, *_GAUSSIAN[::-1]))


_MEYER = (34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872)


def _meyer(x: jax.Array) -> jax.Array:
    """(10) f_i = x_1 exp(x_2 / (t_i + x_3)) - y_i, t_i = 45 + 5i; m = 16."""
    x1, x2, x3 = x
    return x1 * jnp.exp(x2 / (_like(x, 45 + 5 * _upto(16)) + x3)) - _like(x, _MEYER)


def _gulf(x: jax.Array) -> jax.Array:
    """(11) f_i = exp(-|y_i - x_2|^x_3 / x_1) - t_i, t_i = i / 100, y_i = 25 + (-50 ln t_i)^(2/3); m = 99.

    The paper prints "y_i m i x_2": the letters are those of a minus sign."""
    x1, x2, x3 = x
    t = _upto(99) / 100
    # At m = 100, the most that the paper allows, y_m would be 25, the x_2 of the solution, where the power has no
    # derivative to speak of. With 99 the power is smooth at the starting point, at the solution, and wherever x_2 < 25.
    y = 25 + (-50 * np.log(t)) ** (2 / 3)
    return jnp.exp(-(jnp.abs(_like(x, y) - x2) ** x3) / x1) - _like(x, t)


def _box(x: jax.Array) -> jax.Array:
    """(12) f_i = exp(-t_i x_1) - exp(-t_i x_2) - x_3 (exp(-t_i) - exp(-10 t_i)), t_i = i / 10; m = 10."""
    x1, x2, x3 = x
    t = _upto(10) / 10
    s = _like(x, t)
    return jnp.exp(-s * x1) - jnp.exp(-s * x2) - x3 * _like(x, np.exp(-t) - np.exp(-10 * t))


def _powell_singular(x: jax.Array) -> jax.Array:
    """(13) for n = 4, else (22): f_{4i-3} = x_{4i-3} + 10 x_{4i-2}, f_{4i-2} = sqrt(5) (x_{4i-1} - x_{4i}),
    f_{4i-1} = (x_{4i-2} - 2 x_{4i-1})^2, f_{4i} = sqrt(10) (x_{4i-3} - x_{4i})^2; m = n, a multiple of 4."""
    a, b, c, d = x.reshape(-1, 4).T
    f = [a + 10 * b, math.sqrt(5) * (c - d), (b - 2 * c) ** 2, math.sqrt(10) * (a - d) ** 2]
    return jnp.stack(f, axis=1).ravel()


def _wood(x: jax.Array) -> jax.Array:
    """(14) f_1 = 10 (x_2 - x_1^2), f_2 = 1 - x_1, f_3 = sqrt(90) (x_4 - x_3^2), f_4 = 1 - x_3,
    f_5 = sqrt(10) (x_2 + x_4 - 2), f_6 = (x_2 - x_4) / sqrt(10)."""
    x1, x2, x3, x4 = x
    valleys = [10 * (x2 - x1**2), 1 - x1, math.sqrt(90) * (x4 - x3**2), 1 - x3]
    return jnp.stack([*valleys, math.sqrt(10) * (x2 + x4 - 2), (x2 - x4) / math.sqrt(10)])


_KOWALIK_OSBORNE_Y = (0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246)
_KOWALIK_OSBORNE_U = (4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625)


def _kowalik_osborne(x: jax.Array) -> jax.Array:
    """(15) f_i = y_i - x_1 (u_i^2 + u_i x_2) / (u_i^2 + u_i x_3 + x_4); m = 11."""
    x1, x2, x3, x4 = x
    u = _like(x, _KOWALIK_OSBORNE_U)
    return _like(x, _KOWALIK_OSBORNE_Y) - x1 * (u**2 + u * x2) / (u**2 + u * x3 + x4)


def _brown_dennis(x: jax.Array) -> jax.Array:
    """(16) f_i = (x_1 + t_i x_2 - exp(t_i))^2 + (x_3 + x_4 sin(t_i) - cos(t_i))^2, t_i = i / 5; m = 20."""
    x1, x2, x3, x4 = x
    t = _upto(20) / 5
    exponential = x1 + _like(x, t) * x2 - _like(x, np.exp(t))
    return exponential**2 + (x3 + x4 * _like(x, np.sin(t)) - _like(x, np.cos(t))) ** 2


# fmt: off
_OSBORNE_1 = (
    0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751, 0.718, 0.685, 0.658, 0.628, 0.603,
    0.580, 0.558, 0.538, 0.522, 0.506, 0.490, 0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411,
    0.406,
)
_OSBORNE_2 = (
    1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608, 0.655, 0.616, 0.606,
    0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661, 0.612, 0.558, 0.533, 0.495, 0.500, 0.423,
    0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428, 0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668,
    0.645, 0.632, 0.591, 0.559, 0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098,
    0.054,
)
# fmt: on


def _osborne_1(x: jax.Array) -> jax.Array:
    """(17) f_i = y_i - (x_1 + x_2 exp(-t_i x_4) + x_3 exp(-t_i x_5)), t_i = 10 (i - 1); m = 33."""
    x1, x2, x3, x4, x5 = x
    t = _like(x, 10 * (_upto(33) - 1))
    return _like(x, _OSBORNE_1) - (x1 + x2 * jnp.exp(-t * x4) + x3 * jnp.exp(-t * x5))


def _biggs_exp6(x: jax.Array) -> jax.Array:
    """(18) f_i = x_3 exp(-t_i x_1) - x_4 exp(-t_i x_2) + x_6 exp(-t_i x_5) - y_i, t_i = i / 10,
    y_i = exp(-t_i) - 5 exp(-10 t_i) + 3 exp(-4 t_i); m = 13."""
    x1, x2, x3, x4, x5, x6 = x
    t = _upto(13) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    s = _like(x, t)
    return x3 * jnp.exp(-s * x1) - x4 * jnp.exp(-s * x2) + x6 * jnp.exp(-s * x5) - _like(x, y)


def _osborne_2(x: jax.Array) -> jax.Array:
    """(19) f_i = y_i - (x_1 exp(-t_i x_5) + the sum over k = 2, 3, 4 of x_k exp(-(t_i - x_{k+7})^2 x_{k+4})),
    t_i = (i - 1) / 10; m = 65."""
    t = _like(x, (_upto(65) - 1) / 10)
    peaks = x[None, 1:4] * jnp.exp(-((t[:, None] - x[None, 8:11]) ** 2) * x[None, 5:8])
    return _like(x, _OSBORNE_2) - (x[0] * jnp.exp(-t * x[4]) + jnp.sum(peaks, axis=1))


def _watson(x: jax.Array) -> jax.Array:
    """(20) f_i = p'(t_i) - p(t_i)^2 - 1 for i = 1 to 29, p(t) = the sum of x_j t^(j-1), t_i = i / 29; f_30 = x_1,
    f_31 = x_2 - x_1^2 - 1; m = 31."""
    j = _upto(x.size)
    t = (_upto(29) / 29)[:, None]
    slope = (j - 1) * t ** np.maximum(j - 2, 0)  # the first column is zero, whatever its power
    f = _weighted(slope, x) - _weighted(t ** (j - 1), x) ** 2 - 1
    return jnp.concatenate([f, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])])


def _penalty_1(x: jax.Array) -> jax.Array:
    """(23) f_i = sqrt(10^-5) (x_i - 1) for i = 1 to n, f_{n+1} = the sum of x_j^2, less 1/4; m = n + 1."""
    return jnp.append(math.sqrt(1e-5) * (x - 1), jnp.sum(x**2) - 0.25)


def _penalty_2(x: jax.Array) -> jax.Array:
    """(24) f_1 = x_1 - 0.2, f_i = a (exp(x_i / 10) + exp(x_{i-1} / 10) - y_i) for i = 2 to n,
    f_i = a (exp(x_{i-n+1} / 10) - exp(-1/10)) for i = n + 1 to 2n - 1, f_2n = the sum of (n - j + 1) x_j^2, less 1,
    a = sqrt(10^-5), y_i = exp(i / 10) + exp((i - 1) / 10); m = 2n."""
    e = jnp.exp(x / 10)
    i = _upto(x.size)
    data = np.exp(i / 10)
    pairs = e[1:] + e[:-1] - _like(x, data[1:] + data[:-1])
    small = math.sqrt(1e-5) * jnp.concatenate([pairs, e[1:] - math.exp(-0.1)])
    last = jnp.sum(_like(x, i[::-1]) * x**2) - 1
    return jnp.concatenate([x[:1] - 0.2, small, last[None]])


def _variably_dimensioned(x: jax.Array) -> jax.Array:
    """(25) f_i = x_i - 1 for i = 1 to n, f_{n+1} = the sum of j (x_j - 1), f_{n+2} = f_{n+1}^2; m = n + 2."""
    total = jnp.sum(_like(x, _upto(x.size)) * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([total, total**2])])


def _trigonometric(x: jax.Array) -> jax.Array:
    """(26) f_i = n - (the sum of cos(x_j)) + i (1 - cos(x_i)) - sin(x_i); m = n."""
    c = jnp.cos(x)
    return x.size - jnp.sum(c) + _like(x, _upto(x.size)) * (1 - c) - jnp.sin(x)


def _brown_almost_linear(x: jax.Array) -> jax.Array:
    """(27) f_i = x_i + (the sum of x_j) - (n + 1) for i = 1 to n - 1, f_n = (the product of x_j) - 1; m = n."""
    return jnp.append(x[:-1] + jnp.sum(x) - (x.size + 1), jnp.prod(x) - 1)


def _discrete_boundary_value(x: jax.Array) -> jax.Array:
    """(28) f_i = 2 x_i - x_{i-1} - x_{i+1} + h^2 (x_i + t_i + 1)^3 / 2, h = 1 / (n + 1), t_i = i h,
    x_0 = x_{n+1} = 0; m = n."""
    h = 1 / (x.size + 1)
    padded = jnp.pad(x, 1)
    return 2 * x - padded[:-2] - padded[2:] + h**2 * (x + _like(x, h * _upto(x.size)) + 1) ** 3 / 2


def _discrete_integral_equation(x: jax.Array) -> jax.Array:
    """(29) f_i = x_i + (h / 2) ((1 - t_i) (the sum over j <= i of t_j c_j) + t_i (the sum over j > i of
    (1 - t_j) c_j)), c_j = (x_j + t_j + 1)^3, h = 1 / (n + 1), t_i = i h; m = n."""
    h = 1 / (x.size + 1)
    t = h * _upto(x.size)
    kernel = np.minimum(t[:, None], t) * (1 - np.maximum(t[:, None], t))  # the smaller t is t_j just where j <= i
    return x + h / 2 * _weighted(kernel, (x + _like(x, t) + 1) ** 3)


def _broyden_tridiagonal(x: jax.Array) -> jax.Array:
    """(30) f_i = (3 - 2 x_i) x_i - x_{i-1} - 2 x_{i+1} + 1, x_0 = x_{n+1} = 0; m = n."""
    padded = jnp.pad(x, 1)
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def _broyden_banded(x: jax.Array) -> jax.Array:
    """(31) f_i = x_i (2 + 5 x_i^2) + 1 - the sum of x_j (1 + x_j) over the j from i - 5 to i + 1 that are not i;
    m = n."""
    ones = np.ones((x.size, x.size))
    band = np.tril(np.triu(ones, -5), 1) - np.eye(x.size)
    return x * (2 + 5 * x**2) + 1 - _weighted(band, x * (1 + x))


def _linear_full_rank(m: int, x: jax.Array) -> jax.Array:
    """(32) f_i = x_i - (2 / m) (the sum of x_j) - 1 for i = 1 to n, the same without x_i for i = n + 1 to m."""
    return jnp.pad(x, (0, m - x.size)) - 2 / m * jnp.sum(x) - 1


def _linear_rank_1(m: int, x: jax.Array) -> jax.Array:
    """(33) f_i = i (the sum of j x_j) - 1."""
    return _like(x, _upto(m)) * jnp.sum(_like(x, _upto(x.size)) * x) - 1


def _linear_rank_1_zeros(m: int, x: jax.Array) -> jax.Array:
    """(34) f_1 = f_m = -1, else f_i = (i - 1) (the sum of j x_j for j = 2 to n - 1) - 1."""
    rows = np.append(np.arange(m - 1.0), 0)
    return _like(x, rows) * jnp.sum(_like(x, _upto(x.size)[1:-1]) * x[1:-1]) - 1


def _chebyquad(x: jax.Array) -> jax.Array:
    """(35) f_i = (1 / n) (the sum of T_i(x_j)) - the integral of T_i over [0, 1], which is 0 for odd i and
    -1 / (i^2 - 1) for even i; T_i is Chebyshev's polynomial of degree i, shifted to [0, 1]; m = n."""
    z = 2 * x - 1

    def rise(state: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        below, here = state
        return (here, 2 * z * here - below), jnp.mean(here)

    # By the recurrence, since cos(i arccos(z)) has no value outside [0, 1] and no slope at its ends.
    _, means = jax.lax.scan(rise, (jnp.ones_like(x), z), None, length=x.size)
    i = _upto(x.size)
    return means + _like(x, np.where(i % 2 == 0, 1 / np.maximum(i**2 - 1, 1), 0))


def _grid(n: int) -> tuple[float, ...]:
    """The t_i = i / (n + 1) of (28), (29) and (35)."""
    return tuple(i / (n + 1) for i in range(1, n + 1))


_BOUNDARY = tuple(t * (t - 1) for t in _grid(10))

_ALL = (
    Problem("rosenbrock", _rosenbrock, (-1.2, 1.0), (0.0,)),
    Problem("freudenstein_roth", _freudenstein_roth, (0.5, -2.0), (0.0, 48.9842)),
    Problem("powell_badly_scaled", _powell_badly_scaled, (0.0, 1.0), (0.0,)),
    Problem("brown_badly_scaled", _brown_badly_scaled, (1.0, 1.0), (0.0,)),
    Problem("beale", _beale, (1.0, 1.0), (0.0,)),
    Problem("jennrich_sampson", _jennrich_sampson, (0.3, 0.4), (124.362,)),
    Problem("helical_valley", _helical_valley, (-1.0, 0.0, 0.0), (0.0,)),
    Problem("bard", _bard, (1.0, 1.0, 1.0), (8.21487e-3, 17.4286)),  # the second at (0.8406, -inf, -inf)
    Problem("gaussian", _gaussian, (0.4, 1.0, 0.0), (1.12793e-8,)),
    Problem("meyer", _meyer, (0.02, 4000.0, 250.0), (87.9458,)),
    Problem("gulf", _gulf, (5.0, 2.5, 0.15), (0.0,)),
    Problem("box", _box, (0.0, 10.0, 20.0), (0.0,)),
    Problem("powell_singular", _powell_singular, (3.0, -1.0, 0.0, 1.0), (0.0,)),
    Problem("wood", _wood, (-3.0, -1.0, -3.0, -1.0), (0.0,)),
    # The second at (inf, -14.07, -inf, -inf).
    Problem("kowalik_osborne", _kowalik_osborne, (0.25, 0.39, 0.415, 0.39), (3.07505e-4, 1.02734e-3)),
    Problem("brown_dennis", _brown_dennis, (25.0, 5.0, -5.0, -1.0), (85822.2,)),
    Problem("osborne_1", _osborne_1, (0.5, 1.5, -1.0, 0.01, 0.02), (5.46489e-5,)),
    Problem("biggs_exp6", _biggs_exp6, (1.0, 2.0, 1.0, 1.0, 1.0, 1.0), (0.0, 5.65565e-3)),
    Problem("osborne_2", _osborne_2, (1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5), (4.01377e-2,)),
    Problem("watson_6", _watson, (0.0,) * 6, (2.28767e-3,)),
    Problem("watson_9", _watson, (0.0,) * 9, (1.39976e-6,)),
    Problem("extended_rosenbrock", _rosenbrock, (-1.2, 1.0) * 50, (0.0,)),
    Problem("extended_powell_singular", _powell_singular, (3.0, -1.0, 0.0, 1.0) * 25, (0.0,)),
    Problem("penalty_1", _penalty_1, tuple(float(j) for j in range(1, 11)), (7.08765e-5,)),
    Problem("penalty_2", _penalty_2, (0.5,) * 10, (2.93660e-4,)),
    Problem("variably_dimensioned", _variably_dimensioned, tuple(1 - j / 10 for j in range(1, 11)), (0.0,)),
    Problem("trigonometric", _trigonometric, (0.1,) * 10, (0.0, 2.79506e-5)),
    Problem("brown_almost_linear", _brown_almost_linear, (0.5,) * 10, (0.0, 1.0)),
    Problem("discrete_boundary_value", _discrete_boundary_value, _BOUNDARY, (0.0,)),
    Problem("discrete_integral_equation", _discrete_integral_equation, _BOUNDARY, (0.0,)),
    Problem("broyden_tridiagonal", _broyden_tridiagonal, (-1.0,) * 10, (0.0,)),
    Problem("broyden_banded", _broyden_banded, (-1.0,) * 10, (0.0,)),
    # The least value is m - n in (32), m (m - 1) / (2 (2m + 1)) in (33), (m^2 + 3m - 6) / (2 (2m - 3)) in (34).
    Problem("linear_full_rank", partial(_linear_full_rank, 20), (1.0,) * 10, (10.0,)),
    Problem("linear_rank_1", partial(_linear_rank_1, 20), (1.0,) * 10, (190 / 41,)),
    Problem("linear_rank_1_zeros", partial(_linear_rank_1_zeros, 20), (1.0,) * 10, (227 / 37,)),
    Problem("chebyquad", _chebyquad, _grid(8), (3.51687e-3,)),
)

PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in _ALL}

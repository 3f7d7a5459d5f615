"""Functions with known minima, to see whether an optimizer gets there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Problem(NamedTuple):
    """Minimize `f`.

    Attributes:
      f: takes a tree of parameters, of any floating dtype, and returns a real scalar.
      start: where to begin.
      solution: where the minimum is. Its value is 0 in every problem.
    """

    f: Callable[[Any], jax.Array]
    start: Any
    solution: Any


def _quadratic(x: jax.Array) -> jax.Array:
    """An ellipsoid; its longest axis is ten times its shortest."""
    scale, centre = (jnp.asarray(v, x.dtype) for v in ([1.0, 10.0, 100.0], [1.0, -2.0, 3.0]))
    return 0.5 * jnp.sum(scale * (x - centre) ** 2)


def _rosenbrock(p: dict[str, jax.Array]) -> jax.Array:
    """A curved valley."""
    return (1.0 - p["x"]) ** 2 + 100.0 * (p["y"] - p["x"] ** 2) ** 2


def _least_squares(p: tuple[jax.Array, dict[str, jax.Array]]) -> jax.Array:
    """A plane through points that lie on it: parameters of two shapes in a nested tree."""
    weight, bias = p[0], p[1]["bias"]
    x = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 2.0]], weight.dtype)
    y = jnp.asarray([2.5, -0.5, 1.5, -3.5], weight.dtype)
    return 0.5 * jnp.mean((x @ weight + bias - y) ** 2)


def _complex_quadratic(z: jax.Array) -> jax.Array:
    """The squared distance to a point. The direction of ascent is the conjugate of what `jax.grad` returns."""
    d = z - jnp.asarray([1.0 + 2.0j, -1.0j], z.dtype)
    return jnp.sum(d.real**2 + d.imag**2)


def _floats(*values: Any) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


PROBLEMS = {
    "quadratic": Problem(_quadratic, start=_floats(0, 0, 0), solution=_floats(1, -2, 3)),
    "rosenbrock": Problem(
        _rosenbrock,
        start={"x": jnp.float32(-1.2), "y": jnp.float32(1)},
        solution={"x": jnp.float32(1), "y": jnp.float32(1)},
    ),
    "least squares": Problem(
        _least_squares,
        start=(_floats(0, 0), {"bias": jnp.float32(0)}),
        solution=(_floats(2, -1), {"bias": jnp.float32(0.5)}),
    ),
    "complex quadratic": Problem(
        _complex_quadratic, start=jnp.zeros(2, jnp.complex64), solution=jnp.asarray([1.0 + 2.0j, -1.0j], jnp.complex64)
    ),
}

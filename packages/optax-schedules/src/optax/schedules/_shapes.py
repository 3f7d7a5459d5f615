"""The shapes of a transition: how much of its initial and of its final value there is at each point of it.

A shape is a function of the fractions f and r = 1 - f of the transition that are done and left. It returns the weights
w and v = 1 - w of the two values, from 1 and 0 to 0 and 1, each without a difference that would lose its digits.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax

from optax.schedules._numbers import power_of, xp

__all__ = ["SHAPES", "Shape", "ShapeName", "cosine", "linear", "rational", "shape_of"]

Shape: TypeAlias = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
ShapeName: TypeAlias = Literal["linear", "cosine", "1-sqrt"]


def linear(f: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """w = 1 - f."""
    return r, f


def cosine(f: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """w = (1 + cos(pi f)) / 2, by half of the angle."""
    return xp.square(xp.sin(0.5 * math.pi * r)), xp.square(xp.sin(0.5 * math.pi * f))


def one_minus_sqrt(f: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """w = 1 - sqrt(f)."""
    v = power_of(f, 0.5)
    return r / (1 + v), v


def rational(f: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """w = (1 - f) / (1 - f / 2)."""
    return 2 * r / (1 + r), f / (1 + r)


SHAPES: dict[str, Shape] = {"linear": linear, "cosine": cosine, "1-sqrt": one_minus_sqrt}


def shape_of(name: str, value: Any) -> Shape:
    """The shape that goes by `value`; a ValueError names the argument, `name`, if there is none."""
    if value not in SHAPES:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, SHAPES))}, not {value!r}")
    return SHAPES[value]

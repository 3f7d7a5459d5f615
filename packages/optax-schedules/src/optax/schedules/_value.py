"""A schedule as a value: a function of the count that knows the call which made it."""

from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Numeric, Recipe, Schedule, recorded
from optax.schedules._numbers import as_steps, as_value, is_real, xp

__all__ = ["ScheduleValue", "schedule"]

P = ParamSpec("P")


class ScheduleValue:
    """A function of the number of steps made.

    `value = s(count)`: counts are integers or floats, Python's or JAX's, traced or not, scalars or arrays; a negative
    count is taken as 0. The value is a strongly typed float32 (float64 under x64) whatever the count is.

    One that was made by a factory decorated with `schedule` prints as the call that made it, equals and hashes like
    another one made by an equal call, and pickles. One that was made from a rule directly compares by that rule.

    Schedules are added, subtracted and multiplied with each other, with other functions of the count and with numbers,
    and divided by numbers: `0.5 * s + 0.1` is a schedule (`add_schedules`, `multiply_schedules`).

    Args:
      rule: the value as a function of the count; it is called with an int32 or float32 array (int64 or float64 under
        x64) of JAX that is nowhere negative.

    >>> double = ScheduleValue(lambda t: 2 * t)
    >>> double(3)
    Array(6., dtype=float32)
    >>> (1 - double / 10)(3).item()
    0.3999999761581421
    """

    __array_ufunc__ = None  # so that a NumPy number on the left leaves the arithmetic to us

    def __init__(self, rule: Callable[[jax.Array], Any]):
        self._rule = rule
        self._takes_numbers = False
        self._recipe: Recipe | None = None

    def __call__(self, count: Numeric) -> jax.Array:
        """The value after `count` steps: a scalar, or an array of the shape of `count`."""
        dtype = count.dtype if isinstance(count, jax.Array) else np.asarray(count).dtype
        if not is_real(dtype):
            raise TypeError(f"count must be a number of steps, not {count!r}")
        with np.errstate(all="ignore"):  # as in JAX
            return jnp.asarray(self._at(as_steps(count)))

    def _at(self, steps: jax.Array) -> jax.Array:
        t = xp.maximum(steps, 0)
        if jnp.issubdtype(t.dtype, np.floating):
            t = xp.minimum(t, 1e30)  # infinity would be divided by itself somewhere
        return as_value(self._rule(t if self._takes_numbers else jnp.asarray(t)))

    def __add__(self, other: Numeric | Schedule) -> "ScheduleValue":
        from optax.schedules._algebra import add_schedules  # made of this class

        return add_schedules(self, other) if _is_term(other) else NotImplemented

    def __mul__(self, other: Numeric | Schedule) -> "ScheduleValue":
        from optax.schedules._algebra import multiply_schedules

        return multiply_schedules(self, other) if _is_term(other) else NotImplemented

    __radd__ = __add__
    __rmul__ = __mul__

    def __neg__(self) -> "ScheduleValue":
        return self * -1

    def __sub__(self, other: Numeric | Schedule) -> "ScheduleValue":
        from optax.schedules._algebra import multiply_schedules

        return self + multiply_schedules(other, -1) if _is_term(other) else NotImplemented

    def __rsub__(self, other: Numeric | Schedule) -> "ScheduleValue":
        return -self + other

    def __truediv__(self, other: Numeric) -> "ScheduleValue":
        return NotImplemented if callable(other) or not _is_term(other) else self * (1 / other)

    @property
    def name(self) -> str:
        """What to call this schedule in a message."""
        return self._recipe.name if self._recipe is not None else getattr(self._rule, "__qualname__", repr(self._rule))

    def __repr__(self) -> str:
        return f"ScheduleValue({self._rule!r})" if self._recipe is None else repr(self._recipe)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScheduleValue):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __reduce__(self) -> tuple[Any, ...]:
        return (ScheduleValue, (self._rule,)) if self._recipe is None else (Recipe.__call__, (self._recipe,))

    def _identity(self) -> Recipe | Callable[[jax.Array], Any]:
        return self._rule if self._recipe is None else self._recipe


def of_numbers(rule: Callable[[jax.Array], jax.Array]) -> ScheduleValue:
    """A schedule by a rule that is written with `xp`: it takes arrays of NumPy too, and returns one of them."""
    made = ScheduleValue(rule)
    made._takes_numbers = True
    return made


def value_at(part: Schedule | Numeric, t: Numeric) -> jax.Array:
    """What a schedule, another function of the count, or a number is after `t` steps."""
    if isinstance(part, ScheduleValue):
        return part._at(as_steps(t))
    return as_value(part(jnp.asarray(as_steps(t))) if callable(part) else part)


def schedule(factory: Callable[P, ScheduleValue]) -> Callable[P, ScheduleValue]:
    """Make the results of `factory` values: decorate every function that returns a `ScheduleValue`.

    Args:
      factory: a function defined at the top level of a module (so that a pickle can find it) that returns a
        `ScheduleValue`, its own or that of another factory.

    Returns:
      The factory, with the same signature. Its results print as the call that made them, are equal and hash alike
      for equal calls, and pickle if their arguments do.
    """
    return recorded(_attach)(factory)


def _is_term(x: Any) -> bool:
    return callable(x) or isinstance(x, int | float | np.number | np.ndarray | jax.Array)


def _attach(made: ScheduleValue, recipe: Recipe) -> ScheduleValue:
    fresh = ScheduleValue(made._rule)  # the factory may have returned one that another recipe describes
    fresh._takes_numbers = made._takes_numbers
    fresh._recipe = recipe
    return fresh

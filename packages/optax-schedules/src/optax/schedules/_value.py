"""A schedule as a value: a function of the count that knows the call which made it."""

from collections.abc import Callable
from typing import Any, ParamSpec

import jax
import jax.numpy as jnp

from optax.core import Numeric, Recipe, recorded
from optax.schedules._numbers import as_steps, as_value

__all__ = ["ScheduleValue", "schedule"]

P = ParamSpec("P")


class ScheduleValue:
    """A function of the number of steps made.

    `value = s(count)`: counts are integers or floats, Python's or JAX's, traced or not, scalars or arrays; a negative
    count is taken as 0. The value is a strongly typed float32 (float64 under x64) whatever the count is.

    One that was made by a factory decorated with `schedule` prints as the call that made it, equals and hashes like
    another one made by an equal call, and pickles. One that was made from a rule directly compares by that rule.

    Args:
      rule: the value as a function of the count; it is called with an int32 or float32 array (int64 or float64 under
        x64) that is nowhere negative.

    >>> double = ScheduleValue(lambda t: 2 * t)
    >>> double(3)
    Array(6., dtype=float32)
    """

    def __init__(self, rule: Callable[[jax.Array], Any]):
        self._rule = rule
        self._recipe: Recipe | None = None

    def __call__(self, count: Numeric) -> jax.Array:
        """The value after `count` steps: a scalar, or an array of the shape of `count`."""
        return as_value(self._rule(jnp.maximum(as_steps(count), 0)))

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
        return (ScheduleValue, (self._rule,)) if self._recipe is None else (_remake, (self._recipe,))

    def _identity(self) -> Recipe | Callable[[jax.Array], Any]:
        return self._rule if self._recipe is None else self._recipe


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


def _attach(made: ScheduleValue, recipe: Recipe) -> ScheduleValue:
    fresh = ScheduleValue(made._rule)  # the factory may have returned one that another recipe describes
    fresh._recipe = recipe
    return fresh


def _remake(recipe: Recipe) -> Any:
    return recipe()

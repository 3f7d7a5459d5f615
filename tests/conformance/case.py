"""A case: one call of a factory, and up to three other computations of the same updates.

Only NumPy is imported here and in `families`: a process that has nothing but the original reads them too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Rule: TypeAlias = Callable[[list[Array], list[Array], float], list[Array]]
Rate: TypeAlias = float | Callable[[int], float]


@dataclass(frozen=True)
class Later:
    """An argument that is made with the library that the factory is taken from."""

    make: Callable[[Any], Any]


@dataclass(frozen=True)
class Independent:
    """The same optimizer in a library for PyTorch.

    Attributes:
      name: of the optimizer there, with its module.
      make: the optimizer of a list of tensors.
      differs: why its updates are others, in one sentence; None if they agree.
      step: how to make a step, from the optimizer and the value of the function; None for `optimizer.step()`.
    """

    name: str
    make: Callable[[list[Any]], Any]
    differs: str | None = None
    step: Callable[[Any, float], Any] | None = None


@dataclass(frozen=True)
class Case:
    """One call of a factory.

    Attributes:
      name: of the factory, in `optax` or `optax.contrib`.
      settings: its keyword arguments, some of them perhaps `Later`.
      numpy: makes from the initial leaves a rule `(x, g, value) -> updates` in NumPy, all of them lists over leaves.
      independent: the same optimizer in a library for PyTorch; None if none has it.
      original: why the updates of the original 0.2.8 are others, in one sentence; None if they agree.
      values: whether `update` is given the value of the function.
      extra_args: makes other arguments of `update`, from the library, the parameters, the gradients and the value.
      original_leaves: the leaves that the original can take; None for all of them, and the leaf that is None.
      batch: makes of each gradient what `update` is given in its place: one for each example, along a leading axis.
    """

    name: str
    settings: Mapping[str, Any]
    numpy: Callable[[list[Array]], Rule]
    independent: Independent | None = None
    original: str | None = None
    values: bool = False
    extra_args: Callable[[Any, Any, Any, Any], dict[str, Any]] | None = None
    original_leaves: tuple[str, ...] | None = None
    batch: Callable[[Array], Array] | None = None

    @property
    def call(self) -> str:
        """How the case is written."""
        shown = (f"{key}={_shown(value)}" for key, value in self.settings.items())
        return f"{self.name}({', '.join(shown)})"


def _shown(value: Any) -> str:
    return "..." if callable(value) or isinstance(value, Later) else repr(value)


def each_leaf(
    make_rule: Callable[[], Callable[[Array], Array]], learning_rate: Rate | None = None
) -> Callable[[list[Array]], Rule]:
    """What `Case.numpy` takes, from a rule for one array.

    Args:
      make_rule: makes a rule that takes one gradient after another and returns the direction.
      learning_rate: the update is -learning_rate * direction; for a function, that of t = 0, 1, ... None leaves the
        direction as it is.
    """
    return each_leaf_with_params(lambda x0: _of_gradient(make_rule()), learning_rate)


def _of_gradient(rule: Callable[[Array], Array]) -> Callable[[Array, Array], Array]:
    return lambda x, g: rule(g)


def each_leaf_with_params(
    make_rule: Callable[[Array], Callable[[Array, Array], Array]], learning_rate: Rate | None = None
) -> Callable[[list[Array]], Rule]:
    """The same from a rule that takes the parameter and the gradient, and is made from the initial parameter."""

    def of_leaves(x0: list[Array]) -> Rule:
        rules = [make_rule(x) for x in x0]
        t = -1

        def rule(x: list[Array], g: list[Array], value: float) -> list[Array]:
            nonlocal t
            t += 1
            rate = learning_rate(t) if callable(learning_rate) else learning_rate
            factor = 1.0 if rate is None else -rate
            return [factor * rule(x_i, g_i) for rule, x_i, g_i in zip(rules, x, g, strict=True)]

        return rule

    return of_leaves

"""The protocol: a gradient transformation is two pure functions, `init` and `update`."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import jax
import numpy as np
from jax.tree_util import GetAttrKey, register_pytree_with_keys

from optax.core._eager import FACTORY_MARK, compiled_outside_jit
from optax.core._recipe import P, Recipe, recorded

__all__ = [
    "NO_PARAMS_MSG",
    "Array",
    "ArrayTree",
    "EmptyState",
    "GradientTransformation",
    "GradientTransformationExtraArgs",
    "MaskOrFn",
    "MaskedNode",
    "Numeric",
    "OptState",
    "Params",
    "PyTree",
    "ScalarOrSchedule",
    "Schedule",
    "StatefulSchedule",
    "TransformInitFn",
    "TransformUpdateExtraArgsFn",
    "TransformUpdateFn",
    "Updates",
    "checked_transformation",
    "init_empty_state",
    "register_transformation_class",
    "transformation",
    "with_extra_args_support",
    "with_recipe",
]

Array: TypeAlias = jax.Array | np.ndarray | np.bool_ | np.number[Any]
Numeric: TypeAlias = jax.Array | np.ndarray | np.number[Any] | float | int

# Any registered pytree is accepted where these stand, a user's own dataclass too, and no annotation can say that:
# the alias names the role, `Any` is the honest type.
PyTree: TypeAlias = Any
ArrayTree: TypeAlias = Any
Params: TypeAlias = Any
Updates: TypeAlias = Any
OptState: TypeAlias = Any

Schedule: TypeAlias = Callable[[Any], Any]
"""`schedule(count)`: the value of a hyperparameter after `count` steps (a scalar, Python's or JAX's)."""

ScalarOrSchedule: TypeAlias = Numeric | Schedule

MaskOrFn: TypeAlias = PyTree | Callable[[Params], PyTree] | None
"""A tree of booleans (or a prefix of one), or a function that makes it from the parameters."""

NO_PARAMS_MSG = (
    "this transformation reads the parameters: call update(updates, state, params), and params must not be None"
)


class StatefulSchedule(Protocol):
    """A schedule whose value depends on more than the step count (a metric, say)."""

    def init(self) -> Any:
        """Return the schedule's initial state."""
        ...

    def update(self, state: Any, **extra_args: Any) -> Any:
        """Return the next state."""
        ...

    def __call__(self, state: Any, **extra_args: Any) -> Numeric:
        """Return the value in `state`."""
        ...


class TransformInitFn(Protocol):
    """`init(params)` returns the initial state of a transformation for these parameters."""

    def __call__(self, params: Params) -> OptState: ...


class TransformUpdateFn(Protocol):
    """`update(updates, state, params)` returns the transformed updates and the next state."""

    def __call__(self, updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]: ...


class TransformUpdateExtraArgsFn(Protocol):
    """An update function that takes further keyword arguments (a loss value, say) and ignores what it cannot use."""

    def __call__(
        self, updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]: ...


class _InitUpdate(NamedTuple):
    init: TransformInitFn
    update: TransformUpdateFn


class GradientTransformation(_InitUpdate):
    """A pair of pure functions that turns gradients into updates.

    `init(params)` makes the state; `update(updates, state, params)` returns the new updates, with the tree, shapes
    and dtypes of the old ones, and the new state, with those of the old state. The updates that leave the last
    transformation are *added* to the parameters (`apply_updates`).

    It is a named tuple: `init, update = tx`. One that was made by a factory decorated with `transformation` also
    knows the call that made it: it prints as that call, equals and hashes like another one made by an equal call,
    and pickles. One that was put together by hand compares by the identity of its two functions.
    """

    _recipe: Recipe | None = None

    @property
    def name(self) -> str:
        """What to call this transformation in a message: its factory's name if that is known."""
        return getattr(self.update, "__qualname__", repr(self.update)) if self._recipe is None else self._recipe.name

    def __repr__(self) -> str:
        return super().__repr__() if self._recipe is None else repr(self._recipe)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if self._recipe is None and getattr(other, "_recipe", None) is None:
            return super().__eq__(other)
        return isinstance(other, GradientTransformation) and self._recipe == other._recipe

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return super().__hash__() if self._recipe is None else hash(self._recipe)

    def __deepcopy__(self, memo: Any) -> "GradientTransformation":
        return self  # immutable

    def __reduce__(self) -> tuple[Any, ...]:
        if self._recipe is None:
            return type(self), tuple(self)
        return Recipe.__call__, (self._recipe,)


class GradientTransformationExtraArgs(GradientTransformation):
    """A gradient transformation whose `update` takes, and passes on or ignores, extra keyword arguments."""

    update: TransformUpdateExtraArgsFn


Tx = TypeVar("Tx", bound=GradientTransformation)
TxClass = TypeVar("TxClass", bound=type[GradientTransformation])


def register_transformation_class(cls: TxClass) -> TxClass:
    """Let JAX take apart and rebuild transformations of a class that has more to it than its two functions.

    JAX, and what is built on it, rebuilds a named tuple by calling its class with the fields. A class whose constructor
    takes something else, or whose instances hold more, is decorated with this.

    Args:
      cls: a subclass of `GradientTransformation`.

    Returns:
      `cls`.
    """

    def flatten(tx: Any) -> tuple[tuple[Any, Any], Any]:
        return (tx.init, tx.update), tx

    def flatten_with_keys(tx: Any) -> tuple[tuple[Any, Any], Any]:
        return ((GetAttrKey("init"), tx.init), (GetAttrKey("update"), tx.update)), tx

    def unflatten(tx: Any, pair: Any) -> Any:
        made = tuple.__new__(cls, pair)
        vars(made).update(vars(tx))
        return made

    register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


def with_recipe(tx: Tx, recipe: Recipe) -> Tx:
    """A transformation as the value of the call that made it: what `transformation` does to the results of a factory.

    Args:
      tx: a transformation.
      recipe: the call.

    Returns:
      A new one of the class of `tx` that prints, compares and pickles as the call. Its `update`, called outside of
      `jax.jit` with arrays alone, is compiled, if the arguments of the call tell all that it does: numbers, arrays,
      containers, other such values and functions of these packages and of JAX, not a function of one's own.
    """
    # A fresh pair: the factory may have returned one that another recipe describes.
    made = tuple.__new__(type(tx), (tx.init, compiled_outside_jit(tx.update, recipe)))
    vars(made).update(vars(tx), _recipe=recipe)
    return made


def transformation(factory: Callable[P, Tx]) -> Callable[P, Tx]:
    """Make the results of `factory` values: decorate every function that returns a gradient transformation.

    Args:
      factory: a function defined at the top level of a module (so that a pickle can find it) that returns a
        `GradientTransformation`.

    Returns:
      The factory, with the same signature. Its results print as the call that made them, are equal and hash alike
      for equal calls, and pickle if their arguments do; outside of `jax.jit` their updates are compiled, as by
      `with_recipe`.
    """
    decorated = recorded(with_recipe)(factory)
    setattr(decorated, FACTORY_MARK, True)
    return decorated


def _takes_any_keyword(function: Callable[..., Any]) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


class EmptyState(NamedTuple):
    """The state of a transformation that remembers nothing."""


class MaskedNode(NamedTuple):
    """What stands in a tree where a mask has taken a part away: a node without leaves."""


def init_empty_state(params: Params) -> EmptyState:
    """The `init` of a transformation that remembers nothing.

    Args:
      params: any tree; not looked at.

    Returns:
      `EmptyState()`.
    """
    del params
    return EmptyState()


def with_extra_args_support(tx: GradientTransformation) -> GradientTransformationExtraArgs:
    """Let `tx.update` accept extra keyword arguments.

    Args:
      tx: a transformation; one of another library's class will do, and is taken to use extra arguments if its
        `update` is declared with `**kwargs`.

    Returns:
      `tx` itself if it takes extra arguments, else a transformation that drops them.
    """
    if isinstance(tx, GradientTransformationExtraArgs):
        return tx
    if not isinstance(tx, GradientTransformation) and _takes_any_keyword(tx.update):
        return GradientTransformationExtraArgs(tx.init, tx.update)

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        del extra_args
        return tx.update(updates, state, params)

    return with_recipe(GradientTransformationExtraArgs(tx.init, update), Recipe.of(with_extra_args_support, tx))


def checked_transformation(name: str, tx: Any) -> GradientTransformationExtraArgs:
    """Say clearly that an argument is no transformation, where it is given.

    Args:
      name: the argument's name, for the message.
      tx: what was given.

    Returns:
      `with_extra_args_support(tx)`.

    Raises:
      TypeError: `tx` does not have the functions `init` and `update` (a factory that was not called, say).
    """
    if is_transformation(tx):
        return with_extra_args_support(tx)
    raise TypeError(f"{name} must be a transformation, not {tx!r}{hint_to_call(tx)}")


def is_transformation(tx: Any) -> bool:
    """Whether `tx` can stand where a transformation is wanted: of ours, of another library's, or of one's own class."""
    return callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))


def hint_to_call(tx: Any) -> str:
    """What to say of a factory that was not called; nothing of anything else."""
    return f"; call it: {tx.__name__}(...)" if inspect.isroutine(tx) and "<" not in tx.__name__ else ""

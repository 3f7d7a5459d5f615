"""Hyperparameters as data of an optimizer's state, to be read, changed and scheduled while it runs."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    Recipe,
    StatefulSchedule,
    Updates,
    check_dtype,
    checked_transformation,
    safe_increment,
    with_recipe,
)
from optax.schedules._roles import Role, accepts_any_name, declared_roles
from optax.schedules._stateful import WrappedScheduleState as WrappedScheduleState  # where pickles look for it

__all__ = [
    "InjectHyperparamsState",
    "InjectStatefulHyperparamsState",
    "inject_hyperparams",
    "inject_stateful_hyperparams",
]


class InjectHyperparamsState(NamedTuple):
    """The state of `inject_hyperparams` in older code, without schedules; `set_hyperparams` knows it.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      hyperparams: the hyperparameters by name: a plain dict.
      inner_state: state of the inner transformation.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    hyperparams: dict[str, Any]
    inner_state: OptState


class InjectStatefulHyperparamsState(NamedTuple):
    """State of `inject_hyperparams`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      hyperparams: the hyperparameters of the last update by name (before the first, of that one): a plain dict.
      hyperparams_states: the states of the schedules that some of them follow, by name.
      inner_state: state of the inner transformation.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    hyperparams: dict[str, Any]
    hyperparams_states: dict[str, Any]
    inner_state: OptState


def inject_hyperparams(
    inner_factory: Callable[..., GradientTransformation],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: DTypeLike | None = None,
) -> Callable[..., GradientTransformationExtraArgs]:
    """Keep the hyperparameters of an optimizer in its state, where they can be read, changed and scheduled.

        tx = inject_hyperparams(optax.adamw)(1e-3, b1=linear_schedule(0.8, 0.95, 1000))
        state = tx.init(params)
        state.hyperparams["learning_rate"]                    # a float32 scalar
        state = set_hyperparams(state, learning_rate=1e-4)    # a compiled step is not compiled again

    The update after t others makes the optimizer anew, of the numbers in the state and of schedule(t) where a schedule
    was given for a number. The state that comes out holds the values that were used.

    Annotations declare what is a hyperparameter. A parameter that may be a `float` (`Numeric`, `ScalarOrSchedule`) is
    one where it is given a number, a real array or a schedule. One annotated otherwise (`int`, `bool`, a mask, a dtype)
    decides about structure and stays as given, but for stateful schedules, and floating arrays for a `jax.Array`.
    Without annotation the value decides: floating numbers, integers (if the default is none) and functions are.

    Args:
      inner_factory: a function that returns a transformation, or anything that is called like one.
      static_args: name or names of parameters that stay as given in any case.
      hyperparam_dtype: real dtype of the hyperparameters; None for float32 (float64 under x64), whatever the parameters
        of the model are.

    Returns:
      A factory with the signature of `inner_factory`, for transformations whose state is
      `InjectStatefulHyperparamsState`. Both are values: they print as their calls, equal ones are equal, they pickle.

    Raises:
      TypeError: `inner_factory` is no function, or `hyperparam_dtype` no real floating dtype.
      ValueError: `static_args` names no parameter. The new factory raises what `inner_factory` does.
    """
    if not callable(inner_factory):
        raise TypeError(
            f"inner_factory must be a function that returns a transformation, not {inner_factory!r}: "
            "inject_hyperparams(adam)(0.1), not inject_hyperparams(adam(0.1))"
        )
    check_dtype("hyperparam_dtype", hyperparam_dtype)
    if hyperparam_dtype is not None and not jnp.issubdtype(hyperparam_dtype, jnp.floating):
        raise TypeError(f"hyperparam_dtype must be a real dtype, not {hyperparam_dtype!r}")
    static = (static_args,) if isinstance(static_args, str) else tuple(sorted({*static_args}))
    options = {"static_args": static, "hyperparam_dtype": hyperparam_dtype}
    recipe = Recipe.of(inject_hyperparams, inner_factory, **{k: v for k, v in options.items() if v not in ((), None)})
    return _Factory(inner_factory, static, hyperparam_dtype, recipe)


def inject_stateful_hyperparams(
    inner_factory: Callable[..., GradientTransformation],
    static_args: str | Iterable[str] = (),
    hyperparam_dtype: DTypeLike | None = None,
) -> Callable[..., GradientTransformationExtraArgs]:
    """`inject_hyperparams` by another name: it takes any `StatefulSchedule`, and calls it with the extra arguments.

    Args:
      inner_factory: as there.
      static_args: as there.
      hyperparam_dtype: as there.

    Returns:
      `inject_hyperparams(inner_factory, static_args, hyperparam_dtype)`.
    """
    return inject_hyperparams(inner_factory, static_args, hyperparam_dtype)


class _Factory:
    """A factory of transformations with injected hyperparameters; a value itself."""

    _makes_transformations = True  # `optax.core.testing.factories` finds it by this

    def __init__(
        self, inner_factory: Callable[..., GradientTransformation], static: tuple[str, ...], dtype: Any, recipe: Recipe
    ):
        functools.update_wrapper(self, inner_factory, updated=())
        named = inner_factory.func if isinstance(inner_factory, functools.partial) else inner_factory
        self.__name__: str = getattr(named, "__name__", type(named).__name__)
        self._inner_factory = inner_factory
        self._dtype = dtype
        self._recipe = recipe
        self._roles = declared_roles(inner_factory)
        unknown = {*static} - self._roles.keys()
        if unknown and not accepts_any_name(inner_factory):
            raise ValueError(
                f"static_args names {listed(sorted(unknown))}; the parameters of {self.__name__} are "
                f"{listed(self._roles)}"
            )
        self._roles.update(dict.fromkeys(static, Role.FIXED))

    def __call__(self, *args: Any, **kwargs: Any) -> GradientTransformationExtraArgs:
        try:
            recipe = Recipe.of(self, *args, **kwargs)
        except TypeError:
            self._inner_factory(*args, **kwargs)  # raises Python's own message, which names the function
            raise
        return with_recipe(_injected(_Call(self._inner_factory, recipe.arguments), self._roles, self._dtype), recipe)

    def __repr__(self) -> str:
        return repr(self._recipe)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Factory) and self._recipe == other._recipe

    def __hash__(self) -> int:
        return hash(self._recipe)

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe.__call__, (self._recipe,)


class _Call:
    """A call of a factory, to be made with other values for some of its arguments.

    Attributes:
      named: all arguments that go by a name, defaults and those of a `**` parameter included.
    """

    def __init__(self, factory: Callable[..., GradientTransformation], arguments: inspect.BoundArguments):
        bound = inspect.BoundArguments(arguments.signature, dict(arguments.arguments))
        bound.apply_defaults()
        self._factory = factory
        self._positional: list[str] = []
        self._rest: tuple[Any, ...] = ()
        self.named: dict[str, Any] = {}
        for p in bound.signature.parameters.values():
            x = bound.arguments[p.name]
            if p.kind is p.VAR_POSITIONAL:
                self._rest = x
            elif p.kind is p.VAR_KEYWORD:
                self.named |= x
            else:
                self.named[p.name] = x
                self._positional += [] if p.kind is p.KEYWORD_ONLY else [p.name]

    def __call__(self, values: Mapping[str, Any]) -> GradientTransformationExtraArgs:
        """The transformation, with these values in place of the arguments of their names."""
        kwargs = {**self.named, **values}
        args = [kwargs.pop(name) for name in self._positional]
        return checked_transformation("what inner_factory returns", self._factory(*args, *self._rest, **kwargs))


def _injected(call: _Call, roles: Mapping[str, Role], dtype: Any) -> GradientTransformationExtraArgs:
    """The transformation that makes the call anew in every update."""
    numbers: dict[str, Any] = {}
    schedules: dict[str, StatefulSchedule] = {}
    for name, x in call.named.items():
        role = roles.get(name, Role.UNKNOWN)
        if (schedule := role.schedule(x)) is not None:
            schedules[name] = schedule
        elif role.is_data(x):
            numbers[name] = x
    injected = [*numbers, *schedules]

    def first_states() -> tuple[dict[str, Any], dict[str, Any]]:
        """The states of the schedules before the first update, and their values then."""
        states: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for name, schedule in schedules.items():
            try:
                states[name] = jax.tree.map(_in_own_buffer, schedule.init())
                values[name] = _in_own_buffer(as_hyperparameter(name, schedule(states[name]), dtype))
            except Exception as error:
                error.add_note(
                    f"inject_hyperparams has taken {name} for a schedule; if it is none, name it in static_args"
                )
                raise
        return states, values

    call(first_states()[1])  # for its errors, which belong to this line of the user's

    def init(params: Params) -> InjectStatefulHyperparamsState:
        states, values = first_states()
        # The inner state is made from the numbers as given: its slots get the dtypes that they have without injection.
        with _noting(injected):
            inner_state = call(values).init(params)
            if values and any(map(_is_narrow, jax.tree.leaves(inner_state))):
                # A slot that is right for the first value of a schedule may be too narrow for the others.
                form = jax.eval_shape(lambda values: call(values).init(params), values)
                inner_state = jax.tree.map(_in_dtype_of, form, inner_state)
        values = {name: _in_own_buffer(as_hyperparameter(name, x, dtype)) for name, x in numbers.items()} | values
        return InjectStatefulHyperparamsState(jnp.zeros([], jnp.int32), values, states, inner_state)

    def update(
        updates: Updates, state: InjectStatefulHyperparamsState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, InjectStatefulHyperparamsState]:
        if unknown := state.hyperparams.keys() - {*injected}:
            raise ValueError(f"hyperparams has {listed(sorted(unknown))}; the injected ones are {listed(injected)}")
        values = {name: as_hyperparameter(name, x, dtype) for name, x in state.hyperparams.items()}
        states = {}
        for name, schedule in schedules.items():
            before = state.hyperparams_states[name]
            values[name] = as_hyperparameter(name, schedule(before, **extra_args), dtype)
            states[name] = jax.tree.map(_strong, schedule.update(before, **extra_args))
        with _noting(injected):
            inner = call(values)
            updates, inner_state = inner.update(updates, state.inner_state, params, **extra_args)
        return updates, InjectStatefulHyperparamsState(safe_increment(state.count), values, states, inner_state)

    return GradientTransformationExtraArgs(init, update)


_NOT_CONCRETE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


@contextlib.contextmanager
def _noting(names: Iterable[str]) -> Iterator[None]:
    """Say with an error about traced values where they come from."""
    try:
        yield
    except _NOT_CONCRETE as error:
        error.add_note(
            f"inject_hyperparams keeps {listed(names)} in the state, where compiled code finds them traced: "
            "name those of them that decide about structure in static_args"
        )
        raise


def real_array(name: str, x: Any) -> jax.Array | np.ndarray[Any, Any]:
    """`x` as an array, if its elements are real numbers."""
    array = x if isinstance(x, jax.Array) else np.asarray(x)
    if not jnp.issubdtype(array.dtype, jnp.number) or jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{name} must be a real number, not {x!r}")
    return array


def as_hyperparameter(name: str, x: Any, dtype: Any = None) -> jax.Array:
    """`x` as strongly typed data, of this dtype; None for its own if it is a floating array of 32 bits or more."""
    array = real_array(name, x)
    strong = isinstance(array, jax.Array) and not array.weak_type
    if dtype is None and strong and jnp.issubdtype(array.dtype, jnp.floating) and not _is_narrow(array):
        dtype = array.dtype
    return jnp.asarray(array, jax.dtypes.canonicalize_dtype(float if dtype is None else dtype))


def _in_dtype_of(form: Any, x: Any) -> Any:
    return x if x.dtype == form.dtype else x.astype(form.dtype)


def _strong(x: Any) -> jax.Array:
    """`x` as an array of a strong type."""
    x = jnp.asarray(x)
    return jnp.asarray(x, x.dtype) if x.weak_type else x


def _in_own_buffer(x: Any) -> jax.Array:
    """A copy of `x`, so that it can be donated."""
    return jnp.array(_strong(x), copy=True)


def _is_narrow(x: Any) -> bool:
    """Whether `x` is an array of floating numbers of 16 bits or fewer."""
    dtype = getattr(x, "dtype", np.dtype(object))
    return bool(jnp.issubdtype(dtype, jnp.inexact)) and dtype.itemsize < 4


def listed(names: Iterable[str]) -> str:
    """Names, for a message."""
    return ", ".join(map(repr, names)) or "none"

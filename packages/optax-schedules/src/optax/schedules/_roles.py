"""Which arguments of a factory are numbers, to be kept as data, and which decide about structure: as declared."""

from __future__ import annotations

import enum
import functools
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import StatefulSchedule
from optax.schedules._stateful import WrappedSchedule, is_stateful

__all__ = ["Role", "accepts_any_name", "declared_roles"]


class Role(enum.Enum):
    """What a parameter is declared to be."""

    FIXED = "stays as given, whatever is passed"
    STRUCTURE = "annotated, and neither as a number nor as an array"
    ARRAY = "annotated as an array of any dtype: floating ones are data"
    NUMBER = "annotated as something that may be a float"
    UNKNOWN = "not annotated"
    UNKNOWN_INTEGER = "not annotated, and an integer by default"

    def is_data(self, x: Any) -> bool:
        """Whether `x`, passed for such a parameter, is a hyperparameter."""
        if self is Role.NUMBER:
            return _is_floating(x) or _is_integer(x)
        if self is Role.ARRAY:
            return isinstance(x, jax.Array) and _is_floating(x)
        if self is Role.UNKNOWN:
            return _is_floating(x) or (_is_integer(x) and np.ndim(x) == 0)
        return self is Role.UNKNOWN_INTEGER and _is_floating(x)

    def schedule(self, x: Any) -> StatefulSchedule | None:
        """`x` as the schedule that it is, passed for such a parameter; None if it is none."""
        if self is not Role.FIXED and is_stateful(x):
            return x
        takes_functions = self in (Role.NUMBER, Role.UNKNOWN, Role.UNKNOWN_INTEGER)
        return WrappedSchedule(x) if takes_functions and callable(x) and not isinstance(x, type) else None


def declared_roles(factory: Callable[..., Any]) -> dict[str, Role]:
    """The role of each parameter that has a name of its own."""
    named = factory.func if isinstance(factory, functools.partial) else factory
    written = inspect.unwrap(named)
    namespace = getattr(written, "__globals__", None) or vars(sys.modules.get(written.__module__, typing))
    return {p.name: _role(p, namespace) for p in inspect.signature(factory).parameters.values() if not _is_variadic(p)}


def accepts_any_name(factory: Callable[..., Any]) -> bool:
    """Whether a factory has a `**` parameter."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())


def _is_variadic(p: inspect.Parameter) -> bool:
    return p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)


def _role(p: inspect.Parameter, namespace: Mapping[str, Any]) -> Role:
    members = [*_members(_resolved(p.annotation, namespace))]  # no set: anything may be written there
    if members in ([inspect.Parameter.empty], [Any]):
        return Role.UNKNOWN_INTEGER if isinstance(p.default, int) else Role.UNKNOWN
    if any(m in (float, numbers.Real) or (isinstance(m, type) and issubclass(m, np.floating)) for m in members):
        return Role.NUMBER
    return Role.ARRAY if jax.Array in members else Role.STRUCTURE


def _resolved(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """What an annotation means; what cannot be found out counts as not written."""
    try:
        holder = types.SimpleNamespace(__annotations__={"x": annotation})
        return typing.get_type_hints(holder, dict(namespace))["x"]
    except Exception:  # it may be any expression, of names that only type checkers import
        return inspect.Parameter.empty


def _members(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, each without its parameters."""
    annotation = getattr(annotation, "__value__", getattr(annotation, "__supertype__", annotation))
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _members(member)
    else:
        yield annotation if origin is None else origin


def _is_floating(x: Any) -> bool:
    return isinstance(x, float) or bool(jnp.issubdtype(_dtype(x), jnp.floating))


def _is_integer(x: Any) -> bool:
    return (isinstance(x, int) and not isinstance(x, bool)) or bool(jnp.issubdtype(_dtype(x), jnp.integer))


def _dtype(x: Any) -> Any:
    """The dtype of an array; one that is no number of anything else."""
    return x.dtype if isinstance(x, (jax.Array, np.ndarray, np.generic)) else np.dtype(object)

"""The call that made a value, remembered so that the value can be printed, compared and pickled.

A closure cannot say where it came from. A factory decorated with `recorded` hands each of its results a
`Recipe`: the factory and its bound arguments. Transformations and schedules take their `repr`, their equality,
their hash and their pickled form from it.
"""

import collections
import dataclasses
import enum
import functools
import importlib
import inspect
import math
import pickle
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np

from optax.core._numerics import holds_random_key

__all__ = ["Recipe", "recorded"]

P = ParamSpec("P")
R = TypeVar("R")


class Recipe:
    """A factory and the arguments of one call to it.

    Two recipes are equal when factory and arguments are: arrays by dtype, shape and contents, containers member
    by member, everything else by its own equality. What cannot be hashed (a mutable object of the user's) is equal
    to itself only.

    The factory may itself be a value that a call has made, and has the recipe of that call as `_recipe`: it is then
    printed as that call, and compared and pickled as a value.
    """

    __slots__ = ("arguments", "factory")

    def __init__(self, factory: Callable[..., Any], arguments: inspect.BoundArguments):
        copied = {name: _copied(x) for name, x in arguments.arguments.items()}
        self.factory = factory
        self.arguments = inspect.BoundArguments(arguments.signature, copied)

    @classmethod
    def of(cls, factory: Callable[..., Any], *args: Any, **kwargs: Any) -> "Recipe":
        """The recipe `factory(*args, **kwargs)`."""
        return cls(factory, inspect.signature(factory).bind(*args, **kwargs))

    @property
    def name(self) -> str:
        """The factory's bare name, for messages."""
        return str(self.factory.__name__)

    def __call__(self) -> Any:
        """Make the value again."""
        return self.factory(*self.arguments.args, **self.arguments.kwargs)

    def __repr__(self) -> str:
        shown = []
        keyword_from_here = False
        for parameter in self.arguments.signature.parameters.values():
            if parameter.name not in self.arguments.arguments:  # left at its default
                keyword_from_here = True
                continue
            value = self.arguments.arguments[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                shown += [_show(v) for v in value]
            elif parameter.kind is parameter.VAR_KEYWORD:
                shown += [f"{k}={_show(v)}" for k, v in value.items()]
            elif keyword_from_here or parameter.kind is parameter.KEYWORD_ONLY:
                shown.append(f"{parameter.name}={_show(value)}")
            else:
                shown.append(_show(value))
        return f"{self._spelled_factory()}({', '.join(shown)})"

    def _spelled_factory(self) -> str:
        if _is_made(self.factory):
            return repr(self.factory)
        return ".".join(address(self.factory) or (self.factory.__module__, self.factory.__qualname__))

    def _key(self) -> Hashable:
        bound = inspect.BoundArguments(self.arguments.signature, dict(self.arguments.arguments))
        bound.apply_defaults()
        return self.factory, tuple(_key(v) for v in bound.arguments.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        if _is_made(self.factory):
            return _recipe_of, (self.factory, self.arguments.args, self.arguments.kwargs)
        found = address(self.factory)
        if found is None:
            raise pickle.PicklingError(
                f"{self.factory.__qualname__} cannot be found in {self.factory.__module__}: "
                "define the factory at the top level of a module"
            )
        return _recipe_at, (*found, self.arguments.args, self.arguments.kwargs)


def recorded(attach: Callable[[R, Recipe], R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for factories: `attach(result, recipe)` is returned in place of each result."""

    def decorate(factory: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(factory)  # once, not at every call

        @functools.wraps(factory)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                return factory(*args, **kwargs)  # raises Python's own message, which names the function
            recipe = Recipe(call, bound)
            return attach(factory(*recipe.arguments.args, **recipe.arguments.kwargs), recipe)

        return call

    return decorate


def _is_made(factory: Any) -> bool:
    """Whether a factory is a value that a call has made."""
    return isinstance(getattr(factory, "_recipe", None), Recipe)


def _copied(x: Any) -> Any:
    """`x`, so that it stays what it is when the caller changes a dict, a list or an array of theirs."""
    if type(x) in (dict, collections.OrderedDict):
        return type(x)((k, _copied(v)) for k, v in x.items())
    if type(x) is np.ndarray:
        return x.copy()
    return type(x)(map(_copied, x)) if type(x) in (list, tuple) else x


def address(thing: Any) -> tuple[str, str] | None:
    """The module and the name that `thing` can be imported by: its public package if that has it, else its module."""
    module = getattr(thing, "__module__", None)
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if name is None:
        return None
    public = [] if module is None else [module.split("._", 1)[0], module]
    for home in ["jax.nn", "jax.random", *public, "jax.numpy", "numpy"]:
        if _attribute(sys.modules.get(home), name) is thing:
            return home, name
    return None


def _attribute(module: Any, name: str) -> Any:
    """What goes by a dotted name in a module, or None."""
    first, *rest = name.split(".")
    found = vars(module).get(first) if module is not None else None  # `getattr` would run a module's own __getattr__
    for part in rest:
        found = getattr(found, part, None)
    return found


def _recipe_at(module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
    return _recipe_of(_attribute(importlib.import_module(module), name), args, kwargs)


def _recipe_of(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
    return Recipe.of(factory, *args, **kwargs)


def _key(x: Any) -> Hashable:
    """Something hashable that is equal for equal values of `x`."""
    if isinstance(x, jax.core.Tracer):
        return _ByIdentity(x)
    if holds_random_key(x):
        return str(x.dtype), _key(jax.random.key_data(x))
    if isinstance(x, (np.ndarray, np.generic, jax.Array)):
        value = np.asarray(x)
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(x, np.dtype):  # equal to its name and its class, but of another hash
        return np.dtype, str(x)
    if isinstance(x, Mapping):
        items = ((k, _key(v)) for k, v in x.items())
        return type(x), frozenset(items) if type(x) is dict else tuple(items)
    if isinstance(x, (set, frozenset)):
        return type(x), frozenset(map(_key, x))
    if isinstance(x, list) or (isinstance(x, tuple) and type(x).__hash__ is tuple.__hash__):
        return type(x), tuple(map(_key, x))
    if isinstance(x, functools.partial):
        return functools.partial, _key(x.func), _key(x.args), _key(x.keywords)
    try:
        hash(x)
    except TypeError:
        return _ByIdentity(x)
    hashable: Hashable = x
    return hashable


class _ByIdentity:
    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _show(x: Any) -> str:
    """Source text for `x`, given the modules that it names; its own `repr` where there is none."""
    if isinstance(x, jax.core.Tracer):
        return repr(x)
    if holds_random_key(x):
        return f"jax.random.wrap_key_data({_show(jax.random.key_data(x))}, impl={str(jax.random.key_impl(x))!r})"
    if isinstance(x, (jax.Array, np.ndarray, np.generic)):
        return _show_array(x)
    if isinstance(x, np.dtype):
        return f"jax.numpy.dtype({x.name!r})"
    if isinstance(x, float) and not math.isfinite(x):
        return f"float('{x}')"
    if type(x) is dict:
        return f"{{{', '.join(f'{_show(k)}: {_show(v)}' for k, v in x.items())}}}"
    if type(x) is list:
        return f"[{_listed(x)}]"
    if type(x) is tuple:
        return f"({_listed(x)}{',' * (len(x) == 1)})"
    if isinstance(x, functools.partial):
        return f"functools.partial({_listed([x.func, *x.args], x.keywords)})"
    if isinstance(x, enum.Enum):
        return f"{_show(type(x))}.{x.name}"
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return repr(x) if getattr(x, "_recipe", None) else f"{_show(type(x))}({_listed(x)})"
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return f"{_show(type(x))}({_listed((), {f.name: getattr(x, f.name) for f in dataclasses.fields(x) if f.init})})"
    found = address(x)
    if found is None:
        return repr(x)
    return found[1] if found[0] == "builtins" else ".".join(found)


def _listed(args: Iterable[Any], kwargs: Mapping[str, Any] | None = None) -> str:
    return ", ".join([*map(_show, args), *(f"{name}={_show(v)}" for name, v in (kwargs or {}).items())])


def _show_array(x: Any) -> str:
    if isinstance(x, np.generic) and getattr(np, type(x).__name__, None) is type(x):
        return f"numpy.{type(x).__name__}({_show(x.item())})"
    module = "numpy" if isinstance(x, np.ndarray) else "jax.numpy"
    if not x.size:
        return f"{module}.zeros({x.shape}, dtype={str(x.dtype)!r})"
    return f"{module}.array({_show(x.tolist())}, dtype={str(x.dtype)!r})"

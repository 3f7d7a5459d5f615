"""The call that made a value, remembered so that the value can be printed, compared and pickled.

A closure cannot say where it came from. A factory decorated with `recorded` hands each of its results a
`Recipe`: the factory and its bound arguments. Transformations and schedules take their `repr`, their equality,
their hash and their pickled form from it.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Recipe", "recorded"]

P = ParamSpec("P")
R = TypeVar("R")


class Recipe:
    """A factory and the arguments of one call to it.

    Two recipes are equal when factory and arguments are: arrays by dtype, shape and contents, containers member
    by member, everything else by its own equality. What cannot be hashed (a mutable object of the user's) is equal
    to itself only.
    """

    __slots__ = ("arguments", "factory")

    def __init__(self, factory: Callable[..., Any], arguments: inspect.BoundArguments):
        self.factory = factory
        self.arguments = arguments

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
        module, name = address(self.factory)
        return f"{module}.{name}({', '.join(shown)})"

    def _key(self) -> Hashable:
        bound = inspect.BoundArguments(self.arguments.signature, dict(self.arguments.arguments))
        bound.apply_defaults()
        return self.factory, tuple(_key(v) for v in bound.arguments.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __reduce__(self) -> tuple[Any, ...]:
        return _recipe_at, (*address(self.factory), self.arguments.args, self.arguments.kwargs)


def recorded(attach: Callable[[R, Recipe], R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for factories: `attach(result, recipe)` is returned in place of each result."""

    def decorate(factory: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(factory)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            result = factory(*args, **kwargs)  # first, so that wrong arguments meet Python's own message
            return attach(result, Recipe.of(call, *args, **kwargs))

        return call

    return decorate


def address(thing: Any) -> tuple[str, str]:
    """Module and name under which `thing` is imported: its public package if that has it, else where it is defined."""
    module, name = thing.__module__, thing.__qualname__
    public = module.split("._", 1)[0]
    return (public if getattr(sys.modules.get(public), name, None) is thing else module), name


def _recipe_at(module: str, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recipe:
    return Recipe.of(getattr(importlib.import_module(module), name), *args, **kwargs)


def _key(x: Any) -> Hashable:
    """Something hashable that is equal for equal values of `x`."""
    if isinstance(x, jax.core.Tracer):
        return _ByIdentity(x)
    if _is_random_key(x):
        return str(x.dtype), _key(jax.random.key_data(x))
    if isinstance(x, (np.ndarray, np.generic, jax.Array)):
        value = np.asarray(x)
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(x, Mapping):
        return type(x), tuple((k, _key(v)) for k, v in x.items())
    if type(x) in (list, tuple, set) or (isinstance(x, tuple) and type(x).__hash__ is tuple.__hash__):
        return type(x), tuple(map(_key, x))
    if isinstance(x, functools.partial):
        return functools.partial, _key(x.func), _key(x.args), _key(x.keywords)
    try:
        hash(x)
    except TypeError:
        return _ByIdentity(x)
    return x  # type: ignore[no-any-return]


def _is_random_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


class _ByIdentity:
    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _show(x: Any) -> str:
    """Source text for `x`, given the modules that it names."""
    if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) and not _is_random_key(x):
        return f"jax.numpy.array({x.tolist()!r}, dtype={str(x.dtype)!r})"
    if isinstance(x, np.ndarray):
        return f"numpy.array({x.tolist()!r}, dtype={str(x.dtype)!r})"
    if isinstance(x, np.generic):
        return f"numpy.{type(x).__name__}({x.item()!r})"
    name = getattr(x, "__name__", None)
    if name is not None and getattr(jnp, name, None) is x:
        return f"jax.numpy.{name}"
    if type(x) is dict:
        return "{" + ", ".join(f"{_show(k)}: {_show(v)}" for k, v in x.items()) + "}"
    if type(x) is list:
        return f"[{', '.join(map(_show, x))}]"
    if type(x) is tuple:
        return f"({', '.join(map(_show, x))}{',' * (len(x) == 1)})"
    if isinstance(x, functools.partial):
        rest = [_show(v) for v in x.args] + [f"{k}={_show(v)}" for k, v in x.keywords.items()]
        return f"functools.partial({', '.join([_show(x.func), *rest])})"
    if inspect.isroutine(x) or inspect.isclass(x):
        module, name = address(x)
        if "<" not in name:  # neither a lambda nor local to a function
            return name if module == "builtins" else f"{module}.{name}"
    return repr(x)

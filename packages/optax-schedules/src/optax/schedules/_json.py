"""Schedules as JSON: the calls that make them.

A schedule is an object whose key "@schedule" has the name of its factory; the other keys are arguments. What JSON has
no form for is an object with another key that begins with "@", which no argument can.
"""

import contextlib
import functools
import inspect
import json
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Recipe
from optax.schedules._value import ScheduleValue

__all__ = ["schedule_from_json", "schedule_to_json"]

Factories: TypeAlias = Mapping[str, Callable[..., ScheduleValue]]

_SCHEDULE, _FLOAT, _TUPLE, _DICT = "@schedule", "@float", "@tuple", "@dict"
_ARRAYS: dict[str, Callable[..., Any]] = {"@jax": jnp.array, "@numpy": np.array, "@numpy_scalar": lambda x: x[()]}
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def schedule_to_json(schedule: ScheduleValue, *, indent: int | None = None) -> str:
    """The call that made a schedule, as JSON, for configurations and checkpoints.

    Numbers, strings, None, lists, tuples, dicts, arrays and schedules can be arguments of the call, nested as you
    like; arrays keep their dtype.

    Args:
      schedule: the result of a factory of `optax.schedules`, or of your own that is decorated with
        `optax.schedules.schedule`.
      indent: how many spaces to indent each level by; None for a single line.

    Returns:
      Strict JSON, the same for equal calls that are spelled alike. `schedule_from_json` makes an equal schedule of it.

    Raises:
      TypeError: the schedule was not made by a factory, or an argument is a plain function, a traced value, or
        something else that JSON cannot hold; the message says where.

    >>> from optax.schedules import constant_schedule, join_schedules
    >>> schedule_to_json(join_schedules([constant_schedule(0.1)], []))
    '{"@schedule": "join_schedules", "schedules": [{"@schedule": "constant_schedule", "value": 0.1}], "boundaries": []}'
    """
    if not isinstance(schedule, ScheduleValue):
        raise TypeError(f"schedule must be the result of a factory of schedules, not {schedule!r}")
    return json.dumps(_written(schedule, ""), indent=indent, allow_nan=False)


def schedule_from_json(text: str, factories: Iterable[Callable[..., ScheduleValue]] = ()) -> ScheduleValue:
    """The schedule that `schedule_to_json` has written.

    The text may come from anywhere: its names are looked up among the factories, and nothing is imported or evaluated.

    Args:
      text: what `schedule_to_json` returned, or the like.
      factories: your own factories, decorated with `optax.schedules.schedule`, which the text may name besides those
        of `optax.schedules`.

    Returns:
      A schedule equal to the one that was written.

    Raises:
      ValueError: the text is no such JSON, or names an unknown factory, or an array has a dtype that JAX has not
        enabled.
      TypeError: something in `factories` is no such factory.
      Exception: what a factory raises for its arguments, with a note that says where it was called.

    >>> schedule_from_json('{"@schedule": "linear_schedule", "init_value": 0, "end_value": 1, "transition_steps": 5}')
    optax.schedules.linear_schedule(0, 1, 5)
    """
    known = dict(_public_factories())
    for factory in factories:
        name = getattr(factory, "__name__", None)
        if name is None or not hasattr(factory, "__wrapped__"):
            raise TypeError(f"factories must be decorated with optax.schedules.schedule, {factory!r} is not")
        if known.setdefault(name, factory) is not factory:
            raise ValueError(f"factories has another {name!r} than {_address(known[name])}: rename it")
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"text is not JSON: {error}") from error
    if not (isinstance(data, dict) and _SCHEDULE in data):
        raise ValueError(f"text must be a JSON object with the key {_SCHEDULE!r}, not {_shortened(data)}")
    return _schedule(data, "", known)


@functools.cache
def _public_factories() -> dict[str, Callable[..., ScheduleValue]]:
    from optax import schedules  # complete only after this file

    decorated = {name: x for name, x in vars(schedules).items() if inspect.isfunction(x) and hasattr(x, "__wrapped__")}
    return {
        name: x
        for name, x in decorated.items()
        if not name.startswith("_") and x.__annotations__.get("return") in (ScheduleValue, "ScheduleValue")
    }


def _address(factory: Any) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _written(x: Any, path: str) -> Any:
    """What stands for `x` in JSON; `path` says where it is: "join_schedules.schedules[1]"."""
    if isinstance(x, ScheduleValue):
        recipe = x._recipe
        if recipe is None:
            raise TypeError(f"{path or 'schedule'} was made from a rule, not by a factory: {x!r} cannot be written")
        name = recipe.name
        if _public_factories().get(name, recipe.factory) is not recipe.factory:
            raise TypeError(
                f"{path or 'schedule'} was made by {_address(recipe.factory)}, which has the name of a factory of "
                "optax.schedules: rename it"
            )
        given = recipe.arguments.arguments
        return {_SCHEDULE: name} | {k: _written_argument(v, f"{path or name}.{k}", k, recipe) for k, v in given.items()}
    if isinstance(x, jax.core.Tracer):
        raise TypeError(f"{path} is traced: {x!r} has no number yet that could be written")
    if x is None or type(x) in (bool, int, str):
        return x
    if type(x) is float:
        return x if math.isfinite(x) else {_FLOAT: str(x)}
    if type(x) in (list, tuple):
        items = [_written(item, f"{path}[{i}]") for i, item in enumerate(x)]
        return items if type(x) is list else {_TUPLE: items}
    if type(x) is dict:
        values = {k: _written(v, f"{path}[{k!r}]") for k, v in x.items()}
        if all(type(k) is str and not k.startswith("@") for k in x):
            return values
        return {_DICT: [[_written(k, f"{path}: key {k!r}"), v] for k, v in values.items()]}
    if isinstance(x, (jax.Array, np.ndarray, np.generic)) and (wide := _wide(x.dtype)) is not None:
        kind = "@jax" if isinstance(x, jax.Array) else "@numpy" if isinstance(x, np.ndarray) else "@numpy_scalar"
        array = np.asarray(x)
        items = [_written(item, path) for item in array.astype(wide).ravel().tolist()]
        return {kind: items, "dtype": str(array.dtype), "shape": [*array.shape]}
    hint = "; a factory decorated with optax.schedules.schedule makes schedules that can" if callable(x) else ""
    raise TypeError(f"{path} cannot be written as JSON: {x!r}{hint}")


def _written_argument(x: Any, path: str, name: str, recipe: Recipe) -> Any:
    kind = recipe.arguments.signature.parameters[name].kind
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return _written([*x], path)
    if kind is inspect.Parameter.VAR_KEYWORD:
        return _written(dict(x), path)
    return _written(x, path)


def _wide(dtype: Any) -> np.dtype[Any] | None:
    """The dtype that holds all numbers of another one and lists them as Python's; None if they are no real numbers."""
    pairs = ((np.bool_, bool), (np.signedinteger, np.int64), (np.unsignedinteger, np.uint64), (np.floating, float))
    return next((np.dtype(wide) for kind, wide in pairs if jnp.issubdtype(dtype, kind) and dtype.itemsize <= 8), None)


def _schedule(data: dict[str, Any], path: str, known: Factories) -> ScheduleValue:
    name = data[_SCHEDULE]
    where = path or "text"
    if not isinstance(name, str) or name not in known:
        close = get_close_matches(name, known, n=1) if isinstance(name, str) else []
        raise ValueError(
            f"{where} names an unknown factory {name!r}"
            + "".join(f"; did you mean {other!r}?" for other in close)
            + ("" if close else "; give your own ones as `factories`")
        )
    path = path or name
    arguments = {k: _read(v, f"{path}.{k}", known) for k, v in data.items() if k != _SCHEDULE}
    try:
        made = _call(known[name], arguments)
        recipe = made._recipe if isinstance(made, ScheduleValue) else None
        if recipe is None or recipe.factory is not known[name]:
            raise TypeError(f"{name} is not decorated with optax.schedules.schedule: it has made {made!r}")
    except Exception as error:
        error.add_note(f"at {path} in the text")
        raise
    return made


def _call(factory: Callable[..., ScheduleValue], arguments: dict[str, Any]) -> ScheduleValue:
    signature = inspect.signature(factory)
    bound = inspect.BoundArguments(signature, OrderedDict())
    for name, parameter in signature.parameters.items():
        if name in arguments:
            x = arguments.pop(name)
            if parameter.kind is parameter.VAR_POSITIONAL and type(x) is not list:
                raise TypeError(f"{name} must be a list, not {x!r}")
            if parameter.kind is parameter.VAR_KEYWORD and type(x) is not dict:
                raise TypeError(f"{name} must be a dict, not {x!r}")
            bound.arguments[name] = x
    return factory(*bound.args, **bound.kwargs, **arguments)  # what is left are names that it does not know


def _read(data: Any, path: str, known: Factories) -> Any:
    """The inverse of `_written`."""
    if isinstance(data, list):
        return [_read(item, f"{path}[{i}]", known) for i, item in enumerate(data)]
    if not isinstance(data, dict):
        return data
    if _SCHEDULE in data:
        return _schedule(data, path, known)
    if not any(key.startswith("@") for key in data):
        return {k: _read(v, f"{path}[{k!r}]", known) for k, v in data.items()}
    match data:
        case {"@float": str(name), **rest} if name in _FLOATS and not rest:
            return _FLOATS[name]
        case {"@tuple": list(items), **rest} if not rest:
            return tuple(_read(items, path, known))
        case {"@dict": list(pairs), **rest} if not rest and all(isinstance(p, list) and len(p) == 2 for p in pairs):
            keys = [_read(k, f"{path}: key {i}", known) for i, (k, _) in enumerate(pairs)]
            values = [_read(v, f"{path}[{k!r}]", known) for k, (_, v) in zip(keys, pairs, strict=True)]
            with contextlib.suppress(TypeError):  # a key that cannot be one, such as a list
                return dict(zip(keys, values, strict=True))
        case {"dtype": str(dtype), "shape": list(shape), **rest} if len(rest) == 1:
            ((kind, items),) = rest.items()
            if kind in _ARRAYS and isinstance(items, list):
                return _array(kind, [_read(item, path, known) for item in items], dtype, shape, path)
    raise ValueError(f"{path} must be something that schedule_to_json writes, not {_shortened(data)}")


def _array(kind: str, items: list[Any], name: str, shape: list[Any], path: str) -> Any:
    try:
        dtype = jnp.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    wide = _wide(dtype)
    if wide is None:
        raise ValueError(f"{path} must have a dtype of real numbers, not {name!r}")
    types: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}
    if not all(type(n) is int and n >= 0 for n in shape) or math.prod(shape) != len(items):
        raise ValueError(f"{path} has {len(items)} numbers, not those of the shape {shape}")
    limits = np.iinfo(wide if wide.kind in "iu" else np.int64)  # Python's integers have none
    fits = all(type(x) in types[wide.kind] and (type(x) is not int or limits.min <= x <= limits.max) for x in items)
    exact = np.array(items if fits else [], wide)
    array = exact.astype(dtype)
    if not fits or (wide.kind != "f" and not np.array_equal(array.astype(wide), exact)):
        raise ValueError(f"{path} must hold numbers of dtype {name}, not {_shortened(items)}")
    made = _ARRAYS[kind](array.reshape(shape))
    if made.dtype != dtype:
        raise ValueError(f"{path} has the dtype {name}, which JAX has not enabled: set jax_enable_x64")
    return made


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object, of which Python would drop what comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"text has a key twice in one object: {[name for name, _ in pairs]}")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"text is not JSON: it has no {name}")


def _shortened(data: Any) -> str:
    shown = repr(data)
    return shown if len(shown) <= 80 else shown[:77] + "..."

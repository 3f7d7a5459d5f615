"""What the contracts read from the signature of a public function."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def examples(function: Callable[..., Any], known: Mapping[str, Any], table: str) -> dict[str, Any]:
    """An example for every required parameter, taken by name; `table` is where a missing one has to be added."""
    parameters = inspect.signature(function).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty]
    if unknown := sorted({*required} - known.keys()):
        raise KeyError(f"{table} has no example for {function.__name__}'s parameter(s) {unknown}")
    return {name: known[name] for name in required}


def undocumented(function: Callable[..., Any]) -> list[str]:
    """The parameters, and "Returns", as far as the docstring has no entry for them."""
    doc = function.__doc__ or ""
    return [name for name in [*inspect.signature(function).parameters, "Returns"] if f"{name}:" not in doc]

"""What existing code calls, written down in names.txt: each name resolves, and can be called as there.

A line is a name with the parameters of a function or class in parentheses (`...` stands for a default that has no
short spelling), with the fields of a named tuple in brackets, or with neither.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

LINES = Path(__file__).with_name("names.txt").read_text().splitlines()

# Defaults that differ on purpose, each a row of docs/differences.md.
OTHER_DEFAULTS = {("optax.MultiSteps", "accumulator_dtype"), ("optax.transforms.MultiSteps", "accumulator_dtype")}


def resolve(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def expected(parameters: str) -> list[tuple[str, Any, Any]]:
    """(name, kind, default) of each parameter in a signature's text."""
    namespace: dict[str, Any] = {}
    exec(f"def f{parameters}: pass", namespace)
    return [(p.name, p.kind, p.default) for p in inspect.signature(namespace["f"]).parameters.values()]


@pytest.mark.parametrize("line", LINES)
def test_existing_code_finds_it(line: str) -> None:
    name, fields, parameters = re.fullmatch(r"([\w.]+)(?:\[(.*)\]|(\(.*\)))?", line).groups()  # type: ignore[union-attr]
    thing = resolve(name)
    if fields is not None:
        wanted = [f for f in fields.split(", ") if f]
        assert list(thing._fields[: len(wanted)]) == wanted
        assert {*thing._fields[len(wanted) :]} <= {*thing._field_defaults}  # can be left out
    if parameters is not None:
        ours = list(inspect.signature(thing).parameters.values())
        theirs = expected(parameters)
        for i, (parameter, kind, default) in enumerate(theirs):
            mine = next(p for p in ours if p.name == parameter)
            if kind is not inspect.Parameter.KEYWORD_ONLY:
                assert ours.index(mine) == i
            assert mine.kind is kind
            needed = default is inspect.Parameter.empty  # may be optional here
            if not needed and (name, parameter) not in OTHER_DEFAULTS:
                assert (mine.default == default) or default is ...
        required = {p.name for p in ours if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        assert required <= {parameter for parameter, _, _ in theirs}

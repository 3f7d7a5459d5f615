"""Functions and usage against the original 0.2.8; `hatch run compat:record` records what it does."""

import builtins
from collections.abc import Mapping

import pytest

import optax
from compat import programs
from compat.states import Described, compared
from conformance import engine

RECORD: Mapping[str, Described | str] = engine.read_record()["programs"]

BOUND = 1e-4  # of programs of several steps

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # older names are among what is called


@pytest.mark.parametrize("call", programs.EXPRESSIONS)
def test_values_are_those_of_the_original(call: str) -> None:
    """In their containers, with their shapes and dtypes too; where a reason is given, they differ."""
    theirs = RECORD[call]
    if isinstance(theirs, str):
        with pytest.raises(getattr(builtins, theirs.partition("(")[0])):
            programs.result(call, optax)
        return
    differ = [*compared(programs.result(call, optax), theirs)]
    assert bool(differ) == (programs.EXPRESSIONS[call] is not None), differ


@pytest.mark.parametrize("name", programs.PROGRAMS)
def test_programs_do_what_they_do_with_the_original(name: str) -> None:
    theirs = RECORD[name]
    assert not isinstance(theirs, str), theirs
    differ = {*compared(programs.result(name, optax), theirs, BOUND)}
    assert not differ

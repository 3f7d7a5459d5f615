"""Every public factory of transformations keeps every part of the contract."""

import functools
from typing import Any

import pytest

from contract import calls
from contract.calls import FACTORIES
from contract.quirks import QUIRKS
from contract.signatures import undocumented
from optax.core.testing import CHECKS, Subject

TRANSFORMATIONS = list(calls.all_calls())


@functools.lru_cache(maxsize=1)  # all checks of one transformation come one after another
def subject(name: str, tx: Any) -> Subject:
    return calls.subject(name, tx)


def _cases() -> list[Any]:
    cases = []
    for name, tx in TRANSFORMATIONS:
        for check in CHECKS:
            reason = QUIRKS.get((repr(tx), check))
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            cases.append(pytest.param(name, tx, check, marks=marks, id=f"{repr(tx).replace('optax.', '')}-{check}"))
    return cases


@pytest.mark.parametrize(("name", "tx", "check"), _cases())
def test_contract(name: str, tx: Any, check: str) -> None:
    CHECKS[check](Subject(tx) if check == "is_a_value" else subject(name, tx))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_there_are_calls_of_every_factory(name: str) -> None:
    assert list(calls.calls(name))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_docstring_covers_the_arguments(name: str) -> None:
    assert undocumented(FACTORIES[name]) == []


def test_the_tables_are_about_what_exists() -> None:
    assert {*calls.EXTRA_ARGS, *calls.ADAPTERS, *calls.POSITIONAL, *calls.VARIANTS} <= set(FACTORIES)
    assert set(QUIRKS) <= {(repr(tx), check) for _, tx in TRANSFORMATIONS for check in CHECKS}

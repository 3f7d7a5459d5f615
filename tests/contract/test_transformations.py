"""Every public factory of transformations keeps every part of the contract."""

from typing import Any

import pytest

import optax
from contract.calls import calls
from contract.quirks import QUIRKS
from contract.signatures import undocumented
from optax.core.testing import CHECKS, Subject, factories

HOMES = (optax.core, optax.transforms, optax.wrappers, optax.optimizers)
FACTORIES = {name: factory for home in HOMES for name, factory in factories(home).items()}
TRANSFORMATIONS = [tx for name, factory in sorted(FACTORIES.items()) for tx in calls(name, factory)]


def _cases() -> list[Any]:
    cases = []
    for tx in TRANSFORMATIONS:
        for check in CHECKS:
            reason = QUIRKS.get((repr(tx), check))
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            cases.append(pytest.param(tx, check, marks=marks, id=f"{repr(tx).replace('optax.', '')}-{check}"))
    return cases


@pytest.mark.parametrize(("tx", "check"), _cases())
def test_contract(tx: Any, check: str) -> None:
    CHECKS[check](Subject(tx))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_docstring_covers_the_arguments(name: str) -> None:
    assert undocumented(FACTORIES[name]) == []


def test_quirks_are_about_what_exists() -> None:
    known = {(repr(tx), check) for tx in TRANSFORMATIONS for check in CHECKS}
    assert set(QUIRKS) <= known

"""Optimizers against libraries for PyTorch, in float64."""

import pytest

import optax
from conformance import engine
from conformance.case import Case
from x64 import enable_x64

pytestmark = pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in dog-optimizer

CASES = [case for case in engine.cases() if case.independent]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.call)
def test_updates_are_those_of_the_independent_library(case: Case) -> None:
    """Where a case says that they differ, they do."""
    assert case.independent is not None
    with enable_x64():
        ours = engine.optax_updates(case, optax, "float64", engine.STEPS)
    agree = engine.error(ours, engine.independent_updates(case)) <= engine.INDEPENDENT_BOUND
    assert agree == (case.independent.differs is None)

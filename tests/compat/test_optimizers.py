"""Optimizers against the original 0.2.8, in float32; `hatch run compat:record` records what it does."""

import pytest

import optax
from conformance import engine
from conformance.case import Case

RECORD = engine.read_record()


@pytest.mark.parametrize("case", engine.cases(), ids=lambda case: case.call)
def test_updates_are_those_of_the_original(case: Case) -> None:
    """Where a case says that they differ, they do."""
    theirs = RECORD[case.call]
    if isinstance(theirs, str):  # the message of its error
        assert case.original is not None, theirs
        return
    agree = engine.error(engine.original_updates(case, optax), theirs) <= engine.ORIGINAL_BOUND
    assert agree == (case.original is None)

"""Losses and their gradients against the original 0.2.8; `hatch run compat:record` records what it does."""

import pytest

from conformance import engine, losses

RECORD = engine.read_record()
CASES = [case for case in losses.cases() if case.call in RECORD]


@pytest.mark.parametrize("case", CASES, ids=[case.call for case in CASES])
def test_losses_are_those_of_the_original(case: losses.LossCase) -> None:
    """Where a reason is given, they differ."""
    theirs = RECORD[case.call]
    if isinstance(theirs, str):  # the message of its error
        assert case.original is not None, theirs
        return
    error = losses.error(losses.ours(case.call), theirs)
    assert (error <= losses.BOUND) == (case.original is None), error

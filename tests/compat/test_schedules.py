"""Schedules against the original 0.2.8, in float32; `hatch run compat:record` records what it does."""

import numpy as np
import pytest

import optax
from conformance import engine, schedules

RECORD = engine.read_record()


@pytest.mark.parametrize("call", schedules.ORIGINAL)
def test_values_are_those_of_the_original(call: str) -> None:
    """Where a reason is given, they differ."""
    theirs, reason = np.array(RECORD[call]), schedules.ORIGINAL[call]
    try:
        ours = schedules.evaluated(call, optax)(np.arange(schedules.COUNTS))
    except ValueError:
        assert reason is not None
        assert "ValueError" in reason
        return
    agree = np.allclose(ours, theirs, 0, 1e-6 * np.abs(theirs).max())
    assert agree == (reason is None)

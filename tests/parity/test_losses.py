"""Losses and their gradients against independent libraries."""

import pytest

from conformance import losses

PAIRS = [(case, library) for case in losses.cases() for library in case.independent]


@pytest.mark.parametrize(("case", "library"), PAIRS, ids=[f"{case.call}-{library.name}" for case, library in PAIRS])
def test_losses_are_those_of_the_independent_library(case: losses.LossCase, library: losses.Independent) -> None:
    """Where a reason is given, they differ."""
    error = losses.error(losses.ours(case.call), losses.with_independent(library, case))
    assert (error <= losses.BOUND) == (library.differs is None), error

"""Every optimizer makes the updates of a naive NumPy version, in float64."""

import inspect

import pytest

import optax
from conformance import engine
from conformance.case import Case
from optax import optimizers
from optax.core.testing import factories
from x64 import enable_x64

CASES = engine.cases()
FACTORIES = factories(optimizers)
RANDOM = {"hutchinson_estimator_diag_hessian"}  # its one argument chooses the random numbers


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.call)
def test_updates_are_those_of_numpy(case: Case) -> None:
    with enable_x64():
        ours = engine.optax_updates(case, optax, "float64", engine.STEPS)
    assert engine.error(ours, engine.numpy_updates(case)) <= engine.NUMPY_BOUND


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_every_optimizer_is_compared_with_default_and_with_other_arguments(name: str) -> None:
    settings = [{*case.settings} for case in CASES if case.name == name]
    fewest = min(settings, key=len)
    assert (
        name in RANDOM
        or fewest == {*inspect.signature(FACTORIES[name]).parameters}
        or any(fewest < other for other in settings)
    )


def test_no_two_cases_look_alike() -> None:
    calls = [case.call for case in CASES]
    assert sorted(calls) == sorted(set(calls))

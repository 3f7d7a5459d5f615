"""The public functions of the parts without a contract of their own say what they take and return."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from contract.signatures import undocumented
from optax import estimators, microbatching, perturbations, second_order

FUNCTIONS = {
    f"{part.__name__}.{name}": value
    for part in (estimators, microbatching, perturbations, second_order)
    for name, value in vars(part).items()
    if name in part.__all__ and inspect.isfunction(value)
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_the_docstring_covers_the_arguments(function: Callable[..., Any]) -> None:
    assert undocumented(function) == []

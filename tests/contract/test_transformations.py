"""Every public factory of transformations keeps every part of the contract."""

import functools
import inspect
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract import calls
from contract.calls import FACTORIES
from contract.quirks import QUIRKS
from contract.signatures import undocumented
from optax.core import tree
from optax.core.testing import CHECKS, Subject

TRANSFORMATIONS = list(calls.all_calls())
PLAIN = calls.plain_calls()


@functools.lru_cache(maxsize=1)  # all checks of one transformation come one after another
def subject(name: str, tx: Any) -> Subject:
    return calls.subject(name, tx)


# Checked on one call of each factory alone: no option has changed what they find.
ONCE = {
    "derivatives_are_finite",
    "empty_leaves_pass",
    "scan_carries_the_state",
    "vmap_agrees_with_a_loop",
    "zero_gradients_are_harmless",
}
# Nor what this one finds, but for options that are dtypes.
BY_DTYPE = "works_in_every_dtype"


def _cases() -> list[Any]:
    cases = []
    for name, tx in TRANSFORMATIONS:
        checks = ["is_a_value"] if name in calls.STAGES and tx == PLAIN[name] else list(CHECKS)
        if tx != PLAIN[name]:
            once = ONCE if "dtype" in repr(tx) else {*ONCE, BY_DTYPE}
            checks = [check for check in checks if check not in once]
        for check in checks:
            reason = QUIRKS.get((repr(tx), check))
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            cases.append(pytest.param(name, tx, check, marks=marks, id=f"{repr(tx).replace('optax.', '')}-{check}"))
    return cases


@pytest.mark.parametrize(("name", "tx", "check"), _cases())
def test_contract(name: str, tx: Any, check: str) -> None:
    CHECKS[check](Subject(tx) if check == "is_a_value" else subject(name, tx))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("name", sorted(PLAIN))
def test_hyperparameters_may_be_numbers_of_any_kind(name: str, dtype: str) -> None:
    """NumPy's, JAX's and traced ones widen nothing and are compared with nothing (defects A10 and A12)."""
    signature = inspect.signature(FACTORIES[name])
    recipe: Any = PLAIN[name]._recipe
    call = signature.bind(*recipe.arguments.args, **recipe.arguments.kwargs)
    call.apply_defaults()
    numbers = {parameter: value for parameter, value in call.arguments.items() if type(value) is float}

    def updated(numbers: dict[str, Any]) -> Any:
        call.arguments.update(numbers)
        s = calls.subject(name, FACTORIES[name](*call.args, **call.kwargs))
        params, gradient = (tree.cast(t, dtype) for t in (s.params, s.gradient(0)))
        state = s.tx.init(params)
        return (gradient, state), s.update(gradient, state, params)

    def of_kind(kind: Any) -> dict[str, Any]:
        return {parameter: kind(value) for parameter, value in numbers.items()}

    for before, after in (
        jax.eval_shape(lambda: updated(of_kind(np.float32))),
        jax.eval_shape(lambda: updated(of_kind(jnp.float32))),
        jax.eval_shape(updated, of_kind(jnp.float32)),
    ):
        chex.assert_trees_all_equal_shapes_and_dtypes(after, before)


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_there_are_calls_of_every_factory(name: str) -> None:
    assert list(calls.calls(name))


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_docstring_covers_the_arguments(name: str) -> None:
    assert undocumented(FACTORIES[name]) == []


def test_the_tables_are_about_what_exists() -> None:
    assert {*calls.EXTRA_ARGS, *calls.ADAPTERS, *calls.POSITIONAL, *calls.VARIANTS} <= set(FACTORIES)
    assert set(QUIRKS) <= {(repr(tx), check) for _, tx in TRANSFORMATIONS for check in CHECKS}

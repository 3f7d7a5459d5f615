"""The older addresses of names that are defined elsewhere, and the names that are deprecated."""

import importlib
import inspect
import json
import subprocess
import sys
import warnings
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import pytest

import optax
from optax import _deprecated, _private

MODULES = ("contrib", "experimental", "experimental.aggregating")


def module(name: str) -> ModuleType:
    return importlib.import_module(f"optax.{name}")


@pytest.mark.parametrize("name", MODULES)
def test_they_lead_to_names_of_optax(name: str) -> None:
    listed = module(name).__all__
    assert listed
    for attribute in listed:
        value = getattr(module(name), attribute)
        if not isinstance(value, ModuleType):
            assert value is getattr(optax, attribute)


def test_experimental_holds_what_it_once_held() -> None:
    assert optax.experimental.split_real_and_imaginary is optax.contrib.split_real_and_imaginary
    assert optax.experimental.SplitRealAndImaginaryState is optax.SplitRealAndImaginaryState
    assert optax.experimental.aggregating is module("experimental.aggregating")


def test_they_are_imported_when_asked_for() -> None:
    code = "import json, sys, optax; optax.adam; print(json.dumps([m for m in sys.modules if m.startswith('optax.')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {f"optax.{name}" for name in MODULES} & {*json.loads(done.stdout)}


def test_tree_utils_are_the_functions_of_tree() -> None:
    short = {name.removeprefix("tree_"): getattr(optax.tree_utils, name) for name in optax.tree_utils.__all__}
    assert {"add", "map_params", "update_moment_per_elem_norm", "NamedTupleKey"} <= short.keys()
    assert all(value is getattr(optax.tree, name) for name, value in short.items())


@pytest.fixture
def forgotten() -> None:
    """As if no deprecated name had been asked for yet."""
    _private._deprecated.cache_clear()


def fetch(address: str) -> Any:
    name, _, attribute = address.rpartition(".")
    return getattr(importlib.import_module(name), attribute)


@pytest.mark.usefixtures("forgotten")
@pytest.mark.parametrize("address", _private.REPLACEMENTS)
def test_deprecated_names_warn_once_where_they_are_used(address: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first, second = fetch(address), fetch(address)
    assert first is second
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert str(warning.message) == f"{address} is deprecated: use {_private.REPLACEMENTS[address]}"
    assert warning.filename == __file__


@pytest.mark.usefixtures("forgotten")
def test_a_warning_that_is_an_error_is_given_again() -> None:
    for _ in range(2):
        with pytest.raises(DeprecationWarning, match=r"use optax\.tree\.scale"):
            _ = optax.tree_utils.tree_scalar_mul


@pytest.mark.parametrize("address", _private.REPLACEMENTS)
def test_replacements_are_there(address: str) -> None:
    replacement = _private.REPLACEMENTS[address].partition("(")[0]
    assert callable(eval(replacement, {"optax": optax}))


def test_deprecated_names_are_not_listed() -> None:
    assert {*_deprecated.__all__} == {a.removeprefix("optax.") for a in _private.REPLACEMENTS if a.count(".") == 1}
    assert not {*_deprecated.__all__} & {*optax.__all__, *dir(optax)}
    assert not {a.rpartition(".")[2] for a in _private.REPLACEMENTS} & {*optax.tree_utils.__all__}


TREE = {"a": jnp.array([3.0, -4.0]), "b": jnp.array(-12.0)}


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("tree_scalar_mul", {"scalar": 2.0, "tree": TREE}, {"a": [6.0, -8.0], "b": -24.0}),
        ("tree_add_scalar_mul", {"tree_x": TREE, "scalar": -1.0, "tree_y": TREE}, {"a": [0.0, 0.0], "b": 0.0}),
        ("tree_l1_norm", {"tree": TREE}, 19.0),
        ("tree_l2_norm", {"tree": TREE}, 13.0),
        ("tree_l2_norm", {"tree": TREE, "squared": True}, 169.0),
        ("tree_linf_norm", {"tree": TREE}, 12.0),
    ],
)
def test_deprecated_tree_functions_work(name: str, arguments: dict[str, Any], result: Any) -> None:
    function = getattr(_deprecated, name)
    expected = {k: jnp.array(v) for k, v in result.items()} if isinstance(result, dict) else jnp.array(result)
    assert optax.tree.allclose(function(**arguments), expected)
    assert optax.tree.allclose(function(*arguments.values()), expected)


def test_deprecated_transformations_work() -> None:
    params, grads = {"w": jnp.array([2.0, 4.0])}, {"w": jnp.array([1.0, 0.0])}

    def step(tx: optax.GradientTransformation) -> list[float]:
        return tx.update(grads, tx.init(params), params)[0]["w"].tolist()

    assert step(_deprecated.additive_weight_decay(0.5)) == [2.0, 2.0]
    assert step(_deprecated.additive_weight_decay(0.5, mask={"w": False})) == [1.0, 0.0]
    assert step(_deprecated.scale_and_decay(-0.5, weight_decay=0.5)) == [-1.0, -1.0]
    assert step(_deprecated.scale_and_decay(-0.5)) == [-0.5, 0.0]


def test_deprecated_schedule_works() -> None:
    schedule = _deprecated.piecewise_linear_schedule(1.0, boundaries_and_scales={4: 0.5})
    assert [float(schedule(count)) for count in (0, 2, 4, 9)] == [1.0, 0.75, 0.5, 0.5]


def test_deprecated_control_variate_works() -> None:
    variate = _deprecated.delta(lambda x: jnp.sum(x**2))
    assert isinstance(variate, optax.ControlVariate)


@pytest.mark.parametrize("address", _private.REPLACEMENTS)
def test_deprecated_names_take_what_their_replacements_take(address: str) -> None:
    deprecated = inspect.signature(getattr(_deprecated, address.rpartition(".")[2]))
    call = _private.REPLACEMENTS[address]
    if "(" not in call:  # one that is called as it is
        replacement = inspect.signature(eval(call, {"optax": optax}))
        shared = set(deprecated.parameters) & set(replacement.parameters)
        assert all(deprecated.parameters[name].default == replacement.parameters[name].default for name in shared)
        assert shared == set(deprecated.parameters)

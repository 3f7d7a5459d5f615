"""The older addresses of names that are defined elsewhere."""

import importlib
import json
import subprocess
import sys
from types import ModuleType

import pytest

import optax

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

"""Any selection of the packages, installed in any order, works with nothing but what the packages declare."""

import itertools
import json
import random

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import release
from environments import Environment


def _needs_nothing_else(chosen: tuple[str, ...]) -> bool:
    return all(release.requirements(name).keys() & {*release.PACKAGES} <= {*chosen} for name in chosen)


CHOICES = itertools.chain.from_iterable(itertools.combinations(release.PACKAGES, n) for n in range(1, 7))
SUBSETS = [*filter(_needs_nothing_else, CHOICES)]

PROBE = """
import importlib, importlib.metadata, json, pkgutil, sys

expected = json.loads(sys.argv[1])
for name, version in expected["versions"].items():
    try:
        found = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        found = None
    assert found == version, (name, found)

import optax

assert hasattr(optax, "__version__") == (expected["versions"]["optax-meta"] is not None)
found = [module.name for module in pkgutil.iter_modules(optax.__path__) if not module.name.startswith("_")]
assert found == expected["parts"], found
for part in found:
    importlib.import_module(f"optax.{part}")
for module in pkgutil.walk_packages(optax.__path__, "optax."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:  # only what an extra would have installed may be missing
        assert error.name.split(".")[0] in expected["extras"], (module.name, error)
"""


@pytest.mark.parametrize("chosen", SUBSETS, ids=lambda chosen: "+".join(name.removeprefix("optax-") for name in chosen))
def test_a_selection_of_packages(chosen: tuple[str, ...], wheels: dict[str, str], environment: Environment) -> None:
    shuffled = random.Random("+".join(chosen))
    order = shuffled.sample(chosen, len(chosen))
    print("installed in this order:", *order)
    empty = environment.contents
    for name in order:
        environment.install(wheels[name])

    extras = [
        Requirement(text).name
        for name in chosen
        for texts in release.configuration(name)["project"].get("optional-dependencies", {}).values()
        for text in texts
    ]
    expected = {
        "versions": {name: release.version(name) if name in chosen else None for name in release.PACKAGES},
        "parts": sorted(part for name in chosen for part in release.parts(name)),
        "extras": [canonicalize_name(extra).replace("-", "_") for extra in extras],
    }
    environment.check(PROBE, json.dumps(expected))

    order = shuffled.sample(chosen, len(chosen))
    print("uninstalled in this order:", *order)
    for name in order:
        environment.uninstall(name)
    assert environment.contents == empty

"""What a package imports is what it declares, and imports point downwards only."""

import ast
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import release

# Package: the siblings that it may import.
DIRECTION = {
    "optax-core": set(),
    "optax-schedules": {"optax-core"},
    "optax-losses": {"optax-core"},
    "optax-transforms": {"optax-core", "optax-schedules"},
    "optax-estimators": {"optax-core"},
    "optax-meta": {"optax-core", "optax-schedules", "optax-losses", "optax-transforms", "optax-estimators"},
}
THIRD_PARTY = {"jax", "numpy"}  # nothing else at run time, but for extras

OWNER = {part: name for name in release.PACKAGES for part in release.parts(name)}


def _imports(file: Path) -> Iterator[str]:
    """The dotted name of everything that a file imports, names of modules and names in modules alike."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: write the address that a reader can search for"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _imported(name: str) -> dict[str, set[Path]]:
    """The other distributions that a package's files import from, each with the files that do."""
    providers = metadata.packages_distributions()
    found: dict[str, set[Path]] = {}
    for file in release.source(name).glob("src/**/*.py"):
        for imported in _imports(file):
            top, _, rest = imported.partition(".")
            if top in sys.stdlib_module_names:
                continue
            if top == "optax":
                part = rest.partition(".")[0]
                assert part in OWNER or part.startswith("_"), f"{file} imports {imported}, not from a part"
                provider = OWNER.get(part, name)
            else:
                provider = canonicalize_name(providers[top][0])
            found.setdefault(provider, set()).add(file)
    found.pop(name, None)
    return found


def _extras(name: str) -> set[str]:
    extras = release.configuration(name)["project"].get("optional-dependencies", {})
    return {canonicalize_name(Requirement(text).name) for texts in extras.values() for text in texts}


@pytest.mark.parametrize("name", release.PACKAGES)
def test_declared_dependencies_are_the_imported_ones(name: str) -> None:
    imported, declared = _imported(name).keys(), release.requirements(name).keys()
    # What an extra brings may be imported too; that nothing needs it before it is used shows in test_subsets.
    assert declared <= imported <= declared | _extras(name)


@pytest.mark.parametrize("name", release.PACKAGES)
def test_imports_point_downwards(name: str) -> None:
    siblings = {k: files for k, files in _imported(name).items() if k in release.PACKAGES}
    assert siblings.keys() <= DIRECTION[name], siblings


@pytest.mark.parametrize("name", release.PACKAGES)
def test_nothing_but_jax_and_numpy_is_needed(name: str) -> None:
    assert release.requirements(name).keys() - {*release.PACKAGES} <= THIRD_PARTY

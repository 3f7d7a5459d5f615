"""What the guides say of the packages is so."""

import ast
import importlib
import re
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import release
from docs import guides
from optax.core.testing import CHECKS

INSTALL, OWN = ((release.ROOT / "docs" / name).read_text() for name in ("install.md", "own-optimizer.md"))


def test_the_table_of_packages() -> None:
    """Each with the parts that it ships, and with what it needs."""
    found = [row for row in guides.rows(INSTALL) if guides.codes(row[0])[0] in release.PACKAGES]
    assert [guides.codes(row[0])[0] for row in found] == [*release.PACKAGES]
    for cells in found[:-1]:
        (name,) = guides.codes(cells[0])
        assert {*guides.codes(cells[1])} == {f"optax.{part}" for part in release.parts(name)}
        needs = {*guides.codes(cells[2])} or {"jax", "numpy"}
        assert needs == release.requirements(name).keys() - ({"jax", "numpy"} if name != "optax-core" else set())


def test_the_table_of_extras() -> None:
    shown = {}
    for cells in guides.rows(INSTALL):
        requirement = Requirement(guides.codes(cells[0])[0])
        for extra in requirement.extras:
            shown[requirement.name, extra] = cells[1]
    declared = {
        (name, extra): ", ".join(canonicalize_name(Requirement(text).name) for text in texts)
        for name in release.PACKAGES
        for extra, texts in release.configuration(name)["project"].get("optional-dependencies", {}).items()
    }
    assert shown == {key: brings for key, brings in declared.items() if key[0] != "optax-meta"}
    passed_on = re.search(r"^`optax-meta` passes on (.*)$", INSTALL, re.M)
    assert passed_on is not None
    assert {*guides.codes(passed_on[1])} == {extra for name, extra in declared if name == "optax-meta"}


def test_the_bounds_are_those_of_the_packages() -> None:
    bounds = {*re.findall(r"optax-\w+(>=[\d.]+,<\d+)", INSTALL)} | {*re.findall(r"`(>=[\d.]+,<\d+)`", INSTALL)}
    assert len(bounds) == 1
    declared = {str(r.specifier) for n in release.PACKAGES for k, r in release.requirements(n).items() if k != n}
    (bound,) = bounds
    assert str(Requirement(f"x{bound}").specifier) in declared


def test_the_first_part_needs_the_core_alone() -> None:
    """And NumPy and JAX, which it brings; and for the checks chex, which they import, and pytest."""
    before, after = OWN.split("\n## With the other packages\n")
    modules = {module for block in guides.blocks(before) for module in imported(block)}
    assert modules == {"jax", "jax.numpy", "numpy", "typing", "pytest", "optax.core", "optax.core.testing"}
    allowed = {"optax.core", "optax.schedules", "optax.transforms", "optax.optimizers"}
    assert {module for block in guides.blocks(after) for module in imported(block)} <= allowed


def imported(block: guides.Block) -> list[str]:
    if block.language != "python":
        return []
    lines = block.text.splitlines()
    if block.text.startswith(">>>"):
        lines = [line[4:] for line in lines if line.startswith((">>> ", "... "))]
    nodes = [*ast.walk(ast.parse("\n".join(lines)))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return names + [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]


def test_all_checks_are_named() -> None:
    named = guides.codes(guides.prose(guides.section(OWN, "Does it keep the contract?")))
    assert {*CHECKS} <= {*named}


@pytest.mark.parametrize("name", ["README.md", "install.md", "moving.md", "own-optimizer.md"])
def test_the_names_exist(name: str) -> None:
    """Those in backticks that begin with `optax.`, arguments left out."""
    text = guides.prose((release.ROOT / "docs" / name).read_text())
    found = {m for code in guides.codes(text) for m in re.findall(r"(?<![\w.-])optax(?:\.[a-zA-Z]\w*)+", code)}
    assert found
    for dotted in sorted(found):
        assert resolved(dotted) is not None, dotted


def resolved(dotted: str) -> Any:
    first, *rest = dotted.split(".")
    thing: Any = importlib.import_module(first)
    for i, part in enumerate(rest):
        thing = getattr(thing, part, None)
        if thing is None:
            return importlib.import_module(".".join([first, *rest[: i + 1]]))
    return thing


def test_the_vocabulary_is_that_of_the_core() -> None:
    """The names in its table."""
    core = importlib.import_module("optax.core")
    found = {re.split(r"[(=.]", code)[0] for row in guides.rows(OWN) for code in guides.codes(row[1])}
    assert {"copy_slot", "update_if", "new_scalar"} <= found
    assert not [name for name in found - {"optax", "jnp", "params"} if name.isidentifier() and not hasattr(core, name)]

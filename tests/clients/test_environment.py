"""Libraries that require a distribution named optax are satisfied by the stand-in: the original is not here."""

from importlib import metadata

import pytest
from packaging.requirements import Requirement


@pytest.mark.parametrize("client", ["blackjax", "flax"])
def test_requires_a_distribution_named_optax(client: str) -> None:
    wanted = [r for r in map(Requirement, metadata.requires(client) or ()) if r.name == "optax" and r.marker is None]
    assert [r.specifier.contains(metadata.version("optax")) for r in wanted] == [True]


def test_the_distribution_named_optax_has_no_files() -> None:
    assert {file.parts[0] for file in metadata.files("optax") or ()} == {f"optax-{metadata.version('optax')}.dist-info"}
    assert "+meta" in metadata.version("optax")


def test_nothing_else_owns_a_file_of_the_package() -> None:
    owners = {
        distribution.name
        for distribution in metadata.distributions()
        for file in distribution.files or ()
        if file.parts[0] == "optax"
    }
    assert {name for name in owners if not name.startswith("optax-")} == set()

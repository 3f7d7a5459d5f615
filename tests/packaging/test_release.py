"""The built packages can be published together, and `release.check` would notice if they could not."""

import shutil
import zipfile
from pathlib import Path

import pytest

import release


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    """The built packages, to be spoilt."""
    return Path(shutil.copytree(built, tmp_path / "copy"))


def _wheel(directory: Path, name: str) -> Path:
    (wheel,) = directory.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


def _rewrite(wheel: Path, edit: dict[str, str | None]) -> None:
    """Replace, add or (by None) leave out members of a wheel, found by the end of their path."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for ending, content in edit.items():
        name = next((name for name in members if name.endswith(ending)), ending)
        members.pop(name, None)
        if content is not None:
            members[name] = content.encode()
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_the_packages_can_be_released_together(built: Path) -> None:
    assert release.check(built) == []


def test_a_missing_file_is_noticed(copy: Path) -> None:
    _wheel(copy, "optax-losses").unlink()
    assert any("optax-losses: wheel or sdist" in problem for problem in release.check(copy))


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        ({"optax/core/__init__.py": ""}, "optax/core/__init__.py is in both optax-core and optax-losses"),
        ({"optax/__init__.py": ""}, "optax/__init__.py must come from optax-meta"),
        ({"optax/_src/base.py": ""}, "optax/_src/base.py lies where only the original has files"),
        ({"tests/test_losses.py": ""}, "tests/test_losses.py is outside the namespace"),
        ({"losses/py.typed": None}, "no py.typed beside optax/losses/__init__.py"),
        ({"licenses/LICENSE": None}, "does not carry the LICENSE"),
        ({"METADATA": "Requires-Dist: optax-core>=9,<10\n"}, "optax-losses wants optax-core>=9,<10"),
        ({"METADATA": "Requires-Dist: optax-core>=0.1\n"}, "siblings are bounded by"),
    ],
)
def test_a_spoilt_wheel_is_noticed(copy: Path, edit: dict[str, str | None], problem: str) -> None:
    _rewrite(_wheel(copy, "optax-losses"), edit)
    assert any(problem in found for found in release.check(copy))


def test_lower_bounds_are_read_as_tags() -> None:
    assert release.oldest_siblings("optax-core") == {}
    oldest = release.oldest_siblings("optax-meta")
    assert [*oldest] == [*release.PACKAGES[:-1]]
    assert all(low.count(".") == 2 for low in oldest.values())

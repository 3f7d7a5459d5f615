"""The doctor, with distributions made up; with real ones in test_original.py."""

import base64
import hashlib
import sys
from pathlib import Path

import pytest

from optax.core import doctor


class Site:
    """A directory of installed distributions, the only one that is looked at."""

    def __init__(self, directory: Path):
        self.directory = directory

    def add(self, name: str, version: str, *requires: str, files: tuple[str, ...] = ()) -> None:
        """Install a distribution with files of one line."""
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = "".join(f"Requires-Dist: {text}\n" for text in requires)
        self._write(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}")
        self._write(f"{info}/RECORD", "".join(self._recorded(file) for file in files) + f"{info}/RECORD,,\n")

    def _recorded(self, file: str) -> str:
        self._write(file, "original text\n")
        digest = base64.urlsafe_b64encode(hashlib.sha256(b"original text\n").digest()).rstrip(b"=").decode()
        return f"{file},sha256={digest},14\n"

    def _write(self, file: str, text: str) -> None:
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with a whole optax-core."""
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    made = Site(tmp_path)
    made.add("optax-core", "0.3.0", "jax>=0.6", files=("optax/core/__init__.py",))
    return made


def test_nothing_is_wrong(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("optax-losses", "0.1.0", "optax-core<1,>=0.1", files=("optax/losses/__init__.py",))
    assert doctor.main() == 0
    assert capsys.readouterr().out == "installed: optax-core 0.3.0, optax-losses 0.1.0\nnothing is wrong with them\n"


def test_damaged_files(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("optax-losses", "0.1.0", files=("optax/losses/a.py", "optax/losses/b.py"))
    (site.directory / "optax/losses/a.py").write_text("other text\n")
    (site.directory / "optax/losses/b.py").unlink()
    sentences = ["optax/losses/a.py was changed", "optax/losses/b.py is missing"]
    assert doctor.damaged_files() == {"optax-losses": sentences}
    assert doctor.main() == 1
    assert "pip install --force-reinstall --no-deps optax-losses\n" in capsys.readouterr().out


def test_the_original_beside_core_alone_is_no_problem(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("optax", "0.2.8", files=("optax/__init__.py",))
    assert doctor.foreign_version() == "0.2.8"
    assert doctor.main() == 0


def test_the_original_beside_another_package(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("optax", "0.2.8", files=("optax/__init__.py",))
    site.add("optax-losses", "0.1.0", files=("optax/losses/__init__.py",))
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert "optax 0.2.8 has files of the same names as optax-losses\n" in out
    assert "pip uninstall -y optax\n" in out
    assert "--no-deps optax-losses\n" in out


def test_the_stand_in_is_no_problem(site: Site) -> None:
    site.add("optax", "0.2.8+meta.1", "optax-meta>=0.1,<1")
    site.add("optax-losses", "0.1.0", files=("optax/losses/__init__.py",))
    assert doctor.foreign_version() is None
    assert doctor.main() == 0


@pytest.mark.parametrize(
    ("requirement", "met"),
    [
        ("optax-core<1,>=0.1", True),
        ("optax-core<1,>=0.3", True),
        ("optax-core>=0.3.1", False),
        ("optax-core<0.3", False),
        ("optax-core>=0.10,<1", False),
        ("optax-core", True),
        ("optax-core[testing]>=9", True),  # comes with an extra: left out
        ("optax-core>=9; extra == 'new'", True),
        ("numpy>=99", True),  # not of this project
        ("optax-schedules<1,>=0.1", False),  # not installed
    ],
)
def test_versions_of_siblings(site: Site, requirement: str, met: bool, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("optax-transforms", "0.1.0", requirement)
    assert (doctor.unmet_requirements() == []) is met
    assert doctor.main() == (0 if met else 1)
    assert ("pip install --upgrade optax-core optax-transforms\n" in capsys.readouterr().out) is not met


def test_a_release_candidate_counts_as_its_release(site: Site) -> None:
    site.add("optax-schedules", "0.2.0rc1")
    site.add("optax-transforms", "0.1.0", "optax-schedules>=0.2,<1")
    assert doctor.unmet_requirements() == []

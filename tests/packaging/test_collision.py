"""The collision guard, with fakes; with real distributions in test_original.py."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from optax.core._collision import OptaxCollisionError, check


def _put(monkeypatch: pytest.MonkeyPatch, directory: Path | None, *, ours: bool) -> None:
    """Let `optax` be a package in a directory, or a namespace."""
    module = ModuleType("optax")
    module.__file__ = None if directory is None else str(directory / "__init__.py")
    if ours:
        module.__optax_meta__ = True
    monkeypatch.setitem(sys.modules, "optax", module)


def test_a_namespace_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    _put(monkeypatch, None, ours=False)
    check()


def test_optax_meta_passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _put(monkeypatch, tmp_path, ours=True)
    check()


def test_the_init_of_another_distribution_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _put(monkeypatch, tmp_path, ours=False)
    with pytest.raises(OptaxCollisionError, match=r"its __init__\.py is not the one of optax-meta") as caught:
        check()
    assert isinstance(caught.value, ImportError)
    assert caught.value.name == "optax"
    assert caught.value.path == str(tmp_path)
    assert "python -m pip uninstall -y optax\n" in str(caught.value)
    assert "--no-deps optax-core optax-schedules" in str(caught.value)  # what is installed here, in order


def test_files_of_the_original_beside_ours_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _put(monkeypatch, tmp_path, ours=True)
    (tmp_path / "_src").mkdir()
    with pytest.raises(OptaxCollisionError, match="'_src'"):
        check()

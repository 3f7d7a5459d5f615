"""The built packages, and clean environments to install them into."""

from pathlib import Path

import pytest

import release
from environments import Environment, link_distributions, new_environment


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with wheel and sdist of each package."""
    directory = tmp_path_factory.mktemp("built")
    release.build_all(directory)
    return directory


@pytest.fixture(scope="session")
def wheels(built: Path) -> dict[str, str]:
    """The path of each package's wheel."""
    return {name: str(next(built.glob(f"{name.replace('-', '_')}-*.whl"))) for name in release.PACKAGES}


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The wheel of the distribution named optax that has no files."""
    directory = tmp_path_factory.mktemp("stand_in")
    release.build(release.source("optax-meta") / "shim", directory, "wheel")
    (wheel,) = directory.glob("*.whl")
    return str(wheel)


@pytest.fixture(scope="session")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds JAX, NumPy, and what they need."""
    return link_distributions(tmp_path_factory.mktemp("dependencies"), "jax", "numpy")


@pytest.fixture
def environment(tmp_path: Path, dependencies: Path) -> Environment:
    """An environment with the third-party dependencies of our packages, and nothing else."""
    return new_environment(tmp_path / "env", dependencies)

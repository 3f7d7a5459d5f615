"""Clean virtual environments that share one installation of JAX."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    directory: Path

    @property
    def python(self) -> str:
        """The path of its interpreter."""
        return str(self.directory / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))

    @property
    def contents(self) -> set[str]:
        """Every installed file and directory, but for byte code."""
        paths = (path.relative_to(self.site) for path in self.site.rglob("*"))
        return {str(path) for path in paths if "__pycache__" not in path.parts}

    @property
    def site(self) -> Path:
        """Where packages are installed."""
        (site,) = self.directory.glob("Lib/site-packages" if sys.platform == "win32" else "lib/*/site-packages")
        return site

    def install(self, *requirements: str) -> None:
        """Install wheels or named releases, and nothing that they need."""
        self._uv("pip", "install", "--no-deps", "--reinstall", *requirements)

    def uninstall(self, *names: str) -> None:
        """Remove distributions."""
        self._uv("pip", "uninstall", *names)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its interpreter on its own packages, with warnings as errors; captures what is printed."""
        command = [self.python, "-I", "-W", "error", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.directory)

    def check(self, code: str, *arguments: str) -> str:
        """Run code that must not fail; returns what it prints."""
        done = self.run("-c", code, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _uv(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "uv", *arguments, "-q", "-p", self.python]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:  # perhaps the index cannot be reached, but the cache has what is wanted
            done_offline = subprocess.run([*command, "--offline"], capture_output=True, text=True)
            assert done_offline.returncode == 0, done.stdout + done.stderr


def new_environment(directory: Path, shared: Path) -> Environment:
    """Make a virtual environment that can import what a directory holds, and nothing else.

    Args:
      directory: where to make it.
      shared: what `link_distributions` has filled.

    Returns:
      The environment.
    """
    subprocess.run([sys.executable, "-m", "uv", "venv", "-q", "-p", sys.executable, str(directory)], check=True)
    environment = Environment(directory)
    (environment.site / "shared.pth").write_text(f"{shared}\n")
    return environment


def link_distributions(directory: Path, *names: str) -> Path:
    """Fill a directory with links to installed distributions and to all that they need.

    Args:
      directory: an empty one.
      *names: the distributions.

    Returns:
      The directory.
    """
    for name in _closure(names):
        dist = metadata.distribution(name)
        for top in {file.parts[0] for file in dist.files or ()} - {"..", "__pycache__"}:
            link = directory / top
            if not link.exists():  # a namespace may have several owners
                link.symlink_to(str(dist.locate_file(top)))
    return directory


def _closure(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    queue = [*names]
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            needs = map(Requirement, metadata.requires(name) or ())
            queue += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return found

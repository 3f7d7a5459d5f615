"""Examine the installed packages of this project: `python -m optax.core.doctor`.

Finds what no import can see: files that another distribution (the original, named `optax`) has overwritten or taken
away, and versions that do not go together. Prints the commands that repair it.
"""

import base64
import csv
import hashlib
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from optax.core._collision import DISTRIBUTIONS

__all__ = ["damaged_files", "foreign_version", "main", "unmet_requirements"]


def damaged_files() -> dict[str, list[str]]:
    """Compare every installed file with the record that the installer wrote.

    Returns:
      For each damaged distribution of this project, a sentence for each file that is missing or was changed.
    """
    damage = {dist.name: [*_damage(dist)] for dist in _installed()}
    return {name: sentences for name, sentences in damage.items() if sentences}


def foreign_version() -> str | None:
    """Look for a distribution named `optax` that has files of its own (the stand-in has none).

    Returns:
      Its version, or `None`.
    """
    for dist in metadata.distributions(name="optax"):
        if any(path.startswith("optax/") for path, _ in _record(dist)):
            return dist.version
    return None


def unmet_requirements() -> list[str]:
    """Compare what the packages ask of each other with the versions that are installed. Extras are left out.

    Returns:
      A sentence for each sibling that is missing or out of range.
    """
    versions = {dist.name: dist.version for dist in _installed()}
    unmet = []
    for dist in _installed():
        for requirement in dist.requires or ():
            match = re.fullmatch(r"([\w-]+)([^;\[]*)", requirement)
            if match is None or match[1] not in DISTRIBUTIONS:
                continue
            have = versions.get(match[1])
            if have is None or not _within(have, match[2]):
                found = f"{have} is installed" if have else "it is not installed"
                unmet.append(f"{dist.name} {dist.version} needs {requirement}, but {found}")
    return unmet


def main() -> int:
    """Print what is installed, what is wrong, and how to repair it.

    Returns:
      0 if nothing is wrong, else 1.
    """
    damage, foreign, unmet = damaged_files(), foreign_version(), unmet_requirements()
    installed = {dist.name: dist.version for dist in _installed()}
    # optax-core has no file in common with the original; every other package has, whoever came last.
    mixed = [name for name in installed if name != "optax-core"] if foreign else []

    print("installed:", ", ".join(f"{name} {version}" for name, version in installed.items()))
    for name, sentences in damage.items():
        print(f"{name}: {len(sentences)} damaged file(s), the first: {sentences[0]}")
    if mixed:
        print(f"the distribution optax {foreign} has files of the same names as {', '.join(mixed)}")
    print(*unmet, sep="\n", end="\n" if unmet else "")

    repairs = []
    if mixed:
        repairs.append("python -m pip uninstall -y optax")
    if mixed or damage:
        reinstall = (name for name in installed if name in mixed or name in damage)
        repairs.append(f"python -m pip install --force-reinstall --no-deps {' '.join(reinstall)}")
    if unmet:
        repairs.append(f"python -m pip install --upgrade {' '.join(installed)}")
    if not repairs:
        print("nothing is wrong with them")
        return 0
    print("repair:", *repairs, sep="\n    ")
    return 1


def _installed() -> Iterator[metadata.Distribution]:
    for name in DISTRIBUTIONS:
        try:
            yield metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue


def _record(dist: metadata.Distribution) -> Iterator[tuple[str, str]]:
    """Path and hash of every installed file, also of those that are gone: `dist.files` forgets them on Python 3.12."""
    for path, written_hash, *_ in csv.reader((dist.read_text("RECORD") or "").splitlines()):
        yield path, written_hash


def _damage(dist: metadata.Distribution) -> Iterator[str]:
    for path, written_hash in _record(dist):
        algorithm, _, expected = written_hash.partition("=")
        if not expected:  # the record itself, byte code
            continue
        try:
            content = Path(str(dist.locate_file(path))).read_bytes()
        except OSError:
            yield f"{path} is missing"
            continue
        digest = base64.urlsafe_b64encode(hashlib.new(algorithm, content).digest())
        if digest.rstrip(b"=").decode() != expected:
            yield f"{path} was changed"


def _within(version: str, bounds: str) -> bool:
    """Whether a version satisfies every `>=` and `<` in the bounds; the packages use no other operator."""
    limits = re.findall(r"(>=|<)\s*([\d.]+)", bounds)
    return all((_numbers(version) >= _numbers(limit)) is (operator == ">=") for operator, limit in limits)


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers: what comes after them (`rc1`, `.dev0`) is not worth a dependency on `packaging`."""
    return (*map(int, re.findall(r"\d+", version)[:3]), 0, 0)[:3]


if __name__ == "__main__":
    sys.exit(main())

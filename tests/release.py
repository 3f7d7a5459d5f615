"""Build the packages and check that they can be released together.

python tests/release.py build [DIRECTORY]     wheels and sdists of all packages (into dist/)
python tests/release.py check                 build them elsewhere and say what is wrong with them
python tests/release.py contract [PACKAGE...] run each package's own tests with the oldest siblings that it accepts
"""

import io
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

# Each after the siblings that it needs: the order of a release.
PACKAGES = ("optax-core", "optax-schedules", "optax-losses", "optax-transforms", "optax-estimators", "optax-meta")


def source(name: str) -> Path:
    """The directory of a package."""
    return ROOT / "packages" / name


def configuration(name: str) -> dict[str, Any]:
    """The contents of a package's pyproject.toml."""
    return tomllib.loads((source(name) / "pyproject.toml").read_text())


def version(name: str) -> str:
    """The version that a package's source states."""
    text = (source(name) / configuration(name)["tool"]["hatch"]["version"]["path"]).read_text()
    match = re.fullmatch(r'__version__ = "(.+)"\n', text)
    assert match is not None, f"{name} states its version in another way than the other packages"
    return match[1]


def parts(name: str) -> list[str]:
    """The public modules directly under `optax` that a package ships."""
    return sorted(
        path.stem
        for path in (source(name) / "src" / "optax").iterdir()
        if not path.name.startswith("_") and (path.suffix == ".py" or (path / "__init__.py").exists())
    )


def requirements(name: str) -> dict[str, Requirement]:
    """What a package needs at run time, extras left out, by name."""
    parsed = [Requirement(text) for text in configuration(name)["project"]["dependencies"]]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def build(project: Path, out: Path, *targets: str) -> None:
    """Build a project with the build backend that is installed here.

    Args:
      project: its directory.
      out: where the files go.
      *targets: "wheel" or "sdist"; both if none is given.
    """
    chosen = [argument for target in targets for argument in ("-t", target)]
    command = [sys.executable, "-m", "hatchling", "build", *chosen, "-d", str(out.resolve())]
    done = subprocess.run(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{project} cannot be built:\n{done.stdout}")


def build_all(out: Path) -> None:
    """Build wheel and sdist of every package into a directory."""
    for name in PACKAGES:
        build(source(name), out)


def check(directory: Path) -> list[str]:
    """Look for what must not be published.

    Args:
      directory: what `build_all` has filled.

    Returns:
      A sentence for each problem.
    """
    problems: list[str] = []
    owners: dict[str, str] = {}
    for name in PACKAGES:
        stem = f"{name.replace('-', '_')}-{version(name)}"
        wheel, sdist = directory / f"{stem}-py3-none-any.whl", directory / f"{stem}.tar.gz"
        if not (wheel.exists() and sdist.exists()):
            problems.append(f"{name}: wheel or sdist of version {version(name)} is missing")
            continue
        with zipfile.ZipFile(wheel) as archive:
            files = [file for file in archive.namelist() if not file.startswith(f"{stem}.dist-info/")]
            metadata = Parser().parsestr(archive.read(f"{stem}.dist-info/METADATA").decode())
            licenses = [file for file in archive.namelist() if file.endswith("/licenses/LICENSE")]
            license_text = archive.read(licenses[0]) if licenses else None
        with tarfile.open(sdist) as archive:
            sdist_files = archive.getnames()
        if license_text != (ROOT / "LICENSE").read_bytes():
            problems.append(f"{name}: the wheel does not carry the LICENSE of the repository")
        for file in ("LICENSE", "README.md"):
            if f"{stem}/{file}" not in sdist_files:
                problems.append(f"{name}: the sdist has no {file}")
        problems += _misplaced(name, files, owners)
        problems += _ill_bounded(name, metadata)
        if f"## {version(name)}" not in (source(name) / "CHANGELOG.md").read_text():
            problems.append(f"{name}: CHANGELOG.md has no entry for {version(name)}")
    if owners.get("optax/__init__.py") != "optax-meta":
        problems.append("optax/__init__.py must come from optax-meta")
    stand_in = configuration("optax-meta/shim")["project"]["dependencies"][0]
    if not Requirement(stand_in).specifier.contains(version("optax-meta")):
        problems.append(f"the stand-in wants {stand_in}, the tree has {version('optax-meta')}")
    return problems


def _misplaced(name: str, files: Iterable[str], owners: dict[str, str]) -> Iterable[str]:
    files = set(files)
    for file in sorted(files):
        if file in owners:
            yield f"{file} is in both {owners[file]} and {name}"
        owners.setdefault(file, name)
        if not file.startswith("optax/"):
            yield f"{name}: {file} is outside the namespace"
        if file.startswith("optax/_src/"):
            yield f"{name}: {file} lies where only the original has files, and the collision guard looks for those"
        if re.fullmatch(r"optax/([^/]+/)?__init__\.py", file) and file.replace("__init__.py", "py.typed") not in files:
            yield f"{name}: there is no py.typed beside {file}"


def _ill_bounded(name: str, metadata: Message) -> Iterable[str]:
    for text in metadata.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        sibling = canonicalize_name(requirement.name)
        if sibling not in PACKAGES:
            continue
        if not requirement.specifier.contains(version(sibling), prereleases=True):
            yield f"{name} wants {text}, the tree has {version(sibling)}"
        if {bound.operator for bound in requirement.specifier} != {">=", "<"}:
            yield f"{name} wants {text}: siblings are bounded by '>=' and '<'"


def oldest_siblings(name: str) -> dict[str, str]:
    """The lowest version of each sibling that a package accepts, with three numbers as in a tag."""
    oldest = {}
    for sibling, requirement in requirements(name).items():
        if sibling in PACKAGES:
            (low,) = (bound.version for bound in requirement.specifier if bound.operator == ">=")
            oldest[sibling] = low + ".0" * (2 - low.count("."))
    return oldest


def build_release(name: str, wanted: str, out: Path) -> None:
    """Build a wheel of a released version from its tag (`optax-core-v1.2.0`).

    The working tree stands in for the version that it states, and for every version of a package without any tag.
    """
    tags = subprocess.run(
        ["git", "tag", "--list", f"{name}-v*"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    if wanted == version(name) or not tags:
        build(source(name), out, "wheel")
        return
    if f"{name}-v{wanted}" not in tags:
        sys.exit(f"there is no tag {name}-v{wanted}: fetch the tags, or correct the lower bound")
    archive = subprocess.run(
        ["git", "archive", f"{name}-v{wanted}", f"packages/{name}"], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tempfile.TemporaryDirectory() as checkout:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(checkout, filter="data")
        build(Path(checkout) / "packages" / name, out, "wheel")


def contract(name: str) -> bool:
    """Run the tests of a package's own parts with the oldest siblings that it accepts."""
    oldest = oldest_siblings(name)
    own = ["meta"] if name == "optax-meta" else parts(name)
    folders = [f"tests/{part}" for part in own if (ROOT / "tests" / part).is_dir()]
    if not oldest or not folders:
        print(f"{name}: nothing to run", flush=True)
        return True
    print(f"{name} {version(name)} with", ", ".join(f"{k} {v}" for k, v in oldest.items()), flush=True)
    environments = tomllib.loads((ROOT / "hatch.toml").read_text())["envs"]
    stand_in = source("optax-meta") / "shim"
    third_party = [d for d in environments["default"]["dependencies"] if Requirement(d).name != "optax"]
    third_party += [str(r) for p in PACKAGES for k, r in requirements(p).items() if k not in PACKAGES]
    with tempfile.TemporaryDirectory() as directory:
        wheels, env = Path(directory, "wheels"), Path(directory, "env")
        for sibling, low in oldest.items():
            build_release(sibling, low, wheels)
        for other in PACKAGES:
            if other not in oldest:  # the package itself, and those that its tests may use to reach it: `optax.adam`
                build(source(other), wheels, "wheel")
        python = env / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        install = ["uv", "pip", "install", "-q", "-p", str(python)]
        subprocess.run(["uv", "venv", "-q", "-p", sys.executable, str(env)], check=True)
        # These first: what third parties require is then there already, and not looked for on the package index.
        subprocess.run([*install, "--no-deps", *map(str, wheels.glob("*.whl")), str(stand_in)], check=True)
        subprocess.run([*install, *third_party], check=True)
        tests = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *folders]
        return subprocess.run(tests, cwd=ROOT).returncode == 0


def main(arguments: list[str]) -> int:
    """Run a command line; returns the exit status."""
    match arguments:
        case ["build", *directory]:
            build_all(Path(*directory or ["dist"]))
            return 0
        case ["check"]:
            with tempfile.TemporaryDirectory() as directory:
                build_all(Path(directory))
                problems = check(Path(directory))
            print(*problems or ["the packages can be released together"], sep="\n")
            return bool(problems)
        case ["contract", *names]:
            kept = [contract(name) for name in names or PACKAGES]  # all of them, also after one that is not
            return not all(kept)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

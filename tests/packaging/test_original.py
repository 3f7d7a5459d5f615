"""Beside the distribution named optax: optax-core works, every other package says what is wrong, and what to do."""

import re
from pathlib import Path

import pytest

import release
from environments import Environment, link_distributions

pytestmark = pytest.mark.index

ORIGINAL = "optax==0.2.8"

ORIGINAL_WORKS = "import optax; assert not hasattr(optax, '__optax_meta__'); optax.adam(1e-3).init(0.0)"
CORE_WORKS = """
import jax.numpy as jnp
import optax.core
params = {"w": jnp.ones(3)}
assert optax.core.apply_updates(params, params)["w"].tolist() == [2.0, 2.0, 2.0]
"""
BOTH_WORK = (
    CORE_WORKS
    + """\
import optax
tx = optax.core.chain(optax.sgd(0.5))
updates, state = tx.update(params, tx.init(params), params)
assert optax.core.apply_updates(params, updates)["w"].tolist() == [0.5, 0.5, 0.5]
"""
)
META_WORKS = "import optax; assert optax.__optax_meta__; optax.losses, optax.optimizers, optax.tree"


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What our packages need, and what the original needs."""
    return link_distributions(tmp_path_factory.mktemp("dependencies"), "jax", "numpy", "absl-py")


def selection(name: str) -> list[str]:
    """A package with its siblings, in an order of installation."""
    return [sibling for sibling in release.PACKAGES if sibling in release.requirements(name) or sibling == name]


def doctor(environment: Environment) -> tuple[int, str]:
    """Exit status and output of the doctor."""
    done = environment.run("-m", "optax.core.doctor")
    assert not done.stderr
    return done.returncode, done.stdout


def follow(environment: Environment, wheels: dict[str, str], advice: str) -> None:
    """Run the pip commands in a text, with the wheels built here in place of the package index."""
    commands = re.findall(r"^    python -m pip (\w+) (.+)$", advice, re.MULTILINE)
    assert commands
    for command, arguments in commands:
        names = [argument for argument in arguments.split() if not argument.startswith("-")]
        if command == "uninstall":
            environment.uninstall(*names)
        else:
            environment.install(*(wheels.get(name, ORIGINAL) for name in names))


@pytest.mark.parametrize("first", ["core", "original"])
def test_core_works_beside_the_original(first: str, wheels: dict[str, str], environment: Environment) -> None:
    for wheel in (wheels["optax-core"], ORIGINAL) if first == "core" else (ORIGINAL, wheels["optax-core"]):
        environment.install(wheel)
    environment.check(BOTH_WORK)
    assert doctor(environment)[0] == 0
    environment.uninstall("optax")
    environment.check(CORE_WORKS)


@pytest.mark.parametrize("name", release.PACKAGES[1:])
def test_a_package_installed_over_the_original_is_refused(
    name: str, wheels: dict[str, str], environment: Environment
) -> None:
    environment.install(ORIGINAL)
    environment.install(*(wheels[sibling] for sibling in selection(name)))
    for part in release.parts(name):
        done = environment.run("-c", f"import optax.{part}")
        assert done.returncode != 0
        assert "OptaxCollisionError: two distributions have installed different files" in done.stderr


@pytest.mark.parametrize("keep", ["ours", "theirs"])
def test_the_error_tells_how_to_repair_it(keep: str, wheels: dict[str, str], environment: Environment) -> None:
    environment.install(ORIGINAL)
    environment.install(*wheels.values())
    error = environment.run("-c", "import optax").stderr
    keep_ours, keep_theirs = error.split("To keep the distribution named optax:")
    if keep == "ours":
        follow(environment, wheels, keep_ours)
        environment.check(META_WORKS)
        assert doctor(environment)[0] == 0
    else:
        follow(environment, wheels, keep_theirs)
        environment.check(ORIGINAL_WORKS)


@pytest.mark.parametrize("name", release.PACKAGES[1:])
def test_the_doctor_notices_the_original_over_a_package(
    name: str, wheels: dict[str, str], environment: Environment
) -> None:
    environment.install(*(wheels[sibling] for sibling in selection(name)))
    environment.install(ORIGINAL)
    status, advice = doctor(environment)
    assert status == 1
    assert f"has files of the same names as {', '.join(selection(name)[1:])}" in advice


@pytest.mark.parametrize("gone", [False, True], ids=["original still there", "original uninstalled"])
def test_the_doctor_tells_how_to_repair_it(gone: bool, wheels: dict[str, str], environment: Environment) -> None:
    environment.install(*wheels.values())
    environment.install(ORIGINAL)
    environment.check(ORIGINAL_WORKS)
    if gone:
        environment.uninstall("optax")
    status, advice = doctor(environment)
    assert status == 1
    assert ("is missing" if gone else "was changed") in advice
    follow(environment, wheels, advice)
    assert doctor(environment)[0] == 0
    environment.check(META_WORKS)

"""The distribution named optax that has no files: it satisfies a requirement, and optax-meta does the work."""

from pathlib import Path

from environments import Environment


def test_the_stand_in_adds_a_name_and_nothing_else(
    stand_in: str, wheels: dict[str, str], environment: Environment
) -> None:
    environment.install(*wheels.values())
    before = environment.contents
    environment.install(stand_in)
    assert {Path(added).parts[0] for added in environment.contents - before} == {"optax-0.2.8+meta.1.dist-info"}
    environment.check(
        "import importlib.metadata, optax, optax.core.doctor\n"
        "assert importlib.metadata.version('optax') == '0.2.8+meta.1'\n"
        "assert optax.core.doctor.main() == 0\n"
        "optax.apply_updates, optax.optimizers"
    )

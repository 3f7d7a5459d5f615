"""Tell our `optax` namespace from someone else's `optax` package.

In this project `optax` is a namespace package (PEP 420) without an `__init__.py`, except that `optax-meta` puts one
there which says `__optax_meta__`. Any other `optax/__init__.py` belongs to a different distribution, the original one
named `optax` in all likelihood. `optax.core` shares no file with that and works beside it. The other packages share
some: then the files of one distribution have overwritten the other's, and the import must not go on.
"""

import os
import sys

__all__ = ["DISTRIBUTIONS", "OptaxCollisionError", "check"]

DISTRIBUTIONS = ("optax-core", "optax-schedules", "optax-losses", "optax-transforms", "optax-estimators", "optax-meta")
"""The distributions of this project, each after those that it needs."""

_MESSAGE = """\
two distributions have installed different files under {directory!r}: {evidence}.
The one has overwritten files of the other, so neither can be trusted.
To keep {ours}:
    python -m pip uninstall -y optax
    python -m pip install --force-reinstall --no-deps {ours}
To keep the distribution named optax:
    python -m pip uninstall -y {ours}
    python -m pip install --force-reinstall --no-deps optax
If another library requires a distribution named optax, see "Living beside the original" in the README."""


class OptaxCollisionError(ImportError):
    """Two distributions have written to the same `optax` directory."""


def check() -> None:
    """Refuse to go on if the `optax` that is being imported is not this project's.

    Every package but `optax.core` calls this before its other imports.

    Raises:
      OptaxCollisionError: the directory has an `__init__.py` that is not the one of `optax-meta`, or has it next to
        files of the original.
    """
    parent = sys.modules.get("optax")
    init = getattr(parent, "__file__", None)
    if init is None:  # a namespace: nobody has put an optax/__init__.py there
        return
    directory = os.path.dirname(init)
    if not hasattr(parent, "__optax_meta__"):
        raise _error(directory, "its __init__.py is not the one of optax-meta")
    if os.path.isdir(os.path.join(directory, "_src")):
        raise _error(directory, "it has a directory '_src', which no package of this project has")


def _error(directory: str, evidence: str) -> OptaxCollisionError:
    from importlib import metadata  # slow to import, and needed here only

    installed = []
    for name in DISTRIBUTIONS:
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        installed.append(name)
    message = _MESSAGE.format(directory=directory, evidence=evidence, ours=" ".join(installed))
    return OptaxCollisionError(message, name="optax", path=directory)

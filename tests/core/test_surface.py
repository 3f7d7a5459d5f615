"""The surface of optax.core that other libraries pin, written down in surface.txt.

A change that only adds lines there needs a new minor version of optax-core, one that alters or removes a line a new
major version. To write it anew: python tests/core/test_surface.py
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import optax.core
import optax.core.testing

RECORD = Path(__file__).with_name("surface.txt")


def surface() -> Iterator[str]:
    """One line a public name: its parameters with their defaults, or the fields of a named tuple."""
    for module in (optax.core, optax.core.tree, optax.core.testing):
        names = module.__all__
        for name in sorted(names):
            value = getattr(module, name)
            if not isinstance(value, ModuleType):
                yield f"{module.__name__}.{name}{_shape(value)}"


def _shape(value: object) -> str:
    if hasattr(value, "_fields"):
        return f"({', '.join(value._fields)})"
    if not inspect.isfunction(value):
        return ""
    signature = inspect.signature(value)
    parameters = [
        p.replace(annotation=p.empty, default=_Named(p.default)) if inspect.isfunction(p.default) else p
        for p in (p.replace(annotation=p.empty) for p in signature.parameters.values())
    ]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


class _Named:
    """Prints a function as its name."""

    def __init__(self, function: object):
        self.function = function

    def __repr__(self) -> str:
        return str(self.function.__name__)


def test_nothing_has_changed() -> None:
    assert list(surface()) == RECORD.read_text().splitlines()


if __name__ == "__main__":
    RECORD.write_text("".join(f"{line}\n" for line in surface()))

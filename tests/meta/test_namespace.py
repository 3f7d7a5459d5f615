"""`import optax` is the union of its parts, each fetched when it is first asked for."""

import ast
import importlib
import inspect
import json
import pickle
import pkgutil
import pydoc
import subprocess
import sys
from types import ModuleType

import pytest

import optax
import optax.tree

PARTS = (*optax._FLAT, *optax._NESTED)


def public(part: str) -> dict[str, object]:
    """The public names of a part and their values."""
    module = importlib.import_module(f"optax.{part}")
    return {k: v for k, v in vars(module).items() if not k.startswith("_") and not isinstance(v, ModuleType)}


FLAT_NAMES = sorted({name for part in (*optax._FLAT, "_older") for name in public(part)})


def fresh(code: str) -> object:
    """What code, run in a new interpreter, prints as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_one_home_per_name() -> None:
    # A part may repeat a name of one below it, but nothing else by that name.
    values = {name: [public(part)[name] for part in optax._FLAT if name in public(part)] for name in FLAT_NAMES}
    assert [name for name, found in values.items() if any(value is not found[0] for value in found)] == []


def test_no_name_is_a_part() -> None:
    # The import of the part would put the module in the place of the name.
    assert {*FLAT_NAMES} & {*PARTS} == set()


@pytest.mark.parametrize("part", optax._FLAT)
def test_every_public_name_of_a_flat_part_is_a_name_of_optax(part: str) -> None:
    for name, value in public(part).items():
        assert getattr(optax, name) is value


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_a_module_of_optax(part: str) -> None:
    assert getattr(optax, part) is importlib.import_module(f"optax.{part}")


def test_names_are_listed() -> None:
    assert sorted({*FLAT_NAMES, *PARTS}) == optax.__all__
    assert {*optax.__all__} <= {*dir(optax)}
    leaked = {name for name in dir(optax) if not name.startswith("_")} - {*optax.__all__}
    assert leaked == set()


def test_star_import() -> None:
    namespace: dict[str, object] = {}
    exec("from optax import *", namespace)
    assert {*optax.__all__} == namespace.keys() - {"__builtins__"}


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="no attribute 'aply_updates'; did you mean 'apply_updates'"):
        _ = optax.aply_updates
    with pytest.raises(AttributeError, match=r"^module 'optax' has no attribute 'zzzzzzzz'$"):
        _ = optax.zzzzzzzz
    with pytest.raises(ImportError, match="cannot import name 'aply_updates'"):
        exec("from optax import aply_updates")


def test_private_names_of_the_parts_are_not_names_of_optax() -> None:
    with pytest.raises(AttributeError, match="has no attribute '_leaves'"):
        _ = optax._leaves


@pytest.mark.parametrize("part", optax._FLAT)
def test_functions_and_classes_pickle_by_reference(part: str) -> None:
    for value in public(part).values():
        if inspect.isfunction(value) or inspect.isclass(value):
            assert pickle.loads(pickle.dumps(value)) is value


def test_tree_is_the_tree_of_core() -> None:
    assert public("tree") == public("core.tree")


def test_type_checkers_are_told_the_same() -> None:
    (block,) = (
        node
        for node in ast.parse(inspect.getsource(optax)).body
        # By any other name, type checkers would read `__getattr__` and accept every attribute.
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    flat, modules = set(), set()
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        if node.module == "optax":
            assert all(alias.asname == alias.name for alias in node.names)  # re-exported
            modules |= {alias.name for alias in node.names}
        else:
            assert [alias.name for alias in node.names] == ["*"]
            flat.add(str(node.module))
    assert flat == {f"optax.{part}" for part in (*optax._FLAT, "_older", "_deprecated")}
    assert modules == {*PARTS} - {"tree"}  # comes with the names of optax.core


def test_every_installed_part_is_listed() -> None:
    found = {module.name for module in pkgutil.iter_modules(optax.__path__)}
    assert {name for name in found if not name.startswith("_")} == {*PARTS}


IMPORTED = """
import json, sys
import jax, jax.numpy
before = {*sys.modules}
%s
print(json.dumps(sorted({*sys.modules} - before)))
"""


def imports(code: str) -> tuple[set[str], list[str]]:
    """The parts of optax, and all the modules, that code imports besides JAX."""
    modules = fresh(IMPORTED % code)
    assert isinstance(modules, list)
    split = [module.split(".") for module in modules]
    return {names[1] for names in split if names[0] == "optax" and len(names) > 1 and names[1][0] != "_"}, modules


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("import optax; optax.apply_updates, hasattr(optax, '__wrapped__')", {"core"}),
        ("import optax.losses", {"core", "losses"}),
        ("import optax; optax.losses", {"core", "losses"}),
        ("import optax.schedules", {"core", "schedules"}),
        ("import optax.estimators", {"core", "estimators"}),
        ("import optax.transforms", {"core", "schedules", "transforms"}),
        ("import optax.tree", {"core", "tree"}),
    ],
)
def test_one_part_does_not_import_the_others(code: str, parts: set[str]) -> None:
    """Defect H2: the original always imports all of its parts, and absl."""
    found, modules = imports(code)
    assert found <= parts
    assert not {"chex", "absl", "tensorflow_probability"} & {*modules}
    if found <= {"core", "losses", "schedules"}:  # the small packages are small
        assert len(modules) < 60, modules


@pytest.mark.parametrize("part", PARTS)
def test_help_lists_the_names(part: str) -> None:
    module = importlib.import_module(f"optax.{part}")
    text = pydoc.render_doc(module, renderer=pydoc.plaintext)
    functions = {name: value for name, value in public(part).items() if inspect.isfunction(value)}
    assert [name for name, value in functions.items() if f"{value.__name__}(" not in text] == []
    assert functions.keys() <= {*module.__all__}


def test_help_of_optax_lists_the_names_of_the_parts() -> None:
    text = pydoc.render_doc(optax, renderer=pydoc.plaintext)
    assert "apply_updates(" in text
    assert "squared_error(" in text

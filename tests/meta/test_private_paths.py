"""Private module paths of the original that existing code imports: they resolve, and warn with the public spelling.

private.txt has, for each module of the original 0.2.8 that has no file here, the names that code can take from it.
"""

import importlib
import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import optax
from optax import _leftovers, _private

NAMES = {
    path: names.split()
    for path, names in (line.split(": ") for line in Path(__file__).with_name("private.txt").read_text().splitlines())
}
# In no public module, though not spelled with an underscore.
WITHOUT_PUBLIC_SPELLING = {name for name in _leftovers.__all__ if not name.startswith("_")}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """As if no private module had been imported yet, before and after."""

    def forget() -> None:
        for name in _private.PATHS:
            parent = sys.modules.get(name)
            for child in _private.PATHS[name]:
                sys.modules.pop(f"{name}.{child}", None)
                vars(parent).pop(child, None) if parent else None

    forget()
    yield
    forget()


def warned(code: str, namespace: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The names that code defines, and the messages of its warnings, all of them at the code itself."""
    namespace = {"optax": optax, "__name__": "client"} if namespace is None else namespace
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(compile(code, "client.py", "exec"), namespace)
    assert {(w.category, w.filename) for w in caught} <= {(DeprecationWarning, "client.py")}
    return namespace, [str(w.message) for w in caught]


def quietly(path: str) -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(path)


def test_every_path_is_written_down() -> None:
    ours = {f"{package}.{name}" for package, names in _private.PATHS.items() for name in names}
    assert ours - {"optax._src", "optax.utils"} == NAMES.keys()  # `optax.utils` is of the older documents


@pytest.mark.parametrize("path", NAMES)
def test_a_path_has_the_names_that_it_had(path: str) -> None:
    module = quietly(path)
    for name in NAMES[path]:
        value = getattr(module, name)
        if name not in WITHOUT_PUBLIC_SPELLING:
            parent = path.rpartition(".")[0].replace("_src", "").rstrip(".")
            public = [vars(optax.experimental.aggregating)] if "experimental" in path else []
            public += [{n: getattr(m, n) for n in [name] if hasattr(m, n)} for m in (quietly(parent), optax)]
            assert any(value is namespace.get(name) for namespace in public)


@pytest.mark.parametrize("path", NAMES)
def test_a_path_warns_once_with_the_public_spelling(path: str) -> None:
    parent, _, child = path.rpartition(".")
    name = NAMES[path][0]
    lines = [f"import {path}", f"from {parent} import {child}", f"from {path} import {name}", f"{path}.{name}"]
    _, (message,) = warned("\n".join(lines))
    public = message.rpartition("use ")[2].removesuffix(".<name>")
    assert message == f"the module {path} is private; its names are in {public}: use {public}.<name>"
    assert any(hasattr(importlib.import_module(public), name) for name in NAMES[path])


@pytest.mark.parametrize(
    "path", ["optax._src.base", "optax.contrib._muon", "optax.tree_utils._state_utils", "optax.utils"]
)
def test_a_path_is_found_as_an_attribute(path: str) -> None:
    namespace, (message,) = warned(f"found = {path}; again = {path}")
    assert path in message
    assert namespace["found"] is namespace["again"] is sys.modules[path]


def test_what_public_code_takes_from_them() -> None:
    code = """
from optax._src import alias, base, combine, factorized, linear_algebra, numerics, schedule, transform, update, utils
from optax._src import wrappers
from optax._src.alias import adamw, lars
from optax._src.base import PyTree, init_empty_state
from optax._src.numerics import abs_sq, safe_int32_increment, safe_norm
from optax._src.transform import NamedTuple
from optax._src.utils import canonicalize_dtype
from optax._src.wrappers import ShouldSkipUpdateFunction
from optax.contrib._muon import MuonDimensionNumbers, muon, scale_by_muon
from optax.contrib._privacy import differentially_private_aggregate
from optax.transforms._masking import MaskedNode, MaskedState
"""
    names, messages = warned(code)
    assert len(messages) == len({*messages}) == 14
    public = "abs_sq adamw differentially_private_aggregate init_empty_state lars muon safe_int32_increment safe_norm"
    for name in f"{public} MaskedNode MaskedState MuonDimensionNumbers PyTree scale_by_muon".split():
        assert names[name] is getattr(optax, name)
    assert names["alias"].transform is names["transform"]
    assert names["linear_algebra"].lax is jax.lax
    assert names["linear_algebra"].global_norm is optax.global_norm
    assert names["combine"].chain is optax.chain
    assert names["update"].apply_updates is optax.apply_updates
    assert names["utils"].multi_normal is optax.multi_normal

    class State(names["NamedTuple"]):  # type: ignore[misc]
        count: int

    assert State(3)._asdict() == {"count": 3}


def test_canonicalize_dtype() -> None:
    canonicalize_dtype = quietly("optax._src.utils").canonicalize_dtype
    assert canonicalize_dtype(None) is None
    assert canonicalize_dtype("bfloat16") == jnp.bfloat16
    assert canonicalize_dtype("float64") == jax.dtypes.canonicalize_dtype("float64")


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((), None),
        ((300,), None),
        ((128, 256), (0, 1)),
        ((256, 128), (1, 0)),
        ((100, 200), None),
        ((4, 128, 256), (1, 2)),
        ((200, 200, 200), (1, 2)),
        ((130, 128, 1, 130), (0, 3)),
    ],
)
def test_factored_dims_is_what_the_original_says(shape: tuple[int, ...], axes: tuple[int, int] | None) -> None:
    factored_dims = quietly("optax._src.factorized")._factored_dims  # results recorded from the original 0.2.8
    assert factored_dims(shape, True, 128) == axes
    assert factored_dims(shape, False, 128) is None
    if axes:  # and what our own transformation does
        state = optax.scale_by_factored_rms().init(jax.ShapeDtypeStruct(shape, jnp.float32))
        second, longest = axes
        assert state.v_row.shape == tuple(n for i, n in enumerate(shape) if i != longest)
        assert state.v_col.shape == tuple(n for i, n in enumerate(shape) if i != second)


def test_other_names_of_factorized() -> None:
    factorized = quietly("optax._src.factorized")
    assert factorized._decay_rate_pow(3, 0.5) == 0.5
    assert float(factorized._decay_rate_pow(jnp.int32(0))) == 0
    result = factorized._UpdateResult(update=1, v_row=2, v_col=3, v=4)
    assert jax.tree.leaves({"w": result}) == [result]


def test_a_registry_finds_the_optimizers() -> None:
    found = {name: value for name, value in vars(quietly("optax._src.alias")).items() if callable(value)}
    assert {*NAMES["optax._src.alias"]} <= found.keys() | {"MaskOrFn"}
    assert found["adam"] is optax.adam
    assert "adam" in dir(quietly("optax._src.alias"))


def test_star_import() -> None:
    names, messages = warned("from optax._src.alias import *")
    assert names["adamw"] is optax.adamw
    assert names["base"].GradientTransformation is optax.GradientTransformation
    assert names["jnp"] is jnp
    assert "Optional" in names
    # It asks for the modules next to it too.
    assert {message.split()[2] for message in messages} == {f"optax._src.{m}" for m in _private.PATHS["optax._src"]}


STATES = [
    (path, name)
    for path, names in NAMES.items()
    for name in names
    if isinstance(getattr(optax, name, None), type) and issubclass(getattr(optax, name), tuple) and name != "MultiSteps"
]


@pytest.mark.parametrize(("path", "name"), STATES)
def test_pickles_of_the_original_are_read(path: str, name: str) -> None:
    cls = getattr(optax, name)
    needed = [field for field in cls._fields if field not in cls._field_defaults]
    # Written with the original: the global name of the class, called with its fields, here all None.
    fields = b"N" * len(needed)
    pickled = b"c" + path.encode() + b"\n" + name.encode() + b"\n(" + fields + b"t\x81."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        read = pickle.loads(pickled)
    assert type(read) is cls
    assert read == cls(*[None] * len(needed))


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("import optax._src.clipping", ModuleNotFoundError, "'optax._src.clipping'; every public name is in 'optax'"),
        ("import optax.contrib._nope", ModuleNotFoundError, "'optax.contrib._nope'"),
        ("from optax._src import clipping", ImportError, "'clipping' from 'optax._src'"),
        ("optax._src.clipping", AttributeError, "'optax._src' has no attribute 'clipping'"),
        ("optax._nope", AttributeError, "'optax' has no attribute '_nope'"),
        ("optax.contrib._nope", AttributeError, "'optax.contrib' has no attribute '_nope'"),
        ("optax.contrib.nope", AttributeError, "'optax.contrib' has no attribute 'nope'"),
        ("optax.tree_utils.nope", AttributeError, "'optax.tree_utils' has no attribute 'nope'"),
        ("optax._src.base.nope", AttributeError, "'nope': it is private, and only public names are kept"),
        ("optax._src.base._nope", AttributeError, "'_nope': it is private, and only public names are kept"),
    ],
)
def test_what_is_not_there(code: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        warned(code)
    assert message in str(caught.value)


def test_none_is_imported_before_it_is_asked_for() -> None:
    code = """
import json, sys, warnings
warnings.simplefilter("error")
import optax
optax.adam, optax.contrib, optax.tree_utils.tree_add, optax.transforms.MaskedNode, dir(optax), hasattr(optax, "nope")
print(json.dumps([*sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = {*json.loads(done.stdout)}
    paths = {f"{package}.{name}" for package, names in _private.PATHS.items() for name in names}
    assert not {*paths, "optax._deprecated", "optax._leftovers"} & modules
    assert {"optax.contrib", "optax.tree_utils"} <= modules

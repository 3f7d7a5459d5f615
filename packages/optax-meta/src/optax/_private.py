"""What existing code uses that is not public, or no longer: it resolves, with one warning that names the replacement.

Module paths that were never public, such as `optax._src.base`, have no file here. A finder makes the module when it is
imported. It holds the names of the public modules in which they are now.
"""

import functools
import sys
import typing
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["PATHS", "REPLACEMENTS", "adopt", "older"]

PATHS: dict[str, dict[str, str]] = {
    "optax": {"_src": "", "utils": "core"},
    "optax._src": {
        "alias": "optimizers",
        "base": "core",
        "combine": "transforms",
        "constrain": "transforms",
        "factorized": "optimizers",
        "linear_algebra": "linear_algebra",
        "linesearch": "linesearch",
        "lookahead": "wrappers",
        "numerics": "core",
        "schedule": "schedules",
        "transform": "transforms optimizers",
        "update": "core",
        "utils": "core",
        "wrappers": "wrappers transforms",
    },
    "optax.assignment": {"_hungarian_algorithm": "assignment"},
    "optax.contrib": {
        f"_{name}": "contrib"
        for name in (
            *("acprop", "ademamix", "adopt", "cocob", "complex_valued", "dadapt_adamw", "dog", "galore", "madgrad"),
            *("mechanic", "momo", "muon", "privacy", "prodigy", "reduce_on_plateau", "sam", "schedule_free", "sophia"),
        )
    },
    "optax.experimental": {"_aggregating": "experimental.aggregating"},
    "optax.losses": {"_self_supervised": "losses", "_smoothing": "losses"},
    "optax.microbatching": {"_microbatching": "microbatching"},
    "optax.perturbations": {"_make_pert": "perturbations"},
    "optax.schedules": {"_schedule": "schedules"},
    "optax.second_order": {"_deprecated": "second_order"},
    "optax.transforms": {
        f"_{name}": "transforms wrappers"
        for name in (
            *("accumulation", "adding", "clipping", "combining", "conditionality", "constraining", "freezing"),
            *("layouts", "masking", "monitoring"),
        )
    },
    "optax.tree_utils": dict.fromkeys(("_casting", "_random", "_state_utils", "_tree_math"), "tree_utils"),
}
"""Private module paths by package, each with the parts of `optax` that its names are in now, the main one first."""

REPLACEMENTS = {
    "optax.additive_weight_decay": "optax.add_decayed_weights",
    "optax.delta": "optax.control_delta_method",
    "optax.piecewise_linear_schedule": 'optax.piecewise_interpolate_schedule("linear", ...)',
    "optax.scale_and_decay": "optax.chain(optax.add_decayed_weights(weight_decay), optax.scale(step_size))",
    "optax.tree_utils.tree_add_scalar_mul": "optax.tree.add_scale",
    "optax.tree_utils.tree_l1_norm": "optax.tree.norm(..., ord=1)",
    "optax.tree_utils.tree_l2_norm": "optax.tree.norm",
    "optax.tree_utils.tree_linf_norm": 'optax.tree.norm(..., ord="inf")',
    "optax.tree_utils.tree_scalar_mul": "optax.tree.scale",
}
"""Deprecated names, defined in `optax._deprecated`, and what to write instead."""

# Modules and types that the files of the original import, and that other code takes from them or star-imports.
_MODULES = {"functools": "functools", "jax": "jax", "jnp": "jax.numpy", "lax": "jax.lax", "np": "numpy"}
_TYPES = ["Any", "Callable", "NamedTuple", "Optional", "Protocol", "Sequence", "Union"]


class _Finder(MetaPathFinder, Loader):
    """Finds the modules at `PATHS`, and makes them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        parent, _, child = fullname.rpartition(".")
        if child in PATHS.get(parent, {}):
            return ModuleSpec(fullname, self, is_package=fullname in PATHS)
        if parent == "optax._src":
            raise ModuleNotFoundError(f"no module named {fullname!r}; every public name is in 'optax'", name=fullname)
        return None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to the import system."""

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        if name in PATHS:  # a package: only its modules are asked for
            adopt(module.__dict__)
            return
        parent, _, child = name.rpartition(".")
        parts = PATHS[parent][child].split()
        public = "optax" if parent in ("optax", "optax._src") else f"optax.{parts[0]}"
        _warn(f"the module {name} is private; its names are in {public}: use {public}.<name>")
        names = module.__dict__
        for part in reversed(parts):
            home = import_module(f"optax.{part}")
            names.update({attribute: getattr(home, attribute) for attribute in home.__all__})
        siblings = PATHS[parent].keys() - {child} if parent == "optax._src" else ()
        names["__all__"] = sorted({*names, *siblings, *_MODULES, *_TYPES} - {n for n in names if n.startswith("_")})
        names["__getattr__"] = functools.partial(_leftover, name, public)


sys.meta_path.append(_Finder())  # at the end: it is asked about what no file defines


def adopt(module: dict[str, Any]) -> None:
    """Give a module, by its namespace, the private modules in it and the deprecated names."""
    module["__path__"] = []  # import takes what has one for a package, and looks for modules in packages only
    module["__getattr__"] = functools.partial(older, module["__name__"])


def older(module: str, name: str) -> Any:
    """What a public module has besides its public names.

    Args:
      module: name of the module.
      name: the name that it does not define.

    Returns:
      A private module of existing code, or a deprecated function.

    Raises:
      AttributeError: it is neither.
    """
    if name in PATHS.get(module, {}):
        return import_module(f"{module}.{name}")
    if f"{module}.{name}" in REPLACEMENTS:
        return _deprecated(module, name)
    raise AttributeError(f"module {module!r} has no attribute {name!r}", name=name)


@functools.cache  # one warning for each
def _deprecated(module: str, name: str) -> Any:
    _warn(f"{module}.{name} is deprecated: use {REPLACEMENTS[f'{module}.{name}']}")
    return getattr(import_module("optax._deprecated"), name)


def _leftover(module: str, public: str, name: str) -> Any:
    """What a private module has besides the names of the parts that it is made of."""
    leftovers = import_module("optax._leftovers")
    if name in leftovers.__all__:
        return getattr(leftovers, name)
    if name in PATHS["optax._src"]:
        return import_module(f"optax._src.{name}")
    if not name.startswith("_"):
        for home in (import_module(public), import_module("optax")):
            if hasattr(home, name):
                return getattr(home, name)
        if name in _MODULES:
            return import_module(_MODULES[name])
        if name in typing.__all__:
            return getattr(typing, name)
    message = f"module {module!r} has no attribute {name!r}: it is private, and only public names are kept"
    raise AttributeError(message, name=name)


def _warn(message: str) -> None:
    """Give a DeprecationWarning at the innermost line that is neither in this library nor in the import system."""
    frame = sys._getframe(1)
    while frame.f_back and _internal(frame.f_globals):
        frame = frame.f_back
    seen = frame.f_globals.setdefault("__warningregistry__", {})
    name = frame.f_globals.get("__name__")
    warnings.warn_explicit(message, DeprecationWarning, frame.f_code.co_filename, frame.f_lineno, name, seen)


def _internal(namespace: dict[str, Any]) -> bool:
    return str(namespace.get("__name__")).partition(".")[0] in ("importlib", "_frozen_importlib", "optax")

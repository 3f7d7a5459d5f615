"""Optimizers, schedules, losses and gradient estimators for JAX, under one name.

Each name is defined in one part (`optax.adam` in `optax.optimizers`) and fetched from it when it is first asked for:
to import one part never imports the others. This file is the only `optax/__init__.py` of the project and belongs to
the distribution `optax-meta`; without it, `optax` is a namespace package in which the installed parts are found.
"""

from importlib import import_module as _import_module
from pkgutil import extend_path as _extend_path
from typing import TYPE_CHECKING

# The parts may lie on other path entries (editable installs do): keep looking where a namespace package would.
__path__ = _extend_path(__path__, __name__)

# `optax.core._collision` knows this file by it.
__optax_meta__ = True

from optax._meta_version import __version__ as __version__
from optax.core import _collision

_collision.check()
del _collision

from optax import _private  # makes `optax._src` and the like known to import

# The parts whose public names are names of `optax` too, in the order in which they are searched.
_FLAT = (
    "core",
    "transforms",
    "optimizers",
    "schedules",
    "losses",
    "wrappers",
    "estimators",
    "linear_algebra",
    "linesearch",
)
# The parts that are only modules of `optax`: `optax.tree.sum`, not `optax.sum`.
_NESTED = (
    "assignment",
    "contrib",
    "experimental",
    "microbatching",
    "monte_carlo",
    "perturbations",
    "projections",
    "second_order",
    "tree",
    "tree_utils",
)

if TYPE_CHECKING:  # the same for type checkers, which do not know this condition by any other name
    from optax import assignment as assignment
    from optax import contrib as contrib
    from optax import core as core
    from optax import estimators as estimators
    from optax import experimental as experimental
    from optax import linear_algebra as linear_algebra
    from optax import linesearch as linesearch
    from optax import losses as losses
    from optax import microbatching as microbatching
    from optax import monte_carlo as monte_carlo
    from optax import optimizers as optimizers
    from optax import perturbations as perturbations
    from optax import projections as projections
    from optax import schedules as schedules
    from optax import second_order as second_order
    from optax import transforms as transforms
    from optax import tree_utils as tree_utils
    from optax import wrappers as wrappers
    from optax._deprecated import *
    from optax._older import *
    from optax.core import *  # with optax.core.tree, which optax.tree repeats
    from optax.estimators import *
    from optax.linear_algebra import *
    from optax.linesearch import *
    from optax.losses import *
    from optax.optimizers import *
    from optax.schedules import *
    from optax.transforms import *
    from optax.wrappers import *
else:
    del TYPE_CHECKING  # no name of ours

    def __getattr__(name: str) -> object:
        if name in _FLAT or name in _NESTED:
            return _import_module(f"optax.{name}")
        if name == "__all__":
            return sorted({*_FLAT, *_NESTED}.union(*(part.__all__ for part in _searched())))
        if name.startswith("_"):  # inspecting tools ask for many of these, and no part has any to offer
            return _private.older(__name__, name)
        for part in _searched():
            if name in part.__all__:
                return globals().setdefault(name, getattr(part, name))
        try:
            return _private.older(__name__, name)
        except AttributeError as error:
            message = str(error)

        from difflib import get_close_matches

        close = get_close_matches(name, __getattr__("__all__"), n=1)
        raise AttributeError(message + "".join(f"; did you mean {other!r}?" for other in close), name=name)

    def _searched() -> object:
        for part in (*_FLAT, "_older"):  # one by one: what is found in the first imports no other
            yield _import_module(f"optax.{part}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})

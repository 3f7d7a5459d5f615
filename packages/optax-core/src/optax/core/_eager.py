"""Calls outside of `jax.jit`, compiled all the same: one program a call, not one for every operation of every leaf.

What a transformation does is told by its recipe, so equal ones share a program, also if one is made in every step. A
function of the user's among its arguments may read what changes: then each operation runs by itself, as ever.
"""

import dataclasses
import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import jax
import numpy as np

from optax.core._numerics import is_float0
from optax.core._recipe import Recipe, address

F = TypeVar("F", bound=Callable[..., Any])

FACTORY_MARK = "_makes_transformations"

_PURE = {"optax", "jax", "jaxlib", "numpy", "ml_dtypes", "builtins"}  # packages whose functions read arguments alone
_LARGEST = 2**16  # elements of an array among the arguments of a factory: it becomes a constant of the program
_KEPT = 512  # transformations whose programs are kept

_READS_A_VALUE = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)

_array_types: set[type] = set()  # the classes of JAX arrays that were met: `isinstance` takes long with these


class _Program:
    """A function that is to be compiled, and the recipe of what it is part of, which tells what it does."""

    __slots__ = ("_run", "function", "recipe")

    def __init__(self, function: Callable[..., Any], recipe: Recipe | None):
        self.function = function
        self.recipe = recipe
        self._run: Callable[..., Any] | None = None

    def __eq__(self, other: object) -> bool:
        # The printed form too: 1 equals 1.0 and True, but need not do the same.
        return isinstance(other, _Program) and self.recipe == other.recipe and repr(self.recipe) == repr(other.recipe)

    def __hash__(self) -> int:
        return hash(self.recipe)

    def __call__(self, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        run = self._run
        if run is None:
            run = self._run = _compiled(self) if is_determined(self.recipe) else self.function
        if run is self.function:
            return run(*args, **kwargs)
        try:
            computed: _Computed = run(*args, **kwargs)
            if computed.leaves:
                return computed.among(inputs)
        except _READS_A_VALUE:  # of another's factory: its `update` looks at numbers
            self._run = self.function
        except Exception:  # comes again below, without JAX's remarks on its traceback
            pass
        return self.function(*args, **kwargs)


class _Computed(NamedTuple):
    """The results of a program without those that are arguments of it, which come back as they are, not as copies."""

    leaves: list[Any]
    treedef: Any
    passed: tuple[int | None, ...]  # for each leaf of the results, the number of the argument that it is

    def among(self, inputs: list[Any]) -> Any:
        if len(self.leaves) == len(self.passed):
            return self.treedef.unflatten(self.leaves)
        new = iter(self.leaves)
        return self.treedef.unflatten([next(new) if i is None else inputs[i] for i in self.passed])


jax.tree_util.register_pytree_node(
    _Computed, lambda x: (x.leaves, x[1:]), lambda static, leaves: _Computed(list(leaves), *static)
)


@functools.lru_cache(maxsize=_KEPT)
def _compiled(program: _Program) -> Callable[..., _Computed]:
    def run(*args: Any, **kwargs: Any) -> _Computed:
        numbers = {id(x): i for i, x in enumerate(jax.tree.leaves((args, kwargs)))}
        leaves, treedef = jax.tree.flatten(program.function(*args, **kwargs))
        passed = tuple(numbers.get(id(x)) for x in leaves)
        return _Computed([x for x, i in zip(leaves, passed, strict=True) if i is None], treedef, passed)

    return jax.jit(functools.update_wrapper(run, program.function))


def compiled_outside_jit(function: F, recipe: Recipe | None = None) -> F:
    """`function`, compiled where it is called with arrays alone, outside of any transformation of JAX.

    Args:
      function: a pure function of trees of arrays.
      recipe: the recipe of the transformation that it is part of; None if it is part of nothing.

    Returns:
      A function with the signature and the results of `function`. It is called as it is with tracers, numbers of
      Python's or other leaves that are no arrays, under `jax.disable_jit`, and if the recipe has arguments that may
      change what it does, or cannot be compared.
    """
    function = getattr(function, "_uncompiled", function)
    program = _Program(function, recipe)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        inputs = jax.tree.leaves((args, kwargs))
        # `function` is another one where the closure has been taken apart and rebuilt with other values in it.
        if program.function is function and _are_arrays(inputs):
            return program(inputs, *args, **kwargs)
        return function(*args, **kwargs)

    vars(call)["_uncompiled"] = function
    return cast("F", call)


def _are_arrays(leaves: list[Any]) -> bool:
    """Whether there are leaves, and all are arrays with a value."""
    if not _array_types.issuperset(map(type, leaves)):
        for x in leaves:
            if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
                _array_types.add(type(x))
            elif type(x) is not np.ndarray or is_float0(x):
                return False
    return bool(leaves)


def is_determined(x: Any) -> bool:
    """Whether an argument of a factory says all of what the result does: a function of the user's does not."""
    if x is None or isinstance(x, (bool, int, float, complex, str, bytes, enum.Enum, np.generic, np.dtype)):
        return True
    if isinstance(x, (jax.Array, np.ndarray)):
        return not isinstance(x, jax.core.Tracer) and x.size <= _LARGEST
    recipe = x if isinstance(x, Recipe) else getattr(x, "_recipe", None)
    if isinstance(recipe, Recipe):
        return is_determined(recipe.factory) and all(map(is_determined, recipe.arguments.arguments.values()))
    if isinstance(x, Mapping):
        return all(map(is_determined, [*x.keys(), *x.values()]))
    if isinstance(x, (tuple, list, set, frozenset)):
        return all(map(is_determined, x))
    if isinstance(x, functools.partial):
        return all(map(is_determined, (x.func, x.args, x.keywords)))
    if getattr(x, FACTORY_MARK, False):
        return True
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return is_determined(type(x)) and all(is_determined(getattr(x, f.name)) for f in dataclasses.fields(x))
    found = address(x)
    return found is not None and found[0].partition(".")[0] in _PURE

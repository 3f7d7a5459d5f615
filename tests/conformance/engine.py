"""Runs the cases: one tree, one sequence of gradients, and the updates that each library makes of them."""

import importlib
import pickle
import pkgutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from conformance import families
from conformance.case import Array, Case, Later

STEPS = 40  # against NumPy and the libraries for PyTorch
STEPS_OF_THE_ORIGINAL = 20

NUMPY_BOUND = 1e-9
INDEPENDENT_BOUND = 1e-6
ORIGINAL_BOUND = 2e-5  # the original rounds 1 - 0.999^t to this

Updates: TypeAlias = list[list[Array]]  # for every step, for every leaf

RECORD = Path(__file__).parents[2] / "build" / "original.pickle"

NAMES = ("matrix", "scalar", "vector")
SHAPES = ((4, 3), (), (5,))


def cases(*names: str) -> list[Case]:
    """Those of the families of these names; of all if there are none."""
    names = names or tuple(module.name for module in pkgutil.iter_modules(families.__path__))
    return [case for name in names for case in importlib.import_module(f"conformance.families.{name}").CASES]


def problem(steps: int) -> tuple[list[Array], list[list[Array]], list[float]]:
    """The initial leaves, the gradients and the values of the function, both step by step.

    The elements differ in scale, by a factor of 1e5 at most. Their gradients keep a sign for a while, so that distances
    grow, and change it now and then; some are 0 for a step, one leaf as a whole.
    """
    rng = np.random.default_rng(0)
    x0 = [rng.normal(size=shape) for shape in SHAPES]
    scale = [10 ** rng.uniform(-3, 2, size=shape) for shape in SHAPES]
    trend = [np.sign(rng.normal(size=shape)) for shape in SHAPES]
    gradients = []
    for t in range(steps):
        g = [s * (c + rng.normal(size=shape)) for s, c, shape in zip(scale, trend, SHAPES, strict=True)]
        if t % 3 == 2:
            g[0][0, 0] = 0
        if t == 7:
            g[2][:] = 0
        gradients.append(g)
    return x0, gradients, [0.1 + 3 * 0.95**t for t in range(steps)]


def numpy_updates(case: Case, steps: int = STEPS) -> Updates:
    """The updates of the NumPy version."""
    x, gradients, values = problem(steps)
    rule = case.numpy(x)
    found = []
    for g, value in zip(gradients, values, strict=True):
        updates = [np.asarray(u) for u in rule(x, g, value)]
        x = [x_i + u for x_i, u in zip(x, updates, strict=True)]
        found.append(updates)
    return found


def optimizer(case: Case, optax: Any) -> Any:
    """The transformation of a case, from a library with the interface of Optax."""
    factory = getattr(optax, case.name, None) or getattr(optax.contrib, case.name)
    return factory(**{key: v.make(optax) if isinstance(v, Later) else v for key, v in case.settings.items()})


def extra_args(case: Case, optax: Any, params: Any, gradients: Any, value: Any) -> dict[str, Any]:
    """What its `update` is given beside gradients, state and parameters."""
    own = case.extra_args(optax, params, gradients, value) if case.extra_args else {}
    return ({"value": value} if case.values else {}) | own


def original_updates(case: Case, optax: Any) -> Updates:
    """The updates that are compared with those of the original, of either library."""
    return optax_updates(case, optax, "float32", STEPS_OF_THE_ORIGINAL, case.original_leaves)


def optax_updates(case: Case, optax: Any, dtype: str, steps: int, names: tuple[str, ...] | None = None) -> Updates:
    """The updates of a library with the interface of Optax; of the leaves of these names only, or of all and None."""
    import jax

    x0, gradients, values = problem(steps)

    def tree(leaves: Sequence[Array]) -> dict[str, Any]:
        arrays = {name: jax.numpy.asarray(np.asarray(x), dtype) for name, x in zip(NAMES, leaves, strict=True)}
        return {name: arrays[name] for name in names} if names else arrays | {"none": None}

    tx = optimizer(case, optax)
    params = tree(x0)
    state = tx.init(params)

    @jax.jit
    def step(params: Any, state: Any, g: Any, value: Any) -> Any:
        updates, state = tx.update(g, state, params, **extra_args(case, optax, params, g, value))
        return updates, optax.apply_updates(params, updates), state

    found = []
    for g, value in zip(gradients, values, strict=True):
        g = g if case.batch is None else [case.batch(x) for x in g]
        updates, params, state = step(params, state, tree(g), jax.numpy.asarray(value, dtype))
        assert names or updates["none"] is None
        found.append([np.asarray(updates[name], np.float64) for name in names or NAMES])
    return found


def independent_updates(case: Case, steps: int = STEPS) -> Updates:
    """The updates of the library for PyTorch, in float64."""
    import torch

    assert case.independent is not None
    torch.set_default_dtype(torch.float64)
    x0, gradients, values = problem(steps)
    parameters = [torch.nn.Parameter(torch.tensor(x)) for x in x0]
    optimizer = case.independent.make(parameters)
    found = []
    for g, value in zip(gradients, values, strict=True):
        before = [p.detach().numpy().copy() for p in parameters]
        for p, g_i in zip(parameters, g, strict=True):
            p.grad = torch.tensor(g_i)
        if case.independent.step is None:
            optimizer.step()
        else:
            case.independent.step(optimizer, value)
        found.append([p.detach().numpy() - x for p, x in zip(parameters, before, strict=True)])
    return found


def read_record() -> dict[str, Any]:
    """What `record.py` wrote: by the call of a case, what the original made of it or the message of its error."""
    if not RECORD.exists():
        raise FileNotFoundError("the original is not recorded yet: hatch run compat:record")
    record: dict[str, Any] = pickle.loads(RECORD.read_bytes())
    return record


def error(found: Updates, expected: Iterable[list[Array]]) -> float:
    """The largest difference of two leaves of updates, in units of the largest element of the expected one.

    Where that is 0 (a step from one point to the same point again, but for rounding), in units of the leaf's others.
    """
    expected = list(expected)
    sizes = np.asarray([[np.max(np.abs(v)) for v in leaves] for leaves in expected])
    sizes = np.where(sizes > 0, sizes, sizes.max(0))
    worst = 0.0
    for ours, theirs, units in zip(found, expected, sizes, strict=True):
        for u, v, size in zip(ours, theirs, units, strict=True):
            difference = np.max(np.abs(u - v))
            relative = difference / size if size > 0 else (0.0 if difference == 0 else np.inf)
            worst = max(worst, np.inf if np.isnan(relative) else float(relative))
    return worst

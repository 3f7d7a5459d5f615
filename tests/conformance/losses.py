"""Losses: the inputs on which they are compared with other libraries, and on which the contract holds them.

Only NumPy is imported here and in `loss_cases` at the top: a process that has nothing but the original reads them too.
"""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

BOUND = 1e-5
"""Values and gradients agree to this, relative to the larger of 1 and theirs."""

Values: TypeAlias = tuple[NDArray[Any], list[NDArray[Any]]]  # losses, and a gradient by each argument in `by`


@dataclass(frozen=True)
class Independent:
    """The same loss in another library.

    Attributes:
      name: of the function there, with its module; the first part says what the arguments are made to be: tensors for
        torch and what builds on it, JAX arrays for rax, NumPy arrays otherwise.
      function: takes the arguments of the case by their names and returns what our loss does.
      differs: why it is another one, in one sentence; None if they agree.
    """

    name: str
    function: Callable[..., Any]
    differs: str | None = None


@dataclass(frozen=True)
class LossCase:
    """One call of a loss, and what else computes it.

    Attributes:
      name: of the loss.
      arguments: the data, in the order of the signature.
      settings: the other arguments.
      independent: the same in other libraries.
      by: the arguments that are differentiated; () means the first.
      original: why the original 0.2.8 differs, in one sentence; None if it agrees, or has no such loss.
      batched: whether each argument has a leading axis of examples, and the result one row for each.
      where: the argument whose shape the mask `where` has, or "losses"; None means the first.
      low, high: between them the contract draws arguments of a floating dtype,
      ranges: unless they are named here, with their own ends.
    """

    name: str
    arguments: Mapping[str, Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    independent: tuple[Independent, ...] = ()
    by: tuple[str, ...] = field(default=(), kw_only=True)
    original: str | None = field(default=None, kw_only=True)
    batched: bool = field(default=True, kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    low: float = field(default=-50.0, kw_only=True)
    high: float = field(default=50.0, kw_only=True)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict, kw_only=True)

    @property
    def differentiated(self) -> tuple[str, ...]:
        """The names of the arguments that are differentiated."""
        return self.by or (next(iter(self.arguments)),)

    @functools.cached_property
    def call(self) -> str:
        """The call, with numbers for the case among those of its name."""
        same = [case for case in cases() if case.name == self.name]
        settings = ", ".join(f"{key}={getattr(v, '__name__', v)!r}" for key, v in self.settings.items())
        return f"{self.name}({settings}) #{next(i for i, case in enumerate(same) if case is self)}"


@functools.cache
def cases() -> list[LossCase]:
    """Those of all the modules of `loss_cases`."""
    package = importlib.import_module("conformance.loss_cases")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return [case for name in names for case in importlib.import_module(f"{package.__name__}.{name}").CASES]


def cotangents(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """By what losses of a shape are multiplied before they are differentiated: positive, and not all the same."""
    return (1.5 + np.cos(np.arange(int(np.prod(shape))))).astype(np.float32).reshape(shape)


def with_jax(function: Callable[..., Any], case: LossCase, *, by_name: bool = False, compiled: bool = False) -> Values:
    """Losses and gradients of a function of JAX; its arguments are given in their order, or by their names."""
    import jax
    import jax.numpy as jnp

    fixed = {name: jnp.asarray(x) for name, x in case.arguments.items() if name not in case.differentiated}

    def called(moving: Mapping[str, Any]) -> Any:
        given = {name: moving[name] if name in moving else fixed[name] for name in case.arguments}
        return function(**given) if by_name else function(*given.values(), **case.settings)

    def values(moving: Mapping[str, Any]) -> Any:
        losses, pullback = jax.vjp(called, moving)
        return losses, pullback(jnp.asarray(cotangents(losses.shape), losses.dtype))[0]

    moving = {name: jnp.asarray(case.arguments[name]) for name in case.differentiated}
    losses, gradients = (jax.jit(values) if compiled else values)(moving)
    return np.asarray(losses), [np.asarray(gradients[name]) for name in case.differentiated]


@functools.cache
def ours(call: str) -> Values:
    """Losses and gradients of our loss in the case of this call."""
    import optax.losses

    (case,) = [case for case in cases() if case.call == call]
    return with_jax(getattr(optax.losses, case.name), case, compiled=True)


def with_torch(function: Callable[..., Any], case: LossCase) -> Values:
    """Losses and gradients of a function of torch, in float64."""
    import torch

    tensors = {}
    for name, x in case.arguments.items():
        x = np.asarray(x)
        wide = {"f": np.float64, "i": np.int64}.get(x.dtype.kind, x.dtype)
        tensors[name] = torch.tensor(x.astype(wide), requires_grad=name in case.differentiated)
    losses = function(**tensors)
    gradients = torch.autograd.grad(
        losses,
        [tensors[name] for name in case.differentiated],
        torch.tensor(cotangents(tuple(losses.shape)), dtype=losses.dtype),
        allow_unused=True,
    )
    return losses.detach().numpy(), [
        np.zeros_like(case.arguments[name]) if g is None else g.numpy()
        for name, g in zip(case.differentiated, gradients, strict=True)
    ]


def with_numpy(function: Callable[..., Any], case: LossCase) -> Values:
    """Losses of a function of NumPy in float64, and gradients by central differences."""
    arguments = {
        name: np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else np.asarray(x)
        for name, x in case.arguments.items()
    }
    losses = np.asarray(function(**arguments))
    gradients = []
    for name in case.differentiated:
        x, gradient = arguments[name], np.zeros_like(arguments[name])
        for i in np.ndindex(x.shape):
            h = np.zeros_like(x)
            h[i] = 1e-5 * max(1.0, abs(x[i]))
            rise = function(**{**arguments, name: x + h}) - np.asarray(function(**{**arguments, name: x - h}))
            gradient[i] = np.sum(cotangents(losses.shape) * rise) / (2 * h[i])
        gradients.append(gradient)
    return losses, gradients


def with_independent(library: Independent, case: LossCase) -> Values:
    """Losses and gradients of another library."""
    match library.name.partition(".")[0]:
        case "torch" | "torchvision" | "pytorch_optimizer":
            return with_torch(library.function, case)
        case "rax":
            return with_jax(library.function, case, by_name=True)
        case _:
            return with_numpy(library.function, case)


def error(ours: Values, theirs: Values) -> float:
    """The largest difference of two, in units of the larger of 1 and theirs; inf if one is not finite alone."""
    pairs = [(ours[0], theirs[0]), *zip(ours[1], theirs[1], strict=True)]
    return max(_error(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)


def _error(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if a.shape != b.shape:
        return np.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    difference = np.abs(np.where(same, 0, a) - np.where(same, 0, b)) / np.maximum(1, np.abs(np.where(same, 0, b)))
    return float(np.max(np.nan_to_num(difference, nan=np.inf), initial=0))

"""A traced program as a flat list of equations over numbered values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr, Jaxpr

__all__ = ["REDUCTIONS", "Equation", "Program", "Replace", "evaluate", "needed", "with_derivatives_of"]

Replace = Callable[[int, Any], Any]  # the number of a value and the value; returns what to take for it

# Primitives whose results are computed element by element.
_ELEMENTWISE = """
abs acos acosh add add_any and asin asinh atan atan2 atanh bitcast_convert_type broadcast_in_dim cbrt ceil
clamp complex conj convert_element_type copy copy_p cos cosh digamma div eq erf erf_inv erfc exp exp2 expm1
floor ge gt imag integer_pow is_finite le lgamma log log1p logistic lt max min mul ne neg nextafter not or pow
real reduce_precision rem round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin
sinh sqrt square sub tan tanh xor
"""
_MAPS = frozenset(_ELEMENTWISE.split())

REDUCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "reduce_sum": lax.add,
    "reduce_prod": lax.mul,
    "reduce_max": lax.max,
    "reduce_min": lax.min,
    "reduce_and": lax.bitwise_and,
    "reduce_or": lax.bitwise_or,
}
"""Primitives that reduce an array over `axes`, and the operation of each on two results."""

# Primitives that only call another program, and the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
}

# Primitives that are about several devices.
_PARALLEL = frozenset(["mesh_cast", "reshard", "shard_map", "sharding_constraint", "xla_pmap"])


@dataclasses.dataclass(frozen=True, eq=False)
class Equation:
    """A primitive that is applied to values.

    Attributes:
      primitive: JAX's primitive.
      params: its parameters.
      operands: the numbers of the values that it takes.
      results: the numbers of those that it gives.
    """

    primitive: Any
    params: dict[str, Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]

    @property
    def name(self) -> str:
        """The primitive's name."""
        return str(self.primitive.name)

    def __call__(self, *operands: Any, **changed: Any) -> Sequence[Any]:
        """The results for these operands, with some parameters changed."""
        result = self.primitive.bind(*operands, **{**self.params, **changed})
        return result if self.primitive.multiple_results else [result]


class Program:
    """A program without calls, and without what its results do not need.

    Args:
      closed: the traced program. It must have no effects.
      large: the fewest elements of an array that counts as large.

    Attributes:
      types: the type of each value.
      constants: the values that are known, by number.
      equations: in an order in which they can be evaluated.
      inputs: the numbers of the constants of `closed`, then of its arguments.
      outputs: the numbers of its results.
    """

    def __init__(self, closed: ClosedJaxpr, large: int):
        self.types: list[Any] = []
        self.constants: dict[int, Any] = {}
        self.equations: list[Equation] = []
        self._large = large
        jaxpr = closed.jaxpr
        self.inputs = [self._new(v.aval) for v in (*jaxpr.constvars, *jaxpr.invars)]
        self.outputs = self._inlined(jaxpr, self.inputs)
        self.equations = needed(self.equations, self.outputs)

    def _new(self, aval: Any) -> int:
        self.types.append(aval)
        return len(self.types) - 1

    def _constant(self, value: Any, aval: Any) -> int:
        number = self._new(aval)
        self.constants[number] = value
        return number

    def _inlined(self, jaxpr: Jaxpr, operands: Sequence[int]) -> list[int]:
        """The numbers of the results of `jaxpr` for constants and arguments with these numbers."""
        from jax.extend.core import ClosedJaxpr, Literal  # heavy, and seldom needed

        known: dict[Any, int] = dict(zip((*jaxpr.constvars, *jaxpr.invars), operands, strict=True))

        def number(atom: Any) -> int:
            return self._constant(atom.val, atom.aval) if isinstance(atom, Literal) else known[atom]

        for equation in jaxpr.eqns:
            inputs = [number(atom) for atom in equation.invars]
            called = equation.params.get(_CALLS.get(equation.primitive.name, ""))
            if isinstance(called, ClosedJaxpr):
                constants = map(self._constant, called.consts, (v.aval for v in called.jaxpr.constvars))
                results = self._inlined(called.jaxpr, [*constants, *inputs])
            elif called is not None:
                results = self._inlined(called, inputs)
            else:
                results = [self._new(v.aval) for v in equation.outvars]
                self.equations.append(
                    Equation(equation.primitive, dict(equation.params), tuple(inputs), tuple(results))
                )
            known.update(zip(equation.outvars, results, strict=True))
        return [number(atom) for atom in jaxpr.outvars]

    @property
    def is_parallel(self) -> bool:
        """Whether it says how arrays lie on several devices, or is part of a `shard_map`."""
        return any(equation.name in _PARALLEL for equation in self.equations) or any(map(_varies, self.types))

    def shape(self, value: int) -> tuple[int, ...]:
        """The shape of a value; () for what is no array."""
        return tuple(getattr(self.types[value], "shape", ()))

    def is_large(self, value: int) -> bool:
        """Whether the value is a large array."""
        return math.prod(self.shape(value)) >= self._large

    def is_map(self, equation: Equation) -> bool:
        """Whether large results are computed element by element from arrays of their shape and small ones."""
        shape, *others = (self.shape(v) for v in equation.results)
        if equation.name not in _MAPS or any(s != shape for s in others) or not self.is_large(equation.results[0]):
            return False
        if any(jnp.issubdtype(self.types[v].dtype, jax.dtypes.extended) for v in equation.operands):
            return False
        if equation.name == "broadcast_in_dim":
            large = any(map(self.is_large, equation.operands))
            return len(equation.operands) == 1 and (not large or self.shape(equation.operands[0]) == shape)
        return all(self._extends(v, shape) for v in equation.operands)

    def _extends(self, value: int, shape: tuple[int, ...]) -> bool:
        own = self.shape(value)
        if self.is_large(value) or not own:
            return own in (shape, ())
        return len(own) == len(shape) and all(n in (1, m) for n, m in zip(own, shape, strict=True))

    def is_reduction(self, equation: Equation) -> bool:
        """Whether a large array is reduced to a small one."""
        return (
            equation.name in REDUCTIONS
            and self.is_large(equation.operands[0])
            and not self.is_large(equation.results[0])
        )


def _varies(aval: Any) -> bool:
    """Whether the values of a type may differ between devices, in the spelling of the JAX at hand."""
    kind = getattr(aval, "manual_axis_type", None)
    return bool(getattr(aval, "vma", ()) if kind is None else kind.varying)


def needed(equations: Sequence[Equation], values: Iterable[int], known: Iterable[int] = ()) -> list[Equation]:
    """Those of the equations that are to be evaluated to know the values, in their order."""
    known = set(known)
    wanted = set(values) - known
    kept = []
    for equation in reversed(equations):
        if not wanted.isdisjoint(equation.results):
            wanted.update(set(equation.operands) - known)
            kept.append(equation)
    return kept[::-1]


def evaluate(equations: Iterable[Equation], known: dict[int, Any], replaced: Replace = lambda value, x: x) -> None:
    """Add the results of the equations to the values that are known."""
    for equation in equations:
        results = equation(*(known[v] for v in equation.operands))
        known.update((v, replaced(v, x)) for v, x in zip(equation.results, results, strict=True))


def with_derivatives_of(usual: Callable[..., list[Any]], run: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`run`, differentiated as if it were `usual`."""

    @jax.custom_jvp
    def call(*arguments: Any) -> list[Any]:
        return run(*arguments)

    @call.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return jax.jvp(usual, primals, tangents)

    return call

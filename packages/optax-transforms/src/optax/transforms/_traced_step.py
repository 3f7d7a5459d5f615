"""Steps under a condition that need no memory beside the state.

Whatever a condition of JAX's chooses between, its results are arrays of their own: the updates would be written, and
read again to be added to the parameters, which takes longer than an elementwise step. So the condition is about the
state alone, and the updates are computed from the new state, element by element, where they are added.
"""

from __future__ import annotations

import collections
import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    OptState,
    Params,
    PyTree,
    Updates,
    update_if,
    with_extra_args_support,
)
from optax.transforms._evaluator import blocks_pay, by_blocks
from optax.transforms._program import Equation, Program, Replace, evaluate, needed, with_derivatives_of

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr

_LARGE = 2**16
"""The fewest elements of an array that this is about."""

_is_taken_apart = contextvars.ContextVar("is_taken_apart", default=False)


@contextlib.contextmanager
def taking_apart() -> Iterator[None]:
    """What is traced here is to be taken apart: it is as simple as can be, without loops of its own."""
    token = _is_taken_apart.set(True)
    try:
        yield
    finally:
        _is_taken_apart.reset(token)


class TracedStep:
    """A call of an update, as equations."""

    def __init__(self, closed: ClosedJaxpr, arguments: tuple[Updates, OptState, Params | None], form: Any):
        self._closed = closed
        self._arguments = [*closed.consts, *jax.tree.leaves(arguments)]
        self._form = form  # of the updates and the state
        program = self._program = Program(closed, _LARGE)
        first, number = len(closed.consts) + len(jax.tree.leaves(arguments[0])), len(jax.tree.leaves(arguments[1]))
        self._state = slice(first, first + number)  # among the arguments
        last = len(program.outputs) - number
        self._updates, self._new_state = program.outputs[:last], program.outputs[last:]

    @classmethod
    def of(
        cls,
        tx: GradientTransformationExtraArgs,
        updates: Updates,
        state: OptState,
        params: Params | None,
        extra_args: dict[str, Any],
    ) -> TracedStep | None:
        """The step, if something in it is large, and nothing is to be seen by JAX as it is."""
        arguments = updates, state, params
        if not all(isinstance(x, jax.Array) and x.dtype != jax.dtypes.float0 for x in jax.tree.leaves(arguments)):
            return None
        if max((x.size for x in jax.tree.leaves(updates)), default=0) < _LARGE:
            return None
        with taking_apart():
            closed, results = jax.make_jaxpr(
                lambda updates, state, params: tx.update(updates, state, params, **extra_args), return_shape=True
            )(*arguments)
        if closed.effects or _types(results) != _types((updates, state)):
            return None
        step = cls(closed, arguments, jax.tree.structure(results))
        return None if step._program.is_parallel else step

    @property
    def is_elementwise(self) -> bool:
        """Whether large arrays meet nothing but elementwise arithmetic and reductions."""
        program = self._program
        return all(program.is_map(e) or program.is_reduction(e) for e in program.equations if self._is_large(e))

    @property
    def updates_follow(self) -> bool:
        """Whether the updates are computed element by element from the new state, and no large array of the old one."""
        program = self._program
        equations, numbers = self._from_new_state
        old = set(filter(program.is_large, program.inputs[self._state]))
        return all(program.is_map(e) and old.isdisjoint(e.operands) for e in equations) and not any(
            jnp.issubdtype(program.types[v].dtype, jax.dtypes.extended) for v in numbers
        )

    @functools.cached_property
    def _from_new_state(self) -> tuple[list[Equation], list[int]]:
        """The equations for the large updates, given the new state and the small values that are in them; and these."""
        given = {*self._new_state, *self._program.inputs, *self._program.constants}
        equations: list[Equation] = []
        wanted, numbers = set[int](), set[int]()

        def want(values: Iterable[int]) -> None:
            for v in set(values) - given:
                (wanted if self._program.is_large(v) else numbers).add(v)

        want(self._updates)
        for equation in reversed(self._program.equations):
            if not wanted.isdisjoint(equation.results):
                equations.append(equation)
                want(equation.operands)
        return equations[::-1], sorted(numbers)

    def taken_if(self, condition: Any) -> tuple[Updates, OptState]:
        """The step, or zeros and the old state; nothing of a new state is computed then."""
        equations, numbers = self._from_new_state
        types = [self._program.types[v] for v in numbers]

        def run(condition: Any, *arguments: Any) -> list[Any]:
            known = self._known(arguments)

            def step() -> tuple[list[Any], list[Any]]:
                found = self._evaluated([*self._new_state, *numbers], known)
                n = len(self._new_state)
                return found[:n], [jnp.asarray(x, t.dtype) for x, t in zip(found[n:], types, strict=True)]

            state, small = lax.cond(
                condition, step, lambda: (list(arguments[self._state]), [jnp.zeros(t.shape, t.dtype) for t in types])
            )
            known.update(zip((*self._new_state, *numbers), (*state, *small), strict=True))
            evaluate(equations, known)
            return [*(jnp.where(condition, known[v], 0) for v in self._updates), *state]

        return self._run(run, self._under_a_condition, condition)

    def kept_if(self, condition: Any) -> tuple[Updates, OptState]:
        """The step, or zeros and the old state; computed in any case."""

        def run(condition: Any, *arguments: Any) -> list[Any]:
            known = self._known(arguments)
            slots = list(zip(self._new_state, arguments[self._state], strict=True))
            slots_of = collections.Counter(self._new_state)
            old = {v: x for v, x in slots if v not in known and slots_of[v] == 1}

            # What follows from the new state is made to follow from what is kept, so that nothing else need be held.
            def kept(value: int, x: Any) -> Any:
                return jnp.where(condition, x, old[value]) if value in old else x

            found = self._evaluated(self._program.outputs, known, kept)
            n = len(self._updates)
            state = [x if v in old else jnp.where(condition, x, o) for x, (v, o) in zip(found[n:], slots, strict=True)]
            return [*(jnp.where(condition, u, 0) for u in found[:n]), *state]

        return self._run(run, self._under_a_condition, condition)

    def reduced_by_blocks(self) -> tuple[Updates, OptState]:
        """The step, large arrays reduced in loops of their own.

        Else XLA would keep what is reduced for all that is computed from it besides.
        """
        program = self._program
        reductions = [e for e in program.equations if program.is_reduction(e)]
        numbers = [e.results[0] for e in reductions]
        later = set(numbers)  # what depends on them
        for e in program.equations:
            if not later.isdisjoint(e.operands):
                later.update(e.results)
        # The new state comes first where it can, and is what the rest is computed from: the old is written over.
        later.update(program.inputs)
        first = [v for v in self._new_state if program.is_large(v) and v not in later]

        def run(*arguments: Any) -> list[Any]:
            known = self._known(arguments)
            state = self._evaluated(first, known)

            def reduced(arguments: Sequence[Any], state: Sequence[Any]) -> list[Any]:
                return self._evaluated(numbers, {**self._known(arguments), **dict(zip(first, state, strict=True))})

            known.update(zip(first, state, strict=True))
            known.update(zip(numbers, _in_loops(reduced, arguments, state), strict=True))
            return self._evaluated(program.outputs, known)

        def usual(*arguments: Any) -> list[Any]:
            return self._evaluated(program.outputs, self._known(arguments))

        return self._run(run, usual)

    def is_finite(self) -> jax.Array:
        """Whether all elements of the updates are finite."""

        def flag(*arguments: Any) -> list[jax.Array]:
            known = self._known(arguments)
            return [jnp.all(jnp.stack([jnp.all(jnp.isfinite(u)) for u in self._evaluated(self._updates, known)]))]

        (finite,) = _in_loops(flag, *map(lax.stop_gradient, self._arguments))
        return jnp.asarray(finite)

    def _run(
        self, run: Callable[..., list[Any]], usual: Callable[..., list[Any]], *conditions: Any
    ) -> tuple[Updates, OptState]:
        """`run(*conditions, *arguments)`, with the derivatives of `usual`."""
        step = with_derivatives_of(usual, run)
        updates, state = self._form.unflatten(step(*conditions, *self._arguments))
        return updates, state

    # The step left out must not be seen in derivatives either, as it would be through a select: 0 * NaN.
    def _under_a_condition(self, condition: Any, *arguments: Any) -> list[Any]:
        from jax.extend.core import ClosedJaxpr, jaxpr_as_fun  # heavy, and seldom needed

        n = len(self._closed.consts)
        taken = jaxpr_as_fun(ClosedJaxpr(self._closed.jaxpr, arguments[:n]))
        nothing = [jnp.zeros(self._program.shape(v), self._program.types[v].dtype) for v in self._updates]
        results: list[Any] = lax.cond(
            condition, lambda: list(taken(*arguments[n:])), lambda: [*nothing, *arguments[self._state]]
        )
        return results

    def _known(self, arguments: Sequence[Any]) -> dict[int, Any]:
        return {**self._program.constants, **dict(zip(self._program.inputs, arguments, strict=True))}

    def _evaluated(
        self, values: Sequence[int], known: dict[int, Any], replaced: Replace = lambda value, x: x
    ) -> list[Any]:
        """The values, given those that are known."""
        known = dict(known)
        evaluate(needed(self._program.equations, values, known), known, replaced)
        return [known[v] for v in values]

    def _is_large(self, equation: Equation) -> bool:
        return any(map(self._program.is_large, (*equation.operands, *equation.results)))


def taken_if(
    condition: Any,
    tx: GradientTransformationExtraArgs,
    updates: Updates,
    state: OptState,
    params: Params | None,
    **extra_args: Any,
) -> tuple[Updates, OptState]:
    """`update_if`, for large arrays without memory for the updates where they can be computed from the new state."""
    if isinstance(condition, jax.core.Tracer):
        step = TracedStep.of(tx, updates, state, params, extra_args)
        if step is not None and step.updates_follow:
            return step.taken_if(condition)
    return update_if(condition, tx, updates, state, params, **extra_args)


def reduced_by_blocks(tx: GradientTransformation) -> GradientTransformationExtraArgs:
    """A transformation of elementwise arithmetic and reductions, with large arrays reduced in loops of their own."""
    tx = with_extra_args_support(tx)

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        is_traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(updates))
        if is_traced and blocks_pay() and not _is_taken_apart.get():
            step = TracedStep.of(tx, updates, state, params, extra_args)
            if step is not None and step.is_elementwise:
                return step.reduced_by_blocks()
        return tx.update(updates, state, params, **extra_args)

    return GradientTransformationExtraArgs(tx.init, update)


def _in_loops(function: Callable[..., list[Any]], *arguments: PyTree) -> list[Any]:
    """`function(*arguments)`, a list of small arrays, what is reduced to them computed by blocks where that pays."""
    closed, results = jax.make_jaxpr(function, return_shape=True)(*arguments)
    run = by_blocks(closed, [None] * len(results))
    return function(*arguments) if run is None else run([*closed.consts, *jax.tree.leaves(arguments)])


def _types(tree: PyTree) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return [(x.shape, x.dtype) for x in leaves], structure

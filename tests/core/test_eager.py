"""Outside of `jax.jit`: updates are compiled, once for all equal transformations, unless that could change a result."""

import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import GradientTransformation, over_leaves, transformation

PARAMS = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray([[0.5, 3.0]])}
GRADIENTS = {"a": jnp.asarray([0.1, 0.2]), "b": jnp.asarray([[-0.3, 4.0]])}

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


@transformation
def counted(factor: Any = 2.0, label: str = "") -> GradientTransformation:
    """Writes down what its `update` is given."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        calls.append(jax.tree.leaves(updates))
        return over_leaves(lambda g: g * factor, updates), {"first": state["first"], "count": state["count"] + 1}

    return GradientTransformation(lambda params: {"first": jnp.zeros(2), "count": jnp.zeros([], jnp.int32)}, update)


@transformation
def looking(limit: float) -> GradientTransformation:
    """Looks at numbers, which it can only outside of `jit`."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        calls.append(0)
        return (updates if float(jnp.sum(updates)) < limit else jax.tree.map(jnp.negative, updates)), state

    return GradientTransformation(lambda params: (), update)


def traced() -> int:
    """How many calls were given tracers; forgets them."""
    number = sum(isinstance(leaves[0], jax.core.Tracer) for leaves in calls)
    assert number == len(calls)
    calls.clear()
    return number


def test_equal_transformations_are_traced_once() -> None:
    state = counted(label="once").init(PARAMS)
    for _ in range(3):
        _, state = counted(label="once").update(GRADIENTS, state)
    assert traced() == 1
    assert int(state["count"]) == 3
    counted(label="another").update(GRADIENTS, state)
    assert traced() == 1
    counted(label="once").update({"c": jnp.ones(3)}, state)  # of other shapes
    assert traced() == 1


def test_equal_numbers_of_another_type_are_another_program() -> None:
    """1 == 1.0, but need not do the same."""
    assert counted(2) == counted(2.0)
    for tx in (counted(2), counted(2.0), counted(2), counted(2.0)):
        tx.update({"a": jnp.ones(2)}, tx.init(PARAMS))
    assert traced() == 2


def test_what_does_not_change_is_not_copied() -> None:
    state = counted().init(PARAMS)
    _, new = counted().update(GRADIENTS, state)
    assert new["first"] is state["first"]
    tx = optax.masked(counted(), {"a": True, "b": False})
    updates, _ = tx.update(GRADIENTS, tx.init(PARAMS))
    assert updates["b"] is GRADIENTS["b"]
    assert updates["a"] is not GRADIENTS["a"]


class TestFallsBack:
    def test_to_a_function_that_reads_what_changes(self) -> None:
        rate = [1.0]
        tx = optax.chain(counted(), optax.scale_by_schedule(lambda count: rate[0]))
        state = tx.init(PARAMS)
        before, _ = tx.update(GRADIENTS, state)
        rate[0] = 3.0
        after, _ = tx.update(GRADIENTS, state)
        np.testing.assert_allclose(after["a"], 3 * before["a"], rtol=1e-6)
        assert traced() == 1  # the other part of the chain is compiled

    def test_to_a_mask_that_reads_what_changes(self) -> None:
        chosen = True
        tx = optax.masked(optax.scale(2.0), lambda params: jax.tree.map(lambda p: chosen, params))
        state = tx.init(PARAMS)
        first, _ = tx.update(GRADIENTS, state)
        chosen = False
        second, _ = tx.update(GRADIENTS, state)
        np.testing.assert_array_equal(first["a"], 2 * second["a"])

    def test_for_updates_that_look_at_numbers(self) -> None:
        tx = looking(1.0)
        for x in (2.0, 0.5, 3.0):
            updates, _ = tx.update(jnp.asarray([x]), ())
            assert float(updates[0]) == (x if x < 1 else -x)
        assert len(calls) == 4  # tried once

    @pytest.mark.parametrize("number", [1.0, np.float32(1.0)])
    def test_for_leaves_that_are_no_arrays(self, number: Any) -> None:
        tx = counted()
        updates, _ = tx.update({"a": number}, tx.init(PARAMS))
        assert calls == [[number]]
        assert float(updates["a"]) == 2.0

    def test_under_disable_jit(self) -> None:
        tx = counted(label="disabled")
        with jax.disable_jit():
            tx.update(GRADIENTS, tx.init(PARAMS))
        assert not isinstance(calls[0][0], jax.core.Tracer)

    def test_for_tracers(self) -> None:
        """A program inside a program would be a call more to trace; a rate that is traced has no value."""

        def moved(rate: Any) -> Any:
            tx = optax.adamw(rate)
            updates, _ = tx.update(GRADIENTS, tx.init(PARAMS), PARAMS)
            return jnp.sum(updates["a"])

        slope = moved(jnp.asarray(1.0))
        np.testing.assert_allclose(jax.grad(moved)(2.0), slope, rtol=1e-6)
        np.testing.assert_allclose(jax.vmap(moved)(jnp.arange(3.0)), slope * jnp.arange(3.0), rtol=1e-6)

    def test_for_a_closure_that_was_rebuilt_with_other_values(self) -> None:
        """As equinox and optimistix do, to differentiate by a learning rate."""

        def rebuilt(f: Any) -> Any:
            if not isinstance(f, types.FunctionType):
                return -4.0 if isinstance(f, float) else f
            cells = tuple(types.CellType(rebuilt(cell.cell_contents)) for cell in f.__closure__ or ())
            made = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, cells)
            made.__kwdefaults__ = f.__kwdefaults__
            return made

        tx = optax.scale(2.0)
        state = tx.init(PARAMS)
        np.testing.assert_array_equal(tx.update(GRADIENTS, state)[0]["a"], 2 * GRADIENTS["a"])
        np.testing.assert_array_equal(rebuilt(tx.update)(GRADIENTS, state)[0]["a"], -4 * GRADIENTS["a"])


def test_errors_are_those_of_the_transformation() -> None:
    tx = optax.adam(0.1)
    with pytest.raises(ValueError, match="state slot 1") as caught:
        tx.update({"a": jnp.ones(3)}, tx.init({"a": jnp.ones(2)}))
    assert not any("JAX" in note for note in caught.value.__notes__)


def test_apply_updates_leaves_what_gets_none() -> None:
    new = optax.apply_updates(PARAMS, {**GRADIENTS, "b": None})
    assert new["b"] is PARAMS["b"]
    np.testing.assert_array_equal(new["a"], PARAMS["a"] + GRADIENTS["a"])

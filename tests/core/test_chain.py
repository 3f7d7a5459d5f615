"""One transformation after another."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import (
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    chain,
    init_empty_state,
    stateless,
    with_extra_args_support,
)
from problems import PROBLEMS


def plus(number: float) -> GradientTransformation:
    return stateless(lambda updates, params: jax.tree.map(lambda g: g + number, updates))


def passing_on(seen: dict[str, Any]) -> GradientTransformationExtraArgs:
    """A transformation that writes down the extra arguments it gets."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        del params
        seen.update(extra_args)
        return updates, state

    return GradientTransformationExtraArgs(init_empty_state, update)


def test_the_first_comes_first() -> None:
    tx = chain(optax.scale(2.0), plus(1.0), optax.scale(10.0))
    updates, state = tx.update({"w": jnp.asarray([1.0, 2.0])}, tx.init({"w": jnp.zeros(2)}))
    assert np.array_equal(updates["w"], [30, 50])
    assert state == (EmptyState(), EmptyState(), EmptyState())


def test_every_stage_keeps_its_own_state() -> None:
    tx = chain(optax.trace(0.5), chain(optax.scale(2.0), optax.trace(0.5)))
    g = jnp.asarray([1.0])
    state = tx.init(g)
    updates, state = tx.update(g, state)
    updates, state = tx.update(g, state)
    assert float(updates[0]) == 4  # momenta: 1, 1.5; of their doubles: 2, 4
    assert float(state[0].trace[0]) == 1.5
    assert float(state[1][1].trace[0]) == 4


def test_an_empty_chain_is_the_identity() -> None:
    """Defect H4: chain() used to be "not enough values to unpack"."""
    tx = chain()
    g = {"w": jnp.ones(2)}
    assert tx.init(g) == ()
    assert tx.update(g, ()) == (g, ())


def test_extra_arguments_go_to_the_stages_that_take_them() -> None:
    seen: dict[str, Any] = {}
    tx = chain(optax.scale(2.0), passing_on(seen), chain(plus(1.0), passing_on(inner := {})))
    assert isinstance(tx, GradientTransformationExtraArgs)
    updates, _ = tx.update(jnp.ones(1), tx.init(jnp.ones(1)), value=3.0)
    assert float(updates[0]) == 3
    assert seen == inner == {"value": 3.0}


def test_the_parameters_reach_every_stage() -> None:
    minus_params = stateless(lambda updates, params: jax.tree.map(jnp.subtract, updates, params))
    tx = chain(minus_params, minus_params)
    updates, _ = tx.update(jnp.asarray([5.0]), tx.init(jnp.ones(1)), jnp.asarray([2.0]))
    assert float(updates[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (optax.scale(1.0), optax.adam),
            r"argument 1 of chain is no transformation .*; call it: adam\(\.\.\.\)",
        ),
        (
            ([optax.scale(1.0)],),
            r"argument 0 of chain .*; unpack it: chain\(\*transformations\)",
        ),
        ((None,), "argument 0 of chain is no transformation but None"),
        ((0.1,), r"argument 0 of chain is no transformation but 0\.1"),
    ],
)
def test_what_is_no_transformation_is_refused(arguments: Any, message: str) -> None:
    """Defect H4."""
    with pytest.raises(TypeError, match=message):
        chain(*arguments)


@pytest.mark.parametrize(
    ("state", "found"),
    [((), "0"), ((EmptyState(),) * 3, "3"), (None, "NoneType"), ({}, "dict")],
    ids=["none of them", "another chain's", "None", "dict"],
)
def test_the_state_of_something_else_is_refused(state: Any, found: str) -> None:
    tx = chain(optax.scale(1.0), optax.trace(0.9))
    with pytest.raises(ValueError, match=f"the state of a chain of 2 stages is a tuple of 2 states, not {found}"):
        tx.update(jnp.ones(1), state)


def test_the_state_of_one_stage_is_named() -> None:
    tx = chain(optax.scale(1.0), optax.trace(0.9))
    with pytest.raises(ValueError, match="EmptyState"):
        tx.update(jnp.ones(1), EmptyState())


def test_a_state_restored_as_a_list_is_as_good() -> None:
    tx = chain(optax.scale(2.0), optax.trace(0.5))
    restored = list(tx.init(jnp.ones(1)))
    updates, state = tx.update(jnp.ones(1), restored)
    assert float(updates[0]) == 2
    assert isinstance(state, tuple)


def test_an_error_says_where_it_happened() -> None:
    """Defect H4."""

    def broken(updates: Any, params: Any) -> Any:
        raise RuntimeError("out of order")

    tx = chain(optax.scale(1.0), chain(optax.scale(1.0), optax.scale(1.0), stateless(broken)))
    with pytest.raises(RuntimeError, match=r"in stage 2 of chain: stateless(.|\n)*in stage 1 of chain: chain"):
        tx.update(jnp.ones(1), tx.init(jnp.ones(1)))


def test_an_error_in_init_says_where_it_happened() -> None:
    tx = chain(optax.scale(1.0), optax.partition({"a": optax.sgd(0.1)}, "b"))
    with pytest.raises(ValueError, match="in stage 1 of chain: partition"):
        tx.init(jnp.ones(1))


# Transformations of another library


class TheirTransformation(NamedTuple):
    init: Any
    update: Any


class TheirWrapper:
    """Not a named tuple at all."""

    def init(self, params: Any) -> Any:
        return jnp.zeros([], jnp.int32)

    def update(self, updates: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(lambda g: 3 * g, updates), state + 1


def their_update(updates: Any, state: Any, params: Any = None) -> Any:
    return jax.tree.map(lambda g: 2 * g, updates), state


def their_update_with_value(updates: Any, state: Any, params: Any = None, *, value: Any, **others: Any) -> Any:
    return jax.tree.map(lambda g: value * g, updates), state


def test_transformations_of_another_library_fit() -> None:
    tx = chain(
        TheirTransformation(init_empty_state, their_update),
        TheirWrapper(),
        TheirTransformation(init_empty_state, their_update_with_value),
    )
    updates, state = tx.update(jnp.ones(1), tx.init(jnp.ones(1)), value=5.0, step=1)
    assert float(updates[0]) == 30
    assert int(state[1]) == 1


def test_their_extra_arguments_survive_outside_a_chain() -> None:
    """A wrapper calls `with_extra_args_support` on what it is given."""
    tx: Any = with_extra_args_support(TheirTransformation(init_empty_state, their_update_with_value))
    assert float(tx.update(jnp.float32(1), EmptyState(), value=5.0)[0]) == 5


def test_extra_arguments_are_dropped_where_they_are_not_known() -> None:
    tx = with_extra_args_support(optax.scale(2.0))
    assert with_extra_args_support(tx) is tx
    assert float(tx.update(jnp.float32(1), EmptyState(), value=5.0)[0]) == 2
    assert repr(tx) == "optax.core.with_extra_args_support(optax.transforms.scale(2.0))"


# Inside JAX


def test_under_jit_vmap_and_scan() -> None:
    tx = chain(optax.clip_by_global_norm(1.0), optax.trace(0.5), optax.scale(-0.5))

    def run(gradients: Any) -> Any:
        return jax.lax.scan(lambda s, g: tx.update(g, s)[::-1], tx.init(gradients[0]), gradients)

    batch = jnp.asarray([[[3.0, 4.0], [0.3, 0.4]], [[0.6, 0.8], [0.0, 0.0]]])
    states, updates = jax.jit(jax.vmap(run))(batch)
    np.testing.assert_allclose(updates[0], [[-0.3, -0.4], [-0.3, -0.4]], rtol=1e-6)
    np.testing.assert_allclose(updates[1], [[-0.3, -0.4], [-0.15, -0.2]], rtol=1e-6)
    np.testing.assert_allclose(states[1].trace[0], [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "rosenbrock"])
def test_a_chain_minimizes(name: str) -> None:
    """A smoke test: gradient descent with momentum, put together from its parts."""
    problem = PROBLEMS[name]
    tx = chain(optax.clip_by_global_norm(10.0), optax.trace(0.9), optax.scale(-0.01))

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        gradient = optax.core.tree.conj(jax.grad(problem.f)(params))
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (problem.start, tx.init(problem.start)), length=3000)
    assert float(problem.f(params)) < 1e-8

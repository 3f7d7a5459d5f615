"""chex: dataclasses as parameters and as whole training states, assertions about states."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import pytest

import optax
from clients.problem import OFFSET, SLOPE, X, Y


@chex.dataclass
class Line:
    slope: chex.Array
    offset: chex.Array


@chex.dataclass
class Training:
    params: Line
    opt_state: optax.OptState
    step: chex.Array


def zeros() -> Line:
    return Line(slope=jnp.zeros(3), offset=jnp.zeros(()))


def loss(params: Line) -> chex.Array:
    return jnp.mean((X @ params.slope + params.offset - Y) ** 2)


OPTIMIZERS = {
    "adam": optax.adam(0.1),
    "MultiSteps": optax.MultiSteps(optax.sgd(0.2, momentum=0.5), every_k_schedule=2),
    "inject_hyperparams": optax.inject_hyperparams(optax.adam)(optax.cosine_decay_schedule(0.3, 300)),
    "masked": optax.chain(optax.masked(optax.trace(0.5), Line(slope=True, offset=False)), optax.sgd(0.2)),
    "multi_transform": optax.multi_transform(
        {"slope": optax.sgd(0.2), "offset": optax.sgd(0.3)}, Line(slope="slope", offset="offset")
    ),
    "apply_if_finite": optax.apply_if_finite(optax.adam(0.1), 3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains(name: str) -> None:
    tx = OPTIMIZERS[name]

    @jax.jit
    def step(training: Training) -> Training:
        grads = jax.grad(loss)(training.params)
        updates, opt_state = tx.update(grads, training.opt_state, training.params)
        chex.assert_trees_all_equal_shapes_and_dtypes(updates, training.params)
        params = optax.apply_updates(training.params, updates)
        return training.replace(params=params, opt_state=opt_state, step=training.step + 1)

    fresh = Training(params=zeros(), opt_state=tx.init(zeros()), step=jnp.zeros((), jnp.int32))
    training = fresh
    for _ in range(300):
        training = step(training)
    chex.assert_trees_all_equal_shapes_and_dtypes(training, fresh)
    chex.assert_trees_all_equal_structs(training, fresh)
    chex.assert_tree_all_finite(training.opt_state)
    chex.assert_trees_all_close(training.params, Line(slope=SLOPE, offset=OFFSET), atol=5e-3)


def test_a_state_with_nan_is_found() -> None:
    tx = optax.adam(0.1)
    _, state = tx.update(Line(slope=jnp.full(3, jnp.nan), offset=jnp.zeros(())), tx.init(zeros()))
    with pytest.raises(AssertionError, match="slope"):
        chex.assert_tree_all_finite(state)


def test_update_is_traced_once() -> None:
    tx = optax.adamw(optax.cosine_decay_schedule(0.1, 10))
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def update(grads: Any, state: Any, params: Any) -> Any:
        return tx.update(grads, state, params)

    params = zeros()
    state = tx.init(params)
    for _ in range(3):
        updates, state = update(jax.grad(loss)(params), state, params)
        params = optax.apply_updates(params, updates)
    assert state[0].count == 3

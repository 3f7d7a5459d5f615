"""equinox: models are trees with functions in them, of which a filter leaves None; closures are taken apart."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import equinox.internal as eqxi
import jax
import jax.numpy as jnp
import pytest

import optax
from clients.problem import OFFSET, SLOPE, X, Y, equal


class Model(eqx.Module):
    line: eqx.nn.Linear
    steps: jax.Array  # an integer: neither trained nor differentiated
    last: Callable[[jax.Array], jax.Array]  # a leaf that is no array

    def __init__(self) -> None:
        self.line = eqx.nn.Linear(3, 1, key=jax.random.key(0))
        self.steps = jnp.zeros((), jnp.int32)
        self.last = jnp.sum

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(self.line(x))


def loss(model: Model) -> jax.Array:
    return jnp.mean((jax.vmap(model)(jnp.asarray(X)) - Y) ** 2)


def trained(tx: optax.GradientTransformation, model: Model, state: Any, steps: int) -> tuple[Model, Any]:
    @eqx.filter_jit
    def step(model: Model, state: Any) -> tuple[Model, Any]:
        _, grads = eqx.filter_value_and_grad(loss)(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state

    for _ in range(steps):
        model, state = step(model, state)
    return model, state


OPTIMIZERS = {
    "adamw": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1, weight_decay=0.0)),
    "sgd": optax.sgd(0.2, momentum=0.5, nesterov=True),
    "MultiSteps": optax.MultiSteps(optax.sgd(0.3, momentum=0.5), every_k_schedule=2),
    "inject_hyperparams": optax.inject_hyperparams(optax.adam)(0.1),
    "masked": optax.chain(
        optax.masked(optax.trace(0.5), lambda params: jax.tree.map(lambda p: p.ndim > 1, params)), optax.sgd(0.2)
    ),
    "multi_transform": optax.multi_transform(
        {"matrix": optax.sgd(0.2), "vector": optax.sgd(0.3)},
        lambda params: jax.tree.map(lambda p: "matrix" if p.ndim > 1 else "vector", params),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains(name: str) -> None:
    tx, model = OPTIMIZERS[name], Model()
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))
    model, state = trained(tx, model, state, 300)
    assert loss(model) < 1e-5
    assert jnp.allclose(model.line.weight[0], SLOPE, atol=5e-3)
    assert jnp.allclose(model.line.bias, OFFSET, atol=5e-3)
    assert model.last is jnp.sum
    assert model.steps.dtype == jnp.int32


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_from_a_file_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    tx, model = OPTIMIZERS[name], Model()
    fresh = tx.init(eqx.filter(model, eqx.is_inexact_array))
    model, state = trained(tx, model, fresh, 3)
    eqx.tree_serialise_leaves(tmp_path / "run", (model, state))
    restored = eqx.tree_deserialise_leaves(tmp_path / "run", (Model(), fresh))
    one_way, other_way = trained(tx, model, state, 3), trained(tx, *restored, 3)
    assert equal(eqx.filter(one_way, eqx.is_array), eqx.filter(other_way, eqx.is_array))


def test_gradients_are_none_where_nothing_is_trained() -> None:
    model, tx = Model(), optax.adam(0.1)
    params = eqx.filter(model, eqx.is_inexact_array)
    assert params.last is None
    state = tx.init(params)
    assert state[0].mu.last is None
    updates, _ = tx.update(eqx.filter_grad(loss)(model), state, params)
    assert updates.last is None
    assert updates.steps is None
    # apply_updates of this project leaves the same leaves alone
    assert equal(
        optax.apply_updates(params, updates), eqx.filter(eqx.apply_updates(model, updates), eqx.is_inexact_array)
    )


@pytest.mark.parametrize("factory", [optax.scale_by_learning_rate, optax.sgd, optax.adam, optax.adamw, optax.lbfgs])
def test_a_rate_in_a_closure_is_a_leaf(factory: Any) -> None:
    """optimistix differentiates and batches over optimizers in this way."""
    rate = jnp.asarray(0.25, jnp.float32)
    arrays = [x for x in jax.tree.leaves(eqxi.closure_to_pytree(factory(rate))) if eqx.is_array(x)]
    assert any(jnp.array_equal(x, -rate) for x in arrays)


def test_a_step_is_differentiated_by_the_rate_in_a_closure() -> None:
    def moved(tx: Any) -> jax.Array:
        updates, _ = tx.update(jnp.ones(2), tx.init(jnp.zeros(2)))
        return jnp.sum(updates)

    tx = eqxi.closure_to_pytree(optax.scale_by_learning_rate(jnp.asarray(0.25)))
    grads = eqx.filter_grad(moved)(tx)
    assert [float(g) for g in jax.tree.leaves(grads)] == [2.0]  # by the negative rate

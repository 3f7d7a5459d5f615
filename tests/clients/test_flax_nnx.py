"""flax.nnx.Optimizer: states on trees of Variables in `init`, and on bare arrays in `update`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import optax
from clients.problem import OFFSET, SLOPE, X, Y, equal


def loss(model: nnx.Linear) -> jax.Array:
    return jnp.mean((model(X)[:, 0] - Y) ** 2)


@nnx.jit
def step(model: nnx.Linear, optimizer: nnx.Optimizer) -> jax.Array:
    value, grads = nnx.value_and_grad(loss)(model)
    optimizer.update(model, grads)
    return value


@nnx.jit
def step_with_value(model: nnx.Linear, optimizer: nnx.Optimizer) -> jax.Array:
    """What line searches, polyak_sgd and reduce_on_plateau want to know."""
    graph, _ = nnx.split(model)

    def value_fn(params: Any) -> jax.Array:
        return loss(nnx.merge(graph, params))

    value, grads = nnx.value_and_grad(loss)(model)
    optimizer.update(model, grads, grad=grads, value=value, value_fn=value_fn)
    return value


OPTIMIZERS: dict[str, tuple[Callable[[], Any], int]] = {
    "chain": (lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1, weight_decay=0.0)), 300),
    "inject_hyperparams": (lambda: optax.inject_hyperparams(optax.adam)(0.1), 300),
    "MultiSteps": (lambda: optax.MultiSteps(optax.sgd(0.3, momentum=0.5), every_k_schedule=2), 100),
    "muon": (lambda: optax.contrib.muon(optax.cosine_decay_schedule(0.3, 300)), 300),
    "sm3": (lambda: optax.sm3(optax.cosine_decay_schedule(0.5, 300)), 300),
    "lion": (lambda: optax.lion(optax.cosine_decay_schedule(0.1, 300)), 300),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains(name: str) -> None:
    tx, steps = OPTIMIZERS[name]
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx(), wrt=nnx.Param)
    for _ in range(steps):
        step(model, optimizer)
    assert optimizer.step[...] == steps
    assert loss(model) < 1e-4
    assert jnp.allclose(model.kernel[:, 0], SLOPE, atol=1e-2)
    assert jnp.allclose(model.bias[...], OFFSET, atol=1e-2)


@pytest.mark.parametrize(
    ("tx", "steps"),
    [
        (optax.lbfgs(), 10),
        (optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20)), 20),
        (optax.polyak_sgd(), 60),
        (optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=5)), 100),
    ],
    ids=["lbfgs", "lbfgs, backtracking", "polyak_sgd", "reduce_on_plateau"],
)
def test_trains_with_extra_arguments(tx: optax.GradientTransformationExtraArgs, steps: int) -> None:
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    for _ in range(steps):
        step_with_value(model, optimizer)
    assert loss(model) < 1e-4
    assert jnp.allclose(model.kernel[:, 0], SLOPE, atol=1e-2)


def test_states_lie_where_they_are_looked_for() -> None:
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(0.1, b1=0.9), wrt=nnx.Param)
    grads = nnx.grad(loss)(model)
    optimizer.update(model, grads)
    first = optimizer.opt_state[0]
    assert isinstance(first, optax.ScaleByAdamState)
    assert first.count[...] == 1
    assert isinstance(first.mu.kernel, nnx.optimizer.OptVariable)
    assert jnp.allclose(first.mu.kernel[...], 0.1 * grads.kernel[...], rtol=1e-5)


def test_a_rate_is_changed_by_hand() -> None:
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.inject_hyperparams(optax.sgd)(learning_rate=0.1), wrt=nnx.Param)
    optimizer.opt_state.hyperparams["learning_rate"][...] = jnp.asarray(0.25)
    before, grads = model.kernel[...], nnx.grad(loss)(model)
    step(model, optimizer)
    assert jnp.allclose(model.kernel[...], before - 0.25 * grads.kernel[...], rtol=1e-5)


def test_only_a_part_of_the_model_moves() -> None:
    """`wrt` leaves leaves out; what is left is a smaller tree of Variables."""
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    bias = nnx.All(nnx.Param, nnx.PathContains("bias"))
    optimizer = nnx.Optimizer(model, optax.sgd(0.5), wrt=bias)
    kernel = jnp.copy(model.kernel[...])
    for _ in range(30):
        optimizer.update(model, nnx.grad(loss, argnums=nnx.DiffState(0, bias))(model))
    assert equal(model.kernel[...], kernel)
    assert jnp.allclose(model.bias[...], jnp.mean(Y - X @ kernel[:, 0]), atol=1e-4)  # the best for this kernel


def test_the_whole_of_training_is_split_and_merged() -> None:
    def trained(model: nnx.Linear, optimizer: nnx.Optimizer) -> Any:
        for _ in range(3):
            step(model, optimizer)
        return nnx.to_pure_dict(nnx.state((model, optimizer)))

    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(0.1), wrt=nnx.Param)
    step(model, optimizer)
    graph, state = nnx.split((model, optimizer))
    copy = jax.tree.map(jnp.copy, state)
    assert equal(trained(model, optimizer), trained(*nnx.merge(graph, copy)))

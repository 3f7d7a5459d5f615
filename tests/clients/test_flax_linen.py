"""flax.linen: TrainState calls init, update and apply_updates; flax.serialization walks the states."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import serialization
from flax.training.train_state import TrainState

import optax
from clients.problem import OFFSET, SLOPE, X, Y, equal

MODEL = nn.Dense(1)


def create(tx: optax.GradientTransformation) -> TrainState:
    params = MODEL.init(jax.random.key(0), X[:1])["params"]
    return TrainState.create(apply_fn=MODEL.apply, params=params, tx=tx)


def loss(params: Any) -> jax.Array:
    return jnp.mean((MODEL.apply({"params": params}, X)[:, 0] - Y) ** 2)


@jax.jit
def step(state: TrainState) -> TrainState:
    return state.apply_gradients(grads=jax.grad(loss)(state.params))


def train(state: TrainState, steps: int) -> TrainState:
    for _ in range(steps):
        state = step(state)
    return state


def by_name(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key, params)


OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "chain": lambda: optax.chain(
        optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.3, 300), weight_decay=0.0)
    ),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adam)(optax.cosine_decay_schedule(0.3, 300)),
    "MultiSteps": lambda: optax.MultiSteps(optax.sgd(0.3, momentum=0.5), every_k_schedule=2),
    "masked": lambda: optax.chain(
        optax.masked(optax.trace(0.5), lambda params: jax.tree.map(lambda p: p.ndim > 1, params)), optax.sgd(0.2)
    ),
    "multi_transform": lambda: optax.multi_transform(
        {"kernel": optax.sgd(0.2, momentum=0.5), "bias": optax.sgd(0.3)}, by_name
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trains(name: str) -> None:
    state = train(create(OPTIMIZERS[name]()), 300)
    assert state.step == 300
    assert loss(state.params) < 1e-6
    assert jnp.allclose(state.params["kernel"][:, 0], SLOPE, atol=2e-3)
    assert jnp.allclose(state.params["bias"], OFFSET, atol=2e-3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_from_bytes_as_if_never_stopped(name: str) -> None:
    state = train(create(OPTIMIZERS[name]()), 3)  # in the middle of an accumulation of MultiSteps
    restored = serialization.from_bytes(create(OPTIMIZERS[name]()), serialization.to_bytes(state))
    assert jax.tree.structure(restored.opt_state) == jax.tree.structure(state.opt_state)
    one_way, other_way = train(state, 3), train(restored, 3)
    assert equal((one_way.params, one_way.opt_state), (other_way.params, other_way.opt_state))


def test_moments_of_adam_are_fields_of_the_first_state() -> None:
    state = create(optax.adam(0.1, b1=0.9, b2=0.99))
    grads = jax.grad(loss)(state.params)
    first = state.apply_gradients(grads=grads).opt_state[0]
    assert isinstance(first, optax.ScaleByAdamState)
    assert first.count == 1
    for g, mu, nu in zip(*map(jax.tree.leaves, (grads, first.mu, first.nu)), strict=True):
        assert jnp.allclose(mu, 0.1 * g, rtol=1e-5)
        assert jnp.allclose(nu, 0.01 * g**2, rtol=1e-5)


def test_state_dict_has_the_names_of_the_fields() -> None:
    state = create(optax.chain(optax.clip(1.0), optax.adam(0.1)))
    raw = serialization.msgpack_restore(serialization.to_bytes(state))
    assert {*raw} == {"step", "params", "opt_state"}
    assert raw["opt_state"]["0"] == {}
    adam, scale = raw["opt_state"]["1"]["0"], raw["opt_state"]["1"]["1"]
    assert {*adam} == {"count", "mu", "nu"}
    assert adam["mu"]["kernel"].shape == (3, 1)
    assert scale == {}


def test_the_state_of_other_hyperparameters_does_not_fit() -> None:
    saved = serialization.to_bytes(create(optax.sgd(0.1, momentum=0.9)))
    with pytest.raises(ValueError, match="trace"):
        serialization.from_bytes(create(optax.sgd(0.1)), saved)


class TestHyperparametersOfAState:
    """`state.hyperparams` is a plain dict: assigned, emptied and replaced by programs that change a rate by hand."""

    @pytest.fixture
    def state(self) -> TrainState:
        return create(optax.inject_hyperparams(optax.sgd)(learning_rate=0.1))

    def moved(self, state: TrainState) -> float:
        """How far a step goes, in gradients."""
        after, grads = step(state), jax.grad(loss)(state.params)
        return float((state.params["kernel"] - after.params["kernel"])[0, 0] / grads["kernel"][0, 0])

    def test_is_assigned_in_place(self, state: TrainState) -> None:
        assert self.moved(state) == pytest.approx(0.1, rel=1e-4)
        state.opt_state.hyperparams["learning_rate"] = jnp.asarray(0.25)
        assert self.moved(state) == pytest.approx(0.25, rel=1e-4)
        assert step(state).opt_state.hyperparams["learning_rate"] == 0.25

    def test_is_copied_and_replaced(self, state: TrainState) -> None:
        changed = dict(state.opt_state.hyperparams)
        changed["learning_rate"] = jnp.float32(0.25)
        other = state.replace(opt_state=state.opt_state._replace(hyperparams=changed))
        assert self.moved(other) == pytest.approx(0.25, rel=1e-4)
        assert self.moved(state) == pytest.approx(0.1, rel=1e-4)

    def test_is_deleted(self, state: TrainState) -> None:
        rate = state.opt_state.hyperparams["learning_rate"]
        del state.opt_state.hyperparams["learning_rate"]
        assert state.opt_state.hyperparams == {}
        state.opt_state.hyperparams["learning_rate"] = rate * 2
        assert self.moved(state) == pytest.approx(0.2, rel=1e-4)

    def test_is_of_a_type_that_is_asked_for(self, state: TrainState) -> None:
        for opt_state in (state.opt_state, step(state).opt_state):
            assert isinstance(opt_state, optax.InjectHyperparamsState | optax.InjectStatefulHyperparamsState)
            assert type(opt_state.hyperparams) is dict


def test_fields_of_wrappers() -> None:
    state = train(create(OPTIMIZERS["MultiSteps"]()), 3).opt_state
    assert isinstance(state, optax.MultiStepsState)
    assert (state.mini_step, state.gradient_step) == (1, 1)
    assert isinstance(state.inner_opt_state[0], optax.TraceState)

    state = train(create(OPTIMIZERS["masked"]()), 1).opt_state[0]
    assert isinstance(state, optax.MaskedState)
    kept = jax.tree.leaves(state.inner_state.trace, is_leaf=lambda x: isinstance(x, optax.MaskedNode))
    assert [type(leaf) is optax.MaskedNode for leaf in kept] == [True, False]  # bias, kernel

    state = train(create(OPTIMIZERS["multi_transform"]()), 1).opt_state
    assert isinstance(state.inner_states["bias"].inner_state[-1], optax.EmptyState)
    assert state.inner_states["kernel"].inner_state[0].trace["kernel"].shape == (3, 1)

"""dm-haiku: parameters are dicts of dicts, which `multi_transform` and `masked` label by module."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import pytest

import optax
from clients.problem import OFFSET, SLOPE, X, Y

MODEL = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(1, name="line")(x)[:, 0]))


def loss(params: hk.Params) -> jax.Array:
    return jnp.mean((MODEL.apply(params, X) - Y) ** 2)


def weights(params: hk.Params) -> Any:
    return hk.data_structures.map(lambda module, name, value: name == "w", params)


@pytest.mark.parametrize(
    "tx",
    [
        optax.adam(0.1),
        optax.chain(optax.masked(optax.trace(0.5), weights), optax.sgd(0.2)),
        optax.multi_transform({True: optax.sgd(0.2, momentum=0.5), False: optax.sgd(0.3)}, weights),
        optax.lamb(optax.cosine_decay_schedule(0.1, 300)),
    ],
    ids=["adam", "masked", "multi_transform", "lamb"],
)
def test_trains(tx: optax.GradientTransformation) -> None:
    @jax.jit
    def step(params: hk.Params, state: Any) -> tuple[hk.Params, Any]:
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    params = MODEL.init(jax.random.key(0), X)
    state = tx.init(params)
    for _ in range(300):
        params, state = step(params, state)
    assert loss(params) < 1e-5
    assert jnp.allclose(params["line"]["w"][:, 0], SLOPE, atol=5e-3)
    assert jnp.allclose(params["line"]["b"], OFFSET, atol=5e-3)

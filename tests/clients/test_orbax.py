"""orbax-checkpoint: a run that is restored into an abstract target goes on to the same bits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
import pytest

import optax
from clients.problem import equal, loss, zeros

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "adamw": lambda: optax.adamw(0.1),
    "MultiSteps": lambda: optax.MultiSteps(optax.adam(0.1), every_k_schedule=2),
    "inject_hyperparams": lambda: optax.inject_hyperparams(optax.adamw)(
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 2, 20), b1=0.8
    ),
    "partition": lambda: optax.partition(
        {"a": optax.adam(0.1), "b": optax.set_to_zero()}, {"slope": "a", "offset": "b"}
    ),
    "lbfgs": lambda: optax.lbfgs(),
    "schedule_free": lambda: optax.contrib.schedule_free(optax.sgd(0.1), learning_rate=0.1),
    "masked": lambda: optax.chain(optax.masked(optax.trace(0.5), {"slope": True, "offset": False}), optax.sgd(0.1)),
    "adafactor": lambda: optax.adafactor(0.1),
    "apply_if_finite": lambda: optax.apply_if_finite(optax.adam(0.1), 3),
    "add_noise": lambda: optax.chain(optax.add_noise(0.01, 0.5, 0), optax.sgd(0.1)),
    "reduce_on_plateau": lambda: optax.chain(optax.adam(0.1), optax.contrib.reduce_on_plateau()),
    "named_chain": lambda: optax.named_chain(("clip", optax.clip(1.0)), ("adam", optax.adam(0.1))),
}


def train(tx: optax.GradientTransformation, params: Any, state: Any, steps: int) -> tuple[Any, Any]:
    tx = optax.with_extra_args_support(tx)

    @jax.jit
    def step(params: Any, state: Any) -> tuple[Any, Any]:
        value, grads = jax.value_and_grad(loss)(params)
        updates, state = tx.update(grads, state, params, value=value, grad=grads, value_fn=loss)
        return optax.apply_updates(params, updates), state

    for _ in range(steps):
        params, state = step(params, state)
    return params, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_goes_on_as_if_never_stopped(name: str, tmp_path: Path) -> None:
    tx = OPTIMIZERS[name]()
    params, state = train(tx, zeros(), tx.init(zeros()), 3)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "run", (params, state))
        checkpointer.wait_until_finished()
        # Nothing of the run is at hand but its configuration.
        tx = OPTIMIZERS[name]()
        target = jax.eval_shape(lambda: (zeros(), tx.init(zeros())))
        restored = checkpointer.restore(tmp_path / "run", target)
    assert equal(restored, (params, state))
    one_way, other_way = train(tx, params, state, 3), train(tx, *restored, 3)
    assert equal(one_way, other_way)
    assert loss(one_way[0]) < loss(params) < loss(zeros())

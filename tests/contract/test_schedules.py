"""Every public factory of schedules keeps what training loops rely on."""

import inspect
import itertools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax
import optax.schedules
from compilations import Jitted
from contract.signatures import examples, undocumented

FACTORIES = {
    name: factory
    for name in optax.schedules.__all__
    if hasattr(factory := getattr(optax.schedules, name), "__wrapped__") and inspect.isfunction(factory)
}

# What a required parameter of this name gets.
ARGUMENTS: dict[str, Any] = {
    "begin": 5,
    "boundaries": [4, 9],
    "cooldown_steps": 6,
    "cosine_kwargs": [{"init_value": 0.1, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": n} for n in (5, 7)],
    "cycle_steps": 8,
    "cycles": 2,
    "decay_rate": 0.5,
    "decay_steps": 20,
    "end_value": 0.01,
    "factor": 0.5,
    "init_value": 0.1,
    "interpolate_type": "cosine",
    "max_value": 0.3,
    "milestones": [2, 4],
    "peak_value": 1.0,
    "power": 2.0,
    "schedule": optax.linear_schedule(0.5, 0.1, 5),
    "schedules": [optax.constant_schedule(0.5), optax.linear_schedule(0.5, 0.1, 5), abs],
    "step_size": 3,
    "steps": 4,
    "timescale": 5,
    "total_steps": 20,
    "transition_steps": 7,
    "up_steps": 3,
    "value": 0.3,
    "warmup_steps": 5,
}


def made(name: str) -> Any:
    given = examples(FACTORIES[name], ARGUMENTS, "tests/contract/test_schedules.py")
    parameters = inspect.signature(FACTORIES[name]).parameters.values()
    several = [given.pop(p.name) for p in parameters if p.kind is p.VAR_POSITIONAL]
    return FACTORIES[name](*itertools.chain(*several), **given)


@pytest.mark.parametrize("name", sorted(FACTORIES))
class TestEverySchedule:
    def test_it_drives_an_optimizer_that_is_compiled_once(self, name: str) -> None:
        tx = optax.sgd(made(name))
        params = jnp.ones(2, jnp.bfloat16)
        state = tx.init(params)
        update = Jitted(tx.update)
        for count in range(4):
            updates, state = update(params, state)
            assert updates.dtype == jnp.bfloat16
            np.testing.assert_allclose(np.asarray(updates, np.float32), -float(made(name)(count)), rtol=4e-3)
        assert update.traces == 1

    def test_the_docstring_covers_the_arguments(self, name: str) -> None:
        assert undocumented(FACTORIES[name]) == []

"""Every public factory of schedules keeps what training loops rely on."""

import inspect
import pickle
from typing import Any

import jax
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
    "boundaries": [4, 9],
    "decay_steps": 20,
    "end_value": 0.01,
    "init_value": 0.1,
    "peak_value": 1.0,
    "power": 2.0,
    "schedules": [optax.constant_schedule(0.5), optax.linear_schedule(0.5, 0.1, 5), abs],
    "transition_steps": 7,
    "value": 0.3,
    "warmup_steps": 5,
}


def made(name: str) -> Any:
    return FACTORIES[name](**examples(FACTORIES[name], ARGUMENTS, "tests/contract/test_schedules.py"))


@pytest.mark.parametrize("name", sorted(FACTORIES))
class TestEverySchedule:
    def test_values_are_strong_finite_scalars_for_every_kind_of_count(self, name: str) -> None:
        schedule = made(name)
        counts = (0, 3, np.int64(3), np.float32(3), jnp.int32(3), jnp.asarray(3, jnp.uint8), 2**31 - 1, -5)
        for count in counts:
            value = schedule(count)
            assert (value.shape, value.dtype, value.weak_type) == ((), jnp.float32, False)
            assert np.isfinite(value)
        assert schedule(-5) == schedule(0)

    def test_eager_jitted_and_mapped_values_agree(self, name: str) -> None:
        schedule = made(name)
        counts = jnp.arange(25)
        eager = np.asarray([schedule(int(count)) for count in counts])
        np.testing.assert_allclose(jax.vmap(schedule)(counts), eager, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(jax.jit(jax.vmap(schedule))(counts), eager, rtol=1e-6, atol=1e-7)

    def test_it_is_a_value(self, name: str) -> None:
        schedule = made(name)
        again = eval(repr(schedule), {"optax": optax})
        for other in (again, made(name), pickle.loads(pickle.dumps(schedule))):
            assert other == schedule
            assert hash(other) == hash(schedule)
        assert float(again(6)) == float(schedule(6))

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

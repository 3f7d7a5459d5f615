"""Every call in the tables of docs/moving.md runs; in `parity`, they are compared with PyTorch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
import release
from docs import guides

TEXT = (release.ROOT / "docs" / "moving.md").read_text()

PARAMS = {"kernel": np.linspace(-1, 1, 6, dtype=np.float32).reshape(3, 2), "bias": np.ones(2, np.float32)}


def calls_of(heading: str) -> list[str]:
    """The second column of the tables of a section."""
    return [code for row in guides.rows(guides.section(TEXT, heading)) for code in guides.codes(row[1])]


def evaluated(call: str) -> Any:
    return eval(call, {"optax": optax, "jax": jax, "jnp": jnp})


OPTIMIZERS = [call for heading in ("Optimizers", "Around the step", "From flax.optim") for call in calls_of(heading)]
SCHEDULES = calls_of("Learning-rate schedules")


def square(params: Any) -> jax.Array:
    return jnp.asarray(optax.tree.norm(params, squared=True))


@pytest.mark.parametrize("call", sorted({*OPTIMIZERS}))
def test_the_optimizers_make_a_step(call: str) -> None:
    """Downhill, on a sum of squares; uphill where the learning rate is negative."""
    tx = optax.with_extra_args_support(evaluated(call))
    state = tx.init(PARAMS)
    params: Any = PARAMS
    for _ in range(4):  # MultiSteps collects as many gradients
        grads = jax.tree.map(lambda p: 2 * p, params)
        updates, state = tx.update(grads, state, params, value=square(params), grad=grads, value_fn=square)
        params = optax.apply_updates(params, updates)
    change = float(square(params) - square(PARAMS))
    assert change > 0 if "sgd(-0.1)" in call else change < 0


@pytest.mark.parametrize("call", sorted({*SCHEDULES}))
def test_the_schedules_are_functions_of_the_count(call: str) -> None:
    """With rates that are those of lr=0.5, or below."""
    schedule: Callable[[Any], Any] = evaluated(call)
    rates = np.array([schedule(t) for t in range(0, 100, 10)])
    assert np.all((rates >= 0) & (rates <= 0.5))
    assert rates.max() > 0.05
    assert len({*rates.round(6)}) > 1


def test_the_tables_are_found() -> None:
    """Each row of a table of optimizers or schedules has one call."""
    for heading in ("Optimizers", "Learning-rate schedules"):
        found = [*guides.rows(guides.section(TEXT, heading))]
        assert len(found) >= 14
        assert all(len(guides.codes(row[1])) == 1 for row in found)
    assert len(OPTIMIZERS) >= 40


def test_the_names_of_a_checkpoint() -> None:
    """What the guide calls the fields of the states."""
    for call, field in [("adam(1e-3)", "nu"), ("sgd(0.1, momentum=0.9)", "trace"), ("rmsprop(0.1)", "nu")]:
        assert optax.tree.get(evaluated(f"optax.{call}").init(PARAMS), field) is not None
    assert optax.tree.get(optax.adagrad(0.1).init(PARAMS), "sum_of_squares") is not None

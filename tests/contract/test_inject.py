"""Every factory of transformations can have its hyperparameters injected, without a word about which they are.

All of it is defect C3, and with parameters in bfloat16 beside others defects C1 and C2.
"""

import inspect
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import Jitted, form
from contract import calls
from optax.core.testing import Subject, factories

PARAMS = {
    "matrix": jnp.linspace(-1.0, 1.0, 6, dtype=jnp.float32).reshape(2, 3),
    "nested": [jnp.asarray([0.5, -2.0, 1.0], jnp.bfloat16), jnp.asarray(1.5, jnp.float32)],
}
GRADIENTS = [jax.tree.map(lambda p: p + 1, PARAMS), jax.tree.map(lambda p: p * p, PARAMS)]
CALLS = list(calls.all_calls())
PLAIN = calls.plain_calls()


def arguments(tx: Any) -> dict[str, Any]:
    """All arguments of the call that made a transformation, by name."""
    call = tx._recipe.arguments
    bound = inspect.BoundArguments(call.signature, dict(call.arguments))
    bound.apply_defaults()
    return bound.arguments


def numbers(tx: Any) -> set[str]:
    """The names of those that are floating numbers."""
    return {name for name, x in arguments(tx).items() if type(x) is float}


OPTIMIZERS = [name for name in sorted(factories(optax.optimizers)) if numbers(PLAIN[name]) and "scale_by" not in name]


def subjects(name: str, tx: Any) -> tuple[Subject, Subject]:
    """What a factory made, and the same with the hyperparameters injected."""
    call = tx._recipe.arguments
    injected = optax.inject_hyperparams(calls.FACTORIES[name])(*call.args, **call.kwargs)
    return calls.subject(name, tx, params=PARAMS), calls.subject(name, injected, params=PARAMS)


def is_injected(x: Any) -> bool:
    return isinstance(x, optax.InjectStatefulHyperparamsState)


def without_hyperparams(state: Any) -> Any:
    return jax.tree.map(lambda x: x.inner_state if is_injected(x) else x, state, is_leaf=is_injected)


@pytest.mark.parametrize(("name", "tx"), [pytest.param(name, tx, id=repr(tx)) for name, tx in CALLS])
def test_traced_with_its_numbers_as_data(name: str, tx: Any) -> None:
    """Nothing in it decides by the value of a number that it is given, and its state keeps its form."""
    plain, injected = subjects(name, tx)
    state = jax.eval_shape(injected.tx.init, PARAMS)
    if not any(map(callable, arguments(tx).values())):  # an update count per schedule is what injection does without
        chex.assert_trees_all_equal_shapes_and_dtypes(without_hyperparams(state), jax.eval_shape(plain.tx.init, PARAMS))
    updates, after = jax.eval_shape(injected.update, PARAMS, state, PARAMS)
    assert form(after) == form(state)
    chex.assert_trees_all_equal_shapes_and_dtypes(updates, PARAMS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_compiled_with_its_numbers_as_data(name: str) -> None:
    """It steps as it does with the numbers built in, and is compiled once for all their values."""
    plain, injected = subjects(name, PLAIN[name])
    state, plain_state = injected.tx.init(PARAMS), plain.tx.init(PARAMS)
    hyperparams = optax.tree.get(state, "hyperparams")
    assert {*hyperparams} == numbers(PLAIN[name])
    assert {x.dtype.name for x in hyperparams.values()} == {"float32"}

    @Jitted
    def step(g: Any, state: Any, plain_state: Any) -> Any:
        return injected.update(g, state, PARAMS), plain.update(g, plain_state, PARAMS)

    for g in GRADIENTS:
        (updates, state), (expected, plain_state) = step(g, state, plain_state)
        chex.assert_trees_all_close(updates["matrix"], expected["matrix"], rtol=1e-5, atol=1e-6)
        chex.assert_trees_all_close(updates["nested"], expected["nested"], rtol=1e-2, atol=1e-4)
    changed = {k: np.float64(0.9 * x + 0.01) for k, x in hyperparams.items()}
    (_, state), _ = step(GRADIENTS[0], optax.set_hyperparams(state, **changed), plain_state)
    assert step.traces == 1
    chex.assert_trees_all_close(optax.tree.get(state, "hyperparams"), jax.tree.map(np.float32, changed))

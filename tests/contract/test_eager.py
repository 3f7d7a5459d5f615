"""Outside of `jax.jit`, how often XLA is called: never for a new state, once for an update and once to apply it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from contract.calls import plain_calls

# Their states begin with what is computed from the parameters, or with arrays of other axes.
COMPUTED = {
    "dog",
    "flatten",
    "galore",
    "lbfgs",
    "mechanize",
    "scale_by_distance_over_gradients",
    "scale_by_galore",
    "scale_by_lbfgs",
}


compiled: list[str] = []  # or found in the cache


def listen(event: str, seconds: float, **labels: object) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(event)


jax.monitoring.register_event_duration_secs_listener(listen)


def matrices(size: int) -> list[jax.Array]:
    """Of two shapes that are not those of another size."""
    return [jnp.asarray(np.ones((size, 3 + i), np.float32)) for i in range(2)]


def test_a_state_is_made_without_programs_for_its_shapes() -> None:
    found = set()
    transformations = plain_calls()
    del transformations["rules"]  # by the names of leaves
    for size, (name, tx) in enumerate(transformations.items(), 20):
        tx.init(matrices(3))  # programs for the scalars in the state
        params = matrices(size)  # of shapes that are new every time
        compiled.clear()
        tx.init(params)
        found |= {name} if compiled else set()
    assert found == COMPUTED
    assert len(transformations) > 100


@pytest.mark.parametrize(
    "tx",
    [
        optax.adamw(0.1),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 100))),
        optax.inject_hyperparams(optax.adamw)(0.1),
        optax.MultiSteps(optax.adamw(0.1), 2),
        optax.apply_if_finite(optax.lamb(0.1), 3),
    ],
    ids=lambda tx: tx.name,
)
def test_a_step_is_two_programs(tx: optax.GradientTransformation) -> None:
    params = matrices(7)
    state = tx.init(params)
    numbers = []
    for _ in range(3):
        compiled.clear()
        updates, state = tx.update(params, state, params)
        params = optax.apply_updates(params, updates)
        numbers.append(len(compiled))
    assert numbers[0] <= 2
    assert numbers[1:] == [0, 0]

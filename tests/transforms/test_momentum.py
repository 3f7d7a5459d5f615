"""What only accumulated updates promise."""

import jax.numpy as jnp
import numpy as np

import optax


def test_decaying_sum() -> None:
    tx = optax.trace(0.5)
    state = tx.init(jnp.zeros(()))
    seen = []
    for g in (1.0, 0.0, 4.0):
        u, state = tx.update(jnp.float32(g), state)
        seen.append(float(u))
    assert seen == [1.0, 0.5, 4.25]
    assert float(state.trace) == 4.25


def test_the_dtype_resolves_the_decay() -> None:
    params = jnp.ones(2, jnp.bfloat16)
    assert optax.trace(0.9).init(params).trace.dtype == jnp.bfloat16
    assert optax.trace(0.999).init(params).trace.dtype == jnp.float32
    assert optax.trace(0.999, accumulator_dtype=jnp.bfloat16).init(params).trace.dtype == jnp.bfloat16


def test_state_is_built_by_name() -> None:
    assert np.all(np.asarray(optax.TraceState(trace=jnp.ones(2)).trace) == 1)

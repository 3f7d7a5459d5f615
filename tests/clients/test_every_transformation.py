"""What the libraries do with states is done to that of each factory: of its plain call in the tests of the contract."""

import functools
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
from flax import nnx, serialization

import optax
from clients.problem import equal
from contract import calls
from optax.core.testing import Subject

PLAIN = calls.plain_calls()
del PLAIN["rules"]  # names parameters that are not among these
PARAMS = {"bias": jnp.array([0.5, -1.0]), "kernel": jnp.linspace(-1.0, 1.5, 6).reshape(3, 2)}
GRADS = {"bias": jnp.array([-0.25, 0.5]), "kernel": jnp.linspace(0.5, -1.0, 6).reshape(3, 2)}


def subject(name: str) -> Subject:
    return calls.subject(name, PLAIN[name], params=PARAMS)


@functools.cache
def twice(name: str) -> tuple[Any, Any]:
    """Parameters and state after two steps."""
    s = subject(name)
    params, state = PARAMS, s.tx.init(PARAMS)
    for _ in range(2):
        params, state = s.step(params, state, GRADS)
    return params, state


def fresh(name: str) -> Any:
    """The state that somebody has who knows nothing but the transformation."""
    return subject(name).tx.init(jax.tree.map(jnp.zeros_like, PARAMS))


@pytest.mark.parametrize("name", PLAIN)
def test_steps_of_nnx_are_those_on_arrays(name: str) -> None:
    """Between two steps nnx keeps the state as a tree of Variables, and the lists in one as trees of its own."""
    s = subject(name)
    model = nnx.Linear(3, 2, rngs=nnx.Rngs(0))
    nnx.update(model, PARAMS)
    optimizer = nnx.Optimizer(model, optax.with_extra_args_support(s.tx), wrt=nnx.Param)
    for _ in range(2):
        params = nnx.state(model, nnx.Param)
        grads = jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(GRADS))
        optimizer.update(model, grads, **s.extra_args(nnx.as_pure(params), nnx.as_pure(grads)))
    expected, found = jax.tree.leaves(twice(name)), jax.tree.leaves((nnx.state(model), optimizer.opt_state))
    assert all(jnp.allclose(x, y, rtol=1e-5, atol=1e-6) for x, y in zip(expected, found, strict=True))


@pytest.mark.parametrize("name", PLAIN)
def test_flax_reads_back_what_it_wrote(name: str) -> None:
    _, state = twice(name)
    assert equal(serialization.from_bytes(fresh(name), serialization.to_bytes(state)), state)


def test_equinox_reads_back_what_it_wrote(tmp_path: Path) -> None:
    states = {name: twice(name)[1] for name in PLAIN}
    eqx.tree_serialise_leaves(tmp_path / "states", states)
    assert equal(eqx.tree_deserialise_leaves(tmp_path / "states", {name: fresh(name) for name in PLAIN}), states)


def test_orbax_reads_back_what_it_wrote(tmp_path: Path) -> None:
    states = {name: twice(name)[1] for name in PLAIN}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "states", states)
        checkpointer.wait_until_finished()
        target = {name: jax.eval_shape(functools.partial(fresh, name)) for name in PLAIN}
        assert equal(checkpointer.restore(tmp_path / "states", target), states)

"""Checkpoints that the original 0.2.8 has written; `checkpoint.py` wrote the file, where it is installed."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest
from flax import serialization

import optax
from compat import checkpoint, states

SAVED: Mapping[str, Mapping[str, Any]] = serialization.msgpack_restore(checkpoint.FILE.read_bytes())

NOT_BY_FLAX = "mechanize|schedule_free|lbfgs|linesearch"  # they have more fields here


def assert_goes_on(call: str, state: Any) -> None:
    """The third update is that of the original."""
    _, step = states.steps(call, optax)
    updates = step(jax.tree.map(jnp.asarray, SAVED[call]["params"]), state)[2]
    found, expected = map(states.described, (updates, SAVED[call]["updates"]))
    assert not [*states.compared(found, expected, floor=4e-7)]


@pytest.mark.parametrize("call", checkpoint.CALLS)
def test_flax(call: str) -> None:
    first, _ = states.steps(call, optax)
    if re.search(NOT_BY_FLAX, call):
        with pytest.raises(ValueError, match="field names"):
            serialization.from_bytes(first, SAVED[call]["state"])
    elif "distance_over" not in call:  # of shape (1,) there, which flax does not look at
        assert_goes_on(call, serialization.from_bytes(first, SAVED[call]["state"]))


@pytest.mark.parametrize("call", checkpoint.CALLS)
def test_without_classes(call: str) -> None:
    """The dicts that flax makes of the bytes, into a state that has shapes and dtypes only."""
    first, _ = states.steps(call, optax)
    state = optax.tree.restore_like(serialization.msgpack_restore(SAVED[call]["state"]), jax.eval_shape(lambda: first))
    assert_goes_on(call, state)


def test_orbax(tmp_path: Any) -> None:
    """Orbax stores paths and arrays; a checkpoint of the same ones stands for that of the original."""
    stored = {call: serialization.msgpack_restore(saved["state"]) for call, saved in SAVED.items()}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "states", stored)
        checkpointer.wait_until_finished()
        found = checkpointer.restore(tmp_path / "states")
    for call in checkpoint.CALLS:
        assert_goes_on(call, optax.tree.restore_like(found[call], states.steps(call, optax)[0]))

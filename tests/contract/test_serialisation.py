"""The state of every public transformation can be stored and read again: as msgpack (flax), in a checkpoint (Orbax)."""

import functools
from typing import Any

import chex
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import serialization

from contract import calls
from optax.core.testing import Subject

TRANSFORMATIONS = calls.plain_calls()


@pytest.fixture(scope="module", params=sorted(TRANSFORMATIONS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@functools.cache
def subject(name: str) -> Subject:
    return calls.subject(name, TRANSFORMATIONS[name])


@functools.cache
def used_state(name: str) -> Any:
    """The state after one update."""
    s = subject(name)
    return s.update(s.gradient(0), fresh_state(name), s.params)[1]


def fresh_state(name: str) -> Any:
    return subject(name).tx.init(subject(name).params)


def assert_same(restored: Any, state: Any) -> None:
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, state)
    chex.assert_trees_all_equal(restored, state)


def test_msgpack(name: str) -> None:
    """What comes back is a tree of NumPy's arrays, which `update` takes for its state (defect F10: random keys)."""
    s, state = subject(name), used_state(name)
    restored = serialization.from_bytes(fresh_state(name), serialization.to_bytes(state))
    assert_same(restored, state)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(restored))
    assert_same(s.update(s.gradient(1), restored, s.params), s.update(s.gradient(1), state, s.params))


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All states, from one checkpoint, in the form of those that `init` makes."""
    directory = tmp_path_factory.mktemp("checkpoint") / "states"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(directory, {name: used_state(name) for name in TRANSFORMATIONS})
        checkpointer.wait_until_finished()
        restored: dict[str, Any] = checkpointer.restore(
            directory, {name: fresh_state(name) for name in TRANSFORMATIONS}
        )
    return restored


def test_orbax(name: str, checkpointed: dict[str, Any]) -> None:
    assert_same(checkpointed[name], used_state(name))

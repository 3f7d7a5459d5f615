"""What only `apply_every` promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64


def run(tx: Any, gradients: Any, params: Any = None) -> tuple[list[Any], list[Any]]:
    state = tx.init(gradients[0] if params is None else params)
    updates, states = [], [state]
    for g in gradients:
        u, state = tx.update(g, state)
        updates.append(u)
        states.append(state)
    return updates, states


def test_the_sum_of_a_round_leaves_at_its_end() -> None:
    updates, states = run(optax.apply_every(3), [jnp.float32(g) for g in (1, 2, 4, 8, 16, 32, 64)])
    assert [float(u) for u in updates] == [0, 0, 7, 0, 0, 56, 0]
    assert [int(s.count) for s in states] == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [float(s.grad_acc) for s in states] == [0, 1, 3, 7, 8, 24, 56, 64]


def test_a_round_of_one_is_the_identity() -> None:
    updates, _ = run(optax.apply_every(), [jnp.float32(g) for g in (1, 2, 4)])
    assert [float(u) for u in updates] == [1, 2, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_round(bad: float) -> None:
    """Defects B1 and B2: 0 * NaN kept the NaN in the sum for ever, and let it out between the rounds."""
    updates, _ = run(optax.apply_every(2), [jnp.float32(g) for g in (bad, 1, 2, 3, bad, bad)])
    assert [float(u) for u in updates[:1] + updates[2:5]] == [0, 0, 5, 0]
    assert not np.isfinite(updates[1])
    assert not np.isfinite(updates[5])


def test_sums_are_taken_in_float32() -> None:
    """Defect A5, for a sum: one more is lost in a bfloat16 that has reached 256."""
    updates, states = run(optax.apply_every(300), [jnp.ones((), jnp.bfloat16)] * 300)
    assert states[0].grad_acc.dtype == jnp.float32
    assert updates[-1].dtype == jnp.bfloat16
    assert updates[-1] == 300


def test_complex_and_wide_leaves_keep_their_kind() -> None:
    """Defects A13 and A14, for a sum: neither imaginary parts nor digits are lost."""
    updates, _ = run(optax.apply_every(2), [jnp.asarray([1 + 1j, 2j])] * 2)
    assert np.array_equal(updates[1], [2 + 2j, 4j])
    with enable_x64():
        updates, _ = run(optax.apply_every(3), [jnp.asarray(g, jnp.float64) for g in (1, 1e-9, 1)])
        assert updates[2] == 2 + 1e-9


def test_leaves_without_values() -> None:
    """Defect F8."""
    g = {"i": np.zeros(2, jax.dtypes.float0), "n": None, "w": jnp.ones(2)}
    updates, states = run(optax.apply_every(2), [g, g], {"i": jnp.arange(2), "n": None, "w": jnp.ones(2)})
    assert updates[1]["i"] is g["i"]
    assert updates[1]["n"] is None
    assert np.array_equal(updates[1]["w"], [2.0, 2.0])
    assert jax.tree.structure(states[2]) == jax.tree.structure(states[0])


@pytest.mark.parametrize("k", [np.int64(2), np.int32(2), jnp.int32(2)])
def test_integers_of_every_kind(k: Any) -> None:
    """Defect B6."""
    updates, _ = run(optax.apply_every(k), [jnp.float32(1), jnp.float32(2)])
    assert [float(u) for u in updates] == [0, 3]


def test_a_traced_length() -> None:
    def last(k: Any) -> Any:
        return run(optax.apply_every(k), [jnp.float32(1), jnp.float32(2)])[0][1]

    assert np.array_equal(jax.vmap(last)(jnp.asarray([1, 2, 3])), [2.0, 3.0, 0.0])


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("2", TypeError)])
def test_lengths_that_cannot_be_meant(k: Any, error: type[Exception]) -> None:
    """Defects B6 and C12: 0 was accepted, and then nothing was ever applied."""
    with pytest.raises(error, match=f"k must be .*, not {k!r}"):
        optax.apply_every(k)

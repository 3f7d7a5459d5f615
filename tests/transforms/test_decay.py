"""What only weight decay promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_adds_a_multiple_of_the_parameters() -> None:
    tx = optax.add_decayed_weights(0.5)
    u, _ = tx.update(jnp.asarray([1.0, 1.0]), tx.init(None), jnp.asarray([2.0, -4.0]))
    assert np.array_equal(u, [2.0, -1.0])


def test_a_schedule_counts_updates() -> None:
    tx = optax.add_decayed_weights(lambda count: jnp.asarray(count, jnp.float32))
    state = tx.init(None)
    for expected in (0.0, 1.0, 2.0):
        u, state = tx.update(jnp.zeros(()), state, jnp.ones(()))
        assert float(u) == expected


@pytest.mark.parametrize(
    "mask", [{"a": True, "b": False}, lambda p: jax.tree.map(lambda x: jnp.ndim(x) == 1, p)], ids=["tree", "function"]
)
def test_the_mask_chooses(mask: object) -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(())}
    tx = optax.add_decayed_weights(0.5, mask)
    u, state = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    assert np.all(np.asarray(u["a"]) == 0.5)
    assert float(u["b"]) == 0
    assert state == optax.MaskedState(optax.EmptyState())


def test_parameters_of_another_shape_are_refused() -> None:
    tx = optax.add_decayed_weights(0.5)
    with pytest.raises(ValueError, match=r"updates and params differ in shape at \['w'\]: \(2,\) and \(\)"):
        tx.update({"w": jnp.ones(2)}, tx.init(None), {"w": jnp.ones(())})

"""What only masking promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

PARAMS = {"layer": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": jnp.ones(2)}


def test_the_rest_passes_through_and_has_no_state() -> None:
    tx = optax.masked(optax.trace(0.9), {"layer": {"w": True, "b": False}, "head": False})
    state = tx.init(PARAMS)
    assert state.inner_state.trace["layer"]["b"] == optax.MaskedNode()
    updates, state = tx.update(PARAMS, state)
    updates, state = tx.update(PARAMS, state)
    np.testing.assert_allclose(updates["layer"]["w"], 1.9, rtol=1e-6)
    assert np.all(np.asarray(updates["head"]) == 1)


def test_a_prefix_masks_a_whole_part() -> None:
    tx = optax.masked(optax.scale(0.0), {"layer": True, "head": False})
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    assert np.all(np.asarray(updates["layer"]["w"]) == 0)
    assert np.all(np.asarray(updates["layer"]["b"]) == 0)
    assert np.all(np.asarray(updates["head"]) == 1)


def test_a_callable_pytree_is_a_mask_and_not_a_function() -> None:
    @jax.tree_util.register_pytree_node_class
    class Module:
        def __init__(self, w: Any, b: Any):
            self.w, self.b = w, b

        def __call__(self, x: Any) -> Any:
            raise AssertionError("a module must not be called")

        def tree_flatten(self) -> Any:
            return (self.w, self.b), None

        @classmethod
        def tree_unflatten(cls, aux: Any, children: Any) -> Any:
            return cls(*children)

    tx = optax.masked(optax.scale(0.0), Module(True, False))
    params = Module(jnp.ones(2), jnp.ones(2))
    updates, _ = tx.update(params, tx.init(params))
    assert np.all(np.asarray(updates.w) == 0)
    assert np.all(np.asarray(updates.b) == 1)


def test_extra_arguments_can_be_masked_too() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, scales: Any, **extra_args: Any) -> Any:
        return jax.tree.map(jnp.multiply, updates, scales), state

    inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    mask = {"layer": {"w": True, "b": False}, "head": False}
    tx = optax.masked(inner, mask, mask_compatible_extra_args=True)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), scales=jax.tree.map(lambda x: 3 * x, PARAMS))
    assert np.all(np.asarray(updates["layer"]["w"]) == 3)
    assert np.all(np.asarray(updates["head"]) == 1)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="mask is neither of the tree's structure nor a prefix of it"):
        optax.masked(optax.scale(1.0), {"nothing": True}).init(PARAMS)
    with pytest.raises(TypeError, match=r"mask must hold True and False; at \['head'\] it has 1"):
        optax.masked(optax.scale(1.0), {"layer": True, "head": 1}).init(PARAMS)

"""Transformations that remember nothing."""

from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import (
    EmptyState,
    MaskedNode,
    identity,
    init_empty_state,
    set_to_zero,
    stateless,
    stateless_with_tree_map,
)
from strategies import Layer, trees

FLOAT0 = np.zeros(2, jax.dtypes.float0)


@pytest.mark.parametrize(
    "tx",
    [
        identity(),
        set_to_zero(),
        stateless(lambda updates, params: updates),
        stateless_with_tree_map(lambda g, p: g),
    ],
    ids=lambda tx: tx.name,
)
@hypothesis.given(trees())
@hypothesis.settings(max_examples=10)
def test_the_state_is_empty_and_the_tree_is_kept(tx: Any, t: Any) -> None:
    state = tx.init(t)
    assert state == init_empty_state(t) == EmptyState()
    updates, state = tx.update(t, state, t)
    assert state == EmptyState()
    assert jax.tree.structure(updates) == jax.tree.structure(t)
    for x, like in zip(jax.tree.leaves(updates), jax.tree.leaves(t), strict=True):
        assert (x.shape, x.dtype) == (like.shape, like.dtype)


def test_identity_returns_what_it_gets() -> None:
    g = {"w": jnp.ones(2), "n": None}
    assert identity().update(g, EmptyState())[0] is g


def test_set_to_zero_leaves_nothing() -> None:
    g = Layer(jnp.asarray([jnp.nan, jnp.inf, 1.0], jnp.bfloat16), (FLOAT0, None, MaskedNode(), jnp.asarray(2)))
    zeros, _ = set_to_zero().update(g, EmptyState())
    assert zeros.weight.dtype == jnp.bfloat16
    assert np.all(np.asarray(zeros.weight) == 0)
    assert zeros.bias[0] is FLOAT0
    assert zeros.bias[1:3] == (None, MaskedNode())
    assert zeros.bias[3].dtype == jnp.int32


def test_stateless_sees_whole_trees() -> None:
    tx = stateless(lambda updates, params: {"sum": updates["a"] + updates["b"], "params": params})
    g = {"a": jnp.float32(1), "b": jnp.float32(2)}
    assert tx.update(g, EmptyState(), "the parameters")[0] == {"sum": 3, "params": "the parameters"}
    assert tx.update(g, EmptyState())[0]["params"] is None


def test_stateless_with_tree_map_sees_one_leaf_at_a_time() -> None:
    seen = []

    def f(g: Any, p: Any) -> Any:
        seen.append(p)
        return g if p is None else g + p

    tx = stateless_with_tree_map(f)
    g, p = {"w": jnp.asarray([1.0]), "n": None}, {"w": jnp.asarray([2.0]), "n": jnp.ones(3)}
    assert float(tx.update(g, EmptyState(), p)[0]["w"][0]) == 3
    assert float(tx.update(g, EmptyState())[0]["w"][0]) == 1
    assert len(seen) == 2  # not called where the update is None
    assert seen[1] is None


def test_an_error_in_the_function_names_the_leaf() -> None:
    tx = stateless_with_tree_map(lambda g, p: {}["missing"])
    with pytest.raises(KeyError, match=r"'missing'(.|\n)*at the leaf at \['w'\]\[0\] of updates"):
        tx.update({"w": [jnp.ones(2)]}, EmptyState())


def test_trees_of_another_structure_are_refused() -> None:
    tx = stateless_with_tree_map(lambda g, p: g)
    with pytest.raises(ValueError, match=r"updates has a leaf at \['w'\] where params has none"):
        tx.update({"w": jnp.ones(2)}, EmptyState(), {"v": jnp.ones(2)})


def test_a_leaf_may_have_another_shape_than_its_parameter() -> None:
    """The mean of the gradients of a batch of examples, say."""
    tx = stateless_with_tree_map(lambda g, p: jnp.mean(g, axis=0) + p)
    updates, _ = tx.update(jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), EmptyState(), jnp.zeros(2))
    assert np.array_equal(updates, [2, 3])


def test_under_jit_vmap_grad_and_scan() -> None:
    tx = stateless_with_tree_map(lambda g, p: g * p)
    g, p = jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), jnp.asarray([[2.0, 2.0], [0.0, 1.0]])

    def call(g: Any, p: Any) -> Any:
        return tx.update(g, EmptyState(), p)[0]

    assert np.array_equal(jax.jit(jax.vmap(call))(g, p), g * p)
    assert np.array_equal(jax.lax.scan(lambda c, x: (c, call(*x)), None, (g, p))[1], g * p)
    assert np.array_equal(jax.grad(lambda g: jnp.sum(call(g, p)))(g), p)

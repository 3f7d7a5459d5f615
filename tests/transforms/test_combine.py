"""What only named chains, branches and grafts promise."""

import collections
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import tree

PARAMS = {"b": jnp.asarray([1.0, -2.0]), "w": jnp.ones((2, 2))}


def gradient(i: int) -> Any:
    return tree.random_like(jax.random.key(i), PARAMS)


def multiplied(by: Any) -> Any:
    """A transformation that multiplies each leaf by a number of its own."""
    return optax.stateless(lambda u, _: jax.tree.map(lambda x, s: x * s, u, by))


# Named chains.


def test_a_named_chain_is_a_chain_in_the_order_given() -> None:
    """The names are sorted the other way round than the stages, which do not commute."""
    stages = (("z", optax.clip_by_global_norm(0.5)), ("a", optax.adamw(0.1)))
    plain, named = optax.chain(*(tx for _, tx in stages)), optax.named_chain(*stages)
    plain_state, state = plain.init(PARAMS), named.init(PARAMS)
    for i in range(3):
        expected, plain_state = plain.update(gradient(i), plain_state, PARAMS)
        updates, state = jax.jit(named.update)(gradient(i), state, PARAMS)
        assert tree.allclose(updates, expected)
    assert tree.allclose(state["a"], plain_state[1])
    assert state.keys() == {"a", "z"}


@pytest.mark.parametrize("kind", [dict, collections.OrderedDict])
def test_a_state_in_another_order_is_as_good(kind: Any) -> None:
    tx = optax.named_chain(("z", optax.scale(2.0)), ("a", optax.trace(0.5)))
    state = kind(sorted(tx.init(PARAMS).items()))
    updates, after = tx.update(PARAMS, state)
    assert tree.allclose(updates, tree.scale(2.0, PARAMS))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert list(after) == ["a", "z"]


def test_extra_arguments_reach_the_stages_that_take_them() -> None:
    taker = optax.GradientTransformationExtraArgs(
        optax.init_empty_state, lambda u, s, p=None, *, by, **extra: (tree.scale(by, u), s)
    )
    for tx in (
        optax.named_chain(("a", taker), ("b", optax.scale(1.0))),
        optax.branches(lambda a, b: a, taker, optax.scale(1.0)),
    ):
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), by=3.0, other=1)
        assert tree.allclose(updates, tree.scale(3.0, PARAMS))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (
            [("a", optax.scale(1.0)), ("a", optax.scale(2.0))],
            ValueError,
            "the names in a named_chain must differ; 'a' comes twice",
        ),
        ([(1, optax.scale(1.0))], TypeError, r"argument 0 of named_chain must be a pair \(name, transformation\), not"),
        ([("a", optax.scale(1.0)), optax.scale(1.0)], TypeError, "argument 1 of named_chain must be a pair"),
        ([{"a": optax.scale(1.0)}], TypeError, "argument 0 of named_chain must be a pair"),
        ([("a", optax.adam)], TypeError, "'a' of named_chain must be a transformation, not"),
    ],
)
def test_what_is_no_named_stage_is_refused(args: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.named_chain(*args)


@pytest.mark.parametrize(
    ("state", "found"),
    [({"a": ()}, r"not \['a'\]"), ({"a": (), "b": (), "c": ()}, r"not \['a', 'b', 'c'\]"), (((), ()), "not tuple")],
)
def test_the_state_of_another_chain_is_refused(state: Any, found: str) -> None:
    tx = optax.named_chain(("a", optax.scale(1.0)), ("b", optax.scale(1.0)))
    with pytest.raises(ValueError, match=r"is a dict with the keys \['a', 'b'\], " + found):
        tx.update(PARAMS, state)


# Branches.


def test_every_branch_sees_the_updates_and_keeps_its_state() -> None:
    tx = optax.branches(lambda a, b: tree.sub(a, tree.scale(10.0, b)), optax.trace(0.5), optax.trace(0.0))
    state = tx.init(PARAMS)
    _, state = tx.update(PARAMS, state)
    updates, state = tx.update(PARAMS, state)
    assert tree.allclose(updates, tree.scale(1.5 - 10, PARAMS))
    assert tree.allclose(state.branch_states[0].trace, tree.scale(1.5, PARAMS))
    assert tree.allclose(state.branch_states[1].trace, PARAMS)


def test_what_merge_returns_gets_the_dtypes_of_the_gradients() -> None:
    tx = optax.branches(lambda a, b: tree.cast(tree.add(a, b), "float32"), optax.scale(1.0), optax.scale(2.0))
    updates, _ = tx.update(jnp.ones(2, jnp.bfloat16), tx.init(jnp.ones(2)))
    assert updates.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(updates, np.float32), 3)


def test_integer_parameters_are_not_merged() -> None:
    """Defect F8."""
    params = {"n": jnp.arange(3), "w": jnp.asarray([3.0, 4.0])}
    g = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    for tx in (
        optax.branches(lambda a, b: jax.tree.map(jnp.subtract, a, b), optax.scale(3.0), optax.scale(1.0)),
        optax.graft(optax.scale(4.0), optax.scale(2.0), layerwise=False),
    ):
        updates, _ = tx.update(g, tx.init(params), params)
        assert updates["n"].dtype == jax.dtypes.float0
        assert abs(updates["w"][0]) in (12, 24)


@pytest.mark.parametrize(
    ("merge", "error", "message"),
    [
        (lambda a, b: a["w"], ValueError, "the result of merge and updates differ in tree structure"),
        (lambda a, b: [a, b], ValueError, "the result of merge and updates differ in tree structure"),
        (
            lambda a, b: jax.tree.map(lambda x: x[None], a),
            ValueError,
            r"the result of merge and updates differ in shape at \['b'\]: \(1, 2\) and \(2,\)",
        ),
        (lambda a, b: tree.cast(a, "complex64"), TypeError, "returned a complex array for one of dtype float32"),
    ],
)
def test_a_merge_that_changes_the_form_is_refused(merge: Any, error: Any, message: str) -> None:
    tx = optax.branches(merge, optax.scale(1.0), optax.scale(2.0))
    with pytest.raises(error, match=message):
        tx.update(PARAMS, tx.init(PARAMS))


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((optax.scale(1.0), optax.scale(1.0)), TypeError, "merge must be a function of the updates of all branches"),
        ((tree.add,), ValueError, "branches needs at least one transformation"),
        ((tree.add, optax.scale(1.0), optax.adam), TypeError, "branch 1 must be a transformation"),
    ],
)
def test_what_is_no_branch_is_refused(args: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.branches(*args)


# Grafts.


def test_a_graft_has_one_length_and_the_other_direction() -> None:
    """By hand: m = (3 g_b, 4 g_w) and d = (-g_b, 2 g_w) for leaves g_b, g_w of lengths 5 and 12."""
    g = {"b": jnp.asarray([3.0, 4.0]), "w": jnp.asarray([0.0, 12.0])}
    m, d = multiplied({"b": 3.0, "w": 4.0}), multiplied({"b": -1.0, "w": 2.0})
    tx = optax.graft(m, d)
    layerwise, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(layerwise["b"], [-9, -12], rtol=1e-6)
    np.testing.assert_allclose(layerwise["w"], [0, 48], rtol=1e-6)
    tx = optax.graft(m, d, layerwise=False)
    together, _ = tx.update(g, tx.init(g))
    factor = np.hypot(15, 48) / np.hypot(5, 24)
    np.testing.assert_allclose(together["b"], factor * np.asarray([-3, -4]), rtol=1e-6)
    np.testing.assert_allclose(together["w"], factor * np.asarray([0, 24]), rtol=1e-6)


def test_a_graft_onto_itself_changes_nothing() -> None:
    for layerwise in (True, False):
        tx, plain = optax.graft(optax.adam(0.1), optax.adam(3.0), layerwise=layerwise), optax.adam(0.1)
        state, plain_state = tx.init(PARAMS), plain.init(PARAMS)
        for i in range(3):
            updates, state = tx.update(gradient(i), state)
            expected, plain_state = plain.update(gradient(i), plain_state)
            assert tree.allclose(updates, expected, rtol=1e-5)


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("eps", [0.0, 1e-16, 1e-3])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_steps_of_zero(layerwise: bool, eps: float, dtype: str) -> None:
    """Where either step is zero the update is, not NaN."""
    g = tree.cast(PARAMS, dtype)
    nothing = optax.scale(0.0)
    for m, d in ((optax.scale(2.0), nothing), (nothing, optax.scale(2.0)), (nothing, nothing)):
        tx = optax.graft(m, d, eps=eps, layerwise=layerwise)
        updates, _ = tx.update(g, tx.init(g))
        assert all(u.dtype == dtype and not np.any(np.asarray(u)) for u in jax.tree.leaves(updates))


@pytest.mark.parametrize("layerwise", [True, False])
@pytest.mark.parametrize("which", ["one zero", "zero leaf", "all zero"])
def test_the_derivative_of_a_graft_is_finite(layerwise: bool, which: str) -> None:
    """Defect F7: a norm has no derivative at zero."""
    g = {
        "one zero": {"b": jnp.asarray([0.0, 1.0]), "w": jnp.ones((2, 2))},
        "zero leaf": {"b": jnp.zeros(2), "w": jnp.ones((2, 2))},
        "all zero": tree.zeros_like(PARAMS),
    }[which]
    for m, d in ((optax.scale(2.0), optax.sgd(0.1, 0.9)), (optax.adam(0.1), optax.scale(1e-3))):
        tx = optax.graft(m, d, layerwise=layerwise)
        derivative = jax.grad(lambda g, tx=tx: tree.sum(tx.update(g, tx.init(PARAMS))[0]))(g)
        assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(derivative))


def test_norms_are_summed_in_float32() -> None:
    """Defects A1 and A2: a sum of bfloat16 squares stalls at 256, and 300^2 overflows float16."""
    many = [jnp.ones((), jnp.bfloat16)] * 1000
    tx = optax.graft(multiplied([1.0] * 500 + [0.0] * 500), optax.identity(), layerwise=False)
    updates, _ = tx.update(many, tx.init(many))
    np.testing.assert_allclose(np.asarray(jnp.stack(updates), np.float32), np.sqrt(0.5), rtol=4e-3)
    large = jnp.full(4, 300.0, jnp.float16)
    tx = optax.graft(optax.scale(0.5), optax.identity())
    np.testing.assert_array_equal(tx.update(large, tx.init(large))[0], 150)


def test_the_arguments_of_a_graft() -> None:
    with pytest.raises(ValueError, match="eps must be at least 0"):
        optax.graft(optax.scale(1.0), optax.scale(1.0), eps=-1.0)
    with pytest.raises(TypeError, match="direction must be a transformation, not"):
        optax.graft(optax.scale(1.0), types.SimpleNamespace())

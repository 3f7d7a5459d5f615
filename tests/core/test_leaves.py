"""A rule for one array, lifted over trees: the precision inside it, the forms around it, what it says of mistakes."""

import dataclasses
from typing import Any, NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import Jitted
from optax.core import (
    EmptyState,
    GradientTransformation,
    MaskedNode,
    leafwise,
    new_slot,
    over_leaves,
)
from strategies import Layer, trees, with_gradients
from x64 import enable_x64

FLOAT0 = np.zeros(2, jax.dtypes.float0)
BF16, F16, F32, C64 = jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64


# over_leaves


@hypothesis.given(with_gradients(trees()))
def test_a_rule_meets_every_leaf(drawn: Any) -> None:
    """Forms are kept, and what goes in and out unchanged is not rounded."""
    slot, g = drawn
    updates, new = over_leaves(lambda g, m: (-g, 2 * m), g, slot)
    assert jax.tree.structure(updates) == jax.tree.structure(new) == jax.tree.structure(g)
    for x, u, y, m in zip(*map(jax.tree.leaves, (g, updates, slot, new)), strict=True):
        assert (u.dtype, m.dtype, u.weak_type, m.weak_type) == (x.dtype, y.dtype, False, False)
        assert np.array_equal(np.asarray(u), -np.asarray(x))
        assert np.array_equal(np.asarray(m), 2 * np.asarray(y))


@pytest.mark.parametrize(
    ("dtypes", "seen"),
    [
        ((BF16, BF16, BF16), (F32, F32, F32)),
        ((F16, F32, BF16), (F32, F32, F32)),
        ((C64, F32, C64), (C64, F32, C64)),
        ((BF16, C64, F32), (F32, C64, F32)),
        ((jnp.int32, F32, F32), (F32, F32, F32)),
    ],
)
def test_rules_compute_in_float32(dtypes: Any, seen: Any) -> None:
    """Defects A1, A7: never in 16 bits; complex stays complex, real stays real."""
    found: list[Any] = []

    def rule(g: Any, slot: Any, read: Any) -> Any:
        found.extend([g.dtype, slot.dtype, read.dtype])
        return g, slot

    g, slot, read = (jnp.ones(2, d) for d in dtypes)
    over_leaves(rule, g, slot, reads=(read,))
    assert tuple(found) == seen


def test_rules_compute_in_float64_where_one_leaf_has_it() -> None:
    with enable_x64():
        g, slot = jnp.ones(2, BF16), jnp.full(2, 1e-9, jnp.float64)
        u, m = over_leaves(lambda g, m: (g + m, g + m), g, slot)
        assert (u.dtype, m.dtype) == (BF16, jnp.float64)
        assert np.array_equal(m, np.full(2, 1 + 1e-9))


@pytest.mark.parametrize("dtype", ["int8", "int32", "bool"])
def test_a_slot_of_integers_keeps_its_dtype(dtype: str) -> None:
    """Defect A8, for signs, counts of every element, and flags."""
    _, slot = over_leaves(lambda g, n: (g, n), jnp.ones(2), jnp.ones(2, dtype))
    assert slot.dtype == dtype
    assert np.array_equal(slot, [1, 1])


@pytest.mark.parametrize("n", [np.uint32(2**24 + 1), np.int32(-(2**31) + 1)])
def test_a_slot_of_integers_keeps_every_bit(n: Any) -> None:
    """Packed codes, and counts beyond 2**24, which float32 cannot count."""
    assert over_leaves(lambda g, n: (g, n), jnp.float32(1), n)[1] == n


def test_an_integer_update_comes_out_as_float32() -> None:
    assert over_leaves(lambda g: 0.5 * g, jnp.asarray([1, 3])).dtype == F32
    assert float(over_leaves(lambda g: 0.5 * g, 3)) == 1.5


@pytest.mark.parametrize("g", [None, FLOAT0], ids=["None", "float0"])
def test_leaves_without_a_gradient_pass_with_their_slots(g: Any) -> None:
    """Defect F8."""
    slot = {"skip": jnp.asarray([3, 4]), "masked": MaskedNode(), "use": jnp.ones(2)}
    u, new = over_leaves(lambda g, m: (2 * g, 3 * m), {"skip": g, "masked": MaskedNode(), "use": jnp.ones(2)}, slot)
    assert u["skip"] is g
    assert new["skip"] is slot["skip"]
    assert u["masked"] == new["masked"] == MaskedNode()
    assert np.array_equal(u["use"], [2, 2])
    assert np.array_equal(new["use"], [3, 3])


W = {"w": [jnp.ones(3)]}


@pytest.mark.parametrize(
    ("slots", "reads", "message"),
    [
        (
            ({"w": [jnp.ones((3, 1))]},),
            (),
            r"updates and state slot 1 differ in shape at \['w'\]\[0\]: \(3,\) and \(3, 1\)",
        ),
        ((W, {"w": [jnp.ones(())]}), (), r"updates and state slot 2 differ in shape at \['w'\]\[0\]: \(3,\) and \(\)"),
        ((W, {"v": [jnp.ones(3)]}), (), r"updates has a leaf at \['w'\]\[0\] where state slot 2 has none"),
        (({"w": [None]},), (), r"updates has an array where state slot 1 has None(.|\n)*at \['w'\]\[0\] of updates"),
        ((), (None,), r"updates has a leaf at \['w'\]\[0\] where params has none"),
        ((), ({"w": [jnp.ones(2)]},), r"updates and params differ in shape at \['w'\]\[0\]: \(3,\) and \(2,\)"),
        ((), (W, {"w": [None]}), r"updates has an array where tree 2 to read has None"),
    ],
    ids=["shape", "no broadcast", "structure", "no slot", "no params", "params", "second tree to read"],
)
def test_trees_that_do_not_match_are_refused(slots: Any, reads: Any, message: str) -> None:
    """Defect F6: the message names both trees and the leaf."""
    with pytest.raises(ValueError, match=message):
        over_leaves(lambda g, *rest: (g, *slots), W, *slots, reads=reads)


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (lambda g, m: (g, m.sum()), ValueError, r"the rule turned an array of shape \(3,\) into one of shape \(\)"),
        (lambda g, m: (g,), ValueError, r"the rule returned 1 arrays?, expected 2: the update and one for each slot"),
        (lambda g, m: (g, m, m), ValueError, r"the rule returned 3 arrays, expected 2"),
        (lambda g, m: (g, m * 1j), TypeError, r"the rule returned a complex array for one of dtype float32"),
        (lambda g, m: {}["a"], KeyError, r"'a'"),
    ],
)
def test_mistakes_in_a_rule_are_shown_with_the_leaf(rule: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=rf"{message}(.|\n)*at the leaf at \['w'\]\[0\] of updates"):
        over_leaves(rule, W, W)


@pytest.mark.parametrize("shape", [(), (2,), (3,)])
def test_a_rule_that_forgets_the_slot(shape: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"the rule returned (one|1) array, expected"):
        over_leaves(lambda g, m: g, jnp.ones(shape), jnp.ones(shape))


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Linear:
    """Parameters that look at their arrays whenever they are put together."""

    weight: Any

    def __post_init__(self) -> None:
        assert self.weight.ndim == 2


@pytest.mark.parametrize(
    "call",
    [lambda p: over_leaves(lambda g, m: (g, m), p, p), lambda p: optax.tree.vdot(p, p)],
    ids=["over_leaves", "vdot"],
)
def test_only_trees_of_arrays_are_put_together(call: Any) -> None:
    """The original updates such parameters: their containers never see anything but arrays."""
    call(Linear(jnp.ones((2, 2))))


class Momentum(NamedTuple):
    m: Any


def momentum() -> GradientTransformation:
    """The smallest transformation with a slot."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del params
        u, m = over_leaves(lambda g, m: (g + 0.5 * m, g + 0.5 * m), updates, state.m)
        return u, Momentum(m)

    return GradientTransformation(lambda params: Momentum(new_slot(params, decay=0.5)), update)


@pytest.mark.parametrize("weak", [jnp.asarray(1.5), jnp.full((), 2.0), 1.5], ids=["asarray", "full", "float"])
def test_weakly_typed_parameters_leave_a_strong_state_and_one_compilation(weak: Any) -> None:
    """Defect A11."""
    tx = momentum()
    state = tx.init({"w": weak})
    assert not state.m["w"].weak_type
    step = Jitted(lambda state: tx.update({"w": weak}, state)[1])
    for _ in range(3):
        state = step(state)
    assert not state.m["w"].weak_type
    assert step.traces == 1


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"w": jnp.ones((3, 1))}, r"state slot 1 differ in shape at \['w'\]: \(3, 1\) and \(3,\)(.|\n)*scale_by_adam"),
        ({"v": jnp.ones(3)}, r"updates has a leaf at \['v'\] where state slot 1 has none(.|\n)*in stage 0 of chain"),
    ],
)
def test_a_state_for_other_parameters_is_refused(gradients: Any, message: str) -> None:
    """Defect F6: Adam's state for (3,) used to take gradients of (3, 1) and give updates of (3, 3)."""
    tx = optax.adam(0.1)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tx.update, gradients, tx.init({"w": jnp.ones(3)}))


def test_over_leaves_under_jit_vmap_grad_and_scan() -> None:
    def call(g: Any, m: Any) -> Any:
        return over_leaves(lambda g, m: (g * m, 0.5 * m + g), g, m)

    g, m = Layer(jnp.asarray([[1.0, 2.0], [3.0, 4.0]]), None), Layer(jnp.asarray([[2.0, 0.0], [1.0, -1.0]]), None)
    u, new = jax.jit(jax.vmap(call))(g, m)
    assert np.array_equal(u.weight, g.weight * m.weight)
    assert np.array_equal(new.weight, 0.5 * m.weight + g.weight)
    row = Layer(m.weight[0], None)
    last, _ = jax.lax.scan(lambda m, g: (call(g, m)[1], None), row, g)
    assert np.array_equal(last.weight, 0.25 * m.weight[0] + 0.5 * g.weight[0] + g.weight[1])
    assert np.array_equal(jax.grad(lambda g: jnp.sum(call(g, m)[0].weight))(g).weight, m.weight)


def test_leafwise_makes_a_transformation_without_memory() -> None:
    tx = leafwise(lambda g: g / (1e-8 + jnp.abs(g)))
    state = tx.init({"w": jnp.ones(2)})
    assert state == EmptyState()
    u, state = tx.update({"w": jnp.asarray([0.0, -2.0], F16), "n": None}, state)
    assert u["w"].dtype == F16
    assert np.array_equal(u["w"], [0, -1])  # in float16 1e-8 is 0, and 0 / 0 is NaN: defect A7
    assert u["n"] is None
    assert state == EmptyState()


def test_a_rule_is_traced_once_for_each_shape_and_dtype() -> None:
    """A thousand leaves of three shapes compile as three."""
    traced = []

    def rule(g: jax.Array, m: jax.Array) -> tuple[jax.Array, jax.Array]:
        traced.append(g.shape)
        return g + m, 2 * m

    leaves = [jnp.full((i % 3,), float(i)) for i in range(30)]
    compiled = jax.jit(lambda g, m: over_leaves(rule, g, m))(leaves, leaves)
    assert sorted(traced) == [(0,), (1,), (2,)]
    eager = over_leaves(rule, leaves, leaves)
    assert len(traced) == 33  # outside jit there is nothing to trace
    jax.tree.map(np.testing.assert_array_equal, compiled, eager)


# summaries


def test_a_summary_has_any_shape_and_may_be_a_tree() -> None:
    g = {"a": jnp.arange(6.0).reshape(2, 3), "b": None, "c": jnp.asarray(2.0)}
    norms = {"a": jnp.zeros(()), "b": None, "c": jnp.ones(())}
    means = {"a": [jnp.zeros(2), jnp.zeros(3)], "b": (), "c": []}

    def rule(g: Any, m: Any, norm: Any, mean: Any) -> Any:
        return g / 2, m + 1, norm + jnp.sum(g), [jnp.mean(g, 1 - i) for i in range(len(mean))]

    u, m, norms, means = over_leaves(rule, g, g, summaries=(norms, means))
    assert (u["b"], m["b"], norms["b"], means["b"], means["c"]) == (None, None, None, (), [])
    np.testing.assert_array_equal(u["a"], np.arange(6.0).reshape(2, 3) / 2)
    np.testing.assert_array_equal(m["a"], np.arange(6.0).reshape(2, 3) + 1)
    assert (norms["a"], norms["c"]) == (15, 3)
    np.testing.assert_array_equal(means["a"][0], [1, 4])
    np.testing.assert_array_equal(means["a"][1], [1.5, 2.5, 3.5])


def test_a_summary_is_computed_wide_and_kept_in_its_dtype() -> None:
    found = []

    def rule(g: Any, s: Any) -> Any:
        found.append(s.dtype)
        return g, s + jnp.float32(1e-3)

    g = jnp.ones(2, BF16)
    u, s = over_leaves(rule, g, summaries=(jnp.ones(3, BF16),))
    assert (found, u.dtype, s.dtype) == ([F32], BF16, BF16)


def test_a_summary_lies_in_the_place_of_a_leaf() -> None:
    g = {"a": jnp.ones(2), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"(?s)updates and a tree of summaries differ.*'b'"):
        over_leaves(lambda g, s: (g, s), g, summaries=({"a": jnp.zeros(())},))


def test_a_summary_keeps_its_shape_and_its_structure() -> None:
    g = jnp.ones(2)
    with pytest.raises(ValueError, match=r"shape \(\) into one of shape \(2,\)"):
        over_leaves(lambda g, s: (g, g), g, summaries=(jnp.zeros(()),))
    with pytest.raises(ValueError, match=r"structure|arity"):
        over_leaves(lambda g, s: (g, s[:1]), g, summaries=([jnp.zeros(()), jnp.zeros(())],))


def test_a_rule_returns_the_summary_too() -> None:
    with pytest.raises(ValueError, match="returned 1 array, expected 2"):
        over_leaves(lambda g, s: g, jnp.ones(2), summaries=(jnp.zeros(()),))

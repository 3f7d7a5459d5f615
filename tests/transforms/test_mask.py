"""What only masking promises."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from strategies import Layer

PARAMS = {"layer": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": jnp.ones(2)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """A pytree that happens to be callable, as the modules of equinox and others are."""

    w: Any
    b: Any

    def __call__(self, x: Any) -> Any:
        raise AssertionError("a module must not be called")


def passing_extra_args_on(seen: dict[str, Any]) -> optax.GradientTransformationExtraArgs:
    """The identity, which writes down what it gets."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        seen.update(updates=updates, params=params, **extra_args)
        return updates, state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


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


def test_a_prefix_leaves_one_node_in_the_state() -> None:
    state = optax.masked(optax.trace(0.9), {"layer": False, "head": True}).init(PARAMS)
    assert state.inner_state.trace["layer"] == optax.MaskedNode()  # a checkpoint of the original has it so


# Every way to say "the matrix".
MASKS = {
    "tree": {"layer": {"w": True, "b": False}, "head": False},
    "tree of NumPy booleans": {"layer": {"w": np.True_, "b": np.array(False)}, "head": np.False_},
    "tree of JAX booleans": {"layer": {"w": jnp.array(True), "b": jnp.array(False)}, "head": jnp.array(False)},
    "function": lambda params: jax.tree.map(lambda p: p.ndim == 2, params),
    "function that looks at nothing": lambda params: {"layer": {"w": True, "b": False}, "head": False},
    "partial": functools.partial(jax.tree.map, lambda p: p.ndim == 2),
    "partial that is a pytree": jax.tree_util.Partial(jax.tree.map, lambda p: p.ndim == 2),
    "globs": optax.at_paths("*/w"),
    "predicate": optax.at_paths(lambda path: path.endswith("w")),
    "predicate of path and leaf": optax.at_paths(lambda path, leaf: leaf.ndim == 2),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize(
    ("make", "chosen", "others"),
    [
        (lambda mask: optax.masked(optax.scale(3.0), mask), 3.0, 1.0),
        (lambda mask: optax.masked(optax.scale(3.0), mask, unmasked="zero"), 3.0, 0.0),
        (optax.freeze, 0.0, 1.0),
        (lambda mask: optax.selective_transform(optax.scale(3.0), freeze_mask=mask), 0.0, 3.0),
        (lambda mask: optax.add_decayed_weights(1.0, mask), 2.0, 1.0),
    ],
    ids=["masked", "masked to zero", "freeze", "selective_transform", "add_decayed_weights"],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_every_kind_of_mask_means_the_same_everywhere(
    make: Callable[[Any], Any], chosen: float, others: float, mask: Any, compiled: bool
) -> None:
    """Defect F1: one resolver. A function as a `freeze_mask` used to freeze everything."""
    tx = make(mask)
    state = tx.init(PARAMS)
    update = jax.jit(tx.update) if compiled else tx.update
    updates, _ = update(PARAMS, state, PARAMS)
    assert np.array_equal(updates["layer"]["w"], np.full((2, 2), chosen))
    assert np.array_equal(updates["layer"]["b"], np.full(2, others))
    assert np.array_equal(updates["head"], np.full(2, others))


def test_to_pass_through_is_to_ascend_and_zero_is_not() -> None:
    """Defect F2: a gradient that passes a mask as it is gets added to its parameter."""
    mask = {"layer": True, "head": False}
    for unmasked, head in (("pass", 2.0), ("zero", 1.0)):
        tx = optax.masked(optax.sgd(0.1), mask, unmasked=unmasked)  # type: ignore[arg-type]
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
        params = optax.apply_updates(PARAMS, updates)
        np.testing.assert_allclose(params["layer"]["w"], 0.9, rtol=1e-6)
        assert np.all(np.asarray(params["head"]) == head)
    assert optax.masked(optax.sgd(0.1), mask) == optax.masked(optax.sgd(0.1), mask, unmasked="pass")


ODD = {
    "nan": jnp.asarray([np.nan, np.inf, -np.inf], jnp.bfloat16),
    "none": None,
    "integer": np.zeros(2, jax.dtypes.float0),
    "empty": jnp.zeros((0, 3)),
    "complex": jnp.asarray(1j),
}


@pytest.mark.parametrize("tx", [optax.freeze(True), optax.masked(optax.trace(0.9), False, unmasked="zero")])
def test_frozen_updates_are_true_zeros(tx: Any) -> None:
    """Defect F8: gradients of integer parameters (float0) pass, as leaves that are None do."""
    state = tx.init(ODD)
    updates, _ = tx.update(ODD, state)
    assert updates["integer"].dtype == jax.dtypes.float0
    assert updates["none"] is None
    for name in ("nan", "empty", "complex"):
        assert updates[name].dtype == ODD[name].dtype
        assert np.array_equal(np.asarray(updates[name], np.complex64), np.zeros(ODD[name].shape))
    assert jax.tree.leaves(state) == []


def test_integer_gradients_pass_where_they_are_masked_and_where_not() -> None:
    """Defect F8: float0 leaves."""
    params = {"w": jnp.ones(2), "steps": jnp.arange(2), "ids": jnp.arange(3)}
    gradient = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    tx = optax.chain(
        optax.masked(optax.trace(0.9), {"w": True, "steps": True, "ids": False}),
        optax.masked(optax.scale(-1.0), lambda params: jax.tree.map(lambda p: p.dtype == jnp.float32, params)),
    )
    updates, _ = tx.update(gradient, tx.init(params), params)
    params = optax.apply_updates(params, updates)
    assert np.array_equal(params["w"], [-1.0, -1.0])
    assert np.array_equal(params["steps"], [0, 1])


def test_random_keys_among_the_parameters_are_left_alone() -> None:
    params = {"w": jnp.ones(2), "key": jax.random.key(0)}
    updates = {"w": jnp.ones(2), "key": None}
    for mask in ({"w": True, "key": False}, {"w": True, "key": True}):
        tx = optax.masked(optax.sgd(0.5), mask, unmasked="zero")
        new, _ = tx.update(updates, tx.init(params), params)
        assert new["key"] is None
        assert optax.apply_updates(params, new)["key"] is params["key"]


def test_a_function_is_called_on_the_parameters_where_there_are_any() -> None:
    params = {"w": jnp.ones(2, jnp.float32), "h": jnp.ones(2, jnp.bfloat16), "gone": jnp.ones(2)}
    gradient = {"w": jnp.ones(2, jnp.bfloat16), "h": jnp.ones(2, jnp.bfloat16), "gone": None}
    tx = optax.masked(optax.trace(0.9), lambda tree: jax.tree.map(lambda x: x.dtype == jnp.float32, tree))
    first = state = tx.init(params)
    for expected in (1.0, 1.9):  # by the dtypes of the gradient, nothing would be chosen
        updates, state = tx.update(gradient, state, params)
        np.testing.assert_allclose(np.asarray(updates["w"], np.float32), expected, rtol=1e-2)
        assert np.all(np.asarray(updates["h"], np.float32) == 1)
        assert updates["gone"] is None
        assert jax.tree.structure(state) == jax.tree.structure(first)


def test_a_function_is_called_on_the_updates_where_there_is_nothing_else() -> None:
    tx = optax.masked(optax.scale(3.0), MASKS["function"])
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    assert np.all(np.asarray(updates["layer"]["w"]) == 3)
    assert np.all(np.asarray(updates["head"]) == 1)


@pytest.mark.parametrize("mask", [Module(True, False), lambda params: Module(True, False)], ids=["mask", "returned"])
def test_a_callable_pytree_is_a_mask_and_not_a_function(mask: Any) -> None:
    tx = optax.masked(optax.scale(0.0), mask)
    params = Module(jnp.ones(2), jnp.ones(2))
    updates, _ = tx.update(params, tx.init(params))
    assert np.all(np.asarray(updates.w) == 0)
    assert np.all(np.asarray(updates.b) == 1)


class Point(NamedTuple):
    """A named tuple."""

    x: Any
    y: Any


@pytest.mark.parametrize(
    ("params", "mask"),
    [
        (Layer(jnp.ones(2), None), Layer(True, None)),
        (Layer(jnp.ones(2), None), Layer(True, False)),
        (Point([jnp.ones(2), jnp.ones(1)], {}), Point([True, True], {})),
        ((jnp.ones(2), optax.MaskedNode()), (True, optax.MaskedNode())),
        ((jnp.ones(2), optax.MaskedNode()), (True, False)),
        ({"a": {}, "b": jnp.ones(2)}, {"a": False, "b": True}),
        (jnp.ones(2), True),
        ({}, {}),
        ({}, True),
    ],
)
def test_all_containers(params: Any, mask: Any) -> None:
    tx = optax.masked(optax.trace(0.9), mask)
    first = state = tx.init(params)
    for factor in (1.0, 1.9):
        updates, state = tx.update(params, state, params)
        assert jax.tree.structure(updates) == jax.tree.structure(params)
        for u in jax.tree.leaves(updates):
            np.testing.assert_allclose(u, factor, rtol=1e-6)
    assert jax.tree.structure(state) == jax.tree.structure(first)


def test_masks_nest() -> None:
    inner = optax.masked(optax.trace(0.5), optax.at_paths("*/w", "*/b"))
    tx = optax.masked(
        optax.chain(inner, optax.clip_by_global_norm(100.0)), {"layer": {"w": True, "b": False}, "head": True}
    )
    state = tx.init(PARAMS)
    trace = optax.tree.get(state, "trace")
    assert [x.shape for x in jax.tree.leaves(trace)] == [(2, 2)]
    updates, _ = jax.jit(tx.update)(PARAMS, tx.update(PARAMS, state, PARAMS)[1], PARAMS)
    assert np.all(np.asarray(updates["layer"]["w"]) == 1.5)
    assert np.all(np.asarray(updates["head"]) == 1)


def test_the_state_can_be_searched_set_and_mapped() -> None:
    tx = optax.masked(optax.adam(0.1), optax.at_paths("*/w"))
    state = tx.init(PARAMS)
    assert int(optax.tree.get(optax.tree.set(state, count=7), "count")) == 7
    shapes = jax.tree.map(lambda p: p.shape, PARAMS, is_leaf=lambda x: isinstance(x, jax.Array))
    mapped = optax.tree.map_params(tx, lambda s, shape: (s.shape, shape), state, {**PARAMS, "layer": shapes["layer"]})
    assert mapped.inner_state[0].mu["layer"]["w"] == ((2, 2), (2, 2))
    assert mapped.inner_state[0].mu["layer"]["b"] == optax.MaskedNode()


def test_extra_arguments_can_be_masked_too() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, scales: Any, **extra_args: Any) -> Any:
        return jax.tree.map(jnp.multiply, updates, scales), state

    inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    mask = {"layer": {"w": True, "b": False}, "head": False}
    tx = optax.masked(inner, mask, mask_compatible_extra_args=True)
    updates, _ = tx.update(PARAMS, tx.init(PARAMS), scales=jax.tree.map(lambda x: 3 * x, PARAMS))
    assert np.all(np.asarray(updates["layer"]["w"]) == 3)
    assert np.all(np.asarray(updates["head"]) == 1)


def test_extra_arguments_are_masked_by_structure_and_only_if_asked() -> None:
    mask = {"layer": {"w": True, "b": False}, "head": False}
    other = {"layer": 1.0}
    for asked in (False, True):
        seen: dict[str, Any] = {}
        tx = optax.masked(passing_extra_args_on(seen), mask, mask_compatible_extra_args=asked)
        tx.update(PARAMS, tx.init(PARAMS), PARAMS, grad=PARAMS, other=other, value=2.0)
        assert seen["other"] is other
        assert seen["value"] == 2.0
        assert (seen["grad"]["head"] == optax.MaskedNode()) == asked


def test_a_loss_is_no_tree_of_the_updates_structure() -> None:
    seen: dict[str, Any] = {}
    tx = optax.masked(passing_extra_args_on(seen), False, mask_compatible_extra_args=True)
    tx.update(jnp.ones(3), tx.init(jnp.ones(3)), value=2.0, grad=jnp.ones(3))
    assert seen["value"] == 2.0
    assert seen["grad"] == seen["updates"] == optax.MaskedNode()


def test_a_function_of_the_parameters_gets_all_of_them() -> None:
    """Defect D14: a line search inside a mask evaluates the loss at a part of the parameters."""

    def value_fn(params: Any, scale: float) -> Any:
        return scale * sum(jnp.sum(x) for x in jax.tree.leaves(params))

    seen: dict[str, Any] = {}
    tx = optax.masked(passing_extra_args_on(seen), MASKS["tree"], mask_compatible_extra_args=True)
    tx.update(PARAMS, tx.init(PARAMS), PARAMS, value_fn=value_fn)
    part = jax.tree.map(lambda p: 10 * p, seen["params"])
    assert [x.shape for x in jax.tree.leaves(part)] == [(2, 2)]
    whole = {"layer": {"w": part["layer"]["w"], "b": PARAMS["layer"]["b"]}, "head": PARAMS["head"]}
    for params in (part, whole):
        assert float(seen["value_fn"](params, 2.0)) == float(seen["value_fn"](params=params, scale=2.0)) == 2 * 44
    slopes = jax.grad(seen["value_fn"])(part, 2.0)
    assert jax.tree.structure(slopes) == jax.tree.structure(part)
    assert np.all(np.asarray(slopes["layer"]["w"]) == 2)


def test_boxes_around_the_leaves_may_be_gone() -> None:
    """Defect F4: flax's nnx makes the state from boxed parameters and updates it with what is in the boxes."""
    boxed = jax.tree.map(lambda p: Point(p, ()), PARAMS)
    mask = jax.tree.map(lambda p: Point(p.ndim == 2, ()), PARAMS)
    tx = optax.masked(optax.scale(3.0), mask)
    assert jax.tree.leaves(tx.init(boxed)) == []
    updates, _ = tx.update(PARAMS, tx.init(boxed), PARAMS)
    assert np.all(np.asarray(updates["layer"]["w"]) == 3)
    assert np.all(np.asarray(updates["layer"]["b"]) == 1)


NO_ENTRY = "it has no entry, or several, for the leaf at"


class TestMistakes:
    """Defect H4: messages name the argument and the leaf."""

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            ({"nothing": True}, r"it has an entry at \['nothing'\] where the tree has none"),
            ({"layer": True}, NO_ENTRY + r" \['head'\]"),
            (
                {"layer": {"w": True, "b": None}, "head": True},
                NO_ENTRY + r" \['layer'\]\['b'\]",
            ),
            (None, NO_ENTRY + r" \['head'\], \['layer'\]\['b'\], \['layer'\]\['w'\]"),
        ],
    )
    def test_a_mask_that_is_no_prefix(self, mask: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^mask is neither of the tree's structure nor a prefix of it: {message}"):
            optax.masked(optax.scale(1.0), mask).init(PARAMS)

    def test_a_mask_of_other_things(self) -> None:
        with pytest.raises(TypeError, match=r"^mask must hold True and False; at \['head'\] it has 1$"):
            optax.masked(optax.scale(1.0), {"layer": True, "head": 1}).init(PARAMS)
        with pytest.raises(TypeError, match=r"^freeze_mask must hold True and False; at the root it has 'all'$"):
            optax.selective_transform(optax.scale(1.0), freeze_mask="all").init(PARAMS)

    def test_a_mask_computed_from_traced_values(self) -> None:
        tx = optax.masked(optax.scale(1.0), lambda params: jax.tree.map(lambda p: p.sum() > 0, params))
        assert tx.init(PARAMS) == optax.MaskedState(optax.EmptyState())
        with pytest.raises(TypeError, match=r"mask must be known when the update is traced; at \['head'\] it is comp"):
            jax.jit(tx.update)(PARAMS, tx.init(PARAMS), PARAMS)

    def test_updates_of_another_structure_than_the_parameters(self) -> None:
        tx = optax.masked(optax.scale(1.0), MASKS["function"])
        with pytest.raises(ValueError, match=r"^mask does not fit the updates: it has no .* \['new'\]$"):
            tx.update({**PARAMS, "new": jnp.ones(1)}, tx.init(PARAMS), PARAMS)

    def test_options_and_arguments(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"^unmasked must be .*pass.* or .*zero.*, not 'freeze'$",
        ):
            optax.masked(optax.scale(1.0), True, unmasked="freeze")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^inner must be a transformation, not .*; call it: sgd\(...\)$"):
            optax.masked(optax.sgd, True)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^optimizer must be a transformation, not 0\.1$"):
            optax.selective_transform(0.1, freeze_mask=True)  # type: ignore[arg-type]

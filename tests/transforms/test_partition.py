"""What only groups promise."""

import collections
import dataclasses
import enum
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import optax
from compilations import Jitted
from strategies import Layer, trees

PARAMS = {"layer": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "head": jnp.ones(2)}
LABELS = {"layer": {"w": "slow", "b": "fast"}, "head": "fast"}


class Kind(enum.Enum):
    """Labels that cannot be sorted."""

    SLOW = 1
    FAST = 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Module:
    """A pytree that happens to be callable, as the modules of equinox and others are."""

    w: Any
    b: Any

    def __call__(self, x: Any) -> Any:
        raise AssertionError("a module must not be called")


class Box(NamedTuple):
    """What a framework may put around a leaf."""

    inside: Any
    nothing: tuple[()] = ()


def by_axes(params: Any) -> Any:
    """The labels, from the shapes."""
    return jax.tree.map(lambda p: "slow" if p.ndim == 2 else "fast", params)


@pytest.mark.parametrize("make", [optax.partition, optax.multi_transform])
@pytest.mark.parametrize("labels", [LABELS, by_axes, lambda params: LABELS], ids=["tree", "function", "constant"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "jit"])
def test_each_leaf_gets_the_transformation_of_its_label(make: Any, labels: Any, compiled: bool) -> None:
    tx = make({"slow": optax.scale(0.5), "fast": optax.trace(0.9)}, labels)
    update = jax.jit(tx.update) if compiled else tx.update
    updates, state = update(PARAMS, tx.init(PARAMS), PARAMS)
    updates, state = update(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["layer"]["w"], 0.5)
    np.testing.assert_allclose(updates["layer"]["b"], 1.9, rtol=1e-6)
    np.testing.assert_allclose(updates["head"], 1.9, rtol=1e-6)
    assert state.inner_states["fast"].inner_state.trace["layer"]["w"] == optax.MaskedNode()


def test_the_state_is_that_of_the_original() -> None:
    """Key paths as observed in optax 0.2.8, so that its checkpoints fit."""
    tx = optax.partition({"slow": optax.adam(0.1), "fast": optax.sgd(0.1, momentum=0.9)}, LABELS)
    state = tx.init(PARAMS)
    assert [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)] == [
        ".inner_states['fast'].inner_state[0].trace['head']",
        ".inner_states['fast'].inner_state[0].trace['layer']['b']",
        ".inner_states['slow'].inner_state[0].count",
        ".inner_states['slow'].inner_state[0].mu['layer']['w']",
        ".inner_states['slow'].inner_state[0].nu['layer']['w']",
    ]
    assert type(state) is optax.PartitionState is optax.MultiTransformState
    assert type(state.inner_states) is dict
    assert isinstance(state.inner_states["slow"], optax.MaskedState)


MASKED = optax.MaskedNode()


@pytest.mark.parametrize(
    ("labels", "slow", "trace"),
    [
        ("fast", 1.0, PARAMS),
        ("slow", 0.5, MASKED),
        ({"layer": "slow", "head": "fast"}, 0.5, {"layer": MASKED, "head": PARAMS["head"]}),
    ],
)
def test_one_label_for_a_whole_part(labels: Any, slow: float, trace: Any) -> None:
    tx = optax.partition({"slow": optax.scale(0.5), "fast": optax.trace(0.9)}, labels)
    state = tx.init(PARAMS)
    updates, _ = tx.update(PARAMS, state)
    assert np.all(np.asarray(updates["layer"]["w"]) == slow)
    assert np.all(np.asarray(updates["layer"]["b"]) == slow)
    # One node in the place of a part, as in the checkpoints of the original.
    assert jax.tree.structure(state.inner_states["fast"].inner_state.trace) == jax.tree.structure(trace)


@given(st.data())
def test_a_partition_into_equal_parts_is_the_whole(data: Any) -> None:
    params = data.draw(trees())
    tx = optax.trace(0.5)
    labels = jax.tree.map(lambda _: data.draw(st.integers(0, 2)), params)
    parts = optax.partition(dict.fromkeys(range(3), tx), labels)
    state, whole = parts.init(params), tx.init(params)
    for _ in range(2):
        updates, state = parts.update(params, state, params)
        expected, whole = tx.update(params, whole, params)
    assert jax.tree.structure(updates) == jax.tree.structure(expected)
    for u, e in zip(jax.tree.leaves(updates), jax.tree.leaves(expected), strict=True):
        assert u.dtype == e.dtype
        assert np.array_equal(u, e)
    held = [jax.tree.leaves(group) for group in state.inner_states.values()]
    assert sum(map(len, held)) == len(jax.tree.leaves(params))


def test_a_norm_is_that_of_the_group() -> None:
    tx = optax.partition({"slow": optax.clip_by_global_norm(1.0), "fast": optax.clip_by_global_norm(1.0)}, LABELS)
    updates, _ = tx.update({**PARAMS, "head": PARAMS["head"] * jnp.nan}, tx.init(PARAMS))
    np.testing.assert_allclose(updates["layer"]["w"], 0.5, rtol=1e-6)  # a norm of 2, to 1
    assert np.all(np.isnan(updates["layer"]["b"]))


LABEL_KINDS: dict[str, tuple[Any, Any, Any]] = {
    "strings": ("slow", "fast", dict),
    "integers": (0, 1, dict),
    "booleans": (False, True, dict),
    "enumeration": (Kind.SLOW, Kind.FAST, collections.OrderedDict),
    "mixed": ("slow", 1, collections.OrderedDict),
    "tuples": (("a", 1), ("a", 2), dict),
    "a class": (int, "fast", collections.OrderedDict),
}


@pytest.mark.parametrize(("slow", "fast", "kind"), LABEL_KINDS.values(), ids=LABEL_KINDS)
def test_labels_are_anything_that_can_be_hashed(slow: Any, fast: Any, kind: type) -> None:
    """Defect F4: members of enumerations, labels of several kinds."""
    tx = optax.partition(
        {slow: optax.scale(0.5), fast: optax.trace(0.9)}, {"layer": {"w": slow, "b": fast}, "head": fast}
    )
    state = tx.init(PARAMS)
    assert type(state.inner_states) is kind
    step = Jitted(tx.update)
    updates, state = step(PARAMS, state, PARAMS)
    updates, state = step(PARAMS, state, PARAMS)
    assert step.traces == 1
    assert np.all(np.asarray(updates["layer"]["w"]) == 0.5)
    np.testing.assert_allclose(updates["layer"]["b"], 1.9, rtol=1e-6)
    assert state.inner_states[slow].inner_state == optax.EmptyState()
    assert float(state.inner_states[fast].inner_state.trace["head"][0]) == pytest.approx(1.9)


def test_none_is_a_label_if_it_has_a_transformation() -> None:
    """Defect F4. Not compiled: JAX 0.6 has no path for the key None, and asks for one when it compiles."""
    tx = optax.partition({None: optax.scale(0.5), "fast": optax.scale(2.0)}, {"layer": None, "head": "fast"})
    updates, state = tx.update(PARAMS, tx.init(PARAMS))
    assert [*state.inner_states] == [None, "fast"]
    assert np.all(np.asarray(updates["layer"]["w"]) == 0.5)
    assert np.all(np.asarray(updates["head"]) == 2.0)


def test_numpy_integers_are_labels_too() -> None:
    tx = optax.partition({0: optax.scale(0.5), 1: optax.scale(2.0)}, {"layer": np.int64(0), "head": np.array([1])[0]})
    updates, _ = tx.update(PARAMS, tx.init(PARAMS))
    assert float(updates["head"][0]) == 2


@pytest.mark.parametrize(
    "labels", [Module("slow", "fast"), lambda params: Module("slow", "fast")], ids=["tree", "made"]
)
def test_a_callable_pytree_holds_labels(labels: Any) -> None:
    """Defect F4: a module with labels for weights was called."""
    tx = optax.partition({"slow": optax.scale(0.5), "fast": optax.scale(2.0)}, labels)
    params = Module(jnp.ones(2), jnp.ones(2))
    updates, _ = jax.jit(tx.update)(params, tx.init(params), params)
    assert float(updates.w[0]) == 0.5
    assert float(updates.b[0]) == 2.0


def test_boxes_around_the_leaves_may_be_gone() -> None:
    """Defect F4: flax's nnx makes the state from boxed parameters and updates it with what is in the boxes."""
    boxed, labels = (jax.tree.map(lambda x: Box(x), tree) for tree in (PARAMS, LABELS))
    tx = optax.partition({"slow": optax.scale(0.5), "fast": optax.trace(0.9)}, labels)
    state = jax.tree.map(lambda x: x.inside, tx.init(boxed), is_leaf=lambda x: isinstance(x, Box))
    updates, new_state = tx.update(PARAMS, state, PARAMS)
    assert jax.tree.structure(new_state) == jax.tree.structure(state)
    assert float(updates["layer"]["w"][0, 0]) == 0.5


def test_labels_of_a_dict_fit_another_container_with_the_same_paths() -> None:
    tx = optax.partition({"slow": optax.scale(0.5), "fast": optax.scale(2.0)}, LABELS)
    params = collections.OrderedDict(head=PARAMS["head"], layer=PARAMS["layer"])
    updates, _ = tx.update(params, tx.init(params), params)
    assert type(updates) is collections.OrderedDict
    assert float(updates["layer"]["w"][0, 0]) == 0.5
    assert float(updates["head"][0]) == 2.0


@pytest.mark.parametrize(
    ("params", "labels"),
    [
        ({"a": jnp.ones(2), "b": None}, {"a": "fast", "b": None}),
        ({"a": jnp.ones(2), "b": None}, {"a": "fast", "b": "slow"}),
        ({"a": jnp.ones(2), "b": optax.MaskedNode()}, by_axes),
        ({"a": {}, "b": [jnp.ones((0, 2))]}, {"a": "fast", "b": "slow"}),
        (Layer(jnp.ones((2, 2)), jnp.ones(1)), Layer("slow", "fast")),
        (jnp.ones(2), "slow"),
        ({}, {}),
        ((), by_axes),
    ],
)
def test_all_containers(params: Any, labels: Any) -> None:
    tx = optax.partition({"slow": optax.trace(0.9), "fast": optax.adam(0.1)}, labels)
    first = state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(params, state, params)
        assert jax.tree.structure(updates) == jax.tree.structure(params)
        assert jax.tree.structure(state) == jax.tree.structure(first)


def test_integer_parameters_pass() -> None:
    """Defect F8: float0 leaves."""
    params = {"w": jnp.ones(2), "steps": jnp.arange(2)}
    gradient = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    transforms = {"fast": optax.sgd(0.5), "slow": optax.trace(0.9), "frozen": optax.set_to_zero()}
    for label in transforms:
        tx = optax.partition(
            {"fast": optax.sgd(0.5), "slow": optax.trace(0.9), "frozen": optax.set_to_zero()},
            {"w": "fast", "steps": label},
        )
        updates, _ = tx.update(gradient, tx.init(params), params)
        assert updates["steps"].dtype == jax.dtypes.float0
        assert np.array_equal(optax.apply_updates(params, updates)["w"], [0.0, 0.0])


def test_it_nests_and_trains() -> None:
    def last_key(params: Any) -> Any:
        return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key, params)

    inner = optax.partition({"w": optax.adam(0.1), "b": optax.sgd(0.1)}, last_key)
    outer = optax.partition({"layer": inner, "head": optax.sgd(0.1)}, {"layer": "layer", "head": "head"})
    tx = optax.chain(optax.clip_by_global_norm(1.0), outer, optax.scale(0.5))

    def loss(params: Any) -> Any:
        return sum(jnp.sum((x - 3) ** 2) for x in jax.tree.leaves(params))

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), loss(params)

    (params, _), losses = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), length=300)
    assert losses[0] == 32
    assert loss(params) < 1e-2


def test_batches_of_states() -> None:
    tx = optax.partition({"slow": optax.adam(0.1), "fast": optax.trace(0.9)}, by_axes)
    batch = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    updates, _ = jax.vmap(lambda p: tx.update(p, tx.init(p), p))(batch)
    one, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
    for u, e in zip(jax.tree.leaves(updates), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(u[0], e, rtol=1e-6)


def test_the_state_can_be_searched_set_and_mapped() -> None:
    tx = optax.partition({"slow": optax.adam(0.1), "fast": optax.trace(0.9)}, LABELS)
    state = tx.init(PARAMS)
    assert optax.tree.get(state, "slow") is state.inner_states["slow"]
    assert int(optax.tree.set(state, count=7).inner_states["slow"].inner_state[0].count) == 7
    mapped = optax.tree.map_params(tx, lambda s: s + 1, state, transform_non_params=lambda x: x)
    assert float(mapped.inner_states["fast"].inner_state.trace["head"][0]) == 1
    assert mapped.inner_states["fast"].inner_state.trace["layer"]["w"] == optax.MaskedNode()
    assert int(mapped.inner_states["slow"].inner_state[0].count) == 0


def test_extra_arguments_reach_every_group_and_are_cut_down_if_asked() -> None:
    for asked in (False, True):
        seen: dict[str, Any] = {}

        def update(updates: Any, state: Any, params: Any = None, seen: Any = seen, **extra_args: Any) -> Any:
            seen.update(extra_args)
            return updates, state

        inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
        tx = optax.partition({"slow": inner, "fast": optax.sgd(0.1)}, LABELS, mask_compatible_extra_args=asked)
        tx.update(PARAMS, tx.init(PARAMS), PARAMS, value=1.0, grad=PARAMS)
        assert seen["value"] == 1.0
        assert (seen["grad"]["head"] == optax.MaskedNode()) == asked


class TestSelective:
    """`selective_transform`."""

    def test_the_state_is_that_of_the_original(self) -> None:
        """Key paths as observed in optax 0.2.8."""
        tx = optax.selective_transform(optax.trace(0.9), freeze_mask={"layer": True, "head": False})
        state = tx.init(PARAMS)
        assert state.inner_states["freeze"] == optax.MaskedState(optax.EmptyState())
        assert state.inner_states["train"].inner_state.trace["layer"] == optax.MaskedNode()
        paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
        assert paths == [".inner_states['train'].inner_state.trace['head']"]

    def test_a_function_freezes_what_it_says(self) -> None:
        """Defect F1: it used to freeze everything, since a function is true."""
        tx = optax.selective_transform(optax.sgd(1.0), freeze_mask=lambda params: {"layer": True, "head": False})
        updates, _ = tx.update(PARAMS, tx.init(PARAMS), PARAMS)
        assert np.array_equal(updates["layer"]["b"], [0.0, 0.0])
        assert np.array_equal(updates["head"], [-1.0, -1.0])

    def test_what_is_frozen_has_no_state_and_enters_no_norm(self) -> None:
        """Defect F3: NaN in a frozen leaf must not reach the others, and frozen leaves must not have moments."""
        optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
        tx = optax.selective_transform(optimizer, freeze_mask=optax.at_paths("layer/*"))
        state = tx.init(PARAMS)
        assert sorted(x.shape for x in jax.tree.leaves(state)) == [(), (2,), (2,)]
        gradient = {**PARAMS, "layer": jax.tree.map(lambda p: p * jnp.nan, PARAMS["layer"])}
        updates, state = jax.jit(tx.update)(gradient, state, PARAMS)
        np.testing.assert_allclose(updates["head"], -0.1, rtol=1e-5)
        assert all(np.all(np.asarray(u) == 0) for u in jax.tree.leaves(updates["layer"]))
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))

    def test_a_line_search_sees_what_is_trained(self) -> None:
        """Defect D14: `value_fn` and `grad` are made for all parameters, the optimizer for some of them."""

        def search(updates: Any, state: Any, params: Any, *, value: Any, grad: Any, value_fn: Any) -> Any:
            """Halve the step until the value falls by half of what the slope promises."""
            slope = optax.tree.vdot(grad, updates)

            def too_far(step: Any) -> Any:
                return value_fn(optax.tree.add_scale(params, step, updates)) > value + 0.5 * step * slope

            step = jax.lax.while_loop(too_far, lambda step: step / 2, jnp.float32(8.0))
            return optax.tree.scale(step, updates), state

        optimizer = optax.chain(
            optax.scale(-1.0), optax.GradientTransformationExtraArgs(optax.init_empty_state, search)
        )
        tx = optax.selective_transform(optimizer, freeze_mask=optax.at_paths("layer/w"))

        def loss(params: Any) -> Any:
            return sum(jnp.sum((x - 3) ** 2) for x in jax.tree.leaves(params))

        params, state = PARAMS, tx.init(PARAMS)
        value, grad = jax.value_and_grad(loss)(params)
        updates, state = jax.jit(tx.update, static_argnames="value_fn")(
            grad, state, params, value=value, grad=grad, value_fn=loss
        )
        params = optax.apply_updates(params, updates)
        assert np.array_equal(params["layer"]["w"], np.ones((2, 2)))
        assert np.array_equal(params["head"], [3.0, 3.0])  # a step of 1/2 along the gradient
        assert float(loss(params)) == 16


class TestReset:
    """Defect F4: one group can start anew (#1371)."""

    @pytest.mark.parametrize(
        "wrapped",
        [
            lambda tx: tx,
            lambda tx: optax.chain(optax.clip_by_global_norm(9.0), tx, optax.scale(0.1)),
            lambda tx: optax.partition({"all": tx}, "all"),
            lambda tx: optax.masked(tx, True),
        ],
        ids=["bare", "chain", "partition", "masked"],
    )
    def test_one_group_starts_anew(self, wrapped: Callable[[Any], Any]) -> None:
        tx = wrapped(optax.partition({"slow": optax.adam(0.1), "fast": optax.trace(0.9)}, by_axes))
        first = state = tx.init(PARAMS)
        for _ in range(3):
            _, state = tx.update(PARAMS, state, PARAMS)
        new = jax.jit(lambda state, params: optax.reset_group(tx, state, "slow", params))(state, PARAMS)
        for path, x in jax.tree_util.tree_leaves_with_path(new):
            old = first if "slow" in jax.tree_util.keystr(path) else state
            assert np.array_equal(x, dict(jax.tree_util.tree_leaves_with_path(old))[path])
        assert float(optax.tree.get(new, "trace")["head"][0]) == pytest.approx(2.71)
        assert int(optax.tree.get(new, "count")) == 0
        assert jax.tree.structure(new) == jax.tree.structure(state)

    def test_the_state_given_stays_as_it_is(self) -> None:
        tx = optax.partition({"fast": optax.trace(0.9)}, "fast")
        _, state = tx.update(PARAMS, tx.init(PARAMS))
        optax.reset_group(tx, state, "fast", PARAMS)
        assert float(optax.tree.get(state, "trace")["head"][0]) == 1

    def test_mistakes(self) -> None:
        tx = optax.partition({"slow": optax.adam(0.1), 1: optax.trace(0.9)}, {"layer": "slow", "head": 1})
        state = tx.init(PARAMS)
        with pytest.raises(KeyError, match="there is no group 'fast' in the state, but 'slow', 1"):
            optax.reset_group(tx, state, "fast", PARAMS)
        with pytest.raises(KeyError, match="there is no group 'fast' in the state, but none"):
            optax.reset_group(optax.sgd(0.1), optax.sgd(0.1).init(PARAMS), "fast", PARAMS)
        with pytest.raises(ValueError, match=r"the state is not one that tx\.init makes for these parameters"):
            optax.reset_group(tx, (state,), "slow", PARAMS)


class TestMistakes:
    """Defects F4 and H4: messages list the labels, the leaf paths and what there is."""

    @pytest.mark.parametrize(
        ("transforms", "labels", "message"),
        [
            ({"slow": optax.scale(1.0)}, LABELS, r"'fast' at \['head'\], 'fast' at \['layer'\]\['b'\]; it has 'slow'$"),
            (
                {"slow": optax.scale(1.0), 1: optax.scale(1.0)},
                {"layer": "slow", "head": 2},
                r"2 at \['head'\]; it has 'slow', 1$",
            ),
            ({"slow": optax.scale(1.0)}, {"layer": "slow", "head": None}, r"None at \['head'\]; it has 'slow'$"),
            ({"slow": optax.scale(1.0)}, {"layer": "slow", "head": [1]}, r"1 at \['head'\]; it has 'slow'$"),
            ({}, "slow", "'slow' at the root; it has none$"),
            ({0: optax.scale(1.0)}, np.zeros(1), r"array\(\[0\.\]\) at the root; it has 0$"),
        ],
    )
    def test_labels_without_a_transformation(self, transforms: Any, labels: Any, message: str) -> None:
        tx = optax.partition(transforms, labels)
        with pytest.raises(ValueError, match=message) as error:
            tx.init(PARAMS)
        assert str(error.value).startswith("param_labels ")

    def test_labels_that_are_no_prefix(self) -> None:
        with pytest.raises(
            ValueError,
            match=r"^param_labels is neither .* prefix of it: it has an entry at \['x'\] where",
        ):
            optax.partition({"slow": optax.scale(1.0)}, {"x": "slow"}).init(PARAMS)

    def test_other_arguments(self) -> None:
        with pytest.raises(TypeError, match=r"^transforms must be a mapping from labels to transformations, not \["):
            optax.partition([optax.scale(1.0)], 0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"^transforms\['slow'\] must be a transformation, .*; call it: adam"):
            optax.partition({"slow": optax.adam}, "slow")  # type: ignore[dict-item]

    def test_the_state_of_something_else(self) -> None:
        tx = optax.partition({"slow": optax.scale(1.0), "fast": optax.scale(1.0)}, LABELS)
        other = optax.partition({"slow": optax.scale(1.0)}, "slow").init(PARAMS)
        for state in (other, optax.EmptyState(), (other,)):
            with pytest.raises(ValueError, match=r"of a partition into 'slow', 'fast' does not have the groups"):
                tx.update(PARAMS, state, PARAMS)

    def test_an_error_inside_says_in_which_group(self) -> None:
        tx = optax.partition({"slow": optax.add_decayed_weights(0.1), "fast": optax.scale(1.0)}, LABELS)
        with pytest.raises(ValueError, match="params") as error:
            tx.update(PARAMS, tx.init(PARAMS))
        assert error.value.__notes__ == ["in group 'slow' of partition: add_decayed_weights"]


def test_it_is_a_value() -> None:
    transforms = {"slow": optax.adam(0.1), Kind.FAST: optax.trace(0.9)}
    for tx in (
        optax.partition(transforms, by_axes),
        optax.multi_transform(transforms, by_axes),
        optax.selective_transform(optax.adam(0.1), freeze_mask=optax.at_paths("*/b")),
        optax.freeze({"a": True}),
    ):
        again = pickle.loads(pickle.dumps(tx))
        assert again == tx
        assert hash(again) == hash(tx)
    assert repr(optax.freeze(optax.at_paths("*/b"))) == "optax.transforms.freeze(optax.transforms.at_paths('*/b'))"
    assert optax.partition(transforms, by_axes) != optax.multi_transform(transforms, by_axes)

"""What only masks by path promise."""

import pickle
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

import optax
from strategies import Layer


class Block(NamedTuple):
    """A named tuple."""

    norm: Any
    layers: Any


@jax.tree_util.register_pytree_node_class
class Box:
    """A node whose child has no name."""

    def __init__(self, inside: Any):
        self.inside = inside

    def tree_flatten(self) -> Any:
        return (self.inside,), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Any:
        return cls(*children)


PARAMS = {
    "embed": jnp.ones((3, 2)),
    "bias": jnp.ones(2),
    "block": Block(norm={"Scale": jnp.ones(2), "bias": None}, layers=[Layer(jnp.ones((2, 2)), jnp.ones(2)), (1.0,)]),
    "lin/w": {7: jnp.ones(1), 70: Box(jnp.ones(1))},
}
PATHS = [
    "bias",
    "block/norm/Scale",
    "block/norm/bias",
    "block/layers/0/weight",
    "block/layers/0/bias",
    "block/layers/1/0",
    "embed",
    "lin/w/7",
    "lin/w/70/0",
]


def chosen(mask: Any, params: Any = PARAMS) -> list[str]:
    """The paths at which a mask is True."""
    tree = mask(params)
    assert all(isinstance(x, bool) for x in jax.tree.leaves(tree))
    leaves = jax.tree.leaves(tree)
    assert len(leaves) == len(PATHS)
    return [path for path, keep in zip(PATHS, leaves, strict=True) if keep]


def norm_or_scale(path: str) -> bool:
    """A predicate that can be pickled."""
    return "norm" in path or "Scale" in path


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["*"], PATHS),
        (["embed"], ["embed"]),
        (["bias"], ["bias"]),
        (["*/bias"], ["bias", "block/norm/bias", "block/layers/0/bias"]),
        (["*bias"], ["bias", "block/norm/bias", "block/layers/0/bias"]),
        (["block/*/bias"], ["block/norm/bias", "block/layers/0/bias"]),
        (["block/*"], PATHS[1:6]),
        (["*/0"], ["block/layers/1/0", "lin/w/70/0"]),
        (["*/layers/[02]/*"], ["block/layers/0/weight", "block/layers/0/bias"]),
        (["*/layers/?/0"], ["block/layers/1/0"]),
        (["lin/w/*"], ["lin/w/7", "lin/w/70/0"]),
        (["lin/w/7"], ["lin/w/7"]),
        (["embed", "*/Scale"], ["block/norm/Scale", "embed"]),
        ([norm_or_scale], ["block/norm/Scale", "block/norm/bias"]),
        ([re.compile(r"layers/\d/(weight|\d)").search], ["block/layers/0/weight", "block/layers/1/0"]),
        ([lambda path, leaf: jnp.ndim(leaf) == 2, "*/7"], ["block/layers/0/weight", "embed", "lin/w/7"]),
        ([lambda path, sep="/": sep not in path], ["bias", "embed"]),
    ],
)
def test_what_patterns_match(patterns: list[Any], expected: list[str]) -> None:
    assert chosen(optax.at_paths(*patterns)) == expected
    others = [path for path in PATHS if path not in expected]
    assert chosen(~optax.at_paths(*patterns)) == chosen(optax.at_paths(*patterns, invert=True)) == others


@pytest.mark.parametrize(
    "pattern", ["Bias", "scale", "*/Bias", "lay", "ers/0", "block", "*/block", "lin", "/bias", "e?"]
)
def test_a_glob_matches_the_whole_path_in_its_case(pattern: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"at_paths: patterns that match nothing: {pattern!r}; there is 'bias', ")
    ):
        optax.at_paths("*", pattern)(PARAMS)


def test_a_box_with_nothing_but_a_value_is_no_part_of_a_path() -> None:
    """Flax boxes the parameters that it makes a state from, and updates the state with what is in the boxes."""

    @jax.tree_util.register_pytree_with_keys_class
    class Boxed:
        def __init__(self, value: Any):
            self.value = value

        def tree_flatten_with_keys(self) -> Any:
            return ((jax.tree_util.GetAttrKey("value"), self.value),), None

        @classmethod
        def tree_unflatten(cls, aux: Any, children: Any) -> Any:
            return cls(*children)

    mask = optax.at_paths("dense/bias", "scale")
    tree = {"dense": {"bias": 1.0, "kernel": 1.0}, "scale": 1.0}
    boxed = jax.tree.map(Boxed, tree)
    assert jax.tree.leaves(mask(boxed)) == jax.tree.leaves(mask(tree)) == [True, False, True]


def test_an_attribute_called_value_among_others_is_a_part() -> None:
    class Attention(NamedTuple):
        value: Any
        out: Any

    for out in (1.0, {"kernel": 1.0}, None):
        assert optax.at_paths("*/value")({"a": Attention(1.0, out)})["a"].value is True


def test_a_pattern_may_miss_leaves_that_are_hidden_and_trees_without_any() -> None:
    mask = optax.at_paths("a/*", "*/b")
    params = {"a": {"b": jnp.ones(2)}, "c": jnp.ones(2)}
    assert mask({"a": optax.MaskedNode(), "c": 1.0}) == {"a": optax.MaskedNode(), "c": False}
    assert mask({"a": {"b": None}, "c": 1.0}) == {"a": {"b": True}, "c": False}
    assert mask({}) == {}
    tx = optax.masked(optax.masked(optax.trace(0.9), mask), {"a": False, "c": True})
    updates, _ = tx.update(params, tx.init(params), params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)


def test_a_gradient_may_be_none_for_a_while() -> None:
    params = {"w": jnp.ones(2), "bias": jnp.ones(2)}
    tx = optax.masked(optax.trace(0.5), ~optax.at_paths("bias"))
    first = state = tx.init(params)
    for gradient in (params, {**params, "bias": None}, {**params, "w": None}, params):
        updates, state = tx.update(gradient, state)  # no parameters to ask
        assert jax.tree.structure(state) == jax.tree.structure(first)
    assert jnp.all(updates["w"] == 1.75)
    assert jnp.all(updates["bias"] == 1)


def test_a_predicate_of_the_leaf_is_asked_about_arrays_and_forms() -> None:
    params = {"w": jnp.ones((2, 2)), "b": None}
    mask = optax.at_paths(lambda path, leaf: leaf.ndim == 2)
    assert mask(jax.eval_shape(lambda: params)) == mask(params) == {"w": True, "b": False}


def test_it_is_a_value() -> None:
    mask = optax.at_paths("*/bias", norm_or_scale)
    assert repr(optax.at_paths("*/bias")) == "optax.transforms.at_paths('*/bias')"
    assert repr(~optax.at_paths("*/bias")) == "optax.transforms.at_paths('*/bias', invert=True)"
    for again in (optax.at_paths("*/bias", norm_or_scale), ~~mask, pickle.loads(pickle.dumps(mask))):
        assert again == mask
        assert hash(again) == hash(mask)
    assert len({mask, ~mask, optax.at_paths("*/bias"), optax.at_paths(norm_or_scale, "*/bias")}) == 4
    assert mask != "*/bias"
    tx = optax.adamw(0.1, mask=~optax.at_paths("*/bias"))
    assert eval(repr(tx), {"optax": optax}) == tx


def test_decay_without_biases() -> None:
    params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}}
    tx = optax.adamw(1.0, weight_decay=0.5, mask=~optax.at_paths("*/bias"))
    updates, _ = jax.jit(tx.update)(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
    assert jnp.all(updates["dense"]["kernel"] == -0.5)
    assert jnp.all(updates["dense"]["bias"] == 0)


def test_mistakes() -> None:
    """Defect H4: messages name what is wrong."""
    with pytest.raises(ValueError, match="at_paths needs at least one pattern"):
        optax.at_paths()
    with pytest.raises(TypeError, match=r"a pattern of at_paths must be a string or a function .*, not \['a'\]"):
        optax.at_paths(["a"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"patterns that match nothing: 'kernle'; there is '0', '1'.* and 2 more"):
        optax.at_paths("*", "kernle")([1.0] * 10)

"""Reading, replacing and mapping parts of a state by name."""

from typing import Any, NamedTuple

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import Jitted
from optax.core import MaskedNode, safe_increment, tree
from strategies import Layer, trees


class Inner(NamedTuple):
    count: Any
    mu: Any


class Outer(NamedTuple):
    inner: Any
    count: Any


def state() -> Any:
    return (
        Outer(Inner(jnp.int32(1), {"w": jnp.ones(2), "b": None}), count=jnp.int32(2)),
        [{"mu": jnp.float32(3), "layer": Layer(weight=jnp.float32(4), bias=(jnp.int32(5),))}],
        None,
        optax.EmptyState(),
    )


def spelled(found: Any) -> list[str]:
    return ["/".join(map(str, path)) for path, _ in found]


@pytest.mark.parametrize(
    ("key", "paths"),
    [
        ("count", ["[0]/Outer.count", "[0]/Outer.inner/Inner.count"]),
        ("mu", ["[1]/[0]/['mu']", "[0]/Outer.inner/Inner.mu"]),
        ("w", ["[0]/Outer.inner/Inner.mu/['w']"]),
        ("weight", ["[1]/[0]/['layer']/.weight"]),
        ("layer", ["[1]/[0]/['layer']"]),
        ("Inner", ["[0]/Outer.inner"]),
        ("Outer", ["[0]"]),
        ("EmptyState", ["[3]"]),
        ("b", ["[0]/Outer.inner/Inner.mu/['b']"]),
        ("Layer", []),
        ("nothing", []),
        (0, []),
    ],
)
def test_everything_by_a_name(key: Any, paths: list[str]) -> None:
    """Named tuples by field and by class, dicts by key, dataclasses by field; those near the root first."""
    found = tree.get_all_with_path(state(), key)
    assert sorted(spelled(found)) == sorted(paths)
    assert [len(path) for path, _ in found] == sorted(len(path) for path, _ in found)


def test_paths_and_values() -> None:
    [(path, value)] = tree.get_all_with_path(state(), "w")
    assert path == (
        jax.tree_util.SequenceKey(0),
        tree.NamedTupleKey("Outer", "inner"),
        tree.NamedTupleKey("Inner", "mu"),
        jax.tree_util.DictKey("w"),
    )
    assert np.array_equal(value, [1, 1])
    assert tree.get_all_with_path(Inner(1, 2), "Inner") == [((), Inner(1, 2))]
    assert tree.get_all_with_path({1: "one", 2: {1: "uno"}}, 1)[1][1] == "uno"
    assert tree.get_all_with_path(3.0, "count") == []


def in_outer(path: Any, value: Any) -> bool:
    del value
    return isinstance(path[-1], tree.NamedTupleKey) and path[-1].tuple_name == "Outer"


def test_get() -> None:
    assert float(tree.get(state(), "weight")) == 4
    assert tree.get(state(), "nothing") is None
    assert tree.get(state(), "nothing", default=7) == 7
    assert int(tree.get(state(), "count", filtering=in_outer)) == 2
    assert tree.get(state(), "count", 7, lambda path, value: False) == 7
    assert tree.get(state(), "mu", filtering=lambda path, value: isinstance(value, jax.Array)) == 3


def test_several_matches_are_listed() -> None:
    """Defect F9."""
    with pytest.raises(KeyError, match=r"2 values .* the name 'count': at \[0\]\[Outer.count\], \[0\]\[Outer.inner\]"):
        tree.get(state(), "count")


def test_the_state_of_an_optimizer() -> None:
    """Defect F9: what people read most, the step count and the moments of a scheduled Adam."""
    tx = optax.adam(lambda count: 0.1)
    s = tx.init({"w": jnp.ones(2)})
    assert len(tree.get_all_with_path(s, "count")) == 2
    assert np.array_equal(tree.get(s, "mu")["w"], [0, 0])
    by_class = tree.get(s, "count", filtering=lambda path, _: path[-1].tuple_name == "ScaleByAdamState")
    assert by_class.dtype == jnp.int32
    assert tree.get(s, "ScaleByAdamState") is s[0]


# set


def test_set_replaces_every_match() -> None:
    new = tree.set(state(), count=jnp.int32(9), weight=jnp.float32(8))
    assert int(new[0].count) == int(new[0].inner.count) == 9
    assert float(new[1][0]["layer"].weight) == 8
    assert jax.tree.structure(new) == jax.tree.structure(state())


def test_set_with_a_filter() -> None:
    new = tree.set(state(), in_outer, count=9)
    assert int(new[0].count) == 9
    assert int(new[0].inner.count) == 1


def test_set_replaces_whole_parts() -> None:
    new = tree.set(state(), Inner=Inner(0, 0), layer=None)
    assert new[0].inner == Inner(0, 0)
    assert new[1][0]["layer"] is None
    outermost = tree.set(state(), inner=5, w=6.0)
    assert outermost[0].inner == 5
    assert tree.set(state(), b=4.0)[0].inner.mu["b"] == 4.0


def test_set_of_what_is_not_there() -> None:
    with pytest.raises(KeyError, match="nothing in the tree goes by the name 'cuont'"):
        tree.set(state(), cuont=1)
    with pytest.raises(KeyError, match="'count'"):
        tree.set(state(), lambda path, value: False, count=1)


@pytest.mark.parametrize(
    "old",
    [
        jnp.int32(1),
        jnp.bfloat16(1),
        np.float32(1),
        np.asarray(1, np.int32),
    ],
)
@pytest.mark.parametrize("new", [5, 5.0, np.float64(5)])
def test_a_python_number_takes_the_dtype_of_what_it_replaces(old: Any, new: Any) -> None:
    """Defect F9: a Python int in the state costs a compilation, and does not fit a restored state either."""
    s = tree.set({"a": old, "b": {"c": old}}, a=new, b={"c": new})
    for x in jax.tree.leaves(s):
        assert x.dtype == old.dtype
        assert not getattr(x, "weak_type", False)
        assert float(x) == 5


def test_a_weakly_typed_array_takes_the_dtype_of_what_it_replaces() -> None:
    assert not tree.set({"lr": jnp.float32(1)}, lr=jnp.asarray(0.5))["lr"].weak_type


def test_a_fraction_does_not_fit_a_counter() -> None:
    with pytest.raises((TypeError, ValueError)):
        tree.set({"count": jnp.int32(1)}, count=0.5)


def test_set_does_not_make_a_step_compile_again() -> None:
    """Defects C4, F9."""
    tx = optax.adam(lambda count: 0.1 / (1.0 + count.astype(jnp.float32)))
    params = {"w": jnp.ones(2)}
    step = Jitted(lambda s: tx.update(params, s)[1])
    s = step(tx.init(params))
    s = step(tree.set(s, count=5))
    s = step(tree.set(s, count=0))
    assert step.traces == 1
    assert int(tree.get(s, "ScaleByAdamState").count) == 1


def test_get_and_set_under_jit() -> None:
    doubled = jax.jit(lambda s: tree.set(s, weight=2 * tree.get(s, "weight")))(state())
    assert float(tree.get(doubled, "weight")) == 8


@hypothesis.given(trees())
def test_set_leaves_the_rest_alone(t: Any) -> None:
    wrapped = {"target": 1, "rest": t}
    new = tree.set(wrapped, target=2)
    assert new["target"] == 2
    assert jax.tree.structure(new["rest"]) == jax.tree.structure(t)
    assert all(x is y for x, y in zip(jax.tree.leaves(new["rest"]), jax.tree.leaves(t), strict=True))


# map_params

PARAMS = {"w": jnp.ones((2, 2)), "b": None, "layer": Layer(jnp.ones(3), jnp.ones(()))}
RANKS = {"w": "matrix", "b": None, "layer": Layer("vector", "scalar")}


@pytest.mark.parametrize("given", [lambda tx: tx, lambda tx: tx.init], ids=["transformation", "init"])
def test_map_params_finds_the_slots(given: Any) -> None:
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(lambda count: 0.1), optax.trace(0.9))
    s = tx.init(PARAMS)
    ranks = tree.map_params(given(tx), lambda x, rank: rank, s, RANKS, transform_non_params=lambda x: x.dtype)
    assert ranks[1][0] == optax.ScaleByAdamState(count=jnp.int32, mu=RANKS, nu=RANKS)
    assert ranks[2].trace == RANKS
    assert ranks[0] == optax.EmptyState()


def test_map_params_leaves_the_rest_alone_by_default() -> None:
    tx = optax.adam(0.1)
    s = tree.map_params(tx, lambda x: x + 1, tx.init({"w": jnp.zeros(2)}))
    assert np.array_equal(s[0].nu["w"], [1, 1])
    assert int(s[0].count) == 0


def test_map_params_of_a_masked_state() -> None:
    mask = {"w": True, "b": False, "layer": Layer(False, True)}
    tx = optax.masked(optax.adam(0.1), mask)
    s = tx.init(PARAMS)
    ranks = tree.map_params(tx, lambda x, rank: rank, s, RANKS)
    assert ranks.inner_state[0].mu["w"] == "matrix"
    assert ranks.inner_state[0].mu["layer"] == Layer(MaskedNode(), "scalar")
    assert jax.tree.structure(ranks) == jax.tree.structure(s)


def test_map_params_stops_at_given_leaves() -> None:
    tx = optax.trace(0.9)
    s = tx.init({"pair": (jnp.ones(2), jnp.ones(3))})
    names = tree.map_params(tx, lambda x: type(x).__name__, s, is_leaf=lambda x: isinstance(x, tuple))
    assert names.trace == {"pair": "tuple"}


def test_map_params_gives_the_state_the_sharding_of_the_parameters() -> None:
    """What it is for: one sharding for each slot, another one for the scalars."""
    mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:1]), "x")
    by_row, everywhere = (jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*p)) for p in (("x",), ()))
    params = {"w": jnp.ones((2, 2))}
    tx = optax.adam(0.1)
    shardings = tree.map_params(
        tx, lambda _, s: s, tx.init(params), {"w": by_row}, transform_non_params=lambda _: everywhere
    )
    s = jax.jit(tx.init, out_shardings=shardings)(params)
    assert s[0].mu["w"].sharding == by_row
    assert s[0].count.sharding == everywhere


def test_map_params_under_jit_and_vmap() -> None:
    tx = optax.trace(0.9)
    s = jax.vmap(tx.init)(jnp.ones((3, 2)))
    mapped = jax.jit(jax.vmap(lambda s, k: tree.map_params(tx, lambda x: x + safe_increment(k), s)))(s, jnp.arange(3.0))
    assert np.array_equal(mapped.trace, [[1, 1], [2, 2], [3, 3]])


def test_map_params_gives_masked_nodes_to_a_function_that_asks_for_them() -> None:
    tx = optax.masked(optax.trace(0.9), {"a": True, "b": False})
    state = tx.init({"a": jnp.ones(2), "b": jnp.ones(2)})
    kinds = {"a": "x", "b": "y"}

    def is_masked(x: Any) -> bool:
        return isinstance(x, optax.MaskedNode)

    assert optax.tree.map_params(tx, lambda _, k: k, state, kinds, is_leaf=is_masked).inner_state.trace == kinds
    assert is_masked(optax.tree.map_params(tx, lambda _, k: k, state, kinds).inner_state.trace["b"])

"""What only the table of rules promises."""

import io
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from strategies import Layer


class Model(NamedTuple):
    """A model with parameters of several kinds."""

    embed: Any
    layers: Any
    head: Any


def parameters() -> Any:
    """Ones, in containers of several kinds."""
    layers = [Layer({"kernel": jnp.ones((2, 2))}, jnp.ones(2)), Layer({"kernel": jnp.ones((2, 2))}, None)]
    return Model({"table": jnp.ones((3, 2))}, layers, {"kernel": jnp.ones((2, 1), jnp.bfloat16), "bias": jnp.ones(1)})


TABLE = [("*/bias", optax.scale(2.0)), ("embed/*", None), ("*/kernel", optax.trace(0.9))]


def test_the_first_rule_that_matches_wins() -> None:
    tx = optax.rules([("*/bias", optax.scale(2.0)), ("head/*", optax.scale(3.0)), ("*", optax.scale(4.0))])
    updates, _ = jax.jit(tx.update)(parameters(), tx.init(parameters()), parameters())
    factors = jax.tree.map(lambda u: float(u.ravel()[0]), updates)
    first, second = Layer({"kernel": 4.0}, 2.0), Layer({"kernel": 4.0}, None)
    assert factors == Model({"table": 4.0}, [first, second], {"kernel": 3.0, "bias": 2.0})
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, parameters())
    assert updates.head["kernel"].dtype == jnp.bfloat16


def test_groups_go_by_the_names_of_their_patterns() -> None:
    tx = optax.rules([*TABLE[:2], (is_kernel, optax.trace(0.9))])
    state = tx.init(parameters())
    assert isinstance(state, optax.PartitionState)
    assert [*state.inner_states] == ["*/bias", "embed/*", "is_kernel"]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert len(paths) == 3
    assert paths[-1] == ".inner_states['is_kernel'].inner_state.trace.head['kernel']"


def is_kernel(path: str) -> bool:
    """A predicate that can be pickled."""
    return path.endswith("/kernel")


def test_what_is_frozen_has_no_state_gets_zeros_and_enters_no_norm() -> None:
    """Defect F3: NaN of a frozen leaf must not reach a norm, and it must not have moments."""
    tx = optax.rules([("embed/*", None), ("*", optax.trace(0.9))], before=optax.clip_by_global_norm(1.0))
    params = {"embed": {"table": jnp.ones((3, 2))}, "w": jnp.asarray([3.0, 0.0]), "b": jnp.asarray([4.0])}
    gradient = {**params, "embed": {"table": jnp.full((3, 2), jnp.nan)}}
    state = tx.init(params)
    assert sorted(x.shape for x in jax.tree.leaves(state)) == [(1,), (2,)]
    updates, state = jax.jit(tx.update)(gradient, state, params)
    assert np.array_equal(updates["embed"]["table"], np.zeros((3, 2)))
    np.testing.assert_allclose(updates["w"], [0.6, 0.0], rtol=1e-6)  # one norm over both: 5
    np.testing.assert_allclose(updates["b"], [0.8], rtol=1e-6)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(state))


def test_without_before_a_norm_is_that_of_the_rule() -> None:
    clip = optax.clip_by_global_norm(1.0)
    params = {"w": jnp.asarray([3.0, 0.0]), "b": jnp.asarray([4.0])}
    updates, _ = (tx := optax.rules([("w", clip), ("b", clip)])).update(params, tx.init(params))
    np.testing.assert_allclose(updates["w"], [1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [1.0], rtol=1e-6)


def test_before_has_a_state_of_its_own_and_no_part_in_what_is_frozen() -> None:
    tx = optax.rules([("frozen", None), ("*", optax.scale(-1.0))], before=optax.add_decayed_weights(0.5))
    params = {"frozen": jnp.ones(2), "w": jnp.ones(2)}
    state = tx.init(params)
    assert [type(part) for part in state] == [optax.MaskedState, optax.PartitionState]
    updates, _ = tx.update(params, state, params)
    assert np.array_equal(updates["frozen"], [0.0, 0.0])
    assert np.array_equal(updates["w"], [-1.5, -1.5])


def test_it_equals_a_partition_written_by_hand() -> None:
    params = {"dense": {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}, "scale": jnp.ones(3)}
    labels = {"dense": {"kernel": "rest", "bias": "bias"}, "scale": "rest"}
    by_hand = optax.partition({"bias": optax.sgd(0.1, momentum=0.9), "rest": optax.adam(0.1)}, labels)
    by_path = optax.rules([("*/bias", optax.sgd(0.1, momentum=0.9)), ("*", optax.adam(0.1))])
    state, other = by_hand.init(params), by_path.init(params)
    for _ in range(3):
        updates, state = by_hand.update(params, state, params)
        others, other = by_path.update(params, other, params)
        jax.tree.map(np.testing.assert_array_equal, updates, others)
    groups = {"bias": other.inner_states["*/bias"], "rest": other.inner_states["*"]}
    jax.tree.map(np.testing.assert_array_equal, state, optax.PartitionState(groups))


def test_predicates_of_the_path_and_of_the_leaf() -> None:
    tx = optax.rules(
        [(lambda path, leaf: leaf.ndim == 1, optax.scale(2.0)), (is_kernel, optax.scale(3.0)), ("*", optax.scale(4.0))]
    )
    params = {"a": {"kernel": jnp.ones((1, 2)), "bias": jnp.ones(2)}, "table": jnp.ones((2, 1)), "none": None}
    updates, _ = tx.update(params, tx.init(params))
    factors = jax.tree.map(lambda u: float(u.ravel()[0]), updates)
    assert factors == {"a": {"kernel": 3.0, "bias": 2.0}, "table": 4.0, "none": None}


def test_two_predicates_of_one_name_have_groups_of_their_own() -> None:
    table = [(lambda path: path == "a", optax.scale(2.0)), (lambda path: path == "b", optax.scale(3.0))]
    params = {"a": jnp.ones(1), "b": jnp.ones(1)}
    tx = optax.rules(table)
    state = tx.init(params)
    assert [*state.inner_states] == ["<lambda>", "<lambda> (1)"]
    updates, _ = tx.update(params, state)
    assert [float(u[0]) for u in updates.values()] == [2.0, 3.0]
    state = optax.rules([(is_kernel, None), ("is_kernel", None)]).init({"is_kernel": 1.0, "a": {"kernel": 1.0}})
    assert [*state.inner_states] == ["is_kernel", "is_kernel (1)"]


@pytest.mark.parametrize(
    "params",
    [
        {},
        (),
        None,
        {"w": None},
        {"w": jnp.zeros((0, 2))},
        jnp.ones(2),
        [jnp.ones(2), {"b": optax.MaskedNode()}],
        {"w": optax.MaskedNode()},
        Layer(jnp.ones(2), None),
    ],
)
def test_all_containers(params: Any) -> None:
    tx = optax.rules([("*", optax.adam(0.1))])
    first = state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(params, state, params)
        assert jax.tree.structure(updates) == jax.tree.structure(params)
        assert jax.tree.structure(state) == jax.tree.structure(first)


def test_a_table_inside_a_mask_may_have_rules_for_what_is_hidden() -> None:
    table = optax.rules([("a/*", optax.scale(2.0)), ("b", optax.scale(3.0))])
    tx = optax.chain(optax.clip_by_global_norm(100.0), optax.masked(table, {"a": False, "b": True}), optax.scale(-1.0))
    params = {"a": {"w": jnp.ones(2)}, "b": jnp.ones(2)}
    updates, _ = tx.update(params, tx.init(params), params)
    assert float(updates["a"]["w"][0]) == -1
    assert float(updates["b"][0]) == -3


def test_gradients_may_be_none_and_integer() -> None:
    """Defect F8: float0 leaves."""
    params = {"w": jnp.ones(2), "steps": jnp.arange(2), "late": jnp.ones(2)}
    gradient = jax.grad(lambda p: jnp.sum(p["w"] ** 2), allow_int=True)(params)
    tx = optax.rules([("steps", None), ("*", optax.sgd(0.5, momentum=0.9))])
    first = state = tx.init(params)
    for arguments in ((), (params,)):
        updates, state = tx.update({**gradient, "late": None}, state, *arguments)
        assert updates["late"] is None
        assert updates["steps"].dtype == jax.dtypes.float0
        assert jax.tree.structure(state) == jax.tree.structure(first)
    np.testing.assert_allclose(optax.apply_updates(params, updates)["w"], 1 - 1.9, rtol=1e-6)


def test_it_scans_and_maps() -> None:
    tx = optax.rules(TABLE, before=optax.clip_by_global_norm(1.0))

    def run(params: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            updates, state = tx.update(params, state, params)
            return state, updates

        return jax.lax.scan(step, tx.init(params), length=3)[1]

    one = run(parameters())
    batch = jax.vmap(run)(jax.tree.map(lambda p: jnp.stack([2 * p, p]), parameters()))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(batch), strict=True):
        np.testing.assert_allclose(np.asarray(b[1], np.float32), np.asarray(a, np.float32), rtol=1e-6)
    assert np.all(np.asarray(batch.embed["table"]) == 0)


def test_the_state_can_be_searched_set_mapped_and_reset() -> None:
    tx = optax.rules([("*/bias", optax.adam(0.1)), ("*", optax.trace(0.9))], before=optax.clip_by_global_norm(1.0))
    params = parameters()
    _, state = tx.update(params, tx.init(params), params)
    assert int(optax.tree.get(state, "count")) == 1
    assert int(optax.tree.get(optax.tree.set(state, count=7), "count")) == 7
    mapped = optax.tree.map_params(tx, jnp.zeros_like, state)
    assert jax.tree.structure(mapped) == jax.tree.structure(state)
    assert float(optax.tree.get(mapped, "trace").embed["table"][0, 0]) == 0
    assert int(optax.tree.get(mapped, "count")) == 1
    anew = optax.reset_group(tx, state, "*/bias", params)
    assert int(optax.tree.get(anew, "count")) == 0
    assert float(optax.tree.get(anew, "trace").embed["table"][0, 0]) > 0


def test_extra_arguments_are_cut_down() -> None:
    """Defect D14: a line search in one of the groups evaluates the loss at the parameters of that group."""
    seen: dict[str, Any] = {}

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        seen.update(extra_args, params=params)
        return updates, state

    inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.rules([("embed/*", None), ("*", inner)], before=optax.scale(1.0))
    params = {"embed": {"table": jnp.ones(3)}, "w": jnp.ones(2)}
    tx.update(params, tx.init(params), params, grad=params, value=1.0, value_fn=lambda p: optax.tree.sum(p))
    assert seen["grad"]["embed"] == {"table": optax.MaskedNode()}
    assert seen["value"] == 1.0
    assert float(seen["value_fn"](optax.tree.scale(10.0, seen["params"]))) == 3 + 20


EXPLAINED = """\
path                    shape   dtype     parameters  rule      transformation
embed/table             (3, 2)  float32            6  embed/*   frozen
layers/0/weight/kernel  (2, 2)  float32            4  */kernel  optax.transforms.trace(0.9)
layers/0/bias           (2,)    float32            2  */bias    optax.transforms.scale(2.0)
layers/1/weight/kernel  (2, 2)  float32            4  */kernel  optax.transforms.trace(0.9)
head/bias               (1,)    float32            1  */bias    optax.transforms.scale(2.0)
head/kernel             (2, 1)  bfloat16           2  */kernel  optax.transforms.trace(0.9)

rule      leaves  parameters  transformation
*/bias         2           3  optax.transforms.scale(2.0)
embed/*        1           6  frozen
*/kernel       3          10  optax.transforms.trace(0.9)
total          6          19  6 parameters frozen
"""


class TestExplain:
    """`explain`."""

    def test_it_prints_who_gets_what(self, capsys: pytest.CaptureFixture[str]) -> None:
        tx = optax.rules(TABLE)
        assert tx.explain(parameters()) is None
        printed = capsys.readouterr().out
        assert printed == EXPLAINED
        tx.explain(jax.eval_shape(parameters))
        assert capsys.readouterr().out == printed

    def test_it_shows_what_the_table_lacks(self) -> None:
        file = io.StringIO()
        long = optax.chain(*[optax.scale(2.0)] * 5)
        optax.rules([("a/*", None), ("w", long)], before=optax.clip_by_global_norm(1.0)).explain(
            {"w": jnp.ones((1000, 1000)), "b": 1.0}, file=file
        )
        first, second, last = file.getvalue().split("\n\n")
        assert first.splitlines()[1:] == [
            "b     ()            float32           1  NO RULE",
            f"w     (1000, 1000)  float32   1,000,000  w        {repr(long)[:57]}...",
        ]
        assert second.splitlines()[1:] == [
            "a/*           0           0  frozen",
            f"w             1   1,000,000  {long!r}",
            "NO RULE       1           1",
            "total         2   1,000,001  0 parameters frozen",
        ]
        assert last == "before the rules, on all that is not frozen: optax.transforms.clip_by_global_norm(1.0)\n"

    def test_a_bare_array_and_nothing(self, capsys: pytest.CaptureFixture[str]) -> None:
        tx = optax.rules([("*", None)])
        tx.explain(jnp.ones(2))
        assert "(the root)  (2,)   float32           2  *     frozen\n" in capsys.readouterr().out
        tx.explain({"a": None})
        assert "total       0           0  0 parameters frozen\n" in capsys.readouterr().out


@optax.core.transformation
def frozen_but_biases() -> optax.GradientTransformation:
    """A factory of the user's that returns a table."""
    return optax.rules([("*/bias", optax.sgd(0.1)), ("*", None)])


def test_it_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    tx = optax.rules(TABLE, before=optax.clip_by_global_norm(1.0))
    assert repr(tx) == (
        "optax.transforms.rules([('*/bias', optax.transforms.scale(2.0)), ('embed/*', None), "
        "('*/kernel', optax.transforms.trace(0.9))], before=optax.transforms.clip_by_global_norm(1.0))"
    )
    assert tx != optax.rules(TABLE)
    assert optax.rules(TABLE) != optax.rules(TABLE[::-1])
    for again in (eval(repr(tx), {"optax": optax}), pickle.loads(pickle.dumps(tx))):
        assert again == tx
        assert hash(again) == hash(tx)
        again.explain(parameters())
        assert "embed/table" in capsys.readouterr().out
    pickle.loads(pickle.dumps(optax.rules([(is_kernel, None)]))).explain({"a": {"kernel": 1.0}})


def test_a_factory_that_returns_a_table_keeps_its_method(capsys: pytest.CaptureFixture[str]) -> None:
    tx = frozen_but_biases()
    assert isinstance(tx, optax.Rules)
    tx.explain(parameters())
    assert "16 parameters frozen" in capsys.readouterr().out


class TestMistakes:
    """Defect H4: messages list the offenders."""

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ([("*/bias", None)], r"^rules: leaves without a rule: 'embed/table', 'layers/0/weight/kernel', "),
            ([("x/*", None), ("*", None)], r"^rules: patterns that match nothing: 'x/\*'; there is 'embed/table', "),
            (
                [("*", None), ("embed/*", None), ("head/*", None)],
                r"^rules: patterns whose leaves all go to earlier rules: 'embed/\*', 'head/\*'$",
            ),
            (
                [("embed/*", None), ("*/table", None), ("y", None), ("layers/*", None)],
                r"^rules: leaves without a rule: 'head/bias', .*earlier rules: '\*/table'; .*match nothing: 'y';",
            ),
            ([], "^rules: leaves without a rule: 'embed/table', "),
        ],
    )
    def test_a_table_that_does_not_fit(self, table: Any, message: str) -> None:
        tx = optax.rules(table)
        for params in (parameters(), jax.eval_shape(parameters)):
            with pytest.raises(ValueError, match=message):
                tx.init(params)

    def test_a_leaf_that_was_not_there_before(self) -> None:
        tx = optax.rules([("w", optax.scale(2.0))])
        params = {"w": jnp.ones(2)}
        with pytest.raises(ValueError, match=r"^rules: leaves without a rule: 'v'$"):
            tx.update({**params, "v": jnp.ones(2)}, tx.init(params))

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"*": None}, r"^table must be a list of \(pattern, transformation\) pairs, not \{"),
            (["ab"], r"^table\[0\] must be a \(pattern, transformation\) pair, not 'ab'$"),
            ([optax.scale(1.0)], r"^table\[0\] must be a \(pattern, transformation\) pair, not optax"),
            ([(1, None)], r"^the pattern of table\[0\] must be a string or a function of the path, not 1$"),
            ([("*", optax.adam)], r"^the transformation of table\[0\], '\*', must be a transformation.*call it: adam"),
        ],
    )
    def test_tables_of_other_things(self, table: Any, message: str) -> None:
        with pytest.raises(TypeError, match=message):
            optax.rules(table)

    def test_a_pattern_that_is_repeated(self) -> None:
        with pytest.raises(ValueError, match=r"^table\[1\] repeats the pattern '\*': it could never match"):
            optax.rules([("*", None), ("*", optax.scale(1.0))])
        with pytest.raises(ValueError, match=r"^table\[1\] repeats the pattern <function is_kernel"):
            optax.rules([(is_kernel, None), (is_kernel, None)])

    def test_before_is_a_transformation(self) -> None:
        with pytest.raises(TypeError, match=r"^before must be a transformation, not 1\.0$"):
            optax.rules([("*", None)], before=1.0)  # type: ignore[arg-type]

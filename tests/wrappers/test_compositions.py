"""Wrappers around and inside each other: what no test of a single one can show."""

import dataclasses
import functools
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import optax
from compilations import form
from reference.adam import Adam

PARAMS = {"matrix": np.array([[1.0, -2.0], [0.5, 3.0]], np.float32), "vector": np.array([1.5, -0.5], np.float32)}


def params_of(tree: Any = None) -> Any:
    return jax.tree.map(jnp.asarray, PARAMS if tree is None else tree)


def gradients(number: int, like: Any = None, dtype: Any = None, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    like = PARAMS if like is None else like
    return [
        jax.tree.map(lambda p: jnp.asarray(rng.normal(size=np.shape(p)), dtype or p.dtype), like) for _ in range(number)
    ]


def train(tx: Any, params: Any, grads: Sequence[Any], **extra_args: Any) -> tuple[Any, Any, list[Any]]:
    """The last parameters and state, and the parameters after each update."""
    state, path = tx.init(params), []
    step = jax.jit(tx.update)
    for i, g in enumerate(grads):
        updates, state = step(g, state, params, **{name: values[i] for name, values in extra_args.items()})
        params = optax.apply_updates(params, updates)
        path.append(params)
    return params, state, path


def assert_close(actual: Any, expected: Any, rtol: float = 1e-5, atol: float = 1e-6) -> None:
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), np.asarray(e, np.float64), rtol=rtol, atol=atol)


def finite(tree: Any) -> bool:
    return bool(optax.tree.all_finite(tree))


def matrices(params: Any) -> Any:
    return jax.tree.map(lambda p: jnp.ndim(p) >= 2, params)


def kinds(params: Any) -> Any:
    return jax.tree.map(lambda p: "matrix" if jnp.ndim(p) >= 2 else "other", params)


def two_groups() -> Any:
    return optax.partition({"matrix": optax.adamw(0.1), "other": optax.sgd(0.1, momentum=0.9)}, kinds)


INNER: dict[str, Callable[[], Any]] = {
    "partition": two_groups,
    "rules": lambda: optax.rules(
        [("matrix", optax.adamw(0.1)), ("*", optax.sgd(0.1))], before=optax.clip_by_global_norm(1.0)
    ),
    "lookahead": lambda: optax.lookahead(optax.adam(0.1), 2, 0.5, reset_state=True),
    "schedule_free": lambda: optax.schedule_free_adamw(0.1, warmup_steps=2, weight_decay=0.1),
    "params_ema": lambda: optax.chain(optax.adam(0.1), optax.params_ema(0.5)),
    "sam": lambda: optax.sam(optax.sgd(0.1, momentum=0.9), optax.chain(optax.normalize(), optax.sgd(0.05))),
    "mechanize": lambda: optax.mechanize(optax.sgd(0.1)),
    "dog": lambda: optax.dog(),
}


# Numbers, by hand or in NumPy.


@pytest.mark.parametrize("name", ["rules", "lookahead", "schedule_free", "params_ema", "sam", "mechanize", "dog"])
def test_steps_for_several_gradients_are_those_for_their_means(name: str) -> None:
    grads = gradients(12)
    means = [jax.tree.map(lambda *g: sum(g[1:], g[0]) / 3, *grads[i : i + 3]) for i in range(0, 12, 3)]
    accumulated, state, path = train(optax.MultiSteps(INNER[name](), 3), params_of(), grads)
    expected, inner_state, _ = train(INNER[name](), params_of(), means)
    assert_close(accumulated, expected)
    assert_close(state.inner_opt_state, inner_state)
    assert_close(path[1], params_of(), rtol=0, atol=0)  # nothing moves on the way


def test_accumulated_lookahead_with_adam_is_numpys() -> None:
    """Every second gradient makes a step of Adam, every second step a step of the slow weights."""
    grads = gradients(16, np.zeros(5, np.float32))
    params = jnp.linspace(-1.0, 1.0, 5)
    tx = optax.MultiSteps(optax.lookahead(optax.adam(0.1), 2, 0.3), 2)
    adam = Adam(0.9, 0.999, 1e-8)
    fast = slow = np.asarray(params, np.float64)
    for n in range(8):
        fast = fast - 0.1 * adam(np.mean([np.asarray(g, np.float64) for g in grads[2 * n : 2 * n + 2]], axis=0))
        if n % 2:
            fast = slow = slow + 0.3 * (fast - slow)
    params, state, _ = train(tx, params, grads)
    assert_close(params, fast)
    assert_close(optax.eval_params(state, params), slow)


def test_schedule_free_for_one_group_only() -> None:
    """The other group is trained, and evaluated, as ever."""
    free = optax.schedule_free(optax.sgd(0.2), 0.2, b1=0.8)
    tx = optax.partition({"matrix": free, "other": optax.sgd(0.1)}, kinds)
    y = z = x = PARAMS["matrix"].astype(np.float64)
    vector = PARAMS["vector"].astype(np.float64)
    grads = gradients(6)
    for t, g in enumerate(grads, 1):
        z = z - 0.2 * np.asarray(g["matrix"], np.float64)
        x = x + (z - x) / t
        y = 0.8 * x + 0.2 * z
        vector = vector - 0.1 * np.asarray(g["vector"], np.float64)
    params, state, _ = train(tx, params_of(), grads)
    assert_close(params, {"matrix": y, "vector": vector})
    assert_close(optax.eval_params(state, params), {"matrix": x, "vector": vector})


def test_an_average_inside_counts_steps_and_not_gradients() -> None:
    """By hand: p = -1, -2 after steps with gradients 1; their average with weights 1/3 and 2/3."""
    tx = optax.MultiSteps(optax.chain(optax.sgd(1.0), optax.params_ema(0.5)), 3)
    params, state, _ = train(tx, jnp.zeros(2), [jnp.ones(2)] * 6)
    np.testing.assert_allclose(params, -2.0)
    np.testing.assert_allclose(optax.eval_params(state, params), -(1 + 2 * 2) / 3, rtol=1e-6)


def test_the_order_of_clipping_and_accumulation() -> None:
    """By hand: gradients 3 and -1; clipped to 1 and -1 before the mean, or their mean 1, clipped to 0.5, after it."""
    grads = [jnp.float32(3.0), jnp.float32(-1.0)]
    before = optax.chain(optax.clip(1.0), optax.MultiSteps(optax.sgd(1.0), 2))
    after = optax.MultiSteps(optax.chain(optax.clip(0.5), optax.sgd(1.0)), 2)
    np.testing.assert_allclose(train(before, jnp.float32(0), grads)[0], 0.0)
    np.testing.assert_allclose(train(after, jnp.float32(0), grads)[0], -0.5)


def test_the_norm_before_groups_is_of_all_that_is_trained_and_inside_of_one() -> None:
    """By hand: of (3, 4, frozen 100) the norm is 5; inside the groups the norms are 3 and 4."""
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1), "frozen": jnp.zeros(1)}
    grads = {"a": jnp.full(1, 3.0), "b": jnp.full(1, 4.0), "frozen": jnp.full(1, 100.0)}
    clip, sgd = optax.clip_by_global_norm(1.0), optax.sgd(1.0)
    together = optax.rules([("a", sgd), ("b", sgd), ("*", None)], before=clip)
    each = optax.rules([("a", optax.chain(clip, sgd)), ("b", optax.chain(clip, sgd)), ("*", None)])
    nothing = np.zeros(1)
    assert_close(train(together, params, [grads])[0], {"a": nothing - 0.6, "b": nothing - 0.8, "frozen": nothing})
    assert_close(train(each, params, [grads])[0], {"a": nothing - 1, "b": nothing - 1, "frozen": nothing})


def test_each_group_may_accumulate_for_itself() -> None:
    """By hand: one group steps on 1, 2, 3, the other on the mean of 1 and 2 only."""
    tx = optax.partition({"matrix": optax.sgd(1.0), "other": optax.MultiSteps(optax.sgd(1.0), 2)}, kinds)
    grads = [jax.tree.map(lambda p, n=n: jnp.full_like(p, n), params_of()) for n in (1, 2, 3)]
    zeros = optax.tree.zeros_like(params_of())
    params, _, _ = train(tx, zeros, grads)
    assert_close(params, {"matrix": np.full((2, 2), -6.0), "vector": np.full(2, -1.5)})


def test_accumulation_multiplies() -> None:
    grads = gradients(12, np.zeros(3, np.float32))
    params, state, path = train(optax.MultiSteps(optax.MultiSteps(optax.sgd(1.0), 2), 3), jnp.zeros(3), grads)
    assert_close(params, -(np.mean(grads[:6], axis=0) + np.mean(grads[6:], axis=0)))
    assert [bool(p.any()) for p in path] == [False] * 5 + [True] * 7
    assert (int(state.gradient_step), int(state.inner_opt_state.gradient_step)) == (4, 2)


def test_accumulation_inside_of_loss_scaling_survives_a_change_of_the_scale() -> None:
    """By hand: gradients of a loss scaled by 4, 2 and 2; the overflow between them is left out of the mean."""
    tx = optax.dynamic_loss_scaling(optax.MultiSteps(optax.sgd(1.0), 2), init_scale=4.0)
    params, state = jnp.float32(0), tx.init(jnp.float32(0))
    for true_gradient in (1.0, np.inf, 3.0):
        g = optax.loss_scale(state) * jnp.float32(true_gradient)
        updates, state = tx.update(g, state, params)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, -2.0)


def test_a_plateau_under_accumulation_is_one_of_steps() -> None:
    """By hand: only the second, fourth and sixth losses are seen; they rise, and the third step is half as long."""
    tx = optax.MultiSteps(optax.chain(optax.sgd(1.0), optax.reduce_on_plateau(0.5, patience=2)), 2)
    losses = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0]
    _, _, path = train(tx, jnp.float32(0), [jnp.float32(1)] * 6, value=losses)
    np.testing.assert_allclose(path, [0, -1, -1, -2, -2, -2.5])


@pytest.mark.parametrize(
    "inner",
    [
        False,
        True,
    ],
)
def test_master_weights_of_accumulated_gradients_are_exact(inner: bool) -> None:
    """The remainder makes up for all rounding, whoever accumulates."""
    params = jnp.array([0.01, -0.5, 1.0, 3.0], jnp.bfloat16)
    grads = gradients(200, np.zeros(4), jnp.bfloat16)
    sgd = optax.sgd(0.3)
    tx = optax.MultiSteps(optax.master_weights(sgd), 2) if inner else optax.master_weights(optax.MultiSteps(sgd, 2))
    last, state, _ = train(tx, params, grads)
    moved = np.asarray(params, np.float64) - 0.3 * np.sum([np.asarray(g, np.float64) / 2 for g in grads], axis=0)
    assert_close(optax.master_params(state, last), moved, rtol=0, atol=1e-5)


# Gradients that are not finite.


@pytest.mark.parametrize(
    ("guard", "name"),
    [("skip", "partition"), ("skip", "schedule_free"), ("outside", "lookahead"), ("inside", "mechanize")],
)
def test_a_bad_gradient_anywhere_in_a_cycle_is_survived(guard: str, name: str) -> None:
    """Afterwards the parameters move again, and with a guard that leaves gradients out nothing is lost but these."""
    inner = INNER[name]()
    tx = {
        "skip": optax.MultiSteps(inner, 2, should_skip_update_fn=optax.skip_not_finite),
        "outside": optax.apply_if_finite(optax.MultiSteps(inner, 2), 5),
        "inside": optax.MultiSteps(optax.apply_if_finite(inner, 5), 2),
    }[guard]
    good = gradients(8)
    bad = [optax.tree.scale(x, good[0]) for x in (np.nan, np.inf)]
    step = jax.jit(tx.update)
    for position in range(3):
        params, state = params_of(), tx.init(params_of())
        for g in [*good[:position], bad[position % 2], *good[position:]]:
            updates, state = step(g, state, params)
            params = optax.apply_updates(params, updates)
            assert finite((params, updates))
        if guard == "inside":
            assert finite(jax.tree.leaves(state.inner_opt_state))
            assert int(state.inner_opt_state.total_notfinite) == 1
        else:
            assert_close(params, train(optax.MultiSteps(inner, 2), params_of(), good)[0], rtol=1e-4)


def test_seeds_that_meet_a_nan_do_not_disturb_the_others() -> None:
    tx = optax.MultiSteps(optax.apply_if_finite(optax.lookahead(optax.adam(0.1), 2, 0.5), 5), 2)
    grads = jnp.stack(gradients(6, np.zeros((3, 4), np.float32)))
    grads = grads.at[2, 1].set(jnp.nan)

    def run(grads: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            params, state = carry
            updates, state = tx.update(g, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (jnp.ones(4), tx.init(jnp.ones(4))), grads)[0]

    params, state = jax.jit(jax.vmap(run, in_axes=1))(grads)
    assert state.inner_opt_state.total_notfinite.tolist() == [0, 1, 0]
    assert_close(params[0], run(grads[:, 0])[0])
    assert_close(params[1], run(grads[:, 1])[0])
    assert finite(params)


# Structure: what is found, reset, mapped and sharded through any nesting.


class Layer(NamedTuple):
    w: Any
    b: Any


@functools.partial(jax.tree_util.register_dataclass, data_fields=["w", "b"], meta_fields=[])
@dataclasses.dataclass
class Module:
    w: Any
    b: Any


TREES: dict[str, Callable[[], Any]] = {
    "named tuple": lambda: Layer(jnp.ones((3, 2)), jnp.ones(2)),
    "dataclass": lambda: Module(jnp.ones((3, 2)), jnp.ones(2)),
    "None": lambda: {"w": jnp.ones((3, 2)), "none": None, "b": jnp.ones(2)},
    "bare array": lambda: jnp.ones((3, 2)),
    "nothing": dict,
    "integers": lambda: {"w": jnp.ones((3, 2)), "i": jnp.arange(3), "b": jnp.ones(2)},
    "bfloat16 beside float32": lambda: [{"w": jnp.ones((3, 2), jnp.bfloat16)}, (jnp.ones(2),)],
    "complex": lambda: {"w": jnp.full((3, 2), 1 + 1j, jnp.complex64), "b": jnp.ones(2)},
}


def loss(params: Any) -> Any:
    terms = [jnp.sum(jnp.abs(x).astype(jnp.float32) ** 2) for x in jax.tree.leaves(params) if x.dtype != jnp.int32]
    return sum(terms, jnp.float32(0))


def nested(inner: Any) -> Any:
    chained = optax.named_chain(("clip", optax.clip_by_global_norm(1.0)), ("rest", inner))
    return optax.MultiSteps(
        optax.apply_if_finite(optax.masked(chained, True), 3), 2, should_skip_update_fn=optax.skip_not_finite
    )


@pytest.mark.parametrize("kind", TREES)
def test_any_tree_goes_through_any_nesting(kind: str) -> None:
    """One compilation for a training loop with donated buffers; averages, maps and shardings of the same structure."""
    params = TREES[kind]()
    tx = nested(optax.dynamic_loss_scaling(optax.lookahead(optax.adamw(0.1), 2, 0.5), init_scale=1.0))
    state = tx.init(params)
    form_before = form(state)

    traces = []

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params: Any, state: Any) -> Any:
        traces.append(kind)
        grads = jax.grad(loss, allow_int=True)(params) if jax.tree.leaves(params) else params
        grads = jax.tree.map(lambda g: g if g.dtype == jax.dtypes.float0 else jnp.conj(g), grads)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    before = loss(params)
    for _ in range(6):
        params, state = step(params, state)
    assert len(traces) == 1
    assert form(state) == form_before
    assert loss(params) < before or kind == "nothing"
    evaluated = optax.eval_params(state, params)
    assert jax.tree.map(lambda x: x.dtype, evaluated) == jax.tree.map(lambda x: x.dtype, params)
    mapped = optax.tree_map_params(tx, lambda x, p: x + x, state, params, transform_non_params=lambda x: x)
    assert jax.tree.structure(mapped) == jax.tree.structure(state)
    if jax.tree.leaves(params):
        assert jax.tree.structure(optax.state_shardings(tx, params)) == jax.tree.structure(state)


@pytest.mark.parametrize("kind", ["named tuple", "dataclass", "None", "bare array", "integers"])
def test_the_average_is_found_at_any_depth(kind: str) -> None:
    """By hand: two steps of -0.1 (in the direction of ones), averaged with weights 1/3 and 2/3."""
    tx = nested(optax.chain(optax.scale_by_sign(), optax.sgd(0.1), optax.params_ema(0.5)))
    start = params = TREES[kind]()
    state = tx.init(params)
    grads = jax.tree.map(
        lambda p: np.zeros(p.shape, jax.dtypes.float0) if p.dtype == jnp.int32 else jnp.ones_like(p), params
    )
    for _ in range(4):
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
    assert_close(
        optax.eval_params(state, params),
        jax.tree.map(lambda p: p if p.dtype == jnp.int32 else p - (0.1 + 2 * 0.2) / 3, start),
    )


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: optax.lookahead(optax.apply_if_finite(tx, 2), 3, 0.5),
        lambda tx: optax.sam(optax.master_weights(tx), optax.sgd(0.01)),
        lambda tx: optax.chain(optax.mechanize(tx), optax.params_ema(0.9)),
        lambda tx: optax.schedule_free(optax.named_chain(("a", tx), ("b", optax.scale(1.0))), 0.1),
    ],
)
def test_a_group_starts_anew_wherever_it_is(wrap: Callable[[Any], Any]) -> None:
    tx = wrap(optax.partition({"matrix": optax.adam(0.1), "other": optax.adam(0.1)}, kinds))
    params, state, _ = train(tx, params_of(), gradients(4))
    new = optax.reset_group(tx, state, "matrix", params)
    groups = [optax.tree.get(s, "PartitionState").inner_states for s in (state, new)]
    assert_close(groups[1]["matrix"], optax.tree.get(tx.init(params), "PartitionState").inner_states["matrix"])
    assert_close(groups[1]["other"], groups[0]["other"])
    assert int(optax.tree.get(groups[0]["matrix"], "count")) > 0
    assert jax.tree.structure(new) == jax.tree.structure(state)


def test_names_in_a_nested_state() -> None:
    """What existing code reads and sets, by field and by name."""
    tx = optax.MultiSteps(
        optax.chain(optax.masked(optax.adam(0.1), matrices), optax.partition({"all": optax.trace(0.9)}, "all")), 4
    )
    _, state, _ = train(tx, params_of(), gradients(5))
    assert (int(state.mini_step), int(state.gradient_step)) == (1, 1)
    assert int(state.inner_opt_state[0].inner_state[0].count) == 1
    assert isinstance(state.inner_opt_state[0].inner_state[0].mu["vector"], optax.MaskedNode)
    assert state.inner_opt_state[1].inner_states["all"].inner_state.trace["vector"].shape == (2,)
    assert int(optax.tree.get(state, "gradient_step")) == 1
    last = optax.tree.set(state, mini_step=3)
    updates, after = jax.jit(tx.update)(gradients(1)[0], last, params_of())
    assert bool(tx.has_updated(after))
    assert bool(updates["matrix"].any())
    assert optax.MultiStepsState(*state) == state


@pytest.mark.parametrize("name", ["partition", "rules", "schedule_free", "sam", "mechanize"])
def test_nested_wrappers_are_values(name: str) -> None:
    skip = functools.partial(optax.skip_large_updates, max_squared_norm=1e3)

    def make() -> Any:
        return optax.MultiSteps(optax.skip_if(INNER[name](), window=4), 2, True, skip)

    tx, twin = make(), make()
    assert tx == twin
    assert hash(tx) == hash(twin)
    assert tx != optax.MultiSteps(optax.skip_if(INNER[name](), window=4), 3, True, skip)
    if name not in ("partition",):  # its labels are a function of this file
        assert eval(repr(tx), {"optax": optax, "functools": functools}) == tx
    assert pickle.loads(pickle.dumps(tx)) == tx
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def step(tx: Any, grads: Any, state: Any, params: Any) -> Any:
        traces.append(tx)
        return tx.update(grads, state, params)

    for each in (tx, twin):
        step(each, params_of(), each.init(params_of()), params_of())
    assert len(traces) == 1


@pytest.mark.parametrize("zero", [(), ("data",)])
@pytest.mark.parametrize("name", ["partition", "lookahead", "schedule_free", "sam"])
def test_a_sharded_state_takes_the_same_steps(name: str, zero: tuple[str, ...]) -> None:
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
    inner = optax.apply_if_finite(optax.skip_if(INNER[name](), window=8), 2)
    tx = optax.MultiSteps(inner, 2, should_skip_update_fn=optax.skip_not_finite)
    like = {"matrix": np.zeros((8, 4), np.float32), "vector": np.zeros(4, np.float32)}
    params, *grads = gradients(6, like)
    specs = {"matrix": P(None, "model"), "vector": P("model")}
    split = [jax.tree.map(lambda x, s: jax.device_put(x, NamedSharding(mesh, s)), t, specs) for t in (params, *grads)]
    shardings = optax.state_shardings(tx, split[0], zero=zero)
    state = jax.jit(tx.init, out_shardings=shardings)(split[0])
    placed = jax.tree.map(lambda p: p.sharding, split[0])

    traces = []

    @functools.partial(jax.jit, out_shardings=(placed, shardings))
    def step(params: Any, state: Any, g: Any) -> Any:
        traces.append(name)
        updates, state = tx.update(g, state, params)
        return optax.apply_updates(params, updates), state

    trained = split[0]
    for g in split[1:]:
        trained, state = step(trained, state, g)
    assert len(traces) == 1
    wanted = P(("data",), "model") if zero else P(None, "model")
    assert state.acc_grads["matrix"].sharding.is_equivalent_to(NamedSharding(mesh, wanted), 2)
    assert_close(trained, train(tx, params, grads)[0])


# What went wrong once, or still does: each says what should be.


def test_a_dict_that_changes_later_does_not_change_the_value() -> None:
    """The compiled step of the first would be reused for the second."""
    groups, made = {}, []
    for rate in (0.5, 1.0):
        groups["all"] = optax.sgd(rate)
        made.append(optax.partition(groups, "all"))
    step = jax.jit(lambda tx, g: tx.update(g, tx.init(g), g)[0], static_argnums=0)
    assert [float(step(tx, jnp.float32(1))) for tx in made] == [-0.5, -1.0]
    assert pickle.loads(pickle.dumps(made[0])) == optax.partition({"all": optax.sgd(0.5)}, "all")


def test_a_table_that_changes_later_does_not_change_the_value() -> None:
    table = [("*", optax.sgd(0.5))]
    first = optax.rules(table)
    table[0] = ("*", optax.sgd(1.0))
    assert first == optax.rules([("*", optax.sgd(0.5))]) != optax.rules(table)


@pytest.mark.parametrize(
    "tx",
    [
        optax.adamw(0.1),
        optax.lookahead(optax.adam(0.1), 2, 0.5),
        optax.schedule_free_sgd(0.1),
        optax.sam(optax.sgd(0.1), optax.chain(optax.normalize(), optax.sgd(0.05))),
        optax.flatten(optax.adamw(0.1)),
        optax.dowg(),
        optax.dog(),
        optax.mechanize(optax.sgd(1.0), weight_decay=1.0, s_init=0.1),
    ],
    ids=repr,
)
def test_an_integer_parameter_changes_nothing_for_the_others(tx: Any) -> None:
    """It has no gradient and no step, so its size must not lead those of the others."""
    runs = []
    for more in ({}, {"table": jnp.full(3, 1_000_000)}):
        params = {**params_of(), **more}
        state = tx.init(params)
        for n in range(6):
            grads = {
                k: np.zeros(p.shape, jax.dtypes.float0) if k == "table" else jnp.cos(p * (n + 1))
                for k, p in params.items()
            }
            updates, state = tx.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        runs.append({k: params[k] for k in PARAMS})
    assert_close(*runs)


@pytest.mark.parametrize("make", ["selective_transform", "rules"])
def test_the_gradients_that_sam_asks_for_in_a_group_are_those_of_the_group(make: str) -> None:
    """Else the frozen leaf enters the norm that is clipped: by hand, the gradient (1) has norm 1, and stays."""
    params = {"trained": jnp.ones(1), "frozen": jnp.ones(1)}
    sam = optax.sam(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0)), optax.set_to_zero(), opaque_mode=True)
    tx = (
        optax.rules([("trained", sam), ("*", None)])
        if make == "rules"
        else optax.selective_transform(sam, freeze_mask={"trained": False, "frozen": True})
    )

    def grad_fn(params: Any, i: int) -> Any:
        return {"trained": params["trained"], "frozen": 100 * params["frozen"]}

    updates, _ = tx.update(grad_fn(params, 0), tx.init(params), params, grad_fn=grad_fn)
    np.testing.assert_allclose(updates["trained"], -1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "dtype",
    [
        jnp.float32,
        pytest.param(
            jnp.bfloat16,
            marks=pytest.mark.xfail(
                strict=True, reason="the way back to p and the step are rounded as one number, to the way back"
            ),
        ),
    ],
)
def test_sam_moves_float32_parameters_by_gradients_of_any_dtype(dtype: Any) -> None:
    """By hand: p = 1, rho = 0.1 on gradients of ones in four dimensions, 10 descents by 1e-5: 1 - 1e-4."""
    tx = optax.sam(optax.sgd(1e-5), optax.chain(optax.normalize(), optax.sgd(0.1)))
    params, _, _ = train(tx, jnp.ones(4), [jnp.ones(4, dtype)] * 20)
    np.testing.assert_allclose(params - 1, -1e-4, rtol=1e-2)


@pytest.mark.parametrize(
    "wrap",
    [lambda tx: optax.MultiSteps(tx, 2), lambda tx: optax.dynamic_loss_scaling(tx, init_scale=1.0)],
    ids=["MultiSteps", "dynamic_loss_scaling"],
)
@pytest.mark.xfail(
    strict=True, reason="the inner updates, float32, are rounded to the dtype of the gradients afterwards"
)
def test_parameters_stay_nonnegative_inside_a_wrapper(wrap: Callable[[Any], Any]) -> None:
    params = jnp.linspace(0.1, 1.0, 100)
    tx = wrap(optax.chain(optax.sgd(1.0), optax.keep_params_nonnegative()))
    _, _, path = train(tx, params, [jnp.full(100, 2.0, jnp.bfloat16)] * 2)
    assert min(float(p.min()) for p in path) >= 0


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_master_weights_inside_of_loss_scaling_are_exact(dtype: Any) -> None:
    params = jnp.array([0.01, -0.5, 1.0, 3.0], dtype)
    grads = gradients(200, np.zeros(4), dtype)
    tx = optax.dynamic_loss_scaling(optax.master_weights(optax.sgd(0.3)), init_scale=1.0, max_scale=1.0)
    last, state, _ = train(tx, params, grads)
    moved = np.asarray(params, np.float64) - 0.3 * np.sum([np.asarray(g, np.float64) for g in grads], axis=0)
    assert_close(optax.master_params(state, last), moved, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("tx", "allowed"),
    [(optax.MultiSteps(optax.identity(), 2), {1.0, 2.0}), (optax.apply_every(2), {2.0})],
    ids=["MultiSteps", "apply_every"],
)
def test_an_absent_gradient_lets_nothing_of_the_last_cycle_through(tx: Any, allowed: set[float]) -> None:
    """The second cycle has None and 2: its sum is 2, and its mean 1, or 2 where None does not count."""
    params = {"now and then": jnp.zeros([]), "always": jnp.zeros([])}
    state, last = tx.init(params), None
    for g in (10, 10, None, 2):
        absent = None if g is None else jnp.float32(g)
        updates, state = tx.update({"now and then": absent, "always": jnp.float32(1)}, state, params)
        last = updates["now and then"]
    assert last is not None
    assert float(last) in allowed


@pytest.mark.xfail(strict=True, reason="eval_params is given the point that is climbed to, and takes it for y")
def test_schedule_free_inside_of_sam_is_evaluated_at_any_time() -> None:
    tx = optax.sam(optax.schedule_free(optax.sgd(0.1), 0.1), optax.sgd(1.0))
    params = jnp.ones(2)
    state = tx.init(params)
    seen = []
    for _ in range(3):
        updates, state = tx.update(jnp.ones(2), state, params)
        params = optax.apply_updates(params, updates)
        seen.append(float(optax.eval_params(state, params)[0]))
    np.testing.assert_allclose(seen, [1.0, 0.9, 0.9], rtol=1e-5)  # up, down, up


@pytest.mark.xfail(
    strict=True, reason="x is computed from z, with the rounding error of z times (1 - b1) / b1 at every step"
)
def test_a_narrow_state_dtype_does_not_spoil_the_mean_of_schedule_free() -> None:
    """x is as good as the z that it is the mean of: the error of z is the yardstick."""
    grads = gradients(100, np.zeros(50, np.float32))
    tx = optax.schedule_free(optax.sgd(0.01), 0.01, b1=0.1, state_dtype=jnp.bfloat16)
    params, state, _ = train(tx, jnp.ones(50), grads)
    z = x = np.ones(50)
    for t, g in enumerate(grads, 1):
        z = z - 0.01 * np.asarray(g, np.float64)
        x = x + (z - x) / t
    worst = np.abs(np.asarray(state.z, np.float64) - z).max()
    assert np.abs(np.asarray(optax.eval_params(state, params), np.float64) - x).max() <= worst


def bad_in_w(updates: Any, gradient_step: Any, params: Any) -> Any:
    bad = ~jnp.isfinite(updates["w"]).all()
    return bad, {"should_skip": bad}


def test_a_skip_function_may_look_at_a_single_leaf() -> None:
    tx = optax.MultiSteps(optax.trace(0.9), 2, should_skip_update_fn=bad_in_w)
    state = tx.init({"w": jnp.ones(2)})
    mapped = optax.tree_map_params(tx, lambda x: x + 1, state)
    np.testing.assert_array_equal(mapped.inner_opt_state.trace["w"], 1.0)


@pytest.mark.parametrize(
    "tx", [optax.monitor({"double": optax.tree.conj}), optax.snapshot("double", optax.tree.conj)], ids=repr
)
def test_the_function_for_other_leaves_is_given_leaves(tx: Any) -> None:
    state = tx.init({"w": jnp.ones(2)})
    mapped = optax.tree_map_params(tx, lambda x: x, state, transform_non_params=lambda x: x + 1)
    np.testing.assert_array_equal(jax.tree.leaves(mapped)[0], 1.0)


@pytest.mark.parametrize(
    "tx",
    [
        optax.flatten(optax.schedule_free_sgd(0.1)),
        optax.flatten(optax.master_weights(optax.adam(0.1))),
        pytest.param(optax.split_real_and_imaginary(optax.adam(0.1)), id="split"),
    ],
    ids=repr,
)
@pytest.mark.xfail(
    strict=True, reason="the placeholder has another dtype, or a slot another structure than the parameters"
)
def test_parts_like_the_parameters_are_found_in_another_layout(tx: Any) -> None:
    params = {"w": jnp.ones(2, jnp.complex64 if "split" in repr(tx) else jnp.bfloat16)}
    state = tx.init(params)
    mapped = optax.tree_map_params(tx, lambda x, p: x, state, params)
    assert jax.tree.structure(mapped) == jax.tree.structure(state)


@pytest.mark.parametrize("layout", [optax.flatten, optax.split_real_and_imaginary])
@pytest.mark.xfail(
    strict=True, reason="the average has the layout of the inner transformation, the parameters have not"
)
def test_averages_are_found_in_another_layout(layout: Any) -> None:
    """Or refused by a message that names the layout."""
    tx = layout(optax.chain(optax.sgd(0.1), optax.params_ema(0.5)))
    params, state, _ = train(tx, {"w": jnp.ones((2, 2), jnp.complex64)}, [{"w": jnp.ones((2, 2), jnp.complex64)}])
    assert_close(optax.eval_params(state, params), params)


MESSAGES: dict[str, Callable[[], Any]] = {
    "opt": lambda: optax.MultiSteps(optax.adam, 4),
    "fast_optimizer": lambda: optax.lookahead(optax.adam, 5, 0.5),
    "base_optimizer": lambda: optax.schedule_free(optax.sgd, 0.1),
    "base_optimizer of mechanize": lambda: optax.mechanize(optax.adamw),
    "adv_optimizer": lambda: optax.sam(optax.sgd(0.1), optax.sgd),
    "inner of apply_if_finite": lambda: optax.apply_if_finite(optax.adam, 5),
    "inner of skip_if": lambda: optax.skip_if(optax.adam),
    "inner of master_weights": lambda: optax.master_weights(optax.adam),
    "inner of conditionally_mask": lambda: optax.conditionally_mask(optax.adam, lambda step: True),
    "inner of dynamic_loss_scaling": lambda: optax.dynamic_loss_scaling([optax.adam(0.1)]),
    "should_transform_fn": lambda: optax.conditionally_transform(optax.adam(0.1), True),
    "should_skip_update_fn": lambda: optax.MultiSteps(optax.adam(0.1), 4, should_skip_update_fn=True),
    "use_grad_mean": lambda: optax.MultiSteps(optax.adam(0.1), 4, optax.skip_not_finite),
    "accumulator_dtype": lambda: optax.MultiSteps(optax.adam(0.1), 4, accumulator_dtype="int32"),
    "accumulator_dtype of params_ema": lambda: optax.params_ema(0.9, accumulator_dtype=bool),
    "state_dtype": lambda: optax.schedule_free(optax.sgd(0.1), 0.1, state_dtype="int32"),
    "param_dtype": lambda: optax.scale_by_distance_over_gradients(param_dtype="int32"),
    "init_scale": lambda: optax.dynamic_loss_scaling(optax.adam(0.1), init_scale=2.0**30),
}


@pytest.mark.parametrize("argument", MESSAGES)
def test_what_cannot_be_meant_is_named_at_construction(argument: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\b{argument.split()[0]}\b"):
        MESSAGES[argument]()


@pytest.mark.parametrize(
    ("before", "after"), [({"a": None}, {"a": 1.0}), ({"a": 1.0}, {"a": 1j})], ids=["None to array", "real to complex"]
)
@pytest.mark.filterwarnings("ignore:Casting complex")
def test_a_state_that_changes_its_form_is_refused(before: Any, after: Any) -> None:
    changing = optax.GradientTransformation(
        lambda params: jax.tree.map(jnp.asarray, before),
        lambda updates, state, params=None: (updates, jax.tree.map(jnp.asarray, after)),
    )
    tx = optax.apply_if_finite(changing, 2)
    with pytest.raises((TypeError, ValueError)):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))


def test_a_state_is_not_split_further_on_explicit_axes() -> None:
    """`jax.make_mesh` makes such a mesh, unless told otherwise."""
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit, AxisType.Explicit))
    params = jax.device_put(jnp.ones(8), NamedSharding(mesh, P("model")))
    tx = optax.adam(0.1)
    with pytest.raises(ValueError, match="needs a mesh of automatic axes"):
        optax.state_shardings(tx, params, zero=("data",))


@pytest.mark.xfail(strict=True, reason="the sharding of a measurement follows the gradients, not the state")
def test_a_measurement_under_a_condition_on_explicit_axes() -> None:
    mesh = jax.make_mesh((2,), ("model",), axis_types=(AxisType.Explicit,))
    params = jax.device_put(jnp.ones(4), NamedSharding(mesh, P("model")))
    tx = optax.apply_if_finite(optax.snapshot("conj", optax.tree.conj), 2)
    state = jax.jit(tx.init, out_shardings=optax.state_shardings(tx, params))(params)
    _, state = jax.jit(tx.update)(params, state, params)
    np.testing.assert_allclose(state.inner_state.measurement["conj"], 1.0)


def test_conditions_inside_each_other_are_traced_a_few_times_only() -> None:
    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    traces = []

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        traces.append(updates)
        return updates, state

    tx = optax.GradientTransformation(lambda params: jnp.zeros([]), update)
    for _ in range(4):
        tx = optax.apply_if_finite(tx, 2, check_updates=False)
    mesh = jax.make_mesh((2,), ("d",), axis_types=(AxisType.Auto,))
    step = shard_map(lambda g: tx.update(g, tx.init(g))[0], mesh=mesh, in_specs=P("d"), out_specs=P("d"))
    jax.make_jaxpr(step)(jnp.ones(4))
    assert len(traces) <= 8


@pytest.mark.parametrize("container", ["mask", "labels", "array"])
def test_what_the_caller_changes_later_changes_neither_value_nor_steps(container: str) -> None:
    """A transformation and its pickled copy are equal: they must take the same step, that of the original call."""
    mask, labels, rate = {"w": True}, {"w": "train"}, np.array(1.0)
    tx = {
        "mask": lambda: optax.masked(optax.sgd(1.0), mask, unmasked="zero"),
        "labels": lambda: optax.partition({"train": optax.sgd(1.0), "freeze": optax.set_to_zero()}, labels),
        "array": lambda: optax.sgd(rate),
    }[container]()
    mask["w"], labels["w"] = False, "freeze"
    rate[...] = 0.0
    params = {"w": jnp.ones(2)}
    for each in (tx, pickle.loads(pickle.dumps(tx))):
        np.testing.assert_allclose(each.update(params, each.init(params), params)[0]["w"], -1.0)


def test_what_a_loss_returns_beside_its_value_is_no_gradient() -> None:
    """Parameters are two arrays, and `value_fn` returns the loss and an accuracy: nothing there can be cut down."""
    seen = []

    def update(updates: Any, state: Any, params: Any = None, *, value_fn: Any, **extra_args: Any) -> Any:
        seen.append(value_fn(params))
        return updates, state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    tx = optax.selective_transform(inner, freeze_mask=(False, True))
    params = (jnp.ones(2), jnp.ones(3))
    tx.update(params, tx.init(params), params, value_fn=lambda params: (jnp.float32(1), jnp.float32(2)))
    assert seen == [(1.0, 2.0)]

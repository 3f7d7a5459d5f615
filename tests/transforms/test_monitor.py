"""What only measurements in the state promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import tree

PARAMS = {"b": jnp.ones(()), "w": jnp.ones(3)}


def run(tx: Any, sizes: tuple[float, ...], dtype: str = "float32") -> list[Any]:
    """The states after updates of ones times these sizes."""
    state, states = tx.init(PARAMS), []
    for size in sizes:
        updates = tree.full_like(PARAMS, size, dtype)
        out, state = tx.update(updates, state, PARAMS)
        assert all(a is b for a, b in zip(jax.tree.leaves(out), jax.tree.leaves(updates), strict=True))
        states.append(state)
    return states


def test_measurements_are_of_the_last_updates_and_found_by_name() -> None:
    tx = optax.chain(
        optax.monitor({"norm": tree.norm, "first": lambda u: u["w"][0]}),
        optax.scale(3.0),
        optax.snapshot("after", tree.norm),
    )
    state = tx.init(PARAMS)
    for size in (1.0, 2.0):
        _, state = jax.jit(tx.update)(tree.full_like(PARAMS, size), state)
        assert tree.get(state, "norm") == 2 * size
        assert tree.get(state, "first") == size
        assert tree.get(state, "after") == 6 * size


def test_measures_keep_their_own_state_whatever_the_order_of_their_names() -> None:
    tx = optax.monitor({"z": optax.trace(0.5), "a": tree.norm, "b": optax.trace(1 / 4)})
    state = tx.init(PARAMS)
    for _ in range(2):
        _, state = jax.jit(tx.update)(PARAMS, state)  # which sorts the names
    assert state.measurements["z"]["w"][0] == 1.5
    assert state.measurements["b"]["w"][0] == 1.25
    assert [len(jax.tree.leaves(s)) for s in state.measure_states] == [2, 0, 2]


MEASURES: dict[str, Any] = {
    "norm": tree.norm,
    "a number of Python": lambda u: 3.0,
    "an integer": lambda u: jnp.sum(u["w"] > 0),
    "a boolean": lambda u: jnp.all(u["w"] > 0),
    "a tree": lambda u: {"all": u, "shape": jnp.shape(u["w"]), "none": None},
    "nothing": lambda u: None,
    "a half": lambda u: u["w"].astype(jnp.bfloat16),
    "a memory": optax.measure_with_ema(tree.norm, 0.9),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_form_of_the_state_is_that_of_init(measure: Any, dtype: str) -> None:
    """Defect B10: in the original the first update adds the measurements, and `lax.scan` refuses.

    Defect B11: in the original a snapshot changes its dtype with that of the gradients. Defects A8 and A9 are the
    same for states at large.
    """
    txs = [optax.monitor({"m": measure})]
    if not isinstance(measure, optax.GradientTransformation):
        txs.append(optax.snapshot("m", measure))
    updates = tree.cast(PARAMS, dtype)
    for tx in txs:
        state = tx.init(PARAMS)
        scanned, _ = jax.lax.scan(lambda s, _, tx=tx: (tx.update(updates, s, PARAMS)[1], None), state, None, 3)
        assert jax.tree.structure(scanned) == jax.tree.structure(state)
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(scanned), strict=True):
            assert (before.dtype, before.shape, before.weak_type) == (after.dtype, after.shape, False)


def test_init_never_runs_a_measure() -> None:
    """Defect B11: `snapshot` runs its measure on the parameters."""
    seen: list[bool] = []

    def measure(updates: Any) -> Any:
        seen.append(isinstance(updates["w"], jax.core.Tracer))
        return tree.norm(updates)

    snapshot, monitor = optax.snapshot("m", measure), optax.monitor({"m": measure})
    abstract = jax.eval_shape(lambda p: p, PARAMS)
    states = [tx.init(p) for p in (PARAMS, abstract) for tx in (snapshot, monitor)]
    assert seen
    assert all(seen)
    assert all(tree.get(state, "m") == 0 for state in states)
    snapshot.update(PARAMS, states[0])
    assert not seen[-1]


def test_what_a_transformation_measures() -> None:
    """It gets the parameters and its extra arguments, and `init` knows the form of what it returns."""

    def update(updates: Any, state: Any, params: Any = None, *, value: Any = 0.0, **extra_args: Any) -> Any:
        return {"loss": jnp.float32(value), "distance": tree.norm(tree.sub(params, updates))}, state

    measure = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.monitor({"m": measure})
    for params in (PARAMS, jax.eval_shape(lambda p: p, PARAMS)):
        state = tx.init(params)
        assert {k: (v.shape, v.dtype) for k, v in state.measurements["m"].items()} == {
            "loss": ((), jnp.float32),
            "distance": ((), jnp.float32),
        }
    _, state = tx.update(tree.zeros_like(PARAMS), state, PARAMS, value=5, other=1)
    assert (tree.get(state, "loss"), tree.get(state, "distance")) == (5, 2)


@pytest.mark.parametrize("debias", [True, False])
def test_moving_average_of_a_measurement(debias: bool) -> None:
    """By hand: with decay 1/2 the averages of 2, 4, 6 are 1, 2.5, 4.25, with weights 1/2, 3/4, 7/8."""
    states = run(optax.monitor({"m": optax.measure_with_ema(tree.norm, 0.5, debias)}), (1.0, 2.0, 3.0))
    weights = [1 / 2, 3 / 4, 7 / 8] if debias else [1, 1, 1]
    expected = np.asarray([1.0, 2.5, 4.25]) / weights
    np.testing.assert_allclose([s.measurements["m"] for s in states], expected, rtol=1e-6)
    assert tree.get(states[-1], "EmaState").count == 3
    assert tree.get(states[-1], "ema") == 4.25


def test_dtype_of_a_moving_average() -> None:
    """It is that of the measurement if it can resolve the decay; integers have a mean that is none."""

    def slot(measure: Any, *args: Any) -> Any:
        return tree.get(optax.measure_with_ema(measure, *args).init(PARAMS), "ema").dtype

    def half(u: Any) -> Any:
        return u["b"].astype(jnp.bfloat16)

    assert slot(half, 0.9) == jnp.bfloat16
    assert slot(half, 0.999) == jnp.float32
    assert slot(tree.norm, 0.9, True, jnp.bfloat16) == jnp.bfloat16
    assert slot(tree.size, 0.9) == jnp.float32
    states = run(optax.monitor({"n": optax.measure_with_ema(tree.size, 0.9)}), (1.0, 2.0))
    np.testing.assert_allclose([s.measurements["n"] for s in states], 4, rtol=1e-6)


def test_integer_parameters_are_not_measured() -> None:
    """Defect F8: their gradient is of dtype float0, with which nothing can be computed."""
    params = {"n": jnp.arange(3), "w": jnp.asarray([3.0, 4.0])}
    gradient = jax.grad(lambda p: jnp.sum(p["w"] ** 2) / 2, allow_int=True)(params)
    tx = optax.chain(optax.monitor({"norm": tree.norm}), optax.snapshot("all", lambda u: u))
    _, state = tx.update(gradient, tx.init(params))
    assert tree.get(state, "norm") == 5
    np.testing.assert_array_equal(tree.get(state, "all")["w"], params["w"])


def test_measurements_belong_to_no_parameter() -> None:
    tx = optax.chain(optax.monitor({"all": lambda u: u, "m": optax.measure_with_ema(tree.norm, 0.9)}), optax.trace(0.9))
    state = tx.init(PARAMS)
    mapped = tree.map_params(tx, lambda x: "param", state, transform_non_params=lambda x: "other")
    assert {*jax.tree.leaves(mapped[0])} == {"other"}
    assert {*jax.tree.leaves(mapped[1])} == {"param"}


def test_another_form_than_that_of_init_is_refused() -> None:
    tx = optax.snapshot("m", lambda u: u["w"])
    with pytest.raises(ValueError, match=r"the measurement 'm' and what init found for it differ in shape: \(4,\) and"):
        tx.update({"w": jnp.ones(4)}, tx.init({"w": jnp.ones(3)}))
    calls: list[None] = []

    def fickle(updates: Any) -> Any:
        calls.append(None)
        return [updates["w"]] * len(calls)

    tx = optax.monitor({"m": fickle})
    with pytest.raises(ValueError, match="the measurement 'm' and what init found for it differ in tree structure"):
        tx.update(PARAMS, tx.init(PARAMS))


def test_complex_measurements_are_not_cut() -> None:
    tx = optax.snapshot("m", lambda u: u)
    with pytest.raises(TypeError, match="would drop its imaginary part"):
        tx.update(jnp.ones(2, jnp.complex64), tx.init(jnp.ones(2)))


def test_a_measure_that_fails_is_named() -> None:
    def needs_value(updates: Any, state: Any, params: Any = None, *, value: Any, **extra_args: Any) -> Any:
        return value, state

    measure = optax.GradientTransformationExtraArgs(optax.init_empty_state, needs_value)
    for name, wrong in (("loss", measure), ("key", lambda u: u["nothing"])):
        with pytest.raises((TypeError, KeyError)) as caught:
            optax.monitor({name: wrong}).init(PARAMS)
        assert f"in init, which traces the measure '{name}' on the parameters" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optax.monitor([tree.norm]), "measures must be a dict from names to measures"),
        (lambda: optax.monitor({1: tree.norm}), "a name in measures must be a string, not 1"),
        (lambda: optax.monitor({"n": 3}), r"measures\['n'\] must be a function of the updates, not 3"),
        (lambda: optax.snapshot(tree.norm, "n"), "measure_name must be a string"),
        (lambda: optax.snapshot("n", 3), "measure must be a function of the updates, not 3"),
        (lambda: optax.measure_with_ema(optax.scale(1.0), 0.9), "measure must be a function of the updates"),
    ],
)
def test_what_is_no_measure_is_refused(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_a_decay_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match="decay must be at least 0 and below 1, not 1"):
        optax.measure_with_ema(tree.norm, 1)

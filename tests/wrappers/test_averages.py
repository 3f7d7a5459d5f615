"""Averages of the parameters, and finding them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64

PARAMS = {"layer": {"w": jnp.ones((2, 2)), "b": jnp.zeros(2)}, "head": jnp.full(3, 2.0)}


def path_of(tx: Any, start: Any, updates: Any) -> tuple[list[Any], Any]:
    """The parameters after each update, and the last state."""
    params, state, path = start, tx.init(start), []
    step = jax.jit(tx.update)
    for u in updates:
        u, state = step(u, state, params)
        params = optax.apply_updates(params, u)
        path.append(params)
    return path, state


def steps(number: int, size: int = 3) -> list[Any]:
    return list(np.random.default_rng(0).normal(size=(number, size)))


@pytest.mark.parametrize("debias", [True, False])
def test_the_moving_average_is_that_of_the_stored_path(debias: bool) -> None:
    d, start = 0.97, np.asarray([1.0, -2.0, 0.0])
    with enable_x64():
        tx = optax.params_ema(d, debias)
        path, state = path_of(tx, jnp.asarray(start), map(jnp.asarray, steps(50)))
        weights = (1 - d) * d ** np.arange(50)[::-1]
        expected = weights @ np.asarray(path)
        expected = expected / weights.sum() if debias else expected + d**50 * start
        np.testing.assert_allclose(optax.eval_params(state, path[-1]), expected, rtol=1e-13)
        assert state.average.dtype == state.weight.dtype == jnp.float64


def test_the_average_of_a_constant_is_the_constant() -> None:
    """decay * a + (1 - decay) * p would settle at 0.99983 p in float32, where 0.9999 and 0.0001 do not add up to 1."""
    tx = optax.params_ema(0.9999)
    p = jnp.float32(1 / 3)
    state, _ = jax.lax.scan(lambda s, _: (tx.update(jnp.zeros(()), s, p)[1], None), tx.init(p), length=2000)
    assert float(optax.eval_params(state, p)) == float(p)


def test_the_decay_can_follow_a_schedule() -> None:
    """By hand: decays 0, 1/2, 2/3, ... make the mean of all."""
    tx = optax.params_ema(lambda count: 1 - 1 / (1 + jnp.asarray(count, jnp.float32)))
    path, state = path_of(tx, jnp.zeros(3), map(jnp.float32, steps(20)))
    np.testing.assert_allclose(optax.eval_params(state, path[-1]), np.mean(path, axis=0), rtol=1e-5)
    assert float(state.weight) == 1


def test_low_precision_does_not_stall() -> None:
    """Defect A5: from 0 to 1 in 5000 steps an average in bfloat16 gets no further than 0.5."""
    p = jnp.ones((), jnp.bfloat16)
    for tx, expected in ((optax.params_ema(0.999, debias=False), 1 - 0.999**5000), (optax.params_mean(), 1.0)):
        start = tx.init(jnp.zeros((), jnp.bfloat16))
        state, _ = jax.lax.scan(lambda s, _, tx=tx: (tx.update(jnp.zeros_like(p), s, p)[1], None), start, length=5000)
        assert state.average.dtype == jnp.float32
        np.testing.assert_allclose(state.average, expected, rtol=1e-4)
        assert optax.eval_params(state, p).dtype == jnp.bfloat16


@pytest.mark.parametrize(("start", "every", "counted"), [(0, 1, range(10)), (2, 3, [2, 5, 8]), (9, 4, [9])])
def test_the_mean_is_of_every_nth_from_the_start(start: int, every: int, counted: Any) -> None:
    tx = optax.params_mean(start, every)
    path, state = path_of(tx, jnp.zeros(3), map(jnp.float32, steps(10)))
    np.testing.assert_allclose(state.average, np.mean([path[i] for i in counted], axis=0), rtol=1e-5, atol=1e-6)
    assert int(state.terms) == len(counted)


def test_what_is_not_counted_does_not_enter() -> None:
    """Parameters that are infinite before the mean begins leave no NaN in it."""
    tx = optax.params_mean(start=1)
    _, state = tx.update(jnp.float32(jnp.inf), tx.init(jnp.float32(1)), jnp.float32(1))
    _, state = tx.update(jnp.float32(1), state, jnp.float32(1))
    assert float(state.average) == 2


def test_the_average_is_of_what_apply_updates_leaves() -> None:
    """1 + 0.001 is 1 in bfloat16."""
    params, u = jnp.ones(2, jnp.bfloat16), jnp.full(2, 1e-3, jnp.float32)
    for tx in (optax.params_ema(0.5), optax.params_mean()):
        passed, state = tx.update(u, tx.init(params), params)
        assert passed is u
        assert np.all(np.asarray(state.average) == 1)


@pytest.mark.parametrize("tx", [optax.params_ema(0.9), optax.params_ema(0.9, False), optax.params_mean(start=5)])
def test_before_there_is_an_average_the_parameters_are_it(tx: Any) -> None:
    params = jnp.asarray([3.0, jnp.pi])
    assert np.array_equal(optax.eval_params(tx.init(params), params), params)


def test_integers_are_not_averaged() -> None:
    params = {"w": jnp.ones(2), "steps": jnp.int32(7), "none": None}
    gradient = jax.grad(lambda p: jnp.sum(p["w"]), allow_int=True)(params)
    for tx in (optax.params_ema(0.9), optax.params_ema(0.9, False), optax.params_mean()):
        state = tx.init(params)
        assert state.average["steps"] == optax.MaskedNode()
        _, state = tx.update(gradient, state, params)
        averaged = optax.eval_params(state, params)
        assert averaged["steps"].dtype == jnp.int32
        assert int(averaged["steps"]) == 7
        assert averaged["none"] is None


def test_the_dtype_of_the_average() -> None:
    params = {"low": jnp.ones(2, jnp.float16), "z": jnp.full(2, 1j, jnp.complex64), "number": 1.5}
    for tx in (optax.params_ema(0.9), optax.params_ema(0.9, False), optax.params_mean()):
        state = tx.init(params)
        assert {k: str(x.dtype) for k, x in state.average.items()} == {
            "low": "float32",
            "z": "complex64",
            "number": "float32",
        }
        averaged = optax.eval_params(tx.update(params, state, params)[1], params)
        assert averaged["low"].dtype == jnp.float16
    in_16_bits = optax.params_mean(accumulator_dtype=jnp.bfloat16).init(params).average
    assert (in_16_bits["low"].dtype, in_16_bits["z"].dtype) == (jnp.bfloat16, jnp.complex64)


def halves(params: Any) -> Any:
    return {"layer": "ema", "head": "mean"}


EMA = optax.params_ema(0.5)
PLACES = {
    "chain": optax.chain(optax.sgd(1.0), optax.chain(EMA)),
    "named_chain": optax.named_chain(("descend", optax.sgd(1.0)), ("average", EMA)),
    "partition": optax.partition(
        {"ema": optax.chain(optax.sgd(1.0), EMA), "mean": optax.chain(optax.sgd(1.0), optax.params_mean())}, halves
    ),
    "apply_if_finite": optax.apply_if_finite(optax.chain(optax.sgd(1.0), EMA), 3),
    "conditionally": optax.conditionally_transform(optax.chain(optax.sgd(1.0), EMA), lambda step, **_: step >= 0),
    "MultiSteps": optax.MultiSteps(optax.chain(optax.sgd(1.0), EMA), 1),
    "master_weights": optax.master_weights(optax.chain(optax.sgd(1.0), EMA)),
}


@pytest.mark.parametrize("place", PLACES)
def test_averages_are_found_anywhere(place: str) -> None:
    """By hand: p - g, and p - 2g twice as heavy, or as heavy in the mean."""
    tx = PLACES[place]
    params, state = PARAMS, tx.init(PARAMS)
    gradient = jax.tree.map(jnp.ones_like, PARAMS)
    for _ in range(2):
        updates, state = tx.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    averaged = jax.jit(optax.eval_params)(state, params)
    np.testing.assert_allclose(averaged["layer"]["w"], 1 - 5 / 3, rtol=1e-6)
    np.testing.assert_allclose(averaged["head"], 2 - (3 / 2 if place == "partition" else 5 / 3), rtol=1e-6)


def test_parameters_without_an_average_stay() -> None:
    tx = optax.chain(optax.sgd(1.0), optax.masked(EMA, {"layer": {"w": True, "b": False}, "head": False}))
    state = tx.init(PARAMS)
    _, state = tx.update(PARAMS, state, PARAMS)
    averaged = optax.eval_params(state, jax.tree.map(lambda p: p + 10, PARAMS))
    assert np.all(np.asarray(averaged["layer"]["w"]) == 0)
    assert np.all(np.asarray(averaged["layer"]["b"]) == 10)
    assert np.all(np.asarray(averaged["head"]) == 12)


class StateOfSomeone(NamedTuple):
    """A third party's state: all that it takes is the method."""

    slow: Any

    def eval_params(self, params: Any) -> Any:
        return self.slow


def test_a_state_of_another_library_takes_part() -> None:
    ours = optax.masked(EMA, {"layer": False, "head": True}).init(PARAMS)
    none = optax.MaskedNode()
    theirs = StateOfSomeone({"layer": {"w": jnp.full((2, 2), 5.0), "b": none}, "head": none})
    averaged = optax.eval_params((ours, {"theirs": theirs}), PARAMS)
    assert np.all(np.asarray(averaged["layer"]["w"]) == 5)
    assert averaged["layer"]["b"] is PARAMS["layer"]["b"]


def test_mistakes_are_named() -> None:
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"nothing in this state averages.*params_ema\(\.\.\.\)"):
        optax.eval_params(optax.adam(0.1).init(params), params)
    twice = optax.chain(EMA, optax.lookahead(optax.chain(optax.sgd(0.1), optax.params_mean()), 2, 0.5)).init(params)
    names = r"at \['w'\]: ParamsEmaState at state\[0\], and LookaheadState at state\[1\]"
    with pytest.raises(ValueError, match=names):
        optax.eval_params(twice, params)
    with pytest.raises(ValueError, match=r"LookaheadState at state, and ParamsMeanState at state\.fast_state"):
        optax.eval_params(twice[1], params)
    with pytest.raises(ValueError, match=r"differ in shape at \['w'\]: \(3,\) and \(2,\).*StateOfSomeone"):
        optax.eval_params(StateOfSomeone({"w": jnp.ones(3)}), params)
    with pytest.raises(ValueError, match=r"an average at \['v'\], where params has no leaf"):
        optax.eval_params(StateOfSomeone({"v": jnp.ones(2)}), params)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: optax.params_ema(1.0), ValueError, "decay must be at least 0 and below 1, not 1.0"),
        (lambda: optax.params_ema("0.9"), TypeError, "decay must be a real number or a schedule"),
        (lambda: optax.params_mean(start=-1), ValueError, "start must be at least 0, not -1"),
        (lambda: optax.params_mean(every=0), ValueError, "every must be at least 1, not 0"),
        (lambda: optax.params_mean(every=1.5), TypeError, "every must be an integer, not 1.5"),
    ],
)
def test_arguments_that_cannot_be_meant(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


TRANSFORMATIONS = [
    optax.params_ema(0.9),
    optax.params_ema(0.9, debias=False),
    optax.params_mean(),
    optax.lookahead(optax.sgd(0.1), 2, 0.5),
    optax.schedule_free_adamw(),
    optax.schedule_free_sgd(b1=0.0),
    optax.master_weights(optax.adam(0.1)),
]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("tx", TRANSFORMATIONS, ids=repr)
def test_parameters_and_state_can_be_donated(tx: Any, dtype: Any) -> None:
    """Defect G4: a state that shares a buffer with the parameters cannot be given away along with them."""

    def step(params: Any, state: Any) -> Any:
        updates, state = tx.update(params, state, params)
        return optax.apply_updates(params, updates), state

    params = {"w": jnp.ones(3, dtype)}
    params, state = jax.jit(step, donate_argnums=(0, 1))(params, tx.init(params))
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))


@pytest.mark.parametrize("tx", TRANSFORMATIONS, ids=repr)
def test_init_needs_no_values(tx: Any) -> None:
    """Defect G5: `init` works on shapes and dtypes."""
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(3)}
    form = jax.tree.map(lambda x: (x.shape, x.dtype), tx.init(params))
    abstract = tx.init(jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract) == form


@pytest.mark.parametrize("tx", TRANSFORMATIONS, ids=repr)
def test_the_parts_like_the_parameters_can_be_mapped(tx: Any) -> None:
    params = {"w": jnp.ones(3), "steps": jnp.int32(1)}
    state = tx.init(params)
    marked = optax.tree.map_params(tx, lambda leaf, p: "as " + str(p.shape), state, params)
    marks = [x for x in jax.tree.leaves(marked) if isinstance(x, str)]
    assert marks.count("as (3,)") == sum(x.shape == (3,) for x in jax.tree.leaves(state))

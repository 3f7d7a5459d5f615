"""Fast weights that look ahead, and slow ones that follow."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import apply_updates


def by_hand(start: Any, gradients: Any, rate: float, period: int, alpha: float) -> tuple[list[Any], list[Any]]:
    """The fast and the slow weights after each step of gradient descent, in NumPy."""
    fast, slow = [np.asarray(start, np.float64)], [np.asarray(start, np.float64)]
    for t, g in enumerate(gradients, 1):
        phi = fast[-1] - rate * np.asarray(g)
        theta = slow[-1]
        if t % period == 0:
            theta = theta + alpha * (phi - theta)
            phi = theta
        fast.append(phi)
        slow.append(theta)
    return fast[1:], slow[1:]


def gradients(number: int = 10) -> list[Any]:
    return list(np.random.default_rng(0).normal(size=(number, 3)).astype(np.float32))


START = np.asarray([1.0, 0.0, -2.0], np.float32)


@pytest.mark.parametrize(("period", "alpha"), [(1, 0.5), (3, 0.5), (4, 0.1), (2, 1.0), (2, 0.0)])
def test_both_sets_of_weights(period: int, alpha: float) -> None:
    tx = optax.lookahead(optax.sgd(0.1), period, alpha)
    params = jnp.asarray(START)
    state = tx.init(params)
    for g, fast, slow in zip(gradients(), *by_hand(START, gradients(), 0.1, period, alpha), strict=True):
        updates, state = tx.update(jnp.asarray(g), state, params)
        params = apply_updates(params, updates)
        np.testing.assert_allclose(params, fast, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(optax.eval_params(state, params), slow, rtol=1e-5, atol=1e-6)


def test_both_sets_of_weights_as_parameters() -> None:
    """The original's form. Its state has no slow weights, and its slow updates are zero in between."""
    tx = optax.lookahead(optax.sgd(0.1), 3, 0.5)
    params = optax.LookaheadParams.init_synced({"w": jnp.asarray(START)})
    state = tx.init(params)
    assert state == optax.LookaheadState(tx.init(params).fast_state, state.steps_since_sync)
    for t, (g, fast, slow) in enumerate(zip(gradients(), *by_hand(START, gradients(), 0.1, 3, 0.5), strict=True), 1):
        updates, state = tx.update({"w": jnp.asarray(g)}, state, params)
        assert isinstance(updates, optax.LookaheadParams)
        assert np.any(np.asarray(updates.slow["w"]) != 0) == (t % 3 == 0)
        params = apply_updates(params, updates)
        np.testing.assert_allclose(params.fast["w"], fast, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(params.slow["w"], slow, rtol=1e-5, atol=1e-6)
        assert int(state.steps_since_sync) == t % 3
    chosen = optax.eval_params(state, params)
    assert jax.tree.structure(chosen) == jax.tree.structure(params)
    for weights in chosen:
        assert np.array_equal(weights["w"], params.slow["w"])


def test_a_state_made_without_slow_parameters_takes_them_later() -> None:
    """The original's `init` accepts the fast parameters alone; `update` then gets both."""
    tx = optax.lookahead(optax.sgd(0.1), 1, 0.5)
    params = optax.LookaheadParams.init_synced(jnp.asarray(START))
    updates, state = tx.update(jnp.ones(3), tx.init(params.fast), params)
    np.testing.assert_allclose(updates.slow, -0.05, rtol=1e-5)
    assert np.array_equal(optax.eval_params(state, params).fast, params.slow)


WRAPPED = {
    "MultiSteps": lambda tx: optax.MultiSteps(tx, 1),
    "chain": lambda tx: optax.chain(optax.add_decayed_weights(0.0), tx),
    "apply_if_finite": lambda tx: optax.apply_if_finite(tx, 2),
    "masked": lambda tx: optax.masked(tx, True),
    "partition": lambda tx: optax.partition({"all": tx}, "all"),
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_it_goes_wherever_an_optimizer_goes(wrapper: str) -> None:
    """Defect B8 and issue #1429: the slow weights are in the state, so nobody else has to know of them."""
    tx = WRAPPED[wrapper](optax.lookahead(optax.sgd(0.1), 2, 0.5))
    params = jnp.asarray(START)
    state = tx.init(params)
    step = jax.jit(tx.update)
    fast, slow = by_hand(START, gradients(), 0.1, 2, 0.5)
    for g in gradients():
        updates, state = step(jnp.asarray(g), state, params)
        params = apply_updates(params, updates)
    np.testing.assert_allclose(params, fast[-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(optax.eval_params(state, params), slow[-1], rtol=1e-5, atol=1e-6)


class OddState(NamedTuple):
    moment: Any
    flag: Any
    key: Any
    start: Any


def odd_optimizer() -> optax.GradientTransformation:
    """Its state has a moment, a flag, a typed random key, and the parameters that it was started with."""

    def init(params: Any) -> OddState:
        moment = jax.tree.map(jnp.zeros_like, params)
        return OddState(moment, jnp.asarray(True), jax.random.key(0), jax.tree.map(jnp.copy, params))

    def update(updates: Any, state: OddState, params: Any = None) -> Any:
        moment = jax.tree.map(jnp.add, state.moment, updates)
        return moment, OddState(moment, jnp.asarray(False), jax.random.split(state.key)[0], state.start)

    return optax.GradientTransformation(init, update)


def test_a_reset_leaves_nothing_behind() -> None:
    """Defect B8: a NaN does not survive a reset, a flag stays a boolean, a typed key is no obstacle."""
    tx = optax.lookahead(odd_optimizer(), 2, 0.5, reset_state=True)
    params = jnp.ones(2)
    first = state = tx.init(params)
    step = jax.jit(tx.update)
    for value in (jnp.nan, 1.0):
        before, (_, state) = state, step(jnp.full(2, value), state, params)
    assert np.isnan(before.fast_state.moment).all()
    assert not before.fast_state.flag
    assert np.all(np.asarray(state.fast_state.moment) == 0)
    assert state.fast_state.flag.dtype == jnp.bool_
    assert state.fast_state.flag
    assert state.fast_state.key == first.fast_state.key


def test_a_reset_starts_from_the_synchronized_weights() -> None:
    """By hand: 1 + 1 is 2, half way from 1 is 1.5."""
    for params in (jnp.ones(2), optax.LookaheadParams.init_synced(jnp.ones(2))):
        tx = optax.lookahead(odd_optimizer(), 1, 0.5, reset_state=True)
        _, state = tx.update(jnp.ones(2), tx.init(params), params)
        assert np.all(np.asarray(state.fast_state.start) == 1.5)


def test_without_a_reset_the_state_goes_on() -> None:
    tx = optax.lookahead(optax.trace(0.5), 1, 0.5)
    state = tx.init(jnp.ones(2))
    for expected in (1.0, 1.5, 1.75):
        _, state = tx.update(jnp.ones(2), state, jnp.ones(2))
        assert np.all(np.asarray(state.fast_state.trace) == expected)


def test_extra_arguments_reach_the_optimizer() -> None:
    """Defect B8."""

    def update(updates: Any, state: Any, params: Any = None, *, factor: Any, **extra_args: Any) -> Any:
        return jax.tree.map(lambda g: factor * g, updates), state

    inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.lookahead(inner, 2, 0.5)
    updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)), jnp.ones(2), factor=3.0, another=None)
    assert np.all(np.asarray(updates) == 3)


def test_the_dtype_of_the_slow_weights_resolves_their_step() -> None:
    params = {"w": jnp.ones(2, jnp.bfloat16), "steps": jnp.int32(3)}
    for alpha, dtype in ((0.5, jnp.bfloat16), (0.001, jnp.float32)):
        slow = optax.lookahead(optax.sgd(0.1), 2, alpha).init(params).slow_params
        assert slow["w"].dtype == dtype
        assert slow["steps"] == optax.MaskedNode()


def test_synchronized_parameters_have_buffers_of_their_own() -> None:
    """Defect G4: equal weights that share a buffer cannot be donated."""
    params = optax.LookaheadParams.init_synced({"w": jnp.ones(2), "n": 3})
    assert params.slow["n"] == 3
    doubled = jax.jit(lambda p: jax.tree.map(lambda x: 2 * x, p), donate_argnums=0)(params)
    assert np.all(np.asarray(doubled.fast["w"]) == np.asarray(doubled.slow["w"]))


def test_mistakes_are_named() -> None:
    both = optax.LookaheadParams.init_synced(jnp.ones(2))
    tx = optax.lookahead(optax.sgd(0.1), 2, 0.5)
    with pytest.raises(ValueError, match="this state has no slow weights"):
        tx.update(jnp.ones(2), tx.init(both), both.fast)
    with pytest.raises(ValueError, match="pass the LookaheadParams"):
        optax.eval_params(tx.init(both), both.fast)
    with pytest.raises(ValueError, match="params must not be None"):
        tx.update(jnp.ones(2), tx.init(both.fast))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((0, 0.5), ValueError, "sync_period must be at least 1, not 0"),
        ((2.5, 0.5), TypeError, r"sync_period must be an integer, not 2\.5"),
        ((2, 1.5), ValueError, r"slow_step_size must be at least 0 and at most 1, not 1\.5"),
        ((2, -0.5), ValueError, r"slow_step_size must be at least 0 and at most 1, not -0\.5"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        optax.lookahead(optax.sgd(0.1), *arguments)

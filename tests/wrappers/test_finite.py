"""apply_if_finite: what does not let NaN and infinity into the parameters."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

NAN, INF = float("nan"), float("inf")


def run(tx: Any, gradients: Any) -> tuple[list[float], list[Any]]:
    """The updates and the states of one run."""
    state, step = tx.init(jnp.float32(0)), jax.jit(tx.update)
    updates, states = [], []
    for g in gradients:
        u, state = step(jnp.float32(g), state)
        updates.append(float(u))
        states.append(state)
    return updates, states


def test_bad_steps_are_skipped_and_counted() -> None:
    """Up to two in a row; the third is applied, and so is every one after it until one is good.

    Defect B7: the count of bad steps in a row went on after giving up.
    """
    gradients = [1, NAN, 1, NAN, INF, 1, NAN, -INF, NAN, INF, 1, NAN, 1]
    updates, states = run(optax.apply_if_finite(optax.scale(-1.0), 2), gradients)
    np.testing.assert_array_equal(updates, [-1, 0, -1, 0, 0, -1, 0, 0, NAN, -INF, -1, 0, -1])
    assert [int(s.notfinite_count) for s in states] == [0, 1, 0, 1, 2, 0, 1, 2, 3, 3, 0, 1, 0]
    assert [int(s.total_notfinite) for s in states] == [0, 1, 1, 2, 3, 3, 4, 5, 6, 7, 7, 8, 8]
    assert [bool(s.last_finite) for s in states] == [bool(np.isfinite(g)) for g in gradients]


def test_the_inner_state_stays_until_giving_up() -> None:
    updates, states = run(optax.apply_if_finite(optax.trace(0.5), 1), [1, NAN, 1, NAN, NAN, 1])
    np.testing.assert_array_equal([s.inner_state.trace for s in states], [1, 1, 1.5, 1.5, NAN, NAN])
    np.testing.assert_array_equal(updates, [1, 0, 1.5, 0, NAN, NAN])
    assert int(states[-1].notfinite_count) == 2  # the gradient is fine, the update is not


def inverse() -> Any:
    """u = 1 / g, and a count of the calls: a finite gradient of 0 gives an infinite update."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(lambda g: 1 / g, updates), state + 1

    return optax.GradientTransformation(lambda params: jnp.zeros([], jnp.int32), update)


def test_what_comes_out_is_looked_at_too() -> None:
    """Defect B7: an infinity that the inner transformation makes passed, uncounted."""
    updates, states = run(optax.apply_if_finite(inverse(), 1), [2, 0, 4, 0, 0, 4])
    assert updates == [0.5, 0, 0.25, 0, INF, 0.25]
    assert [int(s.notfinite_count) for s in states] == [0, 1, 0, 1, 2, 0]
    assert [int(s.inner_state) for s in states] == [1, 1, 2, 2, 3, 4]


def test_or_not_and_then_no_second_state_is_held() -> None:
    tx = optax.apply_if_finite(inverse(), 1, check_updates=False)
    updates, states = run(tx, [2, 0, NAN])
    assert updates == [0.5, INF, 0]
    assert [int(s.notfinite_count) for s in states] == [0, 0, 1]

    def room(tx: Any) -> int:
        state = jax.eval_shape(tx.init, jnp.ones((256, 256)))
        step = jax.jit(lambda state, g: tx.update(g, state)[::-1], donate_argnums=0)
        return int(step.lower(state, jnp.ones((256, 256))).compile().memory_analysis().temp_size_in_bytes)

    one_slot = 4 * 256 * 256
    assert room(optax.apply_if_finite(optax.trace(0.9), 1, check_updates=False)) < one_slot / 2
    assert room(optax.apply_if_finite(optax.trace(0.9), 1)) < one_slot / 2
    sorting = optax.chain(optax.trace(0.9), optax.stateless(lambda u, p: jnp.sort(u)))  # more than arithmetic
    assert one_slot < room(optax.apply_if_finite(sorting, 1)) < 3.5 * one_slot


def test_an_update_too_large_for_the_gradients_dtype_is_bad() -> None:
    tx = optax.apply_if_finite(optax.scale(1e6), 1)
    u, state = tx.update(jnp.float16(1), tx.init(jnp.float16(1)))
    assert float(u) == 0
    assert int(state.notfinite_count) == 1


def test_none_is_skipped_if_none_may_be() -> None:
    updates, _ = run(optax.apply_if_finite(optax.scale(1.0), 0), [NAN, 1, INF])
    np.testing.assert_array_equal(updates, [NAN, 1, INF])


def test_bad_gradients_never_reach_the_inner_transformation() -> None:
    calls = []

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    inner = optax.GradientTransformation(optax.init_empty_state, update)
    run(optax.apply_if_finite(inner, 5), [1, NAN, INF, 2])
    jax.effects_barrier()
    assert len(calls) == 2


def test_gradients_of_another_dtype_than_the_parameters() -> None:
    """Defect A9: TypeError for bfloat16 gradients of float32 parameters."""
    tx = optax.apply_if_finite(optax.adam(0.1), 3)
    params = jnp.ones(2)
    for g in (jnp.ones(2, jnp.bfloat16), jnp.full(2, NAN, jnp.bfloat16)):
        u, state = jax.jit(tx.update)(g, tx.init(params), params)
        assert u.dtype == jnp.bfloat16
        assert optax.tree.get(state, "mu").dtype == jnp.float32


def test_flags_and_keys_in_the_inner_state() -> None:
    """The choice is a select, which leaves every dtype as it is."""
    start = {"key": jax.random.key(0), "flag": jnp.asarray(True)}

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return updates, {"key": jax.random.split(state["key"])[0], "flag": ~state["flag"]}

    tx = optax.apply_if_finite(optax.GradientTransformation(lambda params: start, update), 3)
    for g, key, flag in ((1, jax.random.split(start["key"])[0], False), (NAN, start["key"], True)):
        _, state = jax.jit(tx.update)(jnp.float32(g), tx.init(jnp.float32(0)))
        assert state.inner_state["key"] == key
        assert state.inner_state["flag"].dtype == bool
        assert bool(state.inner_state["flag"]) is flag


@pytest.mark.parametrize("axis_name", [None, "d", ("d",)])
def test_devices_decide_alone_or_together(axis_name: Any) -> None:
    """Defects B7, G2: inside `shard_map` and carried by a scan; the second device meets a NaN on the second step."""
    from jax.sharding import PartitionSpec as P

    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = optax.apply_if_finite(optax.trace(0.5), 3, axis_name=axis_name)

    @functools.partial(shard_map, mesh=mesh, in_specs=(P("d"), P(None, "d")), out_specs=(P("d"), P("d")))
    def train(p: Any, gradients: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            p, state = carry
            u, state = tx.update(g, state, p)
            return (optax.apply_updates(p, u), state), None

        (p, state), _ = jax.lax.scan(step, (p, tx.init(p)), gradients)
        return p, state.total_notfinite[None]

    p, bad = jax.jit(train)(jnp.zeros(2), jnp.asarray([[1.0, 1.0], [1.0, NAN], [1.0, 1.0]]))
    alone = 1 + 1.5 + 1.75  # without a NaN
    np.testing.assert_allclose(p, [alone if axis_name is None else 2.5, 2.5])
    np.testing.assert_array_equal(bad, [0 if axis_name is None else 1, 1])


def test_a_mapped_axis_can_decide_together_too() -> None:
    tx = optax.apply_if_finite(optax.scale(1.0), 3, axis_name="batch")
    u, _ = jax.vmap(lambda g: tx.update(g, tx.init(g)), axis_name="batch")(jnp.asarray([1.0, NAN]))
    np.testing.assert_array_equal(u, [0, 0])


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "max_consecutive_errors must be at least 0, not -1"),
        (1.5, TypeError, r"max_consecutive_errors must be an integer, not 1\.5"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(value: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.apply_if_finite(optax.scale(1.0), value)


def test_never_giving_up() -> None:
    tx = optax.apply_if_finite(optax.scale(1.0), 2**40)
    state = tx.init(jnp.float32(0))._replace(notfinite_count=jnp.int32(2**31 - 2))
    u, state = tx.update(jnp.float32(NAN), state)
    assert float(u) == 0
    assert int(state.notfinite_count) == 2**31 - 1

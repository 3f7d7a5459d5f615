"""MultiSteps: one step for several gradients."""

import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64


def run(tx: Any, gradients: Any, params: Any = None, **extra_args: Any) -> tuple[list[Any], list[Any]]:
    """The updates and the states of one run, the initial state first."""
    state = tx.init(gradients[0] if params is None else params)
    step = jax.jit(tx.update)
    updates, states = [], [state]
    for g in gradients:
        u, state = step(g, state, params, **extra_args)
        updates.append(u)
        states.append(state)
    return updates, states


def scalars(*values: float) -> list[jax.Array]:
    return [jnp.float32(x) for x in values]


def growing(gradient_step: Any) -> Any:
    """1, 2, 3, ... as float32, the way schedules return it."""
    return jnp.asarray(gradient_step, jnp.float32) + 1


def test_the_mean_of_k_gradients_goes_into_one_step() -> None:
    """By hand: means 1.5 and 3.5, and 3.5 + 0.9 * 1.5 = 4.85 with momentum."""
    tx = optax.MultiSteps(optax.sgd(1.0, momentum=0.9), 2)
    updates, states = run(tx, scalars(1, 2, 3, 4))
    np.testing.assert_allclose(updates, [0, -1.5, 0, -4.85], rtol=1e-6)
    assert [int(s.mini_step) for s in states] == [0, 1, 0, 1, 0]
    assert [int(s.gradient_step) for s in states] == [0, 0, 1, 1, 2]
    assert [bool(tx.has_updated(s)) for s in states] == [False, False, True, False, True]


def test_or_their_sum() -> None:
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), 3, use_grad_mean=False), scalars(1, 2, 3, 4, 5, 6))
    np.testing.assert_array_equal(updates, [0, 0, -6, 0, 0, -15])


@pytest.mark.parametrize("k", [2, 5, 8])
def test_the_mean_is_that_of_numpy(k: int) -> None:
    gradients = np.random.default_rng(0).normal(size=(k, 100)).astype(np.float32)
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), k), jnp.asarray(gradients))
    np.testing.assert_allclose(updates[-1], -gradients.astype(np.float64).mean(0), rtol=1e-5, atol=1e-7)


def test_k_may_follow_the_steps_made() -> None:
    """Steps after 1, 2 and 3 gradients, of their means; a number of any dtype is rounded, and never below 1."""
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), growing), scalars(1, 2, 4, 5, 6, 7))
    np.testing.assert_array_equal(updates, [-1, 0, -3, 0, 0, -6])
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), lambda step: jnp.float32(1.9999)), scalars(1, 2))
    np.testing.assert_array_equal(updates, [0, -1.5])
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), lambda step: -3), scalars(1, 2))
    np.testing.assert_array_equal(updates, [-1, -2])


def test_a_nan_spoils_one_step_only() -> None:
    """Defect B1: one NaN in the buffer stayed there for ever."""
    gradients = scalars(float("nan"), 1, 1, 1, 1, 1, 1, 1)
    updates, states = run(optax.MultiSteps(optax.apply_if_finite(optax.sgd(1.0), 10), 2), gradients)
    np.testing.assert_array_equal(updates, [0, 0, 0, -1, 0, -1, 0, -1])
    assert np.isfinite(states[-1].acc_grads)
    assert int(states[-1].inner_opt_state.total_notfinite) == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_steps_under_way_are_zeros(bad: float) -> None:
    """Defect B2: a NaN or an infinity came through on a step that was to be zeros."""
    g = {"x": jnp.asarray([bad, 1.0], jnp.bfloat16), "y": jnp.asarray(bad, jnp.float32)}
    (u, *_), _ = run(optax.MultiSteps(optax.adam(1.0), 4), [g])
    assert (u["x"].dtype, u["y"].dtype) == (jnp.bfloat16, jnp.float32)
    assert u["x"].tolist() == [0, 0]
    assert float(u["y"]) == 0


def test_the_inner_transformation_runs_once_for_k_gradients() -> None:
    """Defect B3: it ran for each of them."""
    calls = []

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        jax.debug.callback(lambda: calls.append(1))
        return updates, state

    tx = optax.MultiSteps(optax.GradientTransformation(optax.init_empty_state, update), 4)
    run(tx, scalars(*range(9)))
    jax.effects_barrier()
    assert len(calls) == 2


def test_nothing_is_copied_for_the_steps_under_way() -> None:
    """Defect B3, B4: with its state donated, the step needs no room for another accumulator, or another state."""
    params = [jnp.ones((256, 256)), jnp.ones((256, 256))]
    tx = optax.MultiSteps(optax.adam(1.0), 8)
    state = jax.eval_shape(tx.init, params)
    step = jax.jit(lambda state, g: tx.update(g, state)[::-1], donate_argnums=0)
    memory = step.lower(state, params).compile().memory_analysis()
    assert memory.temp_size_in_bytes < params[0].nbytes / 4
    assert memory.alias_size_in_bytes >= 6 * params[0].nbytes  # two moments and the accumulator, of both


def large_operations(f: Any, *args: Any) -> list[str]:
    return [e.primitive.name for e in jax.make_jaxpr(f)(*args).eqns if any(v.aval.shape for v in e.outvars)]


def test_one_gradient_a_step_is_the_inner_transformation() -> None:
    """Defect B4: a buffer and its arithmetic for nothing."""
    inner, params = optax.adamw(0.1), {"x": jnp.ones((3, 4)), "y": jnp.ones(3)}
    tx = optax.MultiSteps(inner, 1)
    assert tx.init(params).acc_grads == ()
    assert large_operations(tx.update, params, tx.init(params), params) == large_operations(
        inner.update, params, inner.init(params), params
    )
    updates, states = run(tx, [params, params], params)
    expected, _ = run(inner, [params, params], params)
    jax.tree.map(np.testing.assert_array_equal, updates, expected)
    assert [int(s.gradient_step) for s in states] == [0, 1, 2]
    assert [bool(tx.has_updated(s)) for s in states] == [False, True, True]


NO_LARGE = functools.partial(optax.skip_large_updates, max_squared_norm=10.0)


@pytest.mark.parametrize("should_skip", [optax.skip_not_finite, NO_LARGE])
def test_trees_without_leaves_can_be_judged(should_skip: Any) -> None:
    """Defect B5: `skip_not_finite` crashed on them."""
    (u, *_), states = run(optax.MultiSteps(optax.sgd(1.0), 2, should_skip_update_fn=should_skip), [{}, {}])
    assert u == {}
    assert not states[-1].skip_state["should_skip"]
    assert int(states[-1].gradient_step) == 1


def test_gradients_that_are_not_finite_can_be_left_out() -> None:
    """The mean is that of the others; the answers are those of the original 0.2.8."""
    tx = optax.MultiSteps(optax.sgd(1.0), 2, should_skip_update_fn=optax.skip_not_finite)
    gradients = [jnp.asarray(g, jnp.float32) for g in ([1, 2], [np.nan, 1], [3, np.inf], [4, 4], [np.nan, np.inf])]
    updates, states = run(tx, gradients)
    np.testing.assert_array_equal(updates, [[0, 0], [0, 0], [0, 0], [-2.5, -3], [0, 0]])
    assert [int(s.mini_step) for s in states] == [0, 1, 1, 1, 0, 0]
    assert [int(s.skip_state["num_not_finite"]) for s in states] == [0, 0, 1, 1, 0, 2]
    assert [bool(s.skip_state["should_skip"]) for s in states] == [False, False, True, True, False, True]
    assert [bool(tx.has_updated(s)) for s in states] == [False, False, False, False, True, False]


def test_gradients_that_are_too_large_can_be_left_out() -> None:
    gradients = [jnp.asarray(g, jnp.float32) for g in ([1, 2], [3, 1], [np.nan, 0], [1, 1])]
    updates, states = run(optax.MultiSteps(optax.sgd(1.0), 2, should_skip_update_fn=NO_LARGE), gradients)
    np.testing.assert_array_equal(updates[-1], [-1, -1.5])  # 10 is not below 10
    np.testing.assert_array_equal([s.skip_state["norm_squared"] for s in states], [0, 5, 10, np.nan, 2])


def test_one_gradient_a_step_can_be_left_out_too() -> None:
    tx = optax.MultiSteps(optax.trace(0.5), 1, should_skip_update_fn=optax.skip_not_finite)
    updates, states = run(tx, scalars(1, np.nan, 1))
    np.testing.assert_array_equal(updates, [1, 0, 1.5])
    assert [int(s.gradient_step) for s in states] == [0, 1, 1, 2]


@pytest.mark.parametrize("k", [np.int64(2), jnp.int32(2), np.uint8(2)])
def test_any_integer_will_do(k: Any) -> None:
    """Defect B6."""
    updates, _ = run(optax.MultiSteps(optax.sgd(1.0), k), scalars(1, 2))
    np.testing.assert_array_equal(updates, [0, -1.5])
    assert optax.MultiSteps(optax.sgd(1.0), k) == optax.MultiSteps(optax.sgd(1.0), 2)


@pytest.mark.parametrize(
    ("k", "error", "message"),
    [
        (0, ValueError, "every_k_schedule must be at least 1, not 0"),
        (-1, ValueError, "every_k_schedule must be at least 1, not -1"),
        (2.0, TypeError, r"every_k_schedule must be an integer, not 2\.0"),
        ("2", TypeError, "every_k_schedule must be an integer, not '2'"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(k: Any, error: Any, message: str) -> None:
    """Defect B6: 0 was taken, and never made a step."""
    with pytest.raises(error, match=message):
        optax.MultiSteps(optax.sgd(1.0), k)


def test_k_can_be_swept_over() -> None:
    def last(k: Any) -> Any:
        tx = optax.MultiSteps(optax.sgd(1.0), k)
        state = tx.init(jnp.float32(0))
        for g in scalars(1, 2, 3):
            u, state = tx.update(g, state)
        return u

    np.testing.assert_array_equal(jax.vmap(last)(jnp.asarray([1, 2, 3])), [-3, 0, -2])


def test_float64_is_accumulated_as_such() -> None:
    """Defect A13: in float32 the middle one of 1, 1e-9, 1 is lost."""
    with enable_x64():
        gradients = [jnp.asarray(g, jnp.float64) for g in (1.0, 1e-9, 1.0)]
        updates, states = run(optax.MultiSteps(optax.sgd(1.0), 3, use_grad_mean=False), gradients)
        assert states[0].acc_grads.dtype == jnp.float64
        np.testing.assert_allclose(updates[-1], -2.000000001, rtol=1e-14)
        updates, _ = run(optax.MultiSteps(optax.sgd(1.0), 3), gradients)
        np.testing.assert_allclose(updates[-1], -2.000000001 / 3, rtol=1e-14)


def test_complex_gradients_stay_complex() -> None:
    """Defect A14: the imaginary parts of all but the last were dropped."""
    gradients = [jnp.asarray(g, jnp.complex64) for g in ([1 + 1j, 2 + 2j], [1 + 1j, 2 + 2j])]
    for dtype in (None, jnp.float32):
        tx = optax.MultiSteps(optax.sgd(1.0), 2, accumulator_dtype=dtype)
        updates, _ = run(tx, gradients)
        np.testing.assert_array_equal(updates[-1], [-1 - 1j, -2 - 2j])


def test_16_bits_are_accumulated_in_32() -> None:
    """In bfloat16 the sum of 300 ones is 256."""
    gradients = [jnp.ones(2, jnp.bfloat16)] * 300
    wide = optax.MultiSteps(optax.sgd(1.0), 300, use_grad_mean=False)
    narrow = optax.MultiSteps(optax.sgd(1.0), 300, use_grad_mean=False, accumulator_dtype=jnp.bfloat16)
    assert run(wide, gradients)[0][-1].tolist() == [-300, -300]
    assert run(narrow, gradients)[0][-1].tolist() == [-256, -256]


def test_a_mean_in_16_bits_does_not_overflow() -> None:
    tx = optax.MultiSteps(optax.sgd(1.0), 4, accumulator_dtype=jnp.float16)
    assert run(tx, [jnp.asarray(60000, jnp.float16)] * 4)[0][-1] == -60000


def test_the_mean_goes_in_at_the_precision_of_the_accumulator() -> None:
    """Defect A9, and 1 + 2**-9 which is no bfloat16: times 512, minus 512, it is 1."""
    seen = []

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        seen.append(updates.dtype)
        return 512 * updates - 512, state

    tx = optax.MultiSteps(optax.GradientTransformation(optax.init_empty_state, update), 2)
    gradients = [jnp.asarray(g, jnp.bfloat16) for g in (1.0, 1 + 2**-8 + 2**-8)]
    for params in (jnp.ones([]), jnp.ones([], jnp.bfloat16)):
        updates, states = run(tx, gradients, params)
        assert float(updates[-1]) == 2
        assert updates[-1].dtype == jnp.bfloat16
        assert states[-1].acc_grads.dtype == jnp.float32
    assert set(seen) == {jnp.dtype("float32")}


def test_the_last_step_that_can_be_counted() -> None:
    """Defect A16."""
    tx = optax.MultiSteps(optax.sgd(1.0), growing)
    state = tx.init(jnp.ones(2))._replace(gradient_step=jnp.int32(2**31 - 1), mini_step=jnp.int32(2**31 - 2))
    u, state = jax.jit(tx.update)(jnp.ones(2), state)
    u, state = jax.jit(tx.update)(jnp.ones(2), state)
    assert int(state.gradient_step) == 2**31 - 1
    assert np.all(np.isfinite(u))


def test_extra_arguments_are_those_of_the_last_gradient() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any, **extra_args: Any) -> Any:
        return updates * value, state

    tx = optax.MultiSteps(optax.GradientTransformationExtraArgs(optax.init_empty_state, update), 2)
    state = tx.init(jnp.float32(0))
    _, state = tx.update(jnp.float32(1), state, value=jnp.float32(5))
    u, _ = tx.update(jnp.float32(3), state, value=jnp.float32(7))
    assert float(u) == 14


def test_it_is_a_transformation_and_a_value() -> None:
    tx = optax.MultiSteps(optax.adam(0.1), 4, accumulator_dtype="bfloat16")
    assert repr(tx) == ("optax.wrappers.MultiSteps(optax.optimizers.adam(0.1), 4, accumulator_dtype='bfloat16')")
    assert isinstance(tx, optax.GradientTransformationExtraArgs)
    assert tx.gradient_transformation() is tx
    assert tx.inner_opt == optax.adam(0.1)
    again = pickle.loads(pickle.dumps(tx))
    assert isinstance(again, optax.MultiSteps)
    assert again == tx == optax.MultiSteps(optax.adam(0.1), every_k_schedule=4, accumulator_dtype="bfloat16")
    assert hash(again) == hash(tx)
    assert tx != optax.MultiSteps(optax.adam(0.1), 5, accumulator_dtype="bfloat16")
    chained = optax.chain(optax.clip_by_global_norm(1.0), tx)
    assert int(optax.tree.get(chained.init(jnp.ones(2)), "gradient_step")) == 0


def test_states_are_built_by_position() -> None:
    state = optax.MultiSteps(optax.sgd(1.0), 2).init(jnp.ones(2))
    assert optax.MultiStepsState(*state) == state
    assert optax.MultiStepsState(0, 0, (), ()).skip_state == ()


def test_devices_may_leave_out_different_gradients() -> None:
    """Defect G2: inside `shard_map`, carried by a scan whose carry must not change its type."""
    from jax.sharding import PartitionSpec as P

    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))

    def train(p: Any, gradients: Any, tx: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            p, state = carry
            u, state = tx.update(g, state, p)
            return (optax.apply_updates(p, u), state), None

        return jax.lax.scan(step, (p, tx.init(p)), gradients)[0][0]

    def together(updates: Any, gradient_step: Any, params: Any) -> Any:
        bad = jax.lax.psum(jnp.sum(~jnp.isfinite(updates), dtype=jnp.int32), "d")
        return bad > 0, {"bad": bad}

    gradients = jnp.asarray([[1.0, np.nan], [3.0, 2.0], [5.0, 4.0]])
    for should_skip, expected in ((None, [-2, np.nan]), (optax.skip_not_finite, [-2, -3]), (together, [-4, -3])):
        tx = optax.MultiSteps(optax.sgd(1.0, 0.9), 2, should_skip_update_fn=should_skip)
        run = shard_map(functools.partial(train, tx=tx), mesh=mesh, in_specs=(P("d"), P(None, "d")), out_specs=P("d"))
        np.testing.assert_array_equal(run(jnp.zeros(2), gradients), expected)

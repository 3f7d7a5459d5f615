"""Transformations that act on some steps only."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

NAN, INF = float("nan"), float("inf")


def every_other(step: Any) -> Any:
    return step % 2 == 0


def total() -> Any:
    """u = the sum of all gradients so far."""
    return optax.GradientTransformation(jnp.zeros_like, lambda g, s, params=None: (g + s, g + s))


def run(tx: Any, gradients: Any, **extra_args: Any) -> tuple[list[float], list[Any]]:
    """The updates and the states of one run; each extra argument is a list with one value a step."""
    state, step = tx.init(jnp.float32(0)), jax.jit(tx.update)
    updates, states = [], []
    for i, g in enumerate(gradients):
        u, state = step(jnp.float32(g), state, **{name: jnp.float32(x[i]) for name, x in extra_args.items()})
        updates.append(float(u))
        states.append(state)
    return updates, states


CONDITIONALS = [
    (optax.conditionally_transform, [1, 1, 1.5, 1]),
    (optax.conditionally_mask, [1, 0, 1.5, 0]),
    (optax.maybe_update, [1, 1, 1.5, 1]),
]


@pytest.mark.parametrize(("wrapper", "expected"), CONDITIONALS)
def test_a_condition_on_the_step(wrapper: Any, expected: Any) -> None:
    """Elsewhere the updates pass, or are zeros, and the inner state waits."""
    updates, states = run(wrapper(optax.trace(0.5), every_other), [1, 1, 1, 1])
    assert updates == expected
    assert [float(s.inner_state.trace) for s in states] == [1, 1, 1.5, 1.5]
    assert [int(s.step) for s in states] == [1, 2, 3, 4]


@pytest.mark.parametrize(("wrapper", "expected"), CONDITIONALS[:2])
def test_a_condition_on_extra_arguments(wrapper: Any, expected: Any) -> None:
    def falls(step: Any, *, value: Any, **extra_args: Any) -> Any:
        return value < 0

    updates, _ = run(wrapper(optax.trace(0.5), falls, forward_extra_args=True), [1] * 4, value=[-1, 1, -1, 1])
    assert updates == expected


@pytest.mark.parametrize(("wrapper", "expected"), CONDITIONALS)
def test_extra_arguments_go_to_the_inner_transformation_only_if_not_asked(wrapper: Any, expected: Any) -> None:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any) -> Any:
        return updates * value, state

    inner = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    assert run(wrapper(inner, lambda step: True), [1, 2], value=[3, 4])[0] == [3, 8]


@pytest.mark.parametrize(("wrapper", "expected"), CONDITIONALS)
@pytest.mark.parametrize("condition", [True, False])
def test_gradients_of_another_dtype_than_the_parameters(wrapper: Any, expected: Any, condition: bool) -> None:
    """Defect A9: TypeError for bfloat16 gradients of float32 parameters."""
    tx = wrapper(optax.adam(0.1), lambda step: step == (0 if condition else 1))
    params = jnp.ones(2)
    u, state = jax.jit(tx.update)(jnp.ones(2, jnp.bfloat16), tx.init(params), params)
    assert u.dtype == jnp.bfloat16
    assert optax.tree.get(state, "mu").dtype == jnp.float32


def test_the_step_stays_at_the_largest_number() -> None:
    """Defect A16."""
    for wrapper, _ in CONDITIONALS:
        tx = wrapper(optax.trace(0.5), every_other)
        state = tx.init(jnp.float32(0))._replace(step=jnp.int32(2**31 - 1))
        assert int(tx.update(jnp.float32(1), state)[1].step) == 2**31 - 1


def test_the_older_state_is_built_by_name() -> None:
    assert optax.MaybeUpdateState(inner_state=(), step=3)._fields == ("inner_state", "step")
    assert optax.ConditionallyMaskState(3, ()).inner_state == ()


# skip_if

ORDINARY = [1.0, 2.0, 1.0, 2.0]  # mean 1.5, deviation 0.5


def skipping(**options: Any) -> Any:
    return optax.skip_if(total(), **{"sigmas": 3.0, "window": 4, "min_observations": 4, **options})


def test_outliers_are_skipped() -> None:
    """The bound is 1.5 + 3 * 0.5 = 3; a norm has no sign."""
    updates, states = run(skipping(), [*ORDINARY, -3.125, 3.0, 3.25])
    assert updates == [1, 3, 4, 6, 0, 9, 12.25]  # 3.0 has widened the bound: mean 2, deviation 0.707
    assert [int(s.total_skips) for s in states] == [0, 0, 0, 0, 1, 1, 1]
    assert [int(s.consecutive_skips) for s in states] == [0, 0, 0, 0, 1, 0, 0]
    assert [int(s.observed) for s in states] == [1, 2, 3, 4, 4, 4, 4]
    np.testing.assert_array_equal(states[-1].values, [1, 2, 3, 3.25])


def test_no_judgement_before_there_are_enough_observations() -> None:
    updates, _ = run(skipping(min_observations=3), [1, 1, 100, 1])
    assert updates[2] == 102
    updates, _ = run(skipping(min_observations=2), [1, 1, 100, 1])
    assert updates[2] == 0
    updates, _ = run(skipping(min_observations=None), [1, 1, 100, 1])  # half the window
    assert updates[2] == 0


def test_what_is_not_finite_is_always_skipped_and_never_counts() -> None:
    updates, states = run(skipping(max_consecutive=0), [NAN, INF, *ORDINARY, -INF, NAN, 2])
    assert updates == [0, 0, 1, 3, 4, 6, 0, 0, 8]
    assert int(states[-1].total_skips) == 4
    assert [int(s.consecutive_skips) for s in states] == [0] * 9
    np.testing.assert_array_equal(states[-1].values, [2, 1, 2, 2])


def test_a_level_that_has_shifted_is_taken_over() -> None:
    """After two outliers the third is applied, and the statistic begins with it; a NaN between does not matter."""
    updates, states = run(skipping(max_consecutive=2), [*ORDINARY, 50, NAN, 60, 70, 1000, 70, 70, 90])
    assert [u != 0 for u in updates] == [True] * 4 + [False] * 3 + [True] * 5
    assert [int(s.consecutive_skips) for s in states[4:8]] == [1, 1, 2, 0]
    assert [int(s.observed) for s in states[6:]] == [4, 1, 2, 3, 4, 4]
    np.testing.assert_array_equal(states[7].values[-1], 70)


def test_the_window_forgets() -> None:
    """100 is ordinary while an earlier 100 is remembered, and no more once four ones have followed it."""
    jumps = [1, 100, 1, 100]
    assert run(skipping(), [*jumps, 100])[0][-1] != 0
    assert run(skipping(), [*jumps, 1, 1, 1, 100])[0][-1] != 0
    assert run(skipping(), [*jumps, 1, 1, 1, 1, 100])[0][-1] == 0


def naive(values: Any, sigmas: float, window: int, enough: int, most: int) -> list[bool]:
    """The rule of the docstring with Python lists: which steps are made."""
    known: list[float] = []
    row, made = 0, []
    for x in values:
        m, s = (np.mean(known), np.std(known)) if known else (0.0, 0.0)
        if not np.isfinite(x):
            made.append(False)
            continue
        outlier = len(known) >= enough and x > m + sigmas * s
        if outlier and row < most:
            row += 1
            made.append(False)
            continue
        known = [*([] if outlier else known)[1 - window :], float(x)]
        row = 0
        made.append(True)
    return made


def test_the_rule_is_that_of_the_docstring() -> None:
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=300)).astype(np.float32)
    values[rng.integers(0, 300, 20)] = NAN
    values[150:] += 40
    options = {"sigmas": 1.5, "window": 10, "min_observations": 5, "max_consecutive": 3}
    updates, _ = run(optax.skip_if(optax.scale(1.0), **options), values)
    made = naive(values, 1.5, 10, 5, 3)
    assert [u != 0 for u in updates] == made
    assert 20 < made.count(False) < 150


def test_small_deviations_of_large_numbers() -> None:
    """The mean square less the square of the mean would be lost in rounding: 10000.5, give or take 0.5."""
    tx = optax.skip_if(optax.scale(1.0), window=8, sigmas=4.0)
    gradients = [10000, 10001] * 4
    assert run(tx, [*gradients, 10002])[0][-1] == 10002
    assert run(tx, [*gradients, 10003])[0][-1] == 0


def test_the_loss_can_be_measured() -> None:
    updates, _ = run(skipping(measure="value"), [1] * 6, value=[-1.5, -1, -1.5, -1, 5, -40])
    assert updates == [1, 2, 3, 4, 0, 5]  # below the mean nothing is an outlier
    tx = skipping(measure="value")
    with pytest.raises(ValueError, match=r"call update\(updates, state, params, value=loss\)"):
        tx.update(jnp.float32(1), tx.init(jnp.float32(0)))


def test_anything_can_be_measured() -> None:
    def weighed(updates: Any, params: Any, *, weight: Any, **extra_args: Any) -> Any:
        return weight * updates.astype(jnp.float16)

    tx = optax.skip_if(optax.scale(1.0), weighed, window=2)
    state = tx.init(jnp.float32(0))
    made = []
    for g, weight in ((1, 1), (3, 1), (3, 3)):
        u, state = tx.update(jnp.float32(g), state, weight=jnp.float16(weight))
        made.append(bool(u))
    assert made == [True, False, False]
    assert state.values.dtype == jnp.float32
    shape = optax.skip_if(optax.scale(1.0), lambda updates, params: updates)
    with pytest.raises(ValueError, match=r"measure must return a scalar, not an array of shape \(2,\)"):
        shape.update(jnp.ones(2), shape.init(jnp.ones(2)))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sigmas": -1.0}, ValueError, r"sigmas must be at least 0, not -1\.0"),
        ({"window": 1}, ValueError, "window must be at least 2, not 1"),
        ({"window": 8.0}, TypeError, r"window must be an integer, not 8\.0"),
        ({"window": 8, "min_observations": 9}, ValueError, "min_observations must be at most the window of 8, not 9"),
        ({"max_consecutive": -1}, ValueError, "max_consecutive must be at least 0, not -1"),
        ({"measure": "loss"}, TypeError, 'measure must be "norm", "value" or a function, not \'loss\''),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.skip_if(optax.scale(1.0), **options)


@pytest.mark.parametrize("together", [False, True])
def test_devices_judge_alone_unless_the_measure_reduces(together: bool) -> None:
    """Defect G2: inside `shard_map`, carried by a scan whose carry must not change its type."""
    from jax.sharding import PartitionSpec as P

    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))

    def measure(updates: Any, params: Any, **extra_args: Any) -> Any:
        return jax.lax.pmax(jnp.max(updates), "d") if together else jnp.max(updates)

    tx = optax.skip_if(optax.scale(1.0), measure, window=2)

    @functools.partial(shard_map, mesh=mesh, in_specs=(P("d"), P(None, "d")), out_specs=P("d"))
    def train(p: Any, gradients: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            p, state = carry
            u, state = tx.update(g, state, p)
            return (optax.apply_updates(p, u), state), None

        return jax.lax.scan(step, (p, tx.init(p)), gradients)[0][0]

    p = jax.jit(train)(jnp.zeros(2), jnp.asarray([[1.0, 1.0], [1.0, 9.0], [1.0, 1.0]]))
    np.testing.assert_array_equal(p, [2, 2] if together else [3, 2])

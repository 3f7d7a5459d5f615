"""What only aggregation over the elements of a batch promises."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import tree

PARAMS = {"b": jnp.zeros(()), "n": None, "w": jnp.zeros((3, 2))}
SIZE = 4


def batch(i: int, *axes: int, dtype: str = "float32") -> Any:
    """Updates of single elements, by default of SIZE of them."""
    return tree.random_like(jax.random.key(i), tree.batch_shape(PARAMS, axes or (SIZE,)), dtype=dtype)


def naive(batches: list[Any]) -> tuple[Any, Any]:
    """The mean over all elements and the sum of squared distances from it, in double precision."""
    wide = np.complex128 if np.iscomplexobj(jax.tree.leaves(batches)[0]) else np.float64
    every = jax.tree.map(lambda *x: np.concatenate([np.asarray(y).astype(wide) for y in x]), *batches)
    mean = jax.tree.map(lambda x: x.mean(0), every)
    return mean, jax.tree.map(lambda x, m: (np.abs(x - m) ** 2).sum(0), every, mean)


def close(a: Any, b: Any, rtol: float = 1e-5) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(np.asarray(x).astype(np.complex128), y, rtol=rtol, atol=1e-6)


def steps(tx: Any, updates: list[Any], params: Any = PARAMS) -> tuple[list[Any], Any]:
    """The outputs of jitted steps, and the last state."""
    state, outputs, update = tx.init(params), [], jax.jit(tx.update)
    for u in updates:
        out, state = update(u, state, params)
        outputs.append(out)
    return outputs, state


def zero(t: Any) -> bool:
    return not any(np.any(np.asarray(x)) for x in jax.tree.leaves(t))


def test_mean_over_the_elements() -> None:
    (mean,), _ = steps(optax.average_per_element_updates(), [batch(0)])
    close(mean, naive([batch(0)])[0])


@pytest.mark.parametrize("axes", [(0, 1), [1, 0], (-2, -3)])
def test_the_elements_may_lie_along_several_axes(axes: Any) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 3, 5))
    expected = np.asarray(x, np.float64).mean(tuple(axes))
    mean, _ = optax.average_per_element_updates(axes).update(x, optax.EmptyState())
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
    assert optax.get_batch_size_from_per_elt_updates({"x": x}, axes) == np.prod([x.shape[a] for a in axes])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_means_are_taken_in_float32(dtype: str) -> None:
    """Defect A1: in 16 bits the sum of 4096 ones is not 4096, or infinite."""
    x = jnp.full(4096, 30.0, dtype)
    mean, _ = optax.average_per_element_updates().update(x, optax.EmptyState())
    assert (mean, mean.dtype) == (30, dtype)
    (mean, aux), _ = optax.get_per_element_mean_and_sum_sq_diff_grads().update(x, optax.EmptyState())
    assert (mean, mean.dtype) == (30, dtype)
    assert (aux["sum_sq_diff_grads"], aux["sum_sq_diff_grads"].dtype) == (0, jnp.float32)


def test_the_batch_size() -> None:
    assert optax.get_batch_size_from_per_elt_updates(batch(0), 0) == SIZE
    assert optax.get_batch_size_from_per_elt_updates({}, 0) == 0
    with pytest.raises(ValueError, match=r"it is 3 at \['a'\] and 4 at \['b'\]\[0\]"):
        optax.get_batch_size_from_per_elt_updates({"a": jnp.ones(3), "b": [jnp.ones((4, 2))]}, 0)
    with pytest.raises(
        ValueError, match=r"per_elt_axis is 1, but the leaf of the updates at \['a'\] has the shape \(3,\)"
    ):
        optax.get_batch_size_from_per_elt_updates({"a": jnp.ones(3)}, 1)


@pytest.mark.parametrize(
    "tx",
    [
        optax.average_per_element_updates(),
        optax.average_incrementally_updates(0, 2),
        optax.get_per_element_mean_and_sum_sq_diff_grads(),
        optax.get_per_element_mean_and_sum_sq_diff_grads(0, 2),
        optax.add_mean_variance_to_opt(optax.sgd(0.1)),
    ],
    ids=repr,
)
def test_every_aggregator_checks_the_batch_size(tx: Any) -> None:
    params = {"a": jnp.ones(()), "b": jnp.ones(2)}
    with pytest.raises(ValueError, match="the leaves of the updates must have the same number of elements"):
        tx.update({"a": jnp.ones(3), "b": jnp.ones((4, 2))}, tx.init(params), params)


def test_mean_of_several_updates() -> None:
    updates = [jax.tree.map(lambda x: x[0], batch(i)) for i in range(6)]
    outputs, state = steps(optax.accumulate_avg_updates(3), updates)
    assert [zero(out) for out in outputs] == [True, True, False] * 2
    close(outputs[2], naive([tree.batch_shape(u, (1,)) for u in updates[:3]])[0])
    close(outputs[5], naive([tree.batch_shape(u, (1,)) for u in updates[3:]])[0])
    assert (state.micro_step, state.ready) == (0, True)
    assert zero(state.avg_grad)


def test_mean_of_several_batches() -> None:
    outputs, state = steps(optax.average_incrementally_updates(0, 2), [batch(i) for i in range(4)])
    assert [zero(out) for out in outputs] == [True, False] * 2
    close(outputs[3], naive([batch(2), batch(3)])[0])
    assert state[1].ready


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_what_is_not_finite_is_reported_once(bad: float) -> None:
    """Defects B1 and B2 have their like here: a reset by multiplication keeps a NaN for ever, and spreads it."""
    series = [(1.0, bad), (2.0, 4.0)]
    tx = optax.process(optax.identity(), optax.accumulate_avg_updates(2), optax.scale(1.0))
    outputs, _ = steps(tx, [jnp.full(2, x) for x in itertools.chain(*series)], jnp.ones(2))
    assert [bool(jnp.all(jnp.isfinite(u))) for u in outputs] == [True, False, True, True]
    assert outputs[3][0] == 3
    tx = optax.get_per_element_mean_and_sum_sq_diff_grads(0, 2)
    outputs, _ = steps(tx, [jnp.asarray([[x, x]]) for x in itertools.chain(*series)], jnp.ones(2))
    assert zero(outputs[2])
    mean, aux = outputs[3]
    np.testing.assert_array_equal(mean, 3)
    np.testing.assert_array_equal(aux["sum_sq_diff_grads"], 2)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_squared_distances_from_the_mean(count: int, dtype: str) -> None:
    """A complex leaf has real ones, |g - mean|^2; in the original they are complex squares."""
    params = tree.cast(PARAMS, dtype)
    batches = [tree.add(batch(i, dtype=dtype), tree.full_like(batch(0, dtype=dtype), 3 * i)) for i in range(count)]
    outputs, _ = steps(optax.get_per_element_mean_and_sum_sq_diff_grads(0, count), batches, params)
    for mean, aux in outputs[:-1]:
        assert zero(mean)
        assert zero(aux)
    mean, aux = outputs[-1]
    expected_mean, expected_squares = naive(batches)
    close(mean, expected_mean)
    close(aux["sum_sq_diff_grads"], expected_squares)
    assert aux["sample_size"] == count * SIZE
    assert aux["sample_size"].dtype == jnp.int32
    assert all(jnp.isrealobj(x) for x in jax.tree.leaves(aux))


def test_squared_distances_far_from_zero() -> None:
    """With a mean of 1e4 the difference of sums of squares would have no correct digit in float32."""
    x = 1e4 + np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    outputs, _ = steps(optax.get_per_element_mean_and_sum_sq_diff_grads(0, 3), [jnp.asarray(y) for y in x], jnp.ones(2))
    close(outputs[-1][1]["sum_sq_diff_grads"], naive(list(x))[1], rtol=1e-2)


@pytest.mark.parametrize("count", [1, 2])
def test_tracked_mean_and_variance(count: int) -> None:
    """The naive averages, one term for each complete series of batches."""
    decay, rounds = 0.8, 3
    batches = [batch(i) for i in range(count * rounds)]
    tx = optax.add_mean_variance_to_opt(optax.sgd(0.5), decay, 0, count)
    assert isinstance(tx, optax.Aggregator)
    outputs, state = steps(tx, batches)
    mean_ema = variance_ema = jax.tree.map(lambda x: np.zeros(x.shape), PARAMS)
    weight = 0.0
    for i in range(rounds):
        mean, squares = naive(batches[i * count : (i + 1) * count])
        close(outputs[(i + 1) * count - 1], jax.tree.map(lambda m: -0.5 * m, mean))
        mean_ema = jax.tree.map(lambda a, m: decay * a + (1 - decay) * m, mean_ema, mean)
        variance_ema = jax.tree.map(
            lambda a, s: decay * a + (1 - decay) * s / (count * SIZE - 1), variance_ema, squares
        )
        weight = decay * weight + (1 - decay)
    unbiased = optax.get_unbiased_mean_and_variance_ema(state)
    close(unbiased[0], jax.tree.map(lambda a: a / weight, mean_ema))
    close(unbiased[1], jax.tree.map(lambda a: a / weight, variance_ema))
    assert state[2][0].count == rounds


def test_the_optimizer_waits_for_the_aggregator() -> None:
    tx = optax.process(optax.scale(2.0), optax.average_incrementally_updates(0, 2), optax.trace(0.5))
    state, seen = tx.init(jnp.zeros(())), []
    for x in (1.0, 3.0, 5.0, jnp.nan):
        before = state[2]
        u, state = tx.update(jnp.full(SIZE, x), state)
        seen.append(float(u))
        assert bool(state[1][1].ready) or state[2] == before
    np.testing.assert_array_equal(seen, [0, 4, 0, jnp.nan])


def test_what_an_aggregator_returns_beside_the_updates_reaches_the_optimizer() -> None:
    seen: list[Any] = []

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        seen.append(extra_args)
        return updates, state

    spy = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.process(spy, optax.get_per_element_mean_and_sum_sq_diff_grads(), spy, aggregator_has_aux=True)
    tx.update(batch(0), tx.init(PARAMS), PARAMS, value=1.0)
    assert [{*extra_args} for extra_args in seen] == [{"value"}, {"value", "sum_sq_diff_grads", "sample_size"}]


def test_what_comes_out_of_an_aggregator_between_two_transformations() -> None:
    """An aggregator if there is one in it, and it can begin a chain."""
    tx = optax.process(optax.identity(), optax.average_per_element_updates(), optax.scale(2.0))
    assert isinstance(tx, optax.Aggregator)
    tx = optax.process(optax.identity(), optax.accumulate_avg_updates(2), optax.scale(2.0))
    assert not isinstance(tx, optax.Aggregator)
    assert isinstance(optax.average_incrementally_updates(0, 2), optax.Aggregator)
    assert not isinstance(optax.average_incrementally_updates(None, 2), optax.Aggregator)
    tx = optax.chain(optax.average_per_element_updates(), optax.sgd(1.0))
    updates, _ = tx.update(batch(0), tx.init(PARAMS), value=1)
    close(updates, jax.tree.map(lambda m: -m, naive([batch(0)])[0]))


def test_a_single_step_needs_no_memory() -> None:
    for tx in (optax.accumulate_avg_updates(1), optax.get_per_element_mean_and_sum_sq_diff_grads(0, 1)):
        assert tx.init(PARAMS) == optax.EmptyState()


@pytest.mark.parametrize(("params_dtype", "dtype"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_statistics_are_kept_in_float32(params_dtype: str, dtype: str) -> None:
    """Defects A8 and A9: the state keeps its dtypes whatever those of parameters and gradients are."""
    params = tree.cast(PARAMS, params_dtype)
    tx = optax.add_mean_variance_to_opt(optax.adam(0.1), 0.9, 0, 2)
    state = tx.init(params)
    floating = [
        x for part in (state[1], state[2][0]) for x in jax.tree.leaves(part) if jnp.issubdtype(x.dtype, jnp.floating)
    ]
    assert {x.dtype for x in floating} == {jnp.dtype("float32")}
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *[batch(i, dtype=dtype) for i in range(4)])

    def step(s: Any, g: Any) -> Any:
        updates, s = tx.update(g, s, params)
        return s, updates

    after, updates = jax.lax.scan(step, state, stacked)
    assert [x.dtype for x in jax.tree.leaves(after)] == [x.dtype for x in jax.tree.leaves(state)]
    assert {u.dtype for u in jax.tree.leaves(updates)} == {jnp.dtype(dtype)}


def test_a_sample_of_one_has_no_variance() -> None:
    """Where the original divides by zero."""
    tx = optax.add_mean_variance_to_opt(optax.sgd(0.1))
    _, state = steps(tx, [batch(0, 1), batch(1, 1)])
    mean, variance = optax.get_unbiased_mean_and_variance_ema(state)
    assert zero(variance)
    assert not zero(mean)


def test_batches_and_trees_without_anything() -> None:
    """Defect D8 has its like here: the original cannot tell the batch size of an empty tree, and 0/0 is NaN."""
    (mean,), _ = steps(optax.average_per_element_updates(), [batch(0, 0)])
    assert zero(mean)
    for count in (1, 2):
        tx = optax.add_mean_variance_to_opt(optax.adam(0.1), 0.9, 0, count)
        outputs, state = steps(tx, [batch(0, 0)] * 2)
        assert zero(outputs)
        assert zero(optax.get_unbiased_mean_and_variance_ema(state))
        outputs, _ = steps(tx, [{}, {}], {})
        assert outputs == [{}, {}]


def test_integer_parameters_have_no_statistics() -> None:
    """Defect F8."""
    params = {"n": jnp.arange(3), "w": jnp.ones(2)}
    loss = jax.grad(lambda p, x: x * jnp.sum(p["w"]), allow_int=True)
    gradients = jax.vmap(loss, (None, 0))(params, jnp.asarray([1.0, 2.0]))
    tx = optax.add_mean_variance_to_opt(optax.sgd(1.0), accumulation_steps=2)
    state = tx.init(params)
    for _ in range(2):
        updates, state = tx.update(gradients, state, params)
    assert (updates["n"].dtype, updates["n"].shape) == (jax.dtypes.float0, (3,))
    np.testing.assert_array_equal(updates["w"], -1.5)


def test_averages_before_the_first_update() -> None:
    state = optax.track_per_element_mean_and_variance_with_ema().init(PARAMS)
    assert zero(optax.get_unbiased_mean_and_variance_ema(state))


def test_the_decay_in_the_state_is_the_one_that_counts() -> None:
    tx = optax.track_per_element_mean_and_variance_with_ema(0.9)
    state = tree.set(tx.init(jnp.zeros(())), ema_decay=0.5)
    _, state = tx.update(jnp.ones(()), state, sum_sq_diff_grads=jnp.asarray(4.0), sample_size=3)
    assert (state.mean_grads_ema, state.variance_grads_ema) == (0.5, 1.0)
    assert optax.get_unbiased_mean_and_variance_ema(state) == (1.0, 2.0)


def test_averages_are_found_in_any_state() -> None:
    track = optax.track_per_element_mean_and_variance_with_ema()
    with pytest.raises(ValueError, match="there is no PerElementMeanAndVarianceEMAState in the state"):
        optax.get_unbiased_mean_and_variance_ema(optax.adam(0.1).init(PARAMS))
    with pytest.raises(KeyError, match="2 values go by the name"):
        optax.get_unbiased_mean_and_variance_ema((track.init(PARAMS), track.init(PARAMS)))
    with pytest.raises(ValueError, match="update needs sum_sq_diff_grads= and sample_size="):
        track.update(PARAMS, track.init(PARAMS))


@pytest.mark.parametrize(
    "make",
    [
        optax.accumulate_avg_updates,
        lambda k: optax.average_incrementally_updates(0, k),
        lambda k: optax.get_per_element_mean_and_sum_sq_diff_grads(0, k),
        lambda k: optax.add_mean_variance_to_opt(optax.sgd(0.1), 0.9, 0, k),
    ],
)
def test_numbers_of_steps_that_cannot_be_meant(make: Any) -> None:
    with pytest.raises(ValueError, match="accumulation_steps must be at least 1, not 0"):
        make(0)
    with pytest.raises(TypeError, match=r"accumulation_steps must be an integer, not 1\.5"):
        make(1.5)
    assert make(np.int64(2)).init(PARAMS) is not None


def test_other_arguments_that_cannot_be_meant() -> None:
    with pytest.raises(TypeError, match="per_elt_axis must be an integer or a sequence of them, not None"):
        optax.average_per_element_updates(None)
    with pytest.raises(ValueError, match="ema_decay must be at least 0 and below 1, not 1"):
        optax.track_per_element_mean_and_variance_with_ema(1)
    with pytest.raises(TypeError, match="postprocessor must be a transformation, not"):
        optax.process(optax.identity(), optax.identity(), optax.adam)

"""What only sharpness-aware minimisation promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

import optax
from compilations import Jitted

CURVATURE = np.asarray([1.0, 4.0, 0.5])


def gradient(p: Any, i: int = 0) -> Any:
    """Of the sum of CURVATURE * p^2 / 2 and a little p^4."""
    return jax.tree.map(lambda x: jnp.asarray(CURVATURE, x.dtype) * x + x * x * x / 4, p)


def recording(sink: list[Any], step: float) -> Any:
    """Plain descent that notes the parameters and the extra arguments it is given."""

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        sink.append((params, extra_args))
        return jax.tree.map(lambda g: -step * g, updates), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def test_two_calls_make_one_step() -> None:
    rho, rate = 0.3, 0.1
    p = np.asarray([1.0, -0.5, 2.0])
    tx = optax.sam(optax.sgd(rate), optax.chain(optax.normalize(), optax.sgd(rho)))
    x = jnp.asarray(p, jnp.float32)
    state = tx.init(x)
    for _ in range(5):
        g = CURVATURE * p + p**3 / 4
        q = p + rho * g / np.linalg.norm(g)
        p = p - rate * (CURVATURE * q + q**3 / 4)
        for expected in (q, p):
            u, state = tx.update(gradient(x), state, x)
            x = optax.apply_updates(x, u)
            np.testing.assert_allclose(x, expected, rtol=1e-5)


ADVERSARIES = {"ascent": optax.chain(optax.normalize(), optax.sgd(0.2)), "momentum": optax.sgd(0.05, momentum=0.5)}


@pytest.mark.parametrize("reset_state", [True, False])
@pytest.mark.parametrize("adversary", ADVERSARIES.values(), ids=ADVERSARIES)
@pytest.mark.parametrize("sync_period", [1, 2, 4])
def test_both_modes_take_the_same_steps(sync_period: int, adversary: Any, reset_state: bool) -> None:
    optimizer = optax.adamw(0.05, weight_decay=0.1)
    one_by_one = optax.sam(optimizer, adversary, sync_period, reset_state)
    at_once = optax.sam(optimizer, adversary, sync_period, reset_state, opaque_mode=True)
    p = q = jnp.asarray([1.0, -0.5, 2.0])
    s, t = one_by_one.init(p), at_once.init(q)
    assert t.cache is None
    single, whole = jax.jit(one_by_one.update), jax.jit(at_once.update, static_argnames="grad_fn")
    for _ in range(3):
        for call in range(sync_period):
            assert int(s.steps_since_sync) == call
            u, s = single(gradient(p), s, p)
            p = optax.apply_updates(p, u)
        v, t = whole(gradient(q), t, q, grad_fn=gradient)
        q = optax.apply_updates(q, v)
        np.testing.assert_allclose(p, q, rtol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(s.adv_state), jax.tree.leaves(t.adv_state), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
        assert reset_state or sync_period == 1 or np.all(np.asarray(ours) != 0)
        assert not reset_state or np.all(np.asarray(ours) == 0)


def test_a_period_of_one_is_the_optimizer_alone() -> None:
    """The original descends from the point before the last."""
    optimizer = optax.sgd(0.1, momentum=0.9)
    tx = optax.sam(optimizer, optax.sgd(0.5), sync_period=1)
    p = q = jnp.asarray([1.0, -0.5, 2.0])
    s, t = tx.init(p), optimizer.init(q)
    for _ in range(4):
        u, s = tx.update(gradient(p), s, p)
        v, t = optimizer.update(gradient(q), t, q)
        p, q = optax.apply_updates(p, u), optax.apply_updates(q, v)
        np.testing.assert_allclose(p, q, rtol=1e-6)


def test_each_optimizer_sees_its_own_point_and_every_extra_argument() -> None:
    """Defect B9: any extra argument was an error."""
    climbing: list[Any] = []
    descending: list[Any] = []
    tx = optax.chain(
        optax.sam(recording(descending, 0.1), recording(climbing, 0.5)), optax.reduce_on_plateau(patience=3)
    )
    p = jnp.asarray([1.0, 2.0])
    state = tx.init(p)
    points = []
    for step in range(4):
        points.append(np.asarray(p))
        u, state = tx.update(p, state, p, value=1.0 + step)
        p = optax.apply_updates(p, u)
    # Nothing is computed of the one whose turn it is not; the descent starts from the point before the climb.
    for seen, expected in ((climbing, points[::2]), (descending, points[::2])):
        np.testing.assert_allclose([at for at, _ in seen], expected, rtol=1e-6)
    assert [extra["value"] for _, extra in climbing] == [1.0, 3.0]
    assert [extra["value"] for _, extra in descending] == [2.0, 4.0]


def test_the_opaque_mode_passes_the_point_and_its_number() -> None:
    climbing: list[Any] = []
    descending: list[Any] = []
    asked: list[Any] = []

    def grad_fn(q: Any, i: int) -> Any:
        asked.append((float(q), i))
        return q

    tx = optax.sam(recording(descending, 0.1), recording(climbing, 1.0), sync_period=3, opaque_mode=True)
    p = jnp.float32(1.0)
    u, _ = tx.update(p, tx.init(p), p, grad_fn=grad_fn, value=3.0)
    assert asked == [(2.0, 0), (4.0, 1)]
    assert [(float(q), extra) for q, extra in climbing] == [(1.0, {"value": 3.0}), (2.0, {"value": 3.0})]
    assert [(float(q), extra) for q, extra in descending] == [(1.0, {"value": 3.0})]
    np.testing.assert_allclose(u, -0.4, rtol=1e-6)


def test_what_the_other_side_computes_is_never_seen() -> None:
    """Defect B9: a NaN came through `c * a + (1 - c) * b`, and a boolean or a random key did not survive it."""

    def init(params: Any) -> Any:
        return {"flag": jnp.asarray(True), "key": jax.random.key(0), "sum": jnp.zeros(3)}

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        key, use = jax.random.split(state["key"])
        noise = 1e-3 * jax.random.normal(use, (3,))
        total = state["sum"] + updates
        return -0.1 * updates + noise, {"flag": ~state["flag"], "key": key, "sum": total}

    odd = optax.GradientTransformation(init, update)
    tx = optax.sam(odd, optax.chain(optax.zero_nans(), odd))
    p = jnp.asarray([1.0, -0.5, 2.0])
    first = state = tx.init(p)
    step = Jitted(tx.update)
    u, state = step(jnp.full(3, jnp.nan, p.dtype), state, p)  # climbs without that gradient
    assert np.all(np.isfinite(np.asarray(u)))
    q = optax.apply_updates(p, u)
    assert bool(state.opt_state["flag"])
    assert not bool(state.adv_state[1]["flag"])
    u, state = step(gradient(q), state, q)
    p = optax.apply_updates(q, u)
    assert np.all(np.isfinite(np.asarray(p)))
    assert not bool(state.opt_state["flag"])
    assert bool(state.adv_state[1]["flag"])  # reset
    assert jnp.issubdtype(state.opt_state["key"].dtype, jax.dtypes.prng_key)
    assert jax.tree.structure(state) == jax.tree.structure(first)
    assert step.traces == 1


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_comes_back_to_the_point_it_left(dtype: Any) -> None:
    """The difference of two numbers within a factor of 2 has no more digits than they."""
    rng = np.random.default_rng(0)
    p = jnp.asarray(rng.choice([-1, 1], 500) * rng.uniform(0.5, 2, 500), dtype)
    tx = optax.sam(optax.sgd(1e-2), optax.sgd(0.1))
    state = tx.init(p)
    assert state.cache.dtype == dtype
    u, state = tx.update(jnp.asarray(rng.uniform(-1, 1, 500), dtype), state, p)
    q = optax.apply_updates(p, u)
    g = jnp.asarray(rng.normal(size=500), dtype)
    u, state = tx.update(g, state, q)
    plain, _ = optax.sgd(1e-2).update(g, optax.sgd(1e-2).init(p))
    assert u.dtype == dtype
    np.testing.assert_array_equal(optax.apply_updates(q, u), optax.apply_updates(p, plain))


def test_stationary_points_stay_finite() -> None:
    """Defect D9: the usual adversary divided 0 by 0 there."""
    tx = optax.sam(optax.adam(0.1), optax.chain(optax.normalize(), optax.sgd(0.1)))
    p = jnp.zeros(3)
    state = tx.init(p)
    for _ in range(2):
        u, state = tx.update(gradient(p), state, p)
        assert np.all(np.asarray(u) == 0)


@pytest.mark.parametrize("opaque_mode", [False, True])
def test_each_device_climbs_by_its_own_gradients_and_all_descend_by_their_mean(opaque_mode: bool) -> None:
    """The paper's m-SAM. In transparent mode the original takes no mean."""
    slopes = np.asarray([[1.0, 1.0], [3.0, -3.0]])
    tx = optax.sam(optax.sgd(0.1), optax.sgd(0.5), opaque_mode=opaque_mode, batch_axis_name="data")
    start = np.asarray([1.0, 2.0])
    q = start + 0.5 * slopes * start
    expected = start - 0.1 * np.mean(slopes * q, axis=0)

    def step(slope: Any, p: Any) -> Any:
        state = tx.init(p)
        for _ in range(1 if opaque_mode else 2):
            extra = {"grad_fn": lambda q, i: slope * q} if opaque_mode else {}
            u, state = tx.update(slope * p, state, p, **extra)
            p = optax.apply_updates(p, u)
        return p

    arguments = jnp.asarray(slopes, jnp.float32), jnp.asarray(start, jnp.float32)
    mapped = jax.vmap(step, in_axes=(0, None), axis_name="data")(*arguments)
    np.testing.assert_allclose(mapped, np.stack([expected] * 2), rtol=1e-6)

    mesh = Mesh(np.array(jax.devices()[:2]), ("data",))
    # What is averaged last is the same on all devices, and its type says so.
    out, shape = (P(), start.shape) if opaque_mode else (P("data"), (1, *start.shape))
    body = lambda slope, p: step(slope[0], p).reshape(shape)  # noqa: E731
    sharded = jax.jit(shard_map(body, mesh=mesh, in_specs=(P("data"), P()), out_specs=out))(*arguments)
    np.testing.assert_allclose(np.broadcast_to(sharded, (2, 2)), np.stack([expected] * 2), rtol=1e-6)


def shard_map(*args: Any, **kwargs: Any) -> Any:
    if hasattr(jax, "shard_map"):
        return jax.shard_map(*args, **kwargs)
    from jax.experimental.shard_map import shard_map as older  # JAX 0.6

    return older(*args, **kwargs)


def test_parameters_and_state_can_be_donated() -> None:
    """Defect G4: the cached point was the parameters' own buffer."""
    tx = optax.sam(optax.adam(0.1), optax.sgd(0.1))
    step = jax.jit(lambda p, s: tx.update(p, s, p), donate_argnums=(0, 1))
    p = {"w": jnp.ones(3)}
    _, state = step(p, tx.init(p))
    assert np.all(np.asarray(state.cache["w"]) == 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tx: optax.sam(tx, tx, sync_period=0), "sync_period must be at least 1, not 0"),
        (lambda tx: optax.sam(tx, tx, sync_period=1.5), "sync_period must be an integer, not 1.5"),
        (lambda tx: optax.sam(tx, tx).update(jnp.ones(2), optax.sam(tx, tx).init(jnp.ones(2))), "params"),
        (
            lambda tx: optax.sam(tx, tx, opaque_mode=True).update(jnp.ones(2), None, jnp.ones(2)),
            r"opaque mode calls for gradients: update\(updates, state, params, grad_fn=grad_fn\)",
        ),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make(optax.sgd(0.1))

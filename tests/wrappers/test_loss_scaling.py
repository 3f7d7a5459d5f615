"""dynamic_loss_scaling: the loss is multiplied by what float16 can bear."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

INF = float("inf")


def total() -> Any:
    """u = the sum of all gradients so far."""
    return optax.GradientTransformation(jnp.zeros_like, lambda g, s, params=None: (g + s, g + s))


def run(tx: Any, gradients: Any) -> tuple[list[float], list[Any]]:
    """The updates and the states of one run; gradients come in times the scale."""
    state, step = tx.init(jnp.float32(0)), jax.jit(tx.update)
    updates, states = [], []
    for g in gradients:
        u, state = step(optax.loss_scale(state) * jnp.float32(g), state)
        updates.append(float(u))
        states.append(state)
    return updates, states


def test_the_scale_grows_while_it_can_and_falls_when_it_must() -> None:
    tx = optax.dynamic_loss_scaling(total(), 8.0, 2)
    updates, states = run(tx, [1, 1, 1, INF, 1, INF, -INF, 1, 1])
    assert updates == [1, 2, 3, 0, 4, 0, 0, 5, 6]
    assert [float(s.scale) for s in states] == [8, 16, 16, 8, 8, 4, 2, 2, 4]
    assert [int(s.good_steps) for s in states] == [1, 0, 1, 0, 1, 0, 0, 1, 0]
    assert [int(s.total_skips) for s in states] == [0, 0, 0, 1, 1, 2, 3, 3, 3]


def test_the_scale_has_bounds() -> None:
    options = {"growth_factor": 10.0, "backoff_factor": 0.1, "min_scale": 3.0, "max_scale": 20.0}
    tx = optax.dynamic_loss_scaling(optax.scale(1.0), 4.0, 1, **options)
    _, states = run(tx, [1, 1, INF, INF, 1])
    np.testing.assert_allclose([s.scale for s in states], [20, 20, 3, 3, 20])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_unscaled_gradients_are_float32(dtype: str) -> None:
    """2**-30 is no float16, and comes through: times 2**30 it is 1 again."""
    seen = []

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        seen.append(updates.dtype)
        return updates * 2.0**30, state

    inner = optax.GradientTransformation(optax.init_empty_state, update)
    tx = optax.dynamic_loss_scaling(inner, 2.0**20)
    u, _ = jax.jit(tx.update)(jnp.asarray(2.0**-10, dtype), tx.init(jnp.zeros([], dtype)))
    assert set(seen) == {jnp.dtype("float32")}
    assert (u.dtype, float(u)) == (jnp.dtype(dtype), 1.0)


def test_a_complex_gradient_is_divided_part_by_part() -> None:
    tx = optax.dynamic_loss_scaling(optax.scale(1.0), 2.0)
    u, _ = tx.update(jnp.asarray(2 - 4j, jnp.complex64), tx.init(jnp.complex64(0)))
    assert complex(u) == 1 - 2j


def test_the_scale_is_found_in_any_state() -> None:
    params = {"a": jnp.ones(2), "b": jnp.ones(3)}
    scaling = optax.dynamic_loss_scaling(optax.adam(0.1), 64.0)
    for tx in (
        scaling,
        optax.chain(optax.clip_by_global_norm(1.0), scaling),
        optax.masked(optax.apply_if_finite(scaling, 3), {"a": True, "b": False}),
        optax.MultiSteps(scaling, 4),
    ):
        scale = optax.loss_scale(tx.init(params))
        assert (scale.dtype, float(scale)) == (jnp.float32, 64)
    with pytest.raises(ValueError, match="there is no state of dynamic_loss_scaling"):
        optax.loss_scale(optax.adam(0.1).init(params))
    with pytest.raises(KeyError, match="2 values go by the name 'DynamicLossScalingState'"):
        optax.loss_scale(optax.chain(scaling, scaling).init(params))


def loss_in_float16(params: Any, x: Any, y: Any) -> Any:
    """The mean square error of a linear model, all of it in float16."""
    residual = (x @ params["w"].astype(jnp.float16) + params["b"].astype(jnp.float16) - y).astype(jnp.float16)
    return jnp.sum(residual * residual * jnp.asarray(1 / y.size, jnp.float16))


def train(tx: Any, scaled: bool) -> tuple[float, Any]:
    """The largest error of the parameters after 300 steps. The errors of the 4096 targets are 1e-5 or so: with their
    mean square, the gradient of one target is 1e-8, where float16 ends at 6e-8."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.choice([-1.0, 1.0], size=(4096, 2)), jnp.float16)
    true = {"w": jnp.asarray([3e-5, -2e-5], jnp.float32), "b": jnp.asarray(1e-5, jnp.float32)}
    y = (x.astype(jnp.float32) @ true["w"] + true["b"]).astype(jnp.float16)
    params = jax.tree.map(jnp.zeros_like, true)

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        scale = optax.loss_scale(state) if scaled else jnp.float32(1)

        def scaled_loss(p: Any) -> Any:
            return scale * loss_in_float16(p, x, y).astype(jnp.float32)

        updates, state = tx.update(jax.grad(scaled_loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(300):
        params, state = step(params, state)
    error = jax.tree.map(lambda p, q: jnp.max(jnp.abs(p - q)), params, true)
    return float(max(jax.tree.leaves(error))), state


def test_training_in_float16_needs_it() -> None:
    """Without, all gradients underflow. With it, too large a scale at the start makes them overflow, and is cut."""
    optimizer = optax.sgd(0.2)
    unscaled_error, _ = train(optimizer, scaled=False)
    assert unscaled_error == pytest.approx(3e-5)  # nothing has moved
    error, state = train(optax.dynamic_loss_scaling(optimizer, 2.0**40, max_scale=2.0**40), scaled=True)
    assert error < 1e-6
    assert float(optax.loss_scale(state)) == 2.0**15  # the largest power of two that is a float16
    assert int(state.total_skips) == 25


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"init_scale": 0.0}, ValueError, r"init_scale must be above 0, not 0\.0"),
        ({"growth_interval": 0}, ValueError, "growth_interval must be at least 1, not 0"),
        ({"growth_interval": 1.5}, TypeError, r"growth_interval must be an integer, not 1\.5"),
        ({"growth_factor": 0.5}, ValueError, r"growth_factor must be at least 1, not 0\.5"),
        ({"backoff_factor": 1.0}, ValueError, r"backoff_factor must be .* below 1, not 1\.0"),
        ({"min_scale": 8.0, "max_scale": 4.0}, ValueError, r"max_scale must be at least 8\.0, not 4\.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.dynamic_loss_scaling(optax.scale(1.0), **options)


def test_devices_decide_together() -> None:
    """Defect G2: inside `shard_map`, carried by a scan; the second device overflows on the second step."""
    from jax.sharding import PartitionSpec as P

    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = optax.dynamic_loss_scaling(optax.scale(1.0), 4.0, axis_name="d")

    @functools.partial(shard_map, mesh=mesh, in_specs=(P("d"), P(None, "d")), out_specs=(P("d"), P("d")))
    def train(p: Any, gradients: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            p, state = carry
            u, state = tx.update(optax.loss_scale(state) * g, state, p)
            return (optax.apply_updates(p, u), state), None

        (p, state), _ = jax.lax.scan(step, (p, tx.init(p)), gradients)
        return p, state.scale[None]

    p, scale = jax.jit(train)(jnp.zeros(2), jnp.asarray([[1.0, 1.0], [1.0, INF], [1.0, 1.0]]))
    np.testing.assert_array_equal(p, [2, 2])
    np.testing.assert_array_equal(scale, [2, 2])

"""update_if: steps that are taken only under a condition."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import GradientTransformation, new_scalar, over_leaves, update_if, vary_like
from x64 import enable_x64

GRADIENT = {"a": jnp.asarray([1.0, -2.0], jnp.bfloat16), "b": None, "c": jnp.asarray(3.0)}
PARAMS = {"a": jnp.ones(2), "b": None, "c": jnp.asarray(1.0)}
TX = optax.trace(0.5)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("condition", [False, True])
def test_a_step_or_zeros(condition: bool, jit: bool) -> None:
    def step(c: Any) -> Any:
        return update_if(c, TX, GRADIENT, TX.init(PARAMS), PARAMS)

    updates, state = (jax.jit(step) if jit else step)(jnp.asarray(condition))
    kept = 1.0 if condition else 0.0
    assert (updates["a"].dtype, updates["b"], updates["c"].dtype) == (jnp.bfloat16, None, jnp.float32)
    np.testing.assert_array_equal(np.asarray(updates["a"], np.float32), [kept, -2 * kept])
    np.testing.assert_array_equal(state.trace["c"], 3 * kept)


def test_otherwise_says_what_comes_out() -> None:
    updates, _ = update_if(False, TX, GRADIENT, TX.init(PARAMS), otherwise=lambda g: g)
    assert updates is not GRADIENT
    jax.tree.map(np.testing.assert_array_equal, updates, GRADIENT)


def test_the_other_side_is_never_computed() -> None:
    """Neither its NaN nor its derivative's."""

    def roots(g: Any) -> Any:
        tx = optax.stateless(lambda u, p: jnp.sqrt(u))
        return jax.jit(lambda c: update_if(c, tx, g, tx.init(g))[0])(False)

    assert roots(jnp.asarray(-1.0)) == 0
    assert jax.grad(roots)(jnp.asarray(0.0)) == 0


def test_a_transformation_that_promotes_is_held_to_the_form() -> None:
    """Defect A9: branches of two dtypes."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        with jax.numpy_dtype_promotion("standard"):
            return jax.tree.map(lambda g: g * jnp.float32(2), updates), state + 1.5

    tx = GradientTransformation(lambda p: jnp.zeros([], jnp.float16), update)
    for condition in (True, False):
        u, s = jax.jit(lambda c: update_if(c, tx, GRADIENT["a"], tx.init(None)))(condition)
        assert (u.dtype, s.dtype, s.weak_type) == (jnp.bfloat16, jnp.float16, False)


def test_extra_arguments_go_to_the_transformation() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any, **extra_args: Any) -> Any:
        return over_leaves(lambda g: g * value, updates), state

    tx = optax.GradientTransformationExtraArgs(optax.identity().init, update)
    assert update_if(True, tx, jnp.ones(()), tx.init(None), value=3.0)[0] == 3


def test_integers_and_what_has_no_gradient() -> None:
    g = {"x": jnp.ones(2), "n": np.zeros(2, jax.dtypes.float0)}
    p = {"x": jnp.ones(2), "n": jnp.arange(2)}
    for condition in (True, False):
        updates, _ = update_if(condition, TX, g, TX.init(p), p)
        assert updates["n"] is g["n"]

    def step(c: Any, x: Any) -> Any:
        return update_if(c, TX, {**g, "x": x}, TX.init(p), p)[0]["x"]

    assert jax.jit(step)(True, g["x"]).tolist() == [1, 1]
    counts = jnp.asarray([3, 4])
    assert update_if(False, optax.scale(0.5), counts, optax.EmptyState())[0].dtype == jnp.float32


def test_a_changed_structure_is_named() -> None:
    tx = optax.stateless(lambda u, p: {"z": u["a"]})
    with pytest.raises(ValueError, match="updates and new updates differ in tree structure"):
        jax.jit(lambda c: update_if(c, tx, GRADIENT, tx.init(None)))(True)


def test_random_keys_and_flags_in_a_state() -> None:
    tx = GradientTransformation(
        lambda p: (jax.random.key(0), jnp.asarray(True)),
        lambda u, s, p=None: (u, (jax.random.split(s[0])[0], ~s[1])),
    )
    _, (key, flag) = jax.jit(lambda c: update_if(c, tx, jnp.ones(2), tx.init(None)))(True)
    assert key == jax.random.split(jax.random.key(0))[0]
    assert flag.dtype == bool
    assert not flag


def test_inside_shard_map_what_a_choice_touches_may_differ_between_devices() -> None:
    """Defect G2: carried by a scan, whose carry must not change its type."""
    from jax.sharding import PartitionSpec as P

    shard_map = getattr(jax, "shard_map", None)
    if shard_map is None:  # JAX 0.6
        from jax.experimental.shard_map import shard_map
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    tx = optax.adam(1.0)

    def train(p: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            p, state, seen = carry
            u, state = update_if(p.sum() > 2, tx, p, state, p)
            return (optax.apply_updates(p, u), state, seen + p.sum()), None

        start = p, vary_like(tx.init(p), p), new_scalar(0, jnp.float32, p)
        (p, _, seen), _ = jax.lax.scan(step, start, None, length=3)
        return p, seen[None]

    run = shard_map(train, mesh=mesh, in_specs=P("d"), out_specs=(P("d"), P("d")))
    p, seen = run(jnp.asarray([1.0, 2.0, 3.0, 10.0]))
    np.testing.assert_allclose(p[:2], [1, 2])  # never above 2
    assert p[2] < 2.1
    np.testing.assert_allclose(p[3], 7, atol=0.1)
    np.testing.assert_allclose(seen[:2], [3, 6])


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_all_finite(bad: Any) -> None:
    fine = {"x": jnp.ones(3, jnp.float16), "n": jnp.arange(3), "k": jax.random.key(0), "z": jnp.zeros((0,)), "_": None}
    assert optax.tree.all_finite(fine)
    assert optax.tree.all_finite({})
    assert not optax.tree.all_finite({**fine, "y": jnp.asarray([1.0, bad])})
    assert not optax.tree.all_finite({**fine, "y": jnp.asarray([1.0 + 1j * bad])})
    assert optax.tree.all_finite({"g": np.zeros(2, jax.dtypes.float0)})


def test_new_scalars_are_strongly_typed() -> None:
    x = new_scalar(1, jnp.float32, PARAMS)
    assert (x.shape, x.dtype, x.weak_type) == ((), jnp.float32, False)
    with enable_x64():
        assert new_scalar(1.0, jnp.float64, {}).dtype == jnp.float64

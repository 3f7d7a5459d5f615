"""What COCOB promises beyond the comparison with other computations of the same updates."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import form

BOTH = [optax.scale_by_cocob, optax.cocob]


def test_two_steps_by_hand() -> None:
    """L = 2, then G = 2 and 4, h = -2 and -4, so the bets are h / (L * alpha L) = -1/20 and -1/10 of L + R.

    The first step is -0.1. It has won 0.1 * 2 when the second gradient comes: p = x0 - 0.1 * 2.2 = x0 - 0.22.
    """
    tx = optax.scale_by_cocob(alpha=10.0)
    x0 = p = jnp.asarray([1.0])
    g = jnp.asarray([2.0])
    u, state = tx.update(g, tx.init(p), p)
    np.testing.assert_allclose(u, [-0.1], rtol=1e-6)
    p = p + u
    u, state = tx.update(g, state, p)
    np.testing.assert_allclose(p + u, x0 - 0.22, rtol=1e-6)
    np.testing.assert_allclose(jnp.stack(state)[:, 0], [1.0, -4.0, 2.0, 4.0, 0.2], rtol=1e-5)


def test_the_scale_of_the_gradients_does_not_matter() -> None:
    p = jnp.asarray([1.0, -1.0])
    steps = []
    for rate in (1.0, 1e-3, np.float32(512.0)):
        tx = optax.cocob(rate, eps=0.0)
        q, state = p, tx.init(p)
        for t in range(5):
            u, state = tx.update(jnp.asarray([1.0, 2.0]) * (-1.0) ** (t // 3), state, q)
            q = optax.apply_updates(q, u)
        steps.append(q)
    np.testing.assert_allclose(steps[1], steps[0], rtol=1e-5)
    np.testing.assert_allclose(steps[2], steps[0], rtol=1e-6)


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("eps", [1e-8, 0.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_zero_gradients_make_no_step(factory: Any, eps: float, dtype: Any) -> None:
    """Defect A7: in float16 eps was 0, and this 0 / 0."""
    tx = factory(eps=eps)
    p = jnp.asarray([0.1, 3.0], dtype)
    state = tx.init(p)
    u, state = tx.update(jnp.zeros_like(p), state, p)
    assert np.all(np.asarray(u) == 0)
    u, state = tx.update(jnp.asarray([1.0, 0.0], dtype), state, p)
    np.testing.assert_allclose(np.asarray(u, np.float32), [-0.01, 0.0], rtol=1e-2)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sums_are_kept_in_float32(dtype: Any) -> None:
    """Defects A4 and A8: in 16 bits a sum of ones stops at 256 or 2048."""
    tx = optax.scale_by_cocob()
    p = jnp.zeros(1, dtype)
    state = tx.init(p)._replace(subgradients=jnp.asarray([4096.0]))
    assert state.init_particles.dtype == dtype
    u, state = tx.update(jnp.ones(1, dtype), state, p)
    assert u.dtype == dtype
    assert state.subgradients.dtype == jnp.float32
    assert float(state.subgradients[0]) == 4097.0


def test_a_complex_gradient_descends() -> None:
    """Defect A15: the bet is on the direction; on a line in the plane it is that of a real number."""
    tx = optax.scale_by_cocob()

    def turned(x: jax.Array) -> jax.Array:
        return jax.lax.complex(0.6 * x, 0.8 * x)

    x = jnp.asarray([1.0, 2.0])
    z = turned(x)
    s, t = tx.init(x), tx.init(z)
    for i in range(5):
        g = jnp.asarray([1.0, -3.0]) * (-1.0) ** (i // 3)
        u, s = tx.update(g, s, x)
        v, t = tx.update(turned(g), t, z)
        np.testing.assert_allclose(v, turned(u), rtol=1e-4)
        x, z = x + u, z + v
    assert jnp.iscomplexobj(t.cumulative_gradients)
    assert not any(map(jnp.iscomplexobj, (t.scale, t.subgradients, t.reward)))


@pytest.mark.parametrize(
    ("settings", "kinds"),
    [
        ({}, ["EmptyState", "EmptyState", "COCOBState"]),
        ({"weight_decay": 0.1}, ["EmptyState", "EmptyState", "COCOBState"]),
        ({"mask": True}, ["MaskedState", "EmptyState", "COCOBState"]),
        ({"learning_rate": optax.constant_schedule(1.0)}, ["EmptyState", "ScaleByScheduleState", "COCOBState"]),
    ],
)
def test_the_state_is_that_of_a_chain(settings: Any, kinds: list[str]) -> None:
    """As recorded from the original 0.2.8."""
    assert [type(s).__name__ for s in optax.cocob(**settings).init(jnp.ones(2))] == kinds


def test_gradients_pass_through_the_update() -> None:
    """Defect F7."""
    tx = optax.cocob(eps=0.0, weight_decay=0.1)
    p = jnp.asarray([1.0, 0.0])

    def length(g: jax.Array) -> jax.Array:
        u, state = tx.update(g, tx.init(p), p)
        v, _ = tx.update(g, state, p + u)
        return jnp.sum(v**2)

    for g in (jnp.zeros(2), jnp.asarray([0.0, 1.0])):
        assert np.all(np.isfinite(np.asarray(jax.grad(length)(g))))


@pytest.mark.parametrize("p", [1.5, jnp.full((), 1.5), jnp.zeros((0, 3)), {}, {"a": None, "b": jnp.ones((1, 1, 1))}])
def test_edge_shapes(p: Any) -> None:
    """Defects A11 and A17."""
    tx = optax.cocob()
    state = tx.init(p)
    before = form(state)
    u, state = tx.update(p, state, p)
    assert jax.tree.structure(u) == jax.tree.structure(p)
    assert form(state) == before


@pytest.mark.parametrize("factory", BOTH)
def test_mistakes_are_named(factory: Any) -> None:
    with pytest.raises(ValueError, match=r"alpha must be above 0, not 0.0"):
        factory(alpha=0.0)
    with pytest.raises(ValueError, match="eps must be at least 0"):
        factory(eps=-1.0)
    with pytest.raises(ValueError, match="params"):
        factory().update(jnp.ones(2), factory().init(jnp.ones(2)))

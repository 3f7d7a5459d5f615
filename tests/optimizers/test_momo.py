"""What MoMo promises beyond the comparison with other computations of the same updates."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import form

P = jnp.asarray([1.0, 2.0, 3.0])
BOTH = [optax.momo, optax.momo_adam]


def squares(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


def step(tx: Any, p: Any = P, state: Any = None) -> Any:
    value, g = jax.value_and_grad(squares)(p)
    return tx.update(g, tx.init(p) if state is None else state, p, value=value)


def test_the_first_step_by_hand() -> None:
    """At the first step the model is the loss's tangent: 14 - t 56 = 0 for t = 1/4, and u = -t 2 p."""
    u, state = step(optax.momo())
    np.testing.assert_allclose(u, -P / 2, rtol=1e-6)
    assert (state.barf, state.gamma, state.lb, state.count) == (14, 28, 0, 1)
    u, _ = step(optax.momo(lower_bound=7.0))
    np.testing.assert_allclose(u, -P / 4, rtol=1e-6)
    u, _ = step(optax.momo(0.1))
    np.testing.assert_allclose(u, -0.2 * P, rtol=1e-6)


def test_weight_decay_is_that_of_the_paper() -> None:
    """Defect D6: the paper's step leads to [0.5, 1, 1.5], that of the original to [0.459, 0.918, 1.377].

    tau = (1.1 (14 - 28) + 28) / 56 = 0.225, and (p - 0.225 * 2 p) / 1.1 = p / 2.
    """
    u, _ = step(optax.momo(1.0, weight_decay=0.1))
    np.testing.assert_allclose(P + u, [0.5, 1.0, 1.5], rtol=1e-6)


def test_weight_decay_of_momo_adam_is_that_of_the_paper() -> None:
    """Defect D6. With D = 2 p, <d, d / D> = sum of 0.1^2 * 2 p = 0.12, and rho = 0.1.

    tau = (1.1 * 0.1 (14 - 28) + 0.1 * 28) / 0.12 = 10.5 is above the learning rate / rho = 10: u = (p - 1) / 1.1 - p.
    With a learning rate of 2 and half the decay it is below 20, and u = (p - 1.05) / 1.1 - p.
    """
    u, _ = step(optax.momo_adam(1.0, weight_decay=0.1, eps=0.0))
    np.testing.assert_allclose(u, (P - 1) / 1.1 - P, rtol=1e-5)
    u, _ = step(optax.momo_adam(2.0, weight_decay=0.05, eps=0.0))
    np.testing.assert_allclose(u, (P - 1.05) / 1.1 - P, rtol=1e-5)


def test_the_lower_bound_is_raised_half_way() -> None:
    """14 - t 56 / 2 for the step t = 0.1 is 11.2; a bound above the model comes down to half of it."""
    _, state = step(optax.momo(0.1, adapt_lower_bound=True))
    np.testing.assert_allclose(state.lb, 11.2, rtol=1e-6)
    _, state = step(optax.momo(0.1, beta=0.0, adapt_lower_bound=True), P / 2, state)  # a value of 3.5: bound 1.75
    np.testing.assert_allclose(state.lb, 3.5 - 0.1 * 14 / 2, rtol=1e-6)  # and then the step is 0.1 again
    _, state = step(optax.momo(0.1))
    assert state.lb == 0


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "adapt_lower_bound": True}])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_zero_gradients_make_no_step(factory: Any, settings: Any, dtype: Any) -> None:
    """Defect A7."""
    tx = factory(1.0, **settings)
    p = P.astype(dtype)
    u, state = tx.update(jnp.zeros_like(p), tx.init(p), p, value=1.0)
    decay = settings.get("weight_decay", 0.0)
    np.testing.assert_allclose(np.asarray(u, np.float32), -decay / (1 + decay) * P, rtol=1e-3)
    assert all(np.all(np.isfinite(np.asarray(x))) for x in jax.tree.leaves(state))


@pytest.mark.parametrize("factory", BOTH)
def test_nearly_equal_numbers_are_kept_in_float32(factory: Any) -> None:
    """Far away from 0, <d, p> and its mean are large and their difference is not: 100 * 2 * 300 = 60000."""
    p = jnp.full(100, 300.0, jnp.bfloat16)
    tx = factory(1.0)
    state = tx.init(p)
    assert {x.dtype for x in jax.tree.leaves((state.exp_avg, state.gamma, state.barf))} == {jnp.dtype("float32")}
    for value in (8.0, 4.0):
        u, state = tx.update(jnp.full_like(p, 2.0), state, p, value=value)
        assert u.dtype == jnp.bfloat16
    beta = 0.9 if factory is optax.momo else 0.9 * 0.1 / 0.19  # weight of the first value
    mean = beta * 8 + (1 - beta) * 4
    if factory is optax.momo:
        np.testing.assert_allclose(u.astype(jnp.float32), -mean / 400 * 2, rtol=2e-2)
    np.testing.assert_allclose(state.barf, mean * (1 if factory is optax.momo else 0.19), rtol=1e-5)


@pytest.mark.parametrize("factory", BOTH)
def test_a_complex_gradient_descends(factory: Any) -> None:
    """Defect A15: along the gradient; momo_adam scales by its magnitude, to the learning rate at the first step."""
    z = jnp.asarray([1.0 + 2.0j, 3.0 - 1.0j], jnp.complex64)
    tx = factory(0.1)
    u, state = tx.update(2 * z, tx.init(z), z, value=squares(jnp.abs(z)))
    assert not any(jnp.iscomplexobj(x) for x in jax.tree.leaves(state) if x.ndim == 0)
    direction = 2 * np.asarray(z) if factory is optax.momo else np.asarray(z) / np.abs(z)
    np.testing.assert_allclose(u, -0.1 * direction, rtol=1e-5)


@pytest.mark.parametrize("factory", BOTH)
def test_gradients_pass_through_the_update(factory: Any) -> None:
    """Defect F7."""
    tx = factory(0.5, weight_decay=0.1, adapt_lower_bound=True)

    def length(g: jax.Array) -> jax.Array:
        u, state = tx.update(g, tx.init(P), P, value=3.0)
        v, _ = tx.update(g, state, P + u, value=2.0)
        return jnp.sum(v**2)

    for g in (jnp.zeros(3), jnp.asarray([0.0, 1.0, 2.0])):
        assert np.all(np.isfinite(np.asarray(jax.grad(length)(g))))


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("p", [1.5, jnp.full((), 1.5), jnp.zeros((0, 3)), {}, {"a": None, "b": jnp.ones((1, 1, 1))}])
def test_edge_shapes(factory: Any, p: Any) -> None:
    """Defects A11 and A17."""
    tx = factory()
    state = tx.init(p)
    before = form(state)
    u, state = tx.update(p, state, p, value=1.0)
    assert jax.tree.structure(u) == jax.tree.structure(p)
    assert form(state) == before


@pytest.mark.parametrize("factory", BOTH)
def test_mistakes_are_named(factory: Any) -> None:
    decay = "beta" if factory is optax.momo else "b1"
    with pytest.raises(ValueError, match=f"{decay} must be at least 0 and below 1, not 1.0"):
        factory(**{decay: 1.0})
    with pytest.raises(TypeError, match="lower_bound must be a real number"):
        factory(lower_bound=None)
    with pytest.raises(TypeError, match="learning_rate must be a real number or a schedule"):
        factory("fast")
    tx = factory()
    state = tx.init(P)
    with pytest.raises(TypeError, match=r"found from the loss: call update.updates, state, params, value=loss"):
        tx.update(P, state, P)
    with pytest.raises(ValueError, match=r"value must be a scalar, .* not of shape \(3,\)"):
        tx.update(P, state, P, value=P)
    with pytest.raises(TypeError, match="value must be a real scalar"):
        tx.update(P, state, P, value="1")
    with pytest.raises(ValueError, match="params"):
        tx.update(P, state, value=1.0)

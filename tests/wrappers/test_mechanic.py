"""What only Mechanic promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.mechanic import Mechanic
from x64 import enable_x64

DEFAULTS = {"num_betas": 6, "weight_decay": 0.01, "s_init": 1e-6, "eps": 1e-8}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.0, "s_init": 0.5, "num_betas": 2},
        {"weight_decay": 0.3, "s_init": 0.1, "num_betas": 3, "eps": 1e-3},
        {"num_betas": 1, "weight_decay": -0.1, "s_init": 1.0},
    ],
)
@pytest.mark.parametrize("base", [optax.sgd(0.1), optax.adam(0.05)], ids=["sgd", "adam"])
def test_matches_the_reference(base: Any, settings: dict[str, Any]) -> None:
    tx = optax.mechanize(base, **settings)
    n, lam, s_init, eps = (DEFAULTS | settings).values()
    rng = np.random.default_rng(0)
    with enable_x64():
        x = jnp.asarray(rng.normal(size=(3, 2)))
        reference = Mechanic(np.asarray(x), int(n), lam, s_init, eps)
        state, alone = tx.init(x), base.init(x)
        update, inner = jax.jit(tx.update), jax.jit(base.update)
        for t in range(40):
            # Gradients that agree for a while, so that the scale grows, and then turn.
            g = np.cos(t / 12) + rng.normal(size=(3, 2)) * rng.choice([0.1, 1.0])
            u, alone = inner(jnp.asarray(g), alone, x)
            expected = reference(np.asarray(x), g, np.asarray(u))
            u, state = update(jnp.asarray(g), state, x)
            x = optax.apply_updates(x, u)
            np.testing.assert_allclose(np.asarray(x), expected, rtol=1e-9)
            for name in ("r", "m", "v", "s"):
                np.testing.assert_allclose(np.asarray(getattr(state, name)), getattr(reference, name), rtol=1e-9)
            np.testing.assert_allclose(np.asarray(state.delta), reference.Delta, rtol=1e-9)
    assert int(state.count) == 40


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_it_starts_although_the_parameters_cannot_show_it(dtype: Any) -> None:
    """The first steps, a millionth of Adam's, are less than the parameters can resolve.

    The original computes the sum of the inner updates from how far the parameters have come, which is 0 then: here it
    would stay at the first loss for ever. In float64 it does what this does.
    """
    target = jnp.linspace(-1.0, 1.0, 8)
    tx = optax.mechanize(optax.adam(1e-3))
    p = (target + 3).astype(dtype)

    def loss(p: Any) -> Any:
        return jnp.sum((p.astype(jnp.float32) - target) ** 2) / 2

    def step(carry: Any, _: None) -> Any:
        p, s = carry
        u, s = tx.update(jax.grad(loss)(p), s, p)
        return (optax.apply_updates(p, u), s), None

    # Not much longer: once it is there, rounding decides how far the next steps overshoot.
    (after, state), _ = jax.lax.scan(step, (p, tx.init(p)), None, length=75)
    assert float(loss(after)) < 0.05 * float(loss(p))
    assert float(jnp.sum(state.s)) > 1


@pytest.mark.parametrize(
    ("param", "gradient"), [("bfloat16", "float32"), ("float32", "bfloat16"), ("float16", "float16")]
)
def test_gradients_may_have_another_dtype(param: str, gradient: str) -> None:
    """Defect A8: bfloat16 parameters with float32 gradients raised at once."""
    tx = optax.mechanize(optax.sgd(0.1, momentum=0.9), s_init=0.1)
    p = jnp.asarray([1.0, -2.0], param)

    def step(carry: Any, g: Any) -> Any:
        p, s = carry
        u, s = tx.update(g, s, p)
        assert u.dtype == g.dtype
        return (optax.apply_updates(p, u), s), None

    gradients = jnp.ones((4, 2), gradient)
    (after, state), _ = jax.lax.scan(step, (p, tx.init(p)), gradients)
    assert (state.s.dtype, state.delta.dtype, state.x0.dtype) == (jnp.float32, jnp.float32, p.dtype)
    assert np.all(np.asarray(after, np.float32) < np.asarray(p, np.float32))


def test_the_scalars_are_as_wide_as_the_parameters() -> None:
    with enable_x64():
        state = optax.mechanize(optax.sgd(0.1)).init(jnp.ones(2))
        assert state.s.dtype == state.v.dtype == jnp.float64
        assert optax.mechanize(optax.sgd(0.1)).init(jnp.ones(2, jnp.float32)).s.dtype == jnp.float32


def test_a_complex_number_is_two_real_ones() -> None:
    """The scalars are real: in the original they were complex, and so were the steps."""
    rng = np.random.default_rng(1)
    tx = optax.mechanize(optax.sgd(0.1), s_init=0.3, weight_decay=0.2)
    z = jnp.asarray(rng.normal(size=3) + 1j * rng.normal(size=3), jnp.complex64)
    xy = jnp.stack([z.real, z.imag])
    s, t = tx.init(z), tx.init(xy)
    for _ in range(6):
        g = jnp.asarray(1 + rng.normal(size=3) + 1j * rng.normal(size=3), jnp.complex64)
        u, s = tx.update(g, s, z)
        v, t = tx.update(jnp.stack([g.real, g.imag]), t, xy)
        z, xy = optax.apply_updates(z, u), optax.apply_updates(xy, v)
        np.testing.assert_allclose(jnp.stack([z.real, z.imag]), xy, rtol=1e-5)
    assert s.s.dtype == jnp.float32


@pytest.mark.parametrize("eps", [1e-8, 0.0])
def test_a_first_gradient_of_zeros_is_harmless(eps: float) -> None:
    tx = optax.mechanize(optax.sgd(0.1), s_init=0.5, eps=eps)
    p = jnp.asarray([1.0, 2.0])
    state = tx.init(p)
    u, state = tx.update(jnp.zeros(2), state, p)
    assert np.all(np.asarray(u) == 0)
    for _ in range(3):
        u, state = tx.update(jnp.ones(2), state, p)
        p = optax.apply_updates(p, u)
    assert np.all(np.asarray(p) < [1.0, 2.0])
    assert np.all(np.isfinite(np.asarray(state.s)))


def test_parameters_of_zeros_have_no_direction_to_decay_in() -> None:
    tx = optax.mechanize(optax.sgd(0.1), eps=0.0, s_init=0.5)
    p = jnp.zeros(2)
    u, state = tx.update(jnp.ones(2), tx.init(p), p)
    u, state = tx.update(jnp.ones(2), state, p)
    assert np.all(np.isfinite(np.asarray(u)))
    np.testing.assert_allclose(state.m, 0.2, rtol=1e-6)  # h = -<D, g> with D = -0.1 * (1, 1)


def test_extra_arguments_reach_the_inner_optimizer() -> None:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any, **extra_args: Any) -> Any:
        return jax.tree.map(lambda g: -value * g, updates), state

    base = optax.GradientTransformationExtraArgs(optax.init_empty_state, update)
    tx = optax.mechanize(base, s_init=1.0, num_betas=1)
    p = jnp.ones(2)
    u, _ = tx.update(p, tx.init(p), p, value=0.25, something="else")
    np.testing.assert_allclose(u, -0.25, rtol=1e-6)


def test_parameters_and_state_can_be_donated() -> None:
    """Defect G4: x0 was the parameters' own buffer."""
    tx = optax.mechanize(optax.adam(0.1))
    p = {"w": jnp.ones(3)}
    step = jax.jit(lambda p, s: tx.update(p, s, p), donate_argnums=(0, 1))
    _, state = step(p, tx.init(p))
    assert np.all(np.asarray(state.x0["w"]) == 1)


def test_init_needs_only_shapes() -> None:
    """Defect G5."""
    tx = optax.mechanize(optax.adam(0.1))
    p = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(3)}
    abstract = jax.eval_shape(lambda p: p, p)
    assert jax.eval_shape(tx.init, p) == jax.eval_shape(lambda: tx.init(abstract))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"s_init": 0.0}, "s_init must be above 0, not 0.0"),
        ({"s_init": -1.0}, "s_init must be above 0, not -1.0"),
        ({"eps": -1e-8}, "eps must be at least 0, not -1e-08"),
        ({"weight_decay": "1"}, "weight_decay must be a real number, not '1'"),
        ({"num_betas": 0}, "num_betas must be at least 1, not 0"),
        ({"num_betas": 2.0}, "num_betas must be an integer, not 2.0"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.mechanize(optax.sgd(0.1), **arguments)


def test_a_state_without_the_sum_of_the_updates_goes_on() -> None:
    """As the original makes them, with seven fields."""
    params = jnp.asarray([1.0, -2.0])
    tx = optax.mechanize(optax.sgd(0.1), s_init=0.1, weight_decay=0.0)
    state, p = tx.init(params), params
    for _ in range(3):
        u, state = tx.update(p, state, p)
        p = optax.apply_updates(p, u)
    whole = tx.update(p, state, p)[0]
    np.testing.assert_allclose(tx.update(p, optax.MechanicState(*state[:7]), p)[0], whole, rtol=1e-3)

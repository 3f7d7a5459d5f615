"""What Prodigy and D-Adaptation promise beyond the comparison with other computations of the same updates."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import form

BOTH = [optax.prodigy, optax.dadapt_adamw]


def quadratic(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.arange(1.0, 4.0) * (x - 2.0) ** 2) / 2


def test_the_first_step_by_hand() -> None:
    """The step size is d sqrt(1 - 0.999) / (1 - 0.9) = 0.01 sqrt(0.1); m = 0.1 d g and v = 0.001 d^2 g^2.

    So a step is 0.01 in the direction of the sign, apart from eps.
    """
    p, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, -30.0])
    for factory in BOTH:
        tx = factory(estim_lr0=0.01, eps=0.0)
        u, state = tx.update(g, tx.init(p), p)
        np.testing.assert_allclose(u, [-0.01, 0.01], rtol=1e-5)
        assert state.estim_lr == jnp.float32(0.01)  # nothing is known yet
        assert state.numerator_weighted == 0


def test_prodigy_estimates_the_distance_by_hand() -> None:
    """With all decays 0 and no eps: k = d, and from x0 = 0 the step after g = 1, 1 is decided by p = -d.

    r = d^2 / d0 <1, x0 - p> = d^3 / d0 and s = d^2 / d0, so the estimate is 2 r / s = 2 d, and the step -d still.
    """
    tx = optax.prodigy(betas=(0.0, 0.0), eps=0.0, estim_lr0=0.1, estim_lr_coef=2.0)
    p, g = jnp.zeros([]), jnp.ones([])
    state = tx.init(p)
    u, state = tx.update(g, state, p)
    np.testing.assert_allclose((u, state.estim_lr), (-0.1, 0.1), rtol=1e-6)
    u, state = tx.update(g, state, p + u)
    np.testing.assert_allclose((u, state.estim_lr), (-0.1, 0.2), rtol=1e-6)


@pytest.mark.parametrize("factory", BOTH)
def test_the_learning_rate_is_found(factory: Any) -> None:
    """From 1e-6, and the distance to go is 2 sqrt(3)."""
    tx = factory()
    p = jnp.zeros(3)
    state = tx.init(p)

    @jax.jit
    def step(p: Any, state: Any) -> Any:
        u, state = tx.update(jax.grad(quadratic)(p), state, p)
        return optax.apply_updates(p, u), state

    estimates = []
    for _ in range(300):
        p, state = step(p, state)
        estimates.append(float(state.estim_lr))
    assert estimates == sorted(estimates)
    assert 1e-2 < estimates[-1] < 2 * np.sqrt(3)
    assert quadratic(p) < 0.1 * quadratic(jnp.zeros(3))


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("eps", [1e-8, 0.0])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_a_first_gradient_of_zeros_teaches_nothing(factory: Any, eps: float, dtype: Any) -> None:
    """Defects D2 and A7: the estimate was 0 / 0, and NaN for ever."""
    tx = factory(estim_lr0=1e-2, eps=eps)
    p = jnp.ones(2, dtype)
    state = tx.init(p)
    u, state = tx.update(jnp.zeros_like(p), state, p)
    assert np.all(np.asarray(u) == 0)
    assert state.estim_lr == jnp.float32(1e-2)
    u, state = tx.update(jnp.asarray([1.0, 0.0], dtype), state, p)
    assert np.all(np.isfinite(np.asarray(u, np.float32)))
    assert u[0] < 0
    assert u[1] == 0


@pytest.mark.parametrize("factory", BOTH)
def test_a_complex_gradient_descends(factory: Any) -> None:
    """Defect A15: the original squares it, and the step of an imaginary gradient is orthogonal to it."""
    tx = factory(estim_lr0=1e-2)
    p = g = jnp.asarray([1j])
    state = tx.init(p)
    for _ in range(5):
        u, state = tx.update(g, state, p)
        np.testing.assert_allclose(u.real, 0.0, atol=1e-9)
        assert np.all(np.asarray(u.imag) < 0)
        assert not jnp.iscomplexobj(state.exp_avg_sq)
        assert np.all(np.asarray(state.exp_avg_sq) > 0)
        p = optax.apply_updates(p, u)
    assert state.estim_lr > 1e-2


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_what_is_small_is_kept_in_float32(factory: Any, dtype: Any) -> None:
    """Defects A4 and A8: 1e-6 * g is nothing in float16, and 0.999 stalls in bfloat16."""
    p = jnp.ones(2, dtype)
    state = factory().init(p)
    wide = [state.exp_avg, state.exp_avg_sq, state.grad_sum, state.estim_lr, state.numerator_weighted]
    assert {x.dtype for x in wide} == {jnp.dtype("float32")}
    u, state = factory().update(p, state, p)
    assert u.dtype == dtype
    np.testing.assert_allclose(state.exp_avg_sq, factory().update(jnp.ones(2), state, p)[1].exp_avg_sq / 2, rtol=0.01)
    state = factory(mu_dtype="bfloat16", nu_dtype="bfloat16").init(jnp.ones(2))
    assert state.exp_avg.dtype == state.exp_avg_sq.dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_master_weights_let_small_steps_count(dtype: Any) -> None:
    tx = optax.master_weights(optax.prodigy())
    p = jnp.ones(2, dtype)
    state = tx.init(p)
    for _ in range(200):
        u, state = tx.update(p - 2, state, p)
        p = optax.apply_updates(p, u)
    assert np.all(np.asarray(p, np.float32) > 1.01)


def test_the_mask_says_what_decays() -> None:
    p = {"kernel": jnp.asarray([1.0, 2.0]), "bias": jnp.asarray([3.0])}
    g = jax.tree.map(jnp.ones_like, p)
    plain = optax.prodigy(estim_lr0=0.1)
    masked = optax.prodigy(estim_lr0=0.1, weight_decay=0.1, weight_decay_mask={"kernel": True, "bias": False})
    u, _ = plain.update(g, plain.init(p), p)
    v, state = masked.update(g, masked.init(p), p)
    size = 0.1 * np.sqrt(0.001) / 0.1
    np.testing.assert_allclose(v["kernel"], u["kernel"] - size * 0.1 * p["kernel"], rtol=1e-5)
    np.testing.assert_allclose(v["bias"], u["bias"], rtol=1e-6)
    assert isinstance(state, optax.ProdigyState)


@pytest.mark.parametrize("factory", BOTH)
def test_gradients_pass_through_the_update(factory: Any) -> None:
    """Defect F7: at a gradient of zeros too, in all and in one place."""
    tx = factory(estim_lr0=0.1, weight_decay=0.1)
    p = jnp.asarray([1.0, 2.0])

    def length(g: jax.Array) -> jax.Array:
        u, state = tx.update(g, tx.init(p), p)
        v, state = tx.update(g, state, p + u)
        return jnp.sum(v**2) + state.estim_lr

    for g in (jnp.zeros(2), jnp.asarray([0.0, 1.0])):
        assert np.all(np.isfinite(np.asarray(jax.grad(length)(g))))


@pytest.mark.parametrize("factory", BOTH)
@pytest.mark.parametrize("p", [1.5, jnp.full((), 1.5), jnp.zeros((0, 3)), {}, {"a": None, "b": jnp.ones((1, 1, 1))}])
def test_edge_shapes(factory: Any, p: Any) -> None:
    """Defects A11 and A17: Python numbers and weakly typed scalars are parameters too."""
    tx = factory()
    state = tx.init(p)
    before = form(state)
    u, state = tx.update(p, state, p)
    assert jax.tree.structure(u) == jax.tree.structure(p)
    assert form(state) == before
    assert np.isfinite(state.estim_lr)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optax.prodigy(betas=0.9), r"betas must be a pair such as \(0.9, 0.999\), not 0.9"),
        (lambda: optax.prodigy(betas=(0.9, 1.0)), r"betas\[1\] must be at least 0 and below 1, not 1.0"),
        (lambda: optax.prodigy(beta3=1.5), "beta3 must be at least 0 and below 1"),
        (lambda: optax.prodigy(estim_lr0=0.0), "estim_lr0 must be above 0"),
        (lambda: optax.prodigy(estim_lr_coef=-1.0), "estim_lr_coef must be above 0"),
        (lambda: optax.prodigy(eps=-1.0), "eps must be at least 0"),
        (lambda: optax.prodigy("1"), "learning_rate must be a real number or a schedule"),
        (lambda: optax.prodigy(weight_decay=None), "weight_decay must be a real number"),
        (lambda: optax.prodigy(mu_dtype="int8"), "mu_dtype must be a floating dtype"),
        (lambda: optax.dadapt_adamw(betas=(0.9,)), "betas must be a pair"),
        (lambda: optax.dadapt_adamw(estim_lr0=-1.0), "estim_lr0 must be above 0"),
        (lambda: optax.dadapt_adamw(nu_dtype="int8"), "nu_dtype must be a floating dtype"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize("factory", BOTH)
def test_the_parameters_are_needed(factory: Any) -> None:
    with pytest.raises(ValueError, match="params"):
        factory().update(jnp.ones(2), factory().init(jnp.ones(2)))

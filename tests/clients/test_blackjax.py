"""blackjax: variational inference, Stein's method, and Pathfinder, which reads the memory of our L-BFGS."""

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

pytestmark = pytest.mark.usefixtures("promotion_inside")

MEAN = jnp.array([1.0, -2.0, 0.5])
VARIANCE = jnp.array([1.0, 4.0, 0.25])


def log_density(x: jax.Array) -> jax.Array:
    return -0.5 * jnp.sum((x - MEAN) ** 2 / VARIANCE)


def test_mean_field_variational_inference() -> None:
    algorithm = blackjax.meanfield_vi(log_density, optax.adam(optax.cosine_decay_schedule(0.1, 500)), num_samples=20)
    step = jax.jit(algorithm.step)
    state = algorithm.init(jnp.zeros(3))
    for key in jax.random.split(jax.random.key(0), 500):
        state, info = step(key, state)
    assert jnp.allclose(state.mu, MEAN, atol=0.02)
    assert jnp.allclose(jnp.exp(2 * state.rho), VARIANCE, rtol=0.05)
    # The normalizing constant: sqrt((2 pi)³ det)
    assert info.elbo == pytest.approx(-0.5 * float(jnp.sum(jnp.log(2 * np.pi * VARIANCE))), abs=0.01)


def test_stein_variational_gradient_descent() -> None:
    algorithm = blackjax.svgd(jax.grad(log_density), optax.adam(0.1))
    state = algorithm.init(jax.random.normal(jax.random.key(0), (40, 3)))
    step = jax.jit(algorithm.step)
    for _ in range(300):
        state = step(state)
    assert jnp.allclose(state.particles.mean(0), MEAN, atol=0.05)
    assert (jnp.var(state.particles, axis=0) / VARIANCE).min() > 0.3  # particles push each other apart


def test_pathfinder() -> None:
    """It finds the covariance in the memory of L-BFGS by the names and places that the original gives its fields."""
    state, _ = jax.jit(lambda key, x: blackjax.vi.pathfinder.approximate(key, log_density, x, maxiter=15))(
        jax.random.key(0), jnp.zeros(3)
    )
    assert jnp.allclose(state.position, MEAN, atol=0.05)
    samples, _ = blackjax.vi.pathfinder.sample(jax.random.key(1), state, 4000)
    assert jnp.allclose(jnp.var(samples, axis=0), VARIANCE, rtol=0.2)

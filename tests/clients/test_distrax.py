"""distrax: distributions are trees, to be trained as parameters or made from them."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

pytestmark = pytest.mark.usefixtures("promotion_inside")

DATA = jnp.asarray(np.random.default_rng(0).gamma(2.0, 3.0, 500), jnp.float32)


def minimized(loss: Any, tx: optax.GradientTransformation, params: Any, steps: int) -> Any:
    @jax.jit
    def step(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    state = tx.init(params)
    for _ in range(steps):
        params, state = step(params, state)
    return params


def test_maximum_likelihood() -> None:
    """The normal distribution nearest to the logarithms of the data has their mean and their standard deviation."""

    def loss(params: dict[str, jax.Array]) -> jax.Array:
        normal = distrax.Normal(params["loc"], jnp.exp(params["log_scale"]))
        return -jnp.mean(distrax.Transformed(normal, distrax.Lambda(jnp.exp)).log_prob(DATA))

    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(0.1, 300)))
    params = minimized(loss, tx, {"loc": jnp.zeros(()), "log_scale": jnp.zeros(())}, 300)
    logs = np.log(np.asarray(DATA, np.float64))
    assert params["loc"] == pytest.approx(logs.mean(), abs=1e-3)
    assert jnp.exp(params["log_scale"]) == pytest.approx(logs.std(), abs=1e-3)


def test_a_distribution_is_a_tree_of_parameters() -> None:
    normal = minimized(
        lambda normal: jnp.mean((normal.loc - 2.0) ** 2),
        optax.adam(0.1),
        distrax.Normal(jnp.zeros(3), jnp.ones(3)),
        200,
    )
    assert isinstance(normal, distrax.Normal)
    assert jnp.allclose(normal.loc, 2.0, atol=1e-2)


def test_the_noise_of_a_perturbed_argmax() -> None:
    """With Gumbel noise the perturbed argmax of logits is their softmax, and its gradient that of the softmax."""

    class Gumbel:  # what a perturbation asks of a noise
        def sample(self, seed: jax.Array, sample_shape: tuple[int, ...], dtype: Any) -> jax.Array:
            return distrax.Gumbel(0.0, 1.0).sample(seed=seed, sample_shape=sample_shape).astype(dtype)

        def log_prob(self, inputs: jax.Array) -> jax.Array:
            return distrax.Gumbel(0.0, 1.0).log_prob(inputs)

    def one_hot_argmax(x: jax.Array) -> jax.Array:
        return jax.nn.one_hot(jnp.argmax(x, axis=-1), x.shape[-1])

    logits, weights = jnp.array([0.5, -0.3, 0.1]), jnp.array([1.0, 2.0, -1.0])
    perturbed = optax.perturbations.make_perturbed_fun(
        one_hot_argmax, num_samples=20_000, sigma=1.0, noise=Gumbel(), use_baseline=True
    )
    value, grads = jax.value_and_grad(lambda x: jnp.vdot(weights, perturbed(jax.random.key(0), x)))(logits)
    exact, exact_grads = jax.value_and_grad(lambda x: jnp.vdot(weights, jax.nn.softmax(x)))(logits)
    assert value == pytest.approx(float(exact), abs=0.05)
    assert jnp.allclose(grads, exact_grads, atol=0.1)


@pytest.mark.parametrize(
    "jacobians", [optax.monte_carlo.pathwise_jacobians, optax.monte_carlo.score_function_jacobians]
)
def test_jacobians_of_an_expectation(jacobians: Any) -> None:
    """E[x²] = loc² + scale² has the derivatives 2 loc and 2 scale² (by the logarithm of the scale)."""

    def build(loc: jax.Array, log_scale: jax.Array) -> Any:
        return distrax.MultivariateNormalDiag(loc, jnp.exp(log_scale))

    params = [jnp.array([0.5, -1.0]), jnp.log(jnp.array([0.5, 1.0]))]
    by_loc, by_log_scale = jacobians(lambda x: jnp.sum(x**2), params, build, jax.random.key(0), 50_000)
    assert jnp.allclose(by_loc.mean(0), 2 * params[0], atol=0.1)
    assert jnp.allclose(by_log_scale.mean(0), 2 * jnp.exp(2 * params[1]), atol=0.1)

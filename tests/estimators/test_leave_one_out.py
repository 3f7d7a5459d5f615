import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    bernoulli,
    leave_one_out_jacobians,
    multi_normal,
    optimal_baseline_jacobians,
    score_function_jacobians,
)
from reference import variational as reference
from x64 import enable_x64

KEY = jax.random.key(0)
MU, LOG_SIGMA = 0.7, -0.2
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([0.0, 0.3])


def estimate(function, params, num_samples):
    return jax.jit(lambda p: leave_one_out_jacobians(function, p, multi_normal, KEY, num_samples))(params)


@functools.cache
def samples(n):
    each = jax.jit(jax.vmap(lambda key: multi_normal(MU, LOG_SIGMA).sample((), key)))(jax.random.split(KEY, n))
    return np.asarray(each, np.float64)


@pytest.mark.parametrize("n", [2, 3])
def test_every_sample_against_the_formula(n):
    x = samples(n)
    ours = estimate(jnp.sin, (MU, LOG_SIGMA), num_samples=n)
    np.testing.assert_allclose(ours, reference.leave_one_out(x, np.sin(x), MU, LOG_SIGMA), 1e-3, 1e-5)


def test_the_mean_is_the_covariance_of_function_and_score():
    """The mean of J is the sample covariance, whose denominator is n - 1."""
    x = samples(3)
    by_mu, _ = estimate(jnp.sin, (MU, LOG_SIGMA), num_samples=3)
    score = (x - MU) / np.exp(2 * LOG_SIGMA)
    assert by_mu.mean() == pytest.approx(np.cov(np.sin(x), score)[0, 1], rel=1e-4)


def test_the_optimal_baseline_against_the_formula():
    x = samples(4)
    ours = jax.jit(lambda p: optimal_baseline_jacobians(jnp.sin, p, multi_normal, KEY, 4))((MU, LOG_SIGMA))
    z = (x - MU) / np.exp(LOG_SIGMA)
    for jacobians, s in zip(ours, [z / np.exp(LOG_SIGMA), z**2 - 1], strict=True):
        others = [np.delete(np.arange(4), i) for i in range(4)]
        baseline = [np.sum(np.sin(x[j]) * s[j] ** 2) / np.sum(s[j] ** 2) for j in others]
        np.testing.assert_allclose(jacobians, (np.sin(x) - baseline) * s, 1e-3, 1e-5)


def test_an_optimal_baseline_where_no_other_sample_has_a_score():
    """Bernoulli variables that are certain but one: the scores of the others are 0 in float32."""
    logits = jnp.array([200.0, 0.0])
    jacobians = optimal_baseline_jacobians(lambda b: b[1] + 7, [logits], bernoulli, KEY, 3)[0]
    assert not jacobians[:, 0].any()
    assert jnp.isfinite(jacobians).all()


@pytest.mark.parametrize("value", [0.1, -3e30])
@pytest.mark.parametrize("estimator", [leave_one_out_jacobians, optimal_baseline_jacobians])
def test_a_constant_function_has_gradient_zero(estimator, value):
    params = [MEAN, LOG_SCALE]
    by_mean, by_log_scale = estimator(lambda x: jnp.asarray(value), params, multi_normal, KEY, 7)
    assert not by_mean.any()
    assert not by_log_scale.any()


def test_a_common_offset_cancels_before_it_is_rounded():
    """2^20 + 1 is a number of float32, 2^20 times a score and 1 times a score added to it is not."""
    plain = estimate(lambda x: x > 0, (MU, LOG_SIGMA), num_samples=20)
    far = estimate(lambda x: 2.0**20 + (x > 0).astype(jnp.float32), (MU, LOG_SIGMA), num_samples=20)
    np.testing.assert_array_equal(plain, far)
    assert np.abs(plain[0]).max() < 3


def test_less_variance_than_the_score_function():
    run = jax.jit(lambda f: f(lambda x: jnp.square(x) + 5, (MU, LOG_SIGMA), multi_normal, KEY, 2000), static_argnums=0)
    for ours, plain in zip(run(leave_one_out_jacobians), run(score_function_jacobians), strict=True):
        assert jnp.var(ours) < 0.3 * jnp.var(plain)


def test_discrete_samples():
    """d/dlogit of E[b] is p (1 - p), 1/4 here: (b_i - b_j) (b_i - 1/2) is 1/2 if they differ, which half of them do."""

    @jax.jit
    def run(logit):
        bits = jax.vmap(lambda key: bernoulli(logit).sample((), key))(jax.random.split(KEY, 2))
        return leave_one_out_jacobians(jnp.sum, [logit], bernoulli, KEY, 2)[0], bits

    jacobians, bits = run(jnp.zeros(1))
    expected = 0.5 if bits[0, 0] != bits[1, 0] else 0.0
    np.testing.assert_allclose(jacobians, np.full((2, 1), expected))


def test_shapes_dtypes_and_compilation():
    params = {"log_scale": LOG_SCALE.astype(jnp.bfloat16), "loc": MEAN}

    def run(p, key):
        return leave_one_out_jacobians(lambda x: jnp.sum(x**2), p, multi_normal, key, 5)

    rows = jax.jit(jax.vmap(run, in_axes=(None, 0)))(params, jax.random.split(KEY, 3))
    assert rows["loc"].shape == (3, 5, 2)
    jacobians = jax.jit(run)(params, jax.random.split(KEY, 3)[1])
    assert {k: (j.shape, j.dtype) for k, j in jacobians.items()} == {
        "loc": ((5, 2), jnp.float32),
        "log_scale": ((5, 2), jnp.bfloat16),
    }
    np.testing.assert_allclose(jacobians["loc"], rows["loc"][1], 1e-4, 1e-4)
    exact = jax.jit(run)({"log_scale": LOG_SCALE, "loc": MEAN}, jax.random.split(KEY, 3)[1])
    np.testing.assert_allclose(jacobians["log_scale"].astype(jnp.float32), exact["log_scale"], 0.03, 0.1)


def test_float64():
    with enable_x64():
        key, params = jax.random.key(0), (np.float64(MU), np.float64(LOG_SIGMA))
        x = jax.vmap(lambda k: multi_normal(*params).sample((), k))(jax.random.split(key, 6))
        ours = estimate(jnp.sin, params, 6)
        np.testing.assert_allclose(ours, reference.leave_one_out(x, np.sin(x), MU, LOG_SIGMA), 1e-11)
        mixed = estimate(lambda x: jnp.sin(x).astype(jnp.float32), params, 6)
        assert [j.dtype for j in mixed] == [jnp.float64, jnp.float64]
        np.testing.assert_allclose(mixed, ours, 1e-5, 1e-6)


@pytest.mark.parametrize("n", [1, 0, -2])
def test_too_few_samples(n):
    with pytest.raises(ValueError, match=f"num_samples must be >= {2 if n == 1 else 1}, got {n}"):
        estimate(jnp.sin, (MU, LOG_SIGMA), num_samples=n)

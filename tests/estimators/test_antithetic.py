import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    antithetic_jacobians,
    bernoulli,
    measure_valued_jacobians,
    multi_normal,
    pathwise_jacobians,
    score_function_jacobians,
)
from reference import estimators as reference

KEY = jax.random.key(0)
MU, LOG_SIGMA = 0.7, -0.2
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([0.0, 0.3])


def location_scale(name, draw):
    """A class of the name and attributes that libraries give this family; samples follow loc and scale."""

    class LocationScale:
        def __init__(self, loc, scale):
            self.df, self.loc, self.scale = jnp.asarray(1.0), jnp.asarray(loc), jnp.asarray(scale)

        def sample(self, *, seed, sample_shape):
            return self.loc + self.scale * draw(seed, sample_shape)

    return type(name, (LocationScale,), {})


class Uniform:
    def __init__(self, low, high):
        self.low, self.high = jnp.asarray(low), jnp.asarray(high)

    def sample(self, *, seed, sample_shape):
        return self.low + (self.high - self.low) * jax.random.uniform(seed, sample_shape)


def compiled(function, params, builder=multi_normal, n=5, **options):
    return jax.jit(lambda p: antithetic_jacobians(function, p, builder, KEY, n, **options))(params)


def test_every_pair_against_the_formula():
    each = jax.jit(jax.vmap(lambda key: multi_normal(MU, LOG_SIGMA).sample((), key)))(jax.random.split(KEY, 10))
    x = np.asarray(each, np.float64)
    pair = [x, 2 * MU - x]

    ours = compiled(jnp.sin, (MU, LOG_SIGMA), n=10)
    expected = np.mean([reference.pathwise(y, np.cos(y), MU) for y in pair], axis=0)
    np.testing.assert_allclose(ours, expected, 1e-4, 1e-5)

    ours = compiled(jnp.sin, (MU, LOG_SIGMA), n=10, grad_estimator=score_function_jacobians)
    expected = np.mean([reference.score_function(y, np.sin(y), MU, LOG_SIGMA) for y in pair], axis=0)
    np.testing.assert_allclose(ours, expected, 1e-3, 1e-5)


@pytest.mark.parametrize(
    "builder",
    [
        location_scale("Laplace", jax.random.laplace),
        location_scale("Logistic", jax.random.logistic),
        location_scale("Normal", jax.random.normal),
        location_scale("StudentT", jax.random.normal),
        Uniform,
    ],
    ids=lambda builder: builder.__name__,
)
def test_what_is_odd_about_the_centre_cancels(builder):
    """The mean of x and 2 c - x is c: loc, or (low + high) / 2."""
    first, second = compiled(lambda x: 3 * x, [-1.0, 2.0], builder)
    expected = (1.5, 1.5) if builder is Uniform else (3.0, 0.0)
    np.testing.assert_allclose(first, np.full(5, expected[0]), 1e-6)
    np.testing.assert_allclose(second, np.full(5, expected[1]), 1e-6, 1e-6)


def test_an_even_function_gains_nothing():
    def even(x):
        return jnp.sum(jnp.square(x - MEAN))

    plain = jax.jit(lambda p: pathwise_jacobians(even, p, multi_normal, KEY, 5))([MEAN, LOG_SCALE])
    by_mean, by_log_scale = compiled(even, [MEAN, LOG_SCALE])
    np.testing.assert_allclose(by_log_scale, plain[1], 1e-4)
    np.testing.assert_allclose(by_mean, np.zeros((5, 2)), atol=1e-6)


def test_with_the_measure_valued_estimator():
    """By the scale it draws from the distribution and further out on the same side, so that a pair is symmetric."""
    by_loc, by_log_scale = compiled(lambda x: 3 * x, [0.5, 0.0], grad_estimator=measure_valued_jacobians)
    assert (by_loc > 0).all()
    np.testing.assert_allclose(by_log_scale, np.zeros(5), atol=1e-5)


def test_options_of_the_estimator():
    seen = []

    def spy(function, params, dist_builder, rng, num_samples, *, option):
        seen.append((option, type(dist_builder(*params)).__name__))
        return score_function_jacobians(function, params, dist_builder, rng, num_samples)

    antithetic = functools.partial(antithetic_jacobians, grad_estimator=functools.partial(spy, option=7))
    jax.eval_shape(lambda p: antithetic(jnp.sum, p, multi_normal, KEY, 2), [MEAN, LOG_SCALE])
    assert seen == [(7, "DiagonalNormal"), (7, "MirroredDistribution")]


def test_dtypes_and_keywords():
    params = {"loc": MEAN.astype(jnp.bfloat16), "log_scale": LOG_SCALE}
    jacobians = compiled(jnp.sum, params)
    assert jax.tree.map(lambda j: (j.shape, str(j.dtype)), jacobians) == {
        "loc": ((5, 2), "bfloat16"),
        "log_scale": ((5, 2), "float32"),
    }
    assert (jacobians["loc"] == 1).all()


def test_distributions_without_a_centre():
    with pytest.raises(ValueError, match="family laplace or logistic or normal or student_t or uniform, got bernoulli"):
        antithetic_jacobians(jnp.sum, [MEAN], bernoulli, KEY, 3, grad_estimator=score_function_jacobians)

    with pytest.raises(ValueError, match="of a known family"):
        antithetic_jacobians(jnp.sum, [0.0, 1.0], type("Unheard", (), dict(vars(Uniform))), KEY, 3)

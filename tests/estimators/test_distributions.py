import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import DiagonalNormal, multi_normal
from reference.estimators import normal_log_density
from x64 import enable_x64

KEY = jax.random.key(0)
MEAN, LOG_SCALE = jnp.array([1.0, -2.0]), jnp.array([0.5, -0.5])


def test_density():
    x = jax.random.normal(KEY, (5, 2))
    parts = [normal_log_density(np.asarray(x[:, i], np.float64), float(MEAN[i]), float(LOG_SCALE[i])) for i in range(2)]
    np.testing.assert_allclose(multi_normal(MEAN, LOG_SCALE).log_prob(x), sum(parts), 1e-5)
    assert multi_normal(0.0, 0.0).log_prob(0.0) == pytest.approx(-0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose(multi_normal(MEAN, LOG_SCALE).log_prob(x[0]), sum(p[0] for p in parts), 1e-5)


def test_density_of_samples_with_several_axes():
    normal = multi_normal(jnp.zeros((3, 2)), jnp.zeros((3, 2)))
    assert normal.log_prob(jnp.zeros((3, 2))).shape == ()
    assert normal.log_prob(jnp.zeros((5, 4, 3, 2))).shape == (5, 4)
    assert normal.log_prob(jnp.zeros((3, 2))) == pytest.approx(-3 * np.log(2 * np.pi))


def test_density_agrees_with_tensorflow_probability():
    from optax.estimators import load_tfp

    x = MEAN + 3
    theirs = load_tfp().distributions.MultivariateNormalDiag(MEAN, jnp.exp(LOG_SCALE)).log_prob(x)
    assert multi_normal(MEAN, LOG_SCALE).log_prob(x) == pytest.approx(theirs.item(), rel=1e-5)


def test_samples():
    x = multi_normal(MEAN, LOG_SCALE).sample((20000,), KEY)
    np.testing.assert_allclose(x.mean(0), MEAN, atol=0.05)
    np.testing.assert_allclose(x.std(0), jnp.exp(LOG_SCALE), rtol=0.03)
    assert jnp.array_equal(x, multi_normal(MEAN, LOG_SCALE).sample(seed=KEY, sample_shape=(20000,)))


@pytest.mark.parametrize(("sample_shape", "shape"), [((), (2,)), (3, (3, 2)), ((3,), (3, 2)), ([4, 3], (4, 3, 2))])
def test_shapes_of_samples(sample_shape, shape):
    assert multi_normal(MEAN, LOG_SCALE).sample(sample_shape, KEY).shape == shape


def test_one_scale_for_all_components():
    x = jnp.array([0.3, 0.4])
    assert multi_normal(MEAN, 0.5).log_prob(x) == multi_normal(MEAN, jnp.full(2, 0.5)).log_prob(x)
    assert multi_normal(MEAN, 0.5).scale.shape == (2,)
    assert multi_normal(MEAN, 0.5).sample((3,), KEY).shape == (3, 2)


def test_properties():
    normal = multi_normal(MEAN, LOG_SCALE)
    assert isinstance(normal, DiagonalNormal)
    assert jnp.array_equal(normal.mean, MEAN)
    assert jnp.array_equal(normal.log_scale, LOG_SCALE)
    assert jnp.array_equal(normal.scale, jnp.exp(LOG_SCALE))
    assert jnp.array_equal(multi_normal(*normal.params).sample((), KEY), normal.sample((), KEY))
    assert repr(normal).startswith("DiagonalNormal(loc=Array([ 1., -2.]")


def test_precision():
    low = multi_normal(MEAN.astype(jnp.bfloat16), LOG_SCALE.astype(jnp.float16))
    assert low.sample((), KEY).dtype == low.log_prob(MEAN.astype(jnp.bfloat16)).dtype == jnp.float32
    with enable_x64():
        double = multi_normal(np.zeros(2), jnp.zeros(2, jnp.float32))
        assert double.sample((), jax.random.key(0)).dtype == double.log_prob(jnp.zeros(2)).dtype == jnp.float64


def test_errors():
    with pytest.raises(ValueError, match=r"log_scale must be a scalar or have the shape of loc, \(2,\), got \(3,\)"):
        multi_normal(MEAN, jnp.zeros(3))
    with pytest.raises(TypeError, match="loc must be real numbers, got dtype complex64"):
        multi_normal(jnp.ones(2, jnp.complex64), 0.0)
    with pytest.raises(ValueError, match=r"value must have shape \(\.\.\., 2\), got \(2, 1\)"):
        multi_normal(MEAN, LOG_SCALE).log_prob(jnp.zeros((2, 1)))
    with pytest.raises(ValueError, match="value must have shape"):
        multi_normal(MEAN, LOG_SCALE).log_prob(0.0)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import DiagonalNormal, Distribution, bernoulli, categorical, from_numpyro, load_tfp, multi_normal
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


LOGITS = jnp.array([[0.5, -1.0, 2.0], [0.0, 3.0, -2.0]])


class TestBernoulli:
    def test_against_tensorflow_probability(self):
        theirs = load_tfp().distributions.Independent(load_tfp().distributions.Bernoulli(logits=LOGITS), 2)
        x = bernoulli(LOGITS).sample((4, 5), KEY)
        assert (x.shape, x.dtype) == ((4, 5, 2, 3), jnp.float32)
        with jax.numpy_rank_promotion("allow"):
            expected = theirs.log_prob(x)
        np.testing.assert_allclose(bernoulli(LOGITS).log_prob(x), expected, 1e-5)

    def test_samples(self):
        x = bernoulli(LOGITS).sample(20000, KEY)
        assert {*np.unique(x)} == {0.0, 1.0}
        np.testing.assert_allclose(x.mean(0), jax.nn.sigmoid(LOGITS), atol=0.015)

    def test_certain_outcomes(self):
        """Impossible ones have probability 0, and no derivative is NaN."""
        certain = bernoulli([jnp.inf, -jnp.inf])
        assert certain.sample((), KEY).tolist() == [1, 0]
        assert bernoulli([100.0]).log_prob([0.0]) == -100
        assert jax.grad(lambda p: bernoulli(p).log_prob(0.0))(200.0) == -1


class TestCategorical:
    def test_against_tensorflow_probability(self):
        theirs = load_tfp().distributions.Independent(load_tfp().distributions.OneHotCategorical(logits=LOGITS), 1)
        x = categorical(LOGITS).sample((4, 5), KEY)
        assert (x.shape, x.dtype) == ((4, 5, 2, 3), jnp.float32)
        assert jnp.array_equal(x.sum(-1), jnp.ones((4, 5, 2)))
        np.testing.assert_allclose(categorical(LOGITS).log_prob(x), theirs.log_prob(x), 1e-5)

    def test_samples(self):
        x = categorical(LOGITS).sample(20000, KEY)
        np.testing.assert_allclose(x.mean(0), jax.nn.softmax(LOGITS), atol=0.015)

    def test_impossible_classes(self):
        p = jnp.array([0.0, -jnp.inf])
        assert categorical(p).log_prob([1.0, 0.0]) == 0
        assert categorical(p).log_prob([0.0, 1.0]) == -jnp.inf
        assert categorical(p).kl_divergence(categorical(p)) == 0
        assert jax.grad(lambda p: categorical(p).log_prob([1.0, 0.0]))(p).tolist() == [0, 0]

    def test_a_scalar_has_no_classes(self):
        with pytest.raises(ValueError, match="logits must have a last axis of classes, got a scalar"):
            categorical(0.5)


@pytest.mark.parametrize(
    ("builder", "name", "p", "q"),
    [
        (lambda m: multi_normal(m, 0.3 * m), "MultivariateNormalDiag", LOGITS[0], LOGITS[1]),
        (bernoulli, "Bernoulli", LOGITS[0], LOGITS[1]),
        (categorical, "OneHotCategorical", LOGITS[0], LOGITS[1]),
    ],
)
def test_divergences(builder, name, p, q):
    tfd = load_tfp().distributions
    theirs = getattr(tfd, name)
    if name == "MultivariateNormalDiag":
        expected = theirs(p, jnp.exp(0.3 * p)).kl_divergence(theirs(q, jnp.exp(0.3 * q)))
    else:
        expected = theirs(logits=p).kl_divergence(theirs(logits=q)).sum()
    assert builder(p).kl_divergence(builder(q)) == pytest.approx(expected.item(), rel=1e-5)
    assert builder(p).kl_divergence(builder(p)) == pytest.approx(0, abs=1e-6)


class Numpyros:
    """What numpyro's distributions look like."""

    def sample(self, key, sample_shape=()):
        return jax.random.normal(key, sample_shape)

    def log_prob(self, value):
        return -0.5 * jnp.square(value)


def test_numpyro():
    ours = from_numpyro(Numpyros())
    assert isinstance(ours, Distribution)
    assert jnp.array_equal(ours.sample(seed=KEY, sample_shape=[3]), jax.random.normal(KEY, (3,)))
    assert ours.log_prob(2.0) == -2
    assert repr(ours).startswith("NumpyroDistribution(<")
    with pytest.raises(TypeError, match="must be one of numpyro, with sample and log_prob, got float"):
        from_numpyro(3.0)

"""What score function and pathwise estimators promise alike, and where they differ."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    Distribution,
    load_tfp,
    multi_normal,
    pathwise_jacobians,
    score_function_jacobians,
)
from reference import estimators as reference
from x64 import enable_x64

ESTIMATORS = [score_function_jacobians, pathwise_jacobians]
both = pytest.mark.parametrize("estimate", ESTIMATORS)
KEY = jax.random.key(0)
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([0.0, 0.3])


class Exponential:
    """A distribution by hand, with rate exp(log_rate); the samples follow it by inversion."""

    def __init__(self, log_rate):
        self.log_rate = log_rate

    def sample(self, *, seed, sample_shape):
        return jax.random.exponential(seed, sample_shape) * jnp.exp(-self.log_rate)

    def log_prob(self, value):
        return self.log_rate - jnp.exp(self.log_rate) * value


class Bernoulli:
    """Samples 0 and 1, which follow nothing."""

    def __init__(self, logit):
        self.logit = logit

    def sample(self, *, seed, sample_shape):
        return (jax.random.uniform(seed, sample_shape) < jax.nn.sigmoid(self.logit)).astype(jnp.int32)

    def log_prob(self, value):
        return jnp.where(value == 1, jax.nn.log_sigmoid(self.logit), jax.nn.log_sigmoid(-self.logit))


def square(x):
    return jnp.sum(jnp.square(x))


def tfp_normal(loc, log_scale):
    return load_tfp().distributions.Normal(loc, jnp.exp(log_scale))


@both
@pytest.mark.parametrize("builder", [multi_normal, pytest.param(tfp_normal, marks=pytest.mark.tfp)])
def test_the_mean_is_the_gradient_of_the_expectation(estimate, builder):
    """E[x^2] = mu^2 + sigma^2."""
    mean, log_scale = 0.7, -0.2
    by_mean, by_log_scale = estimate(square, [mean, log_scale], builder, KEY, 40000)
    assert by_mean.mean() == pytest.approx(2 * mean, abs=5 * by_mean.std().item() / 200)
    assert by_log_scale.mean() == pytest.approx(2 * np.exp(2 * log_scale), abs=5 * by_log_scale.std().item() / 200)


@both
def test_another_distribution(estimate):
    """E[x] = 1 / rate."""
    (jacobians,) = estimate(lambda x: x, [0.5], Exponential, KEY, 40000)
    assert jacobians.mean() == pytest.approx(-np.exp(-0.5), abs=5 * jacobians.std().item() / 200)


def test_a_discrete_distribution_and_a_function_without_derivative():
    (jacobians,) = score_function_jacobians(lambda x: x == 1, [0.3], Bernoulli, KEY, 40000)
    expected = jax.grad(jax.nn.sigmoid)(0.3).item()
    assert jacobians.mean() == pytest.approx(expected, abs=5 * jacobians.std().item() / 200)


@pytest.mark.parametrize("builder", [multi_normal, pytest.param(tfp_normal, marks=pytest.mark.tfp)])
def test_every_sample_against_the_formula(builder):
    mean, log_scale = 0.7, -0.2
    each = jax.vmap(lambda key: builder(mean, log_scale).sample(seed=key, sample_shape=()))(jax.random.split(KEY, 50))
    x = np.asarray(each, np.float64)
    ours = score_function_jacobians(jnp.sin, (mean, log_scale), builder, KEY, 50)
    np.testing.assert_allclose(ours, reference.score_function(x, np.sin(x), mean, log_scale), 1e-3, 1e-5)
    ours = pathwise_jacobians(jnp.sin, (mean, log_scale), builder, KEY, 50)
    np.testing.assert_allclose(ours, reference.pathwise(x, np.cos(x), mean), 1e-3, 1e-5)


@both
def test_the_result_has_the_tree_of_the_parameters(estimate):
    jacobians = estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 7)
    assert isinstance(jacobians, list)
    assert [j.shape for j in jacobians] == [(7, 2), (7, 2)]

    nested = ({"loc": MEAN, "unused": None}, (LOG_SCALE,))
    jacobians = estimate(square, nested, lambda a, b: multi_normal(a["loc"], b[0]), KEY, 7)
    assert jax.tree.structure(jacobians) == jax.tree.structure(nested)

    jacobians = estimate(square, {"log_scale": LOG_SCALE, "loc": MEAN}, multi_normal, KEY, 7)
    assert {name: j.shape for name, j in jacobians.items()} == {"loc": (7, 2), "log_scale": (7, 2)}

    jacobians = estimate(square, jnp.stack([MEAN, LOG_SCALE]), multi_normal, KEY, 7)  # one array, row by row
    assert jacobians.shape == (7, 2, 2)


@both
def test_a_sample_may_be_a_tree(estimate):
    class Pair:
        def __init__(self, a, b):
            self.parts = {"a": multi_normal(a, 0.0), "b": multi_normal(b, 0.0)}

        def sample(self, *, seed, sample_shape):
            keys = jax.random.split(seed)
            return {n: d.sample(sample_shape, k) for (n, d), k in zip(self.parts.items(), keys, strict=True)}

        def log_prob(self, value):
            return sum(d.log_prob(value[n]) for n, d in self.parts.items())

    jacobians = estimate(lambda x: x["a"] * jnp.sum(x["b"]), [0.5, jnp.ones(3)], Pair, KEY, 5)
    assert [j.shape for j in jacobians] == [(5,), (5, 3)]


@both
def test_under_jit_and_with_older_keys(estimate):
    run = functools.partial(estimate, square, dist_builder=multi_normal, num_samples=6)
    for key in (KEY, jax.random.PRNGKey(0)):
        plain = run([MEAN, LOG_SCALE], rng=key)
        compiled = jax.jit(lambda p, k: run(p, rng=k))([MEAN, LOG_SCALE], key)
        np.testing.assert_allclose(plain, compiled, 1e-4, 1e-5)
    rows = jax.vmap(lambda m: run([m, LOG_SCALE], rng=KEY)[0])(jnp.stack([MEAN, MEAN + 1]))
    np.testing.assert_allclose(rows[0], run([MEAN, LOG_SCALE], rng=KEY)[0], 1e-4, 1e-5)


@both
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_each_leaf_keeps_its_dtype(estimate, dtype):
    jacobians = estimate(square, [MEAN.astype(dtype), LOG_SCALE], multi_normal, KEY, 4)
    assert [j.dtype for j in jacobians] == [dtype, jnp.float32]
    exact = estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 4)
    np.testing.assert_allclose(jacobians[0].astype(jnp.float32), exact[0], 0.02, 0.02)
    weak = estimate(square, [0.0, 1.0], multi_normal, KEY, 4)
    assert [j.weak_type for j in weak] == [False, False]


@both
def test_float64(estimate):
    with enable_x64():
        jacobians = estimate(square, [np.zeros(2), np.zeros(2)], multi_normal, jax.random.key(0), 4)
        assert [j.dtype for j in jacobians] == [jnp.float64, jnp.float64]


def test_the_samples_are_constants_for_the_score_function():
    """Differentiated again, J = f(x) (x - mu) / sigma^2 gives -f(x) / sigma^2 at a fixed sample."""

    def total(mean):
        return score_function_jacobians(square, [mean, 0.0], multi_normal, KEY, 3)[0].sum()

    x = jax.vmap(lambda key: multi_normal(0.5, 0.0).sample((), key))(jax.random.split(KEY, 3))
    assert jax.grad(total)(0.5) == pytest.approx(-square(x).item(), rel=1e-4)


class TestErrors:
    @both
    @pytest.mark.parametrize("n", [0, -3])
    def test_no_samples(self, estimate, n):
        with pytest.raises(ValueError, match=f"num_samples must be >= 1, got {n}"):
            estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, n)

    @both
    def test_half_a_sample(self, estimate):
        with pytest.raises(TypeError, match="integer"):
            estimate(square, [MEAN, LOG_SCALE], multi_normal, KEY, 2.5)

    @both
    def test_a_function_that_is_not_scalar(self, estimate):
        with pytest.raises(ValueError, match=r"one sample, here of shape \(2,\), to a scalar, got shape \(2,\)"):
            estimate(jnp.square, [MEAN, LOG_SCALE], multi_normal, KEY, 3)

    @both
    def test_a_complex_function(self, estimate):
        with pytest.raises(TypeError, match="function must return a real number, got dtype complex64"):
            estimate(lambda x: jax.lax.complex(x[0], x[1]), [MEAN, LOG_SCALE], multi_normal, KEY, 3)

    @both
    def test_no_distribution(self, estimate):
        with pytest.raises(TypeError, match=r"must return a distribution with .* got float without sample"):
            estimate(square, [0.0, 0.0], lambda loc, scale: 3.0, KEY, 3)

    def test_no_density(self):
        class Simulator:
            def __init__(self, loc):
                self.loc = loc

            def sample(self, *, seed, sample_shape):
                return self.loc + jax.random.normal(seed, sample_shape)

        with pytest.raises(TypeError, match="got Simulator without log_prob"):
            score_function_jacobians(square, [0.0], Simulator, KEY, 3)
        assert pathwise_jacobians(square, [0.0], Simulator, KEY, 3)[0].shape == (3,)  # needs none

    def test_a_density_per_component(self):
        class Components(Exponential):
            def sample(self, *, seed, sample_shape):
                return jax.random.exponential(seed, (*sample_shape, 2))

        with pytest.raises(ValueError, match=r"log_prob must be a scalar for one sample, .*\(2,\), got shape \(2,\)"):
            score_function_jacobians(square, [0.0], Components, KEY, 3)

    @both
    def test_integer_parameters(self, estimate):
        with pytest.raises(TypeError, match=r"params\[1\]\['n'\] has dtype int32"):
            estimate(square, [0.0, {"n": 3}], multi_normal, KEY, 3)

    @both
    @pytest.mark.parametrize("params", [3.0, jnp.float32(3)])
    def test_parameters_that_are_no_sequence(self, estimate, params):
        with pytest.raises(TypeError, match="params must be a sequence of the arguments of dist_builder"):
            estimate(square, params, multi_normal, KEY, 3)


class TestPathwiseIsNeverSilentlyZero:
    def test_discrete_samples(self):
        with pytest.raises(ValueError, match="samples of Bernoulli do not follow its parameters"):
            pathwise_jacobians(lambda x: x.astype(float), [0.3], Bernoulli, KEY, 3)

    @pytest.mark.tfp
    def test_a_distribution_that_says_so(self):
        tfd = load_tfp().distributions

        def mixture(logit):
            weights = tfd.Categorical(logits=jnp.stack([logit, -logit]))
            return tfd.MixtureSameFamily(weights, tfd.Normal(jnp.array([0.0, 1.0]), jnp.ones(2)))

        with pytest.raises(ValueError, match="MixtureSameFamily says that it is not reparameterised"):
            pathwise_jacobians(square, [0.3], mixture, KEY, 3)

    def test_one_parameter_that_the_samples_do_not_follow(self):
        class HalfFollowing:
            def __init__(self, loc, log_scale):
                self.normal = multi_normal(loc, log_scale)
                self.fixed = multi_normal(loc, jax.lax.stop_gradient(log_scale))

            def sample(self, *, seed, sample_shape):
                return self.fixed.sample(sample_shape, seed)

            def log_prob(self, value):
                return self.normal.log_prob(value)

        with pytest.raises(ValueError, match=r"the density of HalfFollowing depends on params\[1\]"):
            pathwise_jacobians(square, [0.0, 0.0], HalfFollowing, KEY, 3)
        with pytest.raises(ValueError, match="use score_function_jacobians"):
            jax.jit(lambda p: pathwise_jacobians(square, p, HalfFollowing, KEY, 3))([0.0, 0.0])

    def test_a_parameter_that_nothing_depends_on_is_fine(self):
        jacobians = pathwise_jacobians(square, [MEAN, LOG_SCALE, 1.0], lambda m, s, _: multi_normal(m, s), KEY, 3)
        assert jacobians[2].tolist() == [0, 0, 0]

    def test_a_density_that_is_not_implemented_is_not_asked(self):
        class Implicit:
            def __init__(self, loc):
                self.loc = loc

            def sample(self, *, seed, sample_shape):
                return self.loc + jax.random.normal(seed, sample_shape)

            def log_prob(self, value):
                raise NotImplementedError

        assert pathwise_jacobians(lambda x: 3 * x, [0.0], Implicit, KEY, 2)[0].tolist() == [3, 3]

    @pytest.mark.parametrize("function", [lambda x: x[0] > 0, lambda x: jnp.round(x).sum(), lambda x: x.argmax()])
    def test_a_function_without_derivative(self, function):
        with pytest.raises(ValueError, match="the derivative of function is zero everywhere"):
            pathwise_jacobians(function, [MEAN, LOG_SCALE], multi_normal, KEY, 3)

    def test_a_constant_function_is_fine(self):
        jacobians = pathwise_jacobians(lambda x: 2.0, [MEAN, LOG_SCALE], multi_normal, KEY, 3)
        assert jnp.array_equal(jnp.stack(jacobians), jnp.zeros((2, 3, 2)))

    def test_custom_derivatives_are_followed(self):
        @jax.custom_vjp
        def cube(x):
            return jnp.sum(x**3)

        cube.defvjp(lambda x: (cube(x), x), lambda x, g: (g * 3 * x**2,))
        jacobians = pathwise_jacobians(cube, [MEAN, LOG_SCALE], multi_normal, KEY, 4)
        plain = pathwise_jacobians(lambda x: jnp.sum(x**3), [MEAN, LOG_SCALE], multi_normal, KEY, 4)
        np.testing.assert_allclose(jacobians, plain, 1e-5, 1e-5)


def test_distributions_of_several_origins_fit_the_protocol():
    assert isinstance(multi_normal(0.0, 0.0), Distribution)
    assert isinstance(Exponential(0.0), Distribution)
    assert isinstance(tfp_normal(0.0, 0.0), Distribution)
    assert not isinstance(3.0, Distribution)

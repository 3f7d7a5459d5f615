"""Smoothed functions: their values are means, their derivatives estimates of those of an expectation."""

import functools
import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import make_fenchel_young_loss
from optax.perturbations import Gumbel, Noise, Normal, make_perturbed_fun
from x64 import enable_x64

KEY = jax.random.key(0)
SCORES = jnp.array([0.3, -0.2, 0.1])


def hard(x):
    return jax.nn.one_hot(jnp.argmax(x), x.size)


class Logistic:
    """A noise by hand; its logarithm of the density lacks nothing but is one number."""

    def sample(self, key, sample_shape, dtype):
        return jax.random.logistic(key, sample_shape, dtype)

    def log_prob(self, inputs):
        return jnp.sum(jax.nn.log_sigmoid(inputs) + jax.nn.log_sigmoid(-inputs))


# Value, first and second derivative.
ORDERS = [lambda f: f, jax.jacobian, jax.hessian]


@functools.lru_cache
def standard_errors(fun, sigma, noise, baseline, replicates=200, n=50):
    """Estimates of the derivatives from many keys, and how far their means may be from the truth: 4 standard errors."""
    f = make_perturbed_fun(fun, n, sigma, noise, baseline)

    @jax.jit
    def many(x):
        keys = jax.random.split(KEY, replicates)
        return jax.vmap(lambda k: [d(lambda x: f(k, x))(x) for d in ORDERS])(keys)

    return [(np.mean(r, 0), 4 * np.std(r, 0) / np.sqrt(replicates) + 1e-5) for r in many(SCORES)]


@pytest.mark.parametrize("baseline", [True, False])
def test_gumbel_noise_makes_a_softmax_of_an_argmax(baseline):
    """Values, gradients and second derivatives are unbiased.

    Defects of 2025 (234ce5f4, 36772816): the gradient was off by a factor sigma; higher orders; baseline optional.
    """
    exact = jax.jit(lambda x: [d(lambda x: jax.nn.softmax(x / 0.5))(x) for d in ORDERS])(SCORES)
    for truth, (mean, allowed) in zip(exact, standard_errors(hard, 0.5, Gumbel(), baseline), strict=True):
        assert np.all(np.abs(mean - truth) < allowed)
        assert np.median(allowed) < 1  # or it would prove little: derivatives are of the order of 4


def test_normal_noise():
    """P(x1 + sigma z > 0) = Phi(x1 / sigma); and a smooth function: E sum x^2 = sum x^2 + 3 sigma^2."""
    sigma = 0.7

    def fun(x):
        return x[0] > 0, jnp.sum(jnp.square(x))

    def expectation(x):
        return jax.scipy.stats.norm.cdf(x[0] / sigma), jnp.sum(jnp.square(x)) + 3 * sigma**2

    estimates = standard_errors(lambda x: jnp.stack([jnp.float32(f) for f in fun(x)]), sigma, Normal(), True)
    exact = jax.jit(lambda x: [d(lambda x: jnp.stack(expectation(x)))(x) for d in ORDERS])(SCORES)
    for truth, (mean, allowed) in zip(exact, estimates, strict=True):
        assert np.all(np.abs(mean - truth) < allowed)


def test_a_noise_by_hand_and_a_third_derivative():
    """P(x + sigma z > 0) = sigmoid(x / sigma) with logistic noise."""
    assert isinstance(Logistic(), Noise)
    smooth = make_perturbed_fun(lambda x: x > 0, 100_000, 0.8, Logistic())
    truth, estimate, orders = (lambda x: jax.nn.sigmoid(x / 0.8)), (lambda x: smooth(KEY, x)), []
    for _ in range(4):
        orders.append((estimate, truth))
        estimate, truth = jax.jacfwd(estimate), jax.jacfwd(truth)
    both = jax.jit(lambda x: [(estimate(x), truth(x)) for estimate, truth in orders])(0.3)
    for (estimated, exact), allowed in zip(both, (0.007, 0.014, 0.04, 0.2), strict=True):
        assert estimated == pytest.approx(exact.item(), abs=allowed)


def test_the_derivative_by_sigma():
    """E sum x^2 = sum x^2 + 3 sigma^2."""

    def f(sigma):
        return make_perturbed_fun(lambda x: jnp.sum(jnp.square(x)), 100_000, sigma, Normal())(KEY, SCORES)

    value, slope = jax.jit(jax.value_and_grad(f))(0.5)
    assert value == pytest.approx(0.14 + 0.75, abs=0.01)
    assert slope == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("noise", [Gumbel(), Normal()])
def test_every_estimate_against_the_formula(noise):
    """Value: the plain mean. Gradient: mean of (f(y_i) - f(x)) times - (log p)'(z_i) / sigma."""
    sigma, n = 0.3, 40
    z = np.array(
        jax.vmap(lambda k: noise.sample(jax.random.split(k, 1)[0], (3,), jnp.float32))(jax.random.split(KEY, n))
    )
    y = np.array(SCORES) + np.float32(sigma) * z
    f = np.eye(3)[y.argmax(1)]
    slope = z if isinstance(noise, Normal) else 1 - np.exp(-z.astype(np.float64))
    for baseline in (False, True):
        perturbed = make_perturbed_fun(hard, n, sigma, noise, use_baseline=baseline)
        value, jacobian = jax.jit(lambda x: (perturbed(KEY, x), jax.jacobian(perturbed, 1)(KEY, x)))(SCORES)  # noqa: B023
        np.testing.assert_allclose(value, f.mean(0), 1e-6)
        excess = f - np.eye(3)[0] * baseline
        expected = np.einsum("nf,nx->fx", excess, slope) / sigma / n
        np.testing.assert_allclose(jacobian, expected, 1e-4, 1e-5)


def test_the_baseline_reduces_the_variance():
    """Where noise is small, the function seldom changes, and without a baseline its size is all noise."""
    fun = lambda x: hard(x) + 5.0  # noqa: E731
    (_, (_, gradient), (_, hessian)) = standard_errors(fun, 0.2, Gumbel(), True)
    (_, (_, gradient_without), (_, hessian_without)) = standard_errors(fun, 0.2, Gumbel(), False)
    assert gradient.mean() < gradient_without.mean() / 4
    assert hessian.mean() < hessian_without.mean() / 4


def test_trees_dtypes_and_integers():
    x = {"a": SCORES, "b": (jnp.bfloat16(1.0), None), "c": 2.0}

    def fun(x):
        assert (x["a"].dtype, x["b"][0].dtype, x["b"][0].shape) == (jnp.float32, jnp.bfloat16, ())
        return {"one_hot": hard(x["a"]), "index": jnp.argmax(x["a"]), "b": x["b"], "flag": x["c"] > 2}

    f = make_perturbed_fun(fun, 500, 0.5, Normal())

    @jax.jit
    def all_of(x):
        ones = jax.tree.map(jnp.ones_like, x)
        return *jax.jvp(lambda x: f(KEY, x), (x,), (ones,)), jax.grad(lambda x: f(KEY, x)["index"])(x)

    result, derivative, gradient = all_of(x)
    chex.assert_trees_all_equal_shapes_and_dtypes(result, derivative)
    dtypes = {name: result[name].dtype for name in ("one_hot", "index", "flag")}
    assert dtypes == dict.fromkeys(dtypes, jnp.float32)
    assert result["b"][0].dtype == jnp.bfloat16
    assert result["index"] == pytest.approx((result["one_hot"] @ jnp.arange(3.0)).item(), abs=1e-6)
    assert result["flag"] == pytest.approx(0.5, abs=0.1)
    chex.assert_trees_all_equal_shapes_and_dtypes(gradient, jax.tree.map(jnp.asarray, x))


def test_same_key_same_noise():
    f = jax.jit(make_perturbed_fun(lambda x: x, 3))
    np.testing.assert_allclose(make_perturbed_fun(lambda x: x, 3)(KEY, SCORES), f(KEY, SCORES), 1e-6)
    assert (f(KEY, SCORES) != f(jax.random.key(1), SCORES)).all()
    np.testing.assert_array_equal(f(jax.random.PRNGKey(0), SCORES), f(KEY, SCORES))  # a raw key does as well


def test_under_vmap_and_in_float64():
    f = jax.jit(make_perturbed_fun(hard, 20, 0.5))
    batch = jnp.stack([SCORES, -SCORES])
    each = jax.vmap(f, (None, 0))(KEY, batch)
    np.testing.assert_allclose(each[1], f(KEY, batch[1]), 1e-6)
    with enable_x64():
        x = np.linspace(0.0, 1.0, 3)
        smooth = jax.jit(make_perturbed_fun(lambda x: x, 20, 1e-9))  # so small that float32 would not notice
        np.testing.assert_allclose(smooth(KEY, x), x, atol=1e-8)
        assert jax.eval_shape(jax.jacobian(smooth, 1), KEY, x).dtype == jnp.float64


def test_small_noise_far_from_zero():
    """The score is that of the noise itself: (y - x) / sigma, from the rounded y, would be wrong by 6%."""

    def f(x):
        return make_perturbed_fun(lambda y: y[0] > x[0], 500, 1e-3, Normal())(KEY, x)

    def at_zero(x):
        return make_perturbed_fun(lambda y: y[0] > 0, 500, 1e-3, Normal())(KEY, x)

    far, near = jax.jit(jax.grad(f))(jnp.array([1000.0])), jax.jit(jax.grad(at_zero))(jnp.array([0.0]))
    np.testing.assert_allclose(far, near, rtol=0.05)


def test_what_else_the_function_depends_on_is_differentiated():
    """d/dp E[p x^2] = E[x^2], of the very samples."""

    def f(p, x):
        return make_perturbed_fun(lambda y: p * jnp.sum(jnp.square(y)), 100, 0.5)(KEY, x)

    gradient, value = jax.jit(lambda x: (jax.grad(f)(2.0, x), f(1.0, x)))(SCORES)
    assert gradient == pytest.approx(value.item(), rel=1e-5)


def test_as_a_fenchel_young_loss():
    """The gradient of the perturbed maximum is the expected argmax, so that of the loss is that minus the target."""
    maximum = make_perturbed_fun(jnp.max, 40_000, 1.0)
    loss = make_fenchel_young_loss(lambda scores, key: maximum(key, scores))
    targets = hard(SCORES)
    value, gradient = jax.jit(jax.value_and_grad(loss))(SCORES, targets, KEY)
    smooth = jax.scipy.special.logsumexp(SCORES) + np.euler_gamma  # E[max(x + z)] with Gumbel noise
    assert value == pytest.approx((smooth - SCORES[0]).item(), abs=4 * np.pi / np.sqrt(6) / 200)
    expected = jax.jit(make_perturbed_fun(hard, 40_000, 1.0))(KEY, SCORES) - targets
    np.testing.assert_allclose(gradient, expected, atol=0.05)


@pytest.mark.parametrize("noise", [Gumbel(), Normal()])
def test_the_noises_are_values(noise):
    assert noise == type(noise)()
    assert hash(noise) == hash(pickle.loads(pickle.dumps(noise)))
    assert repr(noise) == f"{type(noise).__name__}()"
    assert noise.sample(KEY).shape == ()
    assert noise.sample(KEY, (2, 3), jnp.bfloat16).dtype == jnp.bfloat16


def test_the_densities():
    z = np.linspace(-2.0, 30.0, 3201)
    for noise, name in [(Gumbel(), "gumbel_r"), (Normal(), "norm")]:
        log = np.asarray(noise.log_prob(z.astype(np.float32)), np.float64)
        reference = -z - np.exp(-z) if name == "gumbel_r" else -(z**2) / 2 - np.log(2 * np.pi) / 2
        np.testing.assert_allclose(log, reference, 1e-5)
        assert noise.log_prob(1).dtype == jnp.float32
        assert noise.log_prob(jnp.bfloat16(1)).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: make_perturbed_fun(hard, 0), ValueError, "num_samples must be at least 1, not 0"),
        (lambda: make_perturbed_fun(hard, 2.5), TypeError, "num_samples must be an integer, not 2.5"),
        (lambda: make_perturbed_fun(hard, 10, 0.0), ValueError, "sigma must be above 0, not 0.0"),
        (lambda: make_perturbed_fun(hard, 10, -1.0), ValueError, "sigma must be above 0, not -1.0"),
        (lambda: make_perturbed_fun(hard, noise="x"), TypeError, "noise must have sample.* but 'x' has no method"),
        (lambda: make_perturbed_fun(None), TypeError, "fun must be a function, not None"),
        (
            lambda: make_perturbed_fun(hard)(KEY, {"a": jnp.arange(3)}),
            TypeError,
            r"x\['a'\] must be floating .* int32",
        ),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()

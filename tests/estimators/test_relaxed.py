"""Relaxed samples: their values, what derivatives see of them, and the biased estimators made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    _noise,
    _relaxed,
    bernoulli,
    binary_concrete,
    categorical,
    gumbel_rao,
    gumbel_rao_jacobians,
    gumbel_softmax,
    gumbel_softmax_jacobians,
    multi_normal,
    straight_through,
    straight_through_jacobians,
)
from reference import discrete as reference
from x64 import enable_x64

KEY = jax.random.key(5)
LOGITS = jnp.array([[0.5, -1.0, 0.2], [2.0, 0.0, 1.0]])
ESTIMATORS = [straight_through_jacobians, gumbel_softmax_jacobians, gumbel_rao_jacobians]
each = pytest.mark.parametrize("estimate", ESTIMATORS)
on_classes = pytest.mark.parametrize("relax", [gumbel_softmax, gumbel_rao])
every = pytest.mark.parametrize("relax", [gumbel_softmax, binary_concrete, gumbel_rao])


def cost(x):
    return jnp.sum(jnp.square(x - 0.3) * jnp.arange(1.0, 1 + x.size).reshape(x.shape).astype(x.dtype))


class TestStraightThrough:
    @pytest.mark.parametrize("dtype", [bool, jnp.int32, jnp.bfloat16])
    def test_value_of_one_and_derivative_of_the_other(self, dtype):
        def through(x):
            return straight_through((x > 0).astype(dtype), jnp.tanh(x))

        x = jnp.array([-30.0, -0.1, 0.0, 0.7]).astype(jnp.bfloat16)
        value, tangent = jax.jvp(through, [x], [jnp.ones_like(x)])
        assert value.dtype == jnp.bfloat16
        assert value.tolist() == [0, 0, 0, 1]
        np.testing.assert_array_equal(tangent, jax.jvp(jnp.tanh, [x], [jnp.ones_like(x)])[1])

    def test_the_value_is_exact(self):
        """However large `soft` is: hard + soft - soft, summed from the left, would round it away."""
        hard, soft = jnp.array([0.1, 1e-30]), jnp.array([0.7, 1e30])
        assert jnp.array_equal(jax.jit(straight_through)(hard, soft), hard)

    def test_no_derivative_by_the_value(self):
        assert jax.grad(lambda h: straight_through(h, 3 * h))(2.0) == 3

    def test_second_derivatives_are_those_of_soft(self):
        assert jax.grad(jax.grad(lambda x: straight_through(jnp.round(x), x**3)))(2.0) == 12

    def test_errors(self):
        with pytest.raises(ValueError, match=r"same shape, got \(2,\) and \(3,\)"):
            straight_through(jnp.ones(2), jnp.ones(3))
        with pytest.raises(TypeError, match=r"soft must be floating, .* got dtype int32"):
            straight_through(jnp.ones(2), jnp.ones(2, int))
        with pytest.raises(TypeError, match="dtype of soft, bfloat16, or be integer, got float32"):
            straight_through(jnp.ones(2), jnp.ones(2, jnp.bfloat16))


class TestRelaxedSamples:
    def test_gumbel_softmax_against_numpy(self):
        noise = np.asarray(_noise.gumbel(KEY, LOGITS.shape, jnp.float32), np.float64)
        ours, pull = jax.vjp(jax.jit(lambda t: gumbel_softmax(t, KEY, temperature=0.7)), LOGITS)
        np.testing.assert_allclose(ours, reference.softmax((LOGITS + noise) / 0.7), 1e-5)
        cotangent = jnp.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
        expected = [c @ reference.softmax_jacobian(z, 0.7) for c, z in zip(cotangent, LOGITS + noise, strict=True)]
        np.testing.assert_allclose(pull(cotangent)[0], expected, 1e-4, 1e-6)

    def test_binary_concrete_against_numpy(self):
        noise = np.asarray(_noise.logistic(KEY, LOGITS.shape, jnp.float32), np.float64)
        run = jax.jit(lambda t: jax.jvp(lambda s: binary_concrete(s, KEY, temperature=0.7), [t], [jnp.ones_like(t)]))
        ours, slope = run(LOGITS)
        y = reference.sigmoid((LOGITS + noise) / 0.7)
        np.testing.assert_allclose(ours, y, 1e-5)
        np.testing.assert_allclose(slope, y * (1 - y) / 0.7, 1e-4)

    @pytest.mark.parametrize("relax", [gumbel_softmax, binary_concrete])
    def test_hard_samples_have_the_derivative_of_soft_ones(self, relax):
        (hard, slope), (soft, expected) = (
            jax.jvp(lambda t, h=h: relax(t, KEY, temperature=0.4, hard=h), [LOGITS], [LOGITS + 1])
            for h in (True, False)
        )
        np.testing.assert_array_equal(slope, expected)
        threshold = soft.max(-1, keepdims=True) if relax is gumbel_softmax else 0.5
        np.testing.assert_array_equal(hard, soft >= threshold)

    @every
    def test_low_precision(self, relax):
        theta = LOGITS.astype(jnp.bfloat16)
        run = jax.jit(lambda t: relax(t, KEY, temperature=0.5))
        assert run(theta).dtype == jnp.bfloat16
        np.testing.assert_array_equal(run(theta), run(theta.astype(jnp.float32)).astype(jnp.bfloat16))

    @on_classes
    def test_the_axis_of_the_classes(self, relax):
        column = LOGITS[:1].T
        by_rows, again, plain = jax.jit(
            lambda: (relax(column, KEY, axis=0), relax(column, KEY, axis=-2), relax(LOGITS[0], KEY))
        )()
        np.testing.assert_array_equal(by_rows, again)
        np.testing.assert_allclose(by_rows, plain[:, None], 1e-6)

    @every
    def test_extreme_logits_and_temperatures(self, relax):
        """Impossible classes stay so, and derivatives by logits and temperature are finite."""
        theta = jnp.array([[30.0, -30.0, -jnp.inf], [0.0, 0.0, -jnp.inf]])

        @jax.jit
        def run(theta, temperature):
            y, pull = jax.vjp(lambda t, temp: relax(t, KEY, temperature=temp), theta, temperature)
            return y, pull(jnp.ones_like(y) * jnp.array([[1.0, 2.0, 3.0]]))

        for temperature in (1e-3, 1.0, 100.0):
            y, derivatives = run(theta, jnp.float32(temperature))
            assert (y[:, 2] == 0).all()
            for d in (y, *derivatives):
                assert jnp.isfinite(d).all(), temperature

    @every
    def test_the_law_of_hard_samples(self, relax):
        """The share of each class among 4000 draws, within 4 standard errors."""
        options = {} if relax is gumbel_rao else {"hard": True}
        if relax is gumbel_rao:
            options["num_samples"] = 1
        theta = jnp.broadcast_to(LOGITS[0], (4000, 3))
        shares = np.asarray(jax.jit(lambda t: relax(t, KEY, **options))(theta)).mean(0)
        p = reference.sigmoid(LOGITS[0]) if relax is binary_concrete else reference.softmax(LOGITS[0])
        assert (abs(shares - p) < 4 * np.sqrt(p * (1 - p) / 4000)).all()

    def test_errors(self):
        for relax in (gumbel_softmax, binary_concrete, gumbel_rao):
            with pytest.raises(ValueError, match=r"temperature must be above 0\.0, not 0"):
                relax(LOGITS, KEY, temperature=0)
            with pytest.raises(TypeError, match=r"logits must be floating, .* got dtype int32"):
                relax(jnp.zeros(3, int), KEY)
        for relax in (gumbel_softmax, gumbel_rao):
            with pytest.raises(ValueError, match=r"classes along axis 2, got shape \(2, 3\)"):
                relax(LOGITS, KEY, axis=2)
            with pytest.raises(ValueError, match=r"classes along axis -1, got shape \(\)"):
                relax(1.0, KEY)
        with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
            gumbel_rao(LOGITS, KEY, num_samples=0)


class TestConditionalGumbels:
    def test_against_the_formula(self):
        rng = np.random.default_rng(0)
        run = jax.jit(_relaxed.conditional_gumbels)
        for given in range(3):
            theta, e = rng.normal(size=3), rng.exponential(size=3)
            ours = run(*(x.astype(np.float32) for x in (theta, np.eye(3)[given], e)))
            np.testing.assert_allclose(ours, reference.conditional_gumbels(theta, given, e), 1e-5, 1e-6)

    def test_the_given_class_is_the_largest(self):
        e = _noise.exponential(KEY, (2000, 3), jnp.float32)
        run = jax.jit(jax.vmap(_relaxed.conditional_gumbels, in_axes=(None, None, 0)))
        for theta in ([0.5, -1.0, 0.2], [30.0, 0.0, -30.0]):
            for given in range(3):
                z = run(jnp.array(theta), jnp.eye(3)[given], e)
                assert jnp.isfinite(z).all()
                assert (z[:, given] == z.max(-1)).all(), (theta, given)

    def test_averaged_over_the_class_the_noise_is_gumbel(self):
        """Kolmogorov-Smirnov at level 0.001: sqrt(n) times the largest gap stays under 1.95."""
        n = 4000

        @jax.jit
        def draw(theta):
            hard = categorical(LOGITS[1]).sample((n,), jax.random.key(1))
            return _relaxed.conditional_gumbels(theta, hard, _noise.exponential(KEY, (n, 3), jnp.float32)) - theta

        for noise in np.asarray(draw(jnp.broadcast_to(LOGITS[1], (n, 3)))).T:
            law = np.exp(-np.exp(-np.sort(noise).astype(np.float64)))
            gap = max(abs(law - np.arange(n) / n).max(), abs(law - np.arange(1, n + 1) / n).max())
            assert np.sqrt(n) * gap < 1.95


class TestGumbelRao:
    def test_one_draw_is_the_straight_through_gumbel_softmax(self):
        (ours, slope), (expected, expected_slope) = (
            jax.jit(lambda t, relax=relax: jax.jvp(relax, [t], [t]))(LOGITS)
            for relax in (
                lambda t: gumbel_rao(t, KEY, temperature=0.6, num_samples=1),
                lambda t: gumbel_softmax(t, KEY, temperature=0.6, hard=True),
            )
        )
        np.testing.assert_array_equal(ours, expected)
        np.testing.assert_allclose(slope, expected_slope, 1e-5, 1e-6)

    def test_the_derivative_against_numpy(self, monkeypatch):
        theta = np.array([0.5, -1.0, 0.2])
        noise = np.array([-0.3, 1.0, 2.0])  # leads to class 2
        e = np.random.default_rng(1).exponential(size=(3, 3))
        monkeypatch.setattr(_relaxed, "gumbel", lambda *_: jnp.asarray(noise, jnp.float32))
        monkeypatch.setattr(_relaxed, "exponential", lambda *_: jnp.asarray(e, jnp.float32))
        run = jax.jit(jax.jacrev(lambda t: gumbel_rao(t, KEY, temperature=0.7, num_samples=4)))
        ours = run(jnp.asarray(theta, jnp.float32))
        draws = [theta + noise, *(reference.conditional_gumbels(theta, 2, row) for row in e)]
        expected = np.mean([reference.softmax_jacobian(z, 0.7) for z in draws], axis=0)
        np.testing.assert_allclose(ours, expected, 1e-4, 1e-5)

    def test_the_same_mean_with_less_variance(self):
        """The promise of the method, on 5000 derivatives; one standard error is about 0.01."""
        both = (gumbel_softmax_jacobians, gumbel_rao_jacobians)
        run = jax.jit(lambda t: [e(cost, [t], categorical, KEY, 5000, temperature=0.3)[0] for e in both])
        plain, rao = map(np.asarray, run(LOGITS[1]))
        error = np.sqrt((plain.var(0) + rao.var(0)) / 5000)
        assert (abs(plain.mean(0) - rao.mean(0)) < 4 * error).all()
        assert (rao.var(0) < 0.7 * plain.var(0)).all()


class TestEstimators:
    def test_straight_through_against_the_formula(self):
        """Of the samples that the distribution draws from the keys: grad f(b) times the derivative of p."""
        keys = jax.random.split(KEY, 6)
        theta = LOGITS[0]

        def run(builder):
            return jax.jit(lambda t: straight_through_jacobians(cost, [t], builder, KEY, 6)[0])(theta)

        b = np.asarray(jax.vmap(lambda k: bernoulli(theta).sample((), k))(keys), np.float64)
        slope = 2 * (b - 0.3) * np.arange(1, 4)
        p = reference.sigmoid(theta)
        ours = run(bernoulli)
        np.testing.assert_allclose(ours, slope * p * (1 - p), 1e-5)

        b = np.asarray(jax.vmap(lambda k: categorical(theta).sample((), k))(keys), np.float64)
        slope = 2 * (b - 0.3) * np.arange(1, 4)
        ours = run(categorical)
        np.testing.assert_allclose(ours, slope @ reference.softmax_jacobian(theta, 1.0), 1e-4, 1e-5)

    def test_straight_through_is_exact_for_linear_functions(self):
        weights = np.array([1.0, -2.0, 0.5], np.float32)
        run = jax.jit(lambda t: straight_through_jacobians(lambda b: jnp.dot(b, weights), [t], bernoulli, KEY, 2)[0])
        expected = reference.bernoulli_gradient(lambda b: b @ weights, LOGITS[0])
        np.testing.assert_allclose(run(LOGITS[0]), [expected, expected], 1e-5)

    @pytest.mark.parametrize(
        ("builder", "relax", "hard"), [(categorical, gumbel_softmax, True), (bernoulli, binary_concrete, False)]
    )
    def test_gumbel_softmax_is_the_gradient_through_the_sample(self, builder, relax, hard):
        options = {"temperature": 0.4, "hard": hard}
        by_hand = jax.vmap(jax.grad(lambda t, k: cost(relax(t, k, **options))), in_axes=(None, 0))

        @jax.jit
        def both(theta):
            ours = gumbel_softmax_jacobians(cost, [theta], builder, KEY, 3, **options)[0]
            return ours, by_hand(theta, jax.random.split(KEY, 3))

        np.testing.assert_allclose(*both(LOGITS), 1e-4, 1e-6)

    def test_bernoulli_is_two_classes(self):
        """Of which the sample is the indicator of the first."""

        def by_hand(t, key):
            pair = gumbel_rao(jnp.stack([t, jnp.zeros_like(t)], -1), key, temperature=0.4, num_samples=5)
            return cost(pair[:, 0])

        @jax.jit
        def both(theta):
            ours = gumbel_rao_jacobians(cost, [theta], bernoulli, KEY, 3, temperature=0.4, num_rao=5)[0]
            return ours, jax.vmap(jax.grad(by_hand), in_axes=(None, 0))(theta, jax.random.split(KEY, 3))

        np.testing.assert_allclose(*both(LOGITS[0]), 1e-4, 1e-6)

    @each
    def test_trees_and_dtypes(self, estimate):
        params = {"a": jnp.float32(0.2), "w": [LOGITS.astype(jnp.bfloat16)]}

        def run(params):
            return estimate(cost, params, lambda a, w: categorical(a * w[0].astype(a.dtype)), KEY, 4)

        out = jax.eval_shape(run, params)
        assert (out["a"].shape, out["a"].dtype) == ((4,), jnp.float32)
        assert (out["w"][0].shape, out["w"][0].dtype) == ((4, 2, 3), jnp.bfloat16)
        scalar, key = jnp.float32(0.3), jax.random.PRNGKey(0)
        assert jax.eval_shape(lambda p: estimate(cost, p, bernoulli, key, 2), [scalar])[0].shape == (2,)
        with enable_x64():
            wide = jax.ShapeDtypeStruct((2,), jnp.float64)
            assert jax.eval_shape(lambda p: estimate(cost, p, bernoulli, key, 2), [wide])[0].dtype == jnp.float64

    @each
    def test_errors(self, estimate):
        class Categorical:
            def __init__(self, logits):
                self.logits = logits

            def sample(self, *, seed, sample_shape):
                return jax.random.categorical(seed, self.logits, shape=sample_shape)

        with pytest.raises(ValueError, match=r"family categorical; build one whose samples are one-hot"):
            estimate(cost, [LOGITS[0]], Categorical, KEY, 3)
        with pytest.raises(ValueError, match="family normal; use score_function_jacobians"):
            estimate(cost, [LOGITS, LOGITS], multi_normal, KEY, 3)
        with pytest.raises(ValueError, match=r"the derivative of function is zero everywhere .* disarm_jacobians"):
            estimate(lambda b: b[0] > 0.5, [LOGITS[0]], bernoulli, KEY, 3)
        with pytest.raises(ValueError, match=r"to a scalar, got shape \(3,\)"):
            estimate(lambda b: b, [LOGITS[0]], bernoulli, KEY, 3)
        with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
            estimate(cost, [LOGITS[0]], bernoulli, KEY, 0)

    def test_errors_of_options(self):
        with pytest.raises(ValueError, match="num_rao must be >= 1, got 0"):
            gumbel_rao_jacobians(cost, [LOGITS[0]], bernoulli, KEY, 3, num_rao=0)
        for estimate in (gumbel_softmax_jacobians, gumbel_rao_jacobians):
            with pytest.raises(ValueError, match=r"temperature must be above 0\.0, not -1"):
                estimate(cost, [LOGITS[0]], bernoulli, KEY, 3, temperature=-1)

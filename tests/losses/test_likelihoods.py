import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import gaussian_nll_loss, negative_binomial_nll_loss, poisson_nll_loss
from reference import likelihood_losses as reference
from x64 import enable_x64

INF = float("inf")
array = functools.partial(hnp.arrays, np.float32, (2, 2))  # one shape: compiled once
REAL = array(elements=st.floats(-5, 5, width=32))
POSITIVE = array(elements=st.floats(0.125, 64, width=32))
COUNTS = array(elements=st.integers(0, 60))
gaussian = jax.jit(gaussian_nll_loss, static_argnames="full")
poisson = jax.jit(poisson_nll_loss, static_argnames=("log_input", "full"))
negative_binomial = jax.jit(negative_binomial_nll_loss, static_argnames="full")
slopes = jax.jit(jax.grad(negative_binomial_nll_loss, (0, 1, 2)))


def each(function, *arrays):
    return np.vectorize(function, otypes=[float])(*arrays)


@hypothesis.given(REAL, REAL, POSITIVE)
def test_gaussian_against_the_definition(mean, y, variance):
    expected = each(reference.gaussian, mean, y, variance)
    np.testing.assert_allclose(gaussian(mean, y, variance, full=True), expected, 1e-5, 1e-5)
    without = expected - np.log(2 * np.pi) / 2
    np.testing.assert_allclose(gaussian(mean, y, variance), without, 1e-5, 1e-5)


@hypothesis.given(REAL, COUNTS)
def test_poisson_against_the_definition(z, y):
    mean = np.exp(z.astype(np.float64))
    expected = each(reference.poisson, mean, y.astype(int)) - each(lambda y: reference.poisson(1.0, int(y)) - 1, y)
    np.testing.assert_allclose(poisson(z, y), expected, 1e-5, 1e-4)
    np.testing.assert_allclose(poisson(np.float32(mean), y, log_input=False), expected, 1e-5, 1e-4)


@hypothesis.given(REAL, COUNTS, POSITIVE)
def test_negative_binomial_against_the_definition(z, y, r):
    expected = each(reference.negative_binomial, np.exp(z.astype(np.float64)), y.astype(int), r)
    np.testing.assert_allclose(negative_binomial(z, y, r, full=True), expected, 1e-5, 1e-4)


class TestGaussian:
    def test_by_hand(self):
        assert gaussian([1.0, 1.0, 0.0], [1.0, 3.0, 2.0], [1.0, 1.0, 4.0]).tolist() == pytest.approx(
            [0, 2, np.log(2) + 0.5]
        )

    def test_variances_below_eps_count_as_eps_and_may_grow_again(self):
        v = jnp.array([0.0, -3.0, 1e-9, 0.01])
        total = jax.jit(lambda v: gaussian_nll_loss(jnp.ones(4), jnp.full(4, 3.0), v, eps=0.01))
        losses, pullback = jax.vjp(total, v)
        np.testing.assert_allclose(losses, 0.5 * (np.log(0.01) + 4 / 0.01), 1e-6)
        np.testing.assert_allclose(pullback(jnp.ones(4))[0], 0.5 * (1 / 0.01 - 4 / 0.01**2), 1e-6)

    def test_a_target_met_without_variance(self):
        value, gradient = jax.value_and_grad(gaussian_nll_loss, (0, 2))(1.0, 1.0, 0.0)
        assert value == pytest.approx(0.5 * np.log(1e-6), rel=1e-6)
        assert gradient[0] == 0
        assert gradient[1] == pytest.approx(0.5e6)

    def test_eps_is_positive_and_may_be_traced(self):
        with pytest.raises(ValueError, match=r"eps must be above 0, not 0\.0"):
            gaussian_nll_loss([1.0], [1.0], [1.0], eps=0.0)
        by_eps = jax.jit(jax.grad(lambda eps: gaussian_nll_loss(1.0, 1.0, 0.0, eps=eps)))
        assert by_eps(0.25) == pytest.approx(0.5 / 0.25)

    def test_the_three_have_one_shape(self):
        with pytest.raises(
            ValueError, match=r"predictions and variances must have the same shape, got \(3,\) and \(\)"
        ):
            gaussian_nll_loss(jnp.ones(3), jnp.ones(3), 1.0)


class TestPoisson:
    def test_by_hand(self):
        assert poisson([0.0, 1.0], [3.0, 2.0]).tolist() == pytest.approx([1, np.e - 2])
        assert poisson([1.0, 2.0], [3.0, 0.0], log_input=False).tolist() == pytest.approx([1, 2])

    def test_full_is_nearly_the_likelihood(self):
        y = np.array([0, 1, 2, 10, 60], np.float32)
        exact = each(reference.poisson, 1.0, y.astype(int))
        np.testing.assert_allclose(
            poisson(np.zeros(5), y, full=True) - exact, [0, 0, -0.0413, -0.0083, -0.0014], 0, 1e-4
        )

    def test_no_count_of_what_cannot_be(self):
        gradient = jax.jit(jax.grad(poisson_nll_loss, (0, 1)), static_argnames="log_input")
        assert poisson(-INF, 0.0) == 0
        assert [float(g) for g in gradient(-INF, 0.0)] == [0, 0]
        assert poisson(-INF, 1.0) == INF
        assert poisson(0.0, 0.0, log_input=False, eps=0.0) == 0
        assert [float(g) for g in gradient(0.0, 0.0, log_input=False, eps=0.0)] == [1, 0]
        assert poisson(0.0, 2.0, log_input=False, eps=0.0) == INF
        assert poisson(0.0, 2.0, log_input=False) == pytest.approx(-2 * np.log(1e-8))

    def test_the_gradient_is_mean_less_count(self):
        z, y = jnp.array([-1.0, 2.0, 0.0]), jnp.array([0.0, 5.0, 1.0])
        gradient = jax.grad(lambda z: poisson_nll_loss(z, y).sum())(z)
        np.testing.assert_allclose(gradient, np.exp(z) - y, 1e-6)

    def test_a_mean_below_0_is_none(self):
        assert jnp.isnan(poisson(-1.0, 1.0, log_input=False))

    def test_eps_is_not_negative(self):
        with pytest.raises(ValueError, match="eps must be at least 0"):
            poisson_nll_loss([1.0], [1.0], eps=-1.0)


Z = np.array([-20.0, -2.0, 0.0, 1.5, 5.0], np.float32)[:, None, None]
Y = np.array([0.0, 1.0, 3.0, 40.0, 1000.0], np.float32)[:, None]
R = np.array([0.1, 0.5, 2.0, 15.0, 17.0, 300.0, 1e4, 1e8, 1e20], np.float32)
GRID = tuple(np.array(x) for x in np.broadcast_arrays(Z, Y, R))


class TestNegativeBinomial:
    def test_by_hand(self):
        # r = 1 is the geometric distribution: with mean 1 each further count halves the probability.
        assert negative_binomial([0.0] * 3, [0, 1, 5], [1.0] * 3, full=True).tolist() == pytest.approx(
            np.log([2, 4, 64]), rel=1e-6
        )

    def test_float32_keeps_the_digits_of_float64(self):
        """For small and large concentrations, to the rounding of the largest term."""
        every = jax.jit(jax.vmap(jax.value_and_grad(negative_binomial_nll_loss, (0, 1, 2))))
        flat = [x.ravel() for x in GRID]
        value, gradients = every(*flat)
        with enable_x64():
            exact, exact_gradients = every(*(x.astype(np.float64) for x in flat))
        np.testing.assert_allclose(value, exact, 1e-5, 1e-5)
        for got, expected in zip(gradients, exact_gradients, strict=True):
            np.testing.assert_allclose(got, expected, 1e-5, 1e-5)

    @pytest.mark.parametrize("y", [0.0, 3.0, 40.0])
    def test_towards_infinity_it_is_poisson(self, y):
        z = 1.5
        value, by_z = jax.jit(jax.value_and_grad(negative_binomial_nll_loss))(z, y, 1e8)
        assert value == pytest.approx(float(poisson(z, y)), rel=1e-6, abs=1e-6)
        assert by_z == pytest.approx(np.exp(z) - y, rel=1e-6)

    @pytest.mark.parametrize("r", [1e4, 1e6, 1e8])
    def test_the_slope_by_a_large_concentration_keeps_its_digits(self, r):
        """By the series in 1 / r: ((y - mu)^2 - y) / (2 r^2) is its first term."""
        mu, y = 4.0, 7.0
        slope = slopes(float(np.log(mu)), y, r)[2]
        assert slope == pytest.approx(((y - mu) ** 2 - y) / (2 * r * r), rel=1e-2 if r == 1e4 else 1e-4)

    def test_both_formulas_meet(self):
        below, above = np.float32(16), np.nextafter(np.float32(16), np.float32(17))
        for y in (0.0, 5.0, 300.0):
            np.testing.assert_allclose(negative_binomial(1.0, y, below), negative_binomial(1.0, y, above), 2e-6, 1e-6)
            np.testing.assert_allclose(slopes(1.0, y, below), slopes(1.0, y, above), 1e-5, 1e-6)

    def test_extreme_means(self):
        value, gradient = jax.jit(jax.value_and_grad(negative_binomial_nll_loss, (0, 1, 2)))(-INF, 0.0, 2.0)
        assert value == 0
        assert jnp.isfinite(jnp.stack(gradient)).all()
        assert negative_binomial(-INF, 1.0, 2.0) == INF
        assert negative_binomial(200.0, 0.0, 2.0) == pytest.approx(2 * (200 - np.log(2)), rel=1e-6)
        assert slopes(200.0, 3.0, 2.0)[0] == pytest.approx(2)

    def test_second_derivatives(self):
        with enable_x64():
            point, h = (0.7, 3.0, 5.0), 1e-5
            second = jax.jit(jax.hessian(negative_binomial_nll_loss, (0, 1, 2)))(*point)
            for i in range(3):
                after, before = (slopes(*(x + sign * h * (k == i) for k, x in enumerate(point))) for sign in (1, -1))
                np.testing.assert_allclose(second[i], (np.array(after) - np.array(before)) / (2 * h), 1e-6, 1e-8)

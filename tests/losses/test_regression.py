import contextlib
import functools
import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax import losses
from reference import regression_losses as reference
from x64 import enable_x64

INF = float("inf")
NUMBERS = st.floats(-1e3, 1e3, width=32)
PAIRS = st.tuples(*[hnp.arrays(np.float32, (2, 3), elements=NUMBERS)] * 2)  # one shape: compiled once
LOSSES = [losses.squared_error, losses.l2_loss]
WITHOUT_TARGETS = [
    *LOSSES,
    losses.absolute_error,
    losses.huber_loss,
    losses.log_cosh,
    losses.smooth_l1_loss,
]
ALL = [*WITHOUT_TARGETS, losses.expectile_loss, losses.quantile_loss]


@hypothesis.given(PAIRS)
def test_the_square_of_the_error(pair):
    predictions, targets = pair
    expected = (predictions.astype(np.float64) - targets) ** 2
    np.testing.assert_allclose(losses.squared_error(predictions, targets), expected, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(losses.l2_loss(predictions, targets), expected / 2, rtol=1e-5, atol=1e-3)


def test_by_hand():
    assert losses.squared_error([1.0, -2.0, 4.0], [1.0, 1.0, 1.0]).tolist() == [0.0, 9.0, 9.0]
    assert losses.l2_loss([1.0, -2.0, 4.0], [1.0, 1.0, 1.0]).tolist() == [0.0, 4.5, 4.5]


@pytest.mark.parametrize("loss", WITHOUT_TARGETS)
def test_without_targets_they_are_zero(loss):
    x = jnp.array([[1.0, -3.0]])
    assert jnp.array_equal(loss(x), loss(x, jnp.zeros_like(x)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "arguments",
    [(3, 1), (3.0, 1), (np.float64(3.0), True), ([3], [1.0]), (jnp.array(3), jnp.array(1.0)), ([jnp.array(3.0)], [1])],
)
def test_numbers_lists_and_integers(loss, arguments):
    assert jnp.ravel(loss(*arguments)).tolist() == [4.0 if loss is losses.squared_error else 2.0]


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("shapes", [((4, 1), (4,)), ((4,), ()), ((), (4,)), ((2, 3), (3, 2)), ((1, 3), (2, 3))])
def test_shapes_must_be_equal(loss, shapes):
    """Defect E1: predictions of shape (4, 1) and targets of shape (4,) became a loss of shape (4, 4)."""
    p, y = (jnp.zeros(s) for s in shapes)
    message = f"predictions and targets must have the same shape, got {shapes[0]} and {shapes[1]}"
    with pytest.raises(ValueError, match=re.escape(message)):
        loss(p, y)
    with pytest.raises(ValueError, match="same shape"):
        jax.eval_shape(loss, p, y)


@pytest.mark.parametrize("loss", LOSSES)
def test_complex_numbers_are_refused(loss):
    with pytest.raises(TypeError, match="predictions must be real numbers, got dtype complex64"):
        loss(1 + 1j)
    with pytest.raises(TypeError, match="targets must be real numbers, got dtype complex64"):
        loss(jnp.ones(2), jnp.ones(2, jnp.complex64))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.int32, jnp.uint8, jnp.bool_])
def test_float32_is_the_least(loss, dtype):
    for targets in (None, jnp.ones(3, dtype), jnp.ones(3, jnp.float32), np.ones(3), [1, 1, 1]):
        value = loss(jnp.ones(3, dtype), targets)
        assert value.dtype == jnp.float32
        assert not value.weak_type


@pytest.mark.parametrize("loss", LOSSES)
def test_float64_stays(loss):
    with enable_x64():
        assert loss(jnp.ones(3, jnp.float64)).dtype == jnp.float64
        assert loss(jnp.ones(3, jnp.float32), jnp.ones(3, jnp.float64)).dtype == jnp.float64
        assert loss(jnp.ones(3, jnp.float32), [1, 1, 1]).dtype == jnp.float32
        assert loss(jnp.float32(1), 0.5).dtype == jnp.float32  # a Python number follows
        assert loss(0.5).dtype == jnp.float64


def test_half_precision_does_not_overflow():
    assert losses.squared_error(jnp.float16(300), jnp.float16(-300)) == 360000
    assert jnp.isfinite(losses.l2_loss(jnp.float16(60000)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_the_gradient_of_half_the_square_is_the_error(dtype):
    p, y = jnp.array([1.0, 2.0, 3.0], dtype), jnp.array([3.0, 2.0, 1.0], jnp.float32)
    gradient = jax.grad(lambda p: losses.l2_loss(p, y).sum())(p)
    assert gradient.dtype == dtype
    assert gradient.tolist() == [-2.0, 0.0, 2.0]


@pytest.mark.parametrize("loss", LOSSES)
def test_under_transformations(loss):
    p, y = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[0.0, 2.5], [1.0, -1.0]])
    expected = loss(p, y)
    assert jnp.array_equal(jax.jit(loss)(p, y), expected)
    assert jnp.array_equal(jax.vmap(jax.vmap(loss))(p, y), expected)
    value, slope = jax.jvp(loss, (p, y), (jnp.ones_like(p), jnp.zeros_like(y)))
    assert jnp.array_equal(value, expected)
    assert jnp.allclose(slope, jax.grad(lambda p: loss(p, y).sum())(p))


@pytest.mark.parametrize("loss", LOSSES)
def test_empty(loss):
    assert loss(jnp.zeros((0, 3)), jnp.zeros((0, 3))).shape == (0, 3)


def compiled(name, **settings):
    return jax.jit(functools.partial(getattr(losses, name), **settings))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (compiled("absolute_error"), lambda p, y: np.abs(p - y)),
        (compiled("huber_loss", delta=2.5), lambda p, y: reference.huber(p - y, 2.5)),
        (compiled("smooth_l1_loss", beta=2.5), lambda p, y: reference.smooth_l1(p - y, 2.5)),
        (compiled("log_cosh"), lambda p, y: reference.log_cosh(p - y)),
        (compiled("quantile_loss", quantile=0.3), lambda p, y: reference.pinball(y - p, 0.3)),
        (compiled("expectile_loss", expectile=0.3), lambda p, y: reference.expectile(y - p, 0.3)),
    ],
    ids=["absolute", "huber", "smooth_l1", "log_cosh", "quantile", "expectile"],
)
@hypothesis.given(PAIRS)
def test_against_the_definition(loss, expected, pair):
    predictions, targets = pair
    expected = expected(predictions.astype(np.float64), targets.astype(np.float64))
    np.testing.assert_allclose(loss(predictions, targets), expected, rtol=1e-5, atol=1e-3)


class TestHuber:
    def test_by_hand(self):
        assert losses.huber_loss([0.5, -3.0, 2.0], delta=2.0).tolist() == [0.125, 4.0, 2.0]
        slopes = jax.grad(lambda e: losses.huber_loss(e, delta=2.0).sum())(jnp.array([0.5, -3.0, 2.0, 0.0]))
        assert slopes.tolist() == [0.5, -2.0, 2.0, 0.0]

    def test_errors_of_any_size(self):
        e = jnp.array([1e-15, 1e30, -3e38, INF])
        value, pullback = jax.vjp(losses.huber_loss, e)
        np.testing.assert_allclose(value, [5e-31, 1e30, 3e38, INF], 1e-6)
        np.testing.assert_allclose(pullback(jnp.ones(4))[0], [1e-15, 1, -1, 1], 1e-6)

    @pytest.mark.parametrize("delta", [1e30, INF])
    def test_of_a_large_delta_is_half_the_square(self, delta):
        e = jnp.array([3.0, -1e5, INF])
        assert jnp.array_equal(losses.huber_loss(e, delta=delta), losses.l2_loss(e))

    def test_delta_may_be_traced_and_differentiated(self):
        e = jnp.array([0.5, -3.0])
        by_delta = jax.jit(jax.jacfwd(lambda delta: losses.huber_loss(e, delta=delta)))
        np.testing.assert_allclose(by_delta(2.0), [0, 1], 1e-6)  # d (delta |e| - delta^2 / 2) = |e| - delta
        several = jax.vmap(lambda delta: losses.huber_loss(e, delta=delta))(jnp.array([2.0, 4.0]))
        np.testing.assert_allclose(several, [[0.125, 4.0], [0.125, 4.5]], 1e-6)

    @pytest.mark.parametrize("delta", [0.0, -1.0, float("nan")])
    def test_delta_is_positive(self, delta):
        with pytest.raises(ValueError, match=f"delta must be above 0, not {delta}"):
            losses.huber_loss([1.0], delta=delta)


class TestSmoothL1:
    def test_by_hand(self):
        assert losses.smooth_l1_loss([0.5, -3.0, 2.0], beta=2.0).tolist() == [0.0625, 2.0, 1.0]

    @pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
    def test_without_a_square_it_is_the_absolute_error(self, wrap):
        e = jnp.array([0.0, 1e-30, -2.0])
        value, slopes = wrap(jax.value_and_grad(lambda e, beta: losses.smooth_l1_loss(e, beta=beta).sum()))(e, 0.0)
        assert value == 2
        assert slopes.tolist() == [0, 1, -1]

    def test_beta_is_not_negative(self):
        with pytest.raises(ValueError, match="beta must be at least 0"):
            losses.smooth_l1_loss([1.0], beta=-1.0)


def test_the_absolute_error_has_no_slope_at_its_kink():
    assert jax.grad(lambda e: losses.absolute_error(e).sum())(jnp.array([0.0, 2.0, -1e-30])).tolist() == [0, 1, -1]


class TestLogCosh:
    def test_small_errors_keep_their_digits(self):
        e = np.float32([1e-15, -1e-8, 1e-4, 0.01, 0.1])
        x = e.astype(np.float64)
        series = x**2 / 2 - x**4 / 12 + x**6 / 45 - 17 * x**8 / 2520
        np.testing.assert_allclose(losses.log_cosh(e), series, 1e-6)

    @pytest.mark.parametrize("x64", [False, True])
    def test_every_size_in_all_digits(self, x64):
        with enable_x64() if x64 else contextlib.nullcontext():
            e = np.linspace(-12, 12, 997).astype(np.float64 if x64 else np.float32)
            e = e[np.abs(e) > 0.3]  # below, the definition itself has lost digits
            np.testing.assert_allclose(losses.log_cosh(e), reference.log_cosh(e.astype(float)), 1e-14 if x64 else 1e-6)

    def test_large_errors_do_not_overflow(self):
        np.testing.assert_allclose(losses.log_cosh([-100.0, 1e38, INF]), [100 - np.log(2), 1e38, INF], 1e-6)

    def test_the_gradient_is_the_hyperbolic_tangent(self):
        e = jnp.array([0.0, 1e-20, -1e-3, 0.5, -3.0, 200.0, INF])
        first, second = jax.grad(losses.log_cosh), jax.grad(jax.grad(losses.log_cosh))
        np.testing.assert_allclose(jax.vmap(first)(e), np.tanh(np.float64(e)), 1e-6)
        np.testing.assert_allclose(jax.vmap(second)(e), 1 - np.tanh(np.float64(e)) ** 2, 1e-5, 1e-6)


class TestQuantiles:
    def test_by_hand(self):
        assert losses.quantile_loss([1.0, 1.0, 1.0], [3.0, 0.0, 1.0], quantile=0.75).tolist() == [1.5, 0.25, 0.0]

    def test_the_median_is_half_the_absolute_error(self):
        p, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.5, -1.0, 3.0])
        assert jnp.array_equal(losses.quantile_loss(p, y), losses.absolute_error(p, y) / 2)
        assert jax.grad(lambda p: losses.quantile_loss(p, y).sum())(p).tolist() == [-0.5, 0.5, 0.0]

    @pytest.mark.parametrize("make", [list, np.asarray, jnp.asarray])
    def test_several_at_once_are_those_one_by_one(self, make):
        levels = [0.1, 0.5, 0.9]
        p, y = jnp.sin(jnp.arange(12.0)).reshape(4, 3), jnp.repeat(jnp.arange(4.0)[:, None] - 1.5, 3, axis=1)
        together = losses.quantile_loss(p, y, quantile=make(levels))
        for i, level in enumerate(levels):
            assert jnp.allclose(together[:, i], losses.quantile_loss(p[:, i], y[:, i], quantile=level), 1e-6)

    def test_the_loss_is_least_at_the_quantile(self):
        y = jnp.linspace(0, 1, 1001)
        mean = jax.jit(lambda p: losses.quantile_loss(jnp.full_like(y, p), y, quantile=0.2, reduction="mean"))
        assert min(np.linspace(0, 1, 51), key=mean) == pytest.approx(0.2)

    def test_the_level_may_be_traced(self):
        by_level = jax.jit(jax.grad(lambda q: losses.quantile_loss(1.0, 3.0, quantile=q)))
        assert by_level(0.3) == 2

    @pytest.mark.parametrize("loss", [losses.quantile_loss, losses.expectile_loss])
    def test_levels_are_checked(self, loss):
        name = loss.__name__.removesuffix("_loss")
        p = jnp.zeros((2, 3))
        for wrong in (0.0, 1, -0.5, float("nan"), [0.1, 0.5, 1.5]):
            with pytest.raises(ValueError, match=f"{name} must be above 0.0 and below 1|{name} must be above 0 and"):
                loss(p, p, **{name: wrong})
        for wrong in ([0.1, 0.9], np.full((2, 3), 0.5), np.full(1, 0.5)):
            with pytest.raises(ValueError, match=rf"{name} must be a number or have shape \(3,\)"):
                jax.jit(functools.partial(loss, **{name: wrong}))(p, p)


def test_the_expectile_loss_of_one_half_is_half_the_square():
    p, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.5, -1.0, 3.0])
    assert jnp.array_equal(losses.expectile_loss(p, y), losses.l2_loss(p, y))
    assert losses.expectile_loss([1.0, 1.0], [3.0, 0.0], expectile=0.75).tolist() == [3.0, 0.25]


@pytest.mark.parametrize("loss", ALL)
def test_half_precision_of_all(loss):
    value, slope = jax.value_and_grad(loss)(jnp.float16(300), jnp.float16(-300))
    assert value.dtype == jnp.float32
    assert slope.dtype == jnp.float16
    assert jnp.isfinite(value)

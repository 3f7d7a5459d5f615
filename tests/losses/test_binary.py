import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import asymmetric_loss, sigmoid_binary_cross_entropy
from reference import binary_losses as reference
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
LOGITS = hnp.arrays(np.float32, 8, elements=st.floats(-60, 60, width=32))  # one shape: compiled once
LABELS = hnp.arrays(np.float32, 8, elements=st.floats(0, 1, width=32))
SETTINGS = [(0.0, 4.0, 0.05), (1.0, 0.5, 0.3), (0, 0, 0), (0.25, 2, 0), (3, 1, 0.75)]

entropy = jax.jit(sigmoid_binary_cross_entropy)
entropy_slopes = jax.jit(jax.grad(lambda x, y: sigmoid_binary_cross_entropy(x, y).sum(), (0, 1)))
asymmetric = jax.jit(
    lambda x, y, s: asymmetric_loss(x, y, gamma_positive=s[0], gamma_negative=s[1], clip=s[2])  # traced settings
)


@jax.jit
@functools.partial(jax.vmap, in_axes=(0, None))
def slopes_at_the_shift(x, gamma):
    slope = jax.grad(lambda x: asymmetric_loss(x, 0.0, clip=0.5, gamma_negative=gamma))
    return slope(x), jax.grad(slope)(x)


def each(rule, x, y, *settings):
    return [rule(float(a), float(b), *settings) for a, b in zip(x, y, strict=True)]


@hypothesis.given(LOGITS, LABELS)
def test_entropy_against_the_definition(x, y):
    np.testing.assert_allclose(entropy(x, y), each(reference.cross_entropy, x, y), 1e-6, 0)
    by_x, by_y = entropy_slopes(x, y)
    np.testing.assert_allclose(by_x, each(lambda a, b: reference.sigmoid(a) - b, x, y), 1e-5, 1e-7)
    np.testing.assert_array_equal(by_y, -x)


@hypothesis.given(LOGITS, LABELS, st.sampled_from(SETTINGS))
def test_asymmetric_against_the_definition(x, y, settings):
    expected = each(reference.asymmetric, x, y, *settings)
    traced = asymmetric(x, y, np.asarray(settings, np.float32))
    np.testing.assert_allclose(traced, expected, 1e-4, 1e-6)


@pytest.mark.parametrize(("positive", "negative", "clip"), SETTINGS)
def test_asymmetric_with_numbers(positive, negative, clip):
    x, y = np.linspace(-20, 20, 41, dtype=np.float32), np.tile(np.float32([0, 1, 0.25]), 14)[:41]
    settings = {"gamma_positive": positive, "gamma_negative": negative, "clip": clip}
    losses = jax.jit(functools.partial(asymmetric_loss, **settings))(x, y)
    np.testing.assert_allclose(losses, each(reference.asymmetric, x, y, positive, negative, clip), 1e-5, 1e-6)
    if positive == negative == clip == 0:
        np.testing.assert_allclose(losses, entropy(x, y), 1e-6)


def test_digits_of_confident_predictions_are_kept():
    x = jnp.array([20.0, 80.0, -80.0])
    y = jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(entropy(x, y), np.exp([-20.0, -80.0, -80.0]), 1e-5)
    slopes, _ = entropy_slopes(x, y)
    np.testing.assert_allclose(slopes, -(2 * y - 1) * np.exp([-20.0, -80.0, -80.0]), 1e-5)
    nearly = np.float32(1 - 2**-20)  # 1e6 - 1e6 nearly would have no digit left
    assert entropy(1e9, nearly) == pytest.approx(1e9 * 2.0**-20)
    np.testing.assert_allclose(asymmetric(x, y, np.float32([0, 4, 0])), [np.exp(-20.0), np.exp(-80.0), 0], 1e-5, 1e-30)


class TestInfiniteLogits:
    X, Y = jnp.array([INF, -INF, 1e30, -1e30]), jnp.array([1.0, 0.0, 1.0, 0.0])

    @pytest.mark.parametrize("loss", [sigmoid_binary_cross_entropy, asymmetric_loss])
    def test_cost_nothing_if_confirmed(self, loss):
        for x, y in ((self.X[:2], self.Y[:2]), (self.X[2:], self.Y[2:])):
            losses, slopes = jax.jit(jax.vmap(jax.value_and_grad(loss)))(x, y)
            assert losses.tolist() == slopes.tolist() == [0, 0]

    def test_have_finite_slopes_by_confirming_labels(self):
        _, by_y = entropy_slopes(self.X, self.Y)
        np.testing.assert_array_equal(by_y, np.float32([0, 0, -1e30, 1e30]))

    @pytest.mark.parametrize("clip", [0.0, 0.05])
    def test_cost_infinity_if_denied(self, clip):
        assert entropy(self.X[:2], jnp.array([0.0, 1.0])).tolist() == [INF, INF]
        assert entropy(self.X[:2], jnp.array([0.5, 0.5])).tolist() == [INF, INF]
        both = jax.jit(jax.vmap(jax.value_and_grad(lambda x, y: asymmetric_loss(x, y, clip=clip))))
        losses, slopes = both(self.X[:2], jnp.array([0.0, 1.0]))
        # A shifted probability stays below 1 - clip, and with it the cost of a negative.
        np.testing.assert_allclose(losses, [-((1 - clip) ** 4) * np.log(clip) if clip else INF, INF], 1e-5)
        np.testing.assert_allclose(slopes, [0.0 if clip else 1.0, -1.0], 1e-6)

    def test_nan_is_not_hidden(self):
        x, y = jnp.array([NAN, NAN, 0.0]), jnp.array([0.0, 1.0, NAN])
        assert jnp.isnan(entropy(x, y)).all()
        assert jnp.isnan(asymmetric(x, y, np.float32([0, 4, 0.05]))).all()


class TestClip:
    def test_easy_negatives_cost_nothing(self):
        x = jnp.array([-3.0, -2.9, -100.0])  # the sigmoids of which are below 0.053
        loss, slopes = jax.jit(
            jax.value_and_grad(lambda x: asymmetric_loss(x, jnp.zeros(3), clip=0.06, gamma_negative=0.5).sum())
        )(x)
        assert loss == 0
        assert slopes.tolist() == [0, 0, 0]

    @pytest.mark.parametrize("gamma", [0.0, 0.25, 1.0, 4.0])
    def test_slopes_are_finite_at_the_shift(self, gamma):
        x = np.array([0.0, 1e-30, 1e-6, 1e-3], np.float32)  # p = clip, or a little more
        first, second = slopes_at_the_shift(x, gamma)
        assert first[0] == 0
        assert np.isfinite(first).all()
        assert np.isfinite(second).all()

    def test_small_but_not_zero(self):
        x = np.float32(25.0)
        settings = (0.0, 0.0, 1e-9)
        expected = reference.asymmetric(25.0, 0.0, *settings)
        assert asymmetric(x, 0.0, np.float32(settings)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        sigmoid_binary_cross_entropy,
        asymmetric_loss,
        lambda x, y: asymmetric_loss(x, y, gamma_positive=0.5, gamma_negative=2, clip=0),
    ],
)
def test_second_derivatives_agree_with_finite_differences(loss):
    with enable_x64():
        x, y = np.array([-30.0, -2.0, -0.5, 1.0, 3.0, 40.0]), np.array([0.0, 0.3, 1.0, 0.5, 0.8, 1.0])
        slope = jax.jit(jax.grad(lambda x, y: loss(x, y).sum(), (0, 1)))
        h = 1e-6
        _, by_xx = jax.jvp(slope, (x, y), (np.ones_like(x), np.zeros_like(y)))
        for i in (0, 1):
            np.testing.assert_allclose(by_xx[i], (slope(x + h, y)[i] - slope(x - h, y)[i]) / (2 * h), 1e-6, 1e-9)


def test_the_second_derivative_at_0():
    assert jax.jit(jax.grad(jax.grad(sigmoid_binary_cross_entropy)))(0.0, 0.3) == 0.25


def test_settings_can_be_differentiated():
    with enable_x64():
        settings = np.array([0.5, 1.5, 0.1])
        x, y = np.array([-1.0, 0.3, 2.0]), np.array([0.0, 1.0, 0.4])

        @jax.jit
        def total(s):
            return asymmetric_loss(x, y, gamma_positive=s[0], gamma_negative=s[1], clip=s[2]).sum()

        slopes, h = jax.jit(jax.grad(total))(settings), 1e-6
        steps = h * np.eye(3)
        np.testing.assert_allclose(slopes, [(total(settings + d) - total(settings - d)) / (2 * h) for d in steps], 1e-7)


def test_e1_shapes_are_never_broadcast():
    """Defect E1: logits of shape (N, 1) and labels of shape (N,) made losses of shape (N, N)."""
    for loss in (sigmoid_binary_cross_entropy, asymmetric_loss):
        with pytest.raises(ValueError, match=r"logits and labels must have the same shape, got \(4, 1\) and \(4,\)"):
            loss(jnp.zeros((4, 1)), jnp.ones(4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma_positive": -1.0}, "gamma_positive must be at least 0, not -1.0"),
        ({"gamma_negative": NAN}, "gamma_negative must be at least 0"),
        ({"clip": 1.0}, "clip must be at least 0 and below 1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        asymmetric_loss([0.0], [0.0], **settings)


def test_labels_of_any_kind():
    for labels in (
        np.array([True, False]),
        np.array([1, 0]),
        jnp.array([1, 0], jnp.int8),
        jnp.array([1.0, 0.0], jnp.bfloat16),
    ):
        losses = entropy(jnp.array([1.0, 2.0]), labels)
        np.testing.assert_allclose(losses, [np.log1p(np.exp(-1)), np.log1p(np.exp(2))], 1e-6)


def test_the_gradient_needs_little_more_memory_than_itself():
    x = jnp.zeros((256, 1024))
    compiled = jax.jit(jax.value_and_grad(lambda x, y: sigmoid_binary_cross_entropy(x, y).mean())).lower(x, x).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 1.25 * x.nbytes

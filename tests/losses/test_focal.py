import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import (
    sigmoid_binary_cross_entropy,
    sigmoid_focal_loss,
    softmax_cross_entropy_with_integer_labels,
    softmax_focal_loss,
)
from reference import binary_losses, class_losses
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
LOGITS = hnp.arrays(np.float32, 8, elements=st.floats(-60, 60, width=32))  # one shape: compiled once
LABELS = hnp.arrays(np.float32, 8, elements=st.floats(0, 1, width=32))
ROWS = hnp.arrays(np.float32, (3, 4), elements=st.floats(-30, 30, width=32))
GAMMAS = [0, 0.5, 1, 2, 3, 4, 5]

focal = jax.jit(lambda x, y, alpha, gamma: sigmoid_focal_loss(x, y, alpha=alpha, gamma=gamma))
focal_of_square = jax.jit(lambda x, y: sigmoid_focal_loss(x, y, alpha=0.25))
static = {"static_argnames": ("gamma", "axis")}
of_elements, of_rows = jax.jit(sigmoid_focal_loss, **static), jax.jit(softmax_focal_loss, **static)
of_classes = jax.jit(lambda z, k, alpha, gamma: softmax_focal_loss(z, k, alpha=alpha, gamma=gamma))


@hypothesis.given(LOGITS, LABELS, st.sampled_from(GAMMAS), st.sampled_from([0.0, 0.25, 1.0]))
def test_sigmoid_against_the_definition(x, y, gamma, alpha):
    rows = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    expected = [binary_losses.focal(*row, alpha, gamma) for row in rows]
    np.testing.assert_allclose(focal(x, y, np.float32(alpha), np.float32(gamma)), expected, 1e-4, 1e-7)
    np.testing.assert_allclose(focal_of_square(x, y), [binary_losses.focal(*row, 0.25, 2) for row in rows], 1e-5, 1e-30)


@hypothesis.given(ROWS, st.data(), st.sampled_from(GAMMAS))
def test_softmax_against_the_definition(z, data, gamma):
    k = data.draw(hnp.arrays(np.int32, 3, elements=st.integers(0, 3)))
    alpha = np.float32([0.5, 1.0, 0.0, 3.0])
    rows = [(row.astype(np.float64), label, alpha[label]) for row, label in zip(z, k, strict=True)]
    expected = [class_losses.softmax_focal(*row, gamma) for row in rows]
    np.testing.assert_allclose(of_classes(z, k, alpha, np.float32(gamma)), expected, 1e-4, 1e-6)


@pytest.mark.parametrize("gamma", [0, 1, 2, 3, 4])
def test_numbers_and_arrays_of_gamma_agree(gamma):
    x = np.float32([-80.0, -3.0, 0.0, 0.5, 4.0, 80.0])
    y = np.float32([0.3, 0.9, 0.5, 0.0, 1.0, 0.25])
    np.testing.assert_allclose(
        jax.jit(lambda x, y: sigmoid_focal_loss(x, y, alpha=0.25, gamma=gamma))(x, y),
        focal(np.resize(x, 8), np.resize(y, 8), np.float32(0.25), np.float32(gamma))[:6],
        1e-5,
    )
    z, k, alpha = np.resize(x, (3, 4)), np.array([2, 3, 0], np.int32), np.float32([1.0, 0.5, 2.0, 3.0])
    losses = jax.jit(lambda z, k: softmax_focal_loss(z, k, alpha=alpha, gamma=gamma))(z, k)
    np.testing.assert_allclose(losses, of_classes(z, k, alpha, np.float32(gamma)), 1e-5, 1e-30)


@functools.cache
def _elementwise(traced):
    """Losses and derivatives for labels that are true, and slopes for those that are not; compiled."""

    @functools.partial(jax.jit, static_argnums=() if traced else 2)
    def probe(x, y, gamma):
        def loss(x, y):
            return sigmoid_focal_loss(x, y, gamma=gamma, alpha=0.5)

        def derivatives(x, y):
            return loss(x, y), jax.grad(loss, (0, 1))(x, y), jax.grad(loss)(x, 1 - y), jax.hessian(loss, (0, 1))(x, y)

        return jax.vmap(derivatives)(x, y)

    return probe


@functools.cache
def _rowwise(traced):
    @functools.partial(jax.jit, static_argnums=() if traced else 2)
    def probe(z, k, gamma):
        def loss(z, k):
            return softmax_focal_loss(z, k, gamma=gamma)

        return loss(z, k), jax.vmap(jax.grad(loss))(z, k), jax.vmap(jax.hessian(loss))(z, k)

    return probe


def test_gamma_0_is_the_cross_entropy():
    x, y = jnp.linspace(-9.0, 9.0, 7), jnp.array([0.0, 1.0, 0.5, 0.2, 0.0, 1.0, 1.0])
    np.testing.assert_allclose(of_elements(x, y, gamma=0), jax.jit(sigmoid_binary_cross_entropy)(x, y), 1e-6)
    z, k = jnp.stack([x, x**2, -x]), jnp.array([6, 3, 1])
    for g in (0, np.float64(0)):
        of = jax.jit(jax.value_and_grad(lambda z: softmax_focal_loss(z, k, gamma=g).sum()))(z)  # noqa: B023
        expected = jax.jit(jax.value_and_grad(lambda z: softmax_cross_entropy_with_integer_labels(z, k).sum()))(z)
        assert of[0] == expected[0]
        assert jnp.array_equal(of[1], expected[1])


class TestSaturated:
    """p_t rounds to 1, or to 0."""

    X = jnp.array([90.0, -90.0, 200.0, -200.0, 1e30, INF, -INF])
    Y = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0])

    @pytest.mark.parametrize("gamma", GAMMAS)
    @pytest.mark.parametrize("traced", [True, False])
    def test_slopes_are_finite_for_every_gamma(self, gamma, traced):
        if not traced and gamma in (0.5, 3, 4, 5):
            return  # like the others
        losses, slopes, others, hessians = _elementwise(traced)(self.X, self.Y, np.float32(gamma) if traced else gamma)
        np.testing.assert_allclose(losses, 0, atol=1e-30)
        np.testing.assert_allclose(slopes[0], 0, atol=1e-30)
        assert np.isfinite(slopes[1][:5]).all()
        assert np.isfinite(np.stack(jax.tree.leaves(hessians))[:, :5]).all()
        np.testing.assert_allclose(others, 0.5 * jnp.sign(self.X), 1e-6)

    def test_digits_are_kept(self):
        x = 20.0  # 1 - p_t = 2e-9, which a difference of float32 numbers has not
        exact = binary_losses.focal(x, 1.0, 0.5, 2)
        assert of_elements(x, 1.0, alpha=0.5) == pytest.approx(exact, rel=1e-5)
        assert of_rows(jnp.array([x, 0.0]), 0, alpha=0.5) == pytest.approx(exact, rel=1e-5)
        slope = jax.jit(jax.grad(lambda x: softmax_focal_loss(jnp.array([x, 0.0]), 0)))(x)
        assert slope == pytest.approx(-3 * np.exp(-60.0), rel=1e-4)  # of q^2 (-log(1 - q)) = q^3, dq/dx = -q
        assert jax.jit(jax.grad(sigmoid_focal_loss))(x, 1.0) == pytest.approx(-3 * np.exp(-60.0), rel=1e-4)

    @pytest.mark.parametrize("gamma", GAMMAS)
    @pytest.mark.parametrize("traced", [True, False])
    def test_rows_of_the_softmax(self, gamma, traced):
        if not traced and gamma in (0.5, 3, 4, 5):
            return  # like the others
        z = jnp.array([[200.0, 0.0, -INF], [0.0, 200.0, 1.0], [0.0, 0.0, -INF]])
        losses, slopes, hessians = _rowwise(traced)(z, jnp.array([0, 0, 0]), np.float32(gamma) if traced else gamma)
        np.testing.assert_allclose(losses, [0, 200, np.log(2) * 0.5**gamma], 1e-6, 1e-30)
        np.testing.assert_allclose(slopes[1], [-1, 1, 0], 1e-6)
        assert np.isfinite(slopes).all()
        assert np.isfinite(hessians).all()

    def test_an_impossible_label_costs_infinity(self):
        assert of_rows(jnp.array([0.0, -INF]), 1) == INF
        assert of_rows(jnp.array([-INF, -INF]), 1) == INF
        assert of_elements(jnp.array([INF, -INF]), jnp.array([0.0, 1.0])).tolist() == [INF, INF]
        assert of_elements(jnp.array([INF, -INF]), jnp.array([0.0, 1.0]), alpha=1).tolist() == [
            0,
            INF,
        ]  # negatives weigh nothing


def test_alpha_of_elements_and_classes():
    x, y = jnp.array([[0.5, -1.0], [2.0, 0.0]]), jnp.array([[1.0, 0.0], [1.0, 1.0]])
    per_column = focal(x, y, jnp.array([0.25, 0.75]), jnp.array([1.0, 2.0]))
    expected = [focal(x[:, i], y[:, i], a, g) for i, (a, g) in enumerate([(0.25, 1), (0.75, 2)])]
    np.testing.assert_allclose(per_column, jnp.stack(expected, 1), 1e-6)
    k = jnp.array([1, 0])
    by_alpha = jax.jit(jax.grad(lambda a: softmax_focal_loss(x, k, alpha=a).sum()))(jnp.array([0.5, 2.0]))
    np.testing.assert_allclose(by_alpha[::-1], of_rows(x, k), 1e-6)
    flat = of_rows(x, 2, alpha=np.array([0.0, 1.0, 3.0, 1.0]), axis=(0, 1))
    np.testing.assert_allclose(flat, 3 * of_rows(x.ravel(), 2), 1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2])
def test_derivatives_agree_with_finite_differences(gamma):
    with enable_x64():
        x, y = np.array([-30.0, -2.0, -0.5, 0.5, 3.0, 40.0]), np.array([0.0, 0.3, 1.0, 0.5, 0.8, 1.0])
        h = 1e-6

        @jax.jit
        def slope(x, y, a, g):
            total = lambda x, y, a, g: sigmoid_focal_loss(x, y, alpha=a, gamma=g).sum()  # noqa: E731
            by = jax.grad(total, (0, 1, 2, 3))(x, y, a, g)
            return total(x, y, a, g), by

        @jax.jit
        def second(x, y):
            loss = lambda x, y: sigmoid_focal_loss(x, y, alpha=0.3, gamma=gamma)  # noqa: E731
            return jax.vmap(jax.grad(jax.grad(loss)))(x, y), jax.vmap(jax.grad(jax.grad(loss, 1)))(x, y)

        settings = np.array([0.3, float(gamma)])
        _, by = slope(x, y, *settings)
        for i in (0, 1):
            d = h * np.eye(2)[i]
            rise = slope(x, y, *(settings + d))[0] - slope(x, y, *(settings - d))[0]
            np.testing.assert_allclose(by[2 + i], rise / (2 * h), 1e-7)
        after, before = slope(x + h, y, *settings)[1], slope(x - h, y, *settings)[1]
        for i in (0, 1):
            np.testing.assert_allclose(second(x, y)[i], (after[i] - before[i]) / (2 * h), 1e-5, 1e-9)

        z, k = np.array([[0.3, -1.0, 2.0], [0.5, 0.1, 0.0]]), np.array([0, 1])
        gradient = jax.jit(jax.grad(lambda z: softmax_focal_loss(z, k, gamma=gamma).sum()))
        direction = np.array([[1.0, -0.5, 0.2], [0.0, 0.3, 1.0]])
        _, slopes = jax.jvp(gradient, (z,), (direction,))
        expected = (gradient(z + h * direction) - gradient(z - h * direction)) / (2 * h)
        np.testing.assert_allclose(slopes, expected, 1e-6, 1e-8)
        total = jax.jit(lambda g: softmax_focal_loss(z, k, gamma=g).sum())
        by_gamma = jax.jit(jax.grad(total))(float(gamma))
        np.testing.assert_allclose(by_gamma, (total(gamma + h) - total(gamma - h)) / (2 * h), 1e-7)


class TestLabelsThatNameNoClass:
    Z = jnp.array([[1.0, 2.0, 3.0]] * 3)

    @pytest.mark.parametrize("gamma", [0, 2, 1.5])
    @pytest.mark.parametrize("label", [-1, 3])
    def test_give_nan_and_a_gradient_that_is_not_finite(self, label, gamma):
        k = jnp.array([0, label, 2])
        loss = functools.partial(softmax_focal_loss, labels=k, gamma=gamma, alpha=np.array([1.0, 2.0, 3.0]))
        assert jnp.isnan(jax.jit(loss)(self.Z)).tolist() == [False, True, False]
        gradient = jax.jit(jax.grad(lambda z: loss(z, reduction="mean")))(self.Z)
        assert jnp.isfinite(gradient).all(axis=1).tolist() == [True, False, True]
        gradient = jax.jit(jax.grad(lambda z: loss(z, reduction="mean", weights=k == jnp.array([0, 1, 2]))))(self.Z)
        assert jnp.isfinite(gradient).all()
        assert (gradient[1] == 0).all()

    def test_for_where_leaves_it_out(self):
        mask = jnp.array([[True, True, False]] * 3)
        losses = of_rows(self.Z, jnp.arange(3), where=mask)
        np.testing.assert_allclose(losses[:2], of_rows(self.Z[:2, :2], jnp.arange(2)), 1e-6)
        assert jnp.isnan(losses[2])


class TestErrors:
    def test_e1_shapes_are_never_broadcast(self):
        """Defect E1: logits of shape (N, 1) and labels of shape (N,) made losses of shape (N, N)."""
        with pytest.raises(ValueError, match=r"logits and labels must have the same shape, got \(4, 1\) and \(4,\)"):
            sigmoid_focal_loss(jnp.zeros((4, 1)), jnp.ones(4))

    @pytest.mark.parametrize(
        ("loss", "settings", "message"),
        [
            (sigmoid_focal_loss, {"alpha": 1.5}, "alpha must be at least 0 and at most 1, not 1.5"),
            (sigmoid_focal_loss, {"gamma": -1}, "gamma must be at least 0, not -1"),
            (
                sigmoid_focal_loss,
                {"alpha": np.ones(3)},
                r"alpha must be a number or broadcast to shape \(2, 2\)",
            ),
            (softmax_focal_loss, {"alpha": -0.5}, "alpha must be at least 0"),
            (softmax_focal_loss, {"alpha": np.ones(3)}, r"have the shape \(2,\) of the classes, got \(3,\)"),
            (softmax_focal_loss, {"gamma": NAN}, "gamma must be at least 0"),
        ],
    )
    def test_settings(self, loss, settings, message):
        labels = jnp.zeros((2, 2)) if loss is sigmoid_focal_loss else jnp.zeros(2, jnp.int32)
        with pytest.raises(ValueError, match=message):
            loss(jnp.zeros((2, 2)), labels, **settings)

    def test_probabilities_for_the_softmax(self):
        with pytest.raises(TypeError, match="labels must be class indices of an integer dtype"):
            softmax_focal_loss(jnp.zeros((2, 2)), jnp.zeros(2))


def test_the_gradients_need_little_memory():
    x, k = jnp.zeros((256, 1024)), jnp.zeros(256, jnp.int32)
    elementwise = jax.value_and_grad(lambda x, y: sigmoid_focal_loss(x, y, alpha=0.25).mean())
    assert jax.jit(elementwise).lower(x, x).compile().memory_analysis().temp_size_in_bytes < 3.25 * x.nbytes
    of_classes = jax.value_and_grad(lambda z: softmax_focal_loss(z, k).mean())
    assert jax.jit(of_classes).lower(x).compile().memory_analysis().temp_size_in_bytes < 1.25 * x.nbytes

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import (
    convex_kl_divergence,
    generalized_kl_divergence,
    kl_divergence,
    kl_divergence_with_log_targets,
)
from reference.divergence_losses import generalized_kl, kl

INF, NAN = float("inf"), float("nan")
LOSSES = [kl_divergence, convex_kl_divergence, generalized_kl_divergence]
each_loss = pytest.mark.parametrize("loss", LOSSES)
SHAPE = (3, 4)  # one: compiled once
MEASURES = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 2.0**-100, 1.0]) | st.floats(0, 4, width=32))


def logarithms(q):
    with np.errstate(divide="ignore"):
        return np.log(q)


@jax.jit
def of_everything(log_q, y, log_y):
    losses = [loss(log_q, y) for loss in LOSSES]
    slopes = [jax.grad(lambda *pair, loss=loss: loss(*pair).sum(), (0, 1))(log_q, y) for loss in LOSSES]
    last = kl_divergence_with_log_targets(log_q, log_y)
    return [*losses, last], [
        *slopes,
        jax.grad(lambda *pair: kl_divergence_with_log_targets(*pair).sum(), (0, 1))(log_q, log_y),
    ]


@hypothesis.given(MEASURES, MEASURES)
def test_against_the_definitions(q, y):
    """Defect E4: zeros on either side give no NaN, and finite gradients wherever the loss is finite."""
    hypothesis.assume((q[q > 0] > 1e-35).all() and (y[y > 0] > 1e-35).all())
    losses, gradients = of_everything(logarithms(q), y, logarithms(y))
    plain = [kl(*rows) for rows in zip(q, y, strict=True)]
    convex = [generalized_kl(*rows) for rows in zip(q, y, strict=True)]
    for found, expected in zip(losses, [plain, convex, convex, plain], strict=True):
        np.testing.assert_allclose(found, expected, 1e-5, 1e-5)
    assert (np.asarray(losses[1]) >= 0).all()
    for by_both in gradients:
        for g in by_both:
            assert np.isfinite(np.asarray(g)[np.isfinite(plain)]).all()


def test_by_hand():
    log_half = jnp.log(jnp.array([0.5, 0.5]))
    assert kl_divergence(log_half, [1.0, 0.0]) == pytest.approx(np.log(2))
    assert kl_divergence(log_half, [2.0, 0.0]) == pytest.approx(2 * np.log(4))
    assert convex_kl_divergence(log_half, [2.0, 0.0]) == pytest.approx(2 * np.log(4) - 1)
    assert kl_divergence_with_log_targets(log_half, [0.0, -INF]) == pytest.approx(np.log(2))


class TestZeros:
    Q, Y = jnp.array([-1.0, -2.0, -INF]), jnp.array([0.5, 0.0, 0.0])

    def test_slopes_of_kl(self):
        """Defect E4: by predictions - y; by targets that of the terms that have one: - q, and 0 if q is -inf."""
        by_q, by_y = jax.grad(kl_divergence, (0, 1))(self.Q, self.Y)
        np.testing.assert_allclose(by_q, [-0.5, 0, 0])
        np.testing.assert_allclose(by_y, [np.log(0.5) + 1 + 1, 2, 0], 1e-6)

    @pytest.mark.parametrize("loss", [convex_kl_divergence, generalized_kl_divergence])
    def test_slopes_of_the_convex_forms(self, loss):
        """Defect E4: the predictions' own term has its slope; that of targets is - 1."""
        by_q, by_y = jax.grad(loss, (0, 1))(self.Q, self.Y)
        np.testing.assert_allclose(by_q, [np.exp(-1) - 0.5, np.exp(-2), 0], 1e-6)
        np.testing.assert_allclose(by_y, [np.log(0.5) + 1, 1, -1], 1e-6)

    def test_slopes_with_log_targets(self):
        """Defect E4: a logarithm of -inf has slope 0."""
        by_q, by_y = jax.grad(kl_divergence_with_log_targets, (0, 1))(self.Q, jnp.log(self.Y))
        np.testing.assert_allclose(by_q, [-0.5, 0, 0])
        np.testing.assert_allclose(by_y, [0.5 * (np.log(0.5) + 1) + 0.5, 0, 0], 1e-6)

    @each_loss
    def test_second_derivatives_are_finite(self, loss):
        assert jnp.isfinite(jnp.stack(jax.tree.leaves(jax.jit(jax.hessian(loss, (0, 1)))(self.Q, self.Y)))).all()

    @each_loss
    def test_an_impossible_class_that_is_wanted_costs_infinity(self, loss):
        """Defect E4."""
        assert loss([0.0, -INF], [0.5, 0.5]) == INF
        assert kl_divergence_with_log_targets([0.0, -INF], [-0.7, -0.7]) == INF

    def test_a_target_too_small_for_the_dtype_is_0(self):
        assert kl_divergence_with_log_targets([0.0, -INF], [0.0, -1e9]) == 0
        assert jax.grad(kl_divergence_with_log_targets, 1)(jnp.array([0.0, -INF]), jnp.array([0.0, -1e9]))[1] == 0

    @each_loss
    def test_nan_is_not_hidden(self, loss):
        assert jnp.isnan(loss([0.0, NAN], [1.0, 0.0]))
        assert jnp.isnan(loss([0.0, 0.0], [1.0, NAN]))
        assert jnp.isnan(loss([0.0, 0.0], [1.0, -1.0]))


def test_the_convex_forms_are_not_negative_where_both_are_almost_equal():
    y = jnp.linspace(0.01, 1.0, 1000)
    losses = jax.vmap(convex_kl_divergence)(jnp.log(y)[:, None], y[:, None])
    assert (losses >= 0).all()
    assert losses.max() < 1e-6


@each_loss
def test_several_axes_and_all(loss):
    log_q, y = jnp.log(jnp.arange(1.0, 25.0)).reshape(2, 3, 4), jnp.arange(24.0).reshape(2, 3, 4)
    flat = loss(log_q.reshape(2, 12), y.reshape(2, 12))
    np.testing.assert_allclose(loss(log_q, y, axis=(1, 2)), flat, 1e-5)
    np.testing.assert_allclose(loss(log_q, y, axis=None), flat.sum(), 1e-5)
    np.testing.assert_allclose(loss(log_q, y, axis=0), loss(jnp.moveaxis(log_q, 0, -1), jnp.moveaxis(y, 0, -1)), 1e-5)
    with pytest.raises(ValueError, match=r"axis=3 is not an axis of log_predictions of shape \(2, 3, 4\)"):
        loss(log_q, y, axis=3)


@pytest.mark.parametrize("loss", [*LOSSES, kl_divergence_with_log_targets])
def test_what_is_left_out_takes_no_part(loss):
    log_q, y = jnp.array([-1.0, NAN, -0.5]), jnp.array([0.5, INF, 0.25])
    mask = jnp.array([True, False, True])
    np.testing.assert_allclose(loss(log_q, y, where=mask), loss(log_q[::2], y[::2]), 1e-6)
    assert loss(log_q, y, where=jnp.zeros(3, bool)) == 0


def test_errors_name_the_arguments():
    with pytest.raises(
        ValueError, match=r"log_predictions and targets must have the same shape, got \(2,\) and \(1,\)"
    ):
        kl_divergence([0.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="log_predictions and log_targets must have the same shape"):
        kl_divergence_with_log_targets([0.0, 0.0], [1.0])

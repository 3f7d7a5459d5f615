import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import (
    forward_kl_distillation_loss,
    jensen_shannon_distillation_loss,
    kl_divergence_with_log_targets,
    reverse_kl_distillation_loss,
)
from reference.divergence_losses import at_temperature, jensen_shannon, kl
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
LOSSES = [forward_kl_distillation_loss, reverse_kl_distillation_loss, jensen_shannon_distillation_loss]
each_loss = pytest.mark.parametrize("loss", LOSSES)
LOGITS = hnp.arrays(np.float32, (2, 2, 4), elements=st.sampled_from([-INF, 0.0, 5.0]) | st.floats(-30, 30, width=32))


@jax.jit
def of_everything(student, teacher):
    def total(index, student, teacher):
        return LOSSES[index](student, teacher, temperature=2.0).sum()

    values = [loss(student, teacher, temperature=2.0) for loss in LOSSES]
    return values, [jax.grad(total, (1, 2))(i, student, teacher) for i in range(3)]


@hypothesis.given(LOGITS)
def test_against_the_definitions(logits):
    hypothesis.assume(np.isfinite(logits).any(axis=-1).all())
    student, teacher = logits
    q, p = ([at_temperature(row, 2.0) for row in rows] for rows in (student, teacher))
    expected = [
        [4 * kl(b, a) for a, b in zip(p, q, strict=True)],
        [4 * kl(a, b) for a, b in zip(p, q, strict=True)],
        [4 * jensen_shannon(a, b, 0.5) for a, b in zip(p, q, strict=True)],
    ]
    losses, gradients = of_everything(student, teacher)
    for found, exact, by_both in zip(losses, expected, gradients, strict=True):
        np.testing.assert_allclose(found, exact, 1e-4, 2e-5)
        assert (np.asarray(found) >= 0).all()
        for g in by_both:
            assert np.isfinite(np.asarray(g)[np.isfinite(exact)]).all()


def test_by_hand():
    flat, sure = jnp.zeros(2), jnp.array([0.0, -INF])
    assert forward_kl_distillation_loss(flat, sure) == pytest.approx(np.log(2))
    assert reverse_kl_distillation_loss(flat, sure) == INF
    assert reverse_kl_distillation_loss(sure, flat) == pytest.approx(np.log(2))
    assert forward_kl_distillation_loss(sure, flat) == INF
    # m = (3/4, 1/4): half of log(4/3), and half of (log(2/3) + log 2) / 2
    expected = 0.5 * np.log(4 / 3) + 0.25 * (np.log(2 / 3) + np.log(2))
    assert jensen_shannon_distillation_loss(flat, sure) == pytest.approx(expected)
    assert jensen_shannon_distillation_loss(sure, sure[::-1]) == pytest.approx(np.log(2))


@each_loss
def test_the_temperature_keeps_the_size_of_the_gradient(loss):
    """Hinton et al. 2015, section 2.1: at high temperatures, of logits of mean 0, the slope is (z - v) / C."""
    z, v = jnp.array([1.0, 0.0, -1.0]), jnp.array([0.5, 0.5, -1.0])
    share = 0.25 if loss is jensen_shannon_distillation_loss else 1.0  # of the curvature: beta (1 - beta)
    for temperature in (1e2, 1e3):
        slope = jax.grad(loss)(z, v, temperature=temperature)
        np.testing.assert_allclose(slope, share * (z - v) / 3, atol=0.01)


@pytest.mark.parametrize("loss", LOSSES[:2])
def test_the_kullback_leibler_losses_are_divergences_of_softmaxes(loss):
    student, teacher = jax.random.normal(jax.random.key(0), (2, 3, 4))

    @jax.jit
    def both(student, teacher):
        log_q, log_p = jax.nn.log_softmax(student / 3), jax.nn.log_softmax(teacher / 3)
        pair = (log_q, log_p) if loss is forward_kl_distillation_loss else (log_p, log_q)
        return loss(student, teacher, temperature=3.0), 9 * kl_divergence_with_log_targets(*pair)

    np.testing.assert_allclose(*both(student, teacher), 1e-4, 1e-6)


def test_the_limits_of_beta():
    with enable_x64():
        student, teacher = np.random.default_rng(0).normal(size=(2, 3, 4))
        small = 1e-7
        forward = jensen_shannon_distillation_loss(student, teacher, beta=small) / small
        np.testing.assert_allclose(forward, forward_kl_distillation_loss(student, teacher), 1e-5)
        reverse = jensen_shannon_distillation_loss(student, teacher, beta=1 - small) / small
        np.testing.assert_allclose(reverse, reverse_kl_distillation_loss(student, teacher), 1e-5)


@each_loss
class TestImpossibleClasses:
    def test_of_both_are_as_if_they_were_not_there(self, loss):
        student, teacher = jnp.array([1.0, -INF, 0.0]), jnp.array([0.0, -INF, 0.5])
        both = jax.jit(jax.value_and_grad(loss, (0, 1)))
        value, gradients = both(student, teacher)
        kept_value, kept = both(student[::2], teacher[::2])
        np.testing.assert_allclose(value, kept_value, 1e-6)
        for g, k in zip(gradients, kept, strict=True):
            np.testing.assert_allclose(g, [k[0], 0, k[1]], 1e-5, 1e-7)
        assert jnp.isfinite(jnp.stack(jax.tree.leaves(jax.jit(jax.hessian(loss, (0, 1)))(student, teacher)))).all()

    def test_rows_of_them_cost_nothing(self, loss):
        nothing = jnp.full(3, -INF)
        assert loss(nothing, nothing) == 0
        assert jax.grad(loss)(nothing, nothing).tolist() == [0, 0, 0]

    def test_do_not_spoil_the_slope_by_the_temperature(self, loss):
        student, teacher = jnp.array([1.0, -INF, 0.0]), jnp.array([0.0, -INF, 0.5])
        slope = jax.grad(lambda t: loss(student, teacher, temperature=t))(2.0)
        kept = jax.grad(lambda t: loss(student[::2], teacher[::2], temperature=t))(2.0)
        np.testing.assert_allclose(slope, kept, 1e-5, 1e-7)

    def test_of_nan_are_not_hidden(self, loss):
        assert jnp.isnan(loss([1.0, NAN], [1.0, 0.0]))


@each_loss
def test_equal_logits_cost_nothing_and_have_no_slope(loss):
    z = 10 * jax.random.normal(jax.random.key(1), (50, 30))
    losses = jax.jit(loss)(z, z + 3)
    assert (losses >= 0).all()
    np.testing.assert_allclose(losses, 0, atol=2e-6)
    for g in jax.jit(jax.grad(lambda *pair: loss(*pair).sum(), (0, 1)))(z, z + 3):
        np.testing.assert_allclose(g, 0, atol=1e-6)


def test_the_slope_by_beta_is_that_of_differences():
    with enable_x64():
        student, teacher = np.random.default_rng(1).normal(size=(2, 4))
        loss = jax.jit(lambda beta: jensen_shannon_distillation_loss(student, teacher, beta=beta))
        h = 1e-6
        np.testing.assert_allclose(jax.grad(loss)(0.3), (loss(0.3 + h) - loss(0.3 - h)) / (2 * h), 1e-6)


@each_loss
def test_second_derivatives_are_those_of_differences(loss):
    with enable_x64():
        student, teacher, direction = np.random.default_rng(1).normal(size=(3, 4))
        slope, h = jax.jit(jax.grad(loss)), 1e-6
        _, second = jax.jit(lambda z: jax.jvp(lambda z: slope(z, teacher), (z,), (direction,)))(student)
        after, before = slope(student + h * direction, teacher), slope(student - h * direction, teacher)
        np.testing.assert_allclose(second, (after - before) / (2 * h), 1e-6, 1e-9)


@each_loss
def test_axes_and_what_is_left_out(loss):
    student, teacher = jax.random.normal(jax.random.key(2), (2, 2, 3, 4))
    mask = jnp.ones((2, 3, 4), bool).at[..., 1:3].set(False)

    @jax.jit
    def pairs(student, teacher):
        moved = (jnp.moveaxis(z, 0, -1) for z in (student, teacher))
        flat = (z.reshape(2, 12) for z in (student, teacher))
        some = (z[..., ::3] for z in (student, teacher))
        return [
            (loss(student, teacher, axis=0), loss(*moved)),
            (loss(student, teacher, axis=(1, 2)), loss(*flat)),
            (loss(student, teacher, where=mask), loss(*some)),
        ]

    for found, expected in pairs(student, teacher):
        np.testing.assert_allclose(found, expected, 1e-5, 1e-7)


def test_ranges():
    z = jnp.zeros(2)
    for temperature in (0.0, -1.0, NAN):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            forward_kl_distillation_loss(z, z, temperature=temperature)
    for beta in (0.0, 1.0, 2.0):
        with pytest.raises(ValueError, match=r"beta must be above 0\.0 and below 1\.0"):
            jensen_shannon_distillation_loss(z, z, beta=beta)
    with pytest.raises(ValueError, match="student_logits and teacher_logits must have the same shape"):
        reverse_kl_distillation_loss(z, jnp.zeros((1, 2)))

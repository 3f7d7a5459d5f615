import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import logsumexp

from optax.losses import (
    make_fenchel_young_loss,
    multiclass_sparsemax_loss,
    softmax_cross_entropy,
    sparsemax_loss,
)
from reference import binary_losses, class_losses
from x64 import enable_x64

INF = float("inf")
LOGITS = hnp.arrays(np.float32, 8, elements=st.floats(-4, 4, width=32))  # one shape: compiled once
PROBABILITIES = hnp.arrays(np.float32, 8, elements=st.floats(0, 1, width=32))
SCORES = hnp.arrays(np.float32, (3, 5), elements=st.floats(-3, 3, width=32) | st.sampled_from([0.0, 1.0, -1.0, 80.0]))
LABELS = hnp.arrays(np.int32, 3, elements=st.integers(0, 4))

of_one = jax.jit(lambda x, y: (sparsemax_loss(x, y), jax.grad(lambda x, y: sparsemax_loss(x, y).sum(), (0, 1))(x, y)))
of_classes = jax.jit(
    lambda s, k: (multiclass_sparsemax_loss(s, k), jax.grad(lambda s: multiclass_sparsemax_loss(s, k).sum())(s))
)
rowwise = jax.jit(multiclass_sparsemax_loss, static_argnames="axis")
squares = make_fenchel_young_loss(lambda s, scale=1.0: 0.5 * scale * jnp.sum(s**2))


class TestFenchelYoung:
    @hypothesis.given(SCORES, SCORES)
    def test_of_half_the_squares_by_hand(self, s, y):
        losses, slopes = half_squares(s, y)
        exact = s.astype(np.float64), y.astype(np.float64)
        np.testing.assert_allclose(losses, (exact[0] ** 2 / 2 - exact[0] * exact[1]).sum(-1), 1e-5, 1e-2)
        np.testing.assert_allclose(slopes, s - y, 1e-6, 1e-6)

    def test_of_logsumexp_is_the_cross_entropy(self):
        s, y = jnp.sin(jnp.arange(24.0)).reshape(2, 3, 4), jax.nn.softmax(jnp.cos(jnp.arange(24.0)).reshape(2, 3, 4))
        loss = make_fenchel_young_loss(logsumexp)
        np.testing.assert_allclose(jax.jit(loss)(s, y), softmax_cross_entropy(s, y), 1e-5)
        by_s, by_y = jax.jit(jax.grad(lambda s, y: loss(s, y).sum(), (0, 1)))(s, y)
        np.testing.assert_allclose(by_s, jax.nn.softmax(s) - y, 1e-5, 1e-6)
        np.testing.assert_array_equal(by_y, -s)
        hessian = jax.jit(jax.hessian(loss))(s[0, 0], y[0, 0])
        p = jax.nn.softmax(s[0, 0])
        np.testing.assert_allclose(hessian, jnp.diag(p) - jnp.outer(p, p), 1e-5, 1e-6)

    def test_of_the_maximum_is_the_perceptron(self):
        loss = make_fenchel_young_loss(jnp.max)
        s, y = jnp.array([0.5, 2.0, -1.0]), jnp.array([1.0, 0.0, 0.0])
        value, slopes = jax.jit(jax.value_and_grad(loss))(s, y)
        assert value == 1.5
        assert slopes.tolist() == [-1, 1, 0]

    def test_passes_arguments_on(self):
        s, y = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.eye(2)
        assert squares(s, y).tolist() == [1.5, 8.5]
        assert squares(s, y, 2.0).tolist() == squares(s, y, scale=2.0).tolist() == [4, 21]
        assert jax.grad(lambda scale: squares(s, y, scale).sum())(1.0) == 15

    def test_impossible_classes_cost_nothing_without_a_target(self):
        loss = make_fenchel_young_loss(logsumexp)
        s, y = jnp.array([0.0, 0.0, -INF]), jnp.array([1.0, 0.0, 0.0])
        assert loss(s, y) == pytest.approx(np.log(2))
        by_s, by_y = jax.jit(jax.grad(loss, (0, 1)))(s, y)
        np.testing.assert_allclose(by_s, [-0.5, 0.5, 0], 1e-6)
        assert by_y.tolist() == [0, 0, 0]
        assert loss(s, y[::-1]) == INF

    def test_low_precision(self):
        loss = squares(jnp.ones(3, jnp.bfloat16), jnp.zeros(3, jnp.bfloat16))
        assert (loss.dtype, loss) == (jnp.float32, 1.5)
        with enable_x64():
            assert squares(np.ones(3), np.zeros(3)).dtype == jnp.float64

    def test_no_batch(self):
        assert squares(jnp.zeros((0, 3)), jnp.zeros((0, 3))).shape == (0,)

    def test_e1_shapes_are_never_broadcast(self):
        """Defect E1: targets of one example were used for all of a batch."""
        with pytest.raises(ValueError, match=r"scores and targets must have the same shape, got \(2, 3\) and \(3,\)"):
            squares(jnp.zeros((2, 3)), jnp.zeros(3))

    def test_errors(self):
        with pytest.raises(TypeError, match="max_fun must be a function, not 3"):
            make_fenchel_young_loss(3)
        with pytest.raises(ValueError, match=r"max_fun must return a scalar for scores of shape \(3,\), got \(3,\)"):
            make_fenchel_young_loss(jnp.exp)(jnp.zeros((2, 3)), jnp.zeros((2, 3)))
        with pytest.raises(ValueError, match="scores must have an axis"):
            squares(1.0, 1.0)


half_squares = jax.jit(lambda s, y: (squares(s, y), jax.grad(lambda s: squares(s, y).sum())(s)))


class TestBinarySparsemax:
    @hypothesis.given(LOGITS, PROBABILITIES)
    def test_against_the_definition(self, x, y):
        losses, (by_x, by_y) = of_one(x, y)
        rows = [(float(a), float(b)) for a, b in zip(x, y, strict=True)]
        np.testing.assert_allclose(losses, [binary_losses.sparsemax(*row) for row in rows], 1e-5, 1e-6)
        np.testing.assert_allclose(by_x, np.clip((x + 1) / 2, 0, 1) - y, 1e-5, 1e-6)
        np.testing.assert_allclose(by_y, 2 * y - 1 - x, 1e-5, 1e-6)
        assert (losses >= 0).all()

    def test_of_classes_as_recorded_from_the_original_and_by_hand(self):
        x = jnp.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
        expected = [3, 1, 0.5625, 0.25, 0.0625, 0, 0]  # (1 - x)^2 / 4 between -1 and 1
        assert sparsemax_loss(x, jnp.ones(7)).tolist() == expected
        assert sparsemax_loss(x, jnp.zeros(7)).tolist() == expected[::-1]

    def test_is_the_sparsemax_loss_of_two_classes(self):
        x = jnp.array([-3.0, -0.6, 0.2, 5.0])
        of_two = rowwise(jnp.stack([0 * x, x], 1), jnp.ones(4, int))
        np.testing.assert_allclose(sparsemax_loss(x, jnp.ones(4)), of_two, 1e-6, 1e-7)

    def test_large_and_infinite_logits(self):
        x, y = jnp.array([1e30, -1e30, INF, -INF]), jnp.array([1.0, 0.0, 1.0, 0.0])
        losses, (by_x, by_y) = jax.jit(
            jax.vmap(lambda x, y: (sparsemax_loss(x, y), jax.grad(sparsemax_loss, (0, 1))(x, y)))
        )(x, y)
        assert losses.tolist() == by_x.tolist() == [0, 0, 0, 0]
        assert jnp.isfinite(by_y).all()
        assert sparsemax_loss(x, 1 - y).tolist() == [jnp.float32(1e30)] * 2 + [INF] * 2

    def test_e1_shapes_are_never_broadcast(self):
        """Defect E1: logits of shape (N, 1) and labels of shape (N,) made losses of shape (N, N)."""
        with pytest.raises(ValueError, match=r"logits and labels must have the same shape, got \(4, 1\) and \(4,\)"):
            sparsemax_loss(jnp.zeros((4, 1)), jnp.ones(4))


class TestSparsemax:
    @hypothesis.given(SCORES, LABELS)
    def test_against_the_definition(self, s, k):
        losses, gradient = of_classes(s, k)
        rows = [(row.astype(np.float64), label) for row, label in zip(s, k, strict=True)]
        np.testing.assert_allclose(losses, [class_losses.sparsemax_loss(*row) for row in rows], 1e-5, 1e-6)
        expected = [class_losses.sparsemax(row) - np.eye(5)[label] for row, label in rows]
        np.testing.assert_allclose(gradient, expected, 1e-5, 1e-6)

    def test_by_hand(self):
        s = jnp.array([[0.5, 2.0, -1.0]] * 3)
        assert rowwise(s, jnp.arange(3)).tolist() == [1.5, 0, 3]  # as recorded from the original too
        assert rowwise(jnp.zeros(4), 1) == (9 + 3) / 32  # |p - e|^2 / 2, p = 1 / 4
        assert rowwise(jnp.array([7.0]), 0) == 0

    def test_many_classes(self):
        s = 3 * jax.random.normal(jax.random.key(0), (2, 3, 2000)) - 1000
        k = jnp.array([[0, 1, 2], [3, 1999, 1000]])
        losses, gradient = jax.jit(jax.value_and_grad(lambda s: multiclass_sparsemax_loss(s, k).sum()))(s)
        exact = np.asarray(s, np.float64)
        expected = [class_losses.sparsemax_loss(exact[i], k[i]) for i in np.ndindex(2, 3)]
        np.testing.assert_allclose(losses, sum(expected), 1e-6)
        np.testing.assert_allclose(gradient[1, 1], class_losses.sparsemax(exact[1, 1]) - np.eye(2000)[1999], 1e-4, 1e-5)

    def test_slow_for_the_method(self):
        """Scores of which each step leaves out a few only."""
        s = -(2.0 ** -np.arange(1, 22))
        s = np.concatenate([s, -np.linspace(0, 1, 500)]).astype(np.float32)
        losses, gradient = jax.jit(jax.value_and_grad(multiclass_sparsemax_loss))(jnp.asarray(s), 3)
        assert losses == pytest.approx(class_losses.sparsemax_loss(s.astype(np.float64), 3), rel=1e-5)
        np.testing.assert_allclose(gradient.sum(), 0, atol=1e-5)

    def test_derivatives_agree_with_finite_differences(self):
        with enable_x64():
            s, k = np.random.default_rng(0).normal(size=(4, 6)), np.array([0, 5, 2, 3])
            loss = jax.jit(lambda s: multiclass_sparsemax_loss(s, k).sum())
            gradient, direction, h = jax.jit(jax.grad(loss)), np.cos(np.arange(24.0)).reshape(4, 6), 1e-6
            (value, slope), (_, curvature) = (jax.jvp(f, (s,), (direction,)) for f in (loss, gradient))
            rise = loss(s + h * direction) - loss(s - h * direction)
            np.testing.assert_allclose(slope, rise / (2 * h), 1e-7)
            bend = gradient(s + h * direction) - gradient(s - h * direction)
            np.testing.assert_allclose(curvature, bend / (2 * h), 1e-6, 1e-8)
            assert value == loss(s)

    def test_impossible_and_certain_classes(self):
        s = jnp.array([[0.5, -INF, 0.0], [3e38, -3e38, 0.0], [-INF, -INF, -INF]])
        losses, gradient = of_classes(s, jnp.array([0, 0, 0]))
        np.testing.assert_allclose(losses, [0.0625, 0, INF], 1e-6)
        np.testing.assert_allclose(gradient[:2], [[-0.25, 0, 0.25], [0, 0, 0]], 1e-6)
        assert rowwise(s[0], 1) == INF

    def test_classes_left_out_and_other_axes(self):
        s, mask = (
            jnp.array([[0.5, jnp.nan], [0.2, 0.1], [0.0, 7.0]]),
            jnp.array([[True, False], [True, True], [True, True]]),
        )
        losses, gradient = jax.jit(
            jax.value_and_grad(lambda s: multiclass_sparsemax_loss(s, [1, 2], axis=0, where=mask, reduction="sum"))
        )(s)
        expected = rowwise(jnp.array([0.5, 0.2, 0.0]), 1) + rowwise(jnp.array([0.1, 7.0]), 1)
        np.testing.assert_allclose(losses, expected, 1e-6)
        assert gradient[0, 1] == 0
        assert jnp.isfinite(gradient).all()
        np.testing.assert_allclose(rowwise(s[1:], 3, axis=(0, 1)), rowwise(s[1:].ravel(), 3), 1e-6)

    @pytest.mark.parametrize("label", [-1, 5])
    def test_labels_that_name_none(self, label):
        s, k = jnp.cos(jnp.arange(15.0)).reshape(3, 5), jnp.array([0, label, 4])
        losses, gradient = of_classes(s, k)
        assert jnp.isnan(losses).tolist() == [False, True, False]
        assert jnp.isfinite(gradient).all(-1).tolist() == [True, False, True]

    def test_the_gradient_needs_little_memory(self):
        s, k = jnp.zeros((256, 1024)), jnp.zeros(256, jnp.int32)
        compiled = jax.jit(jax.value_and_grad(lambda s: multiclass_sparsemax_loss(s, k).mean())).lower(s).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < 2.25 * s.nbytes

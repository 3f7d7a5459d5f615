import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import hinge_loss, multiclass_hinge_loss, multiclass_perceptron_loss, perceptron_loss
from reference.class_losses import lead_missed

INF, NAN = float("inf"), float("nan")
OUTPUTS = hnp.arrays(np.float32, 8, elements=st.floats(-60, 60, width=32))  # one shape: compiled once
SCORES = hnp.arrays(np.float32, (3, 4), elements=st.floats(-60, 60, width=32))
LABELS = hnp.arrays(np.int32, 3, elements=st.integers(0, 3))

binary = jax.jit(lambda p, y: (hinge_loss(p, y), perceptron_loss(p, y)))


@jax.jit
def multiclass(s, k):
    losses = [loss(s, k) for loss in (multiclass_hinge_loss, multiclass_perceptron_loss)]
    slopes = [
        jax.grad(lambda s: loss(s, k).sum())(s)  # noqa: B023
        for loss in (multiclass_hinge_loss, multiclass_perceptron_loss)
    ]
    return losses, slopes


@hypothesis.given(OUTPUTS, st.lists(st.sampled_from([-1, 1]), min_size=8, max_size=8))
def test_binary_against_the_definition(p, y):
    hinge, perceptron = binary(p, np.float32(y))
    exact = p.astype(np.float64) * y
    np.testing.assert_allclose(hinge, [max(0, 1 - m) for m in exact], 1e-6, 1e-6)
    np.testing.assert_allclose(perceptron, [max(0, -m) for m in exact], 1e-6, 1e-30)


@hypothesis.given(SCORES, LABELS)
def test_multiclass_against_the_definition(s, k):
    losses, slopes = multiclass(s, k)
    for lead, values, gradient in zip((1.0, 0.0), losses, slopes, strict=True):
        expected = [lead_missed(row.astype(np.float64), label, lead) for row, label in zip(s, k, strict=True)]
        np.testing.assert_allclose(values, expected, 1e-5, 1e-5)
        np.testing.assert_allclose(gradient.sum(-1), 0, atol=1e-6)
        others = np.where(np.arange(4) == k[:, None], -np.inf, s)
        np.testing.assert_allclose(np.asarray(gradient)[np.arange(3), k][values > 1e-4], -1)
        assert ((gradient > 0) <= (others >= others.max(-1, keepdims=True) - 1e-5)).all()  # only the worst move


compiled = {loss: jax.jit(loss, static_argnames="axis") for loss in (multiclass_hinge_loss, multiclass_perceptron_loss)}


def test_the_hinge_of_two_classes_is_the_binary_one():
    p = jnp.array([-2.0, -0.5, 0.25, 3.0])
    scores = jnp.stack([-p / 2, p / 2], axis=1)  # p is how far class 1 leads
    for k in (0, 1):
        labels, targets = jnp.full(4, k), jnp.full(4, 2.0 * k - 1)
        np.testing.assert_allclose(compiled[multiclass_hinge_loss](scores, labels), hinge_loss(p, targets), 1e-6)
        np.testing.assert_allclose(
            compiled[multiclass_perceptron_loss](scores, labels), perceptron_loss(p, targets), 1e-6
        )


def test_equal_shares_at_ties():
    losses, slopes = multiclass(jnp.array([[0.0, 0.0, -9.0, -9.0], [2.0, 1.0, 1.0, 0.0], [0.0] * 4]), jnp.zeros(3, int))
    assert losses[0].tolist() == [1, 0, 1]
    assert losses[1].tolist() == [0, 0, 0]
    third = 1 / 3
    np.testing.assert_allclose(slopes[0], [[-1, 1, 0, 0], [-2 / 3, third, third, 0], [-1, third, third, third]], 1e-6)
    np.testing.assert_allclose(slopes[1], [[-0.5, 0.5, 0, 0], [0, 0, 0, 0], [-0.75, 0.25, 0.25, 0.25]], 1e-6)
    assert jax.grad(hinge_loss)(1.0, 1.0) == -0.5
    assert jax.grad(perceptron_loss)(0.0, 1.0) == -0.5


def test_large_scores_that_all_have_in_common_cost_no_digits():
    s = jnp.array([2.0**24, 2.0**24 - 1, 0.0])  # the next number is 2**24 + 2
    assert compiled[multiclass_hinge_loss](s, 1) == 2
    assert compiled[multiclass_hinge_loss](s, 0) == 0


@pytest.mark.parametrize("loss", [multiclass_hinge_loss, multiclass_perceptron_loss])
class TestInfiniteScores:
    def test_of_impossible_classes(self, loss):
        s = jnp.array([0.5, -INF, 2.0])
        value, slopes = jax.jit(jax.value_and_grad(loss))(s, 0)
        assert value == compiled[loss](jnp.array([0.5, 2.0]), 0)
        assert slopes.tolist() == [-1, 0, 1]
        assert compiled[loss](s, 1) == INF

    def test_of_certain_labels(self, loss):
        value, slopes = jax.jit(jax.value_and_grad(loss))(jnp.array([INF, 3.0]), 0)
        assert value == 0
        assert slopes.tolist() == [0, 0]

    def test_one_class(self, loss):
        value, slopes = jax.jit(jax.value_and_grad(loss))(jnp.array([3.0]), 0)
        assert (value, slopes) == (0, 0)


@pytest.mark.parametrize("loss", [multiclass_hinge_loss, multiclass_perceptron_loss])
class TestClasses:
    S = jnp.array([[1.0, 2.0, 4.0], [0.5, NAN, 0.0]])

    @pytest.mark.parametrize("label", [-1, 3, -100])
    def test_labels_that_name_none(self, loss, label):
        s, k = jnp.array([[1.0, 2.0, 4.0]] * 2), jnp.array([0, label])
        assert jnp.isnan(compiled[loss](s, k)).tolist() == [False, True]
        gradient = jax.jit(jax.grad(lambda s: loss(s, k, reduction="sum")))(s)
        assert jnp.isfinite(gradient).all(-1).tolist() == [True, False]
        value, gradient = jax.jit(
            jax.value_and_grad(lambda s: loss(s, k, weights=jnp.array([1.0, 0.0]), reduction="mean"))
        )(s)
        assert value == compiled[loss](s[0], 0)
        np.testing.assert_array_equal(gradient, [[-1, 0, 1], [0, 0, 0]])

    def test_left_out(self, loss):
        mask = jnp.array([[True, True, False], [True, False, True]])
        value, gradient = jax.jit(jax.value_and_grad(lambda s: loss(s, [0, 2], where=mask).sum()))(self.S)
        expected = compiled[loss](jnp.array([[1.0, 2.0], [0.5, 0.0]]), jnp.array([0, 1])).sum()
        np.testing.assert_allclose(value, expected, 1e-6)
        assert gradient.tolist() == [[-1, 1, 0], [1, 0, -1]]
        assert jnp.isnan(compiled[loss](self.S, [2, 0], where=mask)).tolist() == [
            True,
            False,
        ]  # the first label is left out

    def test_along_other_axes(self, loss):
        s = jnp.sin(jnp.arange(24.0)).reshape(2, 3, 4)
        np.testing.assert_allclose(
            compiled[loss](s, jnp.ones((2, 4), int), axis=1),
            compiled[loss](s.swapaxes(1, 2), jnp.ones((2, 4), int)),
            1e-6,
        )
        np.testing.assert_allclose(
            compiled[loss](s, jnp.array([5, 1]), axis=(1, 2)), compiled[loss](s.reshape(2, 12), jnp.array([5, 1])), 1e-6
        )

    def test_labels_that_are_no_indices(self, loss):
        with pytest.raises(TypeError, match="labels must be class indices of an integer dtype"):
            loss(jnp.zeros((2, 3)), jnp.zeros(2))
        with pytest.raises(ValueError, match=r"labels must have shape \(2,\), which is that of scores"):
            loss(jnp.zeros((2, 3)), jnp.zeros((2, 3), int))


def test_e1_shapes_are_never_broadcast():
    """Defect E1: outputs of shape (N, 1) and targets of shape (N,) made losses of shape (N, N)."""
    message = r"predictor_outputs and targets must have the same shape, got \(4, 1\) and \(4,\)"
    for loss in (hinge_loss, perceptron_loss):
        with pytest.raises(ValueError, match=message):
            loss(jnp.zeros((4, 1)), jnp.ones(4))

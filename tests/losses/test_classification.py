import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import (
    poly_loss_cross_entropy,
    safe_softmax_cross_entropy,
    smooth_labels,
    softmax_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
)
from reference.losses import cross_entropy, cross_entropy_gradient, negative_log_likelihood, softmax
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
LOGITS = hnp.arrays(np.float32, (3, 4), elements=st.floats(-60, 60, width=32))  # one shape: compiled once


@hypothesis.given(LOGITS, st.data())
def test_probabilities_against_the_definition(z, data):
    y = data.draw(hnp.arrays(np.float32, z.shape, elements=st.floats(0, 1, width=32)))
    rows = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(z, y, strict=True)]
    np.testing.assert_allclose(softmax_cross_entropy(z, y), [cross_entropy(*row) for row in rows], 1e-5, 1e-6)
    gradient = jax.grad(lambda z: softmax_cross_entropy(z, y).sum())(z)
    np.testing.assert_allclose(gradient, [cross_entropy_gradient(*row) for row in rows], 1e-4, 1e-5)


@hypothesis.given(LOGITS, st.data())
def test_integers_against_the_definition_and_the_one_hot_form(z, data):
    k = data.draw(hnp.arrays(np.int32, z.shape[0], elements=st.integers(0, z.shape[1] - 1)))
    losses = softmax_cross_entropy_with_integer_labels(z, k)
    expected = [negative_log_likelihood(row.astype(np.float64), label) for row, label in zip(z, k, strict=True)]
    np.testing.assert_allclose(losses, expected, 1e-5, 1e-6)

    one_hot = np.eye(z.shape[1], dtype=np.float32)[k]
    np.testing.assert_allclose(losses, softmax_cross_entropy(z, one_hot), 1e-6, 1e-6)
    by_index, by_row = jax.grad(_total(k)), jax.grad(lambda z: softmax_cross_entropy(z, one_hot).sum())
    np.testing.assert_allclose(by_index(z), by_row(z), 1e-5, 1e-6)


def _total(labels, **options):
    return lambda z: softmax_cross_entropy_with_integer_labels(z, labels, **options).sum()


def test_by_hand():
    assert softmax_cross_entropy([0.0, 0.0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert softmax_cross_entropy_with_integer_labels([0.0, np.log(3)], 1) == pytest.approx(np.log(4 / 3))
    assert softmax_cross_entropy_with_integer_labels([5.0], 0) == 0  # one class is certain


@hypothesis.given(LOGITS)
def test_invariants(z):
    k = np.zeros(len(z), np.int32)
    losses = softmax_cross_entropy_with_integer_labels(z, k)
    assert (losses >= 0).all()
    np.testing.assert_allclose(softmax_cross_entropy_with_integer_labels(z + 1024, k), losses, 1e-4, 1e-3)
    np.testing.assert_allclose(jax.grad(_total(k))(z).sum(-1), 0, atol=1e-6)


def test_large_logits_keep_their_digits():
    z = jnp.array([1e4, 1e4 - 1, 1e4 - 2])
    expected = negative_log_likelihood(np.asarray(z, np.float64), 1)
    assert softmax_cross_entropy_with_integer_labels(z, 1) == pytest.approx(expected, rel=1e-6)
    assert softmax_cross_entropy(z, [0.0, 1.0, 0.0]) == pytest.approx(expected, rel=1e-6)
    assert softmax_cross_entropy_with_integer_labels([3e38, -3e38], 1) == INF


class TestImpossibleClasses:
    """Defect E3: logits of -inf gave NaN."""

    def test_cost_nothing_without_a_label(self):
        z, y = jnp.array([0.0, 1.0, -INF]), jnp.array([0.25, 0.75, 0.0])
        loss, (by_z, by_y) = jax.value_and_grad(softmax_cross_entropy, (0, 1))(z, y)
        np.testing.assert_allclose(loss, softmax_cross_entropy(z[:2], y[:2]), 1e-6)
        np.testing.assert_allclose(by_z, [*jax.grad(softmax_cross_entropy)(z[:2], y[:2]), 0.0], 1e-6)
        np.testing.assert_allclose(by_y, [*jax.grad(softmax_cross_entropy, 1)(z[:2], y[:2]), 0.0], 1e-6)
        assert jnp.isfinite(jax.jit(jax.hessian(softmax_cross_entropy))(z, y)).all()

    def test_in_the_integer_form(self):
        z = jnp.array([0.0, 1.0, -INF])
        np.testing.assert_allclose(softmax_cross_entropy_with_integer_labels(z, 0), np.log(1 + np.e), 1e-6)
        np.testing.assert_allclose(jax.grad(_total(0))(z), [-1 / (1 + 1 / np.e), 1 / (1 + 1 / np.e), 0], 1e-6)
        assert jnp.isfinite(jax.jit(jax.hessian(_total(0)))(z)).all()

    def test_cost_infinity_with_one(self):
        z = jnp.array([0.0, -INF])
        assert softmax_cross_entropy_with_integer_labels(z, 1) == INF
        assert softmax_cross_entropy(z, [0.5, 0.5]) == INF

    def test_a_row_of_them(self):
        z = jnp.full(3, -INF)
        assert softmax_cross_entropy(z, jnp.zeros(3)) == 0
        assert jax.grad(softmax_cross_entropy)(z, jnp.zeros(3)).tolist() == [0, 0, 0]
        assert softmax_cross_entropy(z, jnp.ones(3) / 3) == INF
        assert softmax_cross_entropy_with_integer_labels(z, 1) == INF

    def test_nan_is_not_hidden(self):
        z = jnp.array([0.0, NAN, -INF])
        assert jnp.isnan(softmax_cross_entropy(z, [1.0, 0.0, 0.0]))
        assert jnp.isnan(softmax_cross_entropy_with_integer_labels(z, 0))


class TestLabelsThatNameNoClass:
    Z = jnp.array([[1.0, 2.0, 3.0]] * 4)

    @pytest.mark.parametrize("label", [-1, 3, 2**31 - 1])
    def test_give_nan_and_a_gradient_that_is_not_finite(self, label):
        k = jnp.array([0, label, 2, 1])
        losses = softmax_cross_entropy_with_integer_labels(self.Z, k)
        assert jnp.isnan(losses).tolist() == [False, True, False, False]
        gradient = jax.jit(jax.grad(lambda z: softmax_cross_entropy_with_integer_labels(z, k).mean()))(self.Z)
        assert jnp.isfinite(gradient).all(axis=1).tolist() == [True, False, True, True]
        _, slope = jax.jvp(lambda z: softmax_cross_entropy_with_integer_labels(z, k), (self.Z,), (self.Z,))
        assert jnp.isfinite(slope).tolist() == [True, False, True, True]

    def test_can_be_replaced_with_gradient_zero(self):
        dtype = jnp.bfloat16
        k = jnp.array([0, -1, -100, 1])

        def mean_of_the_others(z):
            losses = softmax_cross_entropy_with_integer_labels(z, k)
            return jnp.where(k >= 0, losses, 0).sum() / 2

        value, gradient = jax.jit(jax.value_and_grad(mean_of_the_others))(self.Z.astype(dtype))
        kept = jax.value_and_grad(lambda z: _total(jnp.array([0, 1]))(z) / 2)(self.Z[jnp.array([0, 3])].astype(dtype))
        np.testing.assert_allclose(value, kept[0], 1e-6)
        np.testing.assert_array_equal(gradient[1:3], 0)
        assert jnp.allclose(gradient[jnp.array([0, 3])], kept[1])

    def test_are_not_wrapped_into_range_by_their_dtype(self):
        many = jnp.zeros(1000)
        assert softmax_cross_entropy_with_integer_labels(many, jnp.uint8(200)) == pytest.approx(np.log(1000))
        assert softmax_cross_entropy_with_integer_labels(many, jnp.int8(100)) == pytest.approx(np.log(1000))
        assert jnp.isnan(softmax_cross_entropy_with_integer_labels(many, jnp.uint32(2**32 - 1)))
        with enable_x64():
            assert jnp.isnan(softmax_cross_entropy_with_integer_labels(jnp.zeros(3), jnp.int64(2**32 + 1)))
            assert jnp.isnan(softmax_cross_entropy_with_integer_labels(jnp.zeros(3), jnp.uint64(2**64 - 1)))
            assert softmax_cross_entropy_with_integer_labels(jnp.zeros(3), jnp.int64(2)) == pytest.approx(np.log(3))


class TestWhere:
    Z = jnp.array([[1.0, 2.0, 3.0], [0.5, NAN, INF]])
    MASK = jnp.array([[True, False, True], [True, False, False]])

    def test_leaves_classes_out_of_both_sums(self):
        y = jnp.array([[0.2, 0.3, 0.5], [1.0, NAN, 0.0]])
        total, gradient = jax.value_and_grad(lambda z: softmax_cross_entropy(z, y, where=self.MASK).sum())(self.Z)
        first = softmax_cross_entropy([1.0, 3.0], [0.2, 0.5])
        np.testing.assert_allclose(total, first, 1e-6)  # one class alone is certain
        slope = jax.grad(softmax_cross_entropy)(jnp.array([1.0, 3.0]), jnp.array([0.2, 0.5]))
        np.testing.assert_allclose(gradient, [[slope[0], 0, slope[1]], [0, 0, 0]], 1e-5, 1e-7)

    def test_in_the_integer_form(self):
        losses = softmax_cross_entropy_with_integer_labels(self.Z, [2, 0], where=self.MASK)
        np.testing.assert_allclose(losses, [np.log(1 + np.exp(-2)), 0], 1e-6)
        gradient = jax.grad(_total([2, 0], where=self.MASK))(self.Z)
        p = 1 / (1 + np.exp(-2))
        np.testing.assert_allclose(gradient, [[1 - p, 0, p - 1], [0, 0, 0]], 1e-5)

    def test_a_label_outside_names_no_class(self):
        losses = softmax_cross_entropy_with_integer_labels(self.Z, [1, 0], where=self.MASK)
        assert jnp.isnan(losses).tolist() == [True, False]

    def test_a_row_without_classes_is_free(self):
        z, mask = jnp.array([1.0, NAN]), jnp.zeros(2, bool)
        assert softmax_cross_entropy(z, [0.5, 0.5], where=mask) == 0
        assert jax.grad(lambda z: softmax_cross_entropy(z, [0.5, 0.5], where=mask))(z).tolist() == [0, 0]
        assert jnp.isnan(softmax_cross_entropy_with_integer_labels(z, 0, where=mask))

    def test_all_true_changes_nothing(self):
        z = jnp.array([[3.0, 1.0], [0.0, 2.0]])
        ones = jnp.ones(z.shape, bool)
        assert jnp.array_equal(softmax_cross_entropy(z, z, where=ones), softmax_cross_entropy(z, z))

    def test_is_checked(self):
        with pytest.raises(ValueError, match=r"where and logits must have the same shape, got \(3,\) and \(2, 3\)"):
            softmax_cross_entropy(self.Z, self.Z, where=[True, False, True])
        with pytest.raises(TypeError, match="where must be boolean, got dtype int32"):
            softmax_cross_entropy_with_integer_labels(self.Z, [0, 0], where=jnp.ones((2, 3), jnp.int32))


class TestAxis:
    Z = jax.random.normal(jax.random.key(0), (2, 3, 4))

    @pytest.mark.parametrize("axis", [0, -2, np.int64(2)])
    def test_one(self, axis):
        moved = jnp.moveaxis(self.Z, axis, -1)
        k = jnp.ones(moved.shape[:-1], jnp.int32)
        losses = softmax_cross_entropy_with_integer_labels(self.Z, k, axis=axis)
        np.testing.assert_allclose(losses, softmax_cross_entropy_with_integer_labels(moved, k), 1e-6)
        y = jax.nn.softmax(self.Z, axis)
        expected = softmax_cross_entropy(moved, jnp.moveaxis(y, axis, -1))
        np.testing.assert_allclose(softmax_cross_entropy(self.Z, y, axis=axis), expected, 1e-6)

    @pytest.mark.parametrize("axis", [(2, 1), [-1, -2]])
    def test_several_are_flattened_in_the_order_of_the_array(self, axis):
        k = jnp.array([1, 7])
        flat = self.Z.reshape(2, 12)
        losses = softmax_cross_entropy_with_integer_labels(self.Z, k, axis=axis)
        np.testing.assert_allclose(losses, softmax_cross_entropy_with_integer_labels(flat, k), 1e-6)
        y = jax.nn.softmax(flat)
        losses = softmax_cross_entropy(self.Z, y.reshape(2, 3, 4), axis=axis)
        np.testing.assert_allclose(losses, softmax_cross_entropy(flat, y), 1e-6)

    def test_all_of_them_with_a_mask(self):
        losses = softmax_cross_entropy_with_integer_labels(self.Z, 5, axis=(0, 1, 2), where=self.Z > -10)
        np.testing.assert_allclose(losses, softmax_cross_entropy_with_integer_labels(self.Z.ravel(), 5), 1e-6)

    @pytest.mark.parametrize("axis", [3, -4, (), (0, 5)])
    def test_must_exist(self, axis):
        with pytest.raises(ValueError, match=r"is not an axis of logits of shape \(2, 3, 4\)"):
            softmax_cross_entropy(self.Z, self.Z, axis=axis)

    def test_must_be_named_once(self):
        with pytest.raises(ValueError, match="twice"):
            softmax_cross_entropy_with_integer_labels(self.Z, [0, 0], axis=(1, -2))

    def test_must_have_classes(self):
        with pytest.raises(ValueError, match=r"logits of shape \(2, 0\) has no classes"):
            softmax_cross_entropy_with_integer_labels(jnp.zeros((2, 0)), [0, 0])
        with pytest.raises(ValueError, match=r"axis=-1 is not an axis of logits of shape \(\)"):
            softmax_cross_entropy_with_integer_labels(1.0, 0)


class TestErrors:
    @pytest.mark.parametrize("shape", [(2, 1), (3,), (1, 3), (3, 2), ()])
    def test_probabilities_of_another_shape(self, shape):
        message = f"logits and labels must have the same shape, got (2, 3) and {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            jax.eval_shape(softmax_cross_entropy, jnp.zeros((2, 3)), jnp.zeros(shape))

    @pytest.mark.parametrize("shape", [(4, 1), (), (3,), (4, 3)])
    def test_integers_of_another_shape(self, shape):
        message = f"labels must have shape (4,), which is that of logits (4, 3) without axis=-1, got {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            jax.eval_shape(softmax_cross_entropy_with_integer_labels, jnp.zeros((4, 3)), jnp.zeros(shape, jnp.int32))

    @pytest.mark.parametrize("labels", [[0.0, 1.0], np.zeros(2), jnp.zeros(2, bool)])
    def test_labels_that_are_not_integers(self, labels):
        with pytest.raises(TypeError, match="labels must be class indices of an integer dtype, got dtype"):
            softmax_cross_entropy_with_integer_labels(jnp.zeros((2, 3)), labels)

    def test_complex_logits(self):
        with pytest.raises(TypeError, match="logits must be real numbers, got dtype complex64"):
            softmax_cross_entropy(jnp.ones(2, jnp.complex64), jnp.ones(2))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32])
def test_float32_is_the_least(dtype):
    """Defect E8: losses of half precision were summed and returned in it."""
    z = jnp.arange(6).reshape(2, 3).astype(dtype)
    wide = z.astype(jnp.float32)
    for y in (jax.nn.one_hot(jnp.array([0, 1]), 3, dtype=dtype), jnp.eye(2, 3, dtype=jnp.int32), np.eye(2, 3)):
        losses = softmax_cross_entropy(z, y)
        assert losses.dtype == jnp.float32
        assert not losses.weak_type
        assert jnp.array_equal(losses, softmax_cross_entropy(wide, np.eye(2, 3)))
    losses = softmax_cross_entropy_with_integer_labels(z, [0, 1])
    assert losses.dtype == jnp.float32
    assert jnp.array_equal(losses, softmax_cross_entropy_with_integer_labels(wide, [0, 1]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_gradient_is_rounded_once(dtype):
    z, k = jnp.array([[9.0, 1.0, 0.0], [0.0, 0.5, 1.0]], dtype), jnp.array([0, 1])
    exact = jax.grad(_total(k))(z.astype(jnp.float32))
    gradient = jax.grad(_total(k))(z)
    assert gradient.dtype == dtype
    assert jnp.array_equal(gradient, exact.astype(dtype))


MASK = np.array([[True, True, False, True], [True] * 4])


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: softmax_cross_entropy(z, np.array([[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.5, 0.0]]), where=MASK),
        lambda z: softmax_cross_entropy(np.array([[1.0, 0.0, -1.0, 2.0], [0.0, 0.3, 0.0, 0.1]]), z),
        lambda z: softmax_cross_entropy_with_integer_labels(z, [3, 0], where=MASK),
        lambda z: softmax_cross_entropy_with_integer_labels(z, [1, 0, 1, 0], axis=0),
    ],
)
def test_float64_stays_and_agrees_with_finite_differences(loss):
    with enable_x64():
        z, direction = np.random.default_rng(0).normal(size=(2, 2, 4))
        first, second = jax.jit(jax.jacrev(loss)), jax.jit(jax.jacfwd(jax.jacrev(loss)))(z)
        before, after = z - 1e-5 * direction, z + 1e-5 * direction
        assert loss(z).dtype == jnp.float64
        np.testing.assert_allclose(jax.jit(jax.jacfwd(loss))(z), first(z), 1e-12, 1e-12)
        np.testing.assert_allclose(np.tensordot(first(z), direction), (loss(after) - loss(before)) / 2e-5, 1e-7, 1e-9)
        np.testing.assert_allclose(np.tensordot(second, direction), (first(after) - first(before)) / 2e-5, 1e-6, 1e-8)


def test_no_batch():
    assert softmax_cross_entropy(jnp.zeros((0, 3)), jnp.zeros((0, 3))).shape == (0,)
    assert softmax_cross_entropy_with_integer_labels(jnp.zeros((0, 3)), jnp.zeros(0, jnp.int32)).shape == (0,)


def test_the_integer_form_needs_the_memory_of_the_logits_once_at_most():
    z, k = jnp.zeros((64, 4096)), jnp.zeros(64, jnp.int32)
    for function in (_total(k), jax.value_and_grad(_total(k))):
        needed = jax.jit(function).lower(z).compile().memory_analysis().temp_size_in_bytes
        assert needed < 1.25 * z.nbytes


class TestOptionsOfTheIntegerForm:
    Z = np.asarray([[1.0, 2.0, 3.0], [0.5, -1.0, 4.0], [0.0, 0.0, 0.0]], np.float32)
    K = np.asarray([2, 0, 1])
    MASK = np.asarray([[True, False, True], [True, True, True], [False, True, True]])

    @pytest.mark.parametrize("where", [None, MASK])
    def test_smoothed_labels_are_those_of_the_other_form(self, where):
        smoothed = smooth_labels(np.eye(3, dtype=np.int32)[self.K], 0.3, where=where)
        forms = [
            lambda z: softmax_cross_entropy_with_integer_labels(z, self.K, where=where, label_smoothing=0.3),
            lambda z: softmax_cross_entropy(z, smoothed, where=where),
        ]
        values, slopes = zip(
            *((form(self.Z), jax.grad(lambda z, f=form: f(z).sum())(self.Z)) for form in forms), strict=True
        )
        np.testing.assert_allclose(*values, 1e-6)
        np.testing.assert_allclose(*slopes, 1e-5, 1e-6)

    def test_the_normaliser_is_drawn_to_one(self):
        def extra(z):
            losses = [softmax_cross_entropy_with_integer_labels(z, self.K, z_loss=b) for b in (0.5, 0.0)]
            return losses[0] - losses[1]

        log_total = np.log(np.exp(self.Z).sum(-1))
        np.testing.assert_allclose(extra(self.Z), 0.5 * log_total**2, 1e-5)
        p = np.stack([softmax(row) for row in self.Z.astype(np.float64)])
        np.testing.assert_allclose(jax.grad(lambda z: extra(z).sum())(self.Z), log_total[:, None] * p, 1e-5)

    def test_bounded_logits(self):
        z = np.asarray([[100.0, -100.0, -INF]], np.float32)
        bounded = 2 * np.tanh(z / 2)
        loss = lambda z: softmax_cross_entropy_with_integer_labels(z, [1], soft_cap=2.0).sum()  # noqa: E731
        expected = softmax_cross_entropy_with_integer_labels(np.where(z == -INF, z, bounded), [1])
        np.testing.assert_allclose(loss(z), expected.sum(), 1e-6)
        assert jnp.isfinite(jax.grad(loss)(z)).all()

    def test_rows_that_are_ignored_do_not_count(self):
        """Defect E2: there is a value for rows that only fill a batch up."""
        z = self.Z.copy()
        z[1] = NAN
        k = np.asarray([2, -100, 1])

        def mean(z):
            return softmax_cross_entropy_with_integer_labels(z, k, ignore_index=-100, reduction="mean", z_loss=0.1)

        value, gradient = jax.jit(jax.value_and_grad(mean))(z)
        kept = softmax_cross_entropy_with_integer_labels(z[[0, 2]], k[[0, 2]], z_loss=0.1)
        np.testing.assert_allclose(value, kept.mean(), 1e-6)
        assert jnp.isfinite(gradient).all()
        assert (gradient[1] == 0).all()
        k[0] = -1  # another one names no class all the same
        assert jnp.isnan(mean(z))

    def test_may_be_traced(self):
        @jax.jit
        def loss(smoothing, z_loss, cap):
            return softmax_cross_entropy_with_integer_labels(
                self.Z, self.K, label_smoothing=smoothing, z_loss=z_loss, soft_cap=cap
            )

        options = {"label_smoothing": 0.2, "z_loss": 0.1, "soft_cap": 3.0}
        expected = softmax_cross_entropy_with_integer_labels(self.Z, self.K, **options)
        np.testing.assert_allclose(loss(0.2, 0.1, 3.0), expected, 1e-6)

        z = jnp.array([0.0, 1.0, -INF])  # what is not asked for costs nothing
        none = jax.jit(lambda a: softmax_cross_entropy_with_integer_labels(z, 0, label_smoothing=a))(0.0)
        assert none == softmax_cross_entropy_with_integer_labels(z, 0)

    @pytest.mark.parametrize(
        ("option", "value"), [("label_smoothing", 1.0), ("label_smoothing", -0.1), ("z_loss", -1.0), ("soft_cap", 0.0)]
    )
    def test_are_checked(self, option, value):
        with pytest.raises(ValueError, match=option):
            softmax_cross_entropy_with_integer_labels(self.Z, self.K, **{option: value})


@hypothesis.given(LOGITS, st.data())
def test_poly_loss_against_the_definition(z, data):
    y = data.draw(hnp.arrays(np.float32, z.shape, elements=st.floats(0, 1, width=32)))
    rows = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(z, y, strict=True)]
    expected = [cross_entropy(*row) + 3 * ((1 - softmax(row[0])) * row[1]).sum() for row in rows]
    np.testing.assert_allclose(poly_loss_cross_entropy(z, y, epsilon=3.0), expected, 1e-5, 1e-5)
    np.testing.assert_array_equal(poly_loss_cross_entropy(z, y, epsilon=0.0), safe_softmax_cross_entropy(z, y))


def test_poly_loss_has_a_least_epsilon():
    with pytest.raises(ValueError, match="epsilon must be"):
        poly_loss_cross_entropy([0.0], [1.0], epsilon=-1.5)


class TestSmoothLabels:
    @hypothesis.given(hnp.arrays(np.float32, (3, 4), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
    def test_keeps_the_sum_of_probabilities(self, y, alpha):
        y = np.where(y.sum(-1, keepdims=True) > 0, y / np.maximum(y.sum(-1, keepdims=True), 1e-30), 0.25)
        smoothed = smooth_labels(y, alpha)
        np.testing.assert_allclose(smoothed, (1 - alpha) * y + alpha / 4, 1e-5, 1e-6)
        np.testing.assert_allclose(smoothed.sum(-1), y.sum(-1), 1e-5)

    @pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.float32, jnp.bfloat16])
    def test_of_one_hot_rows_of_any_dtype(self, dtype):
        """Defect E9: integers are labels too."""
        smoothed = smooth_labels(np.eye(4, dtype=np.int32)[[1]].astype(dtype), 0.4)
        assert smoothed.dtype == jnp.float32
        np.testing.assert_allclose(smoothed, [[0.1, 0.7, 0.1, 0.1]], 1e-6)

    def test_over_the_classes_that_take_part(self):
        mask = np.asarray([[True, True, False], [False] * 3])
        smoothed = smooth_labels(np.asarray([[1, 0, 0], [0, 1, 0]]), 0.4, where=mask)
        np.testing.assert_allclose(smoothed, [[0.8, 0.2, 0.0], [0.0] * 3], 1e-6)

    def test_along_another_axis(self):
        y = np.eye(4, 3)
        np.testing.assert_array_equal(smooth_labels(y, 0.1, axis=0), smooth_labels(y.T, 0.1).T)

    @pytest.mark.parametrize("alpha", [-0.1, 1.1, NAN])
    def test_checks_alpha(self, alpha):
        with pytest.raises(ValueError, match="alpha must be"):
            smooth_labels([1.0], alpha)

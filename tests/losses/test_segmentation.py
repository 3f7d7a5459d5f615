import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import (
    binary_dice_loss,
    dice_loss,
    jaccard_loss,
    lovasz_hinge_loss,
    lovasz_softmax_loss,
    multiclass_generalized_dice_loss,
    tversky_loss,
)
from reference.losses import softmax
from reference.segmentation_losses import jaccard, lovasz, tversky
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
SHAPE = (2, 5, 3)  # (images, pixels, classes); one: compiled once
LOGITS = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0, -20.0]) | st.floats(-20, 20, width=32))
SHARES = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([0.0, 1.0]) | st.floats(0, 1, width=32))
LABELS = hnp.arrays(np.int32, SHAPE[:2], elements=st.integers(0, 2))


def probabilities(logits):
    return np.asarray([[softmax(pixel.astype(np.float64)) for pixel in image] for image in logits])


def of_each(rule, p, y):
    """A rule for one image and one class, of all; shape (images, classes)."""
    return np.asarray([[rule(a, b) for a, b in zip(x.T, z.T, strict=True)] for x, z in zip(p, y, strict=True)])


@jax.jit
def regions(logits, y, a, b, s):
    return (
        tversky_loss(logits, y, alpha=a, beta=b, smooth=s, gamma=2.0),
        jaccard_loss(logits, y, smooth=s),
        dice_loss(logits, y, alpha=a, beta=b, smooth=s, reduction="none"),
        multiclass_generalized_dice_loss(logits, y, smooth=s, reduction=None),
        binary_dice_loss(logits, y, smooth=s),
    )


@hypothesis.given(LOGITS, SHARES, *(st.floats(0.125, 2, width=32) for _ in range(3)))
def test_regions_against_the_definitions(logits, y, a, b, s):
    hypothesis.assume((y.sum((0, 1)) > 1e-3).all())
    p, wide = probabilities(logits), y.astype(np.float64)
    focal, over_union, dice, generalized, binary = regions(logits, y, a, b, s)
    indices = of_each(lambda p, y: tversky(p, y, a, b, s), p, wide)
    np.testing.assert_allclose(np.square(focal), indices, 1e-4, 1e-5)
    np.testing.assert_allclose(over_union, of_each(lambda p, y: tversky(p, y, 1, 1, s), p, wide), 1e-4, 1e-5)
    np.testing.assert_allclose(dice, indices, 1e-4, 1e-5)
    inverse = wide.sum((0, 1)) ** -2.0
    plain = of_each(lambda p, y: tversky(p, y, 0.5, 0.5, s), p, wide)
    np.testing.assert_allclose(generalized, plain @ inverse / inverse.sum(), 1e-4, 1e-5)
    logistic = 1 / (1 + np.exp(-logits.astype(np.float64)))
    np.testing.assert_allclose(
        binary, [tversky(x, t, 0.5, 0.5, s) for x, t in zip(logistic, wide, strict=True)], 1e-4, 1e-5
    )


@jax.jit
def surrogates(logits, labels, flags):
    both = [
        lambda z: lovasz_hinge_loss(z, flags),
        lambda z: lovasz_softmax_loss(z, labels),
        lambda z: lovasz_softmax_loss(z, labels, classes="all"),
    ]
    return [f(logits) for f in both], [jax.grad(lambda z, f=f: f(z).sum())(logits) for f in both]


@hypothesis.given(LOGITS, LABELS, hnp.arrays(np.bool_, SHAPE))
def test_surrogates_against_the_definition(logits, labels, flags):
    """Also with ties: the order of equal errors changes nothing in the loss."""
    (hinge, present, everywhere), gradients = surrogates(logits, labels, flags)
    signed = 1 - logits.astype(np.float64) * np.where(flags, 1, -1)
    np.testing.assert_allclose(
        hinge, [lovasz(e.ravel(), f.ravel()) for e, f in zip(signed, flags, strict=True)], 1e-4, 1e-5
    )
    one_hot = np.eye(3)[labels]
    classes = of_each(lambda e, y: lovasz(e, y == 1), np.abs(one_hot - probabilities(logits)), one_hot)
    some = one_hot.any(axis=1)
    np.testing.assert_allclose(present, (some * classes).sum(1) / some.sum(1), 1e-4, 1e-5)
    np.testing.assert_allclose(everywhere, classes.mean(1), 1e-4, 1e-5)
    assert all(jnp.isfinite(g).all() for g in gradients)


@jax.jit
def of_hard_regions(p, y, labels):
    return (
        jaccard_loss(p, y, smooth=0.0, activation=None),
        dice_loss(p, y, smooth=0.0, apply_softmax=False, reduction="none"),
        lovasz_softmax_loss(1000 * p, labels, classes="all"),
    )


@hypothesis.given(LABELS, LABELS)
def test_of_hard_regions_all_are_what_sets_have(predicted, labels):
    y, p = (np.eye(3, dtype=np.float32)[k] for k in (labels, predicted))
    sets = of_each(lambda a, b: jaccard(set(np.flatnonzero(a)), set(np.flatnonzero(b))), p, y)
    over_union, dice, certain = of_hard_regions(p, y, labels)
    np.testing.assert_allclose(over_union, sets, 1e-5, 1e-6)
    np.testing.assert_allclose(dice, sets / (2 - sets), 1e-5, 1e-6)
    np.testing.assert_allclose(certain, sets.mean(1), 1e-5, 1e-6)


class TestNothing:
    """Nothing predicted and nothing wanted: loss 0, also where smooth = 0 would make it 0 / 0."""

    ZEROS = jnp.zeros((2, 4, 3))

    @pytest.mark.parametrize("smooth", [0.0, 1.0])
    @pytest.mark.parametrize(
        "loss",
        [
            lambda p, y, s: tversky_loss(p, y, smooth=s, activation=None),
            lambda p, y, s: tversky_loss(p, y, smooth=s, activation=None, gamma=2.0),
            lambda p, y, s: jaccard_loss(p, y, smooth=s, activation=None),
            lambda p, y, s: dice_loss(p, y, smooth=s, apply_softmax=False),
            lambda p, y, s: multiclass_generalized_dice_loss(p, y, smooth=s, apply_softmax=False),
            lambda p, y, s: binary_dice_loss(p, y, smooth=s, apply_sigmoid=False),
        ],
    )
    def test_at_all(self, loss, smooth):
        both = jax.jit(jax.value_and_grad(lambda *pair: loss(*pair, smooth).sum(), (0, 1)))
        value, gradients = both(self.ZEROS, self.ZEROS)
        assert value == 0
        assert all(jnp.isfinite(g).all() for g in gradients)
        _, almost = both(self.ZEROS + 1e-30, self.ZEROS)
        assert all(jnp.isfinite(g).all() for g in almost)

    @pytest.mark.parametrize(
        "loss",
        [
            lambda z, mask: tversky_loss(z, jnp.ones(z.shape), smooth=0.0, where=mask),
            lambda z, mask: jaccard_loss(z, jnp.ones(z.shape), activation="sigmoid", where=mask),
            lambda z, mask: dice_loss(z, jnp.ones(z.shape), smooth=0.0, where=mask),
            lambda z, mask: multiclass_generalized_dice_loss(z, jnp.ones(z.shape), smooth=0.0, where=mask),
            lambda z, mask: binary_dice_loss(z[..., 0], jnp.ones(z.shape[:-1]), smooth=0.0, where=mask),
            lambda z, mask: lovasz_hinge_loss(z[..., 0], jnp.full(z.shape[:-1], 7), where=mask),
            lambda z, mask: lovasz_softmax_loss(z, jnp.full(z.shape[:-1], 7), where=mask),
            lambda z, mask: lovasz_softmax_loss(z, jnp.full(z.shape[:-1], 7), classes="all", where=mask),
        ],
    )
    def test_that_takes_part(self, loss):
        mask = jnp.zeros((2, 4), bool)
        value, gradient = jax.jit(jax.value_and_grad(lambda z: loss(z, mask).sum()))(self.ZEROS.at[0].set(NAN))
        assert value == 0
        assert jnp.array_equal(gradient, self.ZEROS)

    def test_of_pixels(self):
        none = jnp.zeros((2, 0), jnp.int32)
        assert jax.jit(lovasz_hinge_loss)(jnp.zeros((2, 0)), none).tolist() == [0, 0]
        assert jax.jit(lovasz_softmax_loss)(jnp.zeros((2, 0, 3)), none).tolist() == [0, 0]


def test_a_perfect_prediction_costs_nothing_to_the_last_digit():
    y = jnp.asarray(np.eye(3, dtype=np.float32)[np.arange(3000) % 3][None])
    value, gradient = jax.jit(jax.value_and_grad(lambda p: tversky_loss(p, y, activation=None, gamma=4 / 3).sum()))(y)
    assert value == 0
    assert jnp.isfinite(gradient).all()
    assert jax.jit(lovasz_hinge_loss)(2 * y[..., 0] - 1, y[..., 0].astype(jnp.int32)).tolist() == [0]


class TestDice:
    P = jax.nn.softmax(jax.random.normal(jax.random.key(0), (2, 3, 4, 3)))
    Y = jax.nn.softmax(jax.random.normal(jax.random.key(1), (2, 3, 4, 3)))

    def test_is_the_tversky_loss_of_classes_reduced_over_them(self):
        classes = tversky_loss(self.P, self.Y, activation=None)
        for reduction in ("none", None):
            losses = dice_loss(self.P, self.Y, apply_softmax=False, reduction=reduction)
            np.testing.assert_allclose(losses, classes, 1e-6)
        np.testing.assert_allclose(dice_loss(self.P, self.Y, apply_softmax=False), classes.mean(1), 1e-6)
        total = dice_loss(self.P, self.Y, apply_softmax=False, reduction="sum", ignore_background=True)
        np.testing.assert_allclose(total, classes[:, 1:].sum(1), 1e-6)

    def test_weights_of_classes_and_of_losses(self):
        losses = dice_loss(self.P, self.Y, reduction=None)
        w = jnp.array([1.0, 2.0, 4.0])
        np.testing.assert_allclose(dice_loss(self.P, self.Y, class_weights=w), losses @ w / 3, 1e-5)
        foreground = dice_loss(self.P, self.Y, class_weights=w, ignore_background=True)
        np.testing.assert_allclose(foreground, losses[:, 1:] @ w[1:] / 2, 1e-5)
        each = jnp.array([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]])
        mean = jnp.array([(losses[0, 0] + 3 * losses[0, 2]) / 4, 0.0])
        np.testing.assert_allclose(dice_loss(self.P, self.Y, weights=each), mean, 1e-5)

    def test_axis(self):
        over_batch = dice_loss(self.P, self.Y, axis=(0, 1, 2), reduction=None)
        joined = dice_loss(self.P.reshape(1, 24, 3), self.Y.reshape(1, 24, 3), reduction=None)
        np.testing.assert_allclose(over_batch, joined[0], 1e-5)
        assert dice_loss(self.P, self.Y, axis=1, reduction=None).shape == (2, 4, 3)
        with pytest.raises(ValueError, match=r"axis=-1 names the classes of predictions of shape \(2, 3, 4, 3\)"):
            dice_loss(self.P, self.Y, axis=-1)

    def test_the_only_class_is_no_background(self):
        p, y = self.P[..., :1], self.Y[..., :1]
        with_background = dice_loss(p, y, apply_softmax=False)
        np.testing.assert_array_equal(dice_loss(p, y, apply_softmax=False, ignore_background=True), with_background)

    def test_a_class_that_is_absent_from_the_batch_has_no_weight_in_the_generalized_loss(self):
        y = self.Y.at[..., 1].set(0)
        losses = dice_loss(self.P, y, reduction=None)
        inverse = y.sum((0, 1, 2))[::2] ** -2
        expected = (losses[:, ::2] @ inverse / inverse.sum()).mean()
        np.testing.assert_allclose(multiclass_generalized_dice_loss(self.P, y), expected, 1e-5)


def test_a_mask_of_pixels_or_of_classes():
    pixels = np.asarray([[True, False, True, False]] * 2)
    classes = np.ones((2, 4, 3), bool)
    classes[..., 0] = False

    @jax.jit
    def losses(p, y):
        labels = jnp.ones((2, 4), jnp.int32)
        pairs = [
            (tversky_loss(p, y, where=pixels), tversky_loss(p[:, ::2], y[:, ::2])),
            (tversky_loss(p, y, where=pixels[..., None].repeat(3, -1)), tversky_loss(p[:, ::2], y[:, ::2])),
            (lovasz_softmax_loss(p, labels, where=pixels), lovasz_softmax_loss(p[:, ::2], labels[:, ::2])),
        ]
        return pairs, tversky_loss(p, y, where=classes), tversky_loss(p[..., 1:], y[..., 1:])

    pairs, masked, fewer = losses(*np.random.default_rng(0).uniform(size=(2, 2, 4, 3)).astype(np.float32))
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, 1e-5)
    np.testing.assert_allclose(masked, np.pad(fewer, [(0, 0), (1, 0)]), 1e-5)


class TestLovasz:
    HINGE = staticmethod(jax.jit(lovasz_hinge_loss))

    def test_by_hand(self):
        """Errors 1.5, 1 and 0.5, of a region of the first two pixels; the index falls from 1 to 1/2, 1/3 and 0."""
        loss = self.HINGE(jnp.array([[-0.5, 0.0, -0.5]]), jnp.array([[True, True, False]]))
        np.testing.assert_allclose(loss, [1.5 * (1 - 1 / 2) + 1 * (1 / 2 - 0) + 0.5 * 0], 1e-6)
        loss = self.HINGE(jnp.array([[-0.5, 0.5, 0.0]]), jnp.array([[True, True, False]]))
        np.testing.assert_allclose(loss, [1.5 * (1 - 1 / 2) + 1 * (1 / 2 - 1 / 3) + 0.5 * 1 / 3], 1e-6)

    def test_an_empty_region_costs_its_largest_error(self):
        empty = jnp.array([[False, False, False]])
        assert self.HINGE(jnp.array([[3.0, -1.0, 0.0]]), empty).tolist() == [4.0]
        assert self.HINGE(jnp.array([[INF, INF, 0.0]]), empty).tolist() == [INF]
        assert self.HINGE(jnp.array([[-INF, INF, -INF]]), jnp.array([[False, True, False]])).tolist() == [0]

    def test_slopes_keep_their_digits_in_large_images(self):
        """In float32 the Jaccard index has steps of 6e-8, and these slopes are down to 5e-5."""
        n = 20_000
        z, k = np.linspace(0.0, 0.5, n).reshape(2, -1), np.arange(2)[:, None].repeat(n // 2, 1)
        gradient = jax.jit(jax.grad(lambda z: lovasz_hinge_loss(z[None], k[None])[0]))(jnp.asarray(z, jnp.float32))
        np.testing.assert_allclose(gradient[1], -1 / n, 1e-5)  # the errors of the region are the smaller half
        union = n / 2 + np.arange(1, n // 2 + 1)  # the others join it from the largest logit down
        np.testing.assert_allclose(gradient[0][::-1], n / 2 / union / (union - 1), 1e-5)

    @pytest.mark.parametrize("softmax", [False, True])
    def test_labels_that_name_nothing(self, softmax):
        def loss(z, k, **options):
            return (
                lovasz_softmax_loss(jnp.stack([-z, z], -1), k, **options)
                if softmax
                else lovasz_hinge_loss(z, k, **options)
            )

        @jax.jit
        def outcomes(k):
            kept = jax.grad(lambda z: loss(z, k, weights=jnp.array([1.0, 0.0]), reduction="mean"))(z)
            return loss(z, k), jax.grad(lambda z: loss(z, k).sum())(z), kept, loss(z, k, where=(k == 0) | (k == 1))

        z = jnp.array([[1.0, -1.0], [0.5, 0.0]])
        for label in (-1, 2, 100):
            losses, gradient, kept, masked = outcomes(jnp.array([[0, 1], [label, 1]]))
            assert jnp.isnan(losses).tolist() == [False, True]
            assert jnp.isfinite(gradient).all(axis=1).tolist() == [True, False]
            assert (kept[1] == 0).all()
            assert jnp.isfinite(masked).all()

    def test_the_axis_of_the_classes(self):
        z, k = jax.random.normal(jax.random.key(0), (2, 4, 3)), jnp.arange(8).reshape(2, 4) % 3

        @jax.jit
        def losses(z, k):
            swapped = lovasz_softmax_loss(jnp.swapaxes(z, 1, 2), k, axis=1)
            images = lovasz_softmax_loss(z.reshape(2, 2, 2, 3), k.reshape(2, 2, 2))
            return lovasz_softmax_loss(z, k), swapped, images

        expected, *others = losses(z, k)
        for other in others:
            np.testing.assert_allclose(other, expected, 1e-6)

    def test_nan_is_not_hidden(self):
        z = jnp.zeros(SHAPE).at[1, 0, 0].set(NAN)
        losses, _ = surrogates(z, jnp.zeros(SHAPE[:2], jnp.int32), jnp.zeros(SHAPE, bool))
        assert jnp.isnan(jnp.stack(losses)).tolist() == [[False, True]] * 3

    def test_impossible_classes(self):
        z = jnp.zeros(SHAPE).at[0, 0, 2].set(-INF).at[1, 1, 0].set(-INF)
        (_, *losses), (_, *gradients) = surrogates(z, jnp.ones(SHAPE[:2], jnp.int32), jnp.zeros(SHAPE, bool))
        assert jnp.isfinite(jnp.stack(losses)).all()
        for g in gradients:
            assert jnp.isfinite(g).all()
            assert g[0, 0, 2] == g[1, 1, 0] == 0


@pytest.mark.parametrize(
    "loss",
    [
        lambda z: tversky_loss(z, np.eye(3)[[[0, 1], [2, 0]]], gamma=4 / 3, smooth=0.5).sum(),
        lambda z: multiclass_generalized_dice_loss(z, np.eye(3)[[[0, 1], [2, 0]]]),
        lambda z: lovasz_softmax_loss(z, [[0, 1], [2, 0]], classes="all").sum(),
    ],
)
def test_second_derivatives_are_those_of_differences(loss):
    with enable_x64():
        z, direction = np.random.default_rng(0).normal(size=(2, 2, 2, 3))
        slope, h = jax.jit(jax.grad(loss)), 1e-6
        _, second = jax.jit(lambda z: jax.jvp(slope, (z,), (direction,)))(z)
        differences = (slope(z + h * direction) - slope(z - h * direction)) / (2 * h)
        np.testing.assert_allclose(second, differences, 1e-6, 1e-8)


class TestErrors:
    Z = jnp.zeros((2, 4, 3))

    @pytest.mark.parametrize("options", [{"smooth": -1.0}, {"alpha": -0.5}, {"beta": NAN}, {"gamma": 0.0}])
    def test_numbers_out_of_range(self, options):
        (name,) = options
        with pytest.raises(ValueError, match=f"{name} must be"):
            tversky_loss(self.Z, self.Z, **options)

    def test_names(self):
        with pytest.raises(ValueError, match="activation must be 'softmax', 'sigmoid' or None, got 'relu'"):
            tversky_loss(self.Z, self.Z, activation="relu")
        with pytest.raises(ValueError, match="classes must be 'present' or 'all', got 'some'"):
            lovasz_softmax_loss(self.Z, jnp.zeros((2, 4), int), classes="some")
        with pytest.raises(ValueError, match="reduction must be None, 'mean' or 'sum', got 'average'"):
            dice_loss(self.Z, self.Z, reduction="average")

    def test_shapes(self):
        with pytest.raises(ValueError, match=r"predictions and targets must have the same shape"):
            dice_loss(self.Z, jnp.zeros((2, 4), int))
        with pytest.raises(ValueError, match=r"class_weights must have shape \(3,\), one for each class .*got \(2,\)"):
            dice_loss(self.Z, self.Z, class_weights=[1.0, 2.0])
        with pytest.raises(ValueError, match=r"where and predictions must have the same shape"):
            jaccard_loss(self.Z, self.Z, where=jnp.ones((2, 3), bool))
        with pytest.raises(ValueError, match="labels must have an axis of images"):
            lovasz_softmax_loss([0.0, 1.0], 1)

    def test_labels(self):
        with pytest.raises(
            TypeError, match="labels must be 0 or 1, of an integer dtype or booleans, got dtype float32"
        ):
            lovasz_hinge_loss([[0.0]], [[1.0]])

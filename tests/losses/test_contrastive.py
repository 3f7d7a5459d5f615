import functools
import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import clip_loss, info_nce_loss, ntxent, siglip_loss, supervised_contrastive_loss
from reference import contrastive_losses as reference

NAN = float("nan")
# Never nearly zero vectors: their directions would be the rounding errors of float32.
NUMBERS = st.floats(-50, 50, width=32).map(lambda x: np.float32(np.round(x, 3)))
VECTORS = hnp.arrays(np.float32, (5, 3), elements=NUMBERS)  # one shape: compiled once
LABELS = hnp.arrays(np.int32, 5, elements=st.integers(0, 2))
KEPT = hnp.arrays(bool, 5, elements=st.booleans())
X, Y = (jax.random.normal(jax.random.key(i), (6, 4)) for i in (0, 1))
K = jnp.array([0, 0, 1, 1, 2, 0])
PAIRED = [info_nce_loss, clip_loss, siglip_loss]
ALL = [ntxent, supervised_contrastive_loss, *PAIRED]
# Compiled once for each kind of arguments.
COMPILED = {loss: jax.jit(loss, static_argnames=() if loss is ntxent else "reduction") for loss in ALL}
SHORT = {loss: jax.jit(functools.partial(loss, temperature=0.5)) for loss in ALL}
VALUE_AND_GRADIENT = jax.jit(jax.value_and_grad(ntxent))


def second(loss):
    """The second argument of the loss."""
    return Y if loss in PAIRED else K


class TestAgainstTheDefinition:
    @hypothesis.given(VECTORS, LABELS, KEPT)
    def test_ntxent(self, x, labels, kept):
        loss = SHORT[ntxent]
        np.testing.assert_allclose(loss(x, labels), reference.ntxent(x, labels, 0.5), 1e-5, 1e-5)
        expected = reference.ntxent(x[kept], labels[kept], 0.5)
        np.testing.assert_allclose(loss(x, labels, where=kept), expected, 1e-5, 1e-5)

    @hypothesis.given(VECTORS, LABELS, KEPT)
    def test_supervised(self, x, labels, kept):
        loss = SHORT[supervised_contrastive_loss]
        np.testing.assert_allclose(loss(x, labels), reference.supervised(x, labels, 0.5), 1e-5, 1e-5)
        losses = loss(x, labels, where=kept)
        np.testing.assert_allclose(losses[kept], reference.supervised(x[kept], labels[kept], 0.5), 1e-5, 1e-5)
        assert (losses[~kept] == 0).all()

    @pytest.mark.parametrize(
        ("loss", "definition"),
        [
            (info_nce_loss, reference.info_nce),
            (clip_loss, reference.clip),
            (siglip_loss, functools.partial(reference.siglip, bias=-10.0)),
        ],
    )
    def test_of_pairs(self, loss, definition):
        @hypothesis.given(VECTORS, VECTORS, KEPT)
        def check(x, y, kept):
            np.testing.assert_allclose(SHORT[loss](x, y), definition(x, y, 0.5), 1e-5, 1e-5)
            losses = SHORT[loss](x, y, where=kept)
            np.testing.assert_allclose(losses[kept], definition(x[kept], y[kept], 0.5), 1e-5, 1e-5)
            assert (losses[~kept] == 0).all()

        check()

    @hypothesis.given(VECTORS, VECTORS, hnp.arrays(np.float32, (2, 3), elements=NUMBERS))
    def test_info_nce_with_negatives_of_its_own(self, q, k, negatives):
        losses = SHORT[info_nce_loss](q, k, negatives=negatives)
        np.testing.assert_allclose(losses, reference.info_nce(q, k, 0.5, negatives), 1e-5, 1e-5)


class TestNtxent:
    def test_by_hand(self):
        x = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
        loss = COMPILED[ntxent]
        assert loss(x, jnp.array([0, 0, 1]), 1.0) == pytest.approx(np.log(1 + np.exp(-1)))
        assert loss(x, jnp.array([0, 1, 0]), 1.0) == pytest.approx((np.log(1 + np.e) + np.log(2)) / 2)

    def test_without_positives_it_is_zero(self):
        """Defect E7: it was NaN."""
        loss, gradient = VALUE_AND_GRADIENT(X, jnp.arange(6))
        assert loss == 0
        assert (gradient == 0).all()
        assert COMPILED[ntxent](X, K, where=jnp.arange(6) % 2 == 0) == 0  # one of each class
        assert COMPILED[ntxent](X[:1], K[:1]) == 0

    def test_without_negatives_it_is_zero(self):
        loss, gradient = VALUE_AND_GRADIENT(X, jnp.zeros(6, jnp.int32))
        assert loss == 0
        assert (gradient == 0).all()

    def test_no_array_has_a_row_of_features_for_each_pair(self):
        n, d = 128, 64
        x, labels = jax.ShapeDtypeStruct((n, d), jnp.float32), jnp.arange(n) // 2
        compiled = jax.jit(jax.value_and_grad(ntxent)).lower(x, labels).compile()
        assert compiled.memory_analysis().temp_size_in_bytes < 10 * 4 * (n * n + n * d)  # and not 4 n^2 d

    @pytest.mark.parametrize(
        "labels", [[0, 0, 1, 1, 2, 0], np.array([0.0, 0, 1, 1, 2, 0]), np.uint8([5, 5, 6, 6, 0, 5])]
    )
    def test_labels_are_compared_and_nothing_else(self, labels):
        np.testing.assert_allclose(COMPILED[ntxent](X, np.asarray(labels)), COMPILED[ntxent](X, K), 1e-6)

    def test_small_temperatures_do_not_overflow(self):
        loss, gradient = VALUE_AND_GRADIENT(X, K, 1e-4)
        assert loss == pytest.approx(reference.ntxent(X, K, 1e-4), rel=1e-5)
        assert jnp.isfinite(gradient).all()


class TestSupervised:
    def test_anchors_alone_in_their_class_do_not_count_in_a_mean(self):
        loss = COMPILED[supervised_contrastive_loss]
        losses = loss(X, K)
        assert losses[4] == 0
        mean = loss(X, K, reduction="mean")
        assert mean == pytest.approx(losses.sum() / 5)
        gradient = jax.grad(lambda x: loss(x, jnp.arange(6), reduction="mean"))(X)
        assert (gradient == 0).all()

    def test_by_hand(self):
        x = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        losses = COMPILED[supervised_contrastive_loss](x, jnp.zeros(3, jnp.int32), temperature=1.0)
        near, far = -np.log(np.e / (np.e + 1)), -np.log(1 / (np.e + 1))
        np.testing.assert_allclose(losses, [(near + far) / 2, (near + far) / 2, np.log(2)], 1e-6)

    def test_one_positive_each_is_the_cross_entropy_of_info_nce(self):
        """Queries and keys as one batch, of which the negatives are those of the other kind and of the own kind."""
        x, y = X[:1], Y[:1]
        both = jnp.concatenate([x, y, Y[1:]])
        losses = SHORT[supervised_contrastive_loss](both, jnp.array([0, 0, 1, 2, 3, 4, 5]))
        np.testing.assert_allclose(losses[0], SHORT[info_nce_loss](x, y, negatives=Y[1:])[0], 1e-5)


class TestOfPairs:
    def test_by_hand(self):
        x = jnp.array([[1.0, 0.0], [0.0, 5.0]])
        expected = np.log(1 + np.exp(-1))
        np.testing.assert_allclose(COMPILED[info_nce_loss](x, 2 * x, temperature=1.0), [expected] * 2, 1e-6)
        np.testing.assert_allclose(COMPILED[clip_loss](x, 2 * x, temperature=1.0), [expected] * 2, 1e-6)
        losses = COMPILED[siglip_loss](x, x, temperature=1.0, bias=0.0)
        np.testing.assert_allclose(losses, [expected + np.log(2)] * 2, 1e-6)

    def test_clip_does_not_know_which_is_the_image(self):
        np.testing.assert_allclose(COMPILED[clip_loss](X, Y), COMPILED[clip_loss](Y, X), 1e-6)

    def test_siglip_starts_near_the_prior_that_pairs_do_not_match(self):
        """With the bias of -10 that is the default, only the matching pairs cost anything at first."""
        losses = COMPILED[siglip_loss](np.eye(4, dtype=np.float32), np.roll(np.eye(4, dtype=np.float32), 1, axis=0))
        np.testing.assert_allclose(losses, np.log1p(np.exp(10)) + np.log1p(np.exp(0)) + 2 * np.log1p(np.exp(-10)), 1e-6)

    @pytest.mark.parametrize("loss", PAIRED)
    def test_the_temperature_can_be_learnt(self, loss):
        total = jax.jit(lambda c: loss(X, Y, temperature=jnp.exp(-c), reduction="mean"))
        slope, h = jax.jit(jax.grad(total))(1.0), 5e-2
        np.testing.assert_allclose(slope, (total(1 + h) - total(1 - h)) / (2 * h), 1e-2)

    def test_the_bias_can_be_learnt(self):
        slope = jax.jit(jax.grad(lambda b: siglip_loss(X, Y, bias=b, reduction="sum")))(-2.0)
        z = np.array([[reference.cosine(x, y) for y in Y] for x in X]) / 0.1 - 2.0
        np.testing.assert_allclose(slope, np.sum(1 / (1 + np.exp(-z))) - 6, 1e-5)

    def test_explicit_negatives_replace_those_of_the_batch(self):
        loss = SHORT[info_nce_loss]
        with_others = loss(X, Y, negatives=Y[:2])
        np.testing.assert_allclose(with_others[5], loss(X[5:], Y[5:], negatives=Y[:2])[0], 1e-6)
        gradient = jax.grad(lambda n: loss(X, Y, negatives=n).sum())(Y[:2])
        assert (gradient != 0).all()


@pytest.mark.parametrize("loss", ALL)
class TestDirectionsAlone:
    @pytest.mark.parametrize("scale", [1e-20, 1e30])
    def test_count_at_any_scale(self, loss, scale):
        """Defect E6, of the cosine within: squares of 1e-20 vanish, and those of 1e30 overflow."""
        x = X * scale
        other = second(loss) * (scale if loss in PAIRED else 1)
        both = jax.jit(jax.value_and_grad(lambda x, y: jnp.sum(loss(x, y))))
        value, gradient = both(x, other)
        expected, slope = both(X, second(loss))
        np.testing.assert_allclose(value, expected, 1e-5)
        np.testing.assert_allclose(gradient * scale, slope, 1e-4, 1e-4)

    def test_zero_embeddings(self, loss):
        """Defect E7: their gradient was of the order of 10^3, and that of the others not finite."""
        x = X.at[1].set(0).at[3].set(0)
        both = jax.jit(jax.value_and_grad(lambda x: jnp.sum(loss(x, second(loss)))))
        value, gradient = both(x)
        assert jnp.isfinite(value)
        assert (gradient[jnp.array([1, 3])] == 0).all()
        assert jnp.isfinite(gradient).all()
        assert (jnp.abs(gradient) < 100).all()
        assert jnp.isfinite(both(jnp.zeros_like(X))[1]).all()


@pytest.mark.parametrize("loss", [ntxent, siglip_loss])
def test_second_derivatives(loss):
    slope, h = jax.jit(jax.grad(lambda x: jnp.sum(loss(x, second(loss))))), 1e-2
    _, by_forward = jax.jvp(slope, (X,), (jnp.ones_like(X),))
    np.testing.assert_allclose(by_forward, (slope(X + h) - slope(X - h)) / (2 * h), 0.05, 0.5)


@pytest.mark.parametrize("loss", ALL)
class TestErrors:
    def test_embeddings_are_a_matrix(self, loss):
        name = next(iter(loss.__annotations__))
        for wrong in (X[0], X[None], jnp.zeros((6, 0)), jnp.zeros((0, 4))):
            with pytest.raises(ValueError, match=re.escape(f"{name} must have shape (N, D)")):
                loss(wrong, second(loss))

    @pytest.mark.parametrize("temperature", [0.0, -1.0, NAN])
    def test_temperatures_are_positive(self, loss, temperature):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            loss(X, second(loss), temperature=temperature)

    def test_masks_are_of_examples(self, loss):
        with pytest.raises(ValueError, match=re.escape("must have the same shape, got (6, 4) and (6,)")):
            loss(X, second(loss), where=jnp.ones((6, 4), bool))

    def test_traced_temperatures_are_scalars(self, loss):
        with pytest.raises(ValueError, match=re.escape("temperature must be a scalar, got shape (2,)")):
            jax.eval_shape(lambda t: loss(X, second(loss), temperature=t), jnp.ones(2))


def test_labels_are_one_for_each_example():
    for wrong in (K[:5], K[:, None], 0):
        with pytest.raises(ValueError, match=re.escape("labels must have shape (6,), one per row of embeddings")):
            ntxent(X, wrong)


def test_negatives_have_the_features_of_the_queries():
    with pytest.raises(ValueError, match=re.escape("negatives must have shape (M, 4) like queries, got (2, 3)")):
        info_nce_loss(X, Y, negatives=jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=re.escape("negatives must have shape (N, D)")):
        info_nce_loss(X, Y, negatives=jnp.ones(4))


def test_a_bias_is_a_number():
    with pytest.raises(ValueError, match="bias must be a number"):
        siglip_loss(X, Y, bias=NAN)

import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax import losses
from reference import ranking_losses as reference

INF, NAN = float("inf"), float("nan")
# One shape each: compiled once.
SCORES = hnp.arrays(np.float32, (2, 4), elements=st.floats(-50, 50, width=32))
LABELS = hnp.arrays(np.float32, (2, 4), elements=st.integers(0, 3).map(np.float32))
KEPT = hnp.arrays(bool, (2, 4), elements=st.booleans())
S = jax.random.normal(jax.random.key(0), (3, 5))
Y = jnp.array([[0.0, 3, 1, 2, 0], [1, 0, 0, 4, 2], [2, 2, 0, 1, 1]])
OF_LISTS = {
    losses.pairwise_logistic_loss: reference.pairwise_logistic,
    losses.pairwise_hinge_loss: reference.pairwise_hinge,
    losses.listmle_loss: reference.listmle,
    losses.approx_ndcg_loss: lambda s, y: reference.approx_ndcg(s, y, 1.0),
}
COMPILED = {loss: jax.jit(loss) for loss in OF_LISTS}
SLOPES = {loss: jax.jit(jax.grad(lambda s, y, loss=loss: loss(s, y).sum())) for loss in OF_LISTS}
compiled_softmax = jax.jit(losses.ranking_softmax_loss, static_argnames="reduce_fn")
softmax_losses = jax.jit(
    lambda z, y, kept, weights: losses.ranking_softmax_loss(z, y, where=kept, weights=weights, reduce_fn=None)
)
each_loss_of_lists = pytest.mark.parametrize("loss", OF_LISTS)


@each_loss_of_lists
def test_against_the_definition(loss):
    @hypothesis.given(SCORES, LABELS, KEPT)
    def check(s, y, kept):
        rows = [(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(s, y, strict=True)]
        np.testing.assert_allclose(COMPILED[loss](s, y), [OF_LISTS[loss](*row) for row in rows], 1e-5, 1e-4)
        expected = [OF_LISTS[loss](a[m], b[m]) for (a, b), m in zip(rows, kept, strict=True)]
        np.testing.assert_allclose(COMPILED[loss](s, y, where=kept), expected, 1e-5, 1e-4)

    check()


def test_by_hand():
    s, y = jnp.array([1.0, 3.0]), jnp.array([1, 0])
    assert COMPILED[losses.pairwise_logistic_loss](s, y) == pytest.approx(np.log(1 + np.exp(2)))
    assert COMPILED[losses.pairwise_hinge_loss](s, y) == 3
    assert COMPILED[losses.listmle_loss](s, y) == pytest.approx(np.log(1 + np.exp(2)))
    steps = 1 / (1 + np.exp(-2))
    assert COMPILED[losses.approx_ndcg_loss](s, y) == pytest.approx(1 - 1 / np.log2(2 + steps), rel=1e-5)


class TestListsWithNothingToRank:
    @pytest.mark.parametrize(
        ("loss", "labels"),
        [
            (losses.pairwise_logistic_loss, [1.0] * 5),
            (losses.pairwise_hinge_loss, [1.0] * 5),
            (losses.approx_ndcg_loss, [0.0] * 5),
        ],
    )
    def test_are_zero_and_do_not_count(self, loss, labels):
        y = Y.at[1].set(jnp.array(labels))
        each = COMPILED[loss](S, y)
        assert each[1] == 0
        value, gradient = jax.jit(jax.value_and_grad(lambda s: loss(s, y, reduction="mean")))(S)
        np.testing.assert_allclose(value, (each[0] + each[2]) / 2, 1e-6)
        assert (gradient[1] == 0).all()
        assert jnp.isfinite(gradient).all()

    @each_loss_of_lists
    def test_nor_do_lists_without_items(self, loss):
        mask = jnp.array([[True] * 5, [False] * 5, [True, True, True, False, True]])
        s, y = (jnp.where(mask, x, NAN) for x in (S, Y))
        each = COMPILED[loss](s, y, where=mask)
        assert each[1] == 0
        value, gradient = jax.jit(jax.value_and_grad(lambda s: loss(s, y, where=mask, reduction="mean")))(s)
        np.testing.assert_allclose(value, (each[0] + each[2]) / 2, 1e-6)
        assert (gradient[~mask] == 0).all()
        keep = jnp.array([0, 1, 2, 4])
        np.testing.assert_allclose(each[2], COMPILED[loss](S[2:, keep], Y[2:, keep])[0], 1e-6)


@each_loss_of_lists
class TestEachLossOfLists:
    def test_any_axis(self, loss):
        np.testing.assert_allclose(jax.jit(lambda s, y: loss(s, y, axis=0))(S.T, Y.T), COMPILED[loss](S, Y), 1e-6)
        one = jax.jit(lambda s, y: loss(s, y, axis=(0, 1)))(S, Y)
        np.testing.assert_allclose(one, COMPILED[loss](S.reshape(1, -1), Y.reshape(1, -1))[0], 1e-5)

    def test_the_order_of_the_items_does_not_matter(self, loss):
        order, distinct = jnp.array([3, 0, 4, 1, 2]), jnp.argsort(S[::-1], axis=-1)
        losses_of = COMPILED[loss]
        np.testing.assert_allclose(losses_of(S[:, order], distinct[:, order]), losses_of(S, distinct), 1e-5)

    def test_only_differences_of_scores_matter(self, loss):
        np.testing.assert_allclose(COMPILED[loss](S + 1024, Y), COMPILED[loss](S, Y), 1e-3)
        np.testing.assert_allclose(SLOPES[loss](S, Y).sum(-1), 0, atol=1e-6)

    def test_scores_far_apart(self, loss):
        s = jnp.array([1e30, -1e30, 0.0])
        s, y = jnp.stack([s, -s]), jnp.array([[0.0, 1.0, 2.0]] * 2)
        values = COMPILED[loss](s, y)
        assert values[0] > 0
        assert jnp.isfinite(values).all()
        assert jnp.isfinite(SLOPES[loss](s, y)).all()

    def test_shapes(self, loss):
        with pytest.raises(ValueError, match=re.escape("scores and labels must have the same shape, got (3, 5)")):
            loss(S, Y[:1])
        with pytest.raises(ValueError, match=re.escape("scores of shape (3, 0) has lists of length 0 along axis=-1")):
            loss(S[:, :0], Y[:, :0])
        with pytest.raises(ValueError, match="axis=2 is not an axis of scores"):
            loss(S, Y, axis=2)


class TestListmle:
    def test_second_derivatives(self):
        gradient, step = SLOPES[losses.listmle_loss], 1e-2 * jnp.cos(S)
        _, slope = jax.jvp(lambda s: gradient(s, Y), (S,), (jnp.cos(S),))
        expected = (gradient(S + step, Y) - gradient(S - step, Y)) / 2e-2
        np.testing.assert_allclose(slope, expected, 1e-2, 1e-3)

    def test_ties_are_in_the_order_of_the_array(self):
        y = jnp.array([1, 0, 1, 0])
        np.testing.assert_allclose(
            COMPILED[losses.listmle_loss](S[:, :4], jnp.tile(y, (3, 1))),
            COMPILED[losses.listmle_loss](S[:, :4], jnp.tile(jnp.array([3, 1, 2, 0]), (3, 1))),
        )

    def test_items_that_are_never_drawn(self):
        s, y = jnp.array([[-INF, -INF, 1.0, 2.0], [-INF, -INF, 1.0, 2.0]]), jnp.array([[0.0, 1, 2, 3], [0.0, 3, 1, 2]])
        values, pullback = jax.vjp(lambda s: COMPILED[losses.listmle_loss](s, y), s)
        np.testing.assert_allclose(values, [np.log(1 + np.exp(-1)), INF], 1e-5)
        share = 1 / (1 + np.e)
        np.testing.assert_allclose(pullback(jnp.array([1.0, 0.0]))[0][0], [0, 0, share, -share], 1e-5)


class TestApproxNdcg:
    @pytest.mark.parametrize("temperature", [0.01, 0.5, 10.0])
    def test_temperatures(self, temperature):
        value = jax.jit(lambda t: losses.approx_ndcg_loss(S, Y, temperature=t))(temperature)
        rows = [np.asarray(x, np.float64) for x in (S, Y)]
        expected = [reference.approx_ndcg(s, y, temperature) for s, y in zip(*rows, strict=True)]
        np.testing.assert_allclose(value, expected, 1e-4, 1e-6)
        with pytest.raises(ValueError, match="temperature must be above 0"):
            losses.approx_ndcg_loss(S, Y, temperature=-temperature)

    def test_a_perfect_order_costs_nothing(self):
        np.testing.assert_allclose(COMPILED[losses.approx_ndcg_loss](1000 * Y[:2], Y[:2]), 0, atol=1e-6)

    def test_gains_do_not_overflow(self):
        loss = COMPILED[losses.approx_ndcg_loss]
        expected = loss(S[0], jnp.array([20.0, 22, 21, 20, 19]))
        np.testing.assert_allclose(loss(S[0], jnp.array([620.0, 622, 621, 620, 619])), expected, 1e-5)


class TestSoftmax:
    @hypothesis.given(SCORES, LABELS, KEPT, hnp.arrays(np.float32, (2, 4), elements=st.floats(0, 2, width=32)))
    def test_against_the_definition(self, z, y, kept, weights):
        each = softmax_losses(z, y, kept, weights)
        rows = zip(*(x.astype(np.float64) for x in (z, y, weights)), kept, strict=True)
        expected = [reference.softmax_loss(a[m], b[m], w[m]) for a, b, w, m in rows]
        np.testing.assert_allclose(each, expected, 1e-5, 1e-4)

    def test_by_hand(self):
        z, y = jnp.zeros((2, 4)), jnp.array([[1.0, 0, 0, 0], [1.0, 1, 1, 0]])
        loss = compiled_softmax
        assert loss(z, y) == pytest.approx(2 * np.log(4))
        np.testing.assert_allclose(loss(z, y, reduce_fn=None), [np.log(4), 3 * np.log(4)], 1e-6)
        assert loss(z, y, reduce_fn=jnp.sum) == pytest.approx(4 * np.log(4))
        assert loss(z[0], y[0]) == pytest.approx(np.log(4))

    def test_the_mean_is_over_lists_that_have_items(self):
        mask = jnp.array([[True] * 5, [False] * 5, [True] + [False] * 4])
        each = compiled_softmax(S, Y, where=mask, reduce_fn=None)
        assert each[1:].tolist() == [0, 0]  # one item alone is certain
        assert compiled_softmax(S, Y, where=mask) == pytest.approx(each[0] / 2)

    @pytest.mark.parametrize("reduce_fn", [jnp.mean, jnp.sum])
    def test_without_any_items(self, reduce_fn):
        nothing = jnp.zeros(S.shape, bool)
        total = lambda z: losses.ranking_softmax_loss(z, Y, where=nothing, reduce_fn=reduce_fn)  # noqa: E731
        value, gradient = jax.jit(jax.value_and_grad(total))(S * NAN)
        assert value == 0
        assert (gradient == 0).all()
        assert losses.ranking_softmax_loss(S[:0], Y[:0], reduce_fn=reduce_fn) == 0

    def test_a_function_of_the_user_gets_the_losses_and_the_lists(self):
        def weighted(each, where):
            assert where is None or where.dtype == bool
            return jnp.sum(each * jnp.array([1.0, 2.0, 3.0]), where=where)

        mask = jnp.ones(S.shape, bool).at[1].set(False)
        each = compiled_softmax(S, Y, reduce_fn=None)
        total = compiled_softmax(S, Y, reduce_fn=weighted)
        assert total == pytest.approx(each[0] + 2 * each[1] + 3 * each[2])
        without = compiled_softmax(S, Y, where=mask, reduce_fn=weighted)
        assert without == pytest.approx(each[0] + 3 * each[2])

    def test_an_impossible_item_without_relevance(self):
        """Defect E3, of this loss: 0 times infinity was NaN."""
        z = S.at[:, 4].set(-INF)
        y = Y.at[:, 4].set(0)
        value, gradient = jax.jit(jax.value_and_grad(losses.ranking_softmax_loss))(z, y)
        np.testing.assert_allclose(value, compiled_softmax(S[:, :4], Y[:, :4]), 1e-6)
        assert jnp.isfinite(gradient).all()

    @pytest.mark.parametrize("name", ["labels", "weights", "where"])
    @pytest.mark.parametrize("shape", [(5,), (3, 1), (1, 5), ()])
    def test_nothing_is_broadcast(self, name, shape):
        """Defect E1, of this loss."""
        arguments = {"labels": Y} | {name: jnp.ones(shape, bool)}
        message = re.escape(
            f"same shape, got {shape} and (3, 5)" if name == "where" else f"same shape, got (3, 5) and {shape}"
        )
        with pytest.raises(ValueError, match=message):
            losses.ranking_softmax_loss(S, **arguments)


class TestMargin:
    @hypothesis.given(SCORES, SCORES, hnp.arrays(bool, (2, 4)))
    def test_against_the_definition(self, s, o, first):
        targets = np.where(first, 1, -1)
        expected = np.maximum(0, 2.0 - targets * (s.astype(np.float64) - o))
        np.testing.assert_allclose(losses.margin_ranking_loss(s, o, targets, margin=2.0), expected, 1e-5, 1e-5)

    def test_by_hand(self):
        each = losses.margin_ranking_loss([3.0, 3.0, 1.0], [1.0, 1.0, 1.0], [1, -1, 1], margin=0.25)
        assert each.tolist() == [0, 2.25, 0.25]
        assert losses.margin_ranking_loss(3.0, 1.0, -1) == 2

    def test_ties_are_pulled_apart_without_a_margin(self):
        assert jax.grad(losses.margin_ranking_loss)(1.0, 1.0, 1.0) == -0.5  # between the slopes on both sides
        assert jax.grad(losses.margin_ranking_loss, 1)(1.0, 1.0, 1.0) == 0.5

    def test_it_is_the_pairwise_hinge_of_two_items(self):
        s = S[:, :2]
        each = losses.margin_ranking_loss(s[:, 0], s[:, 1], jnp.ones(3), margin=1.0)
        np.testing.assert_allclose(losses.pairwise_hinge_loss(s, jnp.array([[1, 0]] * 3)), each, 1e-6)

    def test_reductions_over_an_axis(self):
        each = losses.margin_ranking_loss(S, Y, jnp.ones_like(S))
        mean = losses.margin_ranking_loss(S, Y, jnp.ones_like(S), reduction="mean", axis=0)
        np.testing.assert_allclose(mean, each.mean(axis=0), 1e-6)

    def test_errors(self):
        with pytest.raises(ValueError, match="scores and targets must have the same shape"):
            losses.margin_ranking_loss(S, S, 1.0)
        with pytest.raises(ValueError, match="margin must be a number"):
            losses.margin_ranking_loss(S, S, S, margin=NAN)

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import dpo_loss, ipo_loss, kto_loss

INF, NAN = float("inf"), float("nan")
LOGPS = hnp.arrays(np.float32, 3, elements=st.floats(-500, 0, width=32))  # one shape: compiled once
FOUR = st.tuples(LOGPS, LOGPS, LOGPS, LOGPS)
compiled_dpo = jax.jit(lambda *logps: dpo_loss(*logps, beta=0.3, label_smoothing=0.1))
compiled_ipo = jax.jit(lambda *logps: ipo_loss(*logps, beta=0.3))
compiled_kto = jax.jit(lambda *data: kto_loss(*data, beta=0.3, desirable_weight=2.0, undesirable_weight=0.5))


def advantage(pc, pr, rc, rr):
    pc, pr, rc, rr = (x.astype(np.float64) for x in (pc, pr, rc, rr))
    return pc - rc - pr + rr


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(x / 2)


class TestDpo:
    @hypothesis.given(FOUR)
    def test_against_the_definition(self, logps):
        z = 0.3 * advantage(*logps)
        expected = 0.9 * np.logaddexp(0, -z) + 0.1 * np.logaddexp(0, z)
        np.testing.assert_allclose(compiled_dpo(*logps), expected, 1e-5, 1e-4)

    def test_by_hand(self):
        assert dpo_loss(-1.0, -2.0, -1.0, -2.0) == pytest.approx(np.log(2))
        assert dpo_loss(-1.0, -5.0, -3.0, -3.0, beta=0.5) == pytest.approx(np.log(1 + np.exp(-2)))
        assert jax.grad(dpo_loss)(-1.0, -2.0, -1.0, -2.0, beta=0.4) == pytest.approx(-0.2)

    def test_smoothing_is_the_expectation_over_wrong_labels(self):
        chosen, rejected, references = -3.0, -9.0, (-4.0, -4.0)
        right, wrong = dpo_loss(chosen, rejected, *references), dpo_loss(rejected, chosen, *references)
        smooth = dpo_loss(chosen, rejected, *references, label_smoothing=0.2)
        assert smooth == pytest.approx(0.8 * right + 0.2 * wrong)

    def test_far_from_the_reference(self):
        assert dpo_loss(0.0, -1e5, 0.0, 0.0, beta=1.0) == 0
        assert dpo_loss(-1e5, 0.0, 0.0, 0.0, beta=1.0) == 1e5
        assert jax.grad(dpo_loss)(-1e5, 0.0, 0.0, 0.0, beta=1.0) == -1
        assert dpo_loss(-5.0, -INF, -5.0, -5.0) == 0  # the model has ruled the other one out
        assert jax.grad(dpo_loss)(-5.0, -INF, -5.0, -5.0) == 0

    def test_long_sequences_keep_their_digits(self):
        """Log-probabilities of 10^4 and ratios of 10^-2: each ratio is formed first."""
        logps = (-10000.03125, -500.0, -10000.0, -500.0)
        assert dpo_loss(*logps, beta=1.0) == pytest.approx(np.log1p(np.exp(0.03125)), rel=1e-6)


class TestIpo:
    @hypothesis.given(FOUR)
    def test_against_the_definition(self, logps):
        np.testing.assert_allclose(compiled_ipo(*logps), (advantage(*logps) - 1 / 0.6) ** 2, 1e-5, 1e-3)

    def test_by_hand(self):
        assert ipo_loss(-1.0, -2.0, -1.0, -2.0, beta=0.25) == 4
        assert ipo_loss(-1.0, -3.0, -2.0, -2.0, beta=0.25) == 0  # the optimum, at an advantage of 1 / (2 beta)


class TestKto:
    @hypothesis.given(
        LOGPS, LOGPS, hnp.arrays(bool, 3), hnp.arrays(np.float32, 3, elements=st.floats(-5, 20, width=32))
    )
    def test_against_the_definition(self, policy, reference, labels, kl):
        gain = 0.3 * (policy.astype(np.float64) - reference - np.maximum(kl, 0))
        expected = np.where(labels, 2 * (1 - sigmoid(gain)), 0.5 * (1 - sigmoid(-gain)))
        np.testing.assert_allclose(compiled_kto(policy, reference, labels, kl), expected, 1e-4, 1e-4)

    def test_by_hand(self):
        losses = kto_loss([-1.0, -1.0], [-3.0, -3.0], [True, False], 2.0, desirable_weight=3.0)
        np.testing.assert_allclose(losses, [1.5, 0.5], 1e-6)
        losses = kto_loss([-1.0, -1.0], [-3.0, -3.0], [True, False], 0.0, beta=0.5)
        np.testing.assert_allclose(losses, [1 - sigmoid(1), sigmoid(1)], 1e-6)

    def test_the_reference_point_is_a_constant_and_not_negative(self):
        data = (jnp.array([-1.0, -2.0]), jnp.array([-1.5, -1.5]), jnp.array([True, False]))
        assert jax.grad(lambda kl: kto_loss(*data, kl).sum())(1.0) == 0
        assert jnp.array_equal(kto_loss(*data, -3.0), kto_loss(*data, 0.0))
        assert jnp.array_equal(kto_loss(*data, 3.0), kto_loss(*data, jnp.full(2, 3.0)))

    def test_the_gradient_saturates_on_both_sides(self):
        slope = jax.vmap(jax.grad(lambda p: kto_loss(p, 0.0, True, 0.0, beta=1.0)))
        np.testing.assert_allclose(slope(jnp.array([-1e4, 0.0, 1e4])), [0, -0.25, 0], atol=1e-6)

    def test_labels_are_booleans(self):
        with pytest.raises(TypeError, match="labels must be boolean, got dtype int32"):
            kto_loss([-1.0], [-1.0], jnp.array([1], jnp.int32), 0.0)
        with pytest.raises(ValueError, match="labels and policy_logps must have the same shape"):
            kto_loss([-1.0], [-1.0], True, 0.0)
        with pytest.raises(ValueError, match="policy_logps and kl must have the same shape"):
            kto_loss([-1.0, -1.0], [-1.0, -1.0], [True, True], jnp.ones(1))


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (dpo_loss, [[-1.0, -2.0]] * 4),
        (ipo_loss, [[-1.0, -2.0]] * 4),
        (kto_loss, [[-1.0, -2.0]] * 2 + [[True, False], 0.0]),
    ],
)
class TestEach:
    def test_beta_can_be_traced(self, loss, arguments):
        total = lambda beta: loss(*arguments, beta=beta, reduction="sum")  # noqa: E731
        assert jax.jit(total)(0.2) == pytest.approx(total(0.2))
        assert jnp.isfinite(jax.grad(total)(0.2))

    @pytest.mark.parametrize("beta", [0.0, -0.1, NAN])
    def test_beta_is_positive(self, loss, arguments, beta):
        with pytest.raises(ValueError, match="beta must be above 0"):
            loss(*arguments, beta=beta)

    def test_pairs_left_out(self, loss, arguments):
        kept = loss(*arguments, where=[True, False], reduction="mean")
        first, *others = arguments
        spoilt = loss([first[0], NAN], *others, where=[True, False], reduction="mean", axis=0)
        assert spoilt == kept == loss(*arguments)[0]


@pytest.mark.parametrize(
    ("loss", "arguments", "options", "message"),
    [
        (dpo_loss, [0.0] * 4, {"label_smoothing": 0.6}, "label_smoothing must be at least 0 and at most 0.5"),
        (kto_loss, [0.0, 0.0, True, 0.0], {"desirable_weight": -1.0}, "desirable_weight must be at least 0"),
        (kto_loss, [0.0, 0.0, True, 0.0], {"undesirable_weight": -1.0}, "undesirable_weight must be at least 0"),
    ],
)
def test_numbers_out_of_range(loss, arguments, options, message):
    with pytest.raises(ValueError, match=message):
        loss(*arguments, **options)

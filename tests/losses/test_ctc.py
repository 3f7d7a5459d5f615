import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import ctc_loss, ctc_loss_with_forward_probs
from reference import ctc_losses
from x64 import enable_x64

INF, NAN = float("inf"), float("nan")
B, T, N, K = 2, 5, 3, 4
Z = np.random.default_rng(0).normal(size=(B, T, K)).astype(np.float32)
LABELS = np.array([[1, 2, 1], [3, 3, 2]])
FRAMES, NONE = np.zeros((B, T)), np.zeros((B, N))  # paddings: all count


def total(*others, **options):
    return lambda z: jnp.sum(ctc_loss(z, *others, **options))


@jax.jit
def loss_and_gradient(z, frames, labels, absent):
    losses, pullback = jax.vjp(lambda z: ctc_loss(z, frames, labels, absent, blank_id=1), z)
    return losses, *pullback(jnp.ones_like(losses))


@hypothesis.given(
    hnp.arrays(np.float32, (B, T, K), elements=st.floats(-20, 20, width=32) | st.just(-INF)),
    hnp.arrays(np.int32, (B, N), elements=st.sampled_from([0, 2, 3])),
    st.tuples(*[st.integers(0, T)] * B),
    st.tuples(*[st.integers(0, N)] * B),
)
def test_against_a_list_of_all_paths(z, labels, frames, lengths):
    frame_pads = (np.arange(T) >= np.array(frames)[:, None]).astype(np.float32)
    label_pads = (np.arange(N) >= np.array(lengths)[:, None]).astype(np.float32)
    z = np.where(frame_pads[..., None], np.float32(NAN), z)
    labels = np.where(label_pads, -100, labels)
    losses, gradient = loss_and_gradient(z, frame_pads, labels, label_pads)
    for b in range(B):
        kept, target = z[b, : frames[b]].astype(np.float64), labels[b, : lengths[b]].tolist()
        likelihood, slope = ctc_losses.by_listing(kept, target, blank=1)
        expected = -np.log(likelihood) if likelihood > 0 else 1e5
        np.testing.assert_allclose(losses[b], expected, 1e-5, 1e-6)
        np.testing.assert_allclose(gradient[b, : frames[b]], slope, atol=1e-5)
        assert (gradient[b, frames[b] :] == 0).all()


def test_the_recursion_in_float64_agrees_with_the_list_and_with_ours():
    for z, labels in zip(Z.astype(np.float64), LABELS.tolist(), strict=True):
        likelihood, slope = ctc_losses.by_listing(z, labels, 0)
        np.testing.assert_allclose(ctc_losses.loss(z, labels, 0), -np.log(likelihood))
        np.testing.assert_allclose(ctc_losses.gradient(z, labels, 0), slope, atol=1e-12)
    with enable_x64():
        z = Z.astype(np.float64)
        losses, gradient = ctc_loss(z, FRAMES, LABELS, NONE), jax.grad(total(FRAMES, LABELS, NONE))(z)
        assert losses.dtype == np.float64
        np.testing.assert_allclose(
            losses, [ctc_losses.loss(*x, 0) for x in zip(z, LABELS.tolist(), strict=True)], 1e-13
        )
        rows = [ctc_losses.gradient(*x, 0) for x in zip(z, LABELS.tolist(), strict=True)]
        np.testing.assert_allclose(gradient, rows, atol=1e-13)


def test_by_hand():
    # two frames of two equal classes: three of the four paths are the label "1"
    zeros = np.zeros((1, 2, 2))
    assert ctc_loss(zeros, [[0, 0]], [[1]], [[0]])[0] == pytest.approx(np.log(4 / 3))
    assert ctc_loss(zeros, [[0, 0]], [[0]], [[0]], blank_id=1)[0] == pytest.approx(np.log(4 / 3))
    assert ctc_loss(zeros, [[0, 1]], [[1]], [[0]])[0] == pytest.approx(np.log(2))
    assert ctc_loss(zeros, [[0, 0]], [[1]], [[1]])[0] == pytest.approx(np.log(4))


class TestLongSequences:
    """Thousands of frames: probabilities far below the smallest float, occupancies to all digits."""

    RNG = np.random.default_rng(1)

    # spread 30: the path passes through classes whose softmax underflows; 300 classes: occupancies are scattered
    @pytest.mark.parametrize(("spread", "classes"), [(1.0, 20), (30.0, 300)])
    def test_against_float64(self, spread, classes):
        frames, labels = 2000, self.RNG.integers(1, classes, (1, 150))
        z = (spread * self.RNG.normal(size=(1, frames, classes))).astype(np.float32)
        paddings = np.zeros((1, frames)), np.zeros((1, 150))
        loss, gradient = jax.jit(jax.value_and_grad(total(paddings[0], labels, paddings[1])))(z)
        expected = ctc_losses.loss(z[0].astype(np.float64), labels[0].tolist(), 0)
        assert expected > 4000
        assert loss == pytest.approx(expected, rel=1e-6)
        slope = ctc_losses.gradient(z[0].astype(np.float64), labels[0].tolist(), 0)
        np.testing.assert_allclose(gradient[0], slope, atol=1e-4 * spread**0.5)
        np.testing.assert_allclose(gradient.sum(-1), 0, atol=2e-5)

    def test_an_improbable_path_is_not_cut_off(self):
        z = np.array([[[0.0, -4e5], [-3e5, 0.0]]], np.float32)  # the labels need one of two improbable classes
        options = ([[0, 0]], [[1]], [[0]])
        assert ctc_loss(np.float32([[[0.0, -4e5], [0.0, -3e5]]]), *options)[0] == pytest.approx(3e5)
        assert ctc_loss(z, *options)[0] == 0
        np.testing.assert_allclose(jax.grad(total(*options))(np.float32([[[0, -4e5], [0, -3e5]]])), [[[0, 0], [1, -1]]])
        masked = np.float32([[[-1e9, 0.0, -1e9]] * 64])  # a mask by large numbers: 64 of them in a product
        assert ctc_loss(masked, np.zeros((1, 64)), [[2]], [[0]])[0] == pytest.approx(64e9, rel=1e-5)


class TestProbabilityOne:
    @pytest.mark.parametrize("gap", [10.0, 16.0, 17.0, 20.0, 50.0])
    def test_no_loss_is_negative(self, gap):
        """Defect E5: losses of near-certain alignments were negative, and their logarithm NaN."""
        path = np.array([0, 1, 1, 0, 2, 0, 3, 3, 0, 0] * 10)
        labels = [[1, 2, 3] * 10]
        z = np.float32(gap) * np.eye(4, dtype=np.float32)[path][None]
        value, slope = jax.value_and_grad(total(np.zeros((1, 100)), labels, np.zeros((1, 30))))(z)
        assert value >= 0
        assert not jnp.isnan(jnp.log(value))
        assert jnp.isfinite(jnp.log(value)) or value == 0
        np.testing.assert_allclose(value, ctc_losses.loss(z[0].astype(np.float64), labels[0], 0), rtol=1e-3, atol=2e-5)
        assert jnp.abs(slope).max() < 2e-4

    def test_a_certain_alignment_costs_nothing(self):
        z = np.full((1, 3, 3), -INF, np.float32)
        z[0, [0, 1, 2], [1, 0, 2]] = 7.0
        value, slope = jax.value_and_grad(total([[0, 0, 0]], [[1, 2]], [[0, 0]]))(z)
        assert value == 0
        assert (slope == 0).all()


class TestImpossibleClasses:
    """Defect E5: one logit of -inf made the loss and the whole gradient NaN."""

    def test_paths_around_them(self):
        z = Z.copy()
        z[:, :, 3], z[0, 1, 1], z[0, 2, 0] = -INF, -INF, -INF
        labels = np.array([[1, 2, 1], [1, 1, 2]])
        losses = ctc_loss(z, FRAMES, labels, NONE)
        gradient = jax.grad(total(FRAMES, labels, NONE))(z)
        for b in range(B):
            likelihood, slope = ctc_losses.by_listing(z[b].astype(np.float64), labels[b].tolist(), 0)
            np.testing.assert_allclose(losses[b], -np.log(likelihood), 1e-6)
            np.testing.assert_allclose(gradient[b], slope, atol=1e-6)
        assert (gradient[np.isneginf(z)] == 0).all()

    def test_nan_is_not_hidden(self):
        z = Z.copy()
        z[0, 2, 3] = NAN
        assert jnp.isnan(ctc_loss(z, FRAMES, LABELS, NONE)).tolist() == [True, False]


class TestProbabilityZero:
    """Defect E5: what cannot be aligned has the probability whose logarithm `log_epsilon` says, and no gradient."""

    CASES = (
        (Z, FRAMES, np.array([[1, 1, 1], [3, 3, 3]]), NONE),  # five frames hold it; these two have four
        (Z, np.array([[0, 0, 0, 0, 1]] * B), np.array([[1, 1, 1], [3, 3, 3]]), NONE),
        (Z, np.array([[0, 0, 1, 1, 1]] * B), LABELS, NONE),
        (Z, np.ones((B, T)), LABELS, NONE),
        (np.where(np.arange(K) == LABELS[:, 2][:, None, None], np.float32(-INF), Z), FRAMES, LABELS, NONE),
        (np.full((B, T, K), np.float32(-INF)), FRAMES, LABELS, NONE),
    )

    @pytest.mark.parametrize("log_epsilon", [-1e5, -7.0, -INF])
    @pytest.mark.parametrize("arguments", CASES[1:])
    def test_loss_and_gradient(self, arguments, log_epsilon):
        z, *others = arguments
        assert (ctc_loss(z, *others, log_epsilon=log_epsilon) == -log_epsilon).all()
        slope = jax.grad(total(*others, log_epsilon=log_epsilon))(z)
        assert (slope == 0).all()

    def test_is_not_what_only_just_fits(self):
        z, *others = self.CASES[0]
        assert (ctc_loss(z, *others, log_epsilon=-INF) < 30).all()

    def test_other_sequences_of_the_batch_keep_theirs(self):
        labels, frames = np.array([[1, 1, 1], [3, 2, 1]]), np.array([[0, 0, 0, 0, 1]] * B)
        losses, slopes = ctc_loss(Z, frames, labels, NONE), jax.grad(total(frames, labels, NONE))(Z)
        likelihood, slope = ctc_losses.by_listing(Z[1, :4].astype(np.float64), [3, 2, 1], 0)
        np.testing.assert_allclose(losses, [1e5, -np.log(likelihood)], 1e-6)
        np.testing.assert_allclose(slopes[1, :4], slope, atol=1e-6)
        assert (slopes[0] == 0).all()

    def test_log_epsilon_is_checked(self):
        with pytest.raises(ValueError, match="log_epsilon must be at most 0, not 1"):
            ctc_loss(Z, FRAMES, LABELS, NONE, log_epsilon=1.0)
        with pytest.raises(ValueError, match="log_epsilon"):
            ctc_loss_with_forward_probs(Z, FRAMES, LABELS, NONE, log_epsilon=NAN)
        assert jax.jit(lambda e: ctc_loss(Z, FRAMES + 1, LABELS, NONE, log_epsilon=e))(-3.0).tolist() == [3.0, 3.0]


class TestNothing:
    def test_no_labels_leave_blanks(self):
        blanks = -jax.nn.log_softmax(Z)[:, :, 0].sum(1)
        np.testing.assert_allclose(ctc_loss(Z, FRAMES, LABELS, NONE + 1), blanks, 1e-6)
        np.testing.assert_allclose(ctc_loss(Z, FRAMES, LABELS[:, :0], NONE[:, :0]), blanks, 1e-6)
        slope = jax.grad(total(FRAMES, LABELS[:, :0], NONE[:, :0]))(Z)
        np.testing.assert_allclose(slope, jax.nn.softmax(Z) - np.eye(K)[:1, None], atol=1e-6)

    @pytest.mark.parametrize("frames", [0, T])
    def test_no_frames_hold_no_labels(self, frames):
        z, pads = Z[:, :frames], np.ones((B, frames))
        assert ctc_loss(z, pads, LABELS, NONE).tolist() == [1e5, 1e5]
        assert ctc_loss(z, pads, LABELS, NONE + 1).tolist() == [0, 0]
        assert jax.grad(total(pads, LABELS, NONE + 1))(z).shape == z.shape

    def test_no_sequences(self):
        assert ctc_loss(Z[:0], FRAMES[:0], LABELS[:0], NONE[:0]).shape == (0,)
        assert ctc_loss(Z[:0], FRAMES[:0], LABELS[:0], NONE[:0], reduction="mean") == 0


class TestPaddings:
    @pytest.mark.parametrize("dtype", [bool, np.int32, np.float32, jnp.bfloat16])
    def test_of_any_dtype(self, dtype):
        pads = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0]]), np.array([[0, 0, 1], [0, 0, 0]])
        losses = ctc_loss(Z, jnp.asarray(pads[0], dtype), LABELS, jnp.asarray(pads[1], dtype))
        kept = ctc_loss(Z[:1, :4], [[0] * 4], LABELS[:1, :2], [[0, 0]])
        np.testing.assert_allclose(losses[0], kept[0], 1e-6)
        assert losses.dtype == np.float32

    def test_elsewhere_are_as_if_left_out(self):
        frames, absent = np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 0]]), np.array([[1, 0, 0], [0, 1, 0]])
        labels = np.array([[1, 2, 2], [3, 1, 2]])
        losses, slope = ctc_loss(Z, frames, labels, absent), jax.grad(total(frames, labels, absent))(Z)
        for b, (keep, target) in enumerate([([1, 2, 4], [2, 2]), ([0, 2, 3, 4], [3, 2])]):
            likelihood, expected = ctc_losses.by_listing(Z[b, keep].astype(np.float64), target, 0)
            np.testing.assert_allclose(losses[b], -np.log(likelihood), 1e-6)
            np.testing.assert_allclose(slope[b, keep], expected, atol=1e-6)


class TestLabelsThatNameNoClass:
    @pytest.mark.parametrize("label", [0, -1, K, -100, 2**31 - 1])  # 0 is the blank
    def test_give_nan_and_a_gradient_that_is_not_finite(self, label):
        labels = np.array([[1, label, 2], [3, 3, 2]])
        losses = ctc_loss(Z, FRAMES, labels, NONE)
        assert jnp.isnan(losses).tolist() == [True, False]
        slope = jax.grad(total(FRAMES, labels, NONE))(Z)
        assert jnp.isfinite(slope).all((1, 2)).tolist() == [False, True]
        parts = ctc_loss_with_forward_probs(Z, FRAMES, labels, NONE)
        assert all(jnp.isnan(x).all() for x in (parts[0][0], parts[1][:, 0], parts[2][:, 0]))
        assert all(jnp.isfinite(x).all() for x in (parts[0][1], parts[1][:, 1], parts[2][:, 1]))

    def test_are_no_harm_as_padding_or_with_weight_zero(self):
        labels, absent = np.array([[1, 2, -100], [3, 0, 2]]), np.array([[0, 0, 1], [0, 0, 0]])
        z = Z.copy()
        z[1, 3] = NAN  # left out with its sequence
        options = {"weights": np.array([2.0, 0.0]), "reduction": "mean"}
        value, slope = jax.value_and_grad(lambda z: ctc_loss(z, FRAMES, labels, absent, **options))(z)
        kept = ctc_loss(Z[:1], FRAMES[:1], [[1, 2]], [[0, 0]])[0]
        np.testing.assert_allclose(value, kept, 1e-6)
        assert (slope[1] == 0).all()
        assert jnp.isfinite(slope).all()


def test_batches_can_be_mapped():
    """Two batches at once, the second of sequences that end early: values, gradients and alphas of each."""
    z, labels = np.stack([Z, Z[::-1] * 2]), np.stack([LABELS, LABELS[::-1]])
    frames, absent = np.stack([FRAMES, FRAMES + (np.arange(T) > 3)]), np.stack([NONE, NONE + (np.arange(N) > 1)])
    both = jax.jit(jax.vmap(jax.value_and_grad(lambda z, *others: total(*others)(z))))(z, frames, labels, absent)
    alphas = jax.vmap(ctc_loss_with_forward_probs)(z, frames, labels, absent)
    for i in range(2):
        others = frames[i], labels[i], absent[i]
        for a, b in zip(both, jax.value_and_grad(total(*others))(z[i]), strict=True):
            np.testing.assert_allclose(a[i], b, 1e-5, 1e-6)
        for a, b in zip(alphas, ctc_loss_with_forward_probs(z[i], *others), strict=True):
            np.testing.assert_allclose(a[i], b, 1e-6)


class TestDerivatives:
    def test_second_ones_are_differences_of_first_ones(self):
        z = Z.copy()
        z[0, 1, 3] = -INF
        first = jax.jit(jax.grad(total(FRAMES, LABELS, NONE)))
        second = jax.jit(jax.hessian(total(FRAMES, LABELS, NONE)))(z)
        assert jnp.isfinite(second).all()
        for i in [(0, 0, 1), (0, 1, 0), (1, 2, 3), (1, 4, 0)]:
            h = np.zeros_like(z)
            h[i] = 1e-2
            np.testing.assert_allclose(second[i], (first(z + h) - first(z - h)) / 2e-2, atol=1e-4)

    def test_second_ones_of_what_cannot_be_aligned(self):
        pads = np.array([[0, 0, 1, 1, 1]] * B)
        assert (jax.jit(jax.hessian(total(pads, LABELS, NONE)))(Z) == 0).all()

    def test_memory_grows_with_the_frames_and_not_with_their_square(self):
        def temporary(frames):
            z = jax.ShapeDtypeStruct((1, frames, 8), np.float32)
            gradient = jax.grad(total(np.zeros((1, frames)), np.ones((1, 9), int), np.zeros((1, 9))))
            return jax.jit(gradient).lower(z).compile().memory_analysis().temp_size_in_bytes

        assert temporary(2048) < 2.2 * temporary(1024)


@jax.jit
def forward_probabilities(z, frames, labels, absent):
    return ctc_loss_with_forward_probs(z, frames, labels, absent)


class TestForwardProbabilities:
    def test_are_alphas(self):
        losses, blank, emit = forward_probabilities(Z, FRAMES, LABELS, NONE)
        assert blank.shape == (T, B, N + 1)
        assert emit.shape == (T, B, N)
        np.testing.assert_allclose(losses, ctc_loss(Z, FRAMES, LABELS, NONE), 1e-6)
        for b in range(B):
            alphas = ctc_losses.log_alphas(Z[b].astype(np.float64), LABELS[b].tolist(), 0)
            alphas[-1, 2::2] = np.logaddexp(alphas[-1, 1::2], alphas[-1, 2::2])  # the last frame counts both ends
            np.testing.assert_allclose(blank[:, b], np.maximum(alphas[:, ::2], -1e5), 1e-5)
            np.testing.assert_allclose(emit[:, b], np.maximum(alphas[:, 1::2], -1e5), 1e-5)

    def test_paddings(self):
        frames, absent = np.array([[0, 0, 0, 1, 1]] * B), np.array([[0, 0, 1]] * B)
        z = np.where(frames[..., None], np.float32(NAN), Z)
        losses, blank, emit = forward_probabilities(z, frames, np.where(absent, -1, LABELS), absent)
        kept = ctc_loss_with_forward_probs(Z[:, :3], FRAMES[:, :3], LABELS[:, :2], NONE[:, :2])
        np.testing.assert_allclose(blank[[0, 1, 4], :, :3], kept[1], 1e-6)
        np.testing.assert_array_equal(emit[2:, :, :2], jnp.broadcast_to(kept[2][-1], (3, B, 2)))
        np.testing.assert_array_equal(blank[3], blank[2])
        np.testing.assert_allclose(blank[-1, :, 2], -losses, 1e-6)
        assert (blank[:, :, 3] == -1e5).all()  # no third label is ever emitted
        assert (emit[:, :, 2] == -1e5).all()

    def test_gradient(self):
        weights = np.random.default_rng(2).uniform(size=(T, B, N)).astype(np.float32)

        @jax.jit
        def value(z):
            _, blank, emit = forward_probabilities(z, FRAMES, LABELS, NONE)
            reached = emit > -1e5
            return jnp.sum(jnp.where(reached, emit, 0) * weights) + jnp.sum(blank[-1, :, 1:] * weights[0])

        slope = jax.jit(jax.grad(value))(Z)
        for i in np.ndindex(Z.shape):
            h = np.zeros_like(Z)
            h[i] = 2e-2
            np.testing.assert_allclose(slope[i], (value(Z + h) - value(Z - h)) / 4e-2, atol=3e-3)
        by_loss = jax.grad(lambda z: forward_probabilities(z, FRAMES, LABELS, NONE)[0].sum())(Z)
        np.testing.assert_allclose(by_loss, jax.grad(total(FRAMES, LABELS, NONE))(Z), atol=1e-6)
        by_alpha = jax.grad(lambda z: -forward_probabilities(z, FRAMES, LABELS, NONE)[1][-1, :, -1].sum())(Z)
        np.testing.assert_allclose(by_alpha, by_loss, atol=1e-5)

    def test_gradient_is_finite_with_impossible_classes_and_states(self):
        z = Z.copy()
        z[:, 1, 2], z[0, 3] = -INF, -INF
        slope = jax.grad(lambda z: sum(jnp.sum(x) for x in forward_probabilities(z, FRAMES, LABELS, NONE)))(z)
        assert jnp.isfinite(slope).all()

    @pytest.mark.parametrize(("frames", "labels"), [(0, N), (T, 0), (0, 0)])
    def test_of_nothing(self, frames, labels):
        pads = FRAMES[:, :frames], NONE[:, :labels]
        losses, blank, emit = ctc_loss_with_forward_probs(Z[:, :frames], pads[0], LABELS[:, :labels], pads[1])
        assert (losses.shape, blank.shape, emit.shape) == ((B,), (frames, B, labels + 1), (frames, B, labels))


@pytest.mark.parametrize("loss", [ctc_loss, ctc_loss_with_forward_probs])
def test_what_is_refused(loss):
    with pytest.raises(ValueError, match=r"logits must have shape \(B, T, K\), got \(5, 4\)"):
        loss(Z[0], FRAMES[0], LABELS[0], NONE[0])
    with pytest.raises(ValueError, match=r"logit_paddings must have shape \(2, 5\).*got \(2, 4\)"):
        loss(Z, FRAMES[:, 1:], LABELS, NONE)
    with pytest.raises(ValueError, match=r"labels must have shape \(B, N\) with B = 2.*got \(1, 3\)"):
        loss(Z, FRAMES, LABELS[:1], NONE[:1])
    with pytest.raises(ValueError, match=r"label_paddings must have the shape of labels \(2, 3\), got \(2, 2\)"):
        loss(Z, FRAMES, LABELS, NONE[:, 1:])
    with pytest.raises(TypeError, match="labels must be class indices of an integer dtype, got dtype float32"):
        loss(Z, FRAMES, LABELS.astype(np.float32), NONE)
    for blank in (-1, K):
        with pytest.raises(ValueError, match=f"blank_id must be one of the 4 classes .* got {blank}"):
            loss(Z, FRAMES, LABELS, NONE, blank_id=blank)

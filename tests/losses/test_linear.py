import re

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from optax.losses import linear_softmax_cross_entropy, softmax_cross_entropy_with_integer_labels
from reference.losses import negative_log_likelihood
from x64 import enable_x64

N, D, C = 6, 4, 700  # blocks of 256: two whole ones, and the rest
RNG = np.random.default_rng(0)
H = RNG.normal(size=(N, D)).astype(np.float32)
W = RNG.normal(size=(D, C)).astype(np.float32)
K = np.asarray([0, 187, 188, 443, 444, 699], np.int32)  # the ends of the blocks
WHERE = RNG.random(C) < 0.5
WHERE[K] = True

OPTIONS = {
    "none": {},
    "where": {"where": WHERE},
    "smoothed": {"label_smoothing": 0.2},
    "all": {"where": WHERE, "label_smoothing": 0.2, "z_loss": 0.1, "soft_cap": 2.0, "ignore_index": 443},
}


def with_logits(h, w, k, **options):
    if "where" in options:
        options["where"] = jnp.broadcast_to(options["where"], (len(h), w.shape[1]))
    return softmax_cross_entropy_with_integer_labels(jnp.matmul(h, w), k, **options)


def gradients(loss, h, w, **options):
    return jax.jit(jax.value_and_grad(lambda h, w: loss(h, w, K, reduction="mean", **options), (0, 1)))(h, w)


@pytest.mark.parametrize(
    ("name", "block_size"),
    [("none", None), ("none", 10 * C), ("where", 100), ("smoothed", C), ("all", None), ("all", 100)],
)
def test_value_and_gradients_are_those_with_logits(name, block_size):
    options = OPTIONS[name]
    value, slopes = gradients(linear_softmax_cross_entropy, H, W, block_size=block_size, **options)
    expected = gradients(with_logits, H, W, **options)
    np.testing.assert_allclose(value, expected[0], 1e-6)
    for found, slope in zip(slopes, expected[1], strict=True):
        np.testing.assert_allclose(found, slope, 1e-5, 1e-6)


def test_forward_mode_second_derivatives_and_batches():
    with enable_x64():
        h, w = H.astype(np.float64), W.astype(np.float64)
        ours, theirs = (
            lambda h, loss=loss: loss(h, w, K, label_smoothing=0.2, z_loss=0.1).sum()
            for loss in (linear_softmax_cross_entropy, with_logits)
        )
        for derivative in (
            lambda f: lambda h: jax.jvp(f, (h,), (h,))[1],
            lambda f: lambda h: jax.jvp(jax.grad(f), (h,), (h,))[1],
        ):
            np.testing.assert_allclose(jax.jit(derivative(ours))(h), jax.jit(derivative(theirs))(h), 1e-10, 1e-12)
    each = jax.jit(jax.vmap(jax.grad(lambda h, k: linear_softmax_cross_entropy(h, W, k))))(H, K)
    np.testing.assert_allclose(each, jax.grad(lambda h: with_logits(h, W, K).sum())(H), 1e-5, 1e-6)


@hypothesis.given(
    hnp.arrays(np.float32, (3, 2), elements=st.floats(-8, 8, width=32)),
    hnp.arrays(np.float32, (2, 5), elements=st.floats(-8, 8, width=32)),
)
def test_against_the_definition(h, w):
    k = np.asarray([0, 3, 4])
    expected = [negative_log_likelihood(z, c) for z, c in zip(h.astype(np.float64) @ w, k, strict=True)]
    np.testing.assert_allclose(COMPILED(h, w, k), expected, 1e-5, 1e-4)
    np.testing.assert_allclose(COMPILED(h, w, k), with_logits(h, w, k), 1e-5, 1e-4)


COMPILED = jax.jit(lambda h, w, k: linear_softmax_cross_entropy(h, w, k, block_size=2))


def test_the_logits_are_never_there():
    """Defect E8: at most 5 % of the temporary memory that the logits take."""
    n, d, c = 512, 64, 16384
    shapes = jax.ShapeDtypeStruct((n, d), jnp.float32), jax.ShapeDtypeStruct((d, c), jnp.float32)
    k = jnp.zeros(n, jnp.int32)

    def temporary(loss):
        compiled = jax.jit(jax.value_and_grad(lambda h, w: loss(h, w, k).mean(), (0, 1))).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(linear_softmax_cross_entropy) < 0.05 * temporary(with_logits)


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="jax.shard_map came with JAX 0.7")
def test_classes_and_examples_divided_over_devices():
    mesh = Mesh(np.asarray(jax.devices()).reshape(2, 4), ("data", "model"))
    w, where = W[:, :696], WHERE[:696]
    k = np.minimum(K, 695)

    def divided(h, w):
        losses = jax.shard_map(
            lambda h, w, k, where: linear_softmax_cross_entropy(
                h, w, k, where=where, label_smoothing=0.2, z_loss=0.1, block_size=50, axis_name="model"
            ),
            mesh=mesh,
            in_specs=(
                PartitionSpec("data"),
                PartitionSpec(None, "model"),
                PartitionSpec("data"),
                PartitionSpec("model"),
            ),
            out_specs=PartitionSpec("data"),
        )(h, w, k, where | (np.arange(696) == 695))
        return losses.mean()

    def whole(h, w):
        mask = where | (np.arange(696) == 695)
        return with_logits(h, w, k, where=mask, label_smoothing=0.2, z_loss=0.1).mean()

    value, slopes = jax.jit(jax.value_and_grad(divided, (0, 1)))(H, w)
    expected = jax.jit(jax.value_and_grad(whole, (0, 1)))(H, w)
    np.testing.assert_allclose(value, expected[0], 1e-6)
    for found, slope in zip(slopes, expected[1], strict=True):
        np.testing.assert_allclose(found, slope, 1e-5, 1e-6)


def test_divided_examples_need_no_more_than_sums_over_devices():
    mesh = Mesh(np.asarray(jax.devices()), ("data",))
    h, k = (jax.device_put(np.resize(x, (8, *x.shape[1:])), NamedSharding(mesh, PartitionSpec("data"))) for x in (H, K))
    loss = jax.jit(jax.value_and_grad(lambda h, w, k: linear_softmax_cross_entropy(h, w, k).mean(), (0, 1)))
    text = loss.lower(h, W, k).compile().as_text()
    assert set(re.findall(r"(all-gather|all-reduce|all-to-all|collective-permute)\(", text)) == {"all-reduce"}


def test_half_precision_is_summed_in_float32():
    h, w = H.astype(jnp.bfloat16), W.astype(jnp.bfloat16)
    value, slopes = gradients(linear_softmax_cross_entropy, h, w)
    expected = gradients(linear_softmax_cross_entropy, h.astype(np.float32), w.astype(np.float32))
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, expected[0], 1e-6)
    for found, slope in zip(slopes, expected[1], strict=True):
        assert found.dtype == jnp.bfloat16
        np.testing.assert_allclose(found.astype(jnp.float32), slope, 2e-2, 1e-4 * np.abs(slope).max() * 50)
    assert linear_softmax_cross_entropy(h, W, K).dtype == jnp.float32  # of two dtypes: multiplied in float32


def test_labels_that_name_no_class_and_rows_that_do_not_count():
    h = H.copy()
    h[1] = np.nan
    k = np.asarray([0, -100, 699, 700, -1, 3])
    losses = linear_softmax_cross_entropy(h, W, k, ignore_index=-100)
    assert np.isnan(losses).tolist() == [False, False, False, True, True, False]
    weights = np.asarray([1, 1, 2, 0, 0, 1], np.float32)

    def mean(h):
        return linear_softmax_cross_entropy(
            h, W, k, ignore_index=-100, example_weights=weights, reduction="mean", label_smoothing=0.1
        )

    value, gradient = jax.jit(jax.value_and_grad(mean))(h)
    clean = with_logits(H[[0, 2, 5]], W, k[[0, 2, 5]], label_smoothing=0.1)
    np.testing.assert_allclose(value, (clean * np.asarray([1.0, 2.0, 1.0], np.float32)).sum() / 4, 1e-6)
    assert np.isfinite(gradient).all()
    assert (gradient[1] == 0).all()


def test_rows_without_classes_are_as_with_logits():
    where = np.zeros(C, bool)
    assert jnp.isnan(linear_softmax_cross_entropy(H, W, K, where=where)).all()
    where[600:] = True  # the first blocks are empty
    k = np.full(N, 650)
    np.testing.assert_allclose(
        linear_softmax_cross_entropy(H, W, k, where=where), with_logits(H, W, k, where=jnp.asarray(where)), 1e-6
    )


class TestErrors:
    @pytest.mark.parametrize("shapes", [((2, 3), (4, 5)), ((2, 3), (3,)), ((), (3, 4)), ((2, 3), (3, 0))])
    def test_shapes(self, shapes):
        h, w = map(jnp.zeros, shapes)
        with pytest.raises(ValueError, match=r"hidden and weights must have shapes|has no classes|have no classes"):
            linear_softmax_cross_entropy(h, w, jnp.zeros(2, jnp.int32))

    def test_labels(self):
        with pytest.raises(ValueError, match=r"labels must have shape \(6,\)"):
            linear_softmax_cross_entropy(H, W, K[:, None])
        with pytest.raises(TypeError, match="labels must be class indices"):
            linear_softmax_cross_entropy(H, W, K.astype(np.float32))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"block_size": 0}, "block_size"),
            ({"label_smoothing": 1.0}, "label_smoothing"),
            ({"z_loss": -1.0}, "z_loss"),
            ({"soft_cap": 0.0}, "soft_cap"),
            ({"reduction": "average"}, "reduction"),
            ({"where": np.ones((N, C), bool)}, "where and the classes of weights"),
            ({"example_weights": np.ones((N, 1))}, "weights and the losses"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ValueError, match=message):
            linear_softmax_cross_entropy(H, W, K, **options)

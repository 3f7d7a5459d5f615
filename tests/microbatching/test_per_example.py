"""Functions and gradients of single examples."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.microbatching import AccumulationType, Accumulator, micro_grad, micro_vmap

MEAN, SUM, RUNNING_MEAN, CONCAT = AccumulationType
X = np.arange(6.0, dtype=np.float32)
W = np.array([1.0, 2.0], np.float32)
# Of the gradient by w of sum(w) x^2, for each example.
GRADIENTS = np.stack([X**2, X**2], axis=1)


def loss(w, x):
    return jnp.sum(w) * jnp.sum(jnp.square(x))


@pytest.mark.parametrize("size", [None, 1, 2])
def test_mapping(size):
    """Sums and means are over examples."""
    expected = {CONCAT: 2 * X, SUM: 30, MEAN: 5, RUNNING_MEAN: 5}
    for kind, result in expected.items():
        mapped = micro_vmap(lambda x: 2 * x, microbatch_size=size, accumulator=kind)
        np.testing.assert_allclose(mapped(X), result, 1e-6)


def test_mapping_with_axes():
    a = np.arange(12.0, dtype=np.float32).reshape(2, 6)

    def fun(x, t, scale, y=0.0):
        return jnp.sum(x) * t["a"] * scale + y, t["b"]

    mapped = micro_vmap(fun, (-1, {"a": 0, "b": None}, None), microbatch_size=2, accumulator=(CONCAT, MEAN))
    each, b = mapped(a, {"a": X, "b": 3.0}, 2.0, y=X)
    np.testing.assert_allclose(each, a.sum(0) * X * 2 + X)
    assert b == 3

    for axis in (0, 1, -1):
        transposed = micro_vmap(lambda x: x, 1, axis, microbatch_size=3)(a)
        np.testing.assert_array_equal(transposed, jax.vmap(lambda x: x, 1, axis)(a))
    both = micro_vmap(lambda x: (x, x), 1, (1, 0), microbatch_size=3, accumulator=(CONCAT, SUM))(a)
    chex.assert_trees_all_close(both, (a, a.sum(1)))


def test_the_function_that_maps():
    calls = []

    def vmap_fn(fun, in_axes, out_axes):
        calls.append((in_axes, out_axes))
        return jax.vmap(fun, in_axes, out_axes)

    mapped = micro_vmap(lambda x, y: x + y, (0, None), microbatch_size=2, vmap_fn=vmap_fn)
    np.testing.assert_array_equal(mapped(X, 1.0), X + 1)
    assert set(calls) == {((0, None), 0)}


def test_an_accumulator_by_hand_aggregates():
    largest = Accumulator(
        init=lambda form: jnp.full(form.shape, -jnp.inf, form.dtype),
        update=lambda carried, x, index: jnp.maximum(carried, x),
        finalize=lambda carried: carried,
        aggregate=lambda x: jnp.max(x, axis=0),
    )
    for size in (None, 2):
        assert micro_vmap(lambda x: jnp.sin(x), microbatch_size=size, accumulator=largest)(X) == np.sin(X).max()


def test_sums_over_examples_are_not_rounded_in_between():
    """1 and 255 times 1/256: of each microbatch, and of all, a sum in bfloat16 would lose the small ones."""
    x = jnp.where(jnp.arange(256) == 0, 1.0, 1 / 256).astype(jnp.bfloat16)
    for size in (16, None):
        result = micro_vmap(lambda x: x, microbatch_size=size, accumulator=SUM)(x)
        assert result.dtype == jnp.bfloat16
        assert result == jnp.bfloat16(2 - 1 / 256)


@pytest.mark.parametrize("size", [None, 2])
@pytest.mark.parametrize("keep", [True, False])
def test_gradients(size, keep):
    """Of an example, with a batch axis of one or none, and everything else of it."""
    shapes = set()

    def with_aux(w, x):
        shapes.add(x.shape)
        return loss(w, x), {"x": x}

    options = {"microbatch_size": size, "keep_batch_dim": keep}
    norm = functools.partial(jnp.linalg.norm, ord=1)
    grads, aux = micro_grad(with_aux, True, metrics_fn=norm, **options)(W, X)
    np.testing.assert_allclose(grads, GRADIENTS.sum(0))
    assert shapes == {(1,) if keep else ()}
    assert aux._fields == ("values", "metrics", "aux")
    np.testing.assert_allclose(aux.values, 3 * X**2)
    np.testing.assert_allclose(aux.metrics, 2 * X**2)
    np.testing.assert_array_equal(aux.aux["x"], X[:, None] if keep else X)

    grads, aux = micro_grad(loss, transform_fn=lambda g: jnp.clip(g, 0, 5), metrics_fn=norm, **options)(W, X)
    np.testing.assert_allclose(grads, np.clip(GRADIENTS, 0, 5).sum(0))
    np.testing.assert_allclose(aux.metrics, 2 * X**2)  # of what was not clipped yet
    assert aux.aux is None
    assert micro_grad(loss, **options)(W, X)[1].metrics is None


def test_gradients_accumulated_in_all_ways():
    for kind, expected in [(MEAN, GRADIENTS.mean(0)), (RUNNING_MEAN, GRADIENTS.mean(0)), (CONCAT, GRADIENTS)]:
        np.testing.assert_allclose(micro_grad(loss, microbatch_size=2, accumulator=kind)(W, X)[0], expected, 1e-6)
    fun = micro_grad(
        lambda p, x: loss(p["a"], x) + loss(p["b"], x), microbatch_size=2, accumulator={"a": SUM, "b": CONCAT}
    )
    chex.assert_trees_all_close(fun({"a": W, "b": W}, X)[0], {"a": GRADIENTS.sum(0), "b": GRADIENTS})


def test_arguments_of_gradients():
    def fun(w, x, v, y):
        return loss(w, x) * jnp.sum(v) * jnp.sum(y)

    gradient = micro_grad(fun, argnums=[0, 2], batch_argnums=(1, -1), microbatch_size=2)
    expected = GRADIENTS.T @ X * 3, np.full(2, 3 * np.sum(X**3))
    chex.assert_trees_all_close(gradient(W, X, W, X)[0], expected)
    chex.assert_trees_all_close(gradient(W, y=X, x=X, v=W)[0], expected)

    def keyed(w, x, scale=1.0, *, key):
        return loss(w, x) * jax.random.uniform(key) * scale

    keys = jax.random.split(jax.random.key(0), 6)
    grads, _ = micro_grad(keyed, microbatch_size=2)(W, X, key=keys)
    np.testing.assert_allclose(grads, jax.vmap(jax.random.uniform)(keys) @ GRADIENTS, 1e-6)


def test_real_microbatches_of_gradients():
    x = np.where(np.arange(6) % 3 < 2, X, np.nan)
    fun = jax.jit(lambda n, x: micro_grad(loss, microbatch_size=2, accumulator=MEAN, num_real_microbatches=n)(W, x))
    grads, aux = fun(2, x)
    np.testing.assert_allclose(grads, GRADIENTS[[0, 1, 3, 4]].mean(0))
    np.testing.assert_allclose(aux.values, np.where(np.isnan(x), 0, 3 * X**2))


@pytest.mark.parametrize("size", [None, 2])
def test_no_examples(size):
    """Defect of 2026 (457018cf): batch size 0."""
    for kind in (SUM, MEAN, RUNNING_MEAN):
        grads, aux = micro_grad(loss, microbatch_size=size, accumulator=kind)(W, X[:0])
        np.testing.assert_array_equal(grads, [0, 0])
        assert aux.values.shape == (0,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: micro_vmap(loss, microbatch_size=0), ValueError, "microbatch_size must be at least 1"),
        (lambda: micro_vmap(loss, accumulator=2), TypeError, "accumulator must be an AccumulationType"),
        (lambda: micro_vmap(loss, (0,))(X, X), ValueError, "in_axes has 1 entries for 2 positional arguments"),
        (lambda: micro_vmap(loss, None)(X, X), ValueError, "no array to split among the batch arguments, w, x"),
        (lambda: micro_vmap(loss)(X, X[:3]), ValueError, "differ: w has 6, x has 3"),
        (lambda: micro_vmap(jnp.sin, 0, 3)(X), ValueError, r"out_axes must be an axis of a result .*\(6,\), not 3"),
        (lambda: micro_vmap(jnp.sin, 0, None)(X), ValueError, "out_axes must be an axis .* not None"),
        (lambda: micro_grad(loss, microbatch_size=4)(W, X), ValueError, "x has 6 examples, not a multiple of 4"),
        (lambda: micro_grad(loss, microbatch_size=0), ValueError, "microbatch_size must be at least 1"),
        (lambda: micro_grad(loss, num_real_microbatches=-1), ValueError, "num_real_microbatches .* not -1"),
        (lambda: micro_grad(loss, argnums=2)(W, X), ValueError, "argnums has 2, but there are 2 positional arguments"),
        (lambda: micro_grad(loss, batch_argnums=3)(W, X), ValueError, "batch_argnums has 3, but there are 2"),
        (lambda: micro_grad(loss, batch_argnums="x"), TypeError, "batch_argnums must be an integer or several"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()

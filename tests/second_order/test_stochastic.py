"""Traces and diagonals from random vectors: exact where they must be, unbiased, with an honest standard error."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import categorical, multi_normal
from optax.second_order import (
    hutch_plus_plus_trace,
    hutchinson_diag,
    hutchinson_trace,
    hvp,
    monte_carlo_fisher_diag,
)
from reference.spectra import softmax_fisher_diag, symmetric

KEY = jax.random.key(0)
TREE = {"a": jnp.zeros((2, 2)), "b": None, "c": [jnp.zeros(()), jnp.zeros((0, 3))]}
SCALES = {"a": jnp.array([[1.0, -2.0], [3.0, 0.5]]), "b": None, "c": [jnp.array(4.0), jnp.zeros((0, 3))]}
TRACES = [
    pytest.param(functools.partial(hutchinson_trace, num_samples=4), id="hutchinson"),
    pytest.param(functools.partial(hutch_plus_plus_trace, num_matvecs=15), id="hutch_plus_plus"),
]
ESTIMATES = [*TRACES, pytest.param(functools.partial(hutchinson_diag, num_samples=4), id="hutchinson_diag")]


def diagonal(v):
    return jax.tree.map(jnp.multiply, SCALES, v)


def dense(eigenvalues):
    matrix = jnp.asarray(symmetric(eigenvalues), jnp.float32)
    return matrix, lambda v: jnp.matmul(matrix, v, precision="highest")


def repeated(estimate, times):
    """The estimates and standard errors with many keys."""
    estimates = jax.jit(jax.vmap(estimate))(jax.random.split(KEY, times))
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tuple(estimates))


def test_a_diagonal_matrix_comes_out_exactly():
    (trace, trace_error), (diag, diag_error) = jax.jit(
        lambda key: (hutchinson_trace(diagonal, TREE, key, 5), hutchinson_diag(diagonal, TREE, key, 5))
    )(KEY)
    assert (trace, trace_error) == (6.5, 0)
    jax.tree.map(np.testing.assert_array_equal, diag, SCALES)
    jax.tree.map(np.testing.assert_array_equal, diag_error, jax.tree.map(jnp.zeros_like, SCALES))


@pytest.mark.parametrize("distribution", ["rademacher", "normal"])
def test_trace_is_unbiased_and_knows_its_error(distribution):
    matrix, matvec = dense([5.0, 2.0, 1.0, -1.0, 0.5, 0.1])
    values, errors = repeated(
        lambda key: hutchinson_trace(matvec, jnp.zeros(6), key, 25, distribution=distribution), 400
    )
    square, own = np.sum(np.square(matrix)), np.sum(np.square(np.diagonal(matrix)))
    variance = 2 * (square - own if distribution == "rademacher" else square) / 25
    assert abs(values.mean() - np.trace(matrix)) < 4 * np.sqrt(variance / 400)
    np.testing.assert_allclose(values.var(), variance, rtol=0.3)  # 400 samples know it to 7 % to 10 %
    np.testing.assert_allclose(np.mean(errors**2), variance, rtol=0.1)


def test_diagonal_is_unbiased_and_knows_its_error():
    matrix, matvec = dense([5.0, 2.0, 1.0, -1.0, 0.5, 0.1])
    values, errors = repeated(lambda key: hutchinson_diag(matvec, jnp.zeros(6), key, 25), 400)
    variance = (np.sum(np.square(matrix), axis=1) - np.square(np.diagonal(matrix))) / 25
    assert np.all(np.abs(values.mean(axis=0) - np.diagonal(matrix)) < 4 * np.sqrt(variance / 400))
    np.testing.assert_allclose(np.mean(errors**2, axis=0), variance, rtol=0.1)


@pytest.mark.parametrize(
    "estimate",
    [
        functools.partial(hutchinson_trace, num_samples=1),
        functools.partial(hutchinson_diag, num_samples=1),
        functools.partial(hutch_plus_plus_trace, num_matvecs=3),
    ],
)
def test_one_sample_says_nothing_of_its_error(estimate):
    value, error = jax.jit(lambda key: estimate(dense([1.0, 2.0, 3.0, 4.0])[1], jnp.zeros(4), key))(KEY)
    assert np.all(np.isfinite(value))
    assert np.all(np.isinf(error))


def test_hutch_plus_plus_needs_few_products_for_a_power_law():
    eigenvalues = np.arange(1.0, 201.0) ** -1.5
    matvec = dense(eigenvalues)[1]
    plain, _ = repeated(lambda key: hutchinson_trace(matvec, jnp.zeros(200), key, 60), 30)
    better, errors = repeated(lambda key: hutch_plus_plus_trace(matvec, jnp.zeros(200), key, 60), 30)
    rms = [np.sqrt(np.mean(np.square(x - eigenvalues.sum()))) for x in (plain, better)]
    assert rms[1] <= rms[0] / 3  # it is a fifteenth
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), rms[1], rtol=0.4)


@pytest.mark.parametrize(("eigenvalues", "num_matvecs"), [([3.0, -1.0, 2.0] + [0.0] * 9, 9), ([3.0, -1.0, 2.0], 30)])
def test_hutch_plus_plus_is_exact_on_what_the_sketch_spans(eigenvalues, num_matvecs):
    like, matvec = jnp.zeros(len(eigenvalues)), dense(eigenvalues)[1]
    value, error = jax.jit(lambda key: hutch_plus_plus_trace(matvec, like, key, num_matvecs))(KEY)
    np.testing.assert_allclose(value, 4, rtol=1e-5)
    assert error < 1e-5


def test_hutch_plus_plus_makes_as_many_products_as_it_may():
    calls = []

    def matvec(v):
        jax.debug.callback(lambda: calls.append(None))
        return v

    jax.jit(lambda key: hutch_plus_plus_trace(matvec, jnp.zeros(20), key, 8))(KEY).value.block_until_ready()
    jax.effects_barrier()
    assert len(calls) == 8


@pytest.mark.parametrize("estimate", ESTIMATES)
def test_products_are_in_the_dtypes_of_the_parameters(estimate):
    params = {"a": jnp.zeros(3, jnp.bfloat16), "b": jnp.zeros(2)}

    def matvec(v):
        assert jax.tree.map(lambda x: x.dtype, v) == jax.tree.map(lambda x: x.dtype, params)
        return jax.tree.map(lambda x: x + x, v)

    value, error = jax.jit(functools.partial(estimate, matvec))(params, KEY)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves((value, error)))
    assert sum(float(jnp.sum(x)) for x in jax.tree.leaves(value)) == pytest.approx(10, rel=0.01)  # in 8 bits for a


def test_a_hessian_of_sharded_parameters():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("data",))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    w, x = jnp.linspace(-1.0, 1.0, 4), jax.random.normal(KEY, (6, 4))

    @jax.jit
    def trace(w, x):
        return hutchinson_trace(lambda v: hvp(lambda w, x: jnp.mean(jnp.tanh(x @ w) ** 2), v, w, x), w, KEY, 3)

    here, spread = trace(w, x), trace(jax.device_put(w, rows), jax.device_put(x, rows))
    np.testing.assert_allclose(spread.value, here.value, rtol=1e-5)


def test_fisher_diag_of_softmax_regression():
    """The expectation over classes, written out."""
    w, x = 0.3 * jax.random.normal(KEY, (3, 4)), jax.random.normal(jax.random.key(1), (5, 3))
    estimate = jax.jit(
        lambda w: monte_carlo_fisher_diag(lambda p, x: x @ p["w"], categorical, {"w": w, "none": None}, x, KEY, 4000)
    )
    (value, error), exact = estimate(w), softmax_fisher_diag(np.asarray(w, np.float64), np.asarray(x, np.float64))
    assert np.all(np.abs(value["w"] - exact) < 4 * error["w"])
    assert np.all(error["w"] < 0.05 * exact.max())


def test_fisher_diag_of_least_squares():
    """With N(f, 1) the Fisher matrix is the mean over examples of J' J, here of x x' for each output."""
    x = jax.random.normal(KEY, (5, 3))
    estimate = functools.partial(monte_carlo_fisher_diag, lambda w, x: x @ w, lambda mean: multi_normal(mean, 0.0))
    value, error = jax.jit(estimate, static_argnums=3)(jnp.ones((3, 2)), x, KEY, 4000)
    exact = np.repeat(np.mean(np.square(x), axis=0)[:, None], 2, axis=1)
    assert np.all(np.abs(value - exact) < 4 * error)
    assert np.all(error < 0.05 * exact.max())


def test_one_example_and_one_weight_need_no_signs():
    """For y ~ N(w, 1) the score is the noise y - w: its square is what comes out of one sample."""
    estimate = functools.partial(monte_carlo_fisher_diag, lambda w, x: w * x, Shifted)
    value, _ = jax.jit(estimate, static_argnums=3)(jnp.array(0.5), jnp.ones(1), KEY, 3)
    assert value == 9


class Shifted:
    """Always 3 above the location, with the density of N(location, 1)."""

    def __init__(self, location):
        self.location = location

    def sample(self, *, seed, sample_shape):
        return self.location + 3

    def log_prob(self, value):
        return -0.5 * jnp.square(value - self.location)


@pytest.mark.parametrize(
    ("matvec", "params", "error", "message"),
    [
        (
            lambda v: v,
            {"a": jnp.zeros(2, jnp.complex64)},
            TypeError,
            r"params\['a'\] has dtype complex64.*real and imag",
        ),
        (lambda v: v, {"a": jnp.zeros(2, jnp.int32)}, TypeError, r"params\['a'\] has dtype int32.*bind it"),
        (lambda v: v, {"a": None}, ValueError, "no elements"),
        (lambda v: v["a"], {"a": jnp.zeros(2)}, ValueError, "a tree like params"),
        (lambda v: {"a": v["a"][:1]}, {"a": jnp.zeros(2)}, ValueError, r"matvec\(v\)\['a'\].*\(2,\), but has \(1,\)"),
        (
            lambda v: {"a": v["a"].astype(jnp.complex64)},
            {"a": jnp.zeros(2)},
            TypeError,
            r"matvec\(v\)\['a'\].*complex64",
        ),
        (jnp.ones(3), jnp.zeros(3), TypeError, "matvec must be a function"),
    ],
)
def test_what_is_no_matrix(matvec, params, error, message):
    with pytest.raises(error, match=message):
        hutchinson_diag(matvec, params, KEY, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hutchinson_trace(diagonal, TREE, KEY, 0), ValueError, "num_samples must be at least 1, not 0"),
        (lambda: hutchinson_diag(diagonal, TREE, KEY, 1.5), TypeError, "num_samples must be an integer"),
        (lambda: hutchinson_trace(diagonal, TREE, KEY, 1, distribution="cauchy"), ValueError, "'normal', not 'cauchy'"),
        (lambda: hutch_plus_plus_trace(diagonal, TREE, KEY, 2), ValueError, "num_matvecs must be at least 3"),
        (lambda: fisher(lambda w, x: w, lambda f: f), TypeError, "without sample"),
        (lambda: fisher(lambda w, x: w[0], Shifted), ValueError, "first axis"),
        (lambda: fisher(lambda w, x: jnp.stack([w, w]), Shifted), ValueError, r"scalar for one example.*\(3,\)"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def fisher(model, dist_builder):
    return monte_carlo_fisher_diag(model, dist_builder, jnp.zeros(3), None, KEY, 2)

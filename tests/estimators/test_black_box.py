import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    evolution_strategy_jacobians,
    forward_gradient_jacobians,
    mean_gradient,
    multi_normal,
    score_function_jacobians,
    spsa_jacobians,
)
from x64 import enable_x64

KEY = jax.random.key(0)
PARAMS = {"w": jnp.array([[1.0, -0.5], [0.3, 2.0]]), "b": jnp.array(0.7)}
ESTIMATORS = [
    evolution_strategy_jacobians,
    functools.partial(evolution_strategy_jacobians, antithetic=False),
    spsa_jacobians,
    forward_gradient_jacobians,
]
all_of_them = pytest.mark.parametrize("estimate", ESTIMATORS, ids=["es", "es-one-sided", "spsa", "forward"])


def function(p):
    return jnp.sum(jnp.square(p["w"])) * p["b"] + jnp.sin(p["b"])


def linear(p):
    return 2 * jnp.sum(p["w"]) - p["b"]


def compiled(estimate, function, params, n, **options):
    return jax.jit(lambda p: estimate(function, p, KEY, n, **options))(params)


def flat(tree):
    """b before the components of w, in float64, a row for each sample."""
    return np.concatenate([np.asarray(x, np.float64).reshape(len(x), -1) for x in jax.tree.leaves(tree)], axis=1)


def test_a_linear_function_shows_the_directions():
    """J = (a . e) e with the same e at every step and for every formula; a = (-1, 2, 2, 2, 2)."""
    a = np.array([-1, 2, 2, 2, 2])
    with enable_x64():
        params = jax.tree.map(lambda x: x.astype(jnp.float64), PARAMS)
        es = flat(compiled(evolution_strategy_jacobians, linear, params, 200))
        wide = flat(compiled(evolution_strategy_jacobians, linear, params, 200, sigma=3.0, antithetic=False))
        forward = flat(compiled(forward_gradient_jacobians, linear, params, 200))
        spsa = flat(compiled(spsa_jacobians, linear, params, 200))
    np.testing.assert_allclose(es, forward, 1e-9, 1e-9)
    np.testing.assert_allclose(es, wide, 1e-9, 1e-9)

    squared_slope = es @ a  # (a . e)^2
    assert (squared_slope >= 0).all()
    e = es / np.sqrt(squared_slope)[:, None]
    np.testing.assert_allclose((e @ a)[:, None] * e, es, 1e-9)
    np.testing.assert_allclose(np.mean(e**2, axis=0), 1, atol=4 * np.sqrt(2 / 200))  # e is only known up to its sign

    signs = np.sign(spsa)
    np.testing.assert_allclose(spsa, (signs @ a)[:, None] * signs, 1e-9)  # 1 / d is d
    assert {*np.unique(signs)} == {-1.0, 1.0}
    assert len(np.unique(signs * signs[:, :1], axis=0)) == 16  # up to their sign all directions are seen


def test_evolution_strategies_are_score_functions_with_a_baseline():
    """For multi_normal(p, log sigma) and the mean: f is less its value at p, or half that of the opposite sample."""
    p, sigma, n = jnp.array([0.5, -1.0]), 0.3, 20000

    def f(x):
        return jnp.sum(jnp.cos(x)) + 2 * x[0] * x[1]

    @jax.jit
    def run(p):
        def density(m):
            return multi_normal(m, jnp.log(sigma))

        plain = score_function_jacobians(f, [p], density, KEY, n)[0]
        pairs = evolution_strategy_jacobians(f, p, KEY, n, sigma=sigma)
        one_sided = evolution_strategy_jacobians(f, p, KEY, n, sigma=sigma, antithetic=False)
        e = jax.vmap(lambda key: jax.random.normal(jax.random.split(key, 1)[0], (2,)))(jax.random.split(KEY, n))
        x = p[None] + sigma * e
        score = jax.vmap(jax.grad(lambda m, x: density(m).log_prob(x)), in_axes=(None, 0))(p, x)
        baselines = [(jax.vmap(f)(x) + jax.vmap(f)(2 * p[None] - x)) / 2, jnp.full(n, f(p))]
        by_score = [(jax.vmap(f)(x) - b)[:, None] * score for b in baselines]
        return plain, [pairs, one_sided], by_score

    plain, ours, by_score = run(p)
    for a, b in zip(ours, by_score, strict=True):
        np.testing.assert_allclose(a, b, 1e-3, 1e-4)
        error = np.sqrt((np.var(plain, axis=0) + np.var(a, axis=0)) / n)
        assert (np.abs(np.mean(plain, axis=0) - np.mean(a, axis=0)) < 4 * error).all()
        assert (np.var(a, axis=0) < np.var(plain, axis=0)).all()


def test_spsa_of_a_quadratic():
    """(f(p + c d) - f(p - c d)) / 2 c is grad f . d whatever c is."""
    matrix = jnp.array([[2.0, 1.0], [1.0, -3.0]])
    p = jnp.array([0.5, 1.5])
    jacobians = compiled(spsa_jacobians, lambda x: x @ matrix @ x / 2, p, 50, perturbation=0.5)
    d = np.sign(jacobians)
    gradient = np.asarray(matrix @ p)
    same = d * (d @ gradient)[:, None]
    np.testing.assert_allclose(jacobians, same, 1e-4)


def test_forward_mode_alone():
    """Reverse mode cannot go through a loop of unknown length."""

    def doubled(x):
        return jax.lax.while_loop(lambda y: y < 100, lambda y: 2 * y, x)

    jacobians = compiled(forward_gradient_jacobians, doubled, jnp.array(3.0), 4)  # 3 * 64 / 2
    v = compiled(forward_gradient_jacobians, lambda x: x, jnp.array(3.0), 4)  # v^2
    np.testing.assert_allclose(jacobians, 64 * v, 1e-5)


@all_of_them
def test_shapes_dtypes_and_trees(estimate):
    params = {"w": PARAMS["w"].astype(jnp.bfloat16), "b": 0.7, "none": None, "empty": jnp.zeros((0, 3))}

    def cost(p):
        assert p["w"].dtype == jnp.bfloat16
        return function({"w": p["w"].astype(jnp.float32), "b": p["b"]})

    jacobians = compiled(estimate, cost, params, 3)
    assert jax.tree.map(lambda j: (j.shape, str(j.dtype)), jacobians) == {
        "w": ((3, 2, 2), "bfloat16"),
        "b": ((3,), "float32"),
        "none": None,
        "empty": ((3, 0, 3), "float32"),
    }
    assert all(jnp.isfinite(j.astype(jnp.float32)).all() for j in jax.tree.leaves(jacobians))
    number = jax.eval_shape(lambda p: estimate(lambda x: x, p, KEY, 3), 1.5)
    assert (number.shape, number.weak_type) == ((3,), False)
    assert estimate(lambda p: 1.0, {}, KEY, 3) == {}


@all_of_them
def test_precision_of_the_wider_of_function_and_leaf(estimate):
    with enable_x64():
        rows = jax.eval_shape(lambda p: estimate(lambda p: function(p).astype(jnp.float64), p, KEY, 2), PARAMS)
        assert {j.dtype for j in jax.tree.leaves(rows)} == {np.dtype("float32")}
        rows = jax.eval_shape(lambda p: estimate(lambda x: x.astype(jnp.float32), p, KEY, 2), jnp.float64(1.0))
        assert rows.dtype == jnp.float64


@pytest.mark.parametrize("estimate", [evolution_strategy_jacobians, spsa_jacobians], ids=["es", "spsa"])
def test_functions_with_steps(estimate):
    """The step itself may be traced: it is a hyperparameter to sweep over."""
    step = {"sigma": 2.0} if estimate is evolution_strategy_jacobians else {"perturbation": 2.0}
    run = jax.jit(lambda p, step: estimate(lambda x: jnp.floor(x) > 0, p, KEY, 20, **step))
    assert (run(jnp.array(0.5), step) > 0).any()


class TestMeanGradient:
    def test_the_mean_of_the_chunks(self):
        estimator = functools.partial(forward_gradient_jacobians, function, PARAMS)
        ours = jax.jit(lambda key: mean_gradient(estimator, key, 12, chunk_size=4))(KEY)
        chunks = jax.jit(jax.vmap(lambda key: estimator(rng=key, num_samples=4)))(jax.random.split(KEY, 3))
        for mean, j in zip(jax.tree.leaves(ours), jax.tree.leaves(chunks), strict=True):
            np.testing.assert_allclose(mean, j.mean(axis=(0, 1)), 1e-5)

    def test_an_estimator_with_a_distribution_and_narrow_leaves(self):
        """The sum is kept in float32: 1000 times 1 in bfloat16 would stop at 256."""
        estimator = functools.partial(
            forward_gradient_jacobians, lambda x: x.astype(jnp.float32), jnp.asarray(1.0, jnp.bfloat16)
        )
        mean = jax.jit(lambda key: mean_gradient(estimator, key, 2000))(KEY)
        assert mean.dtype == jnp.bfloat16
        assert mean.item() == pytest.approx(1.0, abs=4 * np.sqrt(2 / 2000))
        by_score = functools.partial(score_function_jacobians, jnp.sin, [0.5, 0.0], multi_normal)
        shapes = jax.eval_shape(lambda key: mean_gradient(by_score, key, 4, chunk_size=2), KEY)
        assert [x.shape for x in shapes] == [(), ()]

    def test_memory(self):
        """Of 10,000 parameters there are a few copies; a further sample takes its key."""

        estimator = functools.partial(spsa_jacobians, lambda x: jnp.sum(jnp.sin(x)), jnp.zeros(10000))
        run = jax.jit(lambda key: mean_gradient(estimator, key, 1000))
        memory = run.lower(KEY).compile().memory_analysis().temp_size_in_bytes
        assert memory < 8 * 40000 + 1000 * 16

    @pytest.mark.parametrize(("n", "chunk"), [(0, 1), (10, 4), (-4, 4)])
    def test_numbers_that_do_not_divide(self, n, chunk):
        estimator = functools.partial(spsa_jacobians, linear, PARAMS)
        with pytest.raises(
            ValueError, match=f"num_samples must be >= 1 and a multiple of chunk_size = {chunk}, got {n}"
        ):
            mean_gradient(estimator, KEY, n, chunk_size=chunk)
        with pytest.raises(ValueError, match="chunk_size must be >= 1, got 0"):
            mean_gradient(estimator, KEY, 4, chunk_size=0)


class TestErrors:
    @all_of_them
    def test_functions(self, estimate):
        with pytest.raises(ValueError, match=r"function must map a tree like params to a scalar, got shape \(2, 2\)"):
            estimate(lambda p: p["w"], PARAMS, KEY, 3)
        with pytest.raises(TypeError, match="function must return a real number, got dtype complex64"):
            estimate(lambda p: jax.lax.complex(p["b"], p["b"]), PARAMS, KEY, 3)

    @all_of_them
    def test_parameters_and_samples(self, estimate):
        with pytest.raises(TypeError, match=r"params\['b'\] has dtype int32"):
            estimate(linear, {"w": PARAMS["w"], "b": 3}, KEY, 3)
        with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
            estimate(linear, PARAMS, KEY, 0)

    def test_steps(self):
        with pytest.raises(ValueError, match=r"sigma must be above 0, not -0\.1"):
            evolution_strategy_jacobians(linear, PARAMS, KEY, 3, sigma=-0.1)
        with pytest.raises(ValueError, match="perturbation must be above 0, not 0"):
            spsa_jacobians(linear, PARAMS, KEY, 3, perturbation=0)

    def test_no_derivative(self):
        with pytest.raises(ValueError, match="derivative of function is zero everywhere"):
            forward_gradient_jacobians(lambda p: p["b"] > 0, PARAMS, KEY, 3)
        flat = forward_gradient_jacobians(lambda p: 1.0, PARAMS, KEY, 3)  # not a mistake
        assert not flat["w"].any()

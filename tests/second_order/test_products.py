"""Products with curvature matrices against the dense matrices, and what they accept."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax.estimators import IndependentBernoulli, bernoulli, categorical, load_tfp, multi_normal
from optax.second_order import empirical_fisher_vp, fisher_vp, gauss_newton_vp, hvp, vhp
from reference import curvature
from reference.curvature import CLASSES, EXAMPLES, cross_entropy, loss, model
from x64 import enable_x64

both = pytest.mark.parametrize("product", [hvp, vhp])
CUBE = {"x": jnp.array([1.0, 2.0]), "y": jnp.array(3.0)}


def cube(params: Any) -> jax.Array:
    """Hessian (6 x_0 y, 0, 3 x_0^2; 0, 6 x_1 y, 3 x_1^2; 3 x_0^2, 3 x_1^2, 0) in the order x, y."""
    return jnp.sum(params["x"] ** 3) * params["y"]


CUBE_TIMES_ONES = {"x": [18.0 + 3.0, 36.0 + 12.0], "y": 3.0 + 12.0}


def flat(tree: Any) -> Any:
    return np.asarray(ravel_pytree(tree)[0])


def assert_close(product: Any, expected: Any) -> None:
    np.testing.assert_allclose(flat(product), expected, 0, 1e-12 * np.abs(expected).max())


@pytest.fixture(scope="module")
def setup() -> Any:
    """float64 parameters, data, matrices and a direction."""
    with enable_x64():
        params, inputs, targets = curvature.problem(jnp.float64)
        v = np.random.default_rng(1).standard_normal(flat(params).size)
        return params, inputs, targets, curvature.dense(params, inputs, targets), v


class TestDense:
    """In float64."""

    @both
    def test_hessian(self, product, setup):
        params, inputs, targets, matrices, v = setup
        with enable_x64():
            result = jax.jit(functools.partial(product, loss))(v, params, inputs, targets)
            assert jax.tree.structure(result) == jax.tree.structure(params)
            assert_close(result, matrices.hessian @ v)
            assert_close(product(loss, ravel_pytree(params)[1](v), params, inputs, targets), matrices.hessian @ v)

    def test_gauss_newton(self, setup):
        params, inputs, targets, matrices, v = setup
        with enable_x64():
            run = jax.jit(functools.partial(gauss_newton_vp, model, cross_entropy))
            assert_close(run(v, params, inputs, targets), matrices.gauss_newton @ v)

    def test_the_outputs_may_be_a_tree(self, setup):
        params, inputs, targets, matrices, v = setup
        with enable_x64():
            result = gauss_newton_vp(
                lambda p, x: {"logits": (model(p, x), None)},
                lambda z, y: cross_entropy(z["logits"][0], y),
                v,
                params,
                inputs,
                targets,
            )
            assert_close(result, matrices.gauss_newton @ v)

    def test_empirical_fisher(self, setup):
        params, inputs, targets, matrices, v = setup
        with enable_x64():
            run = jax.jit(functools.partial(empirical_fisher_vp, loss))
            g = matrices.gradients
            assert_close(run(v, params, inputs, targets), g.T @ (g @ v) / EXAMPLES)

    def test_fisher_of_a_cross_entropy_is_its_gauss_newton_matrix(self, setup):
        params, inputs, _, matrices, v = setup
        with enable_x64():
            run = jax.jit(functools.partial(fisher_vp, model, categorical))
            assert_close(run(v, params, inputs), matrices.gauss_newton @ v)

    def test_fisher_by_samples(self, setup):
        """100 rounds of 64 samples, whose mean lies within 5 standard errors of the exact product."""
        params, inputs, _, matrices, v = setup
        with enable_x64():
            run = functools.partial(fisher_vp, model, categorical, v, params, inputs, num_samples=64)
            rounds = jax.jit(lambda keys: jax.lax.map(lambda key: ravel_pytree(run(rng=key))[0], keys))
            each = np.asarray(rounds(jax.random.split(jax.random.key(0), 100)))
        exact = matrices.gauss_newton @ v
        assert np.all(np.abs(each.mean(0) - exact) < 5 * each.std(0) / 10)
        assert np.linalg.norm(each.mean(0) - exact) < 0.1 * np.linalg.norm(exact)


def test_fisher_of_a_normal_distribution():
    """F = diag(exp(-2 s), 2) for the parameters mean and s = log scale of one number; the rest is J."""
    x = jnp.array([1.0, -2.0, 3.0])
    params, v = {"a": jnp.array(0.5), "s": jnp.array(0.3)}, {"a": jnp.array(1.0), "s": jnp.array(2.0)}

    def normal(p: Any, x: jax.Array) -> Any:
        return {"loc": p["a"] * x, "log_scale": jnp.broadcast_to(p["s"], x.shape)}

    product = fisher_vp(normal, lambda z: multi_normal(**z), v, params, x)
    assert product["a"] == pytest.approx(np.exp(-0.6) * (1 + 4 + 9) / 3, rel=1e-5)
    assert product["s"] == pytest.approx(2 * 2.0, rel=1e-5)


def test_one_sample_against_the_formula():
    """s = y - sigmoid(z) for a Bernoulli variable: F v ~ mean over examples of s^2 x x' v."""
    x = jnp.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
    w, v = jnp.array([0.3, -0.7]), jnp.array([1.0, 2.0])

    class Likelier(IndependentBernoulli):
        def sample(self, sample_shape: Any, seed: jax.Array) -> jax.Array:
            return (self.logits > 0).astype(jnp.float32)

    for num_samples in (None, 4):
        product = fisher_vp(lambda w, x: x @ w, Likelier, v, w, x, rng=jax.random.key(3), num_samples=num_samples)
        z = np.array([-1.1, 0.85, 0.9])
        s = np.array([0, 1, 1]) - 1 / (1 + np.exp(-z))
        np.testing.assert_allclose(product, np.mean(s**2 * np.array([5.0, -1.5, 3.0]) * np.asarray(x).T, axis=1), 1e-5)


@pytest.mark.tfp
def test_distributions_of_tensorflow_probability():
    with jax.numpy_dtype_promotion("standard"):  # which its own code needs
        tfd = load_tfp().distributions
        x, w, v = jnp.array([[1.0, 2.0], [0.5, -1.0]]), jnp.array([0.3, -0.7]), jnp.array([1.0, 2.0])
        ours = fisher_vp(lambda w, x: x @ w, bernoulli, v, w, x)
        theirs = fisher_vp(lambda w, x: x @ w, lambda z: tfd.Bernoulli(logits=z), v, w, x)
        np.testing.assert_allclose(ours, theirs, 1e-5)


class TestCalls:
    @both
    def test_other_arguments_of_the_loss(self, product):
        ones = jnp.ones(3)
        for call in (
            lambda: product(cube, ones, CUBE),
            lambda: product(lambda p, batch: batch[0] * cube(p), ones, CUBE, (1.0, 7.0)),
            lambda: product(lambda p, a, b: a * b * cube(p), ones, CUBE, 2.0, 0.5),
            lambda: product(lambda p, a, b: a**b * cube(p), ones, CUBE, targets=7.0, inputs=1.0),
            lambda: product(loss=lambda p, a, b: cube(p), v=ones, params=CUBE, inputs=None, targets=None),
            lambda: product(lambda p, a, b, c, d: a * b * c * d * cube(p), ones, CUBE, 2.0, 0.5, 4.0, 0.25),
        ):
            result = call()
            np.testing.assert_allclose(result["x"], CUBE_TIMES_ONES["x"], 1e-6)
            np.testing.assert_allclose(result["y"], CUBE_TIMES_ONES["y"], 1e-6)

    def test_parity(self):
        """Recorded from the original 0.2.8: a flat vector goes in, a tree comes out."""

        def squares(params: Any, inputs: Any, targets: Any) -> jax.Array:
            return jnp.mean((jnp.tanh(inputs @ params["w"] + params["b"]) - targets) ** 2)

        with enable_x64():  # near 1 a tanh in float32 leaves few digits of its derivative
            params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}
            x, y = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, -1.0]]), jnp.array([1.0, 0.0, 2.0])
            result = hvp(squares, jnp.array([1.0, 2.0, 3.0]), params, x, y)
        np.testing.assert_allclose(result["b"], 0.0389057, 1e-4)
        np.testing.assert_allclose(result["w"], [0.19452831, -0.03890554], 1e-4)

    def test_one_array_for_parameters(self):
        x = jnp.array([[1.0, 2.0], [3.0, 4.0]])
        for v in (jnp.ones(4), jnp.ones((2, 2))):
            np.testing.assert_allclose(hvp(lambda x: jnp.sum(x**3), v, x), 6 * x, 1e-6)
        np.testing.assert_allclose(hvp(lambda x: jnp.sum(x**3), x[0], x[1]), 6 * x[0] * x[1], 1e-6)

    @both
    def test_each_leaf_keeps_its_dtype(self, product):
        params = {"a": jnp.array([1.0, 2.0], jnp.bfloat16), "b": 3.0, "c": np.ones(2, np.float32)}

        def mixed(p: Any) -> jax.Array:
            return jnp.sum(p["a"].astype(jnp.float32) ** 3) * p["b"] + jnp.sum(p["c"] ** 2)

        for v in (jnp.ones(5), {"a": jnp.ones(2, jnp.bfloat16), "b": 1.0, "c": jnp.ones(2)}):
            result = product(mixed, v, params)
            assert [x.dtype for x in jax.tree.leaves(result)] == [jnp.bfloat16, jnp.float32, jnp.float32]
            assert not any(x.weak_type for x in jax.tree.leaves(result))
            np.testing.assert_allclose(result["a"].astype(jnp.float32), [21.0, 48.0], 0.01)
            np.testing.assert_allclose(result["c"], [2.0, 2.0])

    def test_half_precision_in_the_others(self):
        params, inputs, targets = curvature.problem(jnp.bfloat16)
        exact, x, _ = curvature.problem(jnp.float32)
        v, ones = jax.tree.map(jnp.ones_like, params), jax.tree.map(jnp.ones_like, exact)
        for run in (
            lambda v, p, x: gauss_newton_vp(model, cross_entropy, v, p, x, targets),
            lambda v, p, x: empirical_fisher_vp(loss, v, p, x, targets),
        ):
            result = jax.jit(run)(v, params, inputs)
            assert {r.dtype for r in jax.tree.leaves(result)} == {jnp.dtype(jnp.bfloat16)}
            expected = flat(jax.jit(run)(ones, exact, x))
            np.testing.assert_allclose(flat(result).astype(np.float32), expected, 0, 0.1 * np.abs(expected).max())

    def test_no_parameters(self):
        assert hvp(lambda p: 0.0, {}, {}) == {}
        assert vhp(lambda p: 0.0, {"a": None}, {"a": None}) == {"a": None}
        assert empirical_fisher_vp(lambda p, x, y: 0.0, {}, {}, jnp.ones(2), None) == {}

    def test_inputs_on_several_devices(self):
        params, inputs, targets = curvature.problem(jnp.float32)
        mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
        put = functools.partial(jax.device_put, device=NamedSharding(mesh, P("data")))
        v = jax.tree.map(jnp.ones_like, params)
        for product in (hvp, empirical_fisher_vp):
            run = jax.jit(functools.partial(product, loss))
            sharded = run(v, params, jax.tree.map(put, inputs), put(targets))
            np.testing.assert_allclose(flat(sharded), flat(run(v, params, inputs, targets)), 1e-4, 1e-6)

    def test_reverse_mode_alone(self):
        """A function whose own rule calls it again: forward mode cannot enter it."""

        @jax.custom_vjp
        def custom(x: jax.Array) -> jax.Array:
            return jnp.sum(x**3)

        custom.defvjp(lambda x: (custom(x), x), lambda x, t: (t * 3 * x**2,))
        x = jnp.array([1.0, 2.0])
        np.testing.assert_allclose(vhp(custom, jnp.ones(2), x), 6 * x)
        with pytest.raises((TypeError, NotImplementedError), match=r"custom_vjp|custom_lin"):
            hvp(custom, jnp.ones(2), x)

    def test_no_matrix_is_made(self):
        """Neither of parameters by parameters nor of parameters by examples."""
        params, inputs, targets = curvature.problem(jnp.float32)
        v = jnp.ones(flat(params).size)
        for run in (
            lambda p: hvp(loss, v, p, inputs, targets),
            lambda p: gauss_newton_vp(model, cross_entropy, v, p, inputs, targets),
            lambda p: empirical_fisher_vp(loss, v, p, inputs, targets),
            lambda p: fisher_vp(model, categorical, v, p, inputs),
        ):
            assert curvature.largest(run, params) <= max(v.size, EXAMPLES * CLASSES**2)


class TestErrors:
    @both
    def test_directions(self, product):
        ones = jax.tree.map(jnp.ones_like, CUBE)
        for v, error, message in (
            (jnp.ones(4), ValueError, r"one element for each of the 3 parameters, got shape \(4,\)"),
            (jnp.ones(3, jnp.int32), TypeError, "v must have dtype float32, got int32"),
            (jnp.ones((3, 1)), ValueError, r"v must be a tree like params, .* or a flat vector .* got \(3, 1\)"),
            ({"x": jnp.ones(2)}, ValueError, r"v must be a tree like params, .*'y'.* got .*'x'"),
            (
                ones | {"x": jnp.ones(3)},
                ValueError,
                r"v\['x'\] must have the shape of params\['x'\], \(2,\), got \(3,\)",
            ),
            (
                ones | {"y": jnp.bfloat16(1)},
                TypeError,
                r"v\['y'\] must have the dtype of params\['y'\], float32, got bf",
            ),
            (
                ones | {"y": jnp.int32(1)},
                TypeError,
                r"v\['y'\] must have the dtype of params\['y'\], float32, got int32",
            ),
        ):
            with pytest.raises(error, match=message):
                product(cube, v, CUBE)

    @both
    def test_losses(self, product):
        with pytest.raises(ValueError, match=r"loss must return a scalar, got shape \(2,\)"):
            product(lambda p: p["x"], jnp.ones(3), CUBE)
        for value, dtype in ((1, "int32"), (1j, "complex64")):
            with pytest.raises(TypeError, match=f"loss must return a real floating number, got dtype {dtype}"):
                product(lambda p, value=value: jnp.asarray(value), jnp.ones(3), CUBE)

    @both
    def test_parameters(self, product):
        with pytest.raises(TypeError, match=r"params\['x'\]\[0\] has dtype int32, not .* bind it to the function"):
            product(cube, None, {"x": [jnp.arange(2)], "y": jnp.array(1.0)})
        with pytest.raises(TypeError, match=r"params\[0\] has dtype complex64, not .* as two leaves"):
            product(cube, None, [jnp.array(1j)])

    def test_outputs(self):
        x, w = jnp.ones((3, 2)), jnp.ones(2)
        with pytest.raises(TypeError, match=r"outputs\['class'\] has dtype int32"):
            gauss_newton_vp(lambda w, x: {"class": jnp.argmax(x * w)}, lambda z, y: 0.0, w, w, 1.0, None)
        with pytest.raises(ValueError, match=r"outputs \(\); with a single example, add an axis"):
            fisher_vp(lambda w, x: jnp.sum(x @ w), bernoulli, w, w, x)
        with pytest.raises(ValueError, match=r"got outputs\[0\] \(3,\), outputs\[1\] \(2,\); with"):
            fisher_vp(lambda w, x: (x @ w, w), bernoulli, w, w, x)

    def test_examples(self):
        w = jnp.ones(2)
        with pytest.raises(ValueError, match=r"got inputs\['x'\] \(3, 2\), targets \(4,\); with a single"):
            empirical_fisher_vp(lambda *_: 0.0, w, w, {"x": jnp.ones((3, 2))}, jnp.ones(4))
        with pytest.raises(ValueError, match="there must be an example at least in inputs and targets"):
            empirical_fisher_vp(lambda *_: 0.0, w, w, jnp.ones((0, 2)), jnp.ones(0))
        with pytest.raises(ValueError, match=r"negative_log_likelihood must return a scalar, got shape \(1,\)"):
            empirical_fisher_vp(lambda w, x, y: x @ w, w, w, jnp.ones((3, 2)), jnp.ones(3))

    def test_distributions(self):
        class Sampler:
            def __init__(self, z: jax.Array):
                self.z = z

            def sample(self, *, seed: jax.Array, sample_shape: Any) -> jax.Array:
                return self.z

        x, w = jnp.ones((3, 2)), jnp.ones(2)
        run = functools.partial(fisher_vp, lambda w, x: x @ w)
        with pytest.raises(TypeError, match="got Sampler without kl_divergence; give rng to estimate by samples"):
            run(Sampler, w, w, x)
        with pytest.raises(TypeError, match="with sample and log_prob, got Sampler without log_prob"):
            run(Sampler, w, w, x, rng=jax.random.key(0))
        with pytest.raises(ValueError, match="num_samples=3 needs rng"):
            run(bernoulli, w, w, x, num_samples=3)
        with pytest.raises(ValueError, match="num_samples must be at least 1, not 0"):
            run(bernoulli, w, w, x, rng=jax.random.key(0), num_samples=0)

        class Separate(Sampler):
            def log_prob(self, value: jax.Array) -> jax.Array:
                return jnp.stack([self.z, value])

        with pytest.raises(ValueError, match=r"log_prob must be a scalar for one example, got shape \(2,\)"):
            run(Separate, w, w, x, rng=jax.random.key(0))

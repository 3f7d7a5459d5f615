"""Diagonals of curvature matrices against the dense matrices, what they accept, and what memory they take."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax.second_order import fisher_diag, gauss_newton_diag, hessian_diag
from reference import curvature
from reference.curvature import CLASSES, EXAMPLES, cross_entropy, loss, model
from x64 import enable_x64

CUBE = {"x": jnp.array([1.0, 2.0]), "y": jnp.array(3.0)}


def cube(params: Any) -> jax.Array:
    """Hessian diagonal 6 x y^2, 2 sum(x^3)."""
    return jnp.sum(params["x"] ** 3) * params["y"] ** 2


CUBE_DIAGONAL = [54.0, 108.0, 18.0]


def squares(params: Any, inputs: Any, targets: Any) -> jax.Array:
    """Half the mean squared error of a linear model; the gradient for one example is (w x - y) x."""
    return jnp.mean(0.5 * (inputs @ params - targets) ** 2)


def assert_close(diagonal: Any, expected: Any) -> None:
    np.testing.assert_allclose(diagonal, expected, 0, 1e-12 * np.abs(expected).max())


@pytest.fixture(scope="module")
def setup() -> Any:
    """float64 parameters, data and matrices."""
    with enable_x64():
        problem = curvature.problem(jnp.float64)
        return *problem, curvature.dense(*problem)


class TestDense:
    """In float64. There are 41 parameters, 6 examples and 18 outputs: chunks of 4 leave a rest of all."""

    @pytest.mark.parametrize("chunk_size", [None, 4])
    def test_hessian(self, chunk_size, setup):
        params, inputs, targets, matrices = setup
        with enable_x64():
            diagonal = jax.jit(functools.partial(hessian_diag, loss, chunk_size=chunk_size))(params, inputs, targets)
            assert_close(diagonal, np.diag(matrices.hessian))

    @pytest.mark.parametrize("chunk_size", [None, 1, 4])
    def test_fisher(self, chunk_size, setup):
        params, inputs, targets, matrices = setup
        with enable_x64():
            diagonal = jax.jit(functools.partial(fisher_diag, loss, chunk_size=chunk_size))(params, inputs, targets)
            assert_close(diagonal, np.mean(matrices.gradients**2, axis=0))

    @pytest.mark.parametrize("chunk_size", [None, 4])
    def test_gauss_newton_by_outputs(self, chunk_size, setup):
        """2 * 18 directions are fewer than 41 parameters."""
        params, inputs, targets, matrices = setup
        with enable_x64():
            assert ravel_pytree(params)[0].size > 2 * EXAMPLES * CLASSES
            run = jax.jit(functools.partial(gauss_newton_diag, model, cross_entropy, chunk_size=chunk_size))
            assert_close(run(params, inputs, targets), np.diag(matrices.gauss_newton))

    def test_gauss_newton_by_parameters(self, setup):
        """The same outputs twice, half of each counting: more than there are parameters."""
        params, inputs, targets, matrices = setup

        def twice(p: Any, x: Any) -> Any:
            return [model(p, x), model(p, x)]

        def mean(z: Any, y: Any) -> jax.Array:
            return cross_entropy((z[0] + z[1]) / 2, y)

        with enable_x64():
            run = jax.jit(functools.partial(gauss_newton_diag, twice, mean, chunk_size=5))
            assert_close(run(params, inputs, targets), np.diag(matrices.gauss_newton))

    def test_square_of_the_gradient_of_the_batch(self, setup):
        params, inputs, targets, matrices = setup
        with enable_x64():
            assert_close(fisher_diag(loss, params, inputs, targets, per_example=False), matrices.gradient**2)


class TestFisher:
    def test_against_a_loop(self):
        r = np.random.default_rng(0)
        w, x, y = (r.standard_normal(shape).astype(np.float32) for shape in ((3,), (5, 3), (5,)))
        each = [(w @ x[i] - y[i]) * x[i] for i in range(5)]
        np.testing.assert_allclose(fisher_diag(squares, w, x, y), np.mean(np.square(each), axis=0), 1e-4)
        whole = fisher_diag(squares, w, x, y, per_example=False)
        np.testing.assert_allclose(whole, np.square(np.mean(each, axis=0)), 1e-4)

    def test_a_sum_over_the_batch_is_no_different(self):
        x, y, w = jnp.array([[1.0], [2.0]]), jnp.array([0.5, 3.0]), jnp.array([1.0])
        total = fisher_diag(lambda p, x, y: squares(p, x, y) * len(x), w, x, y)
        np.testing.assert_allclose(total, fisher_diag(squares, w, x, y), 1e-6)

    def test_at_a_minimum(self):
        """The two numbers differ there: the gradient of the batch vanishes, those of the examples do not."""
        x, y, w = jnp.ones((2, 1)), jnp.array([1.0, 3.0]), jnp.array([2.0])
        assert fisher_diag(squares, w, x, y) == 1.0
        assert fisher_diag(squares, w, x, y, per_example=False) == 0.0

    def test_parity(self):
        """Recorded from the original 0.2.8, whose diagonal is the square of the gradient of the batch."""
        params = {"w": jnp.array([1.0, 2.0]), "b": jnp.array(0.5)}
        x, y = jnp.array([[1.0, 2.0], [3.0, 4.0], [5.0, -1.0]]), jnp.array([1.0, 0.0, 2.0])

        def tanh_squares(params: Any, inputs: Any, targets: Any) -> jax.Array:
            return jnp.mean((jnp.tanh(inputs @ params["w"] + params["b"]) - targets) ** 2)

        recorded = [5.9127583e-06, 1.4781884e-04, 5.9127369e-06]
        result = fisher_diag(
            negative_log_likelihood=tanh_squares, params=params, inputs=x, targets=y, per_example=False
        )
        np.testing.assert_allclose(result, recorded, 1e-3)
        recorded = [0.00486321, 0.12158015, 0.00486323]
        np.testing.assert_allclose(hessian_diag(tanh_squares, params, inputs=x, targets=y), recorded, 3e-3)

    def test_examples_of_any_kind(self):
        """Integers, booleans, random keys and nothing at all may be data."""
        keys = jax.random.split(jax.random.key(0), 4)
        noise = jax.vmap(lambda k: jax.random.normal(k, (1,)))(keys)[:, 0]
        data = {"key": keys, "sign": jnp.array([True, False, True, True]), "label": np.arange(4), "none": None}

        def nll(p: jax.Array, x: Any, y: Any) -> jax.Array:
            assert y is None
            noise = jax.vmap(lambda k: jax.random.normal(k, (1,)))(x["key"])[:, 0]
            return jnp.mean(p * noise * x["label"].astype(jnp.float32) * jnp.where(x["sign"], 1.0, 2.0))

        g = noise * jnp.array([0.0, 2.0, 2.0, 3.0])
        np.testing.assert_allclose(fisher_diag(nll, jnp.array(1.0), data, None), [jnp.mean(g**2)], 1e-5)


class TestCalls:
    def test_other_arguments_of_the_loss(self):
        for call in (
            lambda: hessian_diag(cube, CUBE),
            lambda: hessian_diag(lambda p, batch: batch[0] * cube(p), CUBE, (1.0, 7.0)),
            lambda: hessian_diag(lambda p, a, b: a**b * cube(p), CUBE, targets=7.0, inputs=1.0),
            lambda: hessian_diag(lambda p, a, b, c: a * b * c * cube(p), CUBE, 0.5, 4.0, 0.5, chunk_size=2),
        ):
            np.testing.assert_allclose(call(), CUBE_DIAGONAL, 1e-6)

    def test_each_leaf_keeps_its_dtype(self):
        params = {"a": jnp.array([1.0, 2.0], jnp.bfloat16), "b": 3.0, "c": None, "d": np.ones((1, 2), np.float16)}

        def nll(p: Any, x: Any, y: Any) -> jax.Array:
            return jnp.sum(p["a"].astype(jnp.float32) ** 3) * p["b"] ** 2 + jnp.sum(p["d"].astype(jnp.float32) ** 2)

        for run, expected in (
            (lambda **options: hessian_diag(nll, params, None, None, **options), [54, 108, 18, 2, 2]),
            (lambda **options: fisher_diag(nll, params, np.ones(2), None, **options), [27**2, 108**2, 54**2, 4, 4]),
            (
                lambda **options: gauss_newton_diag(
                    lambda p, _: nll(p, None, None), lambda z, y: z**2 / 2, params, None, None, **options
                ),
                [27**2, 108**2, 54**2, 4, 4],
            ),
        ):
            flat, tree = run(), run(as_tree=True)
            assert flat.dtype == jnp.float32
            np.testing.assert_allclose(flat, expected, 0.02)
            assert jax.tree.structure(tree) == jax.tree.structure(params)
            assert [x.dtype for x in jax.tree.leaves(tree)] == [jnp.bfloat16, jnp.float32, jnp.float16]
            assert tree["d"].shape == (1, 2)
            np.testing.assert_allclose(tree["a"].astype(jnp.float32), expected[:2], 0.03)

    def test_single_precision_among_doubles(self):
        with enable_x64():
            params = {"a": jnp.ones(2, jnp.float32), "b": jnp.ones(1, jnp.float64)}

            def nll(p: Any, x: Any, y: Any) -> jax.Array:
                return jnp.sum(p["a"] ** 2).astype(jnp.float64) * jnp.sum(p["b"])

            assert hessian_diag(nll, params, None, None).dtype == jnp.float64
            np.testing.assert_array_equal(fisher_diag(nll, params, np.ones(1), None), [4.0, 4.0, 4.0])
            square = functools.partial(jax.tree.map, jnp.square)
            for chunk_size in (1, 2):  # by parameters; by outputs there would have to be fewer of them
                tree = gauss_newton_diag(
                    lambda p, x: square(p),
                    lambda z, y: jnp.sum(z["a"] ** 2).astype(jnp.float64) + jnp.sum(z["b"] ** 2),
                    params,
                    None,
                    None,
                    as_tree=True,
                    chunk_size=chunk_size,
                )
                np.testing.assert_array_equal(tree["a"], [8.0, 8.0])
                assert (tree["a"].dtype, tree["b"].dtype) == (jnp.float32, jnp.float64)

    def test_no_parameters(self):
        x = jnp.ones(2)
        assert hessian_diag(lambda p: 0.0, {}).shape == (0,)
        assert hessian_diag(lambda p: 0.0, {"a": None}, as_tree=True) == {"a": None}
        assert hessian_diag(lambda p: jnp.sum(p), jnp.ones((0, 2)), as_tree=True).shape == (0, 2)
        assert fisher_diag(lambda p, x, y: 0.0, {}, x, x).shape == (0,)
        assert gauss_newton_diag(lambda p, x: x, lambda z, y: jnp.sum(z**2), {}, x, None).shape == (0,)

    @pytest.mark.parametrize("nested", [False, True])
    def test_losses_that_forward_mode_cannot_enter(self, nested):
        """Functions with a rule of their own, which may use the function again."""

        @jax.custom_vjp
        def custom(p: Any) -> jax.Array:
            return cube(p)

        custom.defvjp(lambda p: (custom(p) if nested else cube(p), p), lambda p, t: (scaled(jax.grad(cube)(p), t),))

        def scaled(tree: Any, t: jax.Array) -> Any:
            return jax.tree.map(lambda x: t * x, tree)

        np.testing.assert_allclose(hessian_diag(custom, CUBE), CUBE_DIAGONAL, 1e-6)

    def test_inputs_on_several_devices(self):
        params, inputs, targets = curvature.problem(jnp.float32)
        mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
        put = functools.partial(jax.device_put, device=NamedSharding(mesh, P("data")))
        run = jax.jit(functools.partial(fisher_diag, loss, chunk_size=4))
        sharded = run(params, jax.tree.map(put, inputs), put(targets))
        np.testing.assert_allclose(sharded, run(params, inputs, targets), 1e-4, 1e-6)


class TestMemory:
    def test_less_than_three_gradients(self):
        """Of a million parameters: what the compiled program sets aside, and what it returns."""
        r = np.random.default_rng(0)
        sizes = (512, 1200, 300)
        shapes = [s for a, b in itertools.pairwise(sizes) for s in ((a, b), (b,))]
        params = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
        inputs = jnp.asarray(r.standard_normal((64, sizes[0])), jnp.float32)
        targets = jnp.asarray(r.integers(0, sizes[-1], 64))

        def mlp(p: Any, x: jax.Array, y: jax.Array) -> jax.Array:
            h = jnp.tanh(x @ p[0] + jnp.broadcast_to(p[1], (len(x), sizes[1])))
            return cross_entropy(h @ p[2] + jnp.broadcast_to(p[3], (len(x), sizes[2])), y)

        def taken(function: Any) -> int:
            memory = jax.jit(lambda p: function(p, inputs, targets)).lower(params).compile().memory_analysis()
            return memory.temp_size_in_bytes + memory.output_size_in_bytes

        gradient = taken(jax.grad(mlp))
        assert taken(functools.partial(hessian_diag, mlp)) < 3 * gradient  # 2.2
        assert taken(functools.partial(hessian_diag, mlp, as_tree=True)) < 3 * gradient  # 2.0
        assert taken(functools.partial(fisher_diag, mlp)) < 3 * gradient  # 1.8

    def test_no_matrix_is_made(self):
        """Nothing is larger than a chunk, here of four, neither here nor in the bodies of the loops."""
        params, inputs, targets = curvature.problem(jnp.float32)
        n = ravel_pytree(params)[0].size
        for run in (
            lambda p: hessian_diag(loss, p, inputs, targets, chunk_size=4),
            lambda p: fisher_diag(loss, p, inputs, targets, chunk_size=4),
            lambda p: gauss_newton_diag(model, cross_entropy, p, inputs, targets, chunk_size=4),
        ):
            assert n <= curvature.largest(run, params) <= 4 * n

    def test_the_program_does_not_grow_with_the_parameters(self):
        def operations(n: int) -> int:
            run = functools.partial(hessian_diag, lambda p: jnp.sum(jnp.tanh(p) ** 3))
            return str(jax.make_jaxpr(run)(jnp.ones(n))).count(" = ")

        assert operations(104) == operations(1000)  # whole chunks, both


class TestErrors:
    def test_losses(self):
        with pytest.raises(ValueError, match=r"loss must return a scalar, got shape \(2,\)"):
            hessian_diag(lambda p: p["x"], CUBE)
        with pytest.raises(TypeError, match="loss must return a real floating number, got dtype int32"):
            hessian_diag(lambda p: jnp.int32(1), CUBE)
        with pytest.raises(ValueError, match=r"negative_log_likelihood must return a scalar, got shape \(1,\)"):
            fisher_diag(lambda w, x, y: x @ w, jnp.ones(2), jnp.ones((3, 2)), jnp.ones(3))
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'targets'"):
            hessian_diag(squares, jnp.ones(2), jnp.ones((3, 2)))

    @pytest.mark.parametrize("diagonal", [hessian_diag, fisher_diag, functools.partial(gauss_newton_diag, model)])
    def test_parameters(self, diagonal):
        with pytest.raises(TypeError, match=r"params\['x'\]\[0\] has dtype int32, not .* bind it to the function"):
            diagonal(squares, {"x": [jnp.arange(2)], "y": jnp.array(1.0)}, 1.0, 1.0)
        with pytest.raises(ValueError, match="chunk_size must be at least 1, not 0"):
            diagonal(lambda *_: 0.0, curvature.problem(jnp.float32)[0], {"x": jnp.ones((1, 4))}, None, chunk_size=0)

    def test_examples(self):
        w = jnp.ones(2)
        with pytest.raises(ValueError, match=r"got inputs\['x'\] \(3, 2\), targets \(4,\); per_example=False gives"):
            fisher_diag(lambda *_: 0.0, w, {"x": jnp.ones((3, 2))}, jnp.ones(4))
        with pytest.raises(ValueError, match=r"got inputs \(3, 2\), targets \(\); per_example=False gives"):
            fisher_diag(lambda *_: 0.0, w, jnp.ones((3, 2)), 1.0)
        with pytest.raises(ValueError, match="got no arrays at all; per_example=False gives"):
            fisher_diag(lambda *_: 0.0, w, None, None)
        with pytest.raises(ValueError, match="there must be an example at least"):
            fisher_diag(lambda *_: 0.0, w, jnp.ones((0, 2)), jnp.ones(0))

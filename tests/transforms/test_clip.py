"""What only clipping promises."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.transforms import unitwise_clip, unitwise_norm
from reference.clip import adaptive, unit_axes, unit_norms

SHAPES = [
    (),
    (4,),
    (1, 4),
    (4, 1),
    (3, 4),
    (2, 3, 4),
    (1, 3, 4),
    (1, 4, 1),
    (2, 3, 4, 2),
    (2, 1, 2, 3, 2),
    (2,) * 6,
    (0, 3),
]

# One of each kind, with the same bound: how it is called, and by which argument.
CLIPS: dict[str, Callable[[Any], Any]] = {
    "max_delta": optax.clip,
    "threshold": optax.clip_by_block_rms,
    "max_norm": optax.clip_by_global_norm,
    "clipping": optax.adaptive_grad_clip,
}


def update(tx: Any, g: Any, p: Any = None) -> Any:
    return tx.update(g, tx.init(g), g if p is None else p)[0]


def clipped(tree: Any, max_norm: Any) -> Any:
    return update(optax.clip_by_global_norm(max_norm), tree)


def random(shape: tuple[int, ...], seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def f32(x: Any) -> Any:
    return np.asarray(x, np.float32)


class TestAll:
    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("bound", [np.float32(0.5), np.float64(0.5), jnp.float32(0.5), jnp.bfloat16(0.5)])
    def test_bounds_that_are_arrays(self, name: str, bound: Any) -> None:
        """Defects A10 and A12: a float32 bound beside bfloat16 gradients."""
        g = jnp.full(2, 9.0, jnp.bfloat16)
        out = update(CLIPS[name](bound), g)
        assert out.dtype == jnp.bfloat16
        np.testing.assert_array_equal(f32(out), f32(update(CLIPS[name](0.5), g)))

    @pytest.mark.parametrize("name", CLIPS)
    def test_the_bound_can_be_traced_and_differentiated(self, name: str) -> None:
        g = jnp.asarray([30.0, -40.0])  # beyond each bound, so that the update is in proportion to it
        slope = jax.jacobian(lambda bound: update(CLIPS[name](bound), g))(0.5)
        np.testing.assert_allclose(slope, update(CLIPS[name](0.5), g) / 0.5, rtol=1e-6)

    @pytest.mark.parametrize("name", CLIPS)
    def test_negative_bounds_are_refused(self, name: str) -> None:
        """Defect C12: clip_by_global_norm(-1) turned the gradient round, clip(-1) made everything -1."""
        with pytest.raises(ValueError, match=f"{name} must be at least 0, not -1"):
            CLIPS[name](-1)

    @pytest.mark.parametrize("name", CLIPS)
    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
    def test_the_derivative_at_zero_is_finite(self, name: str, dtype: Any) -> None:
        """Defect F7: that of the identity, or 0 where the bound is 0 too (the clipping of a zero parameter)."""
        slope = jax.grad(lambda g: update(CLIPS[name](1.0), g, jnp.ones(3, dtype)).sum())(jnp.zeros(3, dtype))
        assert np.array_equal(slope, np.ones(3))

    @pytest.mark.parametrize("name", CLIPS)
    def test_a_bound_of_zero_gives_zeros(self, name: str) -> None:
        for g in (jnp.asarray([3.0, 4.0]), jnp.zeros(2), jnp.asarray([3.0 + 4j, 0.0])):
            assert np.all(np.asarray(update(CLIPS[name](0.0), g)) == 0)

    @pytest.mark.parametrize("name", CLIPS)
    def test_integer_parameters(self, name: str) -> None:
        """Defect F8: their gradients, of dtype float0, pass and count for nothing."""
        none = np.zeros(3, jax.dtypes.float0)
        g = jnp.asarray([3.0, 4.0])
        out = update(CLIPS[name](0.5), {"i": none, "w": g}, {"i": jnp.arange(3), "w": g})
        assert out["i"] is none
        np.testing.assert_array_equal(out["w"], update(CLIPS[name](0.5), g))

    @pytest.mark.parametrize("name", CLIPS)
    def test_numbers_of_python(self, name: str) -> None:
        """Defect A17: clip_by_global_norm met "'float' object has no attribute 'dtype'"."""
        np.testing.assert_allclose(update(CLIPS[name](0.5), {"w": -4.0}, {"w": 1.0})["w"], -0.5)

    @pytest.mark.parametrize("name", CLIPS)
    def test_complex_updates_keep_their_direction(self, name: str) -> None:
        """Defect A15: clip refused complex gradients."""
        g, p = jnp.asarray([30.0 + 40j]), jnp.asarray([1j])
        np.testing.assert_allclose(update(CLIPS[name](0.5), g, p), [0.3 + 0.4j], rtol=1e-6)


class TestClip:
    def test_every_element_is_bounded(self) -> None:
        out = update(optax.clip(1.0), {"a": jnp.asarray([0.25, -3.0, 1.0]), "b": jnp.asarray(2.0)})
        assert np.array_equal(out["a"], [0.25, -1.0, 1.0])
        assert out["b"] == 1.0

    def test_what_is_not_finite(self) -> None:
        out = update(optax.clip(2), jnp.asarray([np.nan, np.inf, -np.inf]))
        np.testing.assert_array_equal(out, [np.nan, 2.0, -2.0])

    def test_small_complex_numbers_pass(self) -> None:
        g = jnp.asarray([0.3 - 0.4j, 0.0, 1e-30j])
        assert np.array_equal(update(optax.clip(1.0), g), g)
        slope = jax.grad(lambda g: update(optax.clip(1.0), g).real.sum())(jnp.zeros(3, jnp.complex64))
        np.testing.assert_array_equal(slope, np.ones(3))  # Defect F7


class TestClipByBlockRms:
    def test_each_leaf_by_itself(self) -> None:
        g = {"a": jnp.asarray([6.0, 8.0]), "b": jnp.asarray([0.1, -0.2])}
        out = update(optax.clip_by_block_rms(1.0), g)
        np.testing.assert_allclose(out["a"], np.asarray([6.0, 8.0]) / math.sqrt(50), rtol=1e-6)
        assert np.array_equal(out["b"], g["b"])

    def test_float16_neither_overflows_nor_underflows(self) -> None:
        """Defect A2: 300**2 is infinite in float16, and 1e-4**2 is zero."""
        np.testing.assert_allclose(
            f32(update(optax.clip_by_block_rms(1.0), jnp.full(4, 300.0, jnp.float16))), 1.0, rtol=1e-3
        )
        tiny = update(optax.clip_by_block_rms(5e-5), jnp.full(4, 1e-4, jnp.float16))
        np.testing.assert_allclose(f32(tiny), 5e-5, rtol=1e-2)


class TestClipByGlobalNorm:
    def test_direction_is_kept_and_the_norm_is_the_bound(self) -> None:
        out = clipped({"a": jnp.asarray([3.0, 0.0]), "b": jnp.asarray(4.0)}, 1.0)
        np.testing.assert_allclose(out["a"], [0.6, 0.0], rtol=1e-6)
        np.testing.assert_allclose(out["b"], 0.8, rtol=1e-6)

    def test_within_the_bound_nothing_changes(self) -> None:
        g = jnp.asarray([0.1, 0.7, -0.3])
        assert np.array_equal(np.asarray(clipped(g, 1.0)), np.asarray(g))

    def test_many_bfloat16_leaves(self) -> None:
        """Defect A1: summed in bfloat16, the square of the norm stops at 256."""
        out = clipped([jnp.ones((), jnp.bfloat16)] * 1000, 1.0)
        assert out[0].dtype == jnp.bfloat16
        np.testing.assert_allclose(float(optax.core.tree.norm(out)), 1.0, rtol=4e-3)  # half an ulp of bfloat16

    def test_float16_neither_overflows_nor_underflows(self) -> None:
        """Defect A2: 300**2 is infinite in float16, and 1e-4**2 is zero."""
        np.testing.assert_allclose(f32(clipped(jnp.full(4, 300.0, jnp.float16), 1.0)), 0.5, rtol=1e-3)
        np.testing.assert_allclose(f32(clipped(jnp.full(4, 1e-4, jnp.float16), 1e-4)), 5e-5, rtol=1e-2)

    @pytest.mark.parametrize("axis_name", ["rows", ("rows", "columns")])
    def test_leaves_that_are_split_over_axes(self, axis_name: Any) -> None:
        g = {"a": jnp.asarray(random((2, 3, 4), 0), jnp.float32), "b": jnp.asarray(random((2, 3), 1), jnp.float32)}
        tx = optax.clip_by_global_norm(0.5, axis_name=axis_name)
        split = jax.vmap(jax.vmap(lambda g: update(tx, g), axis_name="columns"), axis_name="rows")(g)
        if axis_name == "rows":  # each column is a whole of its own
            whole = jax.vmap(lambda g: clipped(g, 0.5), in_axes=1, out_axes=1)(g)
        else:
            whole = clipped(g, 0.5)
        for name in g:
            np.testing.assert_allclose(split[name], whole[name], rtol=1e-6)


class TestUnitwiseNorm:
    def test_the_units_of_each_rank(self) -> None:
        """Defect H5: of three axes it is the first that a norm is taken over, in the original's code as here."""
        arrays = [random(shape, 0) for shape in SHAPES]
        norms = jax.jit(lambda arrays: [unitwise_norm(x) for x in arrays])(optax.tree.cast(arrays, jnp.float32))
        for x, norm in zip(arrays, norms, strict=True):
            assert norm.shape == x.shape
            np.testing.assert_allclose(norm, unit_norms(x, unit_axes(x.shape)), rtol=1e-6)

    @pytest.mark.parametrize(("axis", "axes"), [(1, (1,)), (-1, (2,)), ((0, 2), (0, 2)), ([0, 1], (0, 1)), ((), ())])
    def test_given_axes(self, axis: Any, axes: tuple[int, ...]) -> None:
        x = random((2, 3, 4), 0)
        np.testing.assert_allclose(unitwise_norm(jnp.asarray(x, jnp.float32), axis), unit_norms(x, axes), rtol=1e-6)

    def test_low_precision_and_complex(self) -> None:
        """Defect A2: the norm is computed and returned in float32."""
        norm = unitwise_norm(jnp.full(4, 300.0, jnp.float16))
        assert norm.dtype == jnp.float32
        np.testing.assert_allclose(norm, 600.0)
        np.testing.assert_allclose(unitwise_norm(jnp.asarray([3.0 + 0j, 4j])), 5.0)

    def test_an_axis_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="axis 2 is out of bounds"):
            unitwise_norm(jnp.ones((2, 3)), 2)


class TestUnitwiseClip:
    def test_by_hand(self) -> None:
        g = jnp.asarray([3.0, 4.0, 5.0, 6.0])
        norm, bound = jnp.asarray([3.0, 0.5, 0.0, 0.1]), jnp.asarray([1.0, 1.0, 0.0, 0.05])
        np.testing.assert_allclose(unitwise_clip(norm, bound, g), [1.0, 4.0, 0.0, 3.0], rtol=1e-6)
        np.testing.assert_allclose(unitwise_clip(norm, bound, g, 1.0), [1.0, 4.0, 0.0, 0.3], rtol=1e-6)

    def test_the_result_has_the_dtype_of_the_gradient(self) -> None:
        wide = jnp.full(2, 2.0)
        assert unitwise_clip(wide, wide / 2, jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16

    def test_nothing_is_broadcast(self) -> None:
        with pytest.raises(ValueError, match=r"differ in shape: \(1, 2\), \(2, 2\), \(2, 2\)"):
            unitwise_clip(jnp.ones((1, 2)), jnp.ones((2, 2)), jnp.ones((2, 2)))


class TestAdaptiveGradClip:
    @pytest.mark.parametrize(("clipping", "eps"), [(0.1, 1e-3), (1.0, 1.5)])
    def test_against_the_definition(self, clipping: float, eps: float) -> None:
        g, p = ([random(shape, seed) for shape in SHAPES] for seed in (0, 1))
        tx = optax.adaptive_grad_clip(clipping, eps)
        out = jax.jit(lambda g, p: update(tx, g, p))(*(optax.tree.cast(t, jnp.float32) for t in (g, p)))
        for x, y, u, shape in zip(g, p, out, SHAPES, strict=True):
            np.testing.assert_allclose(u, adaptive(x, y, clipping, eps, unit_axes(shape)), rtol=1e-5, atol=1e-7)

    def test_given_axes(self) -> None:
        g, p = random((2, 3, 4), 0), random((2, 3, 4), 1)
        out = update(
            optax.adaptive_grad_clip(0.1, axis=(0, 2)), jnp.asarray(g, jnp.float32), jnp.asarray(p, jnp.float32)
        )
        np.testing.assert_allclose(out, adaptive(g, p, 0.1, 1e-3, (0, 2)), rtol=1e-5)

    def test_float16_overflow(self) -> None:
        """Defect A2."""
        out = update(optax.adaptive_grad_clip(1.0), jnp.full(4, 300.0, jnp.float16), jnp.full(4, 30.0, jnp.float16))
        np.testing.assert_allclose(f32(out), 30.0)

    def test_zero_parameters_let_a_little_through(self) -> None:
        out = update(optax.adaptive_grad_clip(0.1, 1e-2), jnp.asarray([3.0, 4.0]), jnp.zeros(2))
        np.testing.assert_allclose(out, [0.6e-3, 0.8e-3], rtol=1e-5)

    def test_an_axis_that_a_leaf_lacks_is_named_with_the_leaf(self) -> None:
        tree = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
        with pytest.raises(ValueError, match="axis 1 is out of bounds") as error:
            update(optax.adaptive_grad_clip(0.1, axis=1), tree)
        assert "['b']" in "".join(error.value.__notes__)

    def test_it_needs_the_parameters(self) -> None:
        with pytest.raises(ValueError, match="params"):
            optax.adaptive_grad_clip(0.1).update(jnp.ones(2), optax.EmptyState())

    def test_a_negative_epsilon_is_refused(self) -> None:
        """Defect C12."""
        with pytest.raises(ValueError, match="eps must be at least 0, not -1"):
            optax.adaptive_grad_clip(0.1, -1)


def test_the_states_go_by_the_names_that_existing_code_uses() -> None:
    assert optax.ClipState is optax.ClipByGlobalNormState is optax.AdaptiveGradClipState is optax.EmptyState


@pytest.mark.parametrize("clip", [optax.clip_by_global_norm, optax.clip_by_block_rms, optax.clip])
def test_an_infinite_bound_clips_nothing(clip: Any) -> None:
    g = {"w": jnp.asarray([3.0, 0.0]), "b": jnp.zeros(2)}
    tx = clip(float("inf"))
    jax.tree.map(np.testing.assert_array_equal, tx.update(g, tx.init(g))[0], g)
    slope = jax.grad(lambda g: optax.tree.sum(tx.update(g, tx.init(g))[0]))(g)
    assert optax.tree.all_finite(slope)

"""What only the clipping of single examples promises."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.transforms import per_example_global_norm_clip, per_example_layer_norm_clip
from reference.clip import sum_of_clipped_examples

SHAPES = [(), (3,), (2, 4)]


def gradients(examples: int = 6) -> list[Any]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(examples, *shape)) for shape in SHAPES]


def f32(tree: Any) -> Any:
    return optax.tree.cast(tree, jnp.float32)


def close(a: Any, b: Any) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


class TestGlobalNorm:
    @pytest.mark.parametrize("bound", [0.1, 3.0, 100.0])
    def test_against_a_loop_over_examples(self, bound: float) -> None:
        total, number = per_example_global_norm_clip(f32(gradients()), bound)
        expected, expected_number = sum_of_clipped_examples(gradients(), bound)
        close(total, expected)
        assert number == expected_number
        assert number.dtype == jnp.int32

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_an_example_that_is_not_finite_counts_as_zero(self, bad: float) -> None:
        """Defect D15: one infinite example made the whole sum NaN."""
        total, number = per_example_global_norm_clip([jnp.asarray([[bad, 1.0], [3.0, 4.0]]), jnp.zeros(2)], 1.0)
        close(total, [np.asarray([0.6, 0.8]), np.asarray(0.0)])
        assert number == 2

    def test_an_example_too_long_for_float32_counts_as_zero(self) -> None:
        total, number = per_example_global_norm_clip([jnp.asarray([[1e30, 0.0], [0.0, 0.5]])], 1.0)
        close(total, [np.asarray([0.0, 0.5])])
        assert number == 1

    def test_sums_are_taken_in_float32(self) -> None:
        """Defect A2: 1000 ones in bfloat16 would add up to 256, and 300**2 overflows in float16."""
        total, number = per_example_global_norm_clip([jnp.ones((1000, 1), jnp.bfloat16)], 1.0)
        assert total[0].dtype == jnp.bfloat16
        assert total[0] == 1000
        assert number == 0
        total, _ = per_example_global_norm_clip([jnp.full((2, 4), 300.0, jnp.float16)], 1.0)
        close(total, [np.ones(4)])

    def test_complex_leaves(self) -> None:
        total, number = per_example_global_norm_clip([jnp.asarray([[3.0 + 0j, 4j], [0.3j, 0.0]])], 1.0)
        close(total, [np.asarray([0.6 + 0.3j, 0.8j])])
        assert number == 1

    def test_a_bound_of_zero(self) -> None:
        total, number = per_example_global_norm_clip([jnp.asarray([[1.0], [0.0]])], 0.0)
        assert total[0] == 0
        assert number == 1  # a norm of 0 is not above the bound

    def test_zero_gradients_can_be_differentiated_through(self) -> None:
        """Defect F7."""
        slope = jax.grad(lambda g: per_example_global_norm_clip([g], 1.0)[0][0].sum())(jnp.zeros((2, 3)))
        assert np.array_equal(slope, np.ones((2, 3)))


class TestLayerNorm:
    @pytest.mark.parametrize("uniform", [True, False])
    def test_against_a_loop_over_examples(self, uniform: bool) -> None:
        sizes = [math.prod(shape) for shape in SHAPES]
        shares = [1 / len(SHAPES) if uniform else size / sum(sizes) for size in sizes]
        total, numbers = per_example_layer_norm_clip(f32(gradients()), 3.0, uniform)
        for g, u, number, share in zip(gradients(), total, numbers, shares, strict=True):
            (expected,), expected_number = sum_of_clipped_examples([g], 3.0 * math.sqrt(share))
            close(u, expected)
            assert number == expected_number

    def test_the_bounds_make_up_the_global_one(self) -> None:
        g = {"a": jnp.full((1, 5), 100.0), "b": jnp.full((1, 2), -100.0)}
        for uniform in (True, False):
            total, _ = per_example_layer_norm_clip(g, 2.0, uniform)
            np.testing.assert_allclose(optax.tree.norm(total), 2.0, rtol=1e-6)

    def test_what_is_not_finite_counts_as_zero_in_its_leaf(self) -> None:
        """Defect D15."""
        g = [jnp.asarray([[jnp.nan], [0.5]]), jnp.asarray([[0.25], [0.5]])]
        total, numbers = per_example_layer_norm_clip(g, 10.0)
        close(total, [np.asarray([0.5]), np.asarray([0.75])])
        assert numbers == [1, 0]


@pytest.mark.parametrize("function", [per_example_global_norm_clip, per_example_layer_norm_clip])
class TestBoth:
    def test_leaves_that_are_not_there(self, function: Any) -> None:
        """Defects D8 (trees without leaves raised an IndexError) and F8 (gradients of integers)."""
        for empty in ({}, [], (), None):
            total, _ = function(empty, 1.0)
            assert total == empty
        none = np.zeros((2, 3), jax.dtypes.float0)
        total, _ = function({"a": jnp.ones((2, 1)), "n": None, "i": none, "e": jnp.ones((2, 0))}, 10.0)
        assert total["n"] is None
        assert (total["i"].shape, total["i"].dtype) == ((3,), jax.dtypes.float0)
        assert total["e"].shape == (0,)
        assert total["a"] == 2

    def test_no_examples(self, function: Any) -> None:
        total, _ = function({"a": jnp.ones((0, 3))}, 1.0)
        assert np.array_equal(total["a"], np.zeros(3))

    def test_disagreement_about_the_examples(self, function: Any) -> None:
        """Defect D15: both leaves are named."""
        with pytest.raises(ValueError, match=r"the leaf at \['a'\] has 3, the leaf at \['b'\]\[0\] has 2"):
            function({"a": jnp.ones((3, 2)), "b": [jnp.ones((2, 2))]}, 1.0)

    def test_scalars_are_no_batches(self, function: Any) -> None:
        with pytest.raises(ValueError, match=r"leading axis of examples; the leaf at \['a'\] is a scalar"):
            function({"a": jnp.ones(())}, 1.0)

    def test_negative_bounds_are_refused(self, function: Any) -> None:
        """Defect C12."""
        with pytest.raises(ValueError, match="l2_norm_clip must be at least 0, not -1"):
            function([jnp.ones((2, 2))], -1)


def aggregate(g: Any, clip: float, noise: float, seed: int = 0, params: Any = None) -> Any:
    tx = optax.differentially_private_aggregate(clip, noise, seed=seed)
    return tx.update(g, tx.init(params), params)[0]


class TestAggregate:
    def test_without_noise_it_is_the_mean_of_the_clipped_gradients(self) -> None:
        expected, _ = sum_of_clipped_examples(gradients(), 2.0)
        close(aggregate(f32(gradients()), 2.0, 0.0), [x / 6 for x in expected])

    def test_the_noise_has_the_deviation_that_it_is_asked_for(self) -> None:
        count = 100_000
        for dtype, parts in ((jnp.float32, lambda z: [z]), (jnp.complex64, lambda z: [z.real, z.imag])):
            u = np.asarray(aggregate(jnp.zeros((4, count), dtype), 2.0, 3.0))
            for x in parts(u):
                # The variance of the mean of 4 is (2 * 3 / 4)**2. Its estimate from n samples has a relative standard
                # error of sqrt(2 / n), the mean's is 1.5 / sqrt(n); 5 of them are allowed.
                np.testing.assert_allclose(np.var(x), 1.5**2, rtol=5 * math.sqrt(2 / count))
                np.testing.assert_allclose(np.mean(x), 0, atol=5 * 1.5 / math.sqrt(count))

    def test_noise_does_not_repeat(self) -> None:
        g = [jnp.zeros((2, 5)), jnp.zeros((2, 5))]
        tx = optax.differentially_private_aggregate(1.0, 1.0, seed=0)
        first, state = tx.update(g, tx.init(g))
        second, _ = tx.update(g, state)
        other = aggregate(g, 1.0, 1.0, seed=1)
        drawn = np.stack([*first, *second, *other])
        assert len(np.unique(drawn)) == drawn.size

    def test_noise_is_added_before_rounding(self) -> None:
        g = jnp.ones((3, 1000), jnp.bfloat16)
        low, wide = aggregate(g, 100.0, 1e-2), aggregate(g.astype(jnp.float32), 100.0, 1e-2)
        assert low.dtype == jnp.bfloat16
        assert np.array_equal(low, wide.astype(jnp.bfloat16))

    def test_one_bad_example_does_no_harm(self) -> None:
        """Defect D15."""
        close(aggregate([jnp.asarray([[np.inf, 1.0], [3.0, 4.0]])], 1.0, 0.0), [np.asarray([0.3, 0.4])])

    def test_parameters_give_gradients_without_examples_away(self) -> None:
        """Defect D15: a plain gradient whose leaves agree in their first axis was taken for a batch."""
        params = {"w": jnp.ones((4, 2)), "b": jnp.ones(4)}
        with pytest.raises(ValueError, match=r"at \['b'\] is of shape \(4,\), its parameter of shape \(4,\)"):
            aggregate(params, 1.0, 0.0, params=params)
        batch = jax.tree.map(lambda p: jnp.stack([p, p]), params)
        assert aggregate(batch, 1.0, 0.0, params=params)["w"].shape == (4, 2)

    def test_trees_without_leaves(self) -> None:
        """Defect D8: an IndexError."""
        assert aggregate({}, 1.0, 1.0) == {}
        assert np.all(np.isfinite(aggregate(jnp.zeros((0, 3)), 1.0, 1.0)))

    def test_keys_and_seeds(self) -> None:
        """Defect F10; and the third argument used to be a seed."""
        g = jnp.zeros((2, 3))
        make = optax.differentially_private_aggregate
        sources = [make(1.0, 1.0, 7), make(1.0, 1.0, seed=7), make(1.0, 1.0, jax.random.key(7))]
        sources += [make(1.0, 1.0, key=jax.random.PRNGKey(7)), make(1.0, 1.0, np.int64(7))]
        drawn = [tx.update(g, tx.init(g))[0] for tx in sources]
        assert all(np.array_equal(drawn[0], other) for other in drawn[1:])
        assert sources[0].init(g).rng_key.dtype == jnp.uint32
        with pytest.raises(ValueError, match="give a key"):
            make(1.0, 1.0)
        with pytest.raises(ValueError, match="either a key or a seed, not both"):
            make(1.0, 1.0, 0, seed=0)

    @pytest.mark.parametrize("name", ["l2_norm_clip", "noise_multiplier"])
    def test_negative_numbers_are_refused(self, name: str) -> None:
        """Defect C12."""
        with pytest.raises(ValueError, match=f"{name} must be at least 0, not -1"):
            optax.differentially_private_aggregate(
                **({"l2_norm_clip": 1.0, "noise_multiplier": 1.0} | {name: -1}), seed=0
            )

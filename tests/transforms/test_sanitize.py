"""What only the transformations promise that keep updates from doing harm."""

from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

NAN = float("nan")


class TestZeroNans:
    def test_nans_become_zeros_and_are_flagged_by_leaf(self) -> None:
        tx = optax.zero_nans()
        params = {"a": jnp.ones(3), "b": jnp.ones(()), "c": jnp.ones(2)}
        state = tx.init(params)
        assert state == optax.ZeroNansState(found_nan={"a": False, "b": False, "c": False})
        g = {"a": jnp.asarray([NAN, np.inf, 1.0]), "b": jnp.asarray(NAN), "c": jnp.asarray([1.0, -np.inf])}
        u, state = tx.update(g, state)
        np.testing.assert_array_equal(u["a"], [0.0, np.inf, 1.0])  # infinities are not its business
        assert u["b"] == 0
        np.testing.assert_array_equal(u["c"], g["c"])
        assert state.found_nan == {"a": True, "b": True, "c": False}
        _, state = tx.update(params, state)  # the flags are those of the last update
        assert state.found_nan == {"a": False, "b": False, "c": False}

    def test_complex_numbers(self) -> None:
        """Defect A15: a NaN in either part."""
        tx = optax.zero_nans()
        g = jnp.asarray([complex(NAN, 1), complex(1, NAN), 2 - 1j])
        u, state = tx.update(g, tx.init(g))
        np.testing.assert_array_equal(u, [0, 0, 2 - 1j])
        assert state.found_nan

    def test_derivatives_pass_where_the_gradient_does(self) -> None:
        """Defect F7: not 0 * NaN."""
        tx = optax.zero_nans()
        slope = jax.grad(lambda g: tx.update(g, tx.init(g))[0].sum())(jnp.asarray([NAN, 0.0]))
        assert np.array_equal(slope, [0.0, 1.0])

    def test_leaves_without_values(self) -> None:
        """Defect F8."""
        tx = optax.zero_nans()
        params = {"i": jnp.arange(3), "n": None, "w": jnp.ones(2)}
        g = {"i": np.zeros(3, jax.dtypes.float0), "n": None, "w": jnp.asarray([NAN, 1.0])}
        u, state = tx.update(g, tx.init(params), params)
        assert u["i"] is g["i"]
        assert state.found_nan == {"i": False, "n": None, "w": True}
        assert optax.zero_nans().update({"w": NAN}, optax.ZeroNansState({"w": jnp.asarray(False)}))[0] == {"w": 0}

    def test_a_scan_inside_shard_map_carries_the_flags(self) -> None:
        """Defect G2: each device has a flag of its own."""
        shard_map = getattr(jax, "shard_map", None)
        if shard_map is None:  # JAX 0.6
            from jax.experimental.shard_map import shard_map
        tx = optax.zero_nans()

        def flags(g: Any) -> Any:
            state, _ = jax.lax.scan(lambda state, _: (tx.update(g, state)[1], None), tx.init(g), length=2)
            return state.found_nan[None]

        spec = jax.sharding.PartitionSpec("d")
        mesh = jax.sharding.Mesh(jax.devices()[:2], ("d",))
        found = jax.jit(shard_map(flags, mesh=mesh, in_specs=spec, out_specs=spec))(jnp.asarray([1.0, 2.0, NAN, 3.0]))
        assert np.array_equal(found, [False, True])


def stepped(p: Any, g: Any) -> Any:
    tx = optax.keep_params_nonnegative()
    return optax.apply_updates(p, tx.update(g, tx.init(p), p)[0])


class TestKeepParamsNonnegative:
    def test_parameters_stop_at_zero(self) -> None:
        p = jnp.asarray([2.0, 2.0, 2.0, 0.0, 0.0])
        assert np.array_equal(stepped(p, jnp.asarray([-1.0, -2.0, -3.0, -1.0, 1.0])), [1.0, 0.0, 0.0, 0.0, 1.0])

    def test_negative_parameters_are_brought_to_zero(self) -> None:
        assert np.array_equal(stepped(jnp.asarray([-1.0, -1.0]), jnp.asarray([-2.0, 3.0])), [0.0, 2.0])

    def test_a_nan_is_left_for_others(self) -> None:
        assert np.isnan(stepped(jnp.asarray(1.0), jnp.asarray(NAN)))

    @pytest.mark.parametrize("p_dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
    @pytest.mark.parametrize("g_dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
    @hypothesis.settings(max_examples=10)
    @hypothesis.given(st.integers(0, 2**32 - 1))
    def test_in_every_precision(self, p_dtype: Any, g_dtype: Any, seed: int) -> None:
        """The negative of a float32 parameter is no bfloat16 number: rounded to the nearest, it could overshoot."""
        rng = np.random.default_rng(seed)
        p = jnp.asarray(rng.lognormal(sigma=3, size=64), p_dtype)
        new = stepped(p, jnp.asarray(rng.normal(scale=10, size=64), g_dtype) * p.astype(g_dtype))
        assert new.dtype == p_dtype
        assert np.all(np.asarray(new) >= 0)
        stopped = np.asarray(stepped(p, jnp.full(64, -1e4, g_dtype)), np.float32)
        # The next number above -p is at most one part in 2**nmant away; below 2**-14 float16 has them 2**-24 apart.
        off = float(jnp.finfo(g_dtype).eps) * np.asarray(p, np.float32) + 2.0**-24
        assert np.all(stopped[np.asarray(p, np.float32) < 5e3] <= off[np.asarray(p, np.float32) < 5e3])

    def test_the_compiled_update_is_the_same(self) -> None:
        """A compiler may leave a conversion to 16 bits and back out; the rounding must not rest on one."""
        p = jnp.asarray(np.random.default_rng(0).lognormal(size=1000), jnp.float32)
        g = jnp.full(1000, -100.0, jnp.bfloat16)
        assert np.array_equal(jax.jit(stepped)(p, g), stepped(p, g))

    def test_complex_numbers_and_those_without_values_pass(self) -> None:
        """Defects A15 and F8."""
        tx = optax.keep_params_nonnegative()
        g = {"c": jnp.asarray([-3.0 - 4j]), "i": np.zeros(2, jax.dtypes.float0), "n": None}
        p = {"c": jnp.asarray([1.0 + 0j]), "i": jnp.arange(2), "n": None}
        u, _ = tx.update(g, tx.init(p), p)
        assert np.array_equal(u["c"], g["c"])
        assert u["i"] is g["i"]
        assert u["n"] is None

    def test_numbers_of_python(self) -> None:
        """Defect A17."""
        assert stepped({"w": 1.0}, {"w": -3.0})["w"] == 0

    def test_it_needs_the_parameters(self) -> None:
        with pytest.raises(ValueError, match="params"):
            optax.keep_params_nonnegative().update(jnp.ones(2), optax.NonNegativeParamsState())

    def test_shapes_must_match(self) -> None:
        with pytest.raises(ValueError, match=r"updates and params differ in shape at \['w'\]: \(2,\) and \(2, 1\)"):
            stepped({"w": jnp.ones((2, 1))}, {"w": jnp.ones(2)})

"""What only the transformations promise that give updates another length."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def update(tx: Any, g: Any, p: Any = None) -> Any:
    return tx.update(g, tx.init(g), p)[0]


def f32(x: Any) -> Any:
    return np.asarray(x, np.float32)


G = {"a": jnp.asarray([[3.0, 0.0], [0.0, -4.0]]), "b": jnp.asarray(12.0)}  # of norms 5 and 12, together 13
P = {"a": jnp.asarray([[0.0, 1.0], [0.0, 0.0]]), "b": jnp.asarray(-2.0)}  # of norms 1 and 2


class TestSign:
    def test_real_and_complex(self) -> None:
        """Defect A15: a complex update keeps its direction, with magnitude 1."""
        assert np.array_equal(update(optax.scale_by_sign(), jnp.asarray([-2.0, 0.0, 1e-30])), [-1.0, 0.0, 1.0])
        out = update(optax.scale_by_sign(), jnp.asarray([3.0 + 4j, 0.0, -2j]))
        np.testing.assert_allclose(out, [0.6 + 0.8j, 0.0, -1j], rtol=1e-6)


class TestTrustRatio:
    def test_by_hand(self) -> None:
        out = update(optax.scale_by_trust_ratio(), G, P)
        np.testing.assert_allclose(out["a"], G["a"] / 5, rtol=1e-6)
        np.testing.assert_allclose(out["b"], 2.0, rtol=1e-6)

    def test_options_by_hand(self) -> None:
        out = update(optax.scale_by_trust_ratio(min_norm=6.0, trust_coefficient=0.1, eps=4.0), G, P)
        np.testing.assert_allclose(out["a"], G["a"] * (0.1 * 6 / (6 + 4)), rtol=1e-6)
        np.testing.assert_allclose(out["b"], 12 * (0.1 * 6 / (12 + 4)), rtol=1e-6)

    @pytest.mark.parametrize("eps", [0.0, 1e-3])
    def test_where_a_norm_is_zero_the_update_passes(self, eps: float) -> None:
        tx = optax.scale_by_trust_ratio(trust_coefficient=0.1, eps=eps)
        g = jnp.asarray([3.0, 4.0])
        assert np.array_equal(update(tx, g, jnp.zeros(2)), g)
        assert np.array_equal(update(tx, jnp.zeros(2), g), np.zeros(2))

    def test_float16(self) -> None:
        """Defects A2 and A7: 1e-4**2 is zero in float16, and 300**2 infinite."""
        tx = optax.scale_by_trust_ratio()
        p = jnp.full(4, 300.0, jnp.float16)
        np.testing.assert_allclose(f32(update(tx, jnp.full(4, 1e-4, jnp.float16), p)), 300.0, rtol=1e-3)

    def test_complex(self) -> None:
        """Defect A15."""
        out = update(optax.scale_by_trust_ratio(), jnp.asarray([3.0, 4j]), jnp.asarray([1j, 0.0]))
        np.testing.assert_allclose(out, [0.6, 0.8j], rtol=1e-6)


class TestParamBlocks:
    def test_norm(self) -> None:
        out = update(optax.scale_by_param_block_norm(), G, P)
        np.testing.assert_allclose(out["a"], G["a"], rtol=1e-6)
        np.testing.assert_allclose(out["b"], 24.0, rtol=1e-6)

    def test_root_mean_square(self) -> None:
        out = update(optax.scale_by_param_block_rms(), G, P)
        np.testing.assert_allclose(out["a"], G["a"] / 2, rtol=1e-6)
        np.testing.assert_allclose(out["b"], 24.0, rtol=1e-6)

    @pytest.mark.parametrize("make", [optax.scale_by_param_block_norm, optax.scale_by_param_block_rms])
    def test_small_parameters(self, make: Any) -> None:
        g = jnp.asarray([1.0, -2.0])
        np.testing.assert_allclose(update(make(), g, jnp.zeros(2)), g * 1e-3, rtol=1e-6)
        np.testing.assert_allclose(update(make(5.0), g, jnp.ones(2)), g * 5, rtol=1e-6)

    @pytest.mark.parametrize("make", [optax.scale_by_param_block_norm, optax.scale_by_param_block_rms])
    def test_float16(self, make: Any) -> None:
        """Defect A2: parameters whose squares overflow."""
        out = update(make(), jnp.ones(1, jnp.float16), jnp.full(1, 3e4, jnp.float16))
        np.testing.assert_allclose(f32(out), 3e4, rtol=1e-3)


class TestNormalize:
    def test_by_hand(self) -> None:
        for tx, factor in (
            (optax.normalize(), 1 / 13),
            (optax.normalize_by_update_norm(eps=0.0), 1 / 13),
            (optax.normalize_by_update_norm(2.0, eps=7.0), 2 / 20),
        ):
            out = update(tx, G)
            np.testing.assert_allclose(out["a"], G["a"] * factor, rtol=1e-6)
            np.testing.assert_allclose(out["b"], 12 * factor, rtol=1e-6)

    def test_the_default_epsilon_is_added_to_the_norm(self) -> None:
        np.testing.assert_allclose(update(optax.normalize_by_update_norm(), jnp.asarray([1e-6])), [0.5], rtol=1e-5)

    @pytest.mark.parametrize("tx", [optax.normalize(), optax.normalize_by_update_norm(eps=0.0)])
    @pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16, jnp.bfloat16, jnp.complex64])
    def test_zeros_stay_zeros(self, tx: Any, dtype: Any) -> None:
        """Defects D9 (NaN in every precision) and A7."""
        zeros = {"a": jnp.zeros(3, dtype), "b": jnp.zeros((), dtype)}
        assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(update(tx, zeros)))

    def test_low_precision(self) -> None:
        """Defect A2: the norm of these overflows in float16, and stops at 16 in bfloat16."""
        np.testing.assert_allclose(f32(update(optax.normalize(), jnp.full(4, 300.0, jnp.float16))), 0.5, rtol=1e-3)
        many = update(optax.normalize(), [jnp.ones((), jnp.bfloat16)] * 1024)
        assert {float(x) for x in many} == {1 / 32}

    def test_complex(self) -> None:
        """Defect A15."""
        np.testing.assert_allclose(update(optax.normalize(), jnp.asarray([3.0, 4j])), [0.6, 0.8j], rtol=1e-6)


class TestCentralize:
    @pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 3), (2, 3, 4), (2, 1, 3, 2), (0, 3), (3, 0)])
    def test_the_mean_of_each_row_is_gone(self, shape: tuple[int, ...]) -> None:
        g = np.random.default_rng(0).normal(size=shape)
        rows = [row - sum(row.ravel()) / row.size for row in g if row.size] if len(shape) > 1 else [g]
        out = np.asarray(update(optax.centralize(), jnp.asarray(g, jnp.float32)))
        np.testing.assert_allclose(out.ravel(), np.concatenate([np.zeros(0), *map(np.ravel, rows)]), atol=1e-6)

    def test_the_mean_is_taken_in_float32(self) -> None:
        """Defect A2, in its other form: the sum of these overflows in float16."""
        out = update(optax.centralize(), jnp.full((1, 8), 3e4, jnp.float16))
        assert np.array_equal(out, np.zeros((1, 8)))


NEED_PARAMS = [optax.scale_by_trust_ratio(), optax.scale_by_param_block_norm(), optax.scale_by_param_block_rms()]
ALL = [*NEED_PARAMS, optax.scale_by_sign(), optax.normalize(), optax.normalize_by_update_norm(), optax.centralize()]


@pytest.mark.parametrize("tx", NEED_PARAMS, ids=repr)
def test_some_need_the_parameters(tx: Any) -> None:
    with pytest.raises(ValueError, match="params"):
        tx.update(G, optax.EmptyState())


@pytest.mark.parametrize("tx", ALL, ids=repr)
class TestAll:
    def test_derivatives_are_finite_where_gradients_and_parameters_are_zero(self, tx: Any) -> None:
        """Defect F7."""
        for leaf in (jnp.zeros((2, 2)), jnp.zeros((2, 2)).at[0, 0].set(1.0)):
            slopes = jax.grad(lambda g, p: update(tx, g, p).sum(), (0, 1))(leaf, leaf)
            assert np.all(np.isfinite(slopes[0]))
            assert np.all(np.isfinite(slopes[1]))

    def test_integer_parameters_and_numbers_of_python(self, tx: Any) -> None:
        """Defects F8 and A17."""
        none = np.zeros(3, jax.dtypes.float0)
        out = update(tx, {"i": none, "w": 0.5}, {"i": jnp.arange(3), "w": 2.0})
        assert out["i"] is none
        assert out["w"] == update(tx, jnp.float32(0.5), jnp.float32(2.0))


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), jnp.float32(0.5), jnp.bfloat16(0.5)])
def test_numbers_that_are_arrays_promote_nothing(value: Any) -> None:
    """Defects A10 and A12."""
    g = jnp.asarray([0.25, -3.0], jnp.bfloat16)
    for make in (
        lambda x: optax.scale_by_trust_ratio(x, x, x),
        optax.scale_by_param_block_norm,
        optax.scale_by_param_block_rms,
        lambda x: optax.normalize_by_update_norm(x, x),
    ):
        out = update(make(value), g, g)
        assert out.dtype == jnp.bfloat16
        assert np.array_equal(out, update(make(0.5), g, g))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: optax.scale_by_trust_ratio(min_norm=-1), "min_norm"),
        (lambda: optax.scale_by_trust_ratio(eps=-1), "eps"),
        (lambda: optax.scale_by_param_block_norm(-1), "min_scale"),
        (lambda: optax.scale_by_param_block_rms(-1), "min_scale"),
        (lambda: optax.normalize_by_update_norm(eps=-1), "eps"),
    ],
)
def test_negative_bounds_are_refused(make: Any, name: str) -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match=f"{name} must be at least 0, not -1"):
        make()


def test_the_states_go_by_the_names_that_existing_code_uses() -> None:
    assert optax.ScaleByTrustRatioState is optax.NormalizeState is optax.EmptyState


def test_lars_in_one_line() -> None:
    """The layer-wise rate of You et al. (2017), equation 6, with its weight decay in the gradient."""
    w, g, decay = np.asarray([3.0, 4.0]), np.asarray([0.6, -0.8]), 0.1
    tx = optax.chain(optax.add_decayed_weights(decay), optax.scale_by_trust_ratio(trust_coefficient=0.01))
    d = g + decay * w
    expected = 0.01 * math.hypot(*w) / math.hypot(*d) * d
    np.testing.assert_allclose(tx.update(g, tx.init(w), w)[0], expected, rtol=1e-6)

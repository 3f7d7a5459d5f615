"""What only Adafactor promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.adafactor import FactoredMoments
from x64 import enable_x64


@pytest.mark.parametrize(
    ("shape", "row", "column"),
    [
        ((128, 128), (128,), (128,)),
        ((300, 200), (200,), (300,)),
        ((200, 300), (200,), (300,)),
        ((2, 200, 200, 3), (2, 200, 3), (2, 200, 3)),
        ((300, 200, 200), (200, 200), (300, 200)),
        ((200, 2, 300), (200, 2), (2, 300)),
        ((0, 200, 200), (0, 200), (0, 200)),
    ],
)
def test_which_means_are_kept(shape: tuple[int, ...], row: tuple[int, ...], column: tuple[int, ...]) -> None:
    """The shapes are recorded from the original 0.2.8: states saved with it fit."""
    state = jax.eval_shape(optax.scale_by_factored_rms().init, jax.ShapeDtypeStruct(shape, jnp.float32))
    assert (state.v_row.shape, state.v_col.shape, state.v.shape) == (row, column, (1,))


@pytest.mark.parametrize("shape", [(), (3,), (128, 127), (1, 500)])
def test_small_leaves_are_not_factored(shape: tuple[int, ...]) -> None:
    state = optax.scale_by_factored_rms().init(jnp.ones(shape))
    assert (state.v_row.shape, state.v_col.shape, state.v.shape) == ((1,), (1,), shape)


@pytest.mark.parametrize(
    ("shape", "longest", "second"),
    [((3, 4), 1, 0), ((4, 3), 0, 1), ((2, 3, 4), 2, 1), ((3, 2, 4), 2, 0), ((4, 3, 3), 0, 2), ((3, 3, 3, 2), 2, 1)],
)
def test_more_axes_are_stacks_of_matrices(shape: tuple[int, ...], longest: int, second: int) -> None:
    """Every matrix along the two longest axes, the later of equal ones first, is treated by itself."""
    rng = np.random.default_rng(0)
    others = tuple(i for i in range(len(shape)) if i not in (longest, second))

    def matrices(x: Any) -> Any:
        return np.transpose(x, (*others, second, longest)).reshape(-1, shape[second], shape[longest])

    with enable_x64():
        tx = optax.scale_by_factored_rms(min_dim_size_to_factor=2)
        state = tx.init(jnp.ones(shape))
        references = [FactoredMoments(0.8, 1e-30, True) for _ in range(len(matrices(np.ones(shape))))]
        for _ in range(4):
            g = rng.normal(size=shape)
            u, state = tx.update(jnp.asarray(g), state)
            expected = [rule(x) for rule, x in zip(references, matrices(g), strict=True)]
            np.testing.assert_allclose(matrices(np.asarray(u)), expected, rtol=1e-12)


def test_moments_of_rank_one_are_kept_exactly() -> None:
    """|g| = a b^T: the means say all, and the first update is the sign."""
    g = jnp.asarray(np.outer([1.0, -1e-2, 1e3], [1e-3, 1.0, -5.0, 1e2]), jnp.float32)
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=1)
    u, _ = tx.update(g, tx.init(g))
    np.testing.assert_allclose(u, np.sign(g), rtol=1e-5)


def test_the_offset_is_the_first_step_again() -> None:
    """Defect D7: from a new state `decay_offset=1` was NaN. Up to the offset the decay is 0, as at the first step."""
    rng = np.random.default_rng(0)
    tx, plain = optax.scale_by_factored_rms(step_offset=3), optax.scale_by_factored_rms()
    g = [jnp.asarray(rng.normal(size=5), jnp.float32) for _ in range(4)]
    state, other = tx.init(g[0]), plain.init(g[0])
    for g_i in (*g[:3], g[3]):
        u, state = tx.update(g_i, state)
        np.testing.assert_allclose(u, np.sign(g_i), rtol=1e-5)
    for g_i in g[3:] + g[:3]:
        v, other = plain.update(g_i, other)
    for g_i in g[:3]:
        u, state = tx.update(g_i, state)
    np.testing.assert_allclose(u, v, rtol=1e-6)


@pytest.mark.parametrize("offset", [-5, 0, 5])
def test_the_step_count_saturates(offset: int) -> None:
    """Defect A16: count + 1 was negative."""
    tx = optax.adafactor(decay_offset=offset)
    state = tx.init(jnp.ones(2))
    state = (state[0]._replace(count=jnp.asarray(2**31 - 1, jnp.int32)), *state[1:])
    u, state = tx.update(jnp.full(2, 1e-15), state, jnp.ones(2))
    # 2^31^-0.8 of a mean: d is 1e-15 / sqrt(3.45e-8 * 2e-30), and is clipped to 1
    np.testing.assert_allclose(u, -1, rtol=1e-5)
    assert int(state[0].count) == 2**31 - 1


def test_momentum_keeps_the_dtype_of_the_updates() -> None:
    """Defect A10: the updates came out in float32."""
    p = jnp.ones(3, jnp.bfloat16)
    tx = optax.adafactor(0.1, momentum=0.9)
    u, state = tx.update(p, tx.init(p), p)
    assert u.dtype == jnp.bfloat16
    assert state[4].ema.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(state[0])} == {np.dtype("int32"), np.dtype("float32")}


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("eps", [0.0, 1e-30])
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.float32])
def test_zero_gradients_are_no_step(dtype: Any, eps: float, factored: bool) -> None:
    """Defects A7 and F7: with rows or columns of zeros, and with nothing else."""
    tx = optax.scale_by_factored_rms(factored, epsilon=eps, min_dim_size_to_factor=1)

    def u(g: jax.Array) -> jax.Array:
        return tx.update(g, tx.init(g))[0]

    for g in (jnp.zeros((2, 3), dtype), jnp.asarray([[0, 0, 0], [0, 1, 2]], dtype)):
        assert np.all(np.asarray(u(g))[np.asarray(g) == 0] == 0)
        assert np.all(np.isfinite(u(g)))
        assert np.all(np.isfinite(jax.jacobian(u)(g.astype(jnp.float32))))


def test_the_learning_rate_does_not_scale_the_decay() -> None:
    p = jnp.asarray([2.0, -2.0])
    tx = optax.adafactor(0.5, weight_decay_rate=0.1, multiply_by_parameter_scale=False)
    u, _ = tx.update(jnp.asarray([3.0, 4.0]), tx.init(p), p)
    np.testing.assert_allclose(u, [-0.5 - 0.2, -0.5 + 0.2], rtol=1e-6)


def test_complex_parameters_have_real_moments() -> None:
    g = jnp.asarray([[3 + 4j, 5j], [5.0, -5.0]], jnp.complex64)
    tx = optax.scale_by_factored_rms(min_dim_size_to_factor=1)
    u, state = tx.update(g, tx.init(g))
    assert state.v_row.dtype == jnp.float32
    np.testing.assert_allclose(u, np.asarray(g) / 5, rtol=1e-5)


def test_python_numbers_are_parameters() -> None:
    """Defect A17: 'float' object has no attribute 'dtype'."""
    tx = optax.adafactor(0.1)
    u, _ = tx.update({"w": 0.3}, tx.init({"w": 1.5}), {"w": 1.5})
    np.testing.assert_allclose(u["w"], -0.15, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay_offset": 1.5}, "decay_offset must be an integer, not 1.5"),
        ({"min_dim_size_to_factor": -1}, "min_dim_size_to_factor must be at least 0, not -1"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"clipping_threshold": -1.0}, "clipping_threshold must be at least 0, not -1.0"),
        ({"momentum": 1.0}, "momentum must be at least 0 and below 1, not 1.0"),
        ({"weight_decay_rate": "0"}, "weight_decay_rate must be a real number or a schedule"),
        ({"momentum": 0.9, "dtype_momentum": int}, "dtype_momentum must be a floating dtype"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.adafactor(**arguments)

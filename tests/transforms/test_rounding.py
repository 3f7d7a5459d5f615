"""What only stochastic rounding promises."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64

PAIRS = [("bfloat16", "bfloat16"), ("bfloat16", "float32"), ("float16", "float16"), ("float16", "float32")]


@jax.jit
def rounded(u: Any, p: Any, seed: Any = 0) -> Any:
    """The update of one step, from a state of its own."""
    tx = optax.stochastic_rounding(seed)
    return tx.update(u, tx.init(p), p)[0]


def landings(p: Any, u: Any, draws: int) -> Any:
    """Where `draws` independent updates take the parameters, in float64: an array of one row a draw."""
    land = jax.jit(jax.vmap(lambda seed, p, u: optax.apply_updates(p, rounded(u, p, seed)), (0, None, None)))
    return np.asarray(land(jnp.arange(draws), p, u).astype(jnp.float32), np.float64)


def numbers(dtype: Any) -> Any:
    """All finite numbers of a 16-bit dtype, in order, in float64."""
    every = np.arange(2**16, dtype=np.uint16).view(jnp.dtype(dtype))
    with np.errstate(invalid="ignore"):  # some are signalling NaNs
        return np.unique(every[np.isfinite(every)].astype(np.float64))


@pytest.mark.parametrize(("p_dtype", "u_dtype"), PAIRS)
def test_the_neighbours_are_reached_and_the_mean_is_the_sum(p_dtype: str, u_dtype: str) -> None:
    rng = np.random.default_rng(0)
    size, draws = 300, 2000
    p = jnp.asarray(rng.normal(size=size) * 10 ** rng.uniform(-3, 2, size), p_dtype)
    # From a part of the spacing to most of the parameter, for which every neighbour can be reached.
    u = (p.astype(jnp.float32) * (rng.choice([-1, 1], size) * 2 ** rng.uniform(-16, -1.5, size))).astype(u_dtype)
    t = np.asarray(p, np.float64) + np.asarray(u, np.float64)
    new = landings(p, u, draws)

    grid = numbers(p_dtype)
    i = np.searchsorted(grid, t, side="right")
    below, above = grid[i - 1], np.where(grid[i - 1] == t, t, grid[i])
    assert np.all((new == below) | (new == above))
    # The variance of one draw is at most a quarter of the squared gap. Of 300 means the largest deviates by some 3
    # standard errors; 5 are allowed.
    assert np.all(np.abs(new.mean(0) - t) <= 5 * (above - below) / 2 / math.sqrt(draws))
    chance = (t - below) / np.where(above > below, above - below, 1)
    decided = (chance > 0.01) & (chance < 0.99)  # 2000 draws of such a chance are hardly ever all the same
    assert np.array_equal((new.min(0) < new.max(0))[decided], np.ones(decided.sum(), bool))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_mean_is_the_sum_for_updates_of_every_size(dtype: str) -> None:
    """Where no update of 16 bits leads to a neighbour, others stand in for it."""
    rng = np.random.default_rng(1)
    size, draws = 500, 1000
    p, u = (jnp.asarray(rng.normal(size=size) * 10 ** rng.uniform(-3, 2, size), dtype) for _ in range(2))
    t = np.asarray(p, np.float64) + np.asarray(u, np.float64)
    new = landings(p, u, draws)
    spacing = float(jnp.finfo(dtype).eps) * np.abs(t)  # at least
    span = new.max(0) - new.min(0)
    assert np.all(np.abs(new.mean(0) - t) <= 5 * np.maximum(span, spacing) / 2 / math.sqrt(draws))
    assert np.all(span <= 4 * float(jnp.finfo(dtype).eps) * (np.abs(np.asarray(p)) + np.abs(np.asarray(u))))


def test_bfloat16_parameters_arrive_where_float32_ones_do() -> None:
    """Defect A6: p = 1, lr 1e-3, 1000 gradients of 1 left a bfloat16 parameter at 1."""
    plain = optax.adam(1e-3, mu_dtype=jnp.float32)
    rounded = optax.chain(plain, optax.stochastic_rounding(seed=0))

    def train(tx: Any) -> Any:
        def step(carry: Any, _: Any) -> Any:
            p, state = carry
            u, state = tx.update(jnp.ones_like(p), state, p)
            return (optax.apply_updates(p, u), state), None

        p = jnp.ones(200, jnp.bfloat16)
        return np.asarray(jax.lax.scan(step, (p, tx.init(p)), length=1000)[0][0], np.float64)

    assert np.all(train(plain) == 1.0)
    end = train(rounded)
    # Adam's updates are -0.001 rounded to bfloat16. Each step's rounding has a variance of at most
    # spacing * 0.001, and the spacing is 2**-8 at most: after 1000 steps the deviation is at most 0.0625.
    expected = 1 - 1000 * float(jnp.bfloat16(1e-3))
    assert np.all(np.abs(end - expected) < 5 * 0.0625)
    np.testing.assert_allclose(end.mean(), expected, atol=5 * 0.0625 / math.sqrt(200))


def test_a_sum_that_fits_is_left_alone() -> None:
    p, u = jnp.asarray([1.0, -2.0, 0.0, 3.0], jnp.bfloat16), jnp.asarray([0.5, 2.0, 1e-3, 0.0], jnp.bfloat16)
    assert np.array_equal(rounded(u, p), u)


def test_updates_far_below_the_spacing_count() -> None:
    """1 + 2**-25 is 1 in float32 too; one draw in 2**18 should still take it up a bfloat16 step (of 2**-7)."""
    p, u = jnp.ones(2**21, jnp.bfloat16), jnp.full(2**21, 2.0**-25, jnp.float32)
    moved = int(jnp.sum(rounded(u, p) > 2.0**-8))
    assert 0 < moved < 24  # 8 are expected; Poisson's distribution leaves a chance of 0.0004 to what is refused


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "bfloat16"), ("complex64", "complex64")])
def test_wide_parameters_keep_their_updates(dtypes: tuple[str, str]) -> None:
    p, u = jnp.ones(3, dtypes[0]), jnp.asarray([1e-9, -0.3, 7.0], dtypes[1])
    assert np.array_equal(rounded(u, p), u)


def test_float32_parameters_with_float64_updates_are_rounded() -> None:
    with enable_x64():
        p, u = jnp.ones(4000, jnp.float32), jnp.full(4000, 2.0**-25, jnp.float64)
        new = np.asarray(optax.apply_updates(p, rounded(u, p)), np.float64)
        assert set(new) == {1.0, 1 + 2.0**-23}
        np.testing.assert_allclose(np.mean(new > 1), 0.25, atol=5 * math.sqrt(0.25 * 0.75 / 4000))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes(bad: float) -> None:
    p, u = jnp.asarray([1.0, bad], jnp.bfloat16), jnp.asarray([bad, 1.0], jnp.bfloat16)
    np.testing.assert_array_equal(np.asarray(rounded(u, p), np.float32), np.asarray(u, np.float32))


def test_nothing_is_rounded_to_infinity() -> None:
    p, u = jnp.full(100, 65504.0, jnp.float16), jnp.full(100, 1.0, jnp.float16)  # the largest number, and its half ulp
    assert np.all(landings(p, u, 3) == 65504)


def test_zero_and_the_numbers_next_to_it() -> None:
    """float16 has its last numbers 2**-24 apart."""
    p, u = jnp.zeros(4000, jnp.float16), jnp.full(4000, 2.0**-26, jnp.float32)
    new = landings(p, u, 1)[0]
    assert set(new) == {0.0, 2.0**-24}
    np.testing.assert_allclose(np.mean(new > 0), 0.25, atol=5 * math.sqrt(0.25 * 0.75 / 4000))


def test_derivatives_are_those_of_the_identity() -> None:
    """Defect F7: those of the rounding itself would be 0, and the parameters would depend on nothing."""
    p = jnp.ones(3, jnp.bfloat16)
    slope = jax.grad(lambda u: rounded(u, p).sum())(jnp.asarray([0.0, 1e-3, -2.0], jnp.bfloat16))
    assert np.array_equal(slope, np.ones(3))


def test_leaves_without_values() -> None:
    """Defects F8 and A17."""
    tx = optax.stochastic_rounding(seed=0)
    p = {"i": jnp.arange(2), "n": None, "e": jnp.zeros((0, 2), jnp.bfloat16), "w": 1.0}
    u = {"i": np.zeros(2, jax.dtypes.float0), "n": None, "e": jnp.zeros((0, 2), jnp.bfloat16), "w": 1e-9}
    new, _ = tx.update(u, tx.init(p), p)
    assert new["i"] is u["i"]
    assert new["n"] is None
    assert new["w"] == jnp.float32(1e-9)


def test_the_state_advances_and_is_made_of_plain_integers() -> None:
    """Defect F10."""
    tx = optax.stochastic_rounding(jax.random.key(0))
    p, u = jnp.ones(100, jnp.bfloat16), jnp.full(100, -1e-3, jnp.bfloat16)
    update = jax.jit(tx.update)
    first, state = update(u, tx.init(p), p)
    second, _ = update(u, state, p)
    assert state.rng_key.dtype == jnp.uint32
    assert not np.array_equal(first, second)


def test_what_it_cannot_do_without() -> None:
    with pytest.raises(ValueError, match="give a key"):
        optax.stochastic_rounding()
    tx = optax.stochastic_rounding(seed=0)
    with pytest.raises(ValueError, match="params"):
        tx.update(jnp.ones(2), tx.init(None))
    with pytest.raises(ValueError, match=r"updates and params differ in shape at \['w'\]: \(2,\) and \(2, 1\)"):
        tx.update({"w": jnp.ones(2)}, tx.init(None), {"w": jnp.ones((2, 1))})

"""What only accumulated updates promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_decaying_sum() -> None:
    tx = optax.trace(0.5)
    state = tx.init(jnp.zeros(()))
    seen = []
    for g in (1.0, 0.0, 4.0):
        u, state = tx.update(jnp.float32(g), state)
        seen.append(float(u))
    assert seen == [1.0, 0.5, 4.25]
    assert float(state.trace) == 4.25


def test_the_dtype_resolves_the_decay() -> None:
    params = jnp.ones(2, jnp.bfloat16)
    assert optax.trace(0.9).init(params).trace.dtype == jnp.bfloat16
    assert optax.trace(0.999).init(params).trace.dtype == jnp.float32
    assert optax.trace(0.999, accumulator_dtype=jnp.bfloat16).init(params).trace.dtype == jnp.bfloat16


def test_state_is_built_by_name() -> None:
    assert np.all(np.asarray(optax.TraceState(trace=jnp.ones(2)).trace) == 1)


class TestEma:
    @pytest.mark.parametrize("debias", [True, False])
    def test_against_the_weights_written_out(self, debias: bool) -> None:
        gradients, decay = np.asarray([1.0, -2.0, 4.0, 0.5]), 0.9
        tx = optax.ema(decay, debias)
        state = tx.init(jnp.zeros(()))
        for t, g in enumerate(gradients, 1):
            u, state = tx.update(jnp.float32(g), state)
            weights = (1 - decay) * decay ** np.arange(t)[::-1]
            m = weights @ gradients[:t]
            np.testing.assert_allclose(state.ema, m, rtol=1e-6)
            np.testing.assert_allclose(u, m / weights.sum() if debias else m, rtol=1e-6)
            assert state.count == t

    def test_the_mean_of_a_constant_is_that_constant_from_the_first_step(self) -> None:
        tx = optax.ema(0.9999)
        u, _ = tx.update(jnp.float32(3.0), tx.init(jnp.zeros(())))
        np.testing.assert_allclose(u, 3.0, rtol=1e-6)  # 1 - 0.9999 in float32 is off by 1e-4 relative to itself

    def test_bfloat16_converges_to_the_right_value(self) -> None:
        """Defect A5: kept in bfloat16, an average of ones with decay 0.999 stays at 0.5 for ever."""
        tx = optax.ema(0.999, debias=False)
        one = jnp.ones((), jnp.bfloat16)
        state, _ = jax.lax.scan(lambda s, _: (tx.update(one, s)[1], None), tx.init(one), length=5000)
        np.testing.assert_allclose(state.ema, 1 - 0.999**5000, rtol=1e-3)
        assert tx.update(one, state)[0].dtype == jnp.bfloat16

    def test_the_dtype_resolves_the_decay(self) -> None:
        """Defect A5."""
        params = jnp.ones(2, jnp.bfloat16)
        assert optax.ema(0.9).init(params).ema.dtype == jnp.bfloat16
        assert optax.ema(0.999).init(params).ema.dtype == jnp.float32
        assert optax.ema(0.999, accumulator_dtype=jnp.bfloat16).init(params).ema.dtype == jnp.bfloat16

    def test_complex_updates(self) -> None:
        """Defect A15: a real accumulator_dtype gives its complex counterpart, and drops nothing."""
        tx = optax.ema(0.5, accumulator_dtype=jnp.float32)
        g = jnp.asarray([1 + 2j])
        u, state = tx.update(g, tx.init(g))
        np.testing.assert_allclose(u, g)
        np.testing.assert_allclose(state.ema, g / 2)

    def test_decays_that_are_arrays(self) -> None:
        """Defect A10."""
        g = jnp.asarray([1.0, -3.0], jnp.bfloat16)
        for decay in (np.float32(0.5), np.float64(0.5), jnp.float32(0.5)):
            tx = optax.ema(decay)
            assert np.array_equal(tx.update(g, tx.init(g))[0], g)

    @pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
    def test_decays_that_cannot_be_meant(self, decay: float) -> None:
        """Defect C12."""
        with pytest.raises(ValueError, match=r"decay must be at least 0 and below 1\.?0?, not"):
            optax.ema(decay)

    def test_leaves_without_values_and_numbers_of_python(self) -> None:
        """Defects F8 and A17."""
        params = {"i": jnp.arange(2), "n": None, "w": 1.0}
        g = {"i": np.zeros(2, jax.dtypes.float0), "n": None, "w": 0.5}
        tx = optax.ema(0.5)
        u, state = tx.update(g, tx.init(params))
        assert u["i"] is g["i"]
        assert u["n"] is None
        assert u["w"] == 0.5
        assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))

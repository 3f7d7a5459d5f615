"""What only descent by signs promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_every_element_moves_by_the_learning_rate() -> None:
    g = jnp.asarray([1e-30, -5.0, 0.0, jnp.inf])
    u, _ = optax.sign_sgd(0.5).update(g, optax.sign_sgd(0.5).init(g))
    np.testing.assert_array_equal(u, [-0.5, 0.5, 0, -0.5])


def test_a_complex_element_moves_against_its_gradient() -> None:
    """Defect A15."""
    g = jnp.asarray([3 + 4j, -2j, 0], jnp.complex64)
    for tx in (optax.sign_sgd(0.5), optax.signum(0.5)):
        u, _ = tx.update(g, tx.init(g))
        np.testing.assert_allclose(u, [-0.3 - 0.4j, 0.5j, 0], rtol=1e-6)


def test_signum_goes_on_until_the_mean_changes_its_sign() -> None:
    tx = optax.signum(1.0, beta=0.5)
    state = tx.init(jnp.zeros(()))
    moves = []
    for g in (1.0, -0.25, -0.25, 0.25 + 1 / 32):  # m = 1/2, 1/8, -1/16, 1/8 * 7/8
        u, state = tx.update(jnp.asarray(g), state)
        moves.append(float(u))
    assert moves == [-1, -1, 1, -1]
    np.testing.assert_allclose(state[0].ema, 7 / 64)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "complex64"])
def test_zero_gradients_move_nothing(dtype: str) -> None:
    """Defects A7 and F7."""
    for tx in (optax.sign_sgd(0.5), optax.signum(0.5)):
        g = jnp.zeros(2, dtype)
        (u, _), slopes = jax.jvp(lambda g, tx=tx: tx.update(g, tx.init(g)), (g,), (jnp.ones_like(g),))
        assert np.all(u == 0)
        assert np.all(slopes[0] == 0)


def test_the_momentum_of_low_precision_parameters() -> None:
    """Defects A4 and A8: float32 where 1 - beta asks for it, and for good."""
    for beta, dtype in ((0.9, jnp.bfloat16), (0.99, jnp.float32)):
        tx = optax.signum(0.1, beta)
        state = tx.init(jnp.ones(2, jnp.bfloat16))
        _, new_state = tx.update(jnp.ones(2), state)
        assert [x.dtype for x in jax.tree.leaves((state, new_state))] == [jnp.int32, dtype] * 2
    assert optax.signum(0.1, accumulator_dtype="float16").init(jnp.ones(2))[0].ema.dtype == jnp.float16


def test_mistakes_are_named() -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match=r"decay must be at least 0 and below 1, not 1\.0"):
        optax.signum(0.1, beta=1.0)
    with pytest.raises(TypeError, match="learning_rate must be a real number or a schedule"):
        optax.sign_sgd("0.1")  # type: ignore[arg-type]

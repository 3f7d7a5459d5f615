import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.losses import cosine_distance, cosine_similarity
from reference.regression_losses import cosine

NUMBERS = st.floats(-100, 100, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
PAIRS = st.tuples(*[hnp.arrays(np.float32, (2, 3), elements=NUMBERS)] * 2)  # one shape: compiled once
LOSSES = [cosine_similarity, cosine_distance]
similarity = jax.jit(cosine_similarity)
distance = jax.jit(cosine_distance)
slopes = jax.jit(jax.grad(cosine_similarity, (0, 1)))


@hypothesis.given(PAIRS)
def test_against_the_definition(pair):
    value = similarity(*pair)
    assert (abs(value) <= 1).all()
    np.testing.assert_array_equal(distance(*pair), 1 - value)
    for got, x, y in zip(value, *pair, strict=True):
        zero = not x.any() or not y.any()
        assert got == pytest.approx(0 if zero else cosine(np.float64(x), np.float64(y)), abs=1e-6)


def test_by_hand():
    x = jnp.array([[1.0, 0.0], [1.0, 1.0], [3.0, 4.0]])
    y = jnp.array([[0.0, 2.0], [-2.0, -2.0], [4.0, 3.0]])
    np.testing.assert_allclose(similarity(x, y), [0, -1, 0.96], 1e-6)
    np.testing.assert_allclose(distance(x, y), [1, 2, 0.04], 1e-5)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1e-20, "float32"), (2e-38, "float32"), (1e30, "float32"), (2e38, "float32"), (300, "float16"), (6e-5, "float16")],
)
def test_any_length(size, dtype):
    """Defect E6: similarity of x with itself was inf for 1e-20, and 0 for 1e30 or for 300 in float16."""
    x = jnp.full(3, size, dtype)
    y = jnp.array([1.0, 1.0, -1.0], dtype)
    assert similarity(x, x) == pytest.approx(1, abs=1e-6)
    assert similarity(x, -x) == pytest.approx(-1, abs=1e-6)
    assert distance(x, x) == pytest.approx(0, abs=1e-6)
    assert similarity(x, y) == pytest.approx(1 / 3, abs=1e-6)
    by_x, by_y = slopes(x, y)
    assert jnp.isfinite(by_x).all()
    if 1e-30 < size < 1e30:  # by hand: (y / |y| - cos x / |x|) / |x|
        expected = (np.array([1, 1, -1]) - 1 / 3) / 3 / float(x[0])
        np.testing.assert_allclose(by_x, expected.astype(dtype), 3e-6 if dtype == "float32" else 2e-3, 1e-6)
    np.testing.assert_allclose(by_y, np.array([2, 2, 4]) / 9, 1e-6 if dtype == "float32" else 2e-3)


def test_zero_vectors():
    """Defect E6: NaN, in value and gradient."""
    zero, x = jnp.zeros(3), jnp.array([1.0, 2.0, 3.0])
    forward = jax.jit(jax.jacfwd(cosine_similarity, (0, 1)))
    for pair in ((zero, x), (x, zero), (zero, zero)):
        assert similarity(*pair) == 0
        assert distance(*pair) == 1
        for slope in (*slopes(*pair), *forward(*pair)):
            assert slope.tolist() == [0, 0, 0]


@pytest.mark.parametrize("sign", [1, -1])
def test_aligned_and_opposite_vectors_are_stationary(sign):
    x = jax.random.normal(jax.random.key(0), (64, 5))
    value, pullback = jax.vjp(similarity, x, 3 * sign * x)
    assert (abs(value) <= 1).all()
    np.testing.assert_allclose(value, sign, 1e-6)
    for slope in pullback(jnp.ones(64)):
        np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_rounding_to_1_does_not_stop_the_gradient():
    x, y = jnp.array([1.0, 0.0]), jnp.array([1.0, 1e-4])  # the cosine is 1 - 5e-9
    assert similarity(x, y) == 1
    np.testing.assert_allclose(slopes(x, y)[0], [0, 1e-4], 1e-4, 1e-7)
    second = jax.jit(jax.hessian(cosine_similarity))(x, y)
    np.testing.assert_allclose(second, [[0, -1e-4], [-1e-4, -1]], 1e-3, 1e-6)


class TestEpsilon:
    X, Y = jnp.array([3.0, 4.0]), jnp.array([0.06, 0.08])  # of lengths 5 and 0.1

    def test_bounds_squared_lengths_from_below(self):
        """Recorded from the original 0.2.8: the bound is on the square of each length, so sqrt(epsilon) on a length."""
        assert similarity(self.X, self.Y, epsilon=0.009) == pytest.approx(1)
        assert similarity(self.X, self.Y, epsilon=0.25) == pytest.approx(0.1 / 0.5)
        assert similarity(self.X, self.Y, epsilon=100.0) == pytest.approx(0.5 / 100)

    def test_a_bound_in_force_is_a_constant(self):
        by_x, by_y = slopes(self.X, self.Y, epsilon=0.25)
        np.testing.assert_allclose(by_y, self.X / 5 / 0.5, 1e-6)
        np.testing.assert_allclose(by_x, [0, 0], atol=1e-7)  # y points along x
        zero = slopes(jnp.zeros(2), self.X, epsilon=0.25)[0]
        np.testing.assert_allclose(zero, self.X / 5 / 0.5, 1e-6)

    def test_may_be_traced(self):
        several = jax.vmap(lambda e: similarity(self.X, self.Y, epsilon=e))(jnp.array([0.0, 0.25]))
        np.testing.assert_allclose(several, [1, 0.2], 1e-6)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_is_not_negative(self, loss):
        with pytest.raises(ValueError, match=r"epsilon must be at least 0, not -1\.0"):
            loss(self.X, self.Y, epsilon=-1.0)


@pytest.mark.parametrize("loss", LOSSES)
def test_axes(loss):
    x, y = np.random.default_rng(1).normal(size=(2, 2, 3, 4)).astype(np.float32)
    compiled = jax.jit(loss, static_argnames="axis")
    np.testing.assert_allclose(
        compiled(x, y, axis=0), compiled(x.reshape(2, 12).T, y.reshape(2, 12).T).reshape(3, 4), 1e-5
    )
    np.testing.assert_allclose(compiled(x, y, axis=(2, 1)), compiled(x.reshape(2, 12), y.reshape(2, 12)), 1e-5)
    with pytest.raises(ValueError, match="axis=3 is not an axis of predictions"):
        loss(x, y, axis=3)


def test_components_left_out():
    mask = jnp.array([[True, False, True], [False, False, False]])
    x, y = jnp.array([[1.0, jnp.nan, 2.0], [1.0, 2.0, 3.0]]), jnp.array([[2.0, 5.0, 1.0], [jnp.inf, 2.0, 3.0]])
    np.testing.assert_allclose(cosine_similarity(x, y, where=mask), [0.8, 0], 1e-6)
    np.testing.assert_allclose(cosine_distance(x, y, where=mask), [0.2, 1], 1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_vectors_are_not_broadcast(loss):
    """Defect E1, of another loss."""
    with pytest.raises(ValueError, match=r"predictions and targets must have the same shape, got \(3, 4\) and \(4,\)"):
        loss(jnp.ones((3, 4)), jnp.ones(4))


@pytest.mark.parametrize("loss", LOSSES)
def test_empty(loss):
    assert loss(jnp.zeros((0, 3)), jnp.zeros((0, 3))).shape == (0,)
    assert loss(jnp.zeros((2, 0)), jnp.zeros((2, 0))).tolist() == [loss is cosine_distance] * 2

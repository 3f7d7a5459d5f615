"""ARM and DisARM against their formulas, integrals over u and enumerated expectations."""

import contextlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import _binary, _noise, arm_jacobians, bernoulli, categorical, disarm_jacobians
from reference import discrete as reference
from x64 import enable_x64

both = pytest.mark.parametrize("estimate", [arm_jacobians, disarm_jacobians])
KEY = jax.random.key(3)
LOGITS = np.array([1.2, -0.4, 0.0], np.float32)


def cost(b):
    """Couples all the components, and is nowhere linear."""
    total = jnp.sum(b * jnp.arange(1.0, 1 + b.size).reshape(b.shape))
    return jnp.sin(total) + total**2 + 5


def numpy_cost(b):
    total = np.sum(b * np.arange(1.0, 1 + b.size).reshape(b.shape))
    return np.sin(total) + total**2 + 5


class Bernoulli:
    """Samples that are integers, as those of other libraries are."""

    def __init__(self, logits):
        self.logits = logits

    def sample(self, *, seed, sample_shape):
        return (bernoulli(self.logits).sample(sample_shape, seed) > 0).astype(jnp.int32)


def given(monkeypatch, u):
    """Let u be these numbers, one row for each sample."""
    monkeypatch.setattr(_binary, "keys", lambda rng, n: jnp.asarray(u))
    monkeypatch.setattr(_binary, "uniform", lambda u, shape, dtype: u.astype(dtype))


@both
@pytest.mark.parametrize("shape", [(), (2,), (1, 2)])
def test_the_integral_over_u_is_the_gradient(estimate, shape, monkeypatch):
    """With sigmoid(phi) = 3/4 and 1/4 the midpoint rule is exact, since J is linear in u between their multiples."""
    size = int(np.prod(shape))
    middles = (np.arange(16) + 0.5) / 16
    u = np.array(list(itertools.product(middles, repeat=size))).reshape(-1, *shape)
    given(monkeypatch, u)
    logits = np.array([np.log(3), -np.log(3)][:size], np.float32).reshape(shape)
    jacobians = jax.jit(lambda t: estimate(cost, [t], bernoulli, KEY, len(u))[0])(logits)
    expected = reference.bernoulli_gradient(numpy_cost, logits)
    np.testing.assert_allclose(jacobians.mean(0), expected, 1e-4)


def test_every_sample_against_the_formulas(monkeypatch):
    u = np.random.default_rng(0).uniform(size=(40, 3))
    given(monkeypatch, u)
    p = reference.sigmoid(LOGITS)
    f, g = (np.array([numpy_cost(row) for row in b]) for b in (u > 1 - p, u < p))
    gap = (f - g)[:, None]
    both = (arm_jacobians, disarm_jacobians)
    arm, disarm = jax.jit(lambda t: [e(cost, [t], bernoulli, KEY, 40)[0] for e in both])(LOGITS)
    np.testing.assert_allclose(arm, gap * (u - 0.5), 1e-4, 1e-4)

    sign = np.where(u < p, -1, 1) * ((u > 1 - p) != (u < p))
    np.testing.assert_allclose(disarm, 0.5 * gap * sign * reference.sigmoid(abs(LOGITS)), 1e-4, 1e-4)


def test_disarm_is_the_mean_of_arm_over_what_the_pair_leaves_open(monkeypatch):
    """For each of the pairs (b, b') of one variable, over the part of (0, 1) where u leads to it."""
    u = (np.arange(4096) + 0.5) / 4096
    given(monkeypatch, u)
    logit = np.float32(np.log(3))
    both = (arm_jacobians, disarm_jacobians)
    arm, disarm = map(np.asarray, jax.jit(lambda t: [e(cost, [t], bernoulli, KEY, 4096)[0] for e in both])(logit))
    for part in (u < 0.25, (u > 0.25) & (u < 0.75), u > 0.75):
        assert np.ptp(disarm[part]) == 0
        assert arm[part].mean() == pytest.approx(disarm[part][0].item(), abs=1e-5)
    assert disarm.var() < arm.var()


@both
def test_two_calls_of_the_function_for_any_number_of_variables(estimate):
    calls = []

    def counted(b):
        calls.append(b.shape)
        return jnp.sum(b)

    jax.eval_shape(lambda t: estimate(counted, [t], bernoulli, KEY, 3), jnp.zeros((4, 5)))
    assert calls == [(4, 5), (4, 5)]


@both
def test_the_function_gets_what_the_distribution_samples(estimate):
    seen = []

    def observed(b):
        seen.append(b.dtype)
        return b[0] * 2 - b[1]

    builders = (Bernoulli, bernoulli)
    integer, floating = jax.jit(lambda t: [estimate(observed, [t], b, KEY, 5)[0] for b in builders])(LOGITS)
    assert seen == [jnp.int32] * 2 + [jnp.float32] * 2
    assert jnp.array_equal(integer, floating)


@both
def test_the_chain_rule_to_the_parameters(estimate):
    """Logits = 2 a + w: the derivative by a is twice the sum, in the dtypes of the leaves."""
    direct = jax.jit(lambda t: estimate(cost, [t], bernoulli, KEY, 6)[0])(LOGITS)
    params = {"a": jnp.zeros((), jnp.bfloat16), "w": [jnp.asarray(LOGITS)]}
    run = jax.jit(lambda p: estimate(cost, p, lambda a, w: bernoulli(2 * a.astype(w[0].dtype) + w[0]), KEY, 6))
    by = run(params)
    np.testing.assert_allclose(by["w"][0], direct, 1e-5)
    assert by["a"].dtype == jnp.bfloat16
    np.testing.assert_allclose(by["a"].astype(jnp.float32), 2 * direct.sum(1), 0.01, 0.01)


@both
def test_extreme_logits(estimate):
    logits = jnp.array([-np.inf, -90.0, 90.0, np.inf])
    jacobians = jax.jit(lambda t: estimate(cost, [t], bernoulli, KEY, 20)[0])(logits)
    assert jnp.array_equal(jacobians, jnp.zeros((20, 4)))


@both
def test_float64(estimate):
    with enable_x64():
        wide = jax.ShapeDtypeStruct((2,), jnp.float64)
        run = jax.eval_shape(lambda t: estimate(jnp.sum, [t], bernoulli, jax.random.key(0), 4), wide)
        assert run[0].dtype == jnp.float64


@both
def test_another_family(estimate):
    with pytest.raises(ValueError, match="family bernoulli, got one_hot"):
        estimate(cost, [LOGITS], categorical, KEY, 3)
    with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
        estimate(cost, [LOGITS], bernoulli, KEY, 0)


@pytest.mark.parametrize("x64", [False, True])
def test_uniform_noise_is_symmetric_and_inside(x64):
    """1 - u is exact, and lies on the same grid."""
    with enable_x64() if x64 else contextlib.nullcontext():
        dtype, bits = (jnp.float64, 53) if x64 else (jnp.float32, 24)
        u = np.asarray(_noise.uniform(jax.random.key(0), (10000,), dtype))
        for x in (u, 1 - u):
            odd = x.astype(np.float64) * 2**bits
            assert (odd % 2 == 1).all()
        assert (u.min(), u.max()) == pytest.approx((0, 1), abs=1e-3)

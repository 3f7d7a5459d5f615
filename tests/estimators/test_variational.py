import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    bernoulli,
    dreg_jacobians,
    multi_normal,
    sticking_the_landing_jacobians,
    var_grad_jacobians,
)
from reference import variational as reference
from x64 import enable_x64

KEY = jax.random.key(0)
MU, LOG_SIGMA = 0.4, -0.2
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([0.0, 0.3])
ESTIMATORS = [var_grad_jacobians, sticking_the_landing_jacobians, dreg_jacobians]
all_of_them = pytest.mark.parametrize("estimate", ESTIMATORS)
by_paths = pytest.mark.parametrize("estimate", ESTIMATORS[1:])


def compiled(estimate, target, n, params, builder=multi_normal, key=KEY, **options):
    return jax.jit(lambda p, k: estimate(target, p, builder, k, n, **options))(params, key)


def target(x):
    return jnp.sum(jnp.sin(x) - 0.25 * x**4)


def samples(n):
    each = jax.jit(jax.vmap(lambda key: multi_normal(MU, LOG_SIGMA).sample((), key)))(jax.random.split(KEY, n))
    return np.asarray(each, np.float64)


def test_every_sample_against_the_formula():
    x = samples(12)
    params = (MU, LOG_SIGMA)
    ours = compiled(var_grad_jacobians, target, 12, params)
    np.testing.assert_allclose(ours, reference.var_grad(x, MU, LOG_SIGMA), 1e-3, 1e-5)
    ours = compiled(sticking_the_landing_jacobians, target, 12, params)
    np.testing.assert_allclose(ours, reference.sticking_the_landing(x, MU, LOG_SIGMA), 1e-3, 1e-5)
    ours = compiled(dreg_jacobians, target, 4, params, num_particles=3)
    np.testing.assert_allclose(ours, reference.dreg(x.reshape(4, 3), MU, LOG_SIGMA), 1e-3, 1e-5)


def test_var_grad_is_the_gradient_of_half_the_variance():
    @jax.jit
    def both(params):
        x = jax.vmap(lambda key: multi_normal(*params).sample((), key))(jax.random.split(KEY, 9))

        def half_variance(p):
            f = multi_normal(*p).log_prob(x) - jax.vmap(target)(x)
            return 0.5 * jnp.var(f, ddof=1)

        ours = var_grad_jacobians(target, params, multi_normal, KEY, 9)
        return [j.mean(0) for j in ours], jax.grad(half_variance)(params)

    np.testing.assert_allclose(*both([MEAN, LOG_SCALE]), 1e-4, 1e-5)


def test_sticking_the_landing_leaves_the_score_out():
    """The plain pathwise gradient is that and the score, which here is -e / sigma and -(e^2 - 1)."""

    def f(p, key):
        q = multi_normal(*p)
        x = q.sample((), key)
        return q.log_prob(x) - target(x)

    @jax.jit
    def both(params):
        each = jax.random.split(KEY, 6)
        plain = jax.vmap(jax.grad(f), in_axes=(None, 0))(params, each)
        ours = sticking_the_landing_jacobians(target, params, multi_normal, KEY, 6)
        e = jax.vmap(lambda key: multi_normal(jnp.zeros(2), 0.0).sample((), key))(each)
        return [a - b for a, b in zip(plain, ours, strict=True)], [e * jnp.exp(-LOG_SCALE)[None], e**2 - 1]

    np.testing.assert_allclose(*both([MEAN, LOG_SCALE]), 1e-3, 1e-4)


def met(x):
    return multi_normal(MEAN, LOG_SCALE).log_prob(x)


@all_of_them
def test_nothing_is_left_where_the_target_is_met(estimate):
    """Up to the rounding of log q, of log q + 3 and of another formula for it."""

    def scaled(x):
        return -0.5 * jnp.sum(jnp.square((x - MEAN) / jnp.exp(LOG_SCALE)))

    @jax.jit
    def run(params):
        return [estimate(t, params, multi_normal, KEY, 5) for t in (met, lambda x: met(x) + 3, scaled)]

    np.testing.assert_allclose(run([MEAN, LOG_SCALE]), np.zeros((3, 2, 5, 2)), atol=1e-5)


def test_the_two_slopes_cancel_exactly():
    """Operation by operation; a compiler may fuse them into one rounding."""
    jacobians = sticking_the_landing_jacobians(met, [MEAN, LOG_SCALE], multi_normal, KEY, 5)
    np.testing.assert_array_equal(jacobians, np.zeros((2, 5, 2)))


def test_one_particle_is_sticking_the_landing():
    dreg = compiled(dreg_jacobians, target, 5, [MEAN, LOG_SCALE], num_particles=1)
    plain = compiled(sticking_the_landing_jacobians, target, 5, [MEAN, LOG_SCALE])
    np.testing.assert_allclose(dreg, plain, 1e-5, 1e-6)


def test_dreg_is_the_gradient_of_the_bound():
    """Within 4 standard errors of the difference from the plain gradient of the bound, at the same samples."""

    def bound(p, keys):
        q = multi_normal(*p)
        x = jax.vmap(lambda key: q.sample((), key))(keys)
        return -jax.nn.logsumexp(jax.vmap(target)(x) - jax.vmap(q.log_prob)(x))

    @jax.jit
    def compare(params):
        each = jax.random.split(KEY, 4 * 20000).reshape(20000, 4)
        plain = jax.vmap(jax.grad(bound), in_axes=(None, 0))(params, each)
        ours = dreg_jacobians(target, params, multi_normal, KEY, 20000, num_particles=4)
        return jnp.stack([a - b for a, b in zip(plain, ours, strict=True)], axis=1)

    difference = np.asarray(compare((MU, LOG_SIGMA)))
    z = difference.mean(axis=0) / difference.std(axis=0) * np.sqrt(20000)
    assert np.abs(z).max() < 4
    assert difference.std(axis=0).min() > 0.1  # the two are not the same


def test_weights_do_not_overflow():
    """They are normalised as logarithms: exp(1e4) is no float32."""
    near, far = ({"target": lambda x, c=c: c + target(x)} for c in (0.0, 1e4))
    near, far = (compiled(dreg_jacobians, n=3, params=[MEAN, LOG_SCALE], num_particles=4, **t) for t in (near, far))
    np.testing.assert_allclose(near, far, 0.02, 0.02)  # 1e4 + log p is rounded to 0.001


def test_discrete_samples():
    """E_q[log q - log p] of one bit has the derivative p (1 - p) (logit - logit of the target) by its logit."""
    logit, aim = 0.5, -1.0
    aimed = bernoulli(jnp.full(1, aim))
    run = jax.jit(lambda p: var_grad_jacobians(aimed.log_prob, p, bernoulli, KEY, 20000))
    (jacobians,) = run([jnp.full(1, logit)])
    p = 1 / (1 + np.exp(-logit))
    error = 4 * float(jacobians.std()) / np.sqrt(20000)
    assert jacobians.mean() == pytest.approx(p * (1 - p) * (logit - aim), abs=error)


@all_of_them
def test_shapes_dtypes_and_compilation(estimate):
    def run(p, key):
        return estimate(target, p, multi_normal, key, 4)

    params = {"loc": MEAN.astype(jnp.float16), "log_scale": LOG_SCALE}
    jacobians = jax.eval_shape(run, params, jax.random.PRNGKey(0))
    assert jax.tree.map(lambda j: (j.shape, str(j.dtype)), jacobians) == {
        "loc": ((4, 2), "float16"),
        "log_scale": ((4, 2), "float32"),
    }
    rows = jax.jit(jax.vmap(run, in_axes=(None, 0)))(params, jax.random.split(KEY, 3))
    exact = compiled(estimate, target, 4, {"loc": MEAN, "log_scale": LOG_SCALE}, key=jax.random.split(KEY, 3)[1])
    np.testing.assert_allclose(rows["loc"][1].astype(jnp.float32), exact["loc"], 0.01, 0.01)


@all_of_them
def test_float64(estimate):
    """Also where the target computes in float32."""
    with enable_x64():
        params = [np.float64(MU), np.float64(LOG_SIGMA)]
        double = compiled(estimate, target, 4, params)
        single = compiled(estimate, lambda x: target(x.astype(jnp.float32)), 4, params)
        assert [j.dtype for j in [*double, *single]] == [jnp.float64] * 4
        np.testing.assert_allclose(single, double, 1e-3, 1e-4)


class TestErrors:
    @all_of_them
    def test_a_target_that_is_not_scalar(self, estimate):
        with pytest.raises(
            ValueError, match=r"target_log_prob must map one sample, .*\(2,\), to a scalar, got .*\(2,\)"
        ):
            compiled(estimate, jnp.sin, 3, [MEAN, LOG_SCALE])

    @all_of_them
    def test_a_complex_target(self, estimate):
        with pytest.raises(TypeError, match="must return a real number, got dtype complex64"):
            compiled(estimate, lambda x: jax.lax.complex(x[0], x[1]), 3, [MEAN, LOG_SCALE])

    @all_of_them
    def test_no_samples(self, estimate):
        with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
            estimate(target, [MEAN, LOG_SCALE], multi_normal, KEY, 0)

    def test_one_sample(self):
        with pytest.raises(ValueError, match="num_samples must be >= 2, got 1"):
            var_grad_jacobians(target, [MEAN, LOG_SCALE], multi_normal, KEY, 1)

    @by_paths
    def test_a_target_without_derivative(self, estimate):
        with pytest.raises(ValueError, match=r"derivative of target_log_prob is zero .*, use var_grad_jacobians"):
            compiled(estimate, lambda x: jnp.sum(jnp.sign(x)), 3, [MEAN, LOG_SCALE])
        flat = jax.eval_shape(lambda p: estimate(lambda x: 0.0, p, multi_normal, KEY, 3), [MEAN, LOG_SCALE])
        assert flat[0].shape == (3, 2)  # a flat target is no mistake

    @by_paths
    def test_samples_that_do_not_follow_the_parameters(self, estimate):
        with pytest.raises(ValueError, match="do not follow its parameters") as caught:
            compiled(estimate, jnp.sum, 3, [jnp.zeros(2)], bernoulli)
        assert "var_grad_jacobians" in "".join(caught.value.__notes__)

    @by_paths
    def test_no_density(self, estimate):
        class Simulator:
            def __init__(self, loc):
                self.loc = loc

            def sample(self, *, seed, sample_shape):
                return self.loc + jax.random.normal(seed, sample_shape)

        with pytest.raises(TypeError, match="got Simulator without log_prob"):
            estimate(target, [0.0], Simulator, KEY, 3)

    @pytest.mark.parametrize("k", [0, -1])
    def test_no_particles(self, k):
        run = functools.partial(dreg_jacobians, target, [MEAN, LOG_SCALE], multi_normal, KEY, 3)
        with pytest.raises(ValueError, match=f"num_particles must be >= 1, got {k}"):
            run(num_particles=k)
        with pytest.raises(TypeError, match="integer"):
            run(num_particles=2.5)

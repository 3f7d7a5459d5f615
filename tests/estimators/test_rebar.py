"""REBAR and RELAX against their definition by conditional samples, and their integral against enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    _noise,
    _rebar,
    _relaxed,
    bernoulli,
    categorical,
    rebar_jacobians,
    relax_jacobians,
    score_function_jacobians,
)
from reference import discrete as reference
from x64 import enable_x64

KEY = jax.random.key(7)
LOGITS = np.array([[0.5, -1.0, 0.2], [2.0, 0.0, 1.0]], np.float32)
builders = pytest.mark.parametrize("builder", [bernoulli, categorical])


def cost(x):
    return jnp.sum(jnp.square(x - 0.3) * jnp.arange(1.0, 1 + x.size).reshape(x.shape).astype(x.dtype)) + 2


def wave(z):
    """A control variate that has nothing to do with the cost."""
    return jnp.sum(jnp.sin(z)) + 0.1 * jnp.sum(jnp.square(z))


@pytest.mark.parametrize("logit", [-1.0, 0.4, 3.0])
def test_the_integral_over_the_noise_is_the_gradient(logit, monkeypatch):
    """Whatever the control variate: by the midpoint rule, on either side of where the sample flips."""
    p, n = reference.sigmoid(logit), 20000
    middles = (np.arange(n) + 0.5) / n
    u = np.concatenate([(1 - p) * middles, 1 - p + p * middles])
    weights = np.concatenate([np.full(n, (1 - p) / n), np.full(n, p / n)])
    monkeypatch.setattr(_rebar, "keys", lambda rng, n: jnp.asarray(np.log(u) - np.log1p(-u), jnp.float32))
    monkeypatch.setattr(_rebar, "logistic", lambda noise, shape, dtype: noise)
    estimates = jax.jit(
        lambda t: [
            rebar_jacobians(cost, [t], bernoulli, KEY, 2 * n),
            rebar_jacobians(cost, [t], bernoulli, KEY, 2 * n, temperature=2.0, eta=-0.5),
            relax_jacobians(cost, [t], bernoulli, KEY, 2 * n, control_variate=wave),
        ]
    )(jnp.float32(logit))
    expected = reference.bernoulli_gradient(lambda b: float(np.square(b - 0.3)) + 2, logit)
    for (jacobians,) in estimates:
        assert np.asarray(jacobians, np.float64) @ weights == pytest.approx(float(expected), abs=3e-4)


def test_one_hot_against_the_definition():
    """By automatic differentiation of z~, made of the noise for which its value is that of z."""

    @jax.jit
    def both(theta):
        noise = _noise.gumbel(jax.random.split(KEY, 1)[0], theta.shape, theta.dtype)
        z = theta + noise
        b = jax.nn.one_hot(z.argmax(-1), 3, dtype=z.dtype)
        total = jnp.exp(theta).sum(-1, keepdims=True)
        top = jnp.exp(-z.max(-1, keepdims=True))
        e = jax.lax.stop_gradient(jnp.where(b == 1, total * top, jnp.exp(theta) * (jnp.exp(-z) - top)))

        def definition(theta):
            again = _relaxed.conditional_gumbels(theta, b, e)
            log_p = jnp.sum(b * jax.nn.log_softmax(theta))
            return jax.lax.stop_gradient(cost(b) - wave(again)) * log_p + wave(theta + noise) - wave(again)

        ours = relax_jacobians(cost, [theta], categorical, KEY, 1, control_variate=wave)[0]
        return ours[0], jax.grad(definition)(theta), z, _relaxed.conditional_gumbels(theta, b, e)

    with enable_x64():
        ours, expected, z, again = both(jnp.asarray(LOGITS, jnp.float64))
        assert ours.dtype == jnp.float64
        np.testing.assert_allclose(again, z, 1e-10)
        np.testing.assert_allclose(ours, expected, 1e-9, 1e-10)


def test_bernoulli_against_the_definition():
    """z~ = s (softplus(s theta + log v) - log(1 - v)), where s is 1 if b = 1 and else -1, and v is uniform."""

    @jax.jit
    def both(theta):
        noise = _noise.logistic(jax.random.split(KEY, 1)[0], theta.shape, theta.dtype)
        z = theta + noise
        s = jnp.sign(z)
        v = jnp.expm1(abs(z)) / (jnp.exp(abs(z)) + jnp.exp(s * theta))

        def definition(theta):
            again = s * (jax.nn.softplus(s * theta + jnp.log(v)) - jnp.log1p(-v))
            log_p = jnp.sum(jax.nn.log_sigmoid(s * theta))
            gap = cost((s + 1) / 2) - wave(again)
            return jax.lax.stop_gradient(gap) * log_p + wave(theta + noise) - wave(again)

        ours = relax_jacobians(cost, [theta], bernoulli, KEY, 1, control_variate=wave)[0]
        return ours[0], jax.grad(definition)(theta)

    with enable_x64():
        np.testing.assert_allclose(*both(jnp.asarray(LOGITS, jnp.float64)), 1e-9, 1e-10)


@builders
def test_rebar_is_relax_with_the_relaxed_function(builder):
    squash = jax.nn.sigmoid if builder is bernoulli else jax.nn.softmax

    def both():
        rebar = rebar_jacobians(cost, [LOGITS], builder, KEY, 5, temperature=0.7, eta=0.9)[0]
        relax = relax_jacobians(
            cost, [LOGITS], builder, KEY, 5, control_variate=lambda z: 0.9 * cost(squash(z / 0.7).astype(z.dtype))
        )[0]
        return rebar, relax

    np.testing.assert_allclose(*jax.jit(both)(), 1e-4, 1e-5)


@builders
def test_less_variance_than_the_score_function(builder):
    def both():
        plain = score_function_jacobians(cost, [LOGITS], builder, KEY, 2000)[0]
        return plain, rebar_jacobians(cost, [LOGITS], builder, KEY, 2000)[0]

    plain, ours = map(np.asarray, jax.jit(both)())
    assert ours.var(0).sum() < 0.3 * plain.var(0).sum()
    error = np.sqrt((ours.var(0) + plain.var(0)) / 2000)
    assert (abs(ours.mean(0) - plain.mean(0)) < 4 * error).all()


@builders
def test_the_variance_can_be_tuned(builder):
    """The mean square of what is returned has a derivative by eta, the temperature and what else c depends on."""

    def by_rebar(tuned):
        temperature, eta = tuned
        out = rebar_jacobians(cost, [LOGITS[0]], builder, KEY, 20, temperature=temperature, eta=eta)[0]
        return jnp.mean(jnp.square(out))

    def by_relax(tuned):
        def surrogate(z):
            return tuned[0] * jnp.sum(jnp.tanh(tuned[1] * z) + jnp.square(z))

        out = relax_jacobians(cost, [LOGITS[0]], builder, KEY, 20, control_variate=surrogate)[0]
        return jnp.mean(jnp.square(out))

    for objective in (by_rebar, by_relax) if builder is bernoulli else (by_rebar,):
        run = jax.jit(jax.vmap(jax.value_and_grad(objective)))
        at, step = jnp.array([0.6, 0.8]), 1e-2 * np.eye(2, dtype=np.float32)
        values, slopes = run(jnp.stack([at, at + step[0], at - step[0], at + step[1], at - step[1]]))
        differences = [(values[1] - values[2]) / 2e-2, (values[3] - values[4]) / 2e-2]
        np.testing.assert_allclose(slopes[0], differences, 0.01, 0.01)
        assert (slopes[0] != 0).all()


@builders
def test_extreme_logits_stay_finite(builder):
    theta = jnp.array([[30.0, -30.0, 0.0], [jnp.inf if builder is bernoulli else 5.0, -jnp.inf, 3.0]])

    def run(temperature):
        out = rebar_jacobians(cost, [theta], builder, KEY, 50, temperature=temperature)[0]
        return jnp.sum(jnp.square(out)), out

    slopes, out = jax.jit(jax.vmap(jax.grad(run, has_aux=True)))(jnp.array([0.05, 0.5]))
    assert jnp.isfinite(out).all()
    assert jnp.isfinite(slopes).all()
    assert (out[:, :, 1, 1] == 0).all()


@builders
def test_trees_dtypes_and_jit(builder):
    params = {"a": jnp.float32(0.2), "w": [jnp.asarray(LOGITS, jnp.bfloat16)]}

    def run(params):
        return rebar_jacobians(cost, params, lambda a, w: builder(a * w[0].astype(a.dtype)), KEY, 4)

    out = jax.eval_shape(run, params)
    assert (out["a"].shape, out["a"].dtype) == ((4,), jnp.float32)
    assert (out["w"][0].shape, out["w"][0].dtype) == ((4, 2, 3), jnp.bfloat16)


def test_a_function_without_derivative():
    """REBAR refuses it. RELAX needs only the control variate's."""

    def step(b):
        return (b[0] > 0.5) & (b[1] > 0.5)

    with pytest.raises(ValueError, match=r"the derivative of function is zero .* disarm_jacobians or relax_jacobians"):
        rebar_jacobians(step, [LOGITS[0]], bernoulli, KEY, 3)
    run = jax.jit(lambda t: relax_jacobians(step, [t], bernoulli, KEY, 3, control_variate=wave)[0])
    assert jnp.isfinite(run(LOGITS[0])).all()


def test_errors():
    with pytest.raises(ValueError, match=r"derivative of control_variate is zero everywhere .* biased"):
        relax_jacobians(cost, [LOGITS], bernoulli, KEY, 3, control_variate=lambda z: jnp.sum(z > 0))
    with pytest.raises(
        ValueError, match=r"control_variate must map one sample, here of shape \(2, 3\), to a scalar, got shape \(3,\)"
    ):
        relax_jacobians(cost, [LOGITS], bernoulli, KEY, 3, control_variate=lambda z: z[0])
    with pytest.raises(TypeError, match="control_variate"):
        relax_jacobians(cost, [LOGITS], bernoulli, KEY, 3)
    with pytest.raises(ValueError, match=r"temperature must be above 0\.0, not 0"):
        rebar_jacobians(cost, [LOGITS], bernoulli, KEY, 3, temperature=0)
    with pytest.raises(ValueError, match="num_samples must be >= 1, got 0"):
        rebar_jacobians(cost, [LOGITS], bernoulli, KEY, 0)

"""Control variates by their formulas; that they change no expectation; and what their states keep."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.estimators import (
    ControlVariate,
    antithetic_jacobians,
    control_delta_method,
    control_variates_jacobians,
    estimate_control_variate_coefficients,
    measure_valued_jacobians,
    moving_avg_baseline,
    multi_normal,
    pathwise_jacobians,
    score_function_jacobians,
)
from x64 import enable_x64

KEY = jax.random.key(0)
MEAN, LOG_SCALE = jnp.array([1.0, -0.5]), jnp.array([-0.3, 0.2])
PARAMS = [MEAN, LOG_SCALE]
STATE = (jnp.float32(0), jnp.int32(0))
estimate = jax.jit(control_variates_jacobians, static_argnums=(0, 1, 2, 4, 6, 8, 9))
coefficients = jax.jit(estimate_control_variate_coefficients, static_argnums=(0, 1, 2, 4, 6, 8))


def quadratic(x):
    return 2 * x[0] + x[0] * x[1] - 3 * jnp.square(x[1]) + 1


# of E[quadratic] = 2 m_0 + m_0 m_1 - 3 (m_1^2 + s_1^2) + 1, by m and by log s
GRADIENT = [jnp.array([1.5, 4.0]), jnp.array([0.0, -6 * np.exp(0.4)])]


def cubic(x):
    return x[0] ** 3 + x[0] * x[1] ** 2


def samples(n, key=KEY):
    return jax.vmap(lambda k: multi_normal(*PARAMS).sample((), k))(jax.random.split(key, n))


class TestDeltaMethod:
    @pytest.mark.parametrize(
        "estimator", [score_function_jacobians, pathwise_jacobians, antithetic_jacobians, measure_valued_jacobians]
    )
    def test_nothing_is_left_to_chance_for_a_quadratic(self, estimator):
        jacobians, state = estimate(quadratic, control_delta_method, estimator, PARAMS, multi_normal, KEY, 10)
        for by_leaf, expected in zip(jacobians, GRADIENT, strict=True):
            np.testing.assert_allclose(by_leaf, np.broadcast_to(expected, (10, 2)), rtol=1e-3, atol=1e-3)
        assert state[1] == 0

    def test_expansion_by_hand(self):
        with enable_x64():
            m, s = np.array([1.0, -0.5]), np.array([0.7, 1.3])
            g = np.array([3 * m[0] ** 2 + m[1] ** 2, 2 * m[0] * m[1]])
            hessian = np.array([[6 * m[0], 2 * m[1]], [2 * m[1], 2 * m[0]]])
            f, x = m[0] ** 3 + m[0] * m[1] ** 2, np.array([0.2, 2.0])
            cv, expected_value, _ = control_delta_method(cubic)
            for params in ([m, np.log(s)], {"loc": m, "log_scale": np.log(s)}):
                taylor = f + g @ (x - m) + (x - m) @ hessian @ (x - m) / 2
                assert cv(params, x, None) == pytest.approx(taylor, rel=1e-12)
                assert expected_value(params, None) == pytest.approx(f + np.diag(hessian) @ s**2 / 2, rel=1e-12)
            # of the expectation of this expansion: its centre stays where it is
            by_mean, by_log_scale = jax.grad(expected_value)([jnp.asarray(m), jnp.log(s)], None)
            np.testing.assert_allclose(by_mean, g, 1e-12)
            np.testing.assert_allclose(by_log_scale, np.diag(hessian) * s**2, 1e-12)
            by_params = jax.grad(cv)([jnp.asarray(m), jnp.log(s)], x, None)
            assert not np.any(by_params)

    def test_shapes_of_mean_and_scale(self):
        expected_value = control_delta_method(lambda x: jnp.sum(jnp.square(x))).expected_value
        assert expected_value((2.0, np.log(3.0)), None) == pytest.approx(4 + 9)
        assert expected_value((jnp.ones((2, 3)), np.log(3.0)), None) == pytest.approx(6 + 6 * 9)
        assert expected_value(jnp.array([[1.0, 2.0], [0.0, 0.0]]), None) == pytest.approx(5 + 2)  # row by row
        low = expected_value((jnp.ones(3, jnp.bfloat16), jnp.float16(0)), None)
        assert (low, low.dtype) == (6, jnp.float32)
        assert expected_value((jnp.zeros(0), 0.0), None) == 0

    def test_one_scale_for_all_components(self):
        jacobians, _ = estimate(quadratic, control_delta_method, pathwise_jacobians, [MEAN, 0.2], multi_normal, KEY, 4)
        assert [j.shape for j in jacobians] == [(4, 2), (4,)]
        np.testing.assert_allclose(jacobians[1], np.full(4, -6 * np.exp(0.4)), rtol=1e-3)

    def test_what_it_is_not_for(self):
        cv, expected_value, _ = control_delta_method(quadratic)
        for params in ([MEAN], {"mean": MEAN, "log_scale": MEAN}, [{"loc": MEAN}, MEAN], [None, MEAN], [1.0, 2.0, 3.0]):
            with pytest.raises(ValueError, match=r"control_delta_method is for params \(mean, log_scale\)"):
                expected_value(params, None)
        with pytest.raises(ValueError, match=r"shape of the mean, \(2,\), got \(3,\)"):
            expected_value([MEAN, jnp.zeros(3)], None)
        with pytest.raises(ValueError, match=r"shape of the mean in params, \(2,\), got \(3,\)"):
            cv(PARAMS, jnp.zeros(3), None)
        with pytest.raises(ValueError, match="its Taylor expansion would be a constant, use moving_avg_baseline"):
            control_delta_method(lambda x: x[0] > 0).expected_value(PARAMS, None)
        with pytest.raises(ValueError, match="to a scalar"):
            control_delta_method(jnp.square).expected_value(PARAMS, None)
        assert control_delta_method(lambda x: 2.0).expected_value(PARAMS, None) == 2


class TestMovingAverage:
    @pytest.mark.parametrize("decay", [0.0, 0.05, 0.9, 0.99])
    @pytest.mark.parametrize("early", [True, False])
    def test_the_weighted_mean_of_all_batches(self, decay, early):
        """The total weight is that of the decays that were used, so nothing is divided twice."""
        batches = np.random.default_rng(0).normal(3, 1, (100, 4))
        _, expected_value, update = moving_avg_baseline(lambda x: x, decay, True, early)
        raw = moving_avg_baseline(lambda x: x, decay, False, early).expected_value
        run = jax.jit(
            lambda b: jax.lax.scan(
                lambda s, x: (update([], x, s), (expected_value([], s), raw([], s))), STATE, jnp.asarray(b)
            )
        )
        _, (debiased, values) = run(batches.astype(np.float32))
        weights: list[float] = []
        for t in range(len(batches)):
            expected = np.dot(weights, batches.mean(1)[:t])
            assert values[t] == pytest.approx(expected, rel=1e-4)
            assert debiased[t] == pytest.approx(expected / sum(weights) if weights else 0, rel=1e-4)
            d = min(decay, (1 + t) / (10 + t)) if early else decay
            weights = [d * w for w in weights] + [1 - d]

    @pytest.mark.parametrize("early", [True, False])
    def test_the_average_of_a_constant_is_that_constant(self, early):
        """Also past the batch (890) from which on the decay is the one that was asked for."""
        _, expected_value, update = moving_avg_baseline(lambda x: 7.0, 0.99, True, early)
        states = jax.lax.scan(lambda s, _: (update([], jnp.zeros(1), s),) * 2, STATE, length=1000)[1]
        baselines = jax.vmap(lambda s: expected_value([], s))(states)
        np.testing.assert_allclose(baselines, np.full(1000, 7.0), rtol=1e-5)

    def test_it_is_a_constant_for_the_gradient(self):
        cv, expected_value, _ = moving_avg_baseline(quadratic)
        state = (jnp.float32(3), jnp.int32(1))
        assert cv(PARAMS, MEAN, state) == expected_value(PARAMS, state) == pytest.approx(3 / 0.9)
        assert not np.any(jax.grad(expected_value)(PARAMS, state))

    def test_the_state_keeps_its_form(self):
        _, _, update = moving_avg_baseline(lambda x: x)
        state = update([], jnp.ones(3), (0.0, 0))
        assert [(s.dtype, s.weak_type) for s in state] == [(jnp.float32, False), (jnp.int32, False)]
        for start in (STATE, (jnp.bfloat16(0), jnp.int32(2**31 - 1))):
            after = update([], jnp.ones(3), start)
            assert [(s.shape, s.dtype, s.weak_type) for s in after] == [((), s.dtype, False) for s in start]
        assert after[1] == 2**31 - 1

    @pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0])
    def test_decays_that_make_no_average(self, decay):
        with pytest.raises(ValueError, match="decay must be at least 0 and below 1"):
            moving_avg_baseline(quadratic, decay)


def scaled_linear(function):
    """A control variate that depends on the parameters itself, with the expectation that this has."""

    def control_variate(params, x, state):
        return jnp.sum(params[0] ** 2 * x**2) + jnp.dot(params[1], x)

    def expected_value(params, state):
        second_moments = params[0] ** 2 + jnp.exp(2 * params[1])
        return jnp.sum(params[0] ** 2 * second_moments) + jnp.dot(params[1], params[0])

    return control_variate, expected_value, lambda params, x, state: state


class TestJacobians:
    def test_every_sample_by_hand(self):
        """(f(x) - T(x)) grad log p(x) + grad E[T]."""
        n, (m, s), x = 20, (np.asarray(MEAN), np.exp(LOG_SCALE)), np.asarray(samples(20), np.float64)
        f = x[:, 0] ** 3 + x[:, 0] * x[:, 1] ** 2
        g = np.array([3 * m[0] ** 2 + m[1] ** 2, 2 * m[0] * m[1]])
        hessian = np.array([[6 * m[0], 2 * m[1]], [2 * m[1], 2 * m[0]]])
        taylor = m[0] ** 3 + m[0] * m[1] ** 2 + (x - m) @ g + np.einsum("ni,ij,nj->n", x - m, hessian, x - m) / 2
        z = (x - m) / s
        rest = (f - taylor)[:, None]
        ours, _ = estimate(cubic, control_delta_method, score_function_jacobians, PARAMS, multi_normal, KEY, n)
        np.testing.assert_allclose(ours[0], rest * z / s + g, 1e-3, 1e-3)
        np.testing.assert_allclose(ours[1], rest * (z**2 - 1) + np.diag(hessian) * s**2, 1e-3, 1e-3)

    @pytest.mark.parametrize(
        ("estimator", "fitted"),
        [(score_function_jacobians, False), (pathwise_jacobians, True), (measure_valued_jacobians, False)],
    )
    def test_one_that_depends_on_the_parameters_changes_no_expectation(self, estimator, fitted):
        n = 20000
        jacobians, _ = estimate(quadratic, scaled_linear, estimator, PARAMS, multi_normal, KEY, n, None, fitted, 100)
        for by_leaf, expected in zip(jacobians, GRADIENT, strict=True):
            error = np.abs(by_leaf.mean(0) - expected)
            assert (error < 4.5 * by_leaf.std(0) / n**0.5).all()

    def test_a_batch_is_not_its_own_baseline(self):
        """The first batch has none; the second has the mean over the first."""
        run = functools.partial(
            estimate, cubic, moving_avg_baseline, score_function_jacobians, PARAMS, multi_normal, KEY, 20
        )
        first, state = run(STATE)
        plain = score_function_jacobians(cubic, PARAMS, multi_normal, KEY, 20)
        np.testing.assert_allclose(first, plain, 1e-4, 1e-4)
        baseline = jax.vmap(cubic)(samples(20)).mean().item()
        assert moving_avg_baseline(cubic).expected_value(PARAMS, state) == pytest.approx(baseline, rel=1e-4)
        assert state[1] == 1

        second, state = run(state)
        score = score_function_jacobians(lambda x: 1.0, PARAMS, multi_normal, KEY, 20)
        for ours, without, by_one in zip(second, plain, score, strict=True):
            np.testing.assert_allclose(ours, without - baseline * by_one, 1e-3, 1e-3)
        assert state[1] == 2

    def test_states_in_a_scan(self):
        def step(state, key):
            jacobians, state = control_variates_jacobians(
                cubic, moving_avg_baseline, score_function_jacobians, PARAMS, multi_normal, key, 5, state
            )
            return state, jacobians[0]

        started = jax.eval_shape(lambda: step(None, KEY)[0])
        assert [(s.shape, s.dtype, s.weak_type) for s in started] == [
            ((), jnp.float32, False),
            ((), jnp.int32, False),
        ]
        state, jacobians = jax.lax.scan(step, STATE, jax.random.split(KEY, 3))
        assert state[1] == 3
        assert jacobians.shape == (3, 5, 2)

    def test_leaves_keep_their_dtype_and_trees_their_form(self):
        low = {"loc": MEAN.astype(jnp.bfloat16), "log_scale": jnp.float32(0.2)}
        jacobians, _ = estimate(quadratic, control_delta_method, score_function_jacobians, low, multi_normal, KEY, 8)
        assert {name: (j.shape, j.dtype) for name, j in jacobians.items()} == {
            "loc": ((8, 2), jnp.bfloat16),
            "log_scale": ((8,), jnp.float32),
        }
        # What cancels is computed in float32: only the result is rounded.
        exact = np.broadcast_to(np.asarray(GRADIENT[0].astype(jnp.bfloat16), np.float32), (8, 2))
        np.testing.assert_allclose(jacobians["loc"].astype(jnp.float32), exact, rtol=1e-2)
        with enable_x64():
            double, state = estimate(
                lambda x: jnp.sum(x**3),
                control_delta_method,
                pathwise_jacobians,
                [np.zeros(2), np.zeros(2)],
                multi_normal,
                jax.random.key(0),
                3,
            )
            assert [x.dtype for x in (*double, *state)] == [jnp.float64, jnp.float64, jnp.float64, jnp.int32]


class TestCoefficients:
    def test_against_the_covariances(self):
        n, eps = 50, 0.1
        by_function, by_variate = (
            score_function_jacobians(f, PARAMS, multi_normal, KEY, n)
            for f in (cubic, lambda x: control_delta_method(cubic).control_variate(PARAMS, x, None))
        )
        ours = coefficients(
            cubic, control_delta_method, score_function_jacobians, PARAMS, multi_normal, KEY, n, None, eps
        )
        for b, f, v in zip(ours, by_function, by_variate, strict=True):
            both = [np.cov(np.asarray(f)[:, k], np.asarray(v)[:, k]) for k in range(2)]
            expected = sum(c[0, 1] for c in both) / (sum(c[1, 1] for c in both) + eps)
            assert (b.shape, b.dtype) == ((), jnp.float32)
            assert b == pytest.approx(expected, rel=1e-3)

    def test_a_variate_that_does_not_vary_gets_0(self):
        """Pathwise gradients do not see a baseline, and nothing is divided by 0."""
        b = coefficients(quadratic, moving_avg_baseline, pathwise_jacobians, PARAMS, multi_normal, KEY, 4, STATE, 0.0)
        assert [float(of_leaf) for of_leaf in b] == [0, 0]

    def test_other_samples_than_those_of_the_gradient(self):
        """With b from half of the key, and the gradient from the other half."""
        kept, other = jax.random.split(KEY)
        jacobians, _ = estimate(
            cubic, scaled_linear, score_function_jacobians, PARAMS, multi_normal, KEY, 20, None, True, 30
        )
        b = coefficients(cubic, scaled_linear, score_function_jacobians, PARAMS, multi_normal, other, 30)
        explained, _ = estimate(cubic, scaled_linear, score_function_jacobians, PARAMS, multi_normal, kept, 20)
        plain = score_function_jacobians(cubic, PARAMS, multi_normal, kept, 20)
        for ours, b_leaf, full, none in zip(jacobians, b, explained, plain, strict=True):
            np.testing.assert_allclose(ours, none + b_leaf * (full - none), 1e-2, 1e-2)


class TestErrors:
    def test_control_variates_that_are_not_scalar(self):
        vector = ControlVariate(lambda p, x, s: x, lambda p, s: jnp.zeros(()), lambda p, x, s: s)
        with pytest.raises(ValueError, match=r"control_variate must return a floating scalar, .* shape \(2,\)"):
            estimate(quadratic, lambda f: vector, pathwise_jacobians, PARAMS, multi_normal, KEY, 3)
        integer = ControlVariate(lambda p, x, s: x[0], lambda p, s: 0, lambda p, x, s: s)
        with pytest.raises(ValueError, match="expected_value must return a floating scalar, got dtype int32"):
            estimate(quadratic, lambda f: integer, pathwise_jacobians, PARAMS, multi_normal, KEY, 3)

    def test_a_control_variate_that_is_made_already(self):
        with pytest.raises(TypeError, match="as control_delta_method does; got ControlVariate, perhaps what it made"):
            estimate(quadratic, control_delta_method(quadratic), pathwise_jacobians, PARAMS, multi_normal, KEY, 3)

    def test_coefficients_from_too_little(self):
        arguments = (quadratic, control_delta_method, pathwise_jacobians, PARAMS, multi_normal, KEY)
        with pytest.raises(ValueError, match="estimate coefficients from must be >= 2, got 1"):
            estimate(*arguments, 3, None, True, 1)
        with pytest.raises(ValueError, match="eps must be at least 0"):
            estimate_control_variate_coefficients(*arguments, 3, eps=-1.0)

    def test_what_the_estimator_refuses_is_refused(self):
        """The difference with a differentiable control variate does not hide that the function is none."""
        with pytest.raises(ValueError, match="the derivative of function is zero everywhere"):
            estimate(lambda x: x[0] > 0, scaled_linear, pathwise_jacobians, PARAMS, multi_normal, KEY, 3)

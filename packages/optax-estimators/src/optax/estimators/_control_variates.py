"""Control variates: subtract from the function what has a known expectation, and add that back."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import xlogy

from optax.core import PyTree, check_hyperparameter, safe_increment, widen
from optax.estimators._differentiability import require_derivative
from optax.estimators._distributions import Distribution
from optax.estimators._expectation import build, cost, float_leaves, keys, one_sample

__all__ = [
    "ControlVariate",
    "CvState",
    "control_delta_method",
    "control_variates_jacobians",
    "estimate_control_variate_coefficients",
    "moving_avg_baseline",
]

CvState: TypeAlias = Any


class ControlVariate(NamedTuple):
    """A function of the sample with a known expectation; a plain tuple of the three functions will do as well.

    Attributes:
      control_variate: `control_variate(params, sample, state)`, a scalar for one sample.
      expected_value: `expected_value(params, state)`, the scalar expectation of the control variate over the samples.
        Its gradient by `params` has to be that of the expectation: where `control_variate` depends on `params` itself,
        other than by a constant (`jax.lax.stop_gradient`), so does `expected_value`.
      update_state: `update_state(params, samples, state)`, the state for the next batch. `samples` have a first axis
        of all the samples of this batch.
    """

    control_variate: Callable[[PyTree, Any, CvState], jax.Array]
    expected_value: Callable[[PyTree, CvState], jax.Array]
    update_state: Callable[[PyTree, Any, CvState], CvState]


def control_delta_method(function: Callable[[Any], Any]) -> ControlVariate:
    """The control variate that is the second-order Taylor expansion of the function about the mean of a normal.

        T(x) = f(m) + g (x - m) + (x - m)' H (x - m) / 2,    E[T(x)] = T(mean) + sum_k H_kk scale_k^2 / 2

    with g and H the gradient and the Hessian at m, the value of the mean; no derivative is taken by m. It fits what is
    smooth over the spread of the samples; nothing of the variance is left if `function` is quadratic. There is no
    state; one is passed on as it is. T(x) takes one product of H with a vector, and E[T(x)] as many as there are
    components, one after the other; neither makes H.

    Args:
      function: maps one sample, an array of the shape of the mean, to a real scalar, and is twice differentiable.

    Returns:
      The three functions. Their `params` are those of `multi_normal`: mean and log_scale in a sequence, or under the
      names "loc" and "log_scale" in a mapping; log_scale has the shape of the mean or is a scalar.

    Raises:
      ValueError: when called, if `params` are others, or `function` is not scalar or has no derivative.

    Reference:
      Paisley, Blei, Jordan, "Variational Bayesian Inference with Stochastic Search", 2012, ICML.

    >>> expected_value = control_delta_method(lambda x: 3 * x**2).expected_value
    >>> expected_value([1.0, 0.0], None)
    Array(6., dtype=float32)
    """

    def expansion(mean: jax.Array) -> tuple[Callable[[jax.Array], jax.Array], Callable[[jax.Array], jax.Array]]:
        """T, and the product of H with a vector."""
        m = jax.lax.stop_gradient(mean)
        require_derivative(
            "function",
            lambda x: cost(function, x),
            m,
            "its Taylor expansion would be a constant, use moving_avg_baseline",
        )
        (f, _), derivatives = jax.linearize(jax.value_and_grad(lambda x: cost(function, x)), m)

        def taylor(x: jax.Array) -> jax.Array:
            step = x - m
            slope, curvature = derivatives(step)
            second = jnp.sum(step * curvature).astype(f.dtype)
            value: jax.Array = f + slope + second / 2
            return value

        return taylor, lambda v: derivatives(v)[1]

    def control_variate(params: PyTree, sample: Any, state: CvState = None) -> jax.Array:
        mean, _ = _mean_and_scale(params)
        x = jnp.asarray(sample)
        if x.shape != mean.shape:
            raise ValueError(f"the samples must have the shape of the mean in params, {mean.shape}, got {x.shape}")
        return expansion(mean)[0](x.astype(mean.dtype))

    def expected_value(params: PyTree, state: CvState = None) -> jax.Array:
        mean, scale = _mean_and_scale(params)
        taylor, product = expansion(mean)

        def entry(k: jax.Array) -> jax.Array:
            unit = (jnp.arange(mean.size) == k).astype(mean.dtype)
            return jnp.sum(product(unit.reshape(mean.shape)).ravel() * unit)

        diagonal = jax.lax.map(entry, jnp.arange(mean.size))
        spread = jnp.sum(diagonal * jnp.square(scale.ravel())) / 2
        at_mean = taylor(mean)
        return at_mean + spread.astype(at_mean.dtype)

    def update_state(params: PyTree, samples: Any, state: CvState = None) -> CvState:
        return state

    return ControlVariate(control_variate, expected_value, update_state)


def moving_avg_baseline(
    function: Callable[[Any], Any],
    decay: float = 0.99,
    zero_debias: bool = True,
    use_decay_early_training_heuristic: bool = True,
) -> ControlVariate:
    """The control variate that is the average of the function over the batches before this one.

        value <- d_t value + (1 - d_t) mean_i function(x_i),    baseline = value / (1 - d_0 d_1 ... d_(t-1))

    after t batches. The baseline does not depend on the sample: it is its own expectation, and its gradient is 0. It
    lowers the variance of score function gradients and changes nothing for estimators that see only differences of
    the function. The state is (value, t), floating and integer; both start at 0, as does the baseline.

    Args:
      function: maps one sample to a real scalar.
      decay: d_t, at least 0 and below 1.
      zero_debias: whether to divide by the total weight of the batches so far, so that the baseline is their weighted
        mean. Otherwise the baseline is `value`, which starts from 0.
      use_decay_early_training_heuristic: whether d_t = min(decay, (1 + t) / (10 + t)), which follows the first batches
        faster.

    Returns:
      The three functions. They work with any `params` and any distribution.

    Raises:
      ValueError, TypeError: `decay` is out of range, or no real number.

    >>> _, baseline, update = moving_avg_baseline(lambda x: x)
    >>> state = update([], jnp.array([1.0, 3.0]), (0.0, 0))
    >>> baseline([], state)
    Array(2., dtype=float32)
    """
    check_hyperparameter("decay", decay, least=0, below=1)

    def weight(count: jax.Array, dtype: Any) -> jax.Array:
        """1 - d_0 d_1 ... d_(count-1), without a subtraction from 1."""
        d, t = jnp.asarray(decay, dtype), count.astype(dtype)
        if not use_decay_early_training_heuristic:
            return -jnp.expm1(xlogy(t, d))
        # The first `early` factors are (1 + t) / (10 + t): their product telescopes to nine fractions.
        early = jnp.clip(jnp.ceil((10 * d - 1) / (1 - d)), 0, t)
        k = jnp.arange(1, 10).astype(dtype)
        return -jnp.expm1(jnp.sum(jnp.log(k / (early + k))) + xlogy(t - early, d))

    def expected_value(params: PyTree, state: CvState) -> jax.Array:
        value, count = (jnp.asarray(part) for part in state)
        value = jax.lax.stop_gradient(widen(value))
        if not zero_debias:
            return value
        return value / jnp.where(count == 0, 1, weight(count, value.dtype))

    def control_variate(params: PyTree, sample: Any, state: CvState) -> jax.Array:
        return expected_value(params, state)

    def update_state(params: PyTree, samples: Any, state: CvState) -> CvState:
        value, count = (jnp.asarray(part) for part in state)
        batch = jnp.mean(jax.vmap(lambda x: cost(function, x))(samples))
        t, d = count.astype(batch.dtype), jnp.asarray(decay, batch.dtype)
        if use_decay_early_training_heuristic:
            d = jnp.minimum(d, (1 + t) / (10 + t))
        updated = d * value.astype(batch.dtype) + (1 - d) * batch
        return jax.lax.stop_gradient(updated).astype(value.dtype), safe_increment(count)

    return ControlVariate(control_variate, expected_value, update_state)


def control_variates_jacobians(
    function: Callable[[Any], Any],
    control_variate_from_function: Callable[[Callable[[Any], Any]], ControlVariate],
    grad_estimator: Callable[..., PyTree],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    control_variate_state: CvState | None = None,
    estimate_cv_coeffs: bool = False,
    estimate_cv_coeffs_num_samples: int = 20,
) -> tuple[PyTree, CvState]:
    """Gradients of an expectation by any estimator, less what a control variate of known expectation explains.

        J_i = J_i[function] - b (J_i[h] + dh(x_i; params) / dparams - dE[h(x; params)] / dparams)

    with h the control variate at this state and J_i[h] the estimates by `grad_estimator` of the same key, for which the
    `params` in h are constants. The bracket has expectation 0, so that J_i has that of J_i[function] for every b; its
    variance is smaller if h resembles `function`.

    Args:
      function: maps one sample to a real scalar; as `grad_estimator` and the control variate need it.
      control_variate_from_function: makes the `ControlVariate` for `function`: `control_delta_method`,
        `moving_avg_baseline` (`functools.partial` for its options) or one of your own.
      grad_estimator: an estimator of this package, or any that is called as
        `grad_estimator(function, params, dist_builder, rng, num_samples)`.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats. Those
        in bfloat16 and float16 reach it in float32.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key.
      num_samples: how many samples, >= 1; static under `jit`.
      control_variate_state: what the last call returned. None starts with the state (0.0, 0) of `moving_avg_baseline`.
      estimate_cv_coeffs: whether b is estimated for each leaf, by `estimate_control_variate_coefficients`, from other
        samples: with the same ones, the gradient would be biased. Otherwise b is 1.
      estimate_cv_coeffs_num_samples: how many, >= 2.

    Returns:
      The tree of `params`, each leaf of shape (num_samples, *leaf.shape) and of its dtype, and the state for the next
      batch. The mean over the first axis estimates the gradient. This batch was not used for its own control variate.

    Raises:
      ValueError: there are too few samples, `function` or the control variate is not scalar for one sample, and
        whatever `grad_estimator` and the control variate raise.
      TypeError: a leaf is not floating, the distribution lacks a method, or `control_variate_from_function` is not
        callable.

    Reference:
      Mohamed et al., "Monte Carlo Gradient Estimation in Machine Learning", 2020, JMLR 21(132), section 7.4.
    """
    params = float_leaves(params)
    precise = jax.tree.map(widen, params)
    state = _started(control_variate_state, function, precise, dist_builder, rng)
    coefficients = jax.tree.map(lambda p: jnp.ones((), p.dtype), precise)
    if estimate_cv_coeffs:
        rng, other = jax.random.split(rng)
        coefficients = estimate_control_variate_coefficients(
            function,
            control_variate_from_function,
            grad_estimator,
            precise,
            dist_builder,
            other,
            estimate_cv_coeffs_num_samples,
            state,
        )
    _, expected_value, update_state = h = _made(control_variate_from_function, function)
    by_function = grad_estimator(function, precise, dist_builder, rng, num_samples)
    by_variate, samples = _by_control_variate(h, grad_estimator, precise, dist_builder, rng, num_samples, state)
    expected = jax.grad(lambda p: _scalar("expected_value", expected_value(p, state)))(precise)

    def less(p: jax.Array, b: jax.Array, f: jax.Array, v: jax.Array, e: jax.Array) -> jax.Array:
        return (f - b * (v - jnp.broadcast_to(e, v.shape))).astype(p.dtype)

    jacobians = jax.tree.map(less, params, coefficients, by_function, by_variate, expected)
    return jacobians, update_state(precise, samples, state)


def estimate_control_variate_coefficients(
    function: Callable[[Any], Any],
    control_variate_from_function: Callable[[Callable[[Any], Any]], ControlVariate],
    grad_estimator: Callable[..., PyTree],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    control_variate_state: CvState | None = None,
    eps: float = 1e-3,
) -> PyTree:
    """How much of a control variate to subtract, for each leaf of the parameters, so that the variance is least.

        b = sum_k Cov(J_k[function], V_k) / (sum_k Var(V_k) + eps)

    where V_k = J_k[h] + dh(x; params) / dparams_k for the control variate h, and k runs over the elements of a leaf.
    Estimates of the gradient from the same samples would be biased: take others, as `control_variates_jacobians` does.

    Args:
      function: maps one sample to a real scalar; as `grad_estimator` and the control variate need it.
      control_variate_from_function: makes the `ControlVariate` for `function`.
      grad_estimator: called as `grad_estimator(function, params, dist_builder, rng, num_samples)`.
      params: the arguments of `dist_builder`, a sequence of them or a mapping by keyword; any trees of floats. Those
        in bfloat16 and float16 reach it in float32.
      dist_builder: called as `dist_builder(*params)`, returns a `Distribution`.
      rng: a PRNG key.
      num_samples: how many samples, >= 2; static under `jit`.
      control_variate_state: as in `control_variates_jacobians`; it is not updated.
      eps: at least 0. It draws b to 0 where the control variate hardly varies.

    Returns:
      The tree of `params`, each leaf a scalar b, float32 or float64; 0 where the denominator is 0.

    Raises:
      ValueError: there are too few samples, `eps` is negative, and what `grad_estimator` and the control variate raise.
      TypeError: a leaf is not floating, or the distribution lacks a method.

    Reference:
      Mohamed et al., "Monte Carlo Gradient Estimation in Machine Learning", 2020, JMLR 21(132), section 7.4.
    """
    check_hyperparameter("eps", eps, least=0)
    if operator.index(num_samples) < 2:
        raise ValueError(f"the number of samples to estimate coefficients from must be >= 2, got {num_samples}")
    params = jax.tree.map(widen, float_leaves(params))
    state = _started(control_variate_state, function, params, dist_builder, rng)
    h = _made(control_variate_from_function, function)
    by_function = grad_estimator(function, params, dist_builder, rng, num_samples)
    by_variate, _ = _by_control_variate(h, grad_estimator, params, dist_builder, rng, num_samples, state)

    def coefficient(f: jax.Array, v: jax.Array) -> jax.Array:
        f, v = (x - jnp.broadcast_to(jnp.mean(x, 0), x.shape) for x in (f, v))
        covariance, variance = jnp.sum(f * v) / (num_samples - 1), jnp.sum(v * v) / (num_samples - 1)
        denominator = variance + jnp.asarray(eps, variance.dtype)
        return covariance / jnp.where(denominator == 0, 1, denominator)

    return jax.tree.map(coefficient, by_function, by_variate)


def _made(control_variate_from_function: Any, function: Callable[[Any], Any]) -> ControlVariate:
    if not callable(control_variate_from_function):
        raise TypeError(
            "control_variate_from_function must make the control variate of a function, as control_delta_method does; "
            f"got {type(control_variate_from_function).__name__}, perhaps what it made"
        )
    made: ControlVariate = control_variate_from_function(function)
    return made


def _started(
    state: CvState | None,
    function: Callable[[Any], Any],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
) -> CvState:
    """`state`, or the one that averages of `function` start from."""
    if state is not None:
        return state
    value = jax.eval_shape(lambda key: cost(function, one_sample(build(dist_builder, params, "sample"), key)), rng)
    return jnp.zeros((), value.dtype), jnp.zeros((), jnp.int32)


def _by_control_variate(
    control_variate: ControlVariate,
    grad_estimator: Callable[..., PyTree],
    params: PyTree,
    dist_builder: Callable[..., Distribution],
    rng: jax.Array,
    num_samples: int,
    state: CvState,
) -> tuple[PyTree, PyTree]:
    """Per-sample derivatives of the expectation of the control variate, and samples of this key."""
    h, _, _ = control_variate
    distribution = build(dist_builder, params, "sample")
    samples = jax.lax.stop_gradient(jax.vmap(lambda key: one_sample(distribution, key))(keys(rng, num_samples)))

    def function(x: PyTree, p: PyTree = params) -> jax.Array:
        return _scalar("control_variate", h(p, x, state))

    def by_own_params(x: PyTree) -> PyTree:
        return jax.grad(lambda p: function(x, p))(params)

    by_samples = grad_estimator(function, params, dist_builder, rng, num_samples)
    return jax.tree.map(jnp.add, by_samples, jax.vmap(by_own_params)(samples)), samples


def _scalar(name: str, value: Any) -> jax.Array:
    """What one of the functions of a control variate returned, in float32 or float64."""
    x = jnp.asarray(value)
    if x.shape != () or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name} must return a floating scalar, got dtype {x.dtype} and shape {x.shape}")
    return widen(x)


def _mean_and_scale(params: PyTree) -> tuple[jax.Array, jax.Array]:
    """The mean and, in its shape and precision, the standard deviation, from the arguments of `multi_normal`."""
    if isinstance(params, Mapping):
        named = dict(params)
    else:
        named = dict(zip(("loc", "log_scale"), params, strict=True)) if len(params) == 2 else {}
    parts = [named.get(name) for name in ("loc", "log_scale")]
    if len(named) != 2 or not jax.tree_util.all_leaves(parts):
        raise ValueError(
            "control_delta_method is for params (mean, log_scale), or a mapping of the names loc and log_scale, of a "
            f"normal distribution, got {jax.tree.map(jnp.shape, params)}"
        )
    mean, log_scale = (widen(part) for part in parts)
    if log_scale.shape not in ((), mean.shape):
        raise ValueError(
            f"log_scale must be a scalar or have the shape of the mean, {mean.shape}, got {log_scale.shape}"
        )
    dtype = max(mean.dtype, log_scale.dtype, key=lambda d: d.itemsize)
    return mean.astype(dtype), jnp.broadcast_to(jnp.exp(log_scale.astype(dtype)), mean.shape)

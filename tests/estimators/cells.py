"""What the estimators are compared on: distributions, functions, and the expectation of each in closed form.

A cell is (distribution, function); its exact gradient is that of the closed form. The functions of a normal variable
are those of Mohamed et al. (2020, section 3): a quadratic, an exponential and a cosine, with a step added.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln

from optax import estimators as e
from optax.estimators import bernoulli, categorical, load_tfp, multi_normal


class Cell(NamedTuple):
    """A distribution, a function of one sample and its expectation as a function of the parameters."""

    distribution: str
    name: str
    builder: Callable[..., Any]
    params: list[Any]
    function: Callable[[Any], Any]
    expectation: Callable[..., Any]
    smooth: bool = True


def tfd(name: str, *fixed: float) -> Callable[..., Any]:
    """A distribution of TensorFlow Probability, with the first arguments fixed."""
    return lambda *params: getattr(load_tfp().distributions, name)(*fixed, *params)


def enumerated(values: Callable[[Any], Any], outcomes: list[Any], probability: Callable[[Any, Any], Any]):
    """The expectation over finitely many outcomes."""
    return lambda p: sum(probability(p, jnp.asarray(x)) * values(jnp.asarray(x)) for x in outcomes)


A = np.array([0.5, -1.0, 2.0], np.float32)
WEIGHTS = np.array([1.0, -0.5, 2.0, 0.3], np.float32)
BITS = [np.array(b, np.float32) for b in itertools.product((0, 1), repeat=3)]
CHOICES = list(np.eye(4, dtype=np.float32))


def quadratic_of_bits(b):
    return jnp.square(b.astype(jnp.float32) @ A + 0.5)


def of_choice(x):
    return jnp.square(x @ WEIGHTS - 0.2)


def of_label(i):
    return jnp.asarray(WEIGHTS)[i]


def of_one_bits(p, b):
    return jnp.prod(jnp.where(b == 1, jax.nn.sigmoid(p), jax.nn.sigmoid(-p)))


def _normal():
    mean, log_scale = 0.8, -0.3

    def var(s):
        return jnp.exp(2 * s)

    functions = {
        "(x - 1/2)^2": (lambda x: jnp.square(x - 0.5), lambda m, s: jnp.square(m - 0.5) + var(s), True),
        "exp(-x^2 / 2)": (
            lambda x: jnp.exp(-0.5 * jnp.square(x)),
            lambda m, s: jnp.exp(-0.5 * jnp.square(m) / (1 + var(s))) / jnp.sqrt(1 + var(s)),
            True,
        ),
        "cos(x)": (jnp.cos, lambda m, s: jnp.cos(m) * jnp.exp(-var(s) / 2), True),
        "x > 0": (lambda x: x > 0, lambda m, s: jax.scipy.stats.norm.cdf(m * jnp.exp(-s)), False),
    }
    for name, (function, expectation, smooth) in functions.items():
        yield Cell("normal", name, multi_normal, [mean, log_scale], function, expectation, smooth)


CELLS = [
    *_normal(),
    Cell(
        "normal vector",
        "(a.x)^2",
        multi_normal,
        [jnp.array([0.4, -0.2, 0.6]), jnp.array([-0.5, 0.1, -1.0])],
        lambda x: jnp.square(x @ A),
        lambda m, s: jnp.square(m @ A) + jnp.square(A) @ jnp.exp(2 * s),
    ),
    Cell(
        "normal vector",
        "x1 x2 x3",
        multi_normal,
        [jnp.array([0.4, -0.9, 0.6]), jnp.array([-0.5, 0.1, -1.0])],
        jnp.prod,
        lambda m, s: jnp.prod(m),
    ),
    Cell(
        "normal of TFP",
        "(x - 1/2)^2",
        lambda m, s: load_tfp().distributions.Normal(m, jax.nn.softplus(s)),
        [0.8, 0.2],
        lambda x: jnp.square(x - 0.5),
        lambda m, s: jnp.square(m - 0.5) + jnp.square(jax.nn.softplus(s)),
    ),
    Cell(
        "bernoulli",
        "(a.b + 1/2)^2",
        bernoulli,
        [jnp.array([0.3, -0.8, 0.5])],
        quadratic_of_bits,
        enumerated(quadratic_of_bits, BITS, of_one_bits),
    ),
    Cell(
        "bernoulli of TFP",
        "(a.b + 1/2)^2",
        lambda p: load_tfp().distributions.Independent(load_tfp().distributions.Bernoulli(logits=2 * p), 1),
        [jnp.array([0.3, -0.8, 0.5])],
        quadratic_of_bits,
        lambda p: enumerated(quadratic_of_bits, BITS, of_one_bits)(2 * p),
    ),
    Cell(
        "one-hot",
        "(w.x - 1/5)^2",
        categorical,
        [jnp.array([0.2, -0.6, 0.9, 0.0])],
        of_choice,
        enumerated(of_choice, CHOICES, lambda p, x: jax.nn.softmax(p) @ x),
    ),
    Cell(
        "categorical of TFP",
        "w[i]",
        tfd("Categorical"),
        [jnp.array([0.2, -0.6, 0.9, 0.0])],
        of_label,
        lambda p: jax.nn.softmax(p) @ WEIGHTS,
    ),
    Cell("poisson", "x^2", tfd("Poisson"), [1.7], jnp.square, lambda r: r + jnp.square(r)),
    Cell("exponential", "x^2", tfd("Exponential"), [1.3], jnp.square, lambda r: 2 / jnp.square(r)),
    Cell("exponential", "exp(-x)", tfd("Exponential"), [1.3], lambda x: jnp.exp(-x), lambda r: r / (1 + r)),
    Cell("exponential", "x > 1", tfd("Exponential"), [1.3], lambda x: x > 1, lambda r: jnp.exp(-r), False),
    Cell("gamma rate", "x^2", tfd("Gamma", 2.5), [1.3], jnp.square, lambda r: 2.5 * 3.5 / jnp.square(r)),
    Cell("gamma rate", "log x", tfd("Gamma", 2.5), [1.3], jnp.log, lambda r: digamma(2.5) - jnp.log(r)),
    Cell("gamma", "x^2", tfd("Gamma"), [2.5, 1.3], jnp.square, lambda c, r: c * (c + 1) / jnp.square(r)),
    Cell(
        "weibull scale",
        "x^2",
        tfd("Weibull", 1.5),
        [0.9],
        jnp.square,
        lambda s: jnp.square(s) * jnp.exp(gammaln(1 + 2 / 1.5)),
    ),
    Cell(
        "weibull",
        "x",
        tfd("Weibull"),
        [1.5, 0.9],
        lambda x: x,
        lambda c, s: s * jnp.exp(gammaln(1 + 1 / c)),
    ),
    Cell("laplace", "x^2", tfd("Laplace"), [0.6, 0.8], jnp.square, lambda m, b: jnp.square(m) + 2 * jnp.square(b)),
    Cell(
        "logistic",
        "x^2",
        tfd("Logistic"),
        [0.6, 0.8],
        jnp.square,
        lambda m, s: jnp.square(m) + jnp.square(math.pi * s) / 3,
    ),
    Cell(
        "student_t",
        "cos(x)",  # with 3 degrees: E cos = (1 + sqrt(3) s) exp(-sqrt(3) s) cos(m)
        tfd("StudentT", 3.0),
        [0.6, 0.8],
        jnp.cos,
        lambda m, s: (1 + math.sqrt(3) * s) * jnp.exp(-math.sqrt(3) * s) * jnp.cos(m),
    ),
    Cell(  # whose support moves: its score says nothing of that
        "uniform",
        "x^2",
        tfd("Uniform"),
        [-0.4, 1.1],
        jnp.square,
        lambda low, high: (jnp.square(low) + low * high + jnp.square(high)) / 3,
    ),
]


def exact_gradient(cell: Cell) -> list[np.ndarray]:
    """The gradient of the closed form."""
    params = [jnp.asarray(p, jnp.float32) for p in cell.params]
    return [np.asarray(g) for g in jax.grad(lambda p: cell.expectation(*p))(params)]


SAMPLES = 100_000
NORMAL = ("normal", "normal vector", "normal of TFP")
OURS = ("normal", "normal vector", "bernoulli", "one-hot")  # all others are those of TensorFlow Probability
SYMMETRIC = (*NORMAL, "laplace", "logistic", "student_t")
CONTINUOUS = (*SYMMETRIC, "exponential", "gamma", "gamma rate", "weibull", "weibull scale")
BINARY = ("bernoulli", "bernoulli of TFP")
TRIPLES = (*SYMMETRIC, *BINARY, "uniform", "poisson", "exponential", "gamma rate", "weibull scale")
SCORES = ("normal", "normal vector", "bernoulli", "one-hot", "categorical of TFP", "exponential")  # enough of EVERY
EVERY = (*CONTINUOUS, *BINARY, "one-hot", "categorical of TFP", "poisson")


def with_delta(estimator: Callable[..., Any]) -> Callable[..., Any]:
    def estimate(*arguments: Any) -> Any:
        function, *rest = arguments
        return e.control_variates_jacobians(
            function,
            e.control_delta_method,
            estimator,
            *rest,
            estimate_cv_coeffs=True,
            estimate_cv_coeffs_num_samples=50,
        )[0]

    return estimate


def with_moving_average(*arguments: Any) -> Any:
    function, *rest = arguments
    state = (jnp.float32(1.5), jnp.int32(3))
    return e.control_variates_jacobians(
        function, e.moving_avg_baseline, e.score_function_jacobians, *rest, control_variate_state=state
    )[0]


def quartic(z: jax.Array) -> jax.Array:
    return 0.3 * jnp.sum(jnp.tanh(z)) - 0.1 * jnp.prod(jnp.cos(z))


# The estimator, the distributions that it takes, and whether the function must have a derivative.
ESTIMATORS: dict[str, tuple[Callable[..., Any], tuple[str, ...], bool]] = {
    "score function": (e.score_function_jacobians, EVERY, False),
    "leave one out": (e.leave_one_out_jacobians, SCORES, False),
    "optimal baseline": (e.optimal_baseline_jacobians, SCORES, False),
    "pathwise": (e.pathwise_jacobians, (*CONTINUOUS, "uniform"), True),
    "measure valued": (e.measure_valued_jacobians, TRIPLES, False),
    "measure valued, uncoupled": (functools.partial(e.measure_valued_jacobians, coupling=False), TRIPLES, False),
    "antithetic pathwise": (e.antithetic_jacobians, (*SYMMETRIC, "uniform"), True),
    "antithetic score": (
        functools.partial(e.antithetic_jacobians, grad_estimator=e.score_function_jacobians),
        ("normal", "laplace"),
        False,
    ),
    "ARM": (e.arm_jacobians, BINARY, False),
    "DisARM": (e.disarm_jacobians, BINARY, False),
    "REBAR": (functools.partial(e.rebar_jacobians, temperature=0.7, eta=0.8), ("bernoulli", "one-hot"), False),
    "RELAX": (functools.partial(e.relax_jacobians, control_variate=quartic), (*BINARY, "one-hot"), False),
    "moving average": (with_moving_average, ("normal", "exponential"), False),
    "delta, score function": (with_delta(e.score_function_jacobians), ("normal", "normal vector"), True),
    "delta, pathwise": (with_delta(e.pathwise_jacobians), ("normal vector",), True),
    "delta, measure valued": (with_delta(e.measure_valued_jacobians), ("normal vector",), True),
}


def names(cell: Cell) -> list[str]:
    """The estimators that apply in a cell."""
    return [
        name
        for name, (_, distributions, derivative) in ESTIMATORS.items()
        if cell.distribution in distributions and (cell.smooth or not derivative)
    ]


def sampled(name: str, cell: Cell) -> list[np.ndarray]:
    """1e5 Jacobians of one estimator in one cell, in float64."""
    estimator = ESTIMATORS[name][0]
    run = jax.jit(lambda p, key: estimator(cell.function, p, cell.builder, key, SAMPLES))
    params = [jnp.asarray(p, jnp.float32) for p in cell.params]
    key = jax.random.key(len(cell.distribution + cell.name))  # one for all, so that they have samples in common
    return [np.asarray(j, np.float64) for j in run(params, key)]


def standard_errors(jacobians: list[np.ndarray], exact: list[np.ndarray]) -> float:
    """How many standard errors the mean is off, in the worst component; rounding, 2e-6, counts as none."""
    worst = 0.0
    for each, gradient in zip(jacobians, exact, strict=True):
        error = np.abs(each.mean(0) - gradient)
        standard_error = each.std(0) / np.sqrt(len(each))
        error = np.where(error < 2e-6 * (1 + np.abs(gradient)), 0, error)
        worst = max(worst, float(np.max(error / np.maximum(standard_error, 1e-12))))
    return worst

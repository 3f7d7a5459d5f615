"""The mean of 1e5 samples of every estimator, against the gradient in closed form, in every cell where it applies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from estimators.cells import CELLS, OURS, SAMPLES, Cell, exact_gradient, names, sampled, standard_errors
from optax import estimators as e

pytestmark = pytest.mark.usefixtures("lenient")


def case(cell: Cell):
    marks = [] if cell.distribution in OURS else [pytest.mark.tfp]
    return pytest.param(cell, marks=marks, id=f"{cell.distribution}, {cell.name}")


@pytest.mark.parametrize("cell", [case(cell) for cell in CELLS])
def test_within_four_standard_errors(cell: Cell) -> None:
    exact = exact_gradient(cell)
    jacobians = {name: sampled(name, cell) for name in names(cell)}
    off = {name: standard_errors(each, exact) for name, each in jacobians.items()}
    assert {name: z for name, z in off.items() if z > 4} == {}
    if "leave one out" in jacobians:
        compare_baselines(cell, jacobians)
    if "measure valued" in jacobians:
        compare_coupling(cell, jacobians)


def compare_baselines(cell: Cell, jacobians: dict[str, list[np.ndarray]]) -> None:
    """A baseline b leaves the variance Var(f s) - 2 b Cov(f s, s) + b^2 Var(s) of the score s.

    That of the mean of f is no less than without one where the mean is beyond twice the best b, or has another sign
    (the cosine, the product of normals, the square of exponentials). The best is never worse than either.
    """
    scores = sampled("score function", cell._replace(function=lambda x: 1.0))
    estimates = (jacobians[name] for name in ("score function", "leave one out", "optimal baseline"))
    mean = np.asarray(cell.expectation(*map(jnp.asarray, cell.params)), np.float64)
    for s, plain, loo, best in zip(scores, *estimates, strict=True):
        covariance = (plain * s).mean(0) - plain.mean(0) * s.mean(0)
        np.testing.assert_allclose(loo.var(0), plain.var(0) - 2 * mean * covariance + mean**2 * s.var(0), rtol=0.02)
        assert np.all(best.var(0) <= 1.001 * np.minimum(loo.var(0), plain.var(0)))


def compare_coupling(cell: Cell, jacobians: dict[str, list[np.ndarray]]) -> None:
    """Coupling is no worse, but for the mean of a normal where the function is linear in a component.

    There f(m + r) - f(m - r') is proportional to r + r', which varies most if r' = r.
    """
    for i, pair in enumerate(
        zip(*(jacobians[n] for n in ("measure valued", "measure valued, uncoupled")), strict=True)
    ):
        if (cell.distribution, i) != ("normal vector", 0):
            coupled, free = (each.var(0).sum() for each in pair)
            assert coupled <= 1.02 * free


@pytest.mark.parametrize("estimator", [e.var_grad_jacobians, e.sticking_the_landing_jacobians, e.dreg_jacobians])
def test_divergence_from_a_normal(estimator) -> None:
    """KL(N(m, e^2s) || N(0, 1)) = (m^2 + e^2s - 1) / 2 - s; the target lacks its constant."""
    options = {"num_particles": 1} if estimator is e.dreg_jacobians else {}
    m, s = 0.7, -0.4
    run = jax.jit(lambda p, key: estimator(lambda x: -0.5 * jnp.square(x), p, e.multi_normal, key, SAMPLES, **options))
    jacobians = [np.asarray(j, np.float64) for j in run([jnp.float32(m), jnp.float32(s)], jax.random.key(5))]
    assert standard_errors(jacobians, [np.asarray(m), np.asarray(np.exp(2 * s) - 1)]) <= 4


def test_importance_weighted_bound() -> None:
    """-E log((w_1 + w_2) / 2) by Gauss-Hermite quadrature in float64, w = exp(-x^2 / 2) / q(x)."""
    m, s = 0.7, -0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()

    def bound(m: float, s: float) -> float:
        log_w = -0.5 * (m + np.exp(s) * nodes) ** 2 + 0.5 * nodes**2 + s
        return -np.sum(weights[:, None] * weights * np.logaddexp(log_w[:, None], log_w))

    h = 1e-5
    exact = [
        np.asarray((bound(m + h, s) - bound(m - h, s)) / (2 * h)),
        np.asarray((bound(m, s + h) - bound(m, s - h)) / (2 * h)),
    ]
    run = jax.jit(
        lambda p, key: e.dreg_jacobians(
            lambda x: -0.5 * jnp.square(x), p, e.multi_normal, key, SAMPLES, num_particles=2
        )
    )
    jacobians = [np.asarray(j, np.float64) for j in run([jnp.float32(m), jnp.float32(s)], jax.random.key(6))]
    assert standard_errors(jacobians, exact) <= 4


@pytest.mark.parametrize("estimator", ["evolution strategy", "one-sided", "SPSA", "forward gradient"])
def test_black_box(estimator: str) -> None:
    """A quadratic plus cos(x), whose gradient, smoothed by N(0, sigma^2), is -sin(x) exp(-sigma^2 / 2)."""

    def evolution_strategy(p, key):
        return e.evolution_strategy_jacobians(
            function, p, key, SAMPLES, sigma=sigma, antithetic=estimator != "one-sided"
        )

    sigma = 0.5

    def function(p):
        cosine = 0.0 if estimator == "SPSA" else jnp.cos(p["a"])  # its bias is of the order of the third derivative
        return jnp.square(p["a"] - 2 * p["b"] @ jnp.array([1.0, -1.0])) + cosine

    run, smoothing = {
        "evolution strategy": (evolution_strategy, sigma),
        "one-sided": (evolution_strategy, sigma),
        "SPSA": (lambda p, key: e.spsa_jacobians(function, p, key, SAMPLES, perturbation=0.25), 0.0),
        "forward gradient": (lambda p, key: e.forward_gradient_jacobians(function, p, key, SAMPLES), 0.0),
    }[estimator]
    a, b = 0.6, np.array([0.3, -0.2])
    jacobians = jax.jit(run)({"a": jnp.float32(a), "b": jnp.asarray(b, jnp.float32)}, jax.random.key(1))
    inner = a - 2 * (b[0] - b[1])
    cosine = 0.0 if estimator == "SPSA" else -np.sin(a) * np.exp(-(smoothing**2) / 2)
    exact = [np.asarray(2 * inner + cosine), 2 * inner * np.array([-2.0, 2.0])]
    assert standard_errors([np.asarray(jacobians[name], np.float64) for name in ("a", "b")], exact) <= 4

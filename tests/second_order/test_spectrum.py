"""Spectral densities against exact spectra, and the picture of one."""

import functools

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from optax.second_order import SpectralDensity, hvp, spectral_density
from reference.spectra import symmetric, wasserstein
from x64 import enable_x64

matplotlib.use("agg")
from matplotlib import pyplot  # after the backend is chosen

KEY = jax.random.key(0)
# Two random vectors. Exact numbers can be read off: masses 1/2, 1/2 at 0 and 4; 1/4, 3/4 at 1 and 2.
KNOWN = SpectralDensity(jnp.array([[0.0, 4.0], [1.0, 2.0]]), jnp.array([[0.5, 0.5], [0.25, 0.75]]), 8)


@functools.partial(jax.jit, static_argnames=("num_steps", "num_samples"))
def of_matrix(matrix, num_steps=80, num_samples=10):
    def matvec(v):
        return jnp.matmul(matrix, v, precision="highest")

    like = jnp.zeros(len(matrix), matrix.dtype)
    return spectral_density(matvec, like, KEY, num_steps=num_steps, num_samples=num_samples)


def distance(spectrum, eigenvalues):
    """The Wasserstein-1 distance to the exact spectrum, relative to its width."""
    masses = np.asarray(spectrum.weights).ravel() / len(spectrum.nodes)
    return wasserstein(np.asarray(spectrum.nodes).ravel(), masses, eigenvalues) / np.ptp(eigenvalues)


@pytest.mark.parametrize(
    "eigenvalues",
    [
        np.linspace(-1, 1, 200),
        1 / np.arange(1.0, 201),
        np.concatenate([0.02 * np.random.default_rng(0).normal(size=195), [1, 2, 3, 4, -0.5]]),
    ],
    ids=["even", "power_law", "outliers"],
)
def test_known_spectra(eigenvalues):
    with enable_x64():
        spectrum = of_matrix(symmetric(eigenvalues), num_steps=30)
        assert spectrum.nodes.shape == spectrum.weights.shape == (10, 30)
        assert spectrum.size == 200
        np.testing.assert_allclose(spectrum.weights.sum(axis=1), 1, rtol=1e-12)
        assert np.all(np.diff(spectrum.nodes, axis=1) > 0)
        assert distance(spectrum, eigenvalues) < 0.05


def test_hessian_of_a_network():
    random = np.random.default_rng(0)
    with enable_x64():
        x, y = jnp.asarray(random.normal(size=(40, 4))), jnp.asarray(random.normal(size=(40, 2)))
        params = {
            "in": jnp.asarray(random.normal(size=(4, 12))),
            "none": None,
            "out": jnp.asarray(random.normal(size=(12, 2))),
        }

        def loss(p, x, y):
            return jnp.mean(jnp.square(jnp.tanh(x @ p["in"]) @ p["out"] - y))

        @jax.jit
        def spectrum_and_hessian(params):
            flat, unravel = ravel_pytree(params)
            spectrum = spectral_density(lambda v: hvp(loss, v, params, x, y), params, KEY, num_steps=40)
            return spectrum, jax.hessian(lambda w: loss(unravel(w), x, y))(flat)

        spectrum, dense = spectrum_and_hessian(params)
        exact = np.linalg.eigvalsh(dense)
        assert distance(spectrum, exact) < 0.05
        np.testing.assert_allclose(spectrum.nodes[:, -1], exact[-1], rtol=1e-6)  # it stands apart
        np.testing.assert_allclose(spectrum.nodes[:, 0], exact[0], rtol=1e-6)


def test_quadrature_is_exact_for_polynomials():
    """m nodes integrate polynomials of degree 2 m - 1 exactly: more nodes do not change the result."""
    with enable_x64():
        matrix = symmetric([0.5, 1, -1, 2, 0.1])
        few, many = of_matrix(matrix, num_steps=3), of_matrix(matrix)
        ours, exact = (
            np.sum(s.weights[..., None] * np.asarray(s.nodes)[..., None] ** range(7), axis=1) for s in (few, many)
        )
    np.testing.assert_allclose(ours[:, :6], exact[:, :6], rtol=1e-10)
    assert np.all(np.abs(ours[:, 6] - exact[:, 6]) > 1e-4)


def test_log_determinant():
    with enable_x64():
        matrix = symmetric(np.linspace(1, 3, 200))
        value, error = of_matrix(matrix, num_steps=30).trace_of(jnp.log)
        assert abs(value - np.linalg.slogdet(matrix)[1]) < 4 * error
        assert error < 3


@pytest.mark.parametrize("eigenvalues", [[2.0] * 5, [0.0] * 5, [1.0, 1.0, 1.0, 5.0, 5.0]])
def test_repeated_eigenvalues(eigenvalues):
    """The span closes before the last step: what is added has no weight."""
    with enable_x64():
        spectrum = of_matrix(symmetric(eigenvalues))
        density = spectrum.density(np.linspace(-1, 6, 50))
        weights = np.asarray(spectrum.weights)
    assert spectrum.nodes.shape == (10, 5)  # no more steps than parameters
    near = np.abs(np.asarray(spectrum.nodes)[..., None] - np.unique(eigenvalues)).min(axis=-1) < 1e-12
    assert np.all(near)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-12)
    assert np.all(np.isfinite(density))


def test_density_of_known_masses():
    grid = np.linspace(-3, 7, 2001)
    density = jax.jit(SpectralDensity.density)(KNOWN, grid.astype(np.float32), width=0.25)
    bumps = [0.25, 0.25, 0.125, 0.375] * np.exp(-8 * (grid[:, None] - [0, 4, 1, 2]) ** 2)
    np.testing.assert_allclose(density, bumps.sum(axis=1) / (0.25 * np.sqrt(2 * np.pi)), rtol=1e-4, atol=1e-6)
    assert np.sum(density) * 0.005 == pytest.approx(1, abs=1e-4)
    assert jax.eval_shape(KNOWN.density, jnp.zeros((2, 3))).shape == (2, 3)
    np.testing.assert_allclose(KNOWN.density(2.0), 0.375 / (0.04 * np.sqrt(2 * np.pi)), rtol=1e-5)  # 1 % of the range


def test_cdf_of_known_masses():
    np.testing.assert_allclose(KNOWN.cdf([[-1, 0, 0.5], [1, 3, 9]]), [[0, 0.25, 0.25], [0.375, 0.75, 1]])


def test_trace_of_known_masses():
    value, error = KNOWN.trace_of(jnp.square)
    assert (value, error) == (8 * (8 + 3.25) / 2, 8 * (8 - 3.25) / 2)
    one_vector = SpectralDensity(KNOWN.nodes[:1], KNOWN.weights[:1], 8)
    assert one_vector.trace_of(jnp.square) == (8 * 8, np.inf)


def test_plot():
    pyplot.close("all")
    axes = KNOWN.plot()
    (line,) = axes.get_lines()
    x, y = line.get_data()
    peak = 1 / (8 * 0.04 * np.sqrt(2 * np.pi))  # of one of 8 eigenvalues
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_yscale()) == ("eigenvalue", "density", "log")
    assert axes.get_xlim() == pytest.approx((-0.2, 4.2)) == (x[0], x[-1])
    assert axes.get_ylim() == pytest.approx((peak / 10, 3 * max(y)))
    np.testing.assert_allclose(y, KNOWN.density(jnp.asarray(x)), rtol=1e-3, atol=1e-6)
    assert max(y) == pytest.approx(3 * peak, rel=0.05)
    _, own = pyplot.subplots()
    own.set_xlabel("curvature")
    assert KNOWN.plot(ax=own, width=0.1) is own
    assert own.get_xlabel() == "curvature"
    assert own.get_xlim() == pytest.approx((-0.5, 4.5))
    pyplot.close("all")


def test_plot_opens_no_figure_for_an_error():
    pyplot.close("all")
    nan = SpectralDensity(jnp.full((1, 2), jnp.nan), jnp.full((1, 2), 0.5), 2)
    for call, error, message in [
        (nan.plot, ValueError, "not finite"),
        (lambda: KNOWN.plot(width=0.0), ValueError, "width must be above 0"),
        (lambda: KNOWN.plot(ax=pyplot), TypeError, "ax must be the axes of matplotlib"),
        (lambda: KNOWN.density(0.0, width=-1.0), ValueError, "width must be above 0"),
    ]:
        with pytest.raises(error, match=message):
            call()
    assert not pyplot.get_fignums()


@pytest.mark.parametrize("options", [{"num_steps": 0}, {"num_samples": 0}])
def test_bad_arguments(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        spectral_density(lambda v: v, jnp.zeros(3), KEY, **options)

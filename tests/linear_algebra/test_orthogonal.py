"""Orthogonal factors: Newton-Schulz iterations, and the polar factor."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.linear_algebra import orthogonalized, polar, polar_express
from reference.muon import normalized
from x64 import enable_x64

STANDARD = [(3.4445, -4.775, 2.0315)]
SHAPES = [(3, 5), (4, 4), (9, 3), (1, 1)]


def random(shape: tuple[int, ...], kind: str = "real") -> Any:
    rng = np.random.default_rng(sum(shape))
    x = rng.normal(size=shape)
    return x + 1j * rng.normal(size=shape) if kind == "complex" else x


def of_spectrum(m: int, n: int, s: Any) -> Any:
    """A random matrix with these singular values."""
    rng = np.random.default_rng(m)
    u, v = (np.linalg.qr(rng.normal(size=(size, m)))[0] for size in (m, n))
    return u * s @ v.T


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_newton_schulz_iterates_the_polynomial(shape: tuple[int, ...], steps: int, kind: str) -> None:
    """Also for wide matrices, where three steps at a time are made on the small product."""
    with enable_x64():
        x = random(shape, kind)
        expected = orthogonalized(x / np.linalg.norm(x), STANDARD * steps)
        np.testing.assert_allclose(optax.newton_schulz(jnp.asarray(x), steps=steps, eps=0.0), expected, atol=1e-12)


def test_each_step_can_have_its_own_polynomial() -> None:
    x = jnp.asarray(random((3, 5)), jnp.float32)
    rows = [(1.5, -0.5, 0.0), (2.0, -1.5, 0.5), (1.9, -1.2, 0.3)]
    expected = orthogonalized(np.asarray(x / jnp.linalg.norm(x)), rows[:2])
    for steps, given in ((2, rows), (5, rows[:2]), (2, np.asarray(rows))):  # never more steps than there are rows
        np.testing.assert_allclose(optax.newton_schulz(x, given, steps), expected, atol=1e-6)


def test_polar_express_is_the_best_composition() -> None:
    """The table against its definition: the singular values begin at 0.001, the cushion is that of the paper's code."""
    with enable_x64():
        state = optax.scale_by_muon("polar_express", ns_steps=9).init(jnp.zeros((1, 1), "float64"))
    safe = 1.01 ** np.array([-1.0, -3.0, -5.0])
    expected = [row * safe for row in polar_express(1e-3, 0.02407327424182761, 7)] + 2 * [np.array([15, -10, 3]) / 8]
    np.testing.assert_allclose(state.ns_coeffs, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("preset", "steps", "least", "most"),
    [
        ("polar_express", 0, 0.001, 1.0),
        ("standard", 5, 0.65, 1.25),
        ("polar_express", 5, 0.8, 1.2),
        ("polar_express", 8, 0.999, 1.001),
        ("cubic", 30, 0.999, 1.001),
        ("quintic", 20, 0.999, 1.001),
    ],
)
def test_presets_bring_singular_values_near_one(preset: str, steps: int, least: float, most: float) -> None:
    """From 0.004 to 1, after the division by the norm."""
    x = of_spectrum(20, 50, np.logspace(-2.0, 0.0, 20))
    s = np.linalg.svd(optax.newton_schulz(jnp.asarray(x, jnp.float32), preset, steps), compute_uv=False)
    assert least < s.min() <= s.max() < most


@pytest.mark.parametrize("spectrum", ["low rank", "small tail", "steep"])
@pytest.mark.parametrize(("preset", "steps", "bound"), [("standard", 5, 1e-5), ("polar_express", 8, 2e-4)])
def test_wide_matrices_of_bad_condition_are_as_accurate_as_others(
    spectrum: str, preset: str, steps: int, bound: float
) -> None:
    """On the small product alone, without a new one now and then, the error would be a hundred times the bound."""
    m = 32
    s = {
        "low rank": np.arange(m) < 4,
        "small tail": np.where(np.arange(m) < 4, 1, 1e-3),
        "steep": np.logspace(0, -6, m),
    }
    x = of_spectrum(m, 4 * m, s[spectrum]).astype(np.float32)
    with enable_x64():
        exact = np.asarray(optax.newton_schulz(jnp.asarray(x, "float64"), preset, steps))
    assert np.abs(np.asarray(optax.newton_schulz(jnp.asarray(x), preset, steps)) - exact).max() < bound


@pytest.mark.parametrize("how", ["frobenius", "spectral", "aol", "schatten"])
@pytest.mark.parametrize("size", [1.0, 1e-12])
def test_preconditioning_leaves_no_singular_value_above_one(how: str, size: float) -> None:
    x = np.float32(size) * of_spectrum(4, 7, [1.0, 0.5, 0.2, 0.1]).astype(np.float32)
    y = optax.newton_schulz(jnp.asarray(x), steps=0, preconditioning=how, eps=0.0)
    np.testing.assert_allclose(y, normalized(x.astype(np.float64), how, 0.0), rtol=1e-4, atol=1e-6)
    s = np.linalg.svd(y, compute_uv=False)
    assert s.max() < 1 + 1e-5
    assert how == "frobenius" or s.max() > 0.8


@pytest.mark.parametrize("how", ["spectral", "aol", "schatten"])
def test_preconditioning_of_complex_matrices_is_invariant_under_phases(how: str) -> None:
    """The original takes x x^T where x x^H is meant."""
    x, phase = random((3, 5), "complex").astype(np.complex64), np.exp(1j * np.arange(5)).astype(np.complex64)
    y, turned = (np.asarray(optax.newton_schulz(jnp.asarray(z), preconditioning=how)) for z in (x, x * phase))
    np.testing.assert_allclose(turned, y * phase, atol=1e-5)
    assert np.linalg.svd(y, compute_uv=False).max() < 1.25


@pytest.mark.parametrize("how", ["frobenius", "spectral", "aol", "schatten"])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_zeros_stay_zeros_with_a_finite_derivative(how: str, kind: str) -> None:
    """Defect F7."""

    def total(x: Any) -> Any:
        return optax.newton_schulz(x, preconditioning=how).real.sum()

    zeros = jnp.zeros((2, 3), "complex64" if kind == "complex" else "float32")
    assert not optax.newton_schulz(zeros, preconditioning=how).any()
    for x in (zeros, zeros.at[0].set(1.0)):
        assert np.isfinite(jax.grad(total)(x)).all()


def test_batches_are_done_one_by_one() -> None:
    x = jnp.asarray(random((2, 3, 7, 4)), jnp.float32)
    together = optax.newton_schulz(x)
    np.testing.assert_allclose(together[1, 2], optax.newton_schulz(x[1, 2]), atol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.vmap(optax.newton_schulz))(x), together, atol=1e-6)


@pytest.mark.parametrize("function", [optax.newton_schulz, optax.polar_factor])
def test_low_precision_is_only_how_it_is_stored(function: Any) -> None:
    x = jnp.asarray(random((4, 6)), jnp.bfloat16)
    result = function(x)
    assert result.dtype == jnp.bfloat16
    np.testing.assert_array_equal(result, function(x.astype(jnp.float32)).astype(jnp.bfloat16))


@pytest.mark.parametrize("function", [optax.newton_schulz, optax.polar_factor])
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 2, 3), (2, 0, 0)])
def test_arrays_without_elements_pass(function: Any, shape: tuple[int, ...]) -> None:
    assert function(jnp.zeros(shape)).shape == shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"coefficients": "dion"}, "coefficients must be numbers or one of standard, polar_express, .* not 'dion'"),
        ({"coefficients": (1.0, 2.0)}, r"coefficients must have the shape \(3,\) or \(n, 3\), not \(2,\)"),
        ({"steps": -1}, "steps must be at least 0, not -1"),
        ({"preconditioning": "svd"}, "preconditioning must be one of frobenius, spectral, aol, schatten, not 'svd'"),
        ({"eps": -1.0}, "eps must be at least 0"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optax.newton_schulz(jnp.ones((2, 2)), **arguments)


@pytest.mark.parametrize("function", [optax.newton_schulz, optax.polar_factor])
def test_a_vector_is_no_matrix(function: Any) -> None:
    with pytest.raises(ValueError, match=r"two axes or more, not the shape \(3,\)"):
        function(jnp.ones(3))


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 4, 3)])
def test_polar_factor_is_that_of_the_singular_value_decomposition(shape: tuple[int, ...], kind: str) -> None:
    x = random(shape, kind)
    expected = np.stack([polar(y) for y in x]) if x.ndim > 2 else polar(x)
    with enable_x64():
        np.testing.assert_allclose(optax.polar_factor(jnp.asarray(x)), expected, atol=1e-12)


@pytest.mark.parametrize("s", [np.ones(100), np.logspace(0, -12, 100), np.arange(100) < 3])
def test_polar_factor_is_orthonormal_whatever_the_condition(s: Any) -> None:
    q = np.asarray(optax.polar_factor(jnp.asarray(of_spectrum(100, 150, s), jnp.float32)), np.float64)
    np.testing.assert_allclose(q @ q.T, np.eye(100), atol=3e-6)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (4, 2)])
def test_polar_factor_can_be_differentiated(shape: tuple[int, ...]) -> None:
    with enable_x64():
        x, dx = jnp.asarray(random(shape)), jnp.asarray(random(shape[::-1]).T)
        _, derivative = jax.jvp(optax.polar_factor, (x,), (dx,))
        h = 1e-6
        numeric = (optax.polar_factor(x + h * dx) - optax.polar_factor(x - h * dx)) / (2 * h)
        np.testing.assert_allclose(derivative, numeric, atol=1e-8)


def test_polar_factor_can_be_differentiated_where_singular_values_coincide() -> None:
    """At the identity the change is the antisymmetric part, by p q = 1 + dx with symmetric p."""
    dx = jnp.asarray(random((3, 3)), jnp.float32)
    _, derivative = jax.jvp(optax.polar_factor, (jnp.eye(3),), (dx,))
    np.testing.assert_allclose(derivative, (dx - dx.T) / 2, atol=1e-6)
    assert np.isfinite(jax.grad(lambda x: optax.polar_factor(x).sum())(jnp.zeros((2, 3)))).all()

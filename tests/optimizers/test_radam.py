"""What only RAdam promises."""

from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def first_steps(tx: Any, number: int) -> list[float]:
    """The directions for gradients of 2."""

    def step(state: Any, _: None) -> Any:
        u, state = tx.update(jnp.full(1, 2.0), state)
        return state, u[0]

    _, directions = jax.lax.scan(step, tx.init(jnp.zeros(1)), None, number)
    return [float(u) for u in directions]


def rectification(b2: Fraction, t: int) -> float:
    """r as printed, in exact arithmetic up to the root."""
    rho_inf = 2 / (1 - b2) - 1
    rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
    return float((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)) ** 0.5


@pytest.mark.parametrize("b2", ["0.9", "0.99", "0.999", "0.9999"])
def test_the_rectification_is_exact_in_float32(b2: str) -> None:
    """A constant gradient shows r alone. As printed, r would be off by 1% for 0.999, by 66% for 0.9999."""
    directions = first_steps(optax.scale_by_radam(b2=float(b2), eps=0.0), 12)
    first = next(t for t, u in enumerate(directions, 1) if u < 1.9)
    expected = [rectification(Fraction(b2), t) for t in range(first, 13)]
    np.testing.assert_allclose(directions[first - 1 :], expected, rtol=2e-6)
    np.testing.assert_allclose(directions[: first - 1], 2.0, rtol=1e-6)


def test_the_sixth_step_is_the_first_to_be_rectified() -> None:
    directions = first_steps(optax.scale_by_radam(), 6)
    assert directions[4] > 1.9
    assert directions[5] < 0.1


def test_a_higher_threshold_comes_later() -> None:
    directions = first_steps(optax.scale_by_radam(threshold=7.5), 8)
    assert [u > 1.9 for u in directions] == [True] * 7 + [False]


def test_a_short_memory_is_never_rectified() -> None:
    """rho stays below 2 / (1 - b2) - 1: here 4, where r would be 0 / 0."""
    np.testing.assert_allclose(first_steps(optax.scale_by_radam(b2=0.6, threshold=4), 60), 2.0, rtol=1e-6)
    np.testing.assert_allclose(first_steps(optax.scale_by_radam(b2=0.0), 3), 2.0, rtol=1e-6)


def test_in_the_long_run_it_is_adam() -> None:
    g = jnp.asarray([1.0, -2.0])
    tx, adam = optax.scale_by_radam(b2=0.9), optax.scale_by_adam(b2=0.9)

    def later(tx: Any) -> Any:
        state = jax.lax.fori_loop(0, 300, lambda _, s: tx.update(g, s)[1], tx.init(g))
        return tx.update(g, state)[0]

    np.testing.assert_allclose(np.asarray(later(tx)), np.asarray(later(adam)), rtol=1e-5)


@pytest.mark.parametrize("b2", [0.5, 0.9, 0.999])
def test_decays_can_be_traced_and_differentiated(b2: float) -> None:
    def size(b2: Any, t: Any) -> Any:
        tx = optax.scale_by_radam(b2=b2)
        g = jnp.asarray([1.0, -3.0])
        state = tx.init(g)._replace(count=t)
        return jnp.sum(tx.update(g, state)[0] ** 2)

    derivative = jax.jit(jax.value_and_grad(size))
    for t in (0, 5, 100, 2**31 - 2):
        count = jnp.asarray(t, jnp.int32)
        value, slope = derivative(b2, count)
        np.testing.assert_allclose(float(value), float(size(b2, count)), rtol=2e-3)
        assert np.isfinite(float(slope))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 3.9}, "threshold must be at least 4, not 3.9"),
        ({"b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"b2": 1.0}, "b2 must be at least 0 and below 1, not 1.0"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"eps_root": -1.0}, "eps_root must be at least 0, not -1.0"),
        ({"mu_dtype": "int8"}, "mu_dtype must be a floating dtype, not 'int8'"),
        ({"nu_dtype": "int8"}, "nu_dtype must be a floating dtype, not 'int8'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.radam(0.1, **arguments)

"""What only Polyak's step size promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax


def updated(tx: Any, g: Any, value: Any) -> Any:
    return tx.update(g, tx.init(g), value=value)[0]


def test_a_parabola_is_halved_whatever_its_curvature() -> None:
    """f = a |x|^2 / 2 + 3: the step size is f / |a x|^2 = 1 / (2 a)."""
    tx = optax.polyak_sgd(max_learning_rate=1e6, f_min=3.0)
    for a in (1e-3, 1.0, 1e3):
        x = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray(0.5)}
        value = a * optax.tree.norm(x, squared=True) / 2 + 3
        u = updated(tx, optax.tree.scale(a, x), value)
        np.testing.assert_allclose(u["a"], -x["a"] / 2, rtol=2e-4)  # 3 is subtracted from 3.003
        np.testing.assert_allclose(u["b"], -x["b"] / 2, rtol=2e-4)


@pytest.mark.parametrize(("variant", "step"), [("sps", -0.5), ("sps+", 0.0)])
def test_below_the_minimum(variant: Any, step: float) -> None:
    tx = optax.scale_by_polyak(f_min=5.0, variant=variant)
    np.testing.assert_allclose(updated(tx, jnp.asarray([0.0, 2.0]), 3.0), [0, 2 * step])


@pytest.mark.parametrize(("scaling", "step"), [(1.0, 0.25), (0.5, 0.125), (2.0, 0.5), (lambda t: 0.5, 0.125)])
def test_scaling_multiplies_the_step(scaling: Any, step: float) -> None:
    """In the original a scaling of 1/2 doubles the step, unless that is at its bound."""
    np.testing.assert_allclose(updated(optax.polyak_sgd(scaling=scaling), jnp.asarray([2.0]), 1.0), [-2 * step])


@pytest.mark.parametrize("eps", [0.0, 1e-3])
def test_zero_gradients(eps: float) -> None:
    """Defect F7: no step, and derivatives that are finite."""
    tx = optax.scale_by_polyak(eps=eps, max_learning_rate=float("inf"))
    np.testing.assert_array_equal(updated(tx, jnp.zeros(3), 1.0), 0)
    derivatives = jax.grad(lambda g, f: jnp.sum(updated(tx, g, f)), argnums=(0, 1))(jnp.zeros(3), 1.0)
    assert all(np.all(np.isfinite(x)) for x in derivatives)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision(dtype: Any) -> None:
    """Defect A7: 1e-4**2 is zero in float16, and 300**2 infinite. A value in float32 widens nothing (A10)."""
    tx = optax.scale_by_polyak(max_learning_rate=1e9)
    for size in (1e-4, 300):
        g = jnp.full(4, size, dtype)
        u = updated(tx, g, jnp.float32(8 * size**2))
        assert u.dtype == dtype
        np.testing.assert_allclose(u.astype(float), 2 * size, rtol=1e-2)


def test_complex_gradients() -> None:
    """Defect A15: |3 + 4i|^2 is 25."""
    np.testing.assert_allclose(updated(optax.polyak_sgd(), jnp.asarray([3 + 4j]), 5.0), [-0.6 - 0.8j], rtol=1e-6)


def test_the_value_is_asked_for() -> None:
    for tx in (optax.scale_by_polyak(), optax.polyak_sgd(), optax.chain(optax.clip(1.0), optax.polyak_sgd())):
        with pytest.raises(TypeError, match="needs the value of the function"):
            tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
        for value in (jnp.ones(1), jnp.ones(2), 1j):
            with pytest.raises((TypeError, ValueError), match=r"value must be a (real )?scalar"):
                tx.update(jnp.ones(2), tx.init(jnp.ones(2)), value=value)


def test_it_takes_the_value_from_a_chain_and_leaves_other_arguments_alone() -> None:
    tx = optax.chain(optax.clip(1.0), optax.polyak_sgd())
    u, _ = tx.update(jnp.asarray([3.0]), tx.init(jnp.ones(1)), jnp.ones(1), value=0.5, grad=None)
    np.testing.assert_allclose(u, [-0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "sps_max"}, "variant must be 'sps' or 'sps\\+', not 'sps_max'"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"max_learning_rate": 0.0}, "max_learning_rate must be above 0.*, not 0.0"),
        ({"f_min": "0"}, "f_min must be a real number, not '0'"),
        ({"scaling": "1"}, "learning_rate must be a real number or a schedule .* not '1'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    """Defect C12."""
    with pytest.raises((TypeError, ValueError), match=message):
        optax.polyak_sgd(**arguments)

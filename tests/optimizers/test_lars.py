"""What only LARS promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

P = {"w": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([0.0, 2.0])}
G = {"w": jnp.asarray([0.6, 0.8]), "b": jnp.asarray([0.5, 0.0])}


def updated(tx: Any, p: Any = P, g: Any = G) -> Any:
    return tx.update(g, tx.init(p), p)[0]


@pytest.mark.parametrize("mask", [True, None, {"w": True, "b": True}, lambda p: True])
def test_each_leaf_moves_in_proportion_to_its_norm(mask: Any) -> None:
    u = updated(optax.lars(0.1, trust_coefficient=0.01, trust_ratio_mask=mask, weight_decay_mask=mask))
    np.testing.assert_allclose(u["w"], -0.1 * 0.01 * 5 * np.asarray([0.6, 0.8]), rtol=1e-6)
    np.testing.assert_allclose(u["b"], -0.1 * 0.01 * 2 * np.asarray([1.0, 0.0]), rtol=1e-6)


def test_masks() -> None:
    only_w = {"w": True, "b": False}
    u = updated(optax.lars(0.1, 0.5, lambda p: only_w, trust_ratio_mask=False))
    np.testing.assert_allclose(u["w"], -0.1 * (G["w"] + 0.5 * P["w"]), rtol=1e-6)
    np.testing.assert_allclose(u["b"], -0.1 * G["b"], rtol=1e-6)
    u = updated(optax.lars(0.1, 0.5, False, trust_ratio_mask=only_w))
    np.testing.assert_allclose(u["w"], -0.1 * 0.001 * 5 * G["w"], rtol=1e-6)
    np.testing.assert_allclose(u["b"], -0.1 * G["b"], rtol=1e-6)


def test_a_leaf_without_a_norm_moves_as_in_gradient_descent() -> None:
    zero = jax.tree.map(jnp.zeros_like, P)
    np.testing.assert_allclose(updated(optax.lars(0.1), zero)["w"], -0.1 * G["w"], rtol=1e-6)
    assert np.all(updated(optax.lars(0.1), P, zero)["w"] == 0)


def test_derivatives_at_zero() -> None:
    """Defect F7."""

    def total(p: Any, g: Any) -> Any:
        return optax.tree.sum(updated(optax.lars(0.1, 0.1), p, g))

    zero = jax.tree.map(jnp.zeros_like, P)
    for p, g in ((P, zero), (zero, G), (zero, zero)):
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(jax.grad(total, argnums=(0, 1))(p, g)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_norms_of_low_precision_leaves(dtype: Any) -> None:
    """Defect A7: 1e-4**2 is zero in float16, and 300**2 infinite."""
    u = updated(optax.lars(0.1), jnp.full(4, 300, dtype), jnp.full(4, 1e-4, dtype))
    np.testing.assert_allclose(u.astype(float), -0.1 * 0.001 * 300, rtol=1e-2)


def test_a_complex_leaf_has_one_norm() -> None:
    """Defect A15: the step is against the gradient."""
    u = updated(optax.lars(0.1), jnp.asarray([3 + 4j]), jnp.asarray([2j]))
    np.testing.assert_allclose(u, [-0.1 * 0.001 * 5j], rtol=1e-6)


def test_numbers_of_python() -> None:
    """Defect A17."""
    assert updated(optax.lars(0.1), {"w": 1.5}, {"w": 0.3})["w"] == pytest.approx(-0.1 * 0.001 * 1.5)


def test_the_states_are_those_of_existing_code() -> None:
    state = optax.lars(lambda t: 0.1).init(P)
    kinds = [type(s).__name__ for s in state]
    assert kinds == ["MaskedState", "MaskedState", "ScaleByScheduleState", "TraceState"]
    kinds = [type(s).__name__ for s in optax.lars(0.1, weight_decay_mask=None, trust_ratio_mask=None).init(P)]
    assert kinds == ["EmptyState", "EmptyState", "EmptyState", "TraceState"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": None}, "decay must be a real number, not None"),
        ({"momentum": 1.5}, "decay must be at least -1 and at most 1, not 1.5"),
        ({"eps": -1.0}, "eps must be at least 0, not -1.0"),
        ({"trust_coefficient": "x"}, "trust_coefficient must be a real number, not 'x'"),
        ({"weight_decay": None}, "weight_decay must be a real number or a schedule .* not None"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    """Defect C12."""
    with pytest.raises((TypeError, ValueError), match=message):
        optax.lars(0.1, **arguments)

"""What only Adam and its relatives promise."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import GradientTransformation
from reference.adam import Adam
from x64 import enable_x64


def directions(tx: GradientTransformation, rule: Callable[[Any], Any], steps: int = 40) -> None:
    """Compare `tx` with a NumPy rule, step by step in float64."""
    rng = np.random.default_rng(0)
    with enable_x64():
        params = jnp.asarray(rng.normal(size=(3, 2)))
        state = tx.init(params)
        update = jax.jit(tx.update)
        for _ in range(steps):
            g = rng.normal(size=(3, 2)) * rng.choice([1e-3, 1.0, 1e3], size=(3, 2))
            u, state = update(jnp.asarray(g), state, params)
            np.testing.assert_allclose(np.asarray(u), rule(g), rtol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"b1": 0.8, "b2": 0.95, "eps": 1e-3, "eps_root": 1e-4},
        {"nesterov": True},
        {"b1": 0.0, "b2": 0.0, "eps": 1e-2},
        {"b1": 0.5, "nesterov": True, "eps_root": 1e-6},
    ],
)
def test_matches_the_reference(settings: dict[str, Any]) -> None:
    ours = {"b1": 0.9, "b2": 0.999, "eps": 1e-8} | settings
    reference = Adam(
        ours["b1"], ours["b2"], ours["eps"], settings.get("eps_root", 0.0), settings.get("nesterov", False)
    )
    directions(optax.scale_by_adam(**settings), reference)


def test_complex_parameters_have_a_real_second_moment() -> None:
    g = np.array([3 + 4j, -1j], np.complex64)
    tx = optax.scale_by_adam(eps=0.0)
    state = tx.init(jnp.zeros(2, jnp.complex64))
    assert state.nu.dtype == jnp.float32
    u, _ = tx.update(jnp.asarray(g), state)
    np.testing.assert_allclose(np.asarray(u), g / np.abs(g), rtol=1e-5)  # the first step has length one


def test_the_first_step_is_the_sign() -> None:
    g = jnp.asarray([1e-3, -2.0, 5e2])
    u, _ = optax.adam(0.1, eps=0.0).update(g, optax.adam(0.1).init(g))
    np.testing.assert_allclose(np.asarray(u), -0.1 * np.sign(np.asarray(g)), rtol=1e-6)


def test_adamw_is_adam_with_a_pull_that_the_learning_rate_scales() -> None:
    p, g = jnp.asarray([1.0, -2.0]), jnp.asarray([0.5, 0.5])
    plain, _ = optax.adam(0.1).update(g, optax.adam(0.1).init(p), p)
    tx = optax.adamw(0.1, weight_decay=0.3)
    decayed, _ = tx.update(g, tx.init(p), p)
    np.testing.assert_allclose(np.asarray(decayed - plain), -0.1 * 0.3 * np.asarray(p), rtol=1e-6)


def test_adamw_decays_only_what_the_mask_names() -> None:
    p = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    tx = optax.adamw(0.1, weight_decay=0.5, mask={"kernel": True, "bias": False})
    updates, state = tx.update(jax.tree.map(jnp.zeros_like, p), tx.init(p), p)
    np.testing.assert_allclose(np.asarray(updates["kernel"]), -0.05, rtol=1e-6)
    assert np.all(np.asarray(updates["bias"]) == 0)
    assert isinstance(state[1], optax.MaskedState)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_second_moment_of_low_precision_parameters_forgets(dtype: Any) -> None:
    """Defect A4: in 16 bits 0.999 * v rounds back to v."""
    tx = optax.scale_by_adam()
    state = tx.init(jnp.ones(1, dtype))
    assert state.mu.dtype == dtype
    assert state.nu.dtype == jnp.float32

    def run(state: Any, size: float, steps: int) -> Any:
        g = jnp.full(1, size, dtype)
        return jax.lax.fori_loop(0, steps, lambda _, s: tx.update(g, s)[1], state)

    high = run(state, 1.0, 1000)
    low = run(high, 1e-3, 2000)
    np.testing.assert_allclose(float(high.nu[0]), 1 - 0.999**1000, rtol=1e-3)
    np.testing.assert_allclose(float(low.nu[0]), 0.999**2000 * (1 - 0.999**1000), rtol=1e-2)


def test_moment_dtypes_can_be_chosen() -> None:
    state = optax.scale_by_adam(mu_dtype=jnp.bfloat16, nu_dtype=jnp.float16).init(jnp.ones(2))
    assert (state.mu.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.float16)


def test_a_state_of_another_shape_is_refused() -> None:
    """Defect F6: the state for (3,) used to accept gradients of (3, 1) and give updates of (3, 3)."""
    tx = optax.adam(0.1)
    state = tx.init({"layer": {"w": jnp.ones(3)}})
    with pytest.raises(
        ValueError, match=r"updates and state slot 1 differ in shape at \['layer'\]\['w'\]: \(3, 1\) and"
    ):
        tx.update({"layer": {"w": jnp.ones((3, 1))}}, state)


def test_weakly_typed_parameters_leave_no_trace_in_the_state() -> None:
    """Defect A11: a weak state after `init` that turns strong in the first update costs a second compilation."""
    tx = optax.adam(0.1)
    params = jnp.asarray(1.5)
    assert params.weak_type
    state = tx.init(params)
    update = jax.jit(tx.update)
    for _ in range(3):
        _, state = update(jnp.float32(0.3), state)
    assert update._cache_size() == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "1e-3"}, "learning_rate must be a real number or a schedule .* not '1e-3'"),
        ({"learning_rate": 0.1, "b1": 1.0}, "b1 must be at least 0 and below 1, not 1.0"),
        ({"learning_rate": 0.1, "b2": -0.1}, "b2 must be at least 0 and below 1, not -0.1"),
        ({"learning_rate": 0.1, "eps": -1e-8}, "eps must be at least 0, not -1e-08"),
        ({"learning_rate": 0.1, "eps_root": float("nan")}, "eps_root must be at least 0, not nan"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.adamw(**arguments)


def test_adamw_says_that_it_needs_the_parameters() -> None:
    tx = optax.adamw(0.1)
    with pytest.raises(ValueError, match="reads the parameters") as caught:
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    assert caught.value.__notes__ == ["in stage 1 of chain: add_decayed_weights"]


def test_hyperparameters_can_be_traced() -> None:
    def one_step(learning_rate: Any, b1: Any) -> Any:
        tx = optax.adamw(learning_rate, b1=b1)
        p = jnp.asarray([1.0, -1.0])
        u, _ = tx.update(p, tx.init(p), p)
        return u.sum()

    rates, b1s = jnp.asarray([0.1, 0.2]), jnp.asarray([0.9, 0.5])
    swept = jax.vmap(one_step)(rates, b1s)
    np.testing.assert_allclose(swept, [one_step(0.1, 0.9), one_step(0.2, 0.5)], rtol=1e-5, atol=1e-7)
    assert np.all(np.isfinite(jax.grad(one_step, argnums=(0, 1))(0.1, 0.9)))


def test_a_transformation_can_be_a_static_argument() -> None:
    """Defects C5 and G6: two equal optimizers are one key of jit's cache."""
    traces = []

    def step(tx: Any, p: Any) -> Any:
        traces.append(tx)
        return tx.update(p, tx.init(p), p)[0]

    jitted = jax.jit(step, static_argnums=0)
    for _ in range(2):
        jitted(optax.adamw(1e-3), jnp.ones(2))
    assert len(traces) == 1
    jitted(optax.adamw(2e-3), jnp.ones(2))
    assert len(traces) == 2

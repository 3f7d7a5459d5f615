"""What only Adam and AdamW promise, and what all their relatives do."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import Jitted
from optax.core import GradientTransformation

# Adam and what has its two moments, in the fields `mu` and `nu`.
RELATIVES = [
    optax.acprop,
    optax.adabelief,
    optax.adam,
    optax.adamax,
    optax.amsgrad,
    optax.nadam,
    optax.radam,
    optax.yogi,
]
relatives = pytest.mark.parametrize("factory", RELATIVES, ids=lambda factory: factory.__name__)
Factory = Callable[..., GradientTransformation]


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
    update = Jitted(tx.update)
    for _ in range(3):
        _, state = update(jnp.float32(0.3), state)
    assert update.traces == 1


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


@relatives
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_second_moments_are_not_kept_in_16_bits(factory: Factory, dtype: Any) -> None:
    """Defects A4 and A8: they would not decay, or underflow; and no moment changes its dtype with the gradients'."""
    for b2 in (0.9, 0.999):
        tx = factory(0.1, b2=b2)
        params = jnp.ones(2, dtype)
        state = tx.init(params)
        updates, after = tx.update(jnp.ones(2, jnp.float32), state, params)
        assert (state[0].mu.dtype, state[0].nu.dtype) == (dtype, jnp.float32)
        assert (after[0].mu.dtype, after[0].nu.dtype) == (dtype, jnp.float32)
        assert updates.dtype == jnp.float32


@pytest.mark.parametrize(
    "scale", [optax.scale_by_adam, optax.scale_by_adamax, optax.scale_by_amsgrad, optax.scale_by_radam]
)
def test_a_small_gradient_of_float16_leaves_no_giant_step_behind(scale: Factory) -> None:
    """Defect A7: with v in float16 its square, 1e-8, is 0, and the next step was m / eps."""
    tx = scale(b2=0.99)
    params = jnp.ones(1, jnp.float16)
    _, state = tx.update(jnp.full(1, 1e-4, jnp.float16), tx.init(params))
    updates, _ = tx.update(jnp.zeros(1, jnp.float16), state)
    assert 0 < abs(float(updates[0])) < 1


@relatives
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.complex64])
def test_zero_gradients_move_nothing(factory: Factory, dtype: Any) -> None:
    """Defect A7: 0 / 0 where eps was rounded to 0, or is 0."""
    for eps in ({}, {"eps": 0.0}):
        tx = factory(0.1, **eps)
        params = jnp.ones(2, dtype)
        state = tx.init(params)
        for _ in range(2):
            updates, state = tx.update(jnp.zeros(2, dtype), state, params)
            # Yogi alone starts its mean from 1e-6.
            assert float(jnp.max(jnp.abs(updates))) <= (1e-3 if factory is optax.yogi else 0)


@relatives
def test_a_complex_step_goes_downhill(factory: Factory) -> None:
    """Defect A15: |g|^2, not g^2: the square of an imaginary gradient is negative."""
    tx = factory(0.1)
    params = g = jnp.asarray([1j, 3 - 4j], jnp.complex64)
    state = tx.init(params)
    assert state[0].nu.dtype == jnp.float32
    for _ in range(3):
        updates, state = tx.update(g, state, params)
        assert np.all(np.asarray((jnp.conj(g) * updates).real) < 0)
        assert np.all(np.asarray(state[0].nu) > 0)


@relatives
def test_the_last_step_that_can_be_counted_is_like_any_other(factory: Factory) -> None:
    """Defect A16: the count stays at 2^31 - 1, and arithmetic on it does not overflow."""
    tx = factory(0.1)
    params = g = jnp.asarray([1.0, -2.0])
    state = tx.init(params)
    state = (state[0]._replace(count=jnp.asarray(2**31 - 2, jnp.int32)), *state[1:])
    for _ in range(3):
        updates, state = tx.update(g, state, params)
        assert np.all(np.isfinite(np.asarray(updates)))
    assert int(state[0].count) == 2**31 - 1


@relatives
def test_numbers_of_python_are_parameters_too(factory: Factory) -> None:
    """Defects A11 and A17: as strongly typed scalars."""
    tx = factory(0.1)
    params, g = {"w": 1.5}, {"w": 0.3}
    state = tx.init(params)
    assert not state[0].nu["w"].weak_type
    updates, after = tx.update(g, state, params)
    assert jax.typeof(after[0].mu["w"]) == jax.typeof(state[0].mu["w"])
    assert float(updates["w"]) < 0


@relatives
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.complex64])
def test_the_update_can_be_differentiated_at_zero(factory: Factory, dtype: Any) -> None:
    """Defect F7: the root has an infinite slope at zero."""
    tx = factory(0.1)
    params = jnp.ones(2, dtype)

    def after_two_steps(g: jax.Array) -> jax.Array:
        _, state = tx.update(g, tx.init(params), params)
        updates, _ = tx.update(g, state, params)
        return jnp.sum(jnp.real(updates))

    for g in (jnp.asarray([0, 1], dtype), jnp.zeros(2, dtype)):
        assert np.all(np.isfinite(np.asarray(jax.grad(after_two_steps)(g))))


@relatives
def test_a_step_needs_no_memory_of_its_own(factory: Factory) -> None:
    """XLA makes each moment in the place of the old one and the update from the new ones: nothing else is stored."""
    tx = factory(0.1)
    params = jnp.ones(2**16)

    def step(params: Any, state: Any, g: Any) -> Any:
        updates, state = tx.update(g, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, tx.init(params), params).compile()
    arrays = compiled.memory_analysis().temp_size_in_bytes / params.nbytes
    assert arrays < (1.1 if factory is optax.acprop else 0.1)  # its step is made from the old moment


def test_nadam_is_adam_that_looks_ahead() -> None:
    g = jnp.asarray([1.0, -2.0])
    u, _ = optax.nadam(0.1, b1=0.9, eps=0.0).update(g, optax.nadam(0.1).init(g))
    # m^ of the first step: 0.9 * 0.1 * g / (1 - 0.81) + 0.1 * g / 0.1
    np.testing.assert_allclose(np.asarray(u), -0.1 * (0.09 / 0.19 + 1) * np.sign(np.asarray(g)), rtol=1e-6)
    plain = optax.adam(0.1)
    same, _ = optax.nadam(0.1, nesterov=False).update(g, plain.init(g))
    np.testing.assert_array_equal(np.asarray(same), np.asarray(plain.update(g, plain.init(g))[0]))

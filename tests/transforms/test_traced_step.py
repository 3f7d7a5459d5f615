"""Steps under a condition on large arrays: the same results, and no memory beside the state."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.transforms import _evaluator, _traced_step

N = _traced_step._LARGE
PARAMS = {"w": jnp.linspace(-1, 1, N).reshape(-1, 64), "small": jnp.ones(3)}
GRADIENTS = [jax.tree.map(lambda p, k=k: jnp.cos(k * p), PARAMS) for k in range(4)]
BAD = {**GRADIENTS[1], "w": GRADIENTS[1]["w"].at[0, 0].set(jnp.nan)}


def roots(rate: float) -> optax.GradientTransformation:
    """Its derivative is NaN where the state is still 0."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        state = jax.tree.map(lambda s, g: s + g * g, state, updates)
        return jax.tree.map(lambda g, s: -rate * g / jnp.sqrt(s), updates, state), state

    return optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), update)


def remembering() -> optax.GradientTransformation:
    """Its new state is the gradient as it came, twice."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        return jax.tree.map(lambda g, last: -0.1 * (2 * g - last), updates, state[0]), (updates, updates)

    def init(params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.ones_like, params)

    return optax.GradientTransformation(init, update)


INNER = {
    "adamw": optax.adamw(0.1),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.cosine_decay_schedule(0.1, 10))),
    "lion": optax.lion(0.1, mu_dtype="bfloat16"),
    "lamb": optax.lamb(0.1),
    "sgd": optax.sgd(0.1),
    "masked": optax.masked(optax.adam(0.1), {"w": True, "small": False}),
    "schedule_free": optax.schedule_free_adamw(0.1),
    "muon": optax.muon(0.1),
    "nested": optax.apply_if_finite(optax.adam(0.1), 3),
    "optimistic": optax.optimistic_gradient_descent(0.1),
    "remembering": remembering(),
    "user": roots(0.1),
}
WRAPPERS = {
    "MultiSteps": lambda inner: optax.MultiSteps(inner, 2),
    "MultiSteps, which skips": lambda inner: optax.MultiSteps(inner, 1, should_skip_update_fn=optax.skip_not_finite),
    "apply_if_finite": lambda inner: optax.apply_if_finite(inner, 1),
    "apply_if_finite, gradients alone": lambda inner: optax.apply_if_finite(inner, 1, check_updates=False),
}


def train(tx: optax.GradientTransformation, gradients: list[Any], scale: Any = 1.0) -> Any:
    def step(carry: Any, g: Any) -> Any:
        params, state = carry
        updates, state = tx.update(jax.tree.map(lambda g: scale * g, g), state, params)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), jax.tree.map(lambda *g: jnp.stack(g), *gradients))[0]


def assert_close(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.shape, x.dtype, x.weak_type) == (y.shape, y.dtype, y.weak_type)
        np.testing.assert_allclose(np.asarray(x, np.float32), np.asarray(y, np.float32), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("wrapper", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("inner", INNER.values(), ids=INNER)
def test_the_steps_are_those_of_a_plain_condition(inner: Any, wrapper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gradients = [GRADIENTS[0], GRADIENTS[1], BAD, GRADIENTS[2], GRADIENTS[3], BAD, BAD, GRADIENTS[0]]
    if wrapper is WRAPPERS["MultiSteps"]:
        gradients = [g for g in gradients if g is not BAD]
    found = jax.jit(lambda: train(wrapper(inner), gradients))()
    monkeypatch.setattr(_traced_step, "_LARGE", 10 * N)
    assert_close(found, jax.jit(lambda: train(wrapper(inner), gradients))())


def test_the_step_left_out_is_not_seen_in_derivatives() -> None:
    def loss(scale: Any) -> Any:
        params, _ = train(optax.MultiSteps(roots(0.1), 2), GRADIENTS[1:2], scale)
        return jnp.sum(params["w"])

    assert jax.grad(loss)(1.0) == 0
    assert jax.jvp(loss, (1.0,), (1.0,))[1] == 0


def test_steps_may_be_batched() -> None:
    tx = optax.MultiSteps(optax.adam(0.1), 2)
    both = jax.vmap(lambda scale: train(tx, GRADIENTS[:3], scale)[0]["w"])(jnp.asarray([1.0, -2.0]))
    for scale, w in zip((1.0, -2.0), both, strict=True):
        np.testing.assert_allclose(w, train(tx, GRADIENTS[:3], scale)[0]["w"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tx", [optax.lamb(0.1), optax.adafactor(0.1), optax.sm3(0.1)], ids=lambda tx: tx.name)
def test_reductions_by_blocks(tx: optax.GradientTransformation, monkeypatch: pytest.MonkeyPatch) -> None:
    """In loops of their own, which are not differentiated."""
    monkeypatch.setattr(_evaluator, "_device_count", lambda: 1)
    params = {"w": jnp.linspace(-1, 1, 2 * _evaluator.LARGE).reshape(512, -1), "small": jnp.ones((3, 2))}

    def steps(scale: Any) -> Any:
        p, state = params, tx.init(params)
        for k in (1, 2):
            updates, state = tx.update(jax.tree.map(lambda x, k=k: scale * jnp.cos(k * x), params), state, p)
            p = optax.apply_updates(p, updates)
        return p, state

    def slope(scale: Any) -> Any:
        return jnp.sum(steps(scale)[0]["w"][0])

    def traced_anew() -> Any:
        program = jax.make_jaxpr(lambda scale: steps(scale))(1.0)
        return "scan[" in str(program), jax.jit(lambda scale: steps(scale))(1.0), jax.grad(lambda s: slope(s))(1.0)

    has_loops, found, derivative = traced_anew()
    monkeypatch.setattr(_traced_step, "_LARGE", 10 * params["w"].size)
    had_loops, expected, expected_derivative = traced_anew()
    assert (has_loops, had_loops) == (True, False)
    assert_close(found, expected)
    np.testing.assert_allclose(derivative, expected_derivative, rtol=1e-3, atol=1e-6)


@pytest.mark.skipif(
    jax.__version_info__ < (0, 8), reason="older compilers set more aside, for the clipped gradient too"
)
@pytest.mark.parametrize(
    ("tx", "most"),
    [
        (optax.MultiSteps(optax.adamw(0.1), 4), 0.1),
        (optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), optax.lion(0.1)), 4), 0.1),
        (optax.apply_if_finite(optax.adamw(0.1), 3), 1.1),  # a flag for each element
        (optax.apply_if_finite(optax.adamw(0.1), 3, check_updates=False), 0.1),
    ],
    ids=["MultiSteps", "clipped", "apply_if_finite", "gradients alone"],
)
def test_no_array_is_set_aside(tx: optax.GradientTransformation, most: float) -> None:
    """In bytes a parameter; the updates alone would be 4."""

    def step(params: Any, state: Any, g: Any) -> Any:
        updates, state = tx.update(g, state, params)
        return optax.apply_updates(params, updates), state

    params = {"w": jax.ShapeDtypeStruct((512, 1024), jnp.float32)}
    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, jax.eval_shape(tx.init, params), params).compile()
    assert compiled.memory_analysis().temp_size_in_bytes / params["w"].size < most

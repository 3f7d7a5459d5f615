"""What only Sophia and Hutchinson's estimator promise."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax

H = np.asarray([[2.0, 0.5], [0.5, 3.0]], np.float32)


def quadratic(x: Any) -> Any:
    return x @ jnp.asarray(H) @ x / 2


def constant(value: float) -> Any:
    """An estimator that always finds the same."""
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: jnp.full_like(g, value), updates))


def estimates(f: Any, params: Any, seeds: range = range(1)) -> list[Any]:
    found = []
    for seed in seeds:
        tx = optax.hutchinson_estimator_diag_hessian(seed)
        u, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params, obj_fn=f)
        found.append(u)
    return found


def test_an_estimate_is_signs_times_the_hessian_times_signs() -> None:
    """For equal signs that is the sum of a row, for others the difference."""
    found = np.stack(estimates(quadratic, jnp.ones(2), range(20)))
    equal = np.isclose(found[:, 0], 2.5)
    np.testing.assert_allclose(found, np.where(equal[:, None], [2.5, 3.5], [1.5, 2.5]))
    assert 0 < equal.sum() < 20


def test_a_diagonal_is_found_exactly() -> None:
    params = {"a": jnp.asarray([1.0, 2.0]), "b": jnp.float32(-1.0), "none": None, "empty": jnp.zeros((0, 2))}
    found = estimates(lambda p: jnp.sum(p["a"] ** 3) + 2 * p["b"] ** 2 + jnp.sum(p["empty"]), params)[0]
    np.testing.assert_allclose(found["a"], [6.0, 12.0])
    assert (float(found["b"]), found["none"], found["empty"].shape) == (4.0, None, (0, 2))


def test_complex_parameters_get_the_mean_of_both_second_derivatives() -> None:
    """Defect A15: the original rejects them. f = 3 |x|^2 has 6 in both; f = (Re x)^2 has 2 and 0."""
    x = jnp.asarray([1 + 2j, -1j])
    np.testing.assert_allclose(estimates(lambda x: 3 * jnp.sum(jnp.abs(x) ** 2), x)[0], 6.0, rtol=1e-6)
    np.testing.assert_allclose(np.mean(estimates(lambda x: jnp.sum(x.real**2), x, range(4)), 0), 1.0, atol=1e-6)


def test_integer_parameters_are_left_out() -> None:
    """Defect F8."""
    params = {"w": jnp.asarray([1.0, 2.0]), "n": jnp.asarray(3)}

    def f(p: Any) -> Any:
        return jnp.sum(p["w"] ** 2) * p["n"].astype(float)

    g = jax.grad(f, allow_int=True)(params)
    tx = optax.sophia(0.1)
    u, state = tx.update(g, tx.init(params), params, obj_fn=f)
    np.testing.assert_allclose(state[0].nu["w"], 0.01 * 6.0, rtol=1e-6)
    assert optax.apply_updates(params, u)["n"] == 3


def test_numbers_of_python_are_parameters() -> None:
    """Defect A17."""
    tx = optax.sophia(0.1)
    params = {"w": 1.5}
    u, state = tx.update({"w": 0.3}, tx.init(params), params, obj_fn=lambda p: 2.0 * p["w"] ** 2)
    np.testing.assert_allclose(state[0].nu["w"], 0.01 * 4.0, rtol=1e-6)
    np.testing.assert_allclose(u["w"], -0.1 * (1 + 1e-4 * 1.5), rtol=1e-6)


@pytest.mark.parametrize("seed", [None, 0, np.int64(0), "raw", "typed"])
def test_keys_are_plain_integers_in_the_state(seed: Any) -> None:
    """Defect F10: checkpoint libraries cannot write typed keys. In the original an integer seed fails."""
    seed = {"raw": jax.random.key_data(jax.random.key(0)), "typed": jax.random.key(0)}.get(seed, seed)
    tx = optax.hutchinson_estimator_diag_hessian(seed)
    p = jnp.ones(2)
    state = tx.init(p)
    np.testing.assert_array_equal(state.key, jax.random.key_data(jax.random.key(0)))
    _, later = tx.update(p, state, p, obj_fn=quadratic)
    assert later.key.dtype == jnp.uint32
    assert not np.array_equal(later.key, state.key)


@pytest.mark.parametrize("tx", [optax.hutchinson_estimator_diag_hessian(), optax.sophia(0.1)], ids=["h", "sophia"])
def test_says_what_is_missing(tx: Any) -> None:
    p = jnp.ones(2)
    with pytest.raises(ValueError, match=r"update\(updates, state, params, obj_fn=f\)"):
        tx.update(p, tx.init(p), p)
    with pytest.raises(ValueError, match="params must not be None"):
        tx.update(p, tx.init(p), obj_fn=quadratic)


@pytest.mark.parametrize("f", [lambda x: x, lambda x: x.sum().astype("complex64"), lambda x: 1])
def test_the_function_must_be_a_real_scalar(f: Any) -> None:
    with pytest.raises(TypeError, match="obj_fn must return a real scalar"):
        estimates(f, jnp.ones(2))


def test_equal_leaves_get_signs_of_their_own() -> None:
    """The estimate for a . b is the product of the two signs; with the same signs for both it would be 1 everywhere."""
    found = estimates(lambda p: jnp.sum(p["a"] * p["b"]), {"a": jnp.ones(50), "b": jnp.ones(50)})[0]
    np.testing.assert_array_equal(found["a"], found["b"])
    assert set(np.asarray(found["a"]).tolist()) == {-1.0, 1.0}


def test_other_steps_do_not_pay_for_the_hessian() -> None:
    """The function is evaluated on steps 1, 4, 7, compiled or not."""
    calls = []

    def f(x: Any) -> Any:
        jax.debug.callback(lambda: calls.append(1))
        return quadratic(x)

    tx = optax.sophia(0.1, update_interval=3)
    p = jnp.ones(2)

    def step(state: Any) -> Any:
        return tx.update(p, state, p, obj_fn=f)[1]

    for run in (step, jax.jit(step)):
        state = tx.init(p)
        calls.clear()
        for t in range(7):
            state = run(state)
            jax.effects_barrier()
            assert len(calls) == 1 + t // 3


def test_an_estimate_counts_from_the_next_step_on() -> None:
    tx = optax.sophia(1.0, b2=0.0, gamma=0.5, weight_decay=0.0, hessian_diagonal_fn=constant(10.0))
    p = jnp.asarray([2.0, -20.0, 0.0])
    u, state = tx.update(p, tx.init(p), p)
    np.testing.assert_allclose(u, [-1.0, 1.0, 0.0])
    np.testing.assert_allclose(state[0].nu, 10.0)
    u, state = tx.update(p, state, p)
    np.testing.assert_allclose(u, [-2.0 / 5, 1.0, 0.0], rtol=1e-5)


@pytest.mark.parametrize("curvature", [-3.0, 0.0])
@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64"])
@pytest.mark.parametrize("eps", [1e-8, 0.0])
def test_without_curvature_the_step_is_bounded(curvature: float, dtype: str, eps: float) -> None:
    """Defect A7: nothing is divided by zero; negative curvature does not turn the step round."""
    tx = optax.sophia(1.0, eps=eps, clip_threshold=0.5, weight_decay=0.0, hessian_diagonal_fn=constant(curvature))
    g = jnp.asarray([1e-3, -2.0, 0.0], dtype)
    state = tx.init(g)
    for _ in range(3):
        u, state = tx.update(g, state, g)
        np.testing.assert_allclose(u, [-0.5, 0.5, 0.0], rtol=1e-3)


def test_no_bound() -> None:
    tx = optax.sophia(1.0, b2=0.0, gamma=1.0, clip_threshold=None, weight_decay=0.0, hessian_diagonal_fn=constant(0.5))
    g = jnp.asarray([4.0])
    _, state = tx.update(g, tx.init(g), g)
    u, _ = tx.update(g, state, g)
    np.testing.assert_allclose(u, -8.0, rtol=1e-5)


def test_it_prints_how_many_elements_are_not_clipped(capsys: pytest.CaptureFixture[str]) -> None:
    settings: Any = {"b2": 0.0, "gamma": 1.0, "hessian_diagonal_fn": constant(1.0), "verbose": True}
    g = {"a": jnp.asarray([2.0, 0.5, 0.1]), "b": jnp.asarray([0.0]), "none": None}

    def output(tx: Any) -> list[str]:
        state = tx.init(g)
        update = jax.jit(tx.update)
        for _ in range(4):
            _, state = update(g, state, g)
        jax.effects_barrier()
        return capsys.readouterr().out.splitlines()

    said = "sophia: {} of the elements are not clipped"
    assert output(optax.sophia(0.1, **settings)) == [said.format(x) for x in ("0.250", "0.750", "0.750", "0.750")]
    assert output(optax.sophia(0.1, print_win_rate_every_n_steps=2, **settings)) == [said.format("0.750")] * 2
    assert output(optax.sophia(0.1, **settings | {"verbose": False})) == []


def test_the_curvature_is_kept_in_float32() -> None:
    """Defect A4: bfloat16 cannot resolve 1 - 0.99."""
    p = jnp.ones(2, jnp.bfloat16)
    state = optax.sophia(0.1).init(p)[0]
    assert (state.mu.dtype, state.nu.dtype) == (jnp.bfloat16, jnp.float32)
    state = optax.sophia(0.1, mu_dtype="float32", nu_dtype="bfloat16").init(p)[0]
    assert (state.mu.dtype, state.nu.dtype) == (jnp.float32, jnp.bfloat16)


def test_it_minimizes() -> None:
    tx = optax.sophia(0.1, b1=0.5, b2=0.9, gamma=1.0, weight_decay=0.0)
    p = jnp.asarray([3.0, -2.0])
    state = tx.init(p)

    @jax.jit
    def step(p: Any, state: Any) -> Any:
        u, state = tx.update(jax.grad(quadratic)(p), state, p, obj_fn=quadratic)
        return optax.apply_updates(p, u), state

    for _ in range(100):
        p, state = step(p, state)
    assert float(quadratic(p)) < 0.05


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"update_interval": 0}, ValueError, "update_interval must be at least 1, not 0"),
        ({"print_win_rate_every_n_steps": 0.5}, TypeError, "print_win_rate_every_n_steps must be an integer, not 0.5"),
        ({"hessian_diagonal_fn": abs}, TypeError, "hessian_diagonal_fn"),
        ({"clip_threshold": -1.0}, ValueError, "clip_threshold must be at least 0, not -1.0"),
        ({"b2": 1.0}, ValueError, "b2 must be at least 0 and below 1, not 1.0"),
    ],
)
def test_what_cannot_be_meant_raises(settings: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.sophia(0.1, **settings)
    with pytest.raises(TypeError, match="must be one random key or an integer"):
        optax.hutchinson_estimator_diag_hessian("seed")  # type: ignore[arg-type]

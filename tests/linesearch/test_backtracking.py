"""What only the backtracking line search promises."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.linesearch import scale_by_backtracking_linesearch
from x64 import enable_x64


def searched(tx: Any, f: Any, x: Any, state: Any = None, direction: Any = None) -> tuple[Any, Any]:
    """Updates and state, for the direction -grad f."""
    value, g = jax.value_and_grad(f)(x)
    d = -g if direction is None else direction
    return tx.update(d, tx.init(x) if state is None else state, x, value=value, grad=g, value_fn=f)


def naive(
    f: Any, x: Any, t: float, steps: int, c1: float = 1e-4, shrink: float = 0.8, atol: float = 0.0, rtol: float = 0.0
) -> tuple[int, float, bool]:
    """Nocedal and Wright, algorithm 3.1: number of evaluations, last step size, whether it has enough decrease."""
    value, g = (np.asarray(v) for v in jax.value_and_grad(f)(x))
    for n in range(steps + 1):
        new = float(f(x - t * g))
        if math.isfinite(new) and new <= value + rtol * value + atol - c1 * t * np.sum(g * g):
            return n + 1, t, True
        t *= shrink if n < steps else 1
    return steps + 1, t, False


def square(x: Any) -> Any:
    return jnp.sum(x**2)


def steep(x: Any) -> Any:
    return 50 * jnp.sum(x**4)


def rosenbrock(x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def root(x: Any) -> Any:
    """No number for negative x."""
    return jnp.sum(x - jnp.sqrt(x))


def wall(x: Any) -> Any:
    return jnp.where(x[0] > 0.999, square(x), jnp.inf)


@pytest.mark.parametrize(
    ("f", "start", "settings"),
    [
        (square, [1.0, -2.0], {}),
        (square, [1.0, -2.0], {"slope_rtol": 0.7}),
        (square, [1.0, -2.0], {"slope_rtol": 0.999}),  # not in 30 evaluations
        (steep, [0.7, -1.0], {"decrease_factor": 0.5}),
        (steep, [0.7, -1.0], {"decrease_factor": 0.1, "increase_factor": 1.0}),
        (rosenbrock, [-1.2, 1.0], {}),
        (rosenbrock, [-1.2, 1.0], {"max_learning_rate": math.inf, "increase_factor": 40.0}),
        (root, [1.0, 0.1], {"decrease_factor": 0.9}),
        (wall, [1.0, 2.0], {}),
        (lambda x: -square(x), [1.0, 2.0], {"max_learning_rate": 9.0, "increase_factor": 3.0}),
        (lambda x: jnp.nan * square(x), [1.0], {}),
        (lambda x: jnp.cos(x[0]) + 2, [0.3], {"atol": 0.01, "rtol": 0.1}),
    ],
)
def test_number_of_evaluations_and_step_size(f: Any, start: Any, settings: dict[str, Any]) -> None:
    """Four searches in a row: each begins where the last has ended, times the factor, up to the largest step size."""
    names = {"slope_rtol": "c1", "decrease_factor": "shrink", "atol": "atol", "rtol": "rtol"}
    known = {names[k]: v for k, v in settings.items() if k in names}
    with enable_x64():
        tx = scale_by_backtracking_linesearch(30, **settings)
        x = jnp.asarray(start, jnp.float64)
        state = tx.init(x)
        for _ in range(4):
            first = min(
                settings.get("increase_factor", 1.5) * float(state.learning_rate), settings.get("max_learning_rate", 1)
            )
            steps, t, enough = naive(f, x, first, 30, **known)
            u, state = searched(tx, f, x, state)
            assert int(state.info.num_linesearch_steps) == steps
            np.testing.assert_allclose(state.learning_rate, t, rtol=1e-12)
            assert (float(state.info.decrease_error) == 0) == enough
            taken = enough or float(f(x - t * jax.grad(f)(x))) <= float(f(x))
            np.testing.assert_allclose(u, -t * jax.grad(f)(x) if taken else jnp.zeros_like(x), rtol=1e-12)
            x = x + u
            np.testing.assert_allclose(state.value, f(x), rtol=1e-12)


def test_by_hand() -> None:
    """x^2 from 1 along -2 decreases for t < 1, and enough with c1 = 1/2 up to t = 1/2: 1, 0.8, 0.64, 0.512, 0.4096."""
    tx = scale_by_backtracking_linesearch(10, slope_rtol=0.5)
    u, state = searched(tx, square, jnp.ones(1))
    np.testing.assert_allclose((*u, state.learning_rate), (-2 * 0.8**4, 0.8**4), rtol=1e-6)
    assert int(state.info.num_linesearch_steps) == 5
    u, state = searched(tx, square, jnp.ones(1), state)  # from 0.6144: 0.49152
    np.testing.assert_allclose(state.learning_rate, 1.5 * 0.8**5, rtol=1e-6)
    assert state.grad is None


def test_the_first_search_begins_at_the_largest_step_size_or_the_factor() -> None:
    def down(x: Any) -> Any:
        return jnp.sum(x)

    for settings, t in (
        ({}, 1),
        ({"max_learning_rate": math.inf}, 1.5),
        ({"max_learning_rate": 1.2}, 1.2),
        ({"max_learning_rate": 5, "increase_factor": 1}, 1),
    ):
        tx = scale_by_backtracking_linesearch(5, **settings)
        state = searched(tx, down, jnp.ones(1))[1]
        np.testing.assert_allclose(state.learning_rate, t, rtol=1e-6)


def test_evaluations_run_out() -> None:
    """No step if the function would increase, a step if only the decrease is too small; the next search goes on."""
    tx = scale_by_backtracking_linesearch(3, decrease_factor=0.5, increase_factor=1.0, store_grad=True)
    x = jnp.ones(1)
    u, state = searched(tx, steep, x)
    np.testing.assert_array_equal(u, 0)
    np.testing.assert_allclose((state.learning_rate, state.value, *state.grad), (1 / 8, 50, 200))
    assert int(state.info.num_linesearch_steps) == 4
    assert float(state.info.decrease_error) > 0
    u, state = searched(tx, steep, x, state)
    np.testing.assert_allclose((state.learning_rate, *u), (1 / 64, 0))
    u, state = searched(tx, steep, x, state)  # 1/64, 1/128: from 1 to 1 - 200/128 = -0.5625
    np.testing.assert_allclose((state.learning_rate, *u), (1 / 128, -200 / 128), rtol=1e-6)
    np.testing.assert_allclose((state.value, *state.grad), (50 * 0.5625**4, -200 * 0.5625**3), rtol=1e-5)
    assert (int(state.info.num_linesearch_steps), float(state.info.decrease_error)) == (2, 0)

    strict = scale_by_backtracking_linesearch(3, slope_rtol=1.0, decrease_factor=0.5)
    u, state = searched(strict, square, x)
    np.testing.assert_allclose((state.learning_rate, *u), (1 / 8, -2 / 8))
    assert float(state.info.decrease_error) > 0


@pytest.mark.parametrize(
    ("settings", "taken"), [({"atol": 0.31}, True), ({"rtol": 0.16}, True), ({"rtol": 0.1}, False)]
)
def test_tolerances(settings: dict[str, float], taken: bool) -> None:
    """Uphill from 2 to 2.3."""
    tx = scale_by_backtracking_linesearch(1, slope_rtol=0.0, increase_factor=1.0, **settings)
    u, state = searched(tx, lambda x: 2 + x[0], jnp.zeros(1), direction=jnp.full(1, 0.3))
    np.testing.assert_allclose(u, [0.3 * taken], rtol=1e-6)
    np.testing.assert_allclose(state.value, 2 + 0.3 * taken, rtol=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers(bad: float) -> None:
    def f(x: Any) -> Any:
        return jnp.where(x[0] < 0.9, bad, square(x))

    d = -jnp.ones(1)
    u, state = searched(scale_by_backtracking_linesearch(5, decrease_factor=0.5), f, jnp.ones(1), direction=d)
    np.testing.assert_allclose((*u, state.learning_rate), (-1 / 16, 1 / 16))
    assert int(state.info.num_linesearch_steps) == 5
    tx = scale_by_backtracking_linesearch(3, decrease_factor=0.5, store_grad=True)
    u, state = searched(tx, f, jnp.ones(1), direction=d)
    np.testing.assert_array_equal(u, 0)
    np.testing.assert_allclose((state.value, *state.grad), (1, 2))
    assert float(state.info.decrease_error) == math.inf


def test_no_gradient_no_step() -> None:
    for f in (square, lambda x: jnp.sum(x * 0.0)):
        u, state = searched(scale_by_backtracking_linesearch(5), f, jnp.zeros(2))
        np.testing.assert_array_equal(u, 0)
        assert (int(state.info.num_linesearch_steps), float(state.info.decrease_error)) == (1, 0)


@pytest.mark.parametrize("x64", [False, True])
def test_the_stored_gradient(x64: bool) -> None:
    """Defect D13: with x64 on and parameters in float32, it failed; here also with a function in float64."""
    x = {"a": np.asarray([1.0, -0.5], np.float32), "b": (np.float32(0.2),)}
    wide = np.float64 if x64 else np.float32

    def f(p: Any) -> Any:
        return jnp.sum(p["a"].astype(wide) ** 4) + p["b"][0].astype(wide) ** 2

    def both(x: Any) -> Any:
        return searched(tx, f, x, direction=jax.tree.map(lambda x: -2 * x, x))

    with enable_x64() if x64 else jax.numpy_dtype_promotion("strict"):
        tx = scale_by_backtracking_linesearch(20, store_grad=True)
        for update in (both, jax.jit(both)):
            u, state = update(jax.tree.map(jnp.asarray, x))
            a, b = x["a"] + u["a"], x["b"][0] + u["b"][0]
            assert state.value.dtype == state.grad["a"].dtype == u["a"].dtype == np.float32
            np.testing.assert_allclose(state.value, np.sum(a**4) + b**2, rtol=1e-6)
            np.testing.assert_allclose(state.grad["a"], 4 * a**3, rtol=1e-6)
            np.testing.assert_allclose(state.grad["b"][0], 2 * b, rtol=1e-6)


def test_hyperparameters_can_be_traced() -> None:
    def found(shrink: Any, largest: Any) -> Any:
        tx = scale_by_backtracking_linesearch(8, 0.55, shrink, max_learning_rate=largest)
        return searched(tx, square, jnp.ones(1))[1].learning_rate

    t = jax.jit(jax.vmap(found))(jnp.asarray([0.5, 0.8]), jnp.asarray([1.0, 0.5]))
    np.testing.assert_allclose(t, [0.25, 0.4], rtol=1e-6)  # sufficient up to 0.45


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_backtracking_steps": 0}, ValueError, "max_backtracking_steps must be at least 1, not 0"),
        ({"max_backtracking_steps": 1.5}, TypeError, "max_backtracking_steps must be an integer, not 1.5"),
        ({"slope_rtol": 1.5}, ValueError, "slope_rtol must be at least 0 and at most 1, not 1.5"),
        ({"decrease_factor": 1.0}, ValueError, "decrease_factor must be above 0 and below 1, not 1.0"),
        ({"increase_factor": 0.9}, ValueError, "increase_factor must be at least 1, not 0.9"),
        ({"max_learning_rate": 0.0}, ValueError, "max_learning_rate must be above 0, not 0.0"),
        ({"atol": -1.0}, ValueError, "atol must be at least 0, not -1.0"),
        ({"rtol": -1.0}, ValueError, "rtol must be at least 0, not -1.0"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.scale_by_backtracking_linesearch(**{"max_backtracking_steps": 10} | arguments)

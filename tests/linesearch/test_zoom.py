"""What only the line search with the strong Wolfe conditions promises."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from x64 import enable_x64


class Counted:
    """A function of the parameters that notes them outside `jit`."""

    def __init__(self, f: Any):
        self.f, self.points = f, []

    def __call__(self, x: jax.Array) -> jax.Array:
        self.points.append(float(jax.lax.stop_gradient(x)[0]))
        return self.f(x)


def searched(tx: Any, f: Any, x: Any, direction: Any = None, state: Any = None, **start: Any) -> tuple[Any, Any, Any]:
    """Updates and state for a direction, -grad f if not given, and the step sizes evaluated in one dimension."""
    x = jnp.asarray(x)
    value, g = jax.value_and_grad(f)(x)
    d = -g if direction is None else jnp.asarray(direction, x.dtype)
    counted = Counted(f)
    state = tx.init(x) if state is None else state
    u, state = tx.update(d, state, x, **{"value": value, "grad": g, "value_fn": counted} | start)
    assert int(state.info.num_linesearch_steps) == len(counted.points)
    with np.errstate(invalid="ignore", divide="ignore"):
        return u, state, (np.asarray(counted.points) - x[0]) / d[0]


def square(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


def line(x: jax.Array) -> jax.Array:
    return jnp.sum(x)


def rosenbrock(x: jax.Array) -> jax.Array:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("curv_rtol", [0.9, 0.1, 1e-3])
@pytest.mark.parametrize("start", [[-1.2, 1.0], [2.0, -3.0], [0.0, 0.0]])
def test_strong_wolfe_conditions(start: Any, curv_rtol: float) -> None:
    """With values and gradients computed anew."""
    with enable_x64():
        x = jnp.asarray(start, jnp.float64)
        tx = optax.scale_by_zoom_linesearch(40, curv_rtol=curv_rtol, slope_rtol=1e-3, approx_dec_rtol=None)
        g = jax.grad(rosenbrock)(x)
        u, state, _ = searched(tx, rosenbrock, x)
        t, slope = float(state.learning_rate), -float(g @ g)
        np.testing.assert_allclose(u, -t * g, rtol=1e-12)
        reached = x + u
        assert rosenbrock(reached) <= rosenbrock(x) + 1e-3 * t * slope
        assert abs(jax.grad(rosenbrock)(reached) @ -g) <= curv_rtol * -slope * (1 + 1e-9)
        np.testing.assert_allclose(state.value, rosenbrock(reached), rtol=1e-12)
        np.testing.assert_allclose(state.grad, jax.grad(rosenbrock)(reached), rtol=1e-9)
        assert (float(state.info.decrease_error), float(state.info.curvature_error)) == (0, 0)


def test_by_hand() -> None:
    """x^2 from 1 along -2: t = 1 leads to the same value with the opposite slope, and the cubic to t = 1/2."""
    u, state, tried = searched(optax.scale_by_zoom_linesearch(10), square, [1.0])
    np.testing.assert_allclose(tried, [1, 0.5])
    np.testing.assert_allclose((*u, *state.grad, state.value, state.learning_rate), (-1, 0, 0, 0.5), atol=1e-7)


@pytest.mark.parametrize(
    ("start", "direction", "error"),
    [([1.0], [1.0], math.inf), ([1.0], [0.0], 0.0), ([0.0], None, 0.0), ([1.0], [math.nan], math.inf)],
)
def test_directions_that_lead_nowhere(start: Any, direction: Any, error: float) -> None:
    """Uphill, or not at all: nothing is evaluated and no step is taken; the step size stays for the next search."""
    tx = optax.scale_by_zoom_linesearch(10)
    x = jnp.asarray(start)
    state = tx.init(x)._replace(learning_rate=jnp.asarray(0.25))
    u, state, tried = searched(tx, square, x, direction, state)
    assert tried.size == 0
    if not np.isnan(u):
        np.testing.assert_array_equal(u, 0)
    assert (float(state.info.decrease_error), float(state.info.curvature_error)) == (error, error)
    assert (float(state.learning_rate), float(state.value)) == (0.25, float(square(x)))


def test_a_direction_that_is_no_number_is_not_taken() -> None:
    u, state, _ = searched(optax.scale_by_zoom_linesearch(10), square, [1.0, 1.0], [math.nan, -1.0])
    np.testing.assert_array_equal(u, 0)
    assert float(state.value) == 2


def test_evaluations_run_out() -> None:
    """Down a line without end: the last point is the best; after wrong gradients there is none."""
    u, state, tried = searched(optax.scale_by_zoom_linesearch(4, increase_factor=3.0), line, [1.0])
    np.testing.assert_allclose(tried, [1, 3, 9, 27], rtol=1e-6)
    np.testing.assert_allclose(u, [-27])
    np.testing.assert_allclose((*state.info[1:], state.learning_rate), (0, 1 - 0.9, 27), rtol=1e-5)

    u, state, tried = searched(optax.scale_by_zoom_linesearch(6), line, [1.0], [1.0], grad=-jnp.ones(1))
    np.testing.assert_array_equal(u, [0])
    assert len(tried) == 6
    np.testing.assert_allclose(state.learning_rate, tried[-1], rtol=1e-3)
    assert (float(state.value), float(state.grad[0])) == (1, -1)  # as they were told
    assert float(state.info.decrease_error) > 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_no_numbers(bad: float) -> None:
    """Left of 0.9 the function has none: the interval is halved until its end is right of that."""

    def f(x: jax.Array) -> jax.Array:
        return jnp.where(x[0] < 0.9, bad, square(x))

    u, state, tried = searched(optax.scale_by_zoom_linesearch(20), f, [1.0], [-1.0])
    np.testing.assert_allclose(tried[:4], [1, 0.5, 0.25, 0.125], rtol=1e-6)
    assert 0.9 <= 1 + float(u[0]) < 1
    assert math.isfinite(float(state.value))
    u, state, tried = searched(optax.scale_by_zoom_linesearch(3), f, [1.0], [-1.0])
    np.testing.assert_array_equal(u, 0)
    assert (float(state.value), float(state.info.decrease_error)) == (1, math.inf)


def test_the_largest_step_size() -> None:
    tx = optax.scale_by_zoom_linesearch(10, max_learning_rate=3.0)
    u, state, tried = searched(tx, line, [1.0])
    np.testing.assert_allclose(tried, [1, 2, 3], rtol=1e-6)
    np.testing.assert_allclose((*u, state.learning_rate), (-3, 3))
    kept = state._replace(learning_rate=jnp.asarray(50.0))
    np.testing.assert_array_equal(searched(tx, line, [1.0], state=kept)[2], [3])


def test_where_a_search_begins() -> None:
    for strategy, expected in (("keep", 0.5), ("one", 1.0)):
        tx = optax.scale_by_zoom_linesearch(10, initial_guess_strategy=strategy)
        _, state, tried = searched(tx, square, [1.0])
        np.testing.assert_allclose((tried[0], state.learning_rate), (1, 0.5), rtol=1e-6)
        np.testing.assert_allclose(searched(tx, square, [3.0], state=state)[2][0], expected, rtol=1e-5)


def test_near_a_minimum_the_slopes_decide() -> None:
    """In float32 1 + x^2 / 2 is 1 at 1e-4 and at all points nearer to 0, and no decrease is to be seen."""

    def f(x: jax.Array) -> jax.Array:
        return 1 + square(x) / 2

    u, state, tried = searched(optax.scale_by_zoom_linesearch(10), f, [1e-4])
    np.testing.assert_allclose(tried, [1.0], rtol=1e-6)
    np.testing.assert_allclose(u, [-1e-4])
    assert (float(state.info.decrease_error), float(state.info.curvature_error)) == (0, 0)
    u, state, tried = searched(optax.scale_by_zoom_linesearch(10, approx_dec_rtol=None), f, [1e-4])
    np.testing.assert_array_equal(u, 0)
    assert len(tried) == 10
    assert float(state.info.decrease_error) > 0


@pytest.mark.parametrize(("tol", "evaluations"), [(0.0, 2), (1e-3, 2), (0.5, 1)])
def test_tolerance(tol: float, evaluations: int) -> None:
    """At t = 1 x^2 misses the decrease by 4e-4 and the curvature by 0.4, from 1 along -2."""
    _, state, tried = searched(optax.scale_by_zoom_linesearch(10, tol=tol), square, [1.0])
    assert len(tried) == evaluations
    errors = (4e-4, 0.4) if evaluations == 1 else (0, 0)
    np.testing.assert_allclose(state.info[1:], errors, rtol=1e-2)


def test_hyperparameters_can_be_traced() -> None:
    def found(largest: Any, increase: Any) -> Any:
        tx = optax.scale_by_zoom_linesearch(10, largest, increase_factor=increase, slope_rtol=largest / 1e5)
        x = jnp.ones(1)
        return tx.update(-x, tx.init(x), x, value=1.0, grad=x, value_fn=line)[1]

    state = jax.jit(jax.vmap(found))(jnp.asarray([3.0, 20.0]), jnp.asarray([2.0, 3.0]))
    np.testing.assert_allclose(state.learning_rate, [3, 20])
    np.testing.assert_array_equal(state.info.num_linesearch_steps, [3, 4])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_linesearch_steps": 0}, ValueError, "max_linesearch_steps must be at least 1, not 0"),
        ({"max_linesearch_steps": 2.5}, TypeError, "max_linesearch_steps must be an integer, not 2.5"),
        ({"max_learning_rate": 0.0}, ValueError, "max_learning_rate must be above 0, not 0.0"),
        ({"tol": -1.0}, ValueError, "tol must be at least 0, not -1.0"),
        ({"increase_factor": 1.0}, ValueError, "increase_factor must be above 1, not 1.0"),
        ({"slope_rtol": 1.0}, ValueError, "slope_rtol must be above 0 and below 1, not 1.0"),
        ({"curv_rtol": 0.0}, ValueError, "curv_rtol must be above 0, not 0.0"),
        ({"approx_dec_rtol": -1e-6}, ValueError, "approx_dec_rtol must be at least 0, not -1e-06"),
        ({"stepsize_precision": -1.0}, ValueError, "stepsize_precision must be at least 0, not -1.0"),
        ({"initial_guess_strategy": "two"}, ValueError, "initial_guess_strategy must be 'keep' or 'one', not 'two'"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        optax.scale_by_zoom_linesearch(**{"max_linesearch_steps": 10} | arguments)

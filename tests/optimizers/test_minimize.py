"""The driver `minimize`: it finds the minima that others find, within bounds too, and says how it ended."""

import builtins
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from threadpoolctl import threadpool_limits

import optax
from compilations import form
from more_garbow_hillstrom import PROBLEMS, Problem
from optax import MinimizeStatus as Status
from x64 import enable_x64


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Any:
    """SciPy's vectors are short: its threads would only wait for each other, which takes ten times as long."""
    with threadpool_limits(1):
        yield


def scipy_minimum(f: Callable[..., Any], x0: Any, **settings: Any) -> Any:
    """SciPy's L-BFGS-B on a function of JAX."""
    value_and_grad = jax.jit(jax.value_and_grad(f))
    options = {"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000, "maxfun": 20000}

    def numbers(x: Any) -> Any:
        value, grad = value_and_grad(x)
        return float(value), np.asarray(grad)

    return scipy.optimize.minimize(numbers, np.asarray(x0), method="L-BFGS-B", jac=True, options=options, **settings)


def on_first_entries(p: Problem) -> Callable[[jax.Array], jax.Array]:
    return jax.jit(lambda x: p.value(x[: len(p.start)]))


def test_the_problems_of_more_garbow_and_hillstrom() -> None:
    """All 36, against SciPy and the published minima; together in few more evaluations than SciPy's.

    They are one function, or tracing 36 would take a minute: the number of the problem is an argument, and the vector
    is as long as the longest. What a problem does not read has no gradient and takes no part in any inner product.
    """
    functions = [on_first_entries(p) for p in PROBLEMS.values()]
    longest = max(len(p.start) for p in PROBLEMS.values())

    @jax.jit
    def problem(x: jax.Array, number: jax.Array) -> jax.Array:
        return jax.lax.switch(number, functions, x)

    ours = theirs = 0
    with enable_x64():
        for number, p in enumerate(PROBLEMS.values()):
            x0 = np.pad(p.start, (0, longest - len(p.start)))
            result = optax.minimize(problem, x0, args=(jnp.int32(number),), tol=1e-10, maxiter=3000)
            scipys = scipy_minimum(p.value, p.start)
            ours, theirs = ours + int(result.evaluations), theirs + scipys.nfev
            value = float(result.value)
            assert result.success, (p.name, result.message)
            assert value <= scipys.fun * (1 + 1e-6) + 1e-13, p.name  # SciPy gives up before the minimum on three
            assert np.isclose(value, p.minima, rtol=1e-5, atol=1e-12).any(), (p.name, value)
    assert ours <= 1.5 * theirs, (ours, theirs)


# Logistic regression, on the breast cancer data of scikit-learn


@pytest.fixture(scope="module")
def cancer() -> Any:
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(0)) / X.std(0), 2.0 * y - 1


def logistic_loss(p: Any, X: jax.Array, y: jax.Array) -> jax.Array:
    margins = y * (jnp.dot(X, p["w"]) + p["b"])
    return jnp.sum(jnp.logaddexp(-margins, 0)) + jnp.sum(p["w"] ** 2) / 2


def test_logistic_regression(cancer: Any) -> None:
    """The objective of scikit-learn's LogisticRegression with C=1: the loss summed, the intercept not penalised."""
    from sklearn.linear_model import LogisticRegression

    X, y = cancer
    with enable_x64():
        X64, y64 = jnp.asarray(X), jnp.asarray(y)
        result = optax.minimize(logistic_loss, {"w": np.zeros(30), "b": 0.0}, args=(X64, y64), tol=1e-6)
        theirs = scipy_minimum(lambda p: logistic_loss({"w": p[1:], "b": p[0]}, X64, y64), np.zeros(31))
    model = LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y)
    assert result.status == Status.CONVERGED
    assert int(result.evaluations) <= 1.5 * theirs.nfev
    np.testing.assert_allclose(result.value, theirs.fun, rtol=1e-10)
    np.testing.assert_allclose(result.params["w"], model.coef_[0], atol=1e-5)
    np.testing.assert_allclose(result.params["b"], model.intercept_[0], atol=1e-5)


def test_logistic_regression_in_float32(cancer: Any) -> None:
    from sklearn.linear_model import LogisticRegression

    X, y = cancer
    args = tuple(jnp.asarray(a, "float32") for a in cancer)
    result = optax.minimize(logistic_loss, {"w": np.zeros(30, "float32"), "b": 0.0}, args=args, tol=1e-2)
    model = LogisticRegression(tol=1e-10, max_iter=1000).fit(X, y)
    assert result.status == Status.CONVERGED
    assert result.evaluations < 60
    np.testing.assert_allclose(result.params["w"], model.coef_[0], atol=2e-3)
    np.testing.assert_allclose(result.params["b"], model.intercept_[0], atol=2e-3)


# Bounds and projections


def quadratic(x: jax.Array, P: jax.Array, q: jax.Array) -> jax.Array:
    return jnp.dot(x, jnp.dot(P, x)) / 2 - jnp.dot(q, x)


def random_quadratic(n: int, seed: int) -> tuple[Any, Any]:
    """A positive definite matrix with eigenvalues from 1/10 to 100, and a vector."""
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
    return Q * np.geomspace(0.1, 100, n) @ Q.T, 10 * rng.normal(size=n)


def check_optimal(x: Any, g: Any, lower: Any, upper: Any, atol: float) -> None:
    """The conditions of Karush, Kuhn and Tucker for the least value within bounds, for the gradient g."""
    x, g = np.asarray(x), np.asarray(g)
    lower, upper = (np.broadcast_to(b, x.shape) for b in (lower, upper))
    assert ((lower <= x) & (x <= upper)).all()
    assert (g[x > lower] <= atol).all()  # or a smaller x would be better
    assert (g[x < upper] >= -atol).all()


BOXES = {
    "box": (-0.3, 0.5),
    "lower bounds": (-0.1, None),
    "upper bounds": (None, 0.2),
    "a vector of lower bounds": (np.linspace(-1, 1, 8), None),
    "narrow": (0.2, 0.2 + 1e-6),
    "a point": (0.25, 0.25),
    "wide": (-1e6, 1e6),
    "in a list": [-0.3, 0.5],
}


@pytest.mark.parametrize("name", BOXES)
def test_quadratics_within_bounds(name: str) -> None:
    """One program for all bounds. Each starts outside, or on bounds, of the most part of its box."""
    box: Any = BOXES[name]
    lower, upper = (default if b is None else b for b, default in zip(box, (-np.inf, np.inf), strict=True))
    limits = [np.broadcast_to(b, 8) for b in (lower, upper)]
    active = 0
    with enable_x64():
        for seed in range(3):
            P, q = random_quadratic(8, seed)
            x0 = np.where(np.arange(8) % 2, 30.0, -30.0)
            result = optax.minimize(quadratic, x0, args=(P, q), bounds=box, tol=1e-8)
            theirs = scipy_minimum(
                lambda x, P=P, q=q: quadratic(x, jnp.asarray(P), jnp.asarray(q)),
                np.clip(x0, *limits),
                bounds=list(zip(*limits, strict=True)),
            )
            assert result.success, result.message
            check_optimal(result.params, P @ np.asarray(result.params) - q, lower, upper, 1e-6)
            assert float(result.value) <= theirs.fun + 1e-8 * abs(theirs.fun)
            np.testing.assert_allclose(result.value, theirs.fun, rtol=1e-8)
            active += int(np.sum((result.params == limits[0]) | (result.params == limits[1])))
    assert (active > 0) == (name != "wide")


def test_nonnegative_least_squares() -> None:
    with enable_x64():
        for seed in range(3):
            rng = np.random.default_rng(seed)
            A, b = rng.normal(size=(20, 8)), rng.normal(size=20)
            result = optax.minimize(quadratic, np.ones(8), args=(A.T @ A, A.T @ b), bounds=(0, None), tol=1e-9)
            expected, _ = scipy.optimize.nnls(A, b)
            np.testing.assert_allclose(result.params, expected, atol=1e-9)
            np.testing.assert_array_equal(np.asarray(result.params) == 0, expected == 0)


@pytest.mark.parametrize("method", [optax.adam(0.05), optax.sgd(0.01)], ids=["adam", "sgd"])
def test_methods_without_a_line_search_within_bounds(method: Any) -> None:
    """They are projected after each update."""
    with enable_x64():
        P, q = random_quadratic(8, seed=0)
        result = optax.minimize(
            quadratic, np.full(8, 30.0), method, args=(P, q), bounds=(-0.3, 0.5), tol=1e-5, maxiter=20_000
        )
        lbfgs = optax.minimize(quadratic, np.full(8, 30.0), args=(P, q), bounds=(-0.3, 0.5), tol=1e-8)
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, lbfgs.params, atol=1e-4)
    check_optimal(result.params, P @ np.asarray(result.params) - q, -0.3, 0.5, 1e-5)


def rosenbrock(x: jax.Array) -> jax.Array:
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize(("lower", "upper", "start"), [(-0.5, 0.8, -0.2), (1.2, 2.0, 1.5)])
def test_rosenbrock_within_bounds(lower: float, upper: float, start: float) -> None:
    """(1, ..., 1) is outside of both boxes."""
    with enable_x64():
        x0 = np.full(10, start)
        result = optax.minimize(rosenbrock, x0, bounds=(lower, upper), tol=1e-8)
        theirs = scipy_minimum(rosenbrock, x0, bounds=[(lower, upper)] * 10)
        gradient = jax.grad(rosenbrock)(result.params)
    assert result.status == Status.CONVERGED
    assert int(result.evaluations) <= 1.5 * theirs.nfev
    np.testing.assert_allclose(result.value, theirs.fun, rtol=1e-8)
    check_optimal(result.params, gradient, lower, upper, 1e-8)


def distance(x: Any, target: Any) -> jax.Array:
    """A sum of quartic functions of all numbers of two trees."""
    differences = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2 + (a - b) ** 4), x, target)
    return jnp.sum(jnp.stack(jax.tree.leaves(differences)))


def test_bounds_of_parts_of_a_tree() -> None:
    """The sum is separable: each number goes to the place nearest to its target. A bound for "a" is for all of "a"."""
    target = {"a": {"u": jnp.array([-1.0, 0.5]), "v": jnp.float32(3)}, "b": jnp.array([-5.0, 0.25, 5.0])}
    bounds = ({"a": 0.0, "b": None}, {"a": {"u": None, "v": 2}, "b": np.array([0.0, 1.0, 1.0])})
    x0 = jax.tree.map(jnp.ones_like, target)
    result = optax.minimize(distance, x0, args=(target,), bounds=bounds)
    expected = {"a": {"u": [0.0, 0.5], "v": 2.0}, "b": [-5.0, 0.25, 1.0]}
    assert result.status == Status.CONVERGED
    assert form(result.params) == form(target)
    assert [*result.params["a"]["u"][:1], result.params["a"]["v"], result.params["b"][2]] == [0, 2, 1]  # exactly
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), result.params, expected, is_leaf=is_list)


def is_list(x: Any) -> bool:
    return isinstance(x, list)


def test_projection_on_the_simplex() -> None:
    """There is a multiplier m with g = m where x > 0 and g >= m where x = 0."""
    with enable_x64():
        P, q = random_quadratic(8, seed=1)
        projection = optax.projections.projection_simplex
        result = optax.minimize(
            quadratic, np.ones(8), optax.sgd(0.01), args=(P, q), projection=projection, tol=1e-7, maxiter=5000
        )
        x = np.asarray(result.params)
    g = P @ x - q
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(x.sum(), 1, rtol=1e-12)
    assert (x >= 0).all()
    assert 0 < (x > 0).sum() < 8
    m = g[x > 0].mean()
    np.testing.assert_allclose(g[x > 0], m, atol=1e-6)
    assert (g[x == 0] >= m - 1e-6).all()


# Methods

METHODS = {
    "adam": optax.adam(0.1),
    "sgd with momentum": optax.sgd(0.05, momentum=0.5),
    "lion": optax.lion(optax.exponential_decay(0.1, 10, 0.8)),
    "polyak_sgd": optax.polyak_sgd(),
    "MultiSteps": optax.MultiSteps(optax.sgd(0.1), 4),
    "lbfgs with backtracking": optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20)),
    "lbfgs without a search": optax.lbfgs(0.5, linesearch=None),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    """Updates of MultiSteps are zero in three of four iterations, which is no reason to stop."""
    x0, target = jnp.zeros(3), jnp.array([0.5, -1.0, 1.5])
    result = optax.minimize(distance, x0, METHODS[name], args=(target,), tol=1e-3)
    assert result.success, result.message
    assert result.grad_norm <= 1e-3
    np.testing.assert_allclose(result.params, target, atol=1e-3)
    if name == "MultiSteps":
        assert result.iterations % 4 == 0
    if "lbfgs" not in name:
        assert result.evaluations == result.iterations + 1


# How a run ends


def valley(x: jax.Array) -> jax.Array:
    return rosenbrock(x) + 1


@jax.custom_vjp
def deceptive(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2)


deceptive.defvjp(lambda x: (deceptive(x), x), lambda x, ct: (-2 * ct * x,))  # uphill


def defined_below_ten(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2) + 0 * jnp.sum(jnp.log(100 - x**2))


def test_converged() -> None:
    result = optax.minimize(valley, jnp.zeros(3), tol=1e-2)
    assert result.status == Status.CONVERGED
    assert result.success
    assert result.message == "converged: the norm of the gradient is at most tol"
    value, grad = jax.value_and_grad(valley)(result.params)
    np.testing.assert_allclose(result.value, value, rtol=1e-6)
    np.testing.assert_allclose(result.grad_norm, jnp.linalg.norm(grad), atol=1e-5)
    assert result.grad_norm <= 1e-2


def test_stalled() -> None:
    """The sum of exp(x) - c x + 20 is the same in float32 for all x near its minimum at log(c).

    It depends on the rounding of c how a run without a tolerance ends, but it ends."""

    def f(x: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.sum(jnp.exp(x) - c * x + 20)

    c = np.random.default_rng(0).uniform(1, 9, (10, 5))
    results = [optax.minimize(f, jnp.zeros(5), args=(jnp.asarray(row, "float32"),), tol=0) for row in c]
    stalled = [r for r in results if r.status == Status.STALLED]
    assert len(stalled) >= 3
    for r in stalled:
        assert r.success
        assert "has not changed" in r.message
        assert r.grad_norm > 0
    for r, row in zip(results, c, strict=True):
        assert r.iterations < 50
        np.testing.assert_allclose(r.value, np.sum(row - row * np.log(row) + 20), rtol=1e-6)
        np.testing.assert_allclose(r.params, np.log(row), atol=2e-3)


def test_no_decrease() -> None:
    """A wrong gradient: the line search finds no lower value along it, and the run ends where it began."""
    x0 = jnp.array([1.0, 2.0])
    result = optax.minimize(deceptive, x0)
    assert result.status == Status.NO_DECREASE
    assert not result.success
    assert "no step that decreases" in result.message
    np.testing.assert_array_equal(result.params, x0)
    assert result.value == 5
    assert result.iterations < 3


@pytest.mark.parametrize("maxiter", [0, 1, 4])
def test_max_iterations(maxiter: int) -> None:
    result = optax.minimize(valley, jnp.zeros(3), tol=1e-2, maxiter=maxiter)
    assert result.status == Status.MAX_ITERATIONS
    assert not result.success
    assert "maxiter" in result.message
    assert result.iterations == maxiter
    if maxiter == 0:
        np.testing.assert_array_equal(result.params, 0)
        assert (result.value, result.evaluations) == (valley(jnp.zeros(3)), 1)


def test_already_at_the_minimum() -> None:
    result = optax.minimize(valley, jnp.ones(3))
    assert result.status == Status.CONVERGED
    assert (result.iterations, result.evaluations, result.value, result.grad_norm) == (0, 1, 1, 0)


def test_not_finite() -> None:
    """sgd(1.5) doubles x, with the other sign: 1, -2, 4, -8 are fine, and at 16 the function is no number."""
    result = optax.minimize(defined_below_ten, jnp.array([1.0]), optax.sgd(1.5), history=True, maxiter=6)
    assert result.status == Status.NOT_FINITE
    assert not result.success
    assert "infinite or no number" in result.message
    assert (result.params[0], result.value, result.grad_norm, result.iterations) == (-8, 64, 16, 4)
    np.testing.assert_array_equal(result.history.value, [1, 4, 16, 64, 64, np.nan, np.nan])


def test_not_finite_after_a_huge_step() -> None:
    result = optax.minimize(defined_below_ten, jnp.array([1.0, 2.0]), optax.adam(1e3))
    assert result.status == Status.NOT_FINITE
    np.testing.assert_array_equal(result.params, [1, 2])
    assert (result.value, result.iterations, result.evaluations) == (5, 1, 2)


def test_not_finite_from_the_start() -> None:
    result = optax.minimize(defined_below_ten, jnp.array([20.0, 2.0]), optax.adam(1e3))
    assert result.status == Status.NOT_FINITE
    assert (result.iterations, result.evaluations) == (0, 1)
    np.testing.assert_array_equal(result.params, [20, 2])


def test_a_line_search_turns_back_where_the_function_is_not_finite() -> None:
    """The first step goes beyond 10."""
    result = optax.minimize(defined_below_ten, jnp.array([9.99, 9.0]), optax.lbfgs(20.0))
    assert result.status == Status.CONVERGED
    np.testing.assert_allclose(result.params, 0, atol=1e-5)


# What is counted, recorded and called


@pytest.mark.parametrize(
    ("method", "bounds"),
    [
        (None, None),
        (None, (-0.5, 0.8)),
        (optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20)), None),
        (optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20, store_grad=True)), None),
        (optax.adam(0.1), None),
    ],
    ids=["lbfgs", "lbfgs within bounds", "backtracking", "backtracking with the gradient", "adam"],
)
def test_evaluations_are_those_that_there_were(method: Any, bounds: Any) -> None:
    calls = 0

    def count(_: Any) -> None:
        nonlocal calls
        calls += 1

    def counted(x: jax.Array) -> jax.Array:
        jax.debug.callback(count, x[0])
        return rosenbrock(x)

    result = optax.minimize(counted, jnp.array([-0.2, 0.3, 0.1]), method, bounds=bounds, maxiter=15, tol=1e-3)
    jax.effects_barrier()
    assert result.iterations > 5
    assert calls == result.evaluations


def with_aux(p: Any, scale: Any) -> Any:
    value = scale * rosenbrock(jnp.concatenate([p["u"], p["v"][None]]))
    return value, {"p": p, "ten times": 10 * value}


def test_auxiliary_data() -> None:
    x0 = {"u": jnp.zeros(2), "v": jnp.float32(0.5)}
    result = optax.minimize(with_aux, x0, args=(2.0,), has_aux=True, tol=1e-2)
    assert result.status == Status.CONVERGED
    assert form(result.params) == form(x0)
    jax.tree.map(np.testing.assert_array_equal, result.aux["p"], result.params)
    np.testing.assert_allclose(result.aux["ten times"], 10 * result.value, rtol=1e-5)


def half_square(x: jax.Array) -> jax.Array:
    return jnp.sum(x**2) / 2


@pytest.mark.parametrize("maxiter", [20, 5])
def test_history(maxiter: int) -> None:
    """sgd(1/2) halves x: the value is 32 / 4^k after k iterations and the norm of the gradient 8 / 2^k."""
    result = optax.minimize(half_square, jnp.array(8.0), optax.sgd(0.5), tol=0.01, maxiter=maxiter, history=True)
    k = np.arange(maxiter + 1)
    last = min(maxiter, 10)  # 8 / 2^10 < 0.01
    assert result.iterations == last
    np.testing.assert_array_equal(result.history.value, np.where(k <= last, 32 / 4.0**k, np.nan))
    np.testing.assert_array_equal(result.history.grad_norm, np.where(k <= last, 8 / 2.0**k, np.nan))
    assert result.value == result.history.value[last]


def test_no_history_unless_asked_for() -> None:
    assert optax.minimize(half_square, jnp.array(8.0), optax.sgd(0.5)).history is None


class Counted:
    """A function that knows how often it was traced."""

    def __init__(self, f: Callable[..., Any]):
        self.f = f
        self.traces = 0

    def __call__(self, *args: Any) -> Any:
        self.traces += 1
        return self.f(*args)


# What calls back is compiled anew in each process: all of it on one program.
watched = Counted(half_square)


def watch(callback: Any, x0: float = 8.0, **settings: Any) -> Any:
    return optax.minimize(watched, jnp.array(x0), optax.sgd(0.5), tol=0.01, callback=callback, **settings)


def test_callbacks_see_every_iteration() -> None:
    seen: list[Any] = []
    result = watch(seen.append)
    assert result.status == Status.CONVERGED
    assert [int(r.iterations) for r in seen] == list(range(1, 11))
    assert [float(r.params) for r in seen] == [8 / 2**k for k in range(1, 11)]
    assert [float(r.value) for r in seen] == [32 / 4**k for k in range(1, 11)]
    assert [int(r.evaluations) for r in seen] == list(range(2, 12))


def test_callbacks_stop_by_what_they_return() -> None:
    result = watch(lambda r: r.iterations == 3)
    assert (result.status, result.iterations, result.params) == (Status.STOPPED, 3, 1)
    assert not result.success
    assert result.message == "stopped by the callback"


def test_callbacks_stop_by_stop_iteration() -> None:
    numbers = iter(range(4))
    result = watch(lambda _: next(numbers) < 0)
    assert (result.status, result.iterations) == (Status.STOPPED, 5)


def test_what_a_callback_raises_comes_out() -> None:
    error = KeyError("mine")
    calls = []

    def callback(result: Any) -> None:
        calls.append(result)
        raise error

    with pytest.raises(KeyError, match="mine") as info:
        watch(callback)
    assert info.value is error
    assert len(calls) == 1
    assert watch(lambda _: None).status == Status.CONVERGED


def test_another_callback_is_no_other_program() -> None:
    watch(lambda _: None)
    traces = watched.traces
    seen: list[Any] = []
    watch(seen.append, x0=16.0)
    assert watched.traces == traces
    assert len(seen) == 11


def test_callbacks_inside_jit() -> None:
    seen: list[Any] = []
    compiled = jax.jit(lambda x: optax.minimize(half_square, x, optax.sgd(0.5), tol=0.01, callback=seen.append))
    for n in (10, 20):
        assert compiled(jnp.array(8.0)).iterations == 10
        jax.effects_barrier()
        assert len(seen) == n


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Any] = []
    watch(seen.append, progress=True, maxiter=10)
    shown = capsys.readouterr().err
    assert "minimize" in shown
    assert "10/10" in shown
    assert "grad_norm=0.00781" in shown
    assert len(seen) == 10


def test_progress_needs_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_tqdm(name: str, *args: Any) -> Any:
        if name.startswith("tqdm"):
            raise ImportError(name)
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    with pytest.raises(ImportError, match="progress=True needs tqdm: pip install"):
        watch(None, progress=True)


# What is compiled, and for what


def test_compiles_once() -> None:
    """Other values are no other program; x0 of NumPy is in float64 and comes out as JAX has it.

    Defect D11."""
    f = Counted(distance)
    first = optax.minimize(f, jnp.zeros(3), args=(jnp.ones(3),))
    traces = f.traces
    for x0, target, settings in [
        (jnp.ones(3), jnp.zeros(3), {}),
        (np.full(3, 2.0), np.array([1.0, 2.0, 3.0]), {"tol": 1e-3, "maxiter": 50}),
        (np.full(3, 2, "float32"), jnp.ones(3), {"tol": jnp.float32(1e-2), "maxiter": np.int64(10)}),
    ]:
        result = optax.minimize(f, x0, args=(target,), **settings)
        assert f.traces == traces
        assert form(result) == form(first)
        np.testing.assert_allclose(result.params, target, atol=1e-2)


def test_bounds_are_no_other_program() -> None:
    f = Counted(distance)
    target = jnp.array([-1.0, 0.5, 3.0])
    traces = None
    for bounds in [(0, 1), (None, 2.0), (np.zeros(3), jnp.array([0.25, 1, 2]))]:
        result = optax.minimize(f, jnp.zeros(3), args=(target,), bounds=bounds)
        lower, upper = (np.inf * s if b is None else b for b, s in zip(bounds, (-1, 1), strict=True))
        np.testing.assert_allclose(result.params, np.clip(target, lower, upper), atol=1e-4)
        assert f.traces == (traces or f.traces)
        traces = f.traces


def test_python_numbers_and_arrays_are_one_program() -> None:
    f = Counted(lambda x: (x[0] - 3) ** 2 + (x[1] + 1) ** 2)
    number = optax.minimize(f, [0.0, 1.0], optax.sgd(0.25))
    traces = f.traces
    array = optax.minimize(f, [jnp.zeros([]), np.float64(1)], optax.sgd(0.25))
    assert f.traces == traces
    assert form(number) == form(array)
    assert form(number.params) == [((), jnp.float32, False)] * 2
    np.testing.assert_allclose(number.params, [3, -1], atol=1e-4)


def test_inside_jit_and_vmap() -> None:
    """A run inside of jit and vmap goes as by itself: what has ended waits for the others."""
    targets = jnp.array([[0.0, 0, 0], [1, 2, 3], [-20, 30, 0]])
    alone = [optax.minimize(distance, jnp.zeros(3), args=(t,)) for t in targets]
    together = jax.jit(jax.vmap(lambda t: optax.minimize(distance, jnp.zeros(3), args=(t,), tol=jnp.float32(1e-5))))(
        targets
    )
    np.testing.assert_allclose(together.params, targets, atol=1e-4)
    assert together.success.all()
    assert together.iterations[0] == 0 < together.iterations[1] < together.iterations[2]
    assert together.evaluations.tolist() == [int(r.evaluations) for r in alone]


def test_complex_parameters() -> None:
    """The least squares solution, with a real parameter among the unknowns."""
    rng = np.random.default_rng(0)
    A = jnp.asarray(rng.normal(size=(5, 3)) + 1j * rng.normal(size=(5, 3)), "complex64")
    solution = {"z": jnp.array([1 + 2j, -1j, 0.5], "complex64"), "r": jnp.float32(-0.75)}

    def residual(p: Any) -> Any:
        return A @ p["z"] + p["r"].astype("complex64") * jnp.arange(5).astype("complex64")

    def f(p: Any) -> Any:
        error = residual(p) - residual(solution)
        return jnp.sum(error.real**2 + error.imag**2)

    result = optax.minimize(f, jax.tree.map(jnp.zeros_like, solution), tol=1e-3)
    assert result.status == Status.CONVERGED
    assert form(result.params) == form(solution)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3), result.params, solution)


def test_bfloat16_parameters() -> None:
    target = jnp.array([0.5, -1.0, 1.5], "bfloat16")
    result = optax.minimize(distance, jnp.zeros(3, "bfloat16"), args=(target,), tol=1e-2)
    assert result.params.dtype == jnp.bfloat16
    assert result.value.dtype == jnp.float32
    assert np.isfinite(result.value)
    np.testing.assert_allclose(result.params.astype("float32"), target.astype("float32"), atol=0.02)


# Derivatives


def ridge(x: jax.Array, A: jax.Array, b: jax.Array, k: jax.Array) -> jax.Array:
    return jnp.sum((A @ x - b) ** 2) / 2 + k * jnp.sum(x**2) / 2


def test_derivatives_of_the_solution() -> None:
    """Ridge regression, whose solution and value have formulas: forward and backward, and twice."""
    rng = np.random.default_rng(0)

    def formula(b: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = jnp.linalg.solve(A.T @ A + k * jnp.eye(3), A.T @ b)
        return x, ridge(x, A, b, k)

    def found(b: jax.Array, k: jax.Array) -> tuple[jax.Array, jax.Array]:
        result = optax.minimize(ridge, jnp.zeros(3), args=(A, b, k), tol=1e-10)
        return result.params, result.value

    with enable_x64():
        A, b = (jnp.asarray(rng.normal(size=shape)) for shape in ((5, 3), 5))
        point = b, jnp.asarray(0.7)
        for differentiate in (jax.jacrev, jax.jacfwd, lambda f, i: jax.jacfwd(jax.jacrev(f, i), i)):
            expected, derivatives = (jax.jit(differentiate(f, (0, 1)))(*point) for f in (formula, found))
            jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6, atol=1e-8), derivatives, expected)


def test_derivatives_of_the_solution_within_bounds() -> None:
    """What is on a bound moves with the bound, and the rest as if it were a constant."""

    def found(b: jax.Array, lower: jax.Array) -> jax.Array:
        result = optax.minimize(
            lambda x, b: x @ A @ x / 2 - b @ x, jnp.zeros(3), args=(b,), tol=1e-10, bounds=(lower, 9)
        )
        return result.params

    with enable_x64():
        A = jnp.asarray([[2.0, 0.5, 0.3], [0.5, 3.0, 0.2], [0.3, 0.2, 1.0]])
        b, lower = jnp.asarray([1.0, -2.0, 0.5]), jnp.asarray([-1.0, -0.25, -1.0])
        assert found(b, lower)[1] == lower[1]
        others = jnp.asarray([0, 2])
        inverse = jnp.linalg.inv(A[others][:, others])
        by_b = jnp.zeros((3, 3)).at[jnp.ix_(others, others)].set(inverse)
        by_lower = jnp.zeros((3, 3)).at[1, 1].set(1).at[others, 1].set(-inverse @ A[others, 1])
        for differentiate in (jax.jacrev, jax.jacfwd):
            derivatives = jax.jit(differentiate(found, (0, 1)))(b, lower)
            np.testing.assert_allclose(derivatives[0], by_b, atol=1e-8)
            np.testing.assert_allclose(derivatives[1], by_lower, atol=1e-8)


def test_derivatives_of_the_solution_in_a_convex_set() -> None:
    """The nearest point of a simplex to b moves with b along the simplex, but not where it is 0."""

    def found(b: jax.Array) -> jax.Array:
        settings: Any = {"tol": 1e-10, "projection": optax.projections.projection_simplex}
        return optax.minimize(distance, jnp.full(3, 1 / 3), optax.sgd(0.3), args=(b,), **settings).params

    with enable_x64():
        b = jnp.asarray([0.9, 0.6, -0.5])
        np.testing.assert_allclose(found(b), [0.65, 0.35, 0], atol=1e-9)
        expected = [[0.5, -0.5, 0], [-0.5, 0.5, 0], [0, 0, 0]]
        np.testing.assert_allclose(jax.jit(jax.jacrev(found))(b), expected, atol=1e-8)


# Errors

X0 = {"w": np.zeros(2), "n": np.float32(1)}


@pytest.mark.parametrize(
    ("error", "message", "x0", "settings"),
    [
        (TypeError, r"x0 must have floating or complex leaves; at \['n'\] it has 3", {"w": np.zeros(2), "n": 3}, {}),
        (TypeError, "x0 must have floating or complex leaves; at the root it has 0", 0, {}),
        (ValueError, "tol must be .*-1", X0, {"tol": -1.0}),
        (ValueError, "maxiter must be .*-1", X0, {"maxiter": -1}),
        (TypeError, "maxiter must be an integer.*10.0", X0, {"maxiter": 10.0}),
        (
            ValueError,
            r"bounds\[0\] is not at most bounds\[1\].*\['w'\]",
            X0,
            {"bounds": ({"w": [0.0, 2.0], "n": 0.0}, 1.0)},
        ),
        (TypeError, r"bounds must be a pair \(lower, upper\), not 1.0", X0, {"bounds": 1.0}),
        (TypeError, r"bounds must be a pair \(lower, upper\)", X0, {"bounds": (0.0, 1.0, 2.0)}),
        (ValueError, r"bounds\[0\] is neither of the structure of x0", X0, {"bounds": ({"w": 0.0}, 1.0)}),
        (ValueError, r"bounds\[1\] is neither of the structure of x0", X0, {"bounds": (0.0, [1.0, 1.0])}),
        (TypeError, "bounds are for real parameters; x0 at the root is complex", 1j, {"bounds": (0.0, 1.0)}),
        (ValueError, "bounds and projection", X0, {"bounds": (0.0, 1.0), "projection": lambda x: x}),
        (ValueError, "projection is for methods without a line search", X0, {"projection": lambda x: x}),
        (TypeError, "method must be a transformation, not 'adam'", X0, {"method": "adam"}),
    ],
)
def test_arguments_that_do_not_fit(error: Any, message: str, x0: Any, settings: Any) -> None:
    def f(x: Any) -> Any:
        return jnp.sum(x["w"] ** 2)

    if "bounds" in settings and isinstance(settings["bounds"], tuple) and isinstance(settings["bounds"][0], dict):
        lower = {k: np.asarray(v) for k, v in settings["bounds"][0].items()}
        settings = {"bounds": (lower, *settings["bounds"][1:])}
    with pytest.raises(error, match=message):
        optax.minimize(f, x0, **settings)


@pytest.mark.parametrize(
    ("f", "has_aux", "message"),
    [
        (lambda x: x**2, False, r"fun must return a real scalar, not float32 of shape \(2,\)"),
        (
            lambda x: jnp.sum(x).astype("complex64"),
            False,
            r"fun must return a real scalar, not complex64 of shape \(\)",
        ),
        (lambda x: (jnp.sum(x), x), False, "has_aux=True"),
        (lambda x: None, False, "fun must return a real scalar .*None"),
        (lambda x: jnp.sum(x), True, "with has_aux=True fun must return a pair"),
        (lambda x: (x, x), True, r"fun must return a real scalar, not float32 of shape \(2,\)"),
        ("rosenbrock", False, "fun must be a function, not 'rosenbrock'"),
    ],
)
def test_functions_that_do_not_fit(f: Any, has_aux: bool, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        optax.minimize(f, jnp.zeros(2), optax.sgd(0.1), has_aux=has_aux)

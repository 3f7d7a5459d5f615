"""The search for the Wolfe conditions on functions of one variable, and what both line searches promise."""

import logging
import math
import re
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from compilations import Jitted, form
from optax.linesearch._search import Bracket, Point, Wolfe, interpolate, search
from x64 import enable_x64

Phi = Callable[[float], tuple[float, float]]


class Searched:
    """A search in float64 on a function that returns value and slope, outside `jit`.

    Attributes:
      result: the last bracket.
      points: (t, value, slope) of all evaluations, in their order.
      start: value and slope at 0.
    """

    def __init__(
        self,
        phi: Phi,
        guess: float = 1.0,
        *,
        c1: float = 1e-4,
        c2: float = 0.9,
        rtol: float | None = None,
        max_steps: int = 60,
        max_t: float = math.inf,
        increase: float = 2.0,
        precision: float = 0.0,
    ):
        self.points: list[tuple[float, float, float]] = []
        self.start = phi(0.0)
        self.c1, self.c2 = c1, c2

        def evaluate(t: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            value, slope = phi(float(t))
            self.points.append((float(t), value, slope))
            return jnp.asarray(value), jnp.asarray(slope), jnp.asarray(t)  # the "gradient" tells where it was computed

        with enable_x64():
            zero, *start = (jnp.asarray(x, jnp.float64) for x in (0.0, *self.start))
            self.result: Bracket = search(
                evaluate,
                Wolfe(c1, c2, rtol, 0.0),
                Point(zero, *start),
                zero,
                jnp.asarray(guess),
                max_steps=max_steps,
                max_t=jnp.asarray(max_t),
                increase=increase,
                precision=precision,
            )

    @property
    def t(self) -> float:
        return float(self.result.low.t)

    def is_sufficient(self, t: float, value: float, slope: float) -> bool:
        """Nocedal and Wright (3.7a)."""
        return value <= self.start[0] + self.c1 * t * self.start[1] and math.isfinite(slope)

    def assert_strong_wolfe(self) -> None:
        """(3.7a) and (3.7b), at the point evaluated last."""
        t, value, slope = self.points[-1]
        assert (self.t, float(self.result.low.value), float(self.result.grad)) == (t, value, t)
        assert t > 0
        assert self.is_sufficient(t, value, slope)
        assert abs(slope) <= self.c2 * abs(self.start[1])
        assert int(self.result.steps) == len(self.points)
        assert bool(self.result.done)


def quadratic(m: float, a: float = 1.0) -> Phi:
    return lambda t: (a * (t - m) ** 2 / 2, a * (t - m))


def quartic(m: float) -> Phi:
    return lambda t: ((t - m) ** 4, 4 * (t - m) ** 3)


def kink(m: float, w: float) -> Phi:
    """|t - m|, but for a distance of about w around the minimum."""
    return lambda t: (math.hypot(t - m, w), (t - m) / math.hypot(t - m, w))


def beyond(edge: float, bad: float, phi: Phi) -> Phi:
    """A function that is infinite, or no number, from a point on."""
    return lambda t: phi(t) if t < edge else (bad, math.nan)


def barrier(edge: float) -> Phi:
    """- t - log(1 - t / edge) / 100, infinite at the edge."""
    return lambda t: (-t - math.log1p(-t / edge) / 100, -1 + 1 / (edge - t) / 100) if t < edge else (math.nan, math.nan)


FUNCTIONS: dict[str, Phi] = {
    "quadratic": quadratic(1.5),
    "quadratic, minimum near": quadratic(1e-4),
    "quadratic, minimum far": quadratic(1e4, 1e-3),
    "quartic": quartic(0.8),
    "quartic, minimum far": quartic(300.0),
    "kink": kink(2.7, 1e-3),
    "narrow kink": kink(0.3, 1e-6),
    "More, Thuente 1": lambda t: (-t / (t * t + 2), (t * t - 2) / (t * t + 2) ** 2),
    "More, Thuente 2": lambda t: (
        (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4,
        5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3,
    ),
    "wavy": lambda t: (-t / 10 - math.sin(5 * t), -0.1 - 5 * math.cos(5 * t)),
    "no number beyond": beyond(0.01, math.nan, quadratic(0.005)),
    "infinite beyond": beyond(3.5, math.inf, quadratic(3.0)),
    "minus infinity beyond": beyond(0.5, -math.inf, quadratic(0.4)),
    "barrier": barrier(0.7),
}


@pytest.mark.parametrize("c2", [0.9, 0.1])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_strong_wolfe_conditions(name: str, c2: float) -> None:
    for guess in (1e-3, 1.0, 1e3):
        Searched(FUNCTIONS[name], guess, c2=c2).assert_strong_wolfe()


@hypothesis.given(st.floats(0.01, 100), *[st.floats(-3, 3)] * 2, st.floats(0.05, 2), st.sampled_from([0.03, 1.0, 7.0]))
def test_strong_wolfe_conditions_on_polynomials(k: float, b: float, c: float, d: float, guess: float) -> None:
    """- k t + b t^2 + c t^3 + d t^4, which is bounded from below, so that there is such a point."""
    Searched(
        lambda t: (-k * t + b * t**2 + c * t**3 + d * t**4, -k + 2 * b * t + 3 * c * t**2 + 4 * d * t**3), guess
    ).assert_strong_wolfe()


def test_the_first_point_is_enough_if_it_is_good() -> None:
    assert Searched(quadratic(1.0)).points == [(1.0, 0.0, 0.0)]
    assert [t for t, *_ in Searched(quadratic(30.0), c2=0.1, increase=3.0).points] == [1.0, 3.0, 9.0, 27.0, 81.0][:4]


def test_a_quadratic_takes_one_interpolation() -> None:
    s = Searched(quadratic(0.4), guess=1.0, c2=1e-6)
    assert len(s.points) == 2
    np.testing.assert_allclose(s.t, 0.4, rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_best_point_only_gets_better(name: str) -> None:
    """And it is the best of all evaluated with sufficient decrease, whenever the evaluations run out."""
    whole = Searched(FUNCTIONS[name], 10.0, c2=1e-4, max_steps=25)
    best = whole.start[0]
    for n in range(1, len(whole.points)):
        s = Searched(FUNCTIONS[name], 10.0, c2=1e-4, max_steps=n)
        assert s.points == whole.points[:n]
        value = float(s.result.low.value)
        assert value <= best
        best = value
        good = {t: v for t, v, slope in s.points if math.isfinite(v) and s.is_sufficient(t, v, slope)}
        assert value == min(good.values(), default=s.start[0])
        assert good.get(s.t, s.start[0]) == value
        assert float(s.result.grad) == s.t


def test_it_goes_on_as_long_as_it_leads_down() -> None:
    s = Searched(lambda t: (-t, -1.0), guess=0.5, max_steps=6, increase=4.0)
    assert [t for t, *_ in s.points] == [0.5, 2, 8, 32, 128, 512]
    assert s.t == 512


def test_the_largest_step_size() -> None:
    for guess in (0.7, 3.0):
        s = Searched(lambda t: (-t, -1.0), guess=guess, max_t=3.0)
        assert s.t == 3.0
        assert max(t for t, *_ in s.points) == 3.0
    s = Searched(quadratic(2.5), guess=1.0, c2=0.01, max_t=3.0)  # the minimum lies before it
    s.assert_strong_wolfe()
    np.testing.assert_allclose(s.t, 2.5, rtol=0.01)


@pytest.mark.parametrize("start", [(1.0, 0.5), (1.0, 0.0), (1.0, math.nan), (math.nan, -1.0), (1.0, -math.inf)])
def test_nothing_is_evaluated_unless_it_is_downhill(start: tuple[float, float]) -> None:
    s = Searched(lambda t: start)
    assert (s.points, s.t, int(s.result.steps)) == ([], 0.0, 0)


def test_no_sufficient_decrease_no_step() -> None:
    """The slope at 0 is wrong: the function ascends."""
    s = Searched(lambda t: (t, -1.0 if t == 0 else 1.0), max_steps=8)
    assert (len(s.points), s.t) == (8, 0.0)
    assert float(s.result.last.t) == s.points[-1][0] < 0.01


def test_a_narrow_interval_is_not_divided() -> None:
    """A kink has no point with a small slope: the search ends at the precision of 1e-5, at its lowest point."""
    s = Searched(lambda t: (abs(t - 1.25), math.copysign(1.0, t - 1.25)), precision=1e-5)
    assert len(s.points) < 40
    assert not bool(s.result.done)
    np.testing.assert_allclose(s.t, 1.25, rtol=1e-4)


def _point(t: float, value: float, slope: float) -> Point:
    return Point(*(jnp.asarray(x) for x in (t, value, slope)))


@hypothesis.given(st.floats(-5, 5), st.floats(0.1, 4), st.floats(0.11, 0.89), st.floats(-8, 8), st.booleans())
def test_interpolation_finds_the_minimum_of_a_cubic(low: float, w: float, u: float, c: float, mirrored: bool) -> None:
    """phi' = (t - m) * (1 + c * (t - m)), and m is inside the interval."""
    m = low + u * w
    ends = [(low, low - m), (low + w, low + w - m)]
    with enable_x64():
        a, b = (_point(t, h**2 / 2 + c * h**3 / 3, h + c * h**2) for t, h in (ends[::-1] if mirrored else ends))
        np.testing.assert_allclose(interpolate(a, b), m, atol=1e-9)


@hypothesis.given(*[st.floats(-10, 10)] * 4, st.floats(-5, 5), st.floats(0.01, 100), st.booleans())
def test_interpolation_keeps_away_from_the_ends(
    f0: float, f1: float, s0: float, s1: float, low: float, w: float, mirrored: bool
) -> None:
    a, b = _point(low, f0, s0), _point(low + w, f1, s1)
    t = float(interpolate(b, a) if mirrored else interpolate(a, b))
    assert low + 0.0999 * w - 1e-5 <= t <= low + 0.9001 * w + 1e-5


@pytest.mark.parametrize(
    ("low", "high", "t"),
    [
        ((0.0, 1.0, -1.0), (2.0, 3.0, math.nan), 1.0),
        ((0.0, 1.0, -1.0), (2.0, math.inf, 1.0), 1.0),
        ((0.0, 1.0, -1.0), (2.0, math.nan, math.nan), 1.0),
        ((2.0, 1.0, 1.0), (1.0, -math.inf, math.inf), 1.5),
        ((0.0, 0.0, -1.0), (3.0, -3.0, -1.0), 1.5),  # a line
        ((0.0, 0.0, 1.0), (1.0, 0.0, -1.0), 0.5),  # a parabola upside down
        ((0.0, 0.0, -1.0), (1.0, 9.99, 20.0), 0.1),  # minimum at about 0.05
        ((1.0, 9.9, -20.0), (0.0, 0.0, 1.0), 0.1),  # likewise, from the other side
        ((0.0, 1e30, -1e30), (1.0, 1e30, 1e30), 0.5),  # squares of these are infinite
    ],
)
def test_interpolation_by_hand(low: Any, high: Any, t: float) -> None:
    np.testing.assert_allclose(interpolate(_point(*low), _point(*high)), t, rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "slope", "error"),
    [
        (0.5, -0.5, 0.0),
        (1.0, 0.0, 1e-4),
        (1.5, 0.0, 0.5 + 1e-4),
        (math.nan, 0.0, math.nan),
    ],
)
def test_errors(value: float, slope: float, error: float) -> None:
    """Start at value 1 and slope -1, point at t = 1."""
    start, wolfe = _point(0.0, 1.0, -1.0), Wolfe(1e-4, 0.9, None, 0.0)
    np.testing.assert_allclose(wolfe.decrease_error(start, _point(1.0, value, slope)), error, rtol=1e-3)
    np.testing.assert_allclose(wolfe.curvature_error(start, _point(1.0, value, -1.5 + slope)), 0.6 - slope, rtol=1e-5)


def test_slopes_decide_where_values_are_equal() -> None:
    """Hager and Zhang (4.1): phi' <= (2 c1 - 1) phi'(0), if the value is not above phi(0) + rtol |phi(0)|."""
    start, wolfe = _point(0.0, -1e3, -1.0), Wolfe(0.1, 0.9, 1e-6, 0.0)  # up to 1e-3 above -1e3, slope up to 0.8
    for value, slope, good in [(-999.9995, 0.75, True), (-999.9995, 0.85, False), (-999.998, 0.75, False)]:
        assert (float(wolfe.decrease_error(start, _point(1.0, value, slope))) == 0) == good


# What both line searches promise.

SEARCHES: dict[str, Any] = {
    "zoom": optax.scale_by_zoom_linesearch(15),
    "backtracking": optax.scale_by_backtracking_linesearch(15, store_grad=True),
}


@pytest.fixture(params=SEARCHES)
def tx(request: pytest.FixtureRequest) -> Any:
    return SEARCHES[request.param]


def bowl(x: jax.Array) -> jax.Array:
    return jnp.sum(jnp.asarray([1.0, 20.0], x.dtype) * x**2) / 2 + jnp.sum(x**4)


def step(tx: Any, f: Any, x: jax.Array, state: Any, **extra_args: Any) -> tuple[jax.Array, Any]:
    value, g = jax.value_and_grad(f)(x)
    u, state = tx.update(-g, state, x, value=value, grad=g, value_fn=f, **extra_args)
    return optax.apply_updates(x, u), state


def test_states_keep_their_form_and_a_loop_compiles_once(tx: Any) -> None:
    """Defect D11."""
    x = jnp.asarray([1.0, -1.0])
    state = tx.init(x)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(state))
    compiled = Jitted(lambda x, state: step(tx, bowl, x, state))
    carry = x, state
    for _ in range(4):
        carry = compiled(*carry)
        assert form(carry) == form((x, state))
    assert compiled.traces == 1
    scanned, values = jax.lax.scan(lambda c, _: ((new := step(tx, bowl, *c)), new[1].value), (x, state), None, 4)
    np.testing.assert_allclose(scanned[0], carry[0], rtol=1e-5, atol=1e-6)
    assert np.all(np.diff(values) < 0)


def test_outside_jit_nothing_is_compiled_anew(tx: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Defect D12: the loop was compiled in each call, here for a function that is new each time."""
    x, c = jnp.asarray([1.0, -1.0]), jnp.asarray(2.0)

    def steps(n: int) -> list[str]:
        nonlocal x
        state = tx.init(x)
        caplog.clear()
        with caplog.at_level(logging.WARNING), jax.log_compiles():
            for _ in range(n):
                x, state = step(tx, lambda x: c * bowl(x), x, state)
        return re.findall(r"Compiling (?:jit\()?([\w<>-]+)", caplog.text)

    first = steps(1)
    assert "while" not in first
    assert int(tx.init(x).info.num_linesearch_steps) == 0
    assert steps(3) == []


def test_outside_jit_it_computes_the_same(tx: Any) -> None:
    x = jnp.asarray([1.0, -1.0])
    eager, compiled = step(tx, bowl, x, tx.init(x)), jax.jit(lambda x: step(tx, bowl, x, tx.init(x)))(x)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        *((x, state._replace(fingerprint=None)) for x, state in (eager, compiled)),
    )
    assert int(eager[1].info.num_linesearch_steps) > 1


def test_extra_arguments_reach_the_function_by_name(tx: Any) -> None:
    def f(x: jax.Array, scale: Any, *, shift: Any = 0.0) -> tuple[jax.Array, str]:
        return scale * jnp.sum((x - shift) ** 2), "auxiliary data"

    x = jnp.asarray([3.0])
    for name, extra in {"shift": {"shift": 1.0}, "none": {}}.items():
        shift = extra.get("shift", 0.0)
        value, g = jax.value_and_grad(lambda x, shift=shift: f(x, 0.25, shift=shift)[0])(x)
        u, state = tx.update(-g, tx.init(x), x, value=value, grad=g, value_fn=f, scale=0.25, unknown=None, **extra)
        expected = 0.25 * (3.0 + float(u[0]) - shift) ** 2
        np.testing.assert_allclose(state.value, expected, rtol=1e-6, err_msg=name)
        assert expected < float(value)


def test_a_function_without_a_signature(tx: Any) -> None:
    class Strange:
        __signature__ = "none"

        def __call__(self, x: jax.Array) -> jax.Array:
            return bowl(x)

    x = jnp.asarray([0.1, -0.1])
    assert float(step(tx, Strange(), x, tx.init(x))[1].value) < float(bowl(x))


GOOD = {"value": 1.0, "grad": jnp.ones(2), "value_fn": bowl}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"value_fn": None}, TypeError, r"evaluates the function value_fn: call update\(.*not with value_fn=None"),
        ({"value_fn": 3.0}, TypeError, "not with value_fn=3.0"),
        ({"grad": None}, TypeError, r"needs the gradient beside the direction: call update\(.*grad=grad"),
        ({"value": None}, TypeError, r"needs the value of the function \(call update\("),
        ({"value": "a"}, TypeError, "value must be a real scalar, .* not 'a'"),
        ({"value": 1j}, TypeError, "value must be a real scalar"),
        ({"value": jnp.ones(2)}, ValueError, r"value must be a scalar, .*not of shape \(2,\)"),
        ({"value_fn": lambda x: x}, TypeError, r"value_fn must return a real scalar, .*not float32 of shape \(2,\)"),
        ({"value_fn": lambda x: (x, None)}, TypeError, r"not float32 of shape \(2,\)"),
        ({"value_fn": lambda x: jnp.sum(x).astype("complex64")}, TypeError, r"not complex64 of shape \(\)"),
    ],
)
def test_missing_arguments_and_other_mistakes(tx: Any, arguments: Any, error: Any, message: str) -> None:
    x = jnp.ones(2)
    for inside in (tx, optax.chain(optax.identity(), tx)):
        with pytest.raises(error, match=message):
            inside.update(-x, inside.init(x), x, **GOOD | arguments)


def test_the_parameters_are_needed(tx: Any) -> None:
    with pytest.raises(ValueError, match="params"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)), **GOOD)


def test_complex_parameters(tx: Any) -> None:
    """Updates and `grad` are the conjugate of what `jax.grad` returns; the state has what it returns."""
    z = jnp.asarray([1 + 2j, -1j], jnp.complex64)

    def f(z: jax.Array) -> jax.Array:
        return jnp.sum(jnp.abs(z - (0.5 + 0.5j)) ** 2) + jnp.sum(z.imag) / 3

    g = jnp.conj(jax.grad(f)(z))
    u, state = tx.update(-g, tx.init(z), z, value=f(z), grad=g, value_fn=f)
    t = state.learning_rate
    assert 0 < float(t) <= 1
    np.testing.assert_allclose(u, -np.asarray(t) * np.asarray(g), rtol=1e-6)
    np.testing.assert_allclose(state.value, f(z + u), rtol=1e-6)
    np.testing.assert_allclose(state.grad, jax.grad(f)(z + u), rtol=1e-5, atol=1e-6)
    assert float(state.value) < float(f(z))


def test_low_precision_and_integer_leaves(tx: Any) -> None:
    """Scalars are in float32; an integer parameter stays where it is."""
    params = {"x": jnp.asarray([1.0, -1.0], jnp.bfloat16), "n": jnp.asarray(3)}

    def f(p: Any) -> jax.Array:
        return bowl(p["x"].astype(jnp.float32)) * p["n"] / 100

    value, g = jax.value_and_grad(f, allow_int=True)(params)
    d = {"x": -g["x"], "n": g["n"]}
    u, state = tx.update(d, tx.init(params), params, value=value, grad=g, value_fn=f)
    assert (u["x"].dtype, state.value.dtype, state.grad["x"].dtype) == (jnp.bfloat16, jnp.float32, jnp.bfloat16)
    reached = optax.apply_updates(params, u)
    np.testing.assert_allclose(state.value, f(reached), rtol=1e-6)
    assert float(state.value) < float(value)
    assert int(reached["n"]) == 3


def test_a_map_over_starts_is_a_loop(tx: Any) -> None:
    starts = jnp.asarray([[1.0, -1.0], [0.01, 0.0], [0.0, 0.0], [-3.0, 2.0]])

    def two_steps(x: jax.Array) -> Any:
        x, state = step(tx, bowl, *step(tx, bowl, x, tx.init(x)))
        return x, state._replace(fingerprint=None)

    mapped = jax.jit(jax.vmap(two_steps))(starts)
    one_by_one = jax.tree.map(lambda *x: jnp.stack(x), *map(jax.jit(two_steps), starts))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), mapped, one_by_one)


def test_verbose_says_how_it_ends(capfd: pytest.CaptureFixture[str]) -> None:
    x = jnp.asarray([1.0, -1.0])
    for tx in (
        optax.scale_by_zoom_linesearch(15, verbose=True),
        optax.scale_by_backtracking_linesearch(15, verbose=True),
    ):
        _, state = step(tx, bowl, x, tx.init(x))
        jax.effects_barrier()
        said = capfd.readouterr().out
        assert f"after {int(state.info.num_linesearch_steps)} evaluations" in said
        assert f"step size {float(state.learning_rate):.3}"[:14] in said


def test_a_search_recovers_from_values_that_were_no_numbers(tx: Any) -> None:
    """However often they were: the step size does not end at 0, from where nothing could increase it."""
    x = jnp.asarray([1.0, -1.0])

    @jax.jit
    def failing(state: Any) -> Any:
        return tx.update(-x, state, x, value=1.0, grad=x, value_fn=lambda x: jnp.nan * jnp.sum(x))

    state = tx.init(x)
    for _ in range(50):
        u, state = failing(state)
        np.testing.assert_array_equal(u, 0)
    assert float(state.learning_rate) > 0

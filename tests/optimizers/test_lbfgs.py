"""What only L-BFGS promises: the matrix of the recursion, positive definite whatever the pairs are."""

import re
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import optax
from compilations import Jitted, form
from reference.lbfgs import LBFGS
from strategies import QUARTERS
from x64 import enable_x64

SHAPES: dict[str, tuple[int, ...]] = {"a": (3,), "b": (2, 2), "c": ()}


def as_tree(v: np.ndarray, dtype: Any) -> dict[str, jax.Array]:
    """Rows (..., 8) as a tree of three shapes."""
    a, b, c = np.split(v, [3, 7], axis=-1)
    parts = {"a": a, "b": b, "c": c}
    return {k: jnp.asarray(parts[k].reshape(*v.shape[:-1], *shape), dtype) for k, shape in SHAPES.items()}


def as_vector(t: Any) -> np.ndarray:
    """The inverse, for one row or many."""
    return np.concatenate([np.asarray(t[k], np.float64).reshape(*np.shape(t["c"]), -1) for k in SHAPES], axis=-1)


def walk(steps: int, n: int = 8, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points and gradients of a function of curvatures between -3 and 4: some pairs have none that is positive."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(n, n)))
    A = q @ np.diag(np.linspace(-3, 4, n)) @ q.T
    x = np.cumsum(rng.normal(size=(steps, n)), 0)
    return x, x @ A + 0.3 * np.sin(x)


def multiplied(tx: Any, xs: Any, gs: Any, **extra_args: Any) -> tuple[Any, Any]:
    """H * g of all steps, and the last state."""

    def one(state: Any, xg: Any) -> Any:
        d, state = tx.update(xg[1], state, xg[0], **extra_args)
        return state, d

    state = tx.init(jax.tree.map(lambda x: x[0], xs))
    state, ds = jax.jit(lambda *args: jax.lax.scan(one, *args))(state, (xs, gs))
    return ds, state


@pytest.mark.parametrize(("m", "scaled"), [(1, True), (3, True), (10, True), (3, False)])
def test_is_the_recursion_in_two_loops(m: int, scaled: bool) -> None:
    x, g = walk(25)
    reference = LBFGS(m, scaled)
    expected = [reference(*xg) for xg in zip(x, g, strict=True)]
    assert 3 < sum(pair is None for pair in reference.pairs) < 20
    tx = optax.scale_by_lbfgs(m, scaled)
    with enable_x64():
        ds, _ = multiplied(tx, as_tree(x, jnp.float64), as_tree(g, jnp.float64))
        np.testing.assert_allclose(as_vector(ds), expected, rtol=1e-9, atol=1e-9)


def test_a_state_without_what_follows_from_the_memory() -> None:
    """As the state of other versions is: it has no products, and gets them."""
    x, g = walk(14)
    tx = optax.scale_by_lbfgs(4)
    with enable_x64():
        _, state = multiplied(tx, jnp.asarray(x[:-1]), jnp.asarray(g[:-1]))
        expected, after = tx.update(jnp.asarray(g[-1]), state, jnp.asarray(x[-1]))
        shorter = optax.ScaleByLBFGSState(*state[:6])
        d, completed = jax.jit(tx.update)(jnp.asarray(g[-1]), shorter, jnp.asarray(x[-1]))
        np.testing.assert_allclose(d, expected, rtol=1e-9, atol=1e-9)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), completed, after)


def test_in_single_precision() -> None:
    x, g = walk(25)
    reference = LBFGS(10)
    expected = [reference(*xg) for xg in zip(x, g, strict=True)]
    ds, _ = multiplied(optax.scale_by_lbfgs(10), as_tree(x, jnp.float32), as_tree(g, jnp.float32))
    np.testing.assert_allclose(as_vector(ds), expected, rtol=1e-3, atol=1e-3 * np.max(np.abs(expected)))


def test_complex_parameters_are_pairs_of_real_ones() -> None:
    x, g = walk(12)
    reference = LBFGS(4)
    expected = [reference(*xg) for xg in zip(x, g, strict=True)]
    with enable_x64():
        ds, state = multiplied(optax.scale_by_lbfgs(4), *(jnp.asarray(v.view(np.complex128)) for v in (x, g)))
        np.testing.assert_allclose(np.asarray(ds).view(np.float64), expected, rtol=1e-9, atol=1e-9)
        assert state.weights_memory.dtype == state.products_memory.dtype == jnp.float64


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_large_arrays(dtype: str) -> None:
    """Beyond some thousand entries the inner products are computed in another way."""
    rng = np.random.default_rng(5)
    n = 2 * 4099 if dtype == "complex128" else 4099
    x, free = np.cumsum(rng.normal(size=(5, n)), 0), rng.random(4099) < 0.5
    g = x * np.linspace(0.5, 2, n)
    tx = optax.scale_by_lbfgs(3)
    with enable_x64():
        xs, gs = (
            {"a": v[:, :4096].reshape(5, 64, 64), "b": v[:, 4096:]}
            for v in (jnp.asarray(v.view(dtype)) for v in (x, g))
        )
        masks = {"a": jnp.asarray(free[:4096].reshape(64, 64)), "b": jnp.asarray(free[4096:])}
        for extra, mask in (({}, np.ones(n, bool)), ({"free": masks}, np.repeat(free, n // 4099))):
            reference = LBFGS(3)
            expected = [reference(*xg, mask) for xg in zip(x, g, strict=True)]
            ds, _ = multiplied(tx, xs, gs, **extra)
            found = np.concatenate([np.asarray(ds["a"]).reshape(5, -1), ds["b"]], 1).view(np.float64)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_where_the_memory_has_what() -> None:
    """The pair that update k has added is at (k - 1) mod m, zeros if it has no positive curvature."""
    x, g = walk(9)
    reference, m = LBFGS(4), 4
    for xg in zip(x, g, strict=True):
        reference(*xg)
    with enable_x64():
        _, state = multiplied(optax.scale_by_lbfgs(m), as_tree(x, jnp.float64), as_tree(g, jnp.float64))
        assert int(state.count) == 9
        np.testing.assert_array_equal(as_vector(state.params), x[-1])
        np.testing.assert_array_equal(as_vector(state.updates), g[-1])
        ordered = {(k - 1) % m: reference.pairs[k - 1] for k in range(9 - m, 9)}  # update k has added pairs[k - 1]
        assert None in ordered.values()
        S, Y = (
            np.concatenate([np.asarray(t[k]).reshape(m, -1) for k in SHAPES], 1)
            for t in (state.diff_params_memory, state.diff_updates_memory)
        )
        for place, pair in ordered.items():
            s, y = (np.zeros(8), np.zeros(8)) if pair is None else pair
            np.testing.assert_allclose((S[place], Y[place]), (s, y), atol=1e-12)
            weight = 0 if pair is None else 1 / (s @ y)
            np.testing.assert_allclose(state.weights_memory[place], weight, rtol=1e-12)
        ages = (7 - np.arange(m)) % m
        present = [i for i in range(m) if ordered[i] is not None]
        R = np.where(ages[:, None] >= ages[None], S @ Y.T, 0)[np.ix_(present, present)]
        inverse_R = np.zeros((m, m))
        inverse_R[np.ix_(present, present)] = np.linalg.inv(R)
        np.testing.assert_allclose(state.products_memory, (inverse_R, Y @ Y.T), rtol=1e-9, atol=1e-9)


FEW = 6
_directions = jax.jit(lambda x, g: multiplied(optax.scale_by_lbfgs(3), x, g))


@hypothesis.given(*[st.lists(st.tuples(QUARTERS, QUARTERS, QUARTERS), min_size=FEW, max_size=FEW)] * 2)
def test_it_leads_downhill_whatever_the_pairs_are(x: Any, g: Any) -> None:
    """Points and gradients that have nothing to do with each other. Pairs with <s, y> <= 0 have no weight."""
    x, g = np.asarray(x), np.asarray(g)
    with enable_x64():
        ds, state = _directions(jnp.asarray(x), jnp.asarray(g))
    for d, gradient in zip(np.asarray(ds), g, strict=True):
        if np.any(gradient):
            assert np.sum(gradient * d) > 0
        else:
            np.testing.assert_array_equal(d, 0)
    s, y = np.diff(x, axis=0), np.diff(g, axis=0)
    curvature = np.sum(s * y, 1)[-3:]
    weights = np.asarray(state.weights_memory)[(np.arange(FEW - 3, FEW) - 1) % 3]  # after the updates 3, 4 and 5
    np.testing.assert_array_equal(weights > 0, curvature > 0)
    np.testing.assert_allclose(weights[curvature > 0] * curvature[curvature > 0], 1, rtol=1e-12)


@pytest.mark.parametrize("m", [1, 5])
def test_only_the_free_parameters(m: int) -> None:
    """The recursion on the vector of these parameters alone, which others than before may be in each step."""
    x, g = walk(15, seed=3)
    free = np.random.default_rng(1).random((15, 8)) < 0.6
    reference = LBFGS(m)
    expected = [reference(*xgf) for xgf in zip(x, g, free, strict=True)]
    tx = optax.scale_by_lbfgs(m)

    def one(state: Any, xgf: Any) -> Any:
        x, g, free = xgf
        d, state = tx.update(g, state, x, free=free)
        return state, d

    with enable_x64():
        xs, gs = as_tree(x, jnp.float64), as_tree(g, jnp.float64)
        state = tx.init(jax.tree.map(lambda x: x[0], xs))
        _, ds = jax.lax.scan(one, state, (xs, gs, as_tree(free, bool)))
        np.testing.assert_allclose(as_vector(ds), expected, rtol=1e-9, atol=1e-9)
    assert np.all(as_vector(ds)[~free] == 0)


def test_the_first_step() -> None:
    """No longer than 1, and without the scale the gradient itself."""
    g = jnp.asarray([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    for scaled, expected in ((True, [[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]), (False, g)):
        tx = optax.scale_by_lbfgs(scale_init_precond=scaled)
        found = jax.jit(jax.vmap(lambda g, tx=tx: tx.update(g, tx.init(g), g)[0]))(g)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_parameters_that_stay_add_no_pair() -> None:
    gradients = jnp.asarray([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])  # of a stochastic loss, say
    ds, state = multiplied(optax.scale_by_lbfgs(2), jnp.ones((3, 2)), gradients)
    np.testing.assert_array_equal(state.weights_memory, 0)
    np.testing.assert_allclose(ds, [[0.5**0.5] * 2] * 3, rtol=1e-6)


def test_gradients_that_are_no_numbers_do_not_enter_the_memory() -> None:
    x, g = walk(6)
    g[3] = np.nan
    ds, state = multiplied(optax.scale_by_lbfgs(5), as_tree(x, jnp.float32), as_tree(g, jnp.float32))
    ds = as_vector(ds)
    assert np.all(np.isfinite(ds[[0, 1, 2, 4, 5]]))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state))


def test_low_precision_has_a_memory_in_float32() -> None:
    """Differences of bfloat16 numbers are exact there: the direction is that of the same numbers in float32."""
    x, g = walk(8)
    low = [as_tree(v, jnp.bfloat16) for v in (x, g)]
    tx = optax.scale_by_lbfgs(4)
    ds, state = multiplied(tx, *low)
    expected, _ = multiplied(tx, *jax.tree.map(lambda v: v.astype(jnp.float32), low))
    for leaf in jax.tree.leaves((state.diff_params_memory, state.diff_updates_memory, state.weights_memory)):
        assert leaf.dtype == jnp.float32
    assert ds["a"].dtype == jnp.bfloat16
    np.testing.assert_allclose(as_vector(ds), as_vector(expected), rtol=2**-7, atol=1e-6)


def test_it_does_not_maximize() -> None:
    """Defect D10: on cos from 0.3, where the curvature is negative, it went to the maximum at 0."""
    tx = optax.lbfgs(0.1, linesearch=None)

    def step(carry: Any, _: Any) -> Any:
        x, state = carry
        u, state = tx.update(-jnp.sin(x), state, x)
        return (x + u, state), jnp.cos(x)

    x = jnp.asarray(0.3)
    (x, _), values = jax.lax.scan(step, (x, tx.init(x)), None, 150)
    assert np.all(np.diff(values) <= 1e-6)
    np.testing.assert_allclose(x, np.pi, atol=1e-2)


# With a line search.


def rosenbrock(x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def step(tx: Any, f: Any, x: Any, state: Any) -> tuple[Any, Any]:
    value, g = optax.value_and_grad_from_state(f)(x, state=state)
    u, state = tx.update(g, state, x, value=value, grad=g, value_fn=f)
    return optax.apply_updates(x, u), state


def test_a_quadratic_takes_as_many_steps_as_it_has_dimensions() -> None:
    """With an exact search and a memory of all pairs these are conjugate gradients."""
    n = 6
    rng = np.random.default_rng(0)
    B, c = rng.normal(size=(n, n)), rng.normal(size=n)
    with enable_x64():
        A = jnp.asarray(B @ B.T + np.eye(n))
        exact = optax.stateless(lambda d, x: -((A @ x - c) @ d) / (d @ A @ d) * d)

        def one(carry: Any, _: Any) -> Any:
            x, state = carry
            u, state = tx.update(A @ x - c, state, x)
            x = optax.apply_updates(x, u)
            return (x, state), jnp.linalg.norm(A @ x - c)

        tx = optax.lbfgs(memory_size=n, linesearch=exact)
        x = jnp.zeros(n)
        _, norms = jax.lax.scan(one, (x, tx.init(x)), None, n)
        assert norms[n - 2] > 1e-3
        assert norms[n - 1] < 1e-12


def test_rosenbrock_and_a_loop_that_compiles_once() -> None:
    """Defect D11."""
    tx = optax.lbfgs()
    compiled = Jitted(lambda x, state: step(tx, rosenbrock, x, state))
    start = x, state = jnp.asarray([-1.2, 1.0]), tx.init(jnp.asarray([-1.2, 1.0]))
    evaluations = 0
    for _ in range(45):
        x, state = compiled(x, state)
        assert form((x, state)) == form(start)
        evaluations += int(state[2].info.num_linesearch_steps)
    assert compiled.traces == 1
    np.testing.assert_allclose(x, [1, 1], atol=1e-3)
    assert evaluations < 90


def _two_steps(tx: Any, x: Any, theta: Any) -> Any:
    """Where two steps lead on a function with the parameters theta, with all that the state says of it."""

    def f(x: Any) -> Any:
        return jnp.sum(theta * x**2) / 2 + jnp.sum(x**4) / 50

    (x, state), ts = jax.lax.scan(
        lambda c, _: ((new := step(tx, f, *c)), new[1][2].learning_rate), (x, tx.init(x)), None, 2
    )
    return x, state[2].value, state[2].grad, ts


@pytest.mark.parametrize(
    "linesearch", [None, optax.scale_by_backtracking_linesearch(20, store_grad=True)], ids=["zoom", "backtracking"]
)
def test_derivatives_of_two_steps(linesearch: Any) -> None:
    """In reverse mode, with respect to the start and to what the function closes over: the steps accepted are t = 1."""
    tx = optax.lbfgs() if linesearch is None else optax.lbfgs(linesearch=linesearch)
    with enable_x64():
        x, theta = jnp.asarray([0.4, -0.3, 0.2]), jnp.asarray([0.8, 1.0, 1.3])

        def summary(x: Any, theta: Any) -> Any:
            x, value, grad, t = _two_steps(tx, x, theta)
            return jnp.sum(jnp.asarray([1.0, 2.0, 3.0]) * x) + 5 * value + jnp.sum(grad**2), t

        (_, t), found = jax.jit(jax.value_and_grad(summary, argnums=(0, 1), has_aux=True))(x, theta)
        np.testing.assert_array_equal(t, 1)
        plain, h = jax.jit(summary), 1e-5
        for i in range(3):
            e = h * jnp.eye(3)[i]
            for k, (ends, g) in enumerate(
                zip((((x + e, theta), (x - e, theta)), ((x, theta + e), (x, theta - e))), found, strict=True)
            ):
                (up, t_up), (down, t_down) = (plain(*end) for end in ends)
                np.testing.assert_array_equal((t_up, t_down), 1)
                np.testing.assert_allclose(g[i], (up - down) / (2 * h), rtol=1e-6, err_msg=f"argument {k}")
        assert np.all(np.abs(found[0]) > 1e-8)


def test_derivatives_are_finite_where_the_search_is_long_or_there_is_none() -> None:
    tx = optax.lbfgs()

    def last(x: Any, theta: Any) -> Any:
        def f(x: Any) -> Any:
            return theta * rosenbrock(x)

        (x, _), _ = jax.lax.scan(lambda c, _: (step(tx, f, *c), None), (x, tx.init(x)), None, 2)
        return f(x)

    derivatives = jax.jit(jax.grad(last, argnums=(0, 1)))
    for found in derivatives(jnp.asarray([-1.2, 1.0]), jnp.asarray(1.0)):
        assert np.all(np.isfinite(found))
        assert np.any(found != 0)
    for found in derivatives(jnp.asarray([1.0, 1.0]), jnp.asarray(1.0)):
        np.testing.assert_array_equal(found, 0)


def test_a_map_over_starts_is_a_loop() -> None:
    tx = optax.lbfgs(memory_size=3)

    def four_steps(x: Any) -> Any:
        (x, state), _ = jax.lax.scan(lambda c, _: (step(tx, rosenbrock, *c), None), (x, tx.init(x)), None, 4)
        return x, state[2].value, state[2].info.num_linesearch_steps

    starts = jnp.asarray([[-1.2, 1.0], [1.0, 1.0], [0.3, 2.0]])
    mapped = jax.jit(jax.vmap(four_steps))(starts)
    one_by_one = jax.tree.map(lambda *x: jnp.stack(x), *map(jax.jit(four_steps), starts))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), mapped, one_by_one)


# On several devices.


def shard_map(f: Any, mesh: Mesh, specs: Any, out_specs: Any) -> Any:
    """`jax.shard_map` with all its checks."""
    if hasattr(jax, "shard_map"):
        return jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=out_specs)
    from jax.experimental.shard_map import shard_map  # JAX 0.6

    return shard_map(f, mesh, in_specs=specs, out_specs=out_specs)


@pytest.fixture(scope="module")
def two() -> Mesh:
    return jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu")[:2])


SEARCHES = {
    "zoom": optax.lbfgs(memory_size=3),
    "backtracking": optax.lbfgs(memory_size=3, linesearch=optax.scale_by_backtracking_linesearch(20, store_grad=True)),
}


def three_steps(tx: Any, f: Any, x: Any) -> Any:
    (x, state), _ = jax.lax.scan(lambda c, _: (step(tx, f, *c), None), (x, tx.init(x)), None, 3)
    return x, state[2].value


@pytest.mark.skipif(
    not hasattr(jax, "shard_map"), reason="JAX 0.6 cannot differentiate a varying function in shard_map"
)
@pytest.mark.parametrize("name", SEARCHES)
def test_each_device_for_itself(name: str, two: Mesh) -> None:
    """In `shard_map` each of two devices trains other parameters, with searches of different lengths."""
    starts = jnp.asarray([[-1.2, 1.0], [0.3, 2.0]])

    def one(x: Any) -> Any:
        return jax.tree.map(lambda v: v[None], three_steps(SEARCHES[name], rosenbrock, x[0]))

    mapped = jax.jit(shard_map(one, two, P("data"), P("data")))(starts)
    one_by_one = jax.jit(jax.vmap(lambda x: three_steps(SEARCHES[name], rosenbrock, x)))(starts)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), mapped, one_by_one)


@pytest.mark.parametrize("name", ["zoom"])
def test_all_devices_together(name: str, two: Mesh) -> None:
    """In `shard_map` each of two devices has half of the data, and both take the same steps."""
    rng = np.random.default_rng(0)
    data = jnp.asarray(rng.normal(size=(8, 3)), jnp.float32)
    x = jnp.asarray([1.0, -1.0, 0.5])

    def loss(x: Any, data: Any) -> Any:
        return jnp.mean((data @ x - 1) ** 2)

    def parallel(x: Any, data: Any) -> Any:
        return three_steps(SEARCHES[name], lambda x: jax.lax.pmean(loss(x, data), "data"), x)

    together = jax.jit(shard_map(parallel, two, (P(), P("data")), P()))(x, data)
    alone = jax.jit(lambda x: three_steps(SEARCHES[name], lambda x: loss(x, data), x))(x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), together, alone)


def test_split_parameters_are_not_gathered() -> None:
    """Parameters over eight devices: the compiled step adds up inner products and moves nothing else."""
    mesh = jax.make_mesh((8,), ("model",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu")[:8])
    tx = optax.lbfgs(memory_size=3)

    curvatures = jnp.linspace(1.0, 4.0, 64)

    def f(x: Any) -> Any:
        return jnp.sum(curvatures * x**2) + jnp.sum(x**4)

    one_step = jax.jit(lambda x, state: step(tx, f, x, state))
    alone = x = jnp.linspace(-1.0, 2.0, 64)
    x = jax.device_put(x, NamedSharding(mesh, P("model")))
    state, alone_state = tx.init(x), tx.init(alone)
    state = jax.device_put(state, optax.state_shardings(tx, x))
    compiled = one_step.lower(x, state).compile()
    moved = set(re.findall(r"\b(all-reduce|all-gather|all-to-all|collective-permute)", compiled.as_text()))
    assert moved == {"all-reduce"}
    for _ in range(3):
        (x, state), (alone, alone_state) = one_step(x, state), one_step(alone, alone_state)
    np.testing.assert_allclose(x, alone, rtol=1e-4, atol=1e-5)
    assert x.sharding.is_equivalent_to(NamedSharding(mesh, P("model")), 1)

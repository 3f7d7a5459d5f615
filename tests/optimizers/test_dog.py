"""What only the DoG family promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from reference.dog import DoG, DoWG
from x64 import enable_x64

ALL = [optax.dog(), optax.dowg(), optax.scale_by_distance_over_gradients()]


def gradients(steps: int, shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) * rng.choice([0.1, 1.0, 10.0]) for _ in range(steps)]


def follow(tx: Any, rules: list[Any], x0: list[np.ndarray], sign: float = -1.0, steps: int = 40) -> None:
    """Compare `tx` with a NumPy rule for each block of the parameters (or one for all), step by step in float64."""
    with enable_x64():
        x = [jnp.asarray(block) for block in x0]
        state = tx.init(x)
        update = jax.jit(tx.update)
        for t in range(steps):
            g = [gradients(steps, block.shape, seed)[t] for seed, block in enumerate(x0)]
            now = [np.asarray(block) for block in x]
            if len(rules) == 1:
                sizes = np.cumsum([block.size for block in x0])[:-1]
                flat = rules[0](np.concatenate([b.ravel() for b in now]), np.concatenate([b.ravel() for b in g]))
                expected = [s.reshape(b.shape) for s, b in zip(np.split(flat, sizes), x0, strict=True)]
            else:
                expected = [rule(b, h) for rule, b, h in zip(rules, now, g, strict=True)]
            u, state = update([jnp.asarray(block) for block in g], state, x)
            for ours, theirs in zip(u, expected, strict=True):
                np.testing.assert_allclose(np.asarray(ours), sign * theirs, rtol=1e-9, atol=1e-18)
            x = [b - jnp.asarray(step) for b, step in zip(x, expected, strict=True)]


X0 = [np.array([1.0, -2.0, 0.3]), np.array([[0.5, 1.5]])]
FLAT = np.concatenate([x.ravel() for x in X0])


@pytest.mark.parametrize(
    ("settings", "r_eps", "eps"),
    [
        ({}, 1e-6 * (1 + np.linalg.norm(FLAT)), 1e-8),
        ({"init_step": ("heuristic", 0.1), "eps": 1e-2}, 0.1 * (1 + np.linalg.norm(FLAT)), 1e-2),
        ({"init_step": ("distance", 0.02)}, 0.02, 1e-8),
    ],
)
def test_dog_is_the_recursion_for_all_parameters_as_one_vector(settings: Any, r_eps: float, eps: float) -> None:
    follow(optax.dog(**settings), [DoG(FLAT, r_eps, eps)], X0)


def test_layer_wise_dog_is_the_recursion_for_each_leaf() -> None:
    """Defect D16: one recursion; that it is for each leaf by itself is all that differs."""
    settings: Any = {"reps_rel": 1e-3, "eps": 1e-4, "param_dtype": None, "global_scale": 0.5}
    rules = [DoG(x, 1e-3 * (1 + np.linalg.norm(x)), 1e-4) for x in X0]
    halved = [lambda x, g, rule=rule: 0.5 * rule(x, g) for rule in rules]
    follow(optax.scale_by_distance_over_gradients(**settings), halved, X0, sign=1.0)


def test_for_one_leaf_both_are_the_same() -> None:
    """Defect D16: the original has two implementations."""
    layer_wise = optax.chain(optax.scale_by_distance_over_gradients(), optax.scale(-1.0))
    p = q = jnp.asarray(X0[0], jnp.float32)
    s, t = optax.dog().init(p), layer_wise.init(q)
    for g in gradients(10, p.shape):
        u, s = optax.dog().update(jnp.asarray(g, p.dtype), s, p)
        v, t = layer_wise.update(jnp.asarray(g, p.dtype), t, q)
        np.testing.assert_allclose(u, v, rtol=1e-6)
        p, q = optax.apply_updates(p, u), optax.apply_updates(q, v)


@pytest.mark.parametrize(
    ("settings", "r_eps", "eps"),
    [({}, 1e-2, 1e-4), ({"init_estim_sq_dist": 0.04, "eps": 1e-2}, 0.2, 1e-2), ({"eps": 1e-6}, 1e-3, 1e-6)],
)
def test_dowg_is_the_recursion_of_the_paper(settings: Any, r_eps: float, eps: float) -> None:
    follow(optax.dowg(**settings), [DoWG(FLAT, r_eps, eps)], X0)


def test_a_learning_rate_makes_the_first_step() -> None:
    tx = optax.dog(0.5, init_step=("learning_rate", 0.01))
    p = jnp.asarray([3.0, 4.0])
    g = jnp.asarray([1.0, -2.0])
    state = tx.init(p)
    assert bool(state[1].is_init_step)
    u, state = tx.update(g, state, p)
    np.testing.assert_allclose(u, -0.5 * 0.01 * np.asarray(g), rtol=1e-6)
    assert not bool(state[1].is_init_step)
    u, state = tx.update(g, state, optax.apply_updates(p, u))
    # From here on the recursion: the distance is the length of the first step.
    distance = 0.005 * np.sqrt(5)
    np.testing.assert_allclose(u, -0.5 * distance / np.sqrt(10) * np.asarray(g), rtol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_learning_rate_starts_however_late_the_parameters_move(dtype: Any) -> None:
    """In the original, a first gradient of zeros, or one too small to move the parameters, is the end of it."""
    tx = optax.dog(init_step=("learning_rate", 0.01))
    p = jnp.asarray([3.0, 4.0], dtype)
    state = tx.init(p)
    for size in (0.0, 1e-12, 10.0, 1.0):
        u, state = tx.update(jnp.full_like(p, size), state, p)
        p = optax.apply_updates(p, u)
    np.testing.assert_allclose(np.asarray(u, np.float32), -np.asarray(state[1].max_dist) / np.sqrt(202), rtol=1e-2)
    assert float(state[1].max_dist) > 0.1


@pytest.mark.parametrize(
    "tx",
    [
        *ALL,
        optax.dog(eps=0.0),
        optax.dowg(eps=0.0, init_estim_sq_dist=1.0),
        optax.scale_by_distance_over_gradients(eps=0.0),
    ],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float16])
def test_zero_gradients_come_before_anything_else(tx: Any, dtype: Any) -> None:
    """Defect A7: with eps = 0, or in float16, this was 0 / 0, and NaN for ever."""
    p = jnp.ones(3, dtype)
    state = tx.init(p)
    u, state = tx.update(jnp.zeros_like(p), state, p)
    assert np.all(np.asarray(u) == 0)
    u, state = tx.update(jnp.ones_like(p), state, p)
    assert np.all(np.isfinite(np.asarray(u)))
    assert np.all(np.asarray(u) != 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_norms_and_distances_are_kept_in_float32(dtype: Any) -> None:
    """Defects A1 and A2: in 16 bits the sum of squares stalls or overflows."""
    p = [jnp.full((), 0.5, dtype)] * 100
    g = [jnp.full((), 60.0, dtype)] * 100
    tx = optax.dog(init_step=("distance", 1e-3))
    state = tx.init(p)
    for _ in range(2):
        _, state = tx.update(g, state, [x + x for x in p])
    inner = state[1]
    assert (inner.max_dist.dtype, inner.sum_sq_norm_grads.dtype) == (jnp.float32, jnp.float32)
    assert float(inner.sum_sq_norm_grads) == 2 * 100 * 3600
    np.testing.assert_allclose(inner.max_dist, np.sqrt(100 * 0.25), rtol=1e-6)
    assert all(x.dtype == dtype for x in inner.init_params)


@pytest.mark.parametrize("tx", ALL, ids=repr)
def test_a_complex_number_is_two_real_ones(tx: Any) -> None:
    rng = np.random.default_rng(0)
    z = jnp.asarray(rng.normal(size=3) + 1j * rng.normal(size=3), jnp.complex64)
    xy = jnp.stack([z.real, z.imag])
    s, t = tx.init(z), tx.init(xy)
    for _ in range(5):
        g = jnp.asarray(rng.normal(size=3) + 1j * rng.normal(size=3), jnp.complex64)
        u, s = tx.update(g, s, z)
        v, t = tx.update(jnp.stack([g.real, g.imag]), t, xy)
        np.testing.assert_allclose(jnp.stack([u.real, u.imag]), v, rtol=1e-5)
        z, xy = optax.apply_updates(z, u), optax.apply_updates(xy, v)
    assert not any(jnp.iscomplexobj(x) for x in jax.tree.leaves(s) if x.ndim == 0)


@pytest.mark.parametrize("factory", [optax.dog, optax.dowg])
def test_weight_decay_is_a_part_of_the_gradient(factory: Any) -> None:
    p = {"kernel": jnp.asarray([1.0, 2.0]), "bias": jnp.asarray([3.0])}
    g = {"kernel": jnp.asarray([0.5, -1.0]), "bias": jnp.asarray([1.0])}
    tx = factory(weight_decay=0.1, mask={"kernel": True, "bias": False})
    u, state = tx.update(g, tx.init(p), p)
    assert isinstance(state[0], optax.MaskedState)
    decayed = g | {"kernel": g["kernel"] + 0.1 * p["kernel"]}
    expected, _ = factory().update(decayed, factory().init(p), p)
    for name in p:
        np.testing.assert_allclose(u[name], expected[name], rtol=1e-6)


def test_schedules_multiply_the_step() -> None:
    p = jnp.asarray([1.0, 2.0])
    for factory in (optax.dog, optax.dowg):
        tx = factory(optax.linear_schedule(0.5, 0.0, 2))
        u, _ = tx.update(p, tx.init(p), p)
        v, _ = factory(0.5).update(p, factory(0.5).init(p), p)
        np.testing.assert_allclose(u, v, rtol=1e-6)


def test_where_the_initial_parameters_are_kept() -> None:
    p = {"real": jnp.ones(2, jnp.bfloat16), "complex": jnp.ones(2, jnp.complex64)}
    assert optax.dog().init(p)[1].init_params["real"].dtype == jnp.bfloat16
    state = optax.scale_by_distance_over_gradients().init(p)
    assert (state.init_params["real"].dtype, state.init_params["complex"].dtype) == (jnp.float32, jnp.complex64)
    assert state.max_dist["real"].shape == state.grad_sum_of_squares["real"].shape == ()
    with enable_x64():
        p = jnp.asarray([1 / 3], jnp.float64)
        assert optax.dog().init(p)[1].init_params.dtype == jnp.float64
        assert optax.scale_by_distance_over_gradients().init(p).init_params.dtype == jnp.float32
        assert optax.scale_by_distance_over_gradients(param_dtype=None).init(p).init_params.dtype == jnp.float64


@pytest.mark.parametrize("tx", ALL, ids=repr)
def test_parameters_and_state_can_be_donated(tx: Any) -> None:
    """Defect G4: the initial parameters were the parameters' own buffers."""
    p = {"w": jnp.ones(3)}
    step = jax.jit(lambda p, s: tx.update(p, s, p), donate_argnums=(0, 1))
    u, _ = step(p, tx.init(p))
    assert np.all(np.isfinite(np.asarray(u["w"])))


@pytest.mark.parametrize("tx", ALL, ids=repr)
def test_init_needs_only_shapes(tx: Any) -> None:
    """Defect G5."""
    p = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(3)}
    abstract = jax.eval_shape(lambda p: p, p)
    assert jax.eval_shape(tx.init, p) == jax.eval_shape(lambda: tx.init(abstract))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optax.dog(init_step=0.1), r"init_step must be a pair such as \('heuristic', 1e-6\), not 0.1"),
        (lambda: optax.dog(init_step=("guess", 0.1)), "init_step must begin with .* not 'guess'"),
        (lambda: optax.dog(init_step=("distance", 0.0)), "init_step must be above 0, not 0.0"),
        (lambda: optax.dog(init_step=("heuristic", -1.0)), "init_step must be above 0, not -1.0"),
        (lambda: optax.dog(eps=-1e-8), "eps must be at least 0, not -1e-08"),
        (lambda: optax.dog("fast"), "learning_rate must be a real number or a schedule"),
        (lambda: optax.dowg(eps=0.0), "init_estim_sq_dist must be above 0"),
        (lambda: optax.dowg(eps=-1.0), "eps must be at least 0"),
        (lambda: optax.scale_by_distance_over_gradients(reps_rel=0.0), "reps_rel must be above 0"),
        (lambda: optax.scale_by_distance_over_gradients(global_scale="1"), "global_scale must be a real number"),
    ],
)
def test_mistakes_are_named(make: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()

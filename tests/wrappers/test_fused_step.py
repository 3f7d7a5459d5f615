"""Whole steps by blocks: equal to `update` and `apply_updates`, and in place."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import optax
from optax.transforms import _blocks, _evaluator
from x64 import enable_x64

SCHEDULE = optax.warmup_cosine_decay_schedule(0.0, 1e-2, 2, 10)
SHAPES = {"matrix": (16, 8), "prime": (131,), "small": (5,), "three": (4, 6, 10), "wide": (2, 101), "scalar": ()}

OPTIMIZERS: dict[str, Any] = {
    "adamw": optax.adamw(1e-2),
    "clipped": optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(SCHEDULE)),
    "block_clipped": optax.chain(optax.clip_by_block_rms(0.1), optax.adaptive_grad_clip(0.1), optax.sgd(0.1, 0.9)),
    "adabelief": optax.adabelief(1e-2),
    "adadelta": optax.adadelta(1e-2),
    "adafactor": optax.adafactor(1e-2, min_dim_size_to_factor=4),
    "adan": optax.adan(1e-2),
    "adopt": optax.adopt(1e-2),
    "amsgrad": optax.amsgrad(1e-2),
    "lamb": optax.lamb(1e-2),
    "lion": optax.lion(1e-2),
    "muon": optax.muon(1e-2),
    "noisy_sgd": optax.noisy_sgd(1e-2, eta=0.1, gamma=0.5, key=jax.random.key(0)),
    "prodigy": optax.prodigy(),
    "rmsprop": optax.rmsprop(1e-2),
    "schedule_free_adamw": optax.schedule_free_adamw(1e-2),
    "sm3": optax.sm3(1e-2),
    "apply_if_finite": optax.apply_if_finite(optax.adamw(1e-2), 3),
    "inject_hyperparams": optax.inject_hyperparams(optax.adamw)(SCHEDULE),
    "masked": optax.masked(optax.adamw(1e-2), lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    "multi_steps": optax.MultiSteps(optax.adamw(1e-2), 2),
    "partition": optax.partition(
        {"a": optax.lion(1e-2), "b": optax.sgd(1e-1)},
        lambda tree: {name: "a" if x is not None and x.ndim > 1 else "b" for name, x in tree.items()},
    ),
}


def parameters(seed: int, dtype: Any = jnp.float32, shapes: Any = None) -> Any:
    random = np.random.default_rng(seed)
    tree: dict[str, Any] = {}
    for name, shape in (shapes or SHAPES).items():
        x = random.normal(size=shape)
        tree[name] = jnp.asarray(x + 1j * random.normal(size=shape) if dtype == jnp.complex64 else x, dtype)
    return tree


def pair(tx: Any) -> Callable[..., Any]:
    def step(grads: Any, state: Any, params: Any, **extra_args: Any) -> Any:
        updates, state = tx.update(grads, state, params, **extra_args)
        return optax.apply_updates(params, updates), state

    return step


def assert_close(x: Any, y: Any, rtol: float = 1e-6) -> None:
    """Equal but for rounding, in units of the largest element of each leaf."""
    x, y = tuple(x), tuple(y)
    assert jax.tree.structure(x) == jax.tree.structure(y)
    for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True):
        assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = map(jax.random.key_data, (a, b))
        wide = complex if jnp.iscomplexobj(a) else float
        a, b = np.asarray(a.astype(wide)), np.asarray(b.astype(wide))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.max(np.abs(b), initial=1e-30))


@pytest.fixture
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """What JAX sees outside of these tests, which have several for meshes."""
    monkeypatch.setattr(_evaluator, "_device_count", lambda: 1)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch, one_device: None) -> list[int]:
    """Blocks in small arrays; the list gets the number of sweeps that write of each step that is traced."""
    monkeypatch.setattr(_evaluator, "LARGE", 104)
    monkeypatch.setattr(_blocks, "BLOCK", 48)
    made: list[int] = []
    original = _evaluator._clusters

    def counting(*args: Any) -> Any:
        clusters = original(*args)
        made.append(sum(bool(cluster.writes) for cluster in clusters))
        return clusters

    monkeypatch.setattr(_evaluator, "_clusters", counting)
    return made


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_equals_update_and_apply_updates(name: str, small_blocks: list[int]) -> None:
    tx = OPTIMIZERS[name]
    params = {**parameters(0), "none": None}
    p = q = params
    s = t = tx.init(params)
    plain, fused = jax.jit(pair(tx)), jax.jit(optax.fused_step(tx))
    for seed in (1, 2):
        grads = {**parameters(seed), "none": None}
        p, s = plain(grads, s, p)
        q, t = fused(grads, t, q)
        assert_close((q, t), (p, s))
    # Under `cond` nothing is done by blocks, and muon's matrices are multiplied.
    assert small_blocks == [{"apply_if_finite": 0, "multi_steps": 0, "muon": 2}.get(name, 4)]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.complex64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name", ["adamw", "clipped", "lamb"])
def test_other_dtypes(name: str, dtype: Any, small_blocks: list[int]) -> None:
    tx = OPTIMIZERS[name]
    shapes = {name: SHAPES[name] for name in ("matrix", "prime")}
    params, grads = parameters(0, dtype, shapes), parameters(1, dtype, shapes)
    state = tx.init(params)
    rtol = 1e-6 if dtype == jnp.complex64 else float(jnp.finfo(dtype).eps)
    assert_close(
        jax.jit(optax.fused_step(tx))(grads, state, params), jax.jit(pair(tx))(grads, state, params), rtol=rtol
    )
    assert small_blocks == [2]


def test_arrays_of_real_size(one_device: None) -> None:
    # With a remainder, along the second axis.
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    params, grads = (parameters(i, shapes={"w": (3, _evaluator.LARGE + 7)}) for i in (0, 1))
    state = tx.init(params)
    p, s = jax.jit(optax.fused_step(tx))(grads, state, params)
    assert_close((p, s), jax.jit(pair(tx))(grads, state, params))


IN_PLACE = [
    "adamw",
    "clipped",
    "lion",
    "adabelief",
    "lamb",
    "adafactor",
    "adan",
    "adopt",
    "amsgrad",
    "schedule_free_adamw",
]


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
@pytest.mark.parametrize("name", IN_PLACE)
def test_no_array_is_set_aside(name: str, inside: bool, one_device: None) -> None:
    tx = OPTIMIZERS[name]
    params = {"w": jax.ShapeDtypeStruct((2048, 1024), jnp.float32), "b": jax.ShapeDtypeStruct((1 << 20,), jnp.float32)}
    state = jax.eval_shape(tx.init, params)
    fused = optax.fused_step(tx)

    def train(params: Any, state: Any, grads: Any) -> Any:
        params, state = fused(grads, state, params)
        return params, state

    if inside:
        lowered = jax.jit(train, donate_argnums=(0, 1)).lower(params, state, params)
    else:
        lowered = jax.jit(fused, donate_argnums=(1, 2)).lower(params, state, params)
    memory = lowered.compile().memory_analysis()
    assert memory.temp_size_in_bytes < 8 * 4 * _blocks.BLOCK  # totals, and what has to wait for the others
    donated = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves((params, state)))
    assert memory.alias_size_in_bytes == donated


def example(name: str = "clipped", steps: int = 2) -> tuple[Any, Any, Any, Any]:
    """A transformation, gradients, a state that is not the first one, and parameters."""
    tx = OPTIMIZERS[name]
    params = parameters(0, shapes={"w": (20, 11)})
    state = tx.init(params)
    for seed in range(1, steps + 1):
        params, state = pair(tx)(parameters(seed, shapes={"w": (20, 11)}), state, params)
    return tx, parameters(9, shapes={"w": (20, 11)}), state, params


def test_values_that_need_each_other(small_blocks: list[int]) -> None:
    def update(updates: Any, state: Any, params: Any = None) -> Any:
        a, b, c = state
        return updates + a, (b - updates, c * a, a - b)

    tx = optax.GradientTransformation(lambda params: (params, 2 * params, 3 * params), update)
    x = jnp.arange(131.0)
    state = tx.init(x)
    assert_close(jax.jit(optax.fused_step(tx))(x + 1, state, x), pair(tx)(x + 1, state, x))
    assert small_blocks == [1]


def test_a_gradient_kept_as_it_is(small_blocks: list[int]) -> None:
    tx = optax.GradientTransformation(lambda params: (params, params), lambda g, state, params=None: (g, (g, state[0])))
    x = jnp.arange(131.0)
    assert_close(jax.jit(optax.fused_step(tx))(x + 1, (x, x + 2), x), (2 * x + 1, (x + 1, x)))
    assert small_blocks == [1]


def test_without_jit_arguments_stay(small_blocks: list[int]) -> None:
    tx, grads, state, params = example()
    step = optax.fused_step(tx)
    new = step(grads, state, params)
    assert type(new) is tuple
    assert_close(new, pair(tx)(grads, state, params))
    step(grads, state, params)
    assert small_blocks == [1]  # compiled once


def test_vmap(small_blocks: list[int]) -> None:
    tx, grads, state, params = example()
    several = jax.tree.map(lambda g: jnp.stack([g, 0.1 * g]), grads)
    expected = jax.vmap(pair(tx), in_axes=(0, None, None))(several, state, params)
    vmapped = jax.vmap(optax.fused_step(tx), in_axes=(0, None, None))
    assert_close(vmapped(several, state, params), expected)
    assert_close(jax.jit(vmapped)(several, state, params), expected)
    assert small_blocks == [1, 1]


def test_vmap_is_in_place(one_device: None) -> None:
    tx = OPTIMIZERS["adamw"]
    params = jax.ShapeDtypeStruct((2, 1 << 20), jnp.float32)
    state = jax.eval_shape(jax.vmap(tx.init), params)
    step = jax.jit(jax.vmap(optax.fused_step(tx)), donate_argnums=(1, 2))
    assert step.lower(params, state, params).compile().memory_analysis().temp_size_in_bytes < 8 * 4 * _blocks.BLOCK


def test_derivatives(small_blocks: list[int]) -> None:
    tx, grads, state, params = example("adamw")

    def total(step: Any, grads: Any) -> jax.Array:
        return jnp.sum(step(grads, state, params)[0]["w"] ** 2)

    for g in (grads, jax.tree.map(jnp.zeros_like, grads)):
        expected = jax.grad(lambda g: total(pair(tx), g))(g)["w"]
        given = jax.grad(lambda g: total(optax.fused_step(tx), g))
        for derivative in (given, jax.jit(given)):
            np.testing.assert_allclose(derivative(g)["w"], expected, rtol=1e-3, atol=1e-6)

    def of_rate(make: Any) -> Any:
        return jax.jit(jax.grad(lambda rate: total(make(optax.adamw(rate)), grads)))(1e-2)

    np.testing.assert_allclose(of_rate(optax.fused_step), of_rate(pair), rtol=1e-5)


@pytest.mark.parametrize("jitted", [False, True])
def test_extra_arguments(jitted: bool, small_blocks: list[int]) -> None:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any, scale: Any, name: str, **_: Any) -> Any:
        return jax.tree.map(lambda g: scale(g) * value, updates), {"t": {"u": 2.0}[name] * state["t"]}

    tx = optax.GradientTransformationExtraArgs(lambda params: {"t": jnp.ones([])}, update)
    _, grads, _, params = example()
    step = optax.fused_step(tx)

    def call(value: Any) -> Any:
        return step(grads, tx.init(params), params, value=value, scale=jnp.negative, name="u", more=None)

    new, state = jax.jit(call)(0.5) if jitted else call(0.5)
    np.testing.assert_allclose(new["w"], params["w"] - 0.5 * grads["w"], rtol=1e-6)
    assert state["t"] == 2
    assert small_blocks == [1]


def test_integer_leaves(small_blocks: list[int]) -> None:
    tx = optax.adam(0.1)
    params = {"i": jnp.arange(200), "w": jnp.linspace(0.0, 1.0, 200)}
    grads = jax.grad(lambda tree: jnp.sum(tree["w"] ** 2), allow_int=True)(params)
    state = tx.init(params)
    assert_close(optax.fused_step(tx)(grads, state, params), pair(tx)(grads, state, params))
    assert small_blocks == [1]


def test_an_effect_is_kept(small_blocks: list[int], capfd: pytest.CaptureFixture[str]) -> None:
    def update(updates: Any, state: Any, params: Any = None) -> Any:
        jax.debug.print("{}", jnp.sum(updates))
        return updates, state

    tx = optax.GradientTransformation(optax.init_empty_state, update)
    x = jnp.ones(200)
    new, _ = optax.fused_step(tx)(x, tx.init(x), x)
    jax.effects_barrier()
    assert capfd.readouterr().out.split() == ["200.0"]
    np.testing.assert_array_equal(new, 2 * x)


def test_a_state_that_changes_its_form(small_blocks: list[int]) -> None:
    tx = optax.GradientTransformation(lambda params: (params,), lambda g, state, params=None: (g, (*state, g)))
    x = jnp.arange(131.0)
    assert_close(jax.jit(optax.fused_step(tx))(x, (x,), x), (2 * x, (x, x)))


def test_a_mesh(small_blocks: list[int]) -> None:
    tx, grads, state, params = example()
    expected = pair(tx)(grads, state, params)
    mesh = Mesh(np.asarray(jax.devices()[:2]), ("d",))

    def place(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.device_put(x, NamedSharding(mesh, P("d") if x.ndim else P())), tree)

    sharded = map(place, (grads, state, params))
    assert_close(jax.jit(optax.fused_step(tx))(*sharded), expected)  # were it by blocks: right, if slow


@pytest.mark.skipif(not hasattr(jax, "shard_map"), reason="jax.shard_map came with JAX 0.7")
def test_shard_map(one_device: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_evaluator, "_clusters", None)  # it must not be asked
    tx, grads, state, params = example("adamw")
    mesh = Mesh(np.asarray(jax.devices()[:2]), ("d",))
    specs = jax.tree.map(lambda x: P("d") if x.ndim else P(), (grads, state, params))
    step = jax.shard_map(
        lambda *args: tuple(optax.fused_step(tx)(*args)), mesh=mesh, in_specs=specs, out_specs=(specs[2], specs[1])
    )
    assert_close(jax.jit(step)(grads, state, params), pair(tx)(grads, state, params))


def test_several_devices_take_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    assert jax.device_count() > 1
    monkeypatch.setattr(_evaluator, "_clusters", None)
    tx, grads, state, params = example()
    assert_close(optax.fused_step(tx)(grads, state, params), pair(tx)(grads, state, params))


def test_double_precision(small_blocks: list[int]) -> None:
    with enable_x64():
        tx = OPTIMIZERS["clipped"]
        params, grads = (parameters(i, jnp.float64, {"w": (20, 11)}) for i in (0, 1))
        state = tx.init(params)
        assert_close(optax.fused_step(tx)(grads, state, params), pair(tx)(grads, state, params), rtol=1e-14)
    assert small_blocks == [1]


def test_errors(small_blocks: list[int]) -> None:
    with pytest.raises(TypeError, match=r"tx must be a transformation.*call it: adamw\(...\)"):
        optax.fused_step(optax.adamw)  # type: ignore[arg-type]
    tx, grads, state, _ = example()
    with pytest.raises(ValueError, match=r"\['w'\].*\(20, 11\) and \(3,\)"):
        optax.fused_step(tx)(grads, state, {"w": jnp.ones(3)})

"""Every public factory of transformations on a mesh of eight devices: sharded by hand or by the compiler, or mapped."""

import functools
import re
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from contract import calls
from optax.core import state_shardings, tree
from optax.core.testing import Subject, without_hashes

PARAMS = {
    "matrix": np.linspace(-1.0, 1.0, 32, dtype=np.float32).reshape(8, 4),
    "nested": [np.linspace(-2.0, 1.0, 16, dtype=np.float32), np.float32(1.5)],
}
SPECS = {"matrix": P("data", "model"), "nested": [P("data"), P()]}
STEPS = 3

# Whose mathematics needs a whole array where it is split.
GATHERS: dict[str, str] = {
    "flatten": "one long vector of everything",
    "galore": "singular vectors of a matrix",
    "muon": "products of the rows of a matrix with one another",
}

# Whose state is not split on a mesh of automatic axes, and has to be gathered for that.
UNSPLIT: dict[str, str] = dict.fromkeys(
    ["measure_with_ema", "monitor", "snapshot"], "of what a measure will return only shape and dtype are known"
)

# JAX 0.6 does not tell that either, where the axes are explicit.
UNSPLIT_BY_TYPE = {} if hasattr(jax, "set_mesh") else UNSPLIT

# Who cannot work on a mesh of explicit axes.
NOT_BY_TYPE: dict[str, str] = {
    "flatten": "one long vector of arrays that are split in different ways",
}

TRANSFORMATIONS = {name: tx for name, tx in calls.plain_calls().items() if name not in calls.STAGES}


@pytest.fixture(scope="module", params=sorted(TRANSFORMATIONS))
def name(request: pytest.FixtureRequest) -> str:
    """One factory after another, so that its tests share what they compile."""
    return request.param


@functools.lru_cache(maxsize=1)
def subject(name: str) -> Subject:
    return calls.subject(name, TRANSFORMATIONS[name], params=jax.tree.map(jnp.asarray, PARAMS))


@functools.lru_cache(maxsize=1)
def on_one_device(name: str) -> Any:
    """Parameters and state after three steps."""
    s = subject(name)
    return trained(s, s.compiled_step, s.params, s.tx.init(s.params))


def trained(s: Subject, step: Any, params: Any, state: Any) -> Any:
    for i in range(STEPS):
        params, state = step(
            params, state, jax.tree.map(lambda g, p: jax.device_put(g, p.sharding), s.gradient(i), params)
        )
    return params, state


def mesh_of(kind: AxisType) -> Mesh:
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind), devices=jax.devices("cpu")[:8])


def sharded(t: Any, mesh: Mesh) -> Any:
    return jax.tree.map(lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), t, SPECS)


def placed(state: Any, mesh: Mesh) -> Any:
    """The state with what `init` has left on one device on all of them."""
    everywhere = NamedSharding(mesh, P())
    return jax.tree.map(lambda x: x if isinstance(x.sharding, NamedSharding) else jax.device_put(x, everywhere), state)


def elsewhere(state: Any, params: Any) -> dict[str, Any]:
    """The shardings in the state that are not those of the parameters of the same shape."""
    by_shape = {p.shape: p.sharding for p in jax.tree.leaves(params) if p.ndim}
    leaves = [(jax.tree_util.keystr(path), x) for path, x in jax.tree_util.tree_leaves_with_path(state)]
    return {
        path: x.sharding
        for path, x in leaves
        if x.shape in by_shape and not x.sharding.is_equivalent_to(by_shape[x.shape], x.ndim)
    }


def assert_same(a: Any, b: Any) -> None:
    a, b = (without_hashes(tree.unwrap_random_key_data(t)) for t in (a, b))
    chex.assert_trees_all_close(a, b, rtol=1e-5, atol=1e-6)


def test_sharded_by_the_compiler(name: str) -> None:
    """`init` keeps the sharding of the parameters, and the step computes the same, gathering nothing."""
    s, mesh = subject(name), mesh_of(AxisType.Auto)
    params = sharded(PARAMS, mesh)
    state = s.tx.init(params)
    assert bool(elsewhere(state, params)) == (name in UNSPLIT), elsewhere(state, params)
    start = params, jax.device_put(state, state_shardings(s.tx, params))
    step = jax.jit(s.step, out_shardings=jax.tree.map(lambda x: x.sharding, start))
    compiled = step.lower(*start, sharded(s.gradient(0), mesh)).compile()
    moved = set(re.findall(r"\b(all-gather|all-to-all|collective-permute)", compiled.as_text()))
    assert bool(moved) == (name in GATHERS or name in UNSPLIT), moved
    assert_same(trained(s, compiled, *start), on_one_device(name))


def test_sharded_by_type(name: str, request: pytest.FixtureRequest) -> None:
    """On a mesh of explicit axes the same, and all that has the shape of a parameter is sharded like it (defect G3)."""
    if name in NOT_BY_TYPE:
        request.applymarker(pytest.mark.xfail(reason=NOT_BY_TYPE[name], strict=True))
    s, mesh = subject(name), mesh_of(AxisType.Explicit)
    with (jax.set_mesh if hasattr(jax, "set_mesh") else jax.sharding.use_mesh)(mesh):
        params = sharded(PARAMS, mesh)
        state = s.tx.init(params)
        assert bool(elsewhere(state, params)) == (name in UNSPLIT_BY_TYPE), elsewhere(state, params)
        params, state = trained(s, jax.jit(s.step), params, placed(state, mesh))
        assert name in UNSPLIT_BY_TYPE or not elsewhere((params, state), sharded(PARAMS, mesh))
    assert_same((params, state), on_one_device(name))


def test_mapped_over_devices(name: str) -> None:
    """In `shard_map` the whole loop, `init` too, can run on a part of the data, with and without `scan` (defect G2)."""
    s = subject(name)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu")[:2])
    both = [[s.gradient(10 * (device + 1) + i) for i in range(STEPS + 1)] for device in range(2)]
    starts = stack([params for params, *_ in both])
    gradients = stack([stack(gradients) for _, *gradients in both])

    def one_step(params: Any, gradients: Any) -> Any:
        params, gradients = first_of((params, gradients))
        return jax.tree.map(lambda x: x[None], s.step(params, s.tx.init(params), first_of(gradients)))

    def scanned(params: Any, gradients: Any) -> Any:
        params, gradients = first_of((params, gradients))
        after, _ = jax.lax.scan(lambda c, g: (s.step(*c, g), None), (params, s.tx.init(params)), gradients)
        return jax.tree.map(lambda x: x[None], after)

    jax.eval_shape(shard_map(one_step, mesh), starts, gradients)
    after = jax.jit(shard_map(scanned, mesh))(starts, gradients)
    one_by_one = []
    for params, *gradients in both:
        state = s.tx.init(params)
        for gradient in gradients:
            params, state = s.compiled_step(params, state, gradient)
        one_by_one.append((params, state))
    assert_same(after, stack(one_by_one))


def stack(trees: Any) -> Any:
    return jax.tree.map(lambda *x: jnp.stack(x), *trees)


def first_of(t: Any) -> Any:
    return jax.tree.map(lambda x: x[0], t)


def shard_map(f: Any, mesh: Mesh) -> Any:
    """`jax.shard_map` over the leading axis, with all its checks."""
    if hasattr(jax, "shard_map"):
        return jax.shard_map(f, mesh=mesh, in_specs=P("data"), out_specs=P("data"))
    from jax.experimental.shard_map import shard_map  # JAX 0.6

    return shard_map(f, mesh, in_specs=P("data"), out_specs=P("data"))


def test_the_tables_are_about_what_exists() -> None:
    assert {*GATHERS, *UNSPLIT, *NOT_BY_TYPE} <= set(TRANSFORMATIONS)

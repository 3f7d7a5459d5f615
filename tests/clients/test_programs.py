"""What programs do with states and modules, whatever library they use: written after what public code does."""

import importlib
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import optax
from clients.problem import equal, loss, zeros


def stepped(tx: optax.GradientTransformation, state: Any = None) -> tuple[Any, Any]:
    params = zeros()
    return tx.update(jax.grad(loss)(params), tx.init(params) if state is None else state, params)


# Their warnings, and all names that can be taken from them, are tested in tests/meta.
with_private_modules = pytest.mark.filterwarnings("ignore:the module optax.* is private:DeprecationWarning")


@with_private_modules
def test_an_optimizer_written_with_private_modules() -> None:
    """As the descendants of one well-known file do: types, a step counter, a chain and a rate."""
    from optax._src import base, numerics, transform, utils
    from optax._src.combine import chain
    from optax._src.numerics import safe_int32_increment
    from optax._src.transform import add_decayed_weights

    class State(transform.NamedTuple):
        count: jax.Array
        mu: base.Updates

    def scale_by_mean(decay: float, mu_dtype: Any = None) -> base.GradientTransformation:
        mu_dtype = utils.canonicalize_dtype(mu_dtype)

        def init(params: base.Params) -> State:
            return State(jnp.zeros([], jnp.int32), optax.tree_utils.tree_zeros_like(params, dtype=mu_dtype))

        def update(updates: base.Updates, state: State, params: base.Params | None = None) -> tuple[Any, State]:
            mu = jax.tree.map(lambda g, m: decay * m + (1 - decay) * g, updates, state.mu)
            return mu, State(safe_int32_increment(state.count), mu)

        return base.GradientTransformation(init, update)

    tx = chain(scale_by_mean(0.5), add_decayed_weights(0.0), transform.scale_by_learning_rate(0.2))
    assert isinstance(tx, optax.GradientTransformation)
    assert numerics.safe_int32_increment is optax.safe_int32_increment

    params = zeros()
    state = tx.init(params)
    step = jax.jit(lambda p, s: tx.update(jax.grad(loss)(p), s, p))
    for _ in range(100):
        updates, state = step(params, state)
        params = optax.apply_updates(params, updates)
    assert loss(params) < 1e-6
    assert state[0].count == 100


@with_private_modules
def test_a_registry_of_a_module_s_functions() -> None:
    """Optimizers by name: what is in the module's `__dict__`, called with a rate where the signature has one."""
    alias = importlib.import_module("optax._src.alias")
    registry = {
        name: thing
        for name, thing in alias.__dict__.items()
        if inspect.isfunction(thing) and "learning_rate" in inspect.signature(thing).parameters
    }
    assert {"adam", "adamw", "sgd", "lamb", "lion", "rmsprop"} <= {*registry}
    for name in ("adam", "adamw", "sgd", "lamb", "lion", "rmsprop"):
        tx = registry[name](learning_rate=0.1)
        assert isinstance(tx, optax.GradientTransformation)
        updates, _ = stepped(tx)
        assert jnp.all(jnp.isfinite(updates["slope"]))


def test_signatures_tell_which_hyperparameters_there_are() -> None:
    parameters = inspect.signature(optax.adamw).parameters
    wanted = {"learning_rate": 0.1, "b1": 0.8, "gamma": 1.0}
    known = {name: value for name, value in wanted.items() if name in parameters}
    assert known == {"learning_rate": 0.1, "b1": 0.8}
    assert parameters["b1"].default == 0.9
    assert [*inspect.signature(optax.inject_hyperparams(optax.adamw)).parameters] == [*parameters]


def test_states_are_built_by_keyword_and_by_position() -> None:
    count, mu, nu = jnp.zeros([], jnp.int32), zeros(), zeros()
    tx = optax.scale_by_adam()
    assert equal(tx.init(zeros()), optax.ScaleByAdamState(count=count, mu=mu, nu=nu))
    assert equal(optax.scale_by_schedule(lambda _: 1.0).init(zeros()), optax.ScaleByScheduleState(count=count))
    assert equal(optax.trace(0.9).init(zeros()), optax.TraceState(trace=zeros()))
    multi = optax.MultiSteps(optax.adam(0.1), 2).init(zeros())
    assert equal(optax.MultiStepsState(*multi), multi)

    warm = tx.init(zeros())._replace(count=jnp.full([], 9, jnp.int32))
    assert stepped(tx, warm)[1].count == 10


@pytest.mark.parametrize(
    ("tx", "kind"),
    [
        (optax.scale_by_adam(), "ScaleByAdamState"),
        (optax.scale_by_amsgrad(), "ScaleByAmsgradState"),
        (optax.scale_by_factored_rms(), "FactoredState"),
        (optax.scale_by_rms(), "ScaleByRmsState"),
        (optax.scale_by_rss(), "ScaleByRssState"),
        (optax.scale_by_schedule(lambda _: 1.0), "ScaleByScheduleState"),
        (optax.scale(1.0), "EmptyState"),
        (optax.clip(1.0), "EmptyState"),
        (optax.trace(0.9), "TraceState"),
        (optax.masked(optax.scale(1.0), {"slope": True, "offset": False}), "MaskedState"),
        (optax.MultiSteps(optax.adam(0.1), 2), "MultiStepsState"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_states_are_told_by_their_type(tx: optax.GradientTransformation, kind: str) -> None:
    assert isinstance(tx.init(zeros()), getattr(optax, kind))
    assert isinstance(stepped(tx)[1], getattr(optax, kind))


def test_the_count_of_a_schedule_is_found_in_a_tree_of_states() -> None:
    """The usual way to read a step from any optimizer: all leaves that are states of one type."""
    tx = optax.chain(optax.clip(1.0), optax.adamw(optax.linear_schedule(0.1, 0.0, 10)))
    _, state = stepped(tx)
    _, state = stepped(tx, state)

    def is_one(x: Any) -> bool:
        return isinstance(x, optax.ScaleByScheduleState)

    assert [int(x.count) for x in jax.tree.leaves(state, is_leaf=is_one) if is_one(x)] == [2]


def test_values_are_found_and_set_by_name() -> None:
    tree_utils = optax.tree_utils
    tx = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9)
    state = tx.init(zeros())
    assert tree_utils.tree_get(state, "learning_rate") == jnp.float32(0.1)
    assert tree_utils.tree_get(state, "nothing", "a default") == "a default"
    changed = tree_utils.tree_set(state, learning_rate=jnp.float32(0.25))
    assert jnp.allclose(stepped(tx, changed)[0]["slope"], 2.5 * stepped(tx)[0]["slope"])

    found = tree_utils.tree_get_all_with_path(optax.adam(0.1).init(zeros()), "mu")
    assert [path[-1] for path, _ in found] == [tree_utils.NamedTupleKey("ScaleByAdamState", "mu")]
    assert equal(found[0][1], zeros())

    lbfgs = optax.lbfgs()
    value, grads = jax.value_and_grad(loss)(zeros())
    updates, state = lbfgs.update(grads, lbfgs.init(zeros()), zeros(), value=value, grad=grads, value_fn=loss)
    after = optax.apply_updates(zeros(), updates)
    assert tree_utils.tree_get(state, "count") == 1
    assert tree_utils.tree_get(state, "value") == pytest.approx(float(loss(after)), rel=1e-5)
    cached = tree_utils.tree_get(state, "grad")
    assert all(jnp.allclose(cached[name], g, atol=1e-4) for name, g in jax.grad(loss)(after).items())


@pytest.mark.parametrize("first", ["transformation", "init"])
def test_shardings_of_a_state_are_mapped_from_those_of_the_parameters(first: str) -> None:
    mesh = Mesh(np.array(jax.devices()[:1]), ("x",))
    spread, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((("x",),), ()))
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(optax.linear_schedule(0.1, 0.0, 10)))
    state = jax.eval_shape(tx.init, zeros())
    specs = optax.tree_map_params(
        tx if first == "transformation" else tx.init,
        lambda _, spec: spec,
        state,
        {"slope": spread, "offset": whole},
        transform_non_params=lambda _: whole,
    )
    assert specs[1][0].mu == specs[1][0].nu == {"slope": spread, "offset": whole}
    assert specs[1][0].count == specs[1][2].count == whole
    assert jax.jit(tx.init, out_shardings=specs)(zeros())[1][0].mu["slope"].sharding == spread

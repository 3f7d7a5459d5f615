"""state_shardings: where the state lies, from where the parameters lie."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import optax
from optax.core import GradientTransformation, state_shardings


def mesh(**axes: int) -> Any:
    kinds = (jax.sharding.AxisType.Auto,) * len(axes)
    return jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=kinds)


SPECS = {
    "bias": PartitionSpec(),
    "embedding": PartitionSpec("model"),
    "scale": PartitionSpec(),
    "square": PartitionSpec(None, "model"),
}
SHAPES = {"bias": (10,), "embedding": (32, 8), "scale": (), "square": (16, 16)}


@pytest.fixture(scope="module")
def params() -> Any:
    over = mesh(data=4, model=2)
    return {k: jax.device_put(jnp.ones(SHAPES[k]), NamedSharding(over, SPECS[k])) for k in SHAPES}


class Slots(NamedTuple):
    """A row sum and a column sum of each matrix, ten copies of everything, and things that belong to no parameter."""

    step: Any
    rows: Any
    columns: Any
    memory: Any
    codes: Any


def slots() -> GradientTransformation:
    def init(params: Any) -> Slots:
        zeros = jnp.zeros
        return Slots(
            zeros([], jnp.int32),
            jax.tree.map(lambda p: zeros(p.shape[:-1]) if p.ndim > 1 else zeros(1), params),
            jax.tree.map(lambda p: zeros(p.shape[1:]) if p.ndim > 1 else zeros(1), params),
            jax.tree.map(lambda p: zeros((10, *p.shape)), params),
            jax.tree.map(lambda p: {"codes": zeros(p.size), "whole": zeros(p.shape)}, params),
        )

    return GradientTransformation(init, lambda updates, state, params=None: (updates, state))


def specs(tx: Any, params: Any, **options: Any) -> Any:
    return jax.tree.map(lambda s: s.spec, state_shardings(tx, params, **options))


def test_slots_lie_like_their_parameters_and_counters_everywhere(params: Any) -> None:
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(lambda t: 0.1))
    empty, (adam, decay, rate) = specs(tx, params)
    assert (empty, decay) == (optax.EmptyState(), optax.EmptyState())
    assert adam == optax.ScaleByAdamState(PartitionSpec(), SPECS, SPECS)
    assert rate.count == PartitionSpec()


def test_axes_are_followed_where_lengths_prove_nothing(params: Any) -> None:
    step, rows, columns, memory, codes = specs(slots(), params)
    nowhere = PartitionSpec()
    assert step == nowhere
    # Both sums of the square matrix have length 16; only that over its rows keeps the axis that is split.
    assert rows == {"bias": nowhere, "embedding": PartitionSpec("model"), "scale": nowhere, "square": nowhere}
    assert columns == {"bias": nowhere, "embedding": nowhere, "scale": nowhere, "square": PartitionSpec("model")}
    assert memory["square"] == PartitionSpec(None, None, "model")
    assert memory["embedding"] == PartitionSpec(None, "model")
    assert codes["square"] == {"codes": nowhere, "whole": SPECS["square"]}


def test_a_memory_as_long_as_the_parameter_is_split_along_the_parameter() -> None:
    over = NamedSharding(mesh(data=2), PartitionSpec("data"))
    got = specs(slots(), jax.device_put(jnp.ones(10), over))
    assert got.memory == PartitionSpec(None, "data")


def test_what_init_makes_of_other_lengths_is_not_taken_for_what_it_makes_of_these() -> None:
    """A rule that factors squares only, and one that takes nothing else."""

    def init(params: Any) -> Any:
        return jax.tree.map(
            lambda p: jnp.zeros(p.shape[:1]) if p.shape[0] == p.shape[1] else jnp.zeros(p.shape), params
        )

    def strict(params: Any) -> Any:
        if params.shape[0] != params.shape[1]:
            raise ValueError("squares only")
        return jnp.zeros(params.shape)

    square = jax.device_put(jnp.ones((8, 8)), NamedSharding(mesh(data=2), PartitionSpec(None, "data")))
    assert specs(GradientTransformation(init, lambda *_: None), square) == PartitionSpec()

    placeholder_aware = GradientTransformation(
        lambda p: p if isinstance(p, optax.tree.ParamsPlaceholder) else strict(p), lambda *_: None
    )
    assert specs(placeholder_aware, square) == PartitionSpec(None, "data")


def test_jitted_init_gives_sharded_slots(params: Any) -> None:
    """Defect G1: left to itself the compiler replicates zeros."""
    tx = optax.adam(0.1)
    state = jax.jit(tx.init, out_shardings=state_shardings(tx, params))(params)
    for name, p in params.items():
        assert state[0].mu[name].sharding.is_equivalent_to(p.sharding, p.ndim)
    # The step keeps them there.
    _, state = jax.jit(tx.update)(params, state, params)
    for name, p in params.items():
        assert state[0].nu[name].sharding.is_equivalent_to(p.sharding, p.ndim)


def test_zero_splits_what_can_be_split(params: Any) -> None:
    tx = optax.adam(0.1)
    mu = specs(tx, params, zero=("data",))[0].mu
    assert mu == {
        "bias": PartitionSpec(),  # 10 is no multiple of 4
        "embedding": PartitionSpec(("model", "data")),  # the longest axis: 32 over 2, then over 4
        "scale": PartitionSpec(),
        "square": PartitionSpec("data", "model"),
    }
    assert specs(tx, params, zero=("model",))[0].mu["square"] == PartitionSpec(None, "model")  # is split over it
    both = specs(tx, params, zero=("data", "model"))[0].mu
    assert both["square"] == PartitionSpec("data", "model")


def test_zero_leaves_the_steps_what_they_are(params: Any) -> None:
    tx = optax.adamw(0.1)
    gradients = jax.tree.map(lambda p: 0.5 * p, params)
    plain = tx.init(params)
    split = jax.jit(tx.init, out_shardings=state_shardings(tx, params, zero=("data",)))(params)
    step = jax.jit(tx.update)
    for _ in range(3):
        # One after the other: two programs at a time could wait for each other's devices.
        u, plain = jax.block_until_ready(step(gradients, plain, params))
        v, split = jax.block_until_ready(step(gradients, split, params))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), u, v)
    assert split[0].mu["square"].addressable_shards[0].data.shape == (4, 8)


def test_shardings_are_all_that_is_needed(params: Any) -> None:
    abstract = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype, sharding=p.sharding), params)
    assert state_shardings(optax.adam(0.1), abstract) == state_shardings(optax.adam(0.1), params)


def test_parameters_on_one_device() -> None:
    p = {"w": jnp.ones(3)}
    for sharding in jax.tree.leaves(state_shardings(optax.adam(0.1), p)):
        assert sharding == p["w"].sharding


def test_errors(params: Any) -> None:
    tx = optax.adam(0.1)
    with pytest.raises(ValueError, match=r"zero names \['dta'\]; the axes of the mesh are \['data', 'model'\]"):
        state_shardings(tx, params, zero=("dta",))
    with pytest.raises(ValueError, match="no shardings"):
        state_shardings(tx, {"w": np.ones(3)})
    with pytest.raises(ValueError, match="needs params on a mesh"):
        state_shardings(tx, {"w": jnp.ones(3)}, zero=("data",))
    elsewhere = jax.device_put(jnp.ones(2), NamedSharding(mesh(other=2), PartitionSpec("other")))
    with pytest.raises(ValueError, match="2 different meshes"):
        state_shardings(tx, {**params, "more": elsewhere})

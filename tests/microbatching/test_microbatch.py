"""A function of a batch gives the same, computed on a microbatch at a time."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from optax.microbatching import AccumulationType, Accumulator, microbatch, reshape_batch_axis
from x64 import enable_x64

MEAN, SUM, RUNNING_MEAN, CONCAT = AccumulationType
X = np.linspace(-1.0, 2.0, 12, dtype=np.float32)


def loss(w, x):
    return jnp.sum(jnp.sin(w * x))


def total(x, y=None, scale=1.0):
    return jnp.sum(x) * scale if y is None else jnp.sum(x * y) * scale


def test_the_types_of_accumulation():
    assert {kind.name: kind.value for kind in AccumulationType} == {
        "MEAN": 1,
        "SUM": 2,
        "RUNNING_MEAN": 3,
        "CONCAT": 4,
    }


@pytest.mark.parametrize("size", [1, 3, 12, None])
def test_what_every_type_gives(size):
    """Microbatch k has the examples k, k + K, ...; results of CONCAT are in the order of the batch all the same."""
    number = 1 if size is None else 12 // size
    parts = np.stack([X[k::number] for k in range(number)])
    for kind, expected in [(SUM, parts.sum(0)), (MEAN, parts.mean(0)), (RUNNING_MEAN, parts.mean(0)), (CONCAT, X)]:
        np.testing.assert_allclose(microbatch(lambda x: x, 0, size, kind)(X), expected, 1e-6, 1e-6)
    np.testing.assert_allclose(microbatch(jnp.sum, 0, size, CONCAT)(X), parts.sum(1), 1e-5, 1e-6)


def test_the_accumulator_may_be_a_tree():
    def fun(x):
        return {"a": jnp.sum(x), "b": (x, None), "c": {"d": jnp.mean(x), "e": jnp.max(x)}}

    result = microbatch(fun, 0, 3, {"a": SUM, "b": CONCAT, "c": MEAN})(X)
    largest = np.mean([X[k::4].max() for k in range(4)])
    expected = {"a": X.sum(), "b": (X, None), "c": {"d": X.mean(), "e": largest}}
    chex.assert_trees_all_close(result, expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"accumulator .* does not fit the result"):
        microbatch(fun, 0, 3, {"a": SUM})(X)


def largest_accumulator(seen):
    def init(form):
        seen.append(jax.tree.map(lambda f: (f.shape, f.dtype), form))
        return jax.tree.map(lambda f: jnp.full(f.shape, -jnp.inf, f.dtype), form), jnp.int32(0)

    return Accumulator(
        init=init,
        update=lambda carried, x, index: (jax.tree.map(jnp.maximum, carried[0], x), carried[1] + index),
        finalize=lambda carried: (*carried, "unit"),
        aggregate=lambda x: x,
    )


@pytest.mark.parametrize("size", [3, None])
def test_an_accumulator_by_hand(size):
    """It is given a whole branch of the result; without a size, it sees one microbatch."""
    seen = []
    fun = microbatch(lambda x: {"m": jnp.max(x), "n": (jnp.max(-x), None)}, 0, size, largest_accumulator(seen))
    largest, indices, unit = fun(X)
    chex.assert_trees_all_close(largest, {"m": X.max(), "n": ((-X).max(), None)})
    assert int(indices) == (6 if size else 0)
    assert unit == "unit"
    assert seen == [{"m": ((), jnp.float32), "n": (((), jnp.float32), None)}]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_halves_are_summed_in_float32(dtype):
    """4096 ones, one by one, are 4096, where bfloat16 would have stopped at 256 and float16 at 2048."""
    ones = jnp.ones(4096, dtype)
    for kind, expected in [(SUM, 4096), (MEAN, 1), (RUNNING_MEAN, 1)]:
        result = microbatch(lambda x: x, 0, 1, kind)(ones)
        assert result.dtype == dtype
        assert result == expected


def test_integers_and_booleans():
    numbers = np.arange(6, dtype=np.int8)
    for kind, expected, dtype in [(SUM, [3, 12], jnp.int8), (CONCAT, numbers, jnp.int8), (MEAN, [1, 4], jnp.float32)]:
        result = microbatch(lambda x: x, 0, 2, kind)(numbers)
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)
    positive = microbatch(lambda x: x > 1, 0, 2)(numbers)
    assert positive.dtype == jnp.int32
    np.testing.assert_array_equal(positive, [1, 3])
    complex_mean = microbatch(lambda x: x, 0, 1, RUNNING_MEAN)(np.array([1j, 3], np.complex64))
    np.testing.assert_allclose(complex_mean, [1.5 + 0.5j])


def test_float64():
    with enable_x64():
        x = np.linspace(0.0, 1.0, 300)
        result = microbatch(jax.grad(loss), 1, 10)(0.3, x)
        assert result.dtype == jnp.float64
        np.testing.assert_allclose(result, np.sum(x * np.cos(0.3 * x)), 1e-14)


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({"argnums": (0, 1)}, lambda f: f(X, X)),
        ({"argnums": (0, 1)}, lambda f: f(X, y=X)),
        ({"argnums": (0, 1)}, lambda f: f(y=X, x=X)),
        ({"argnums": (-2, -1)}, lambda f: f(X, X)),
        ({"argnums": 0, "argnames": "y"}, lambda f: f(X, y=X)),
        ({"argnums": 0, "argnames": ("y",)}, lambda f: f(X, X)),
        ({"argnums": (), "argnames": ["x", "y"]}, lambda f: f(y=X, x=X)),
        ({"argnums": (0,), "argnames": ("x", "y")}, lambda f: f(X, y=X, scale=1.0)),
    ],
)
def test_arguments_by_position_and_name(options, call):
    """Defects of 2026 (e47bfdca, be291068): keyword arguments, and arguments by position that are passed by name."""
    np.testing.assert_allclose(call(microbatch(total, microbatch_size=3, **options)), np.sum(X * X), 1e-6)


def test_what_has_no_batch_axis_is_passed_on():
    fun = microbatch(lambda x, mode, *, scale=1.0, more=None: total(x["a"], scale=scale), 0, 3)
    assert fun({"a": X, "none": None}, "a string", scale=2.0) == pytest.approx(2 * X.sum(), abs=1e-5)
    optional = microbatch(total, (0, 1), 3)
    assert optional(X) == pytest.approx(X.sum(), abs=1e-5)  # y is left out


def test_axes():
    a, b = np.arange(24.0, dtype=np.float32).reshape(2, 12), np.arange(36.0, dtype=np.float32).reshape(12, 3)

    def sums(a, b):
        return jnp.sum(a, axis=1), jnp.sum(b, axis=0)

    chex.assert_trees_all_close(microbatch(sums, (0, 1), 3, in_axes=(1, 0))(a, b), (a.sum(1), b.sum(0)))
    chex.assert_trees_all_close(microbatch(sums, 0, 3, argnames="b", in_axes=[-1, -2])(a, b=b), (a.sum(1), b.sum(0)))
    columns = sum(a.sum(0)[k::4] for k in range(4))
    chex.assert_trees_all_close(microbatch(sums, (0, 1), 3, in_axes=1)(a, a), (a.sum(1), columns))

    def of_tree(t):
        return jnp.sum(t["a"], axis=1) * t["s"], jnp.sum(t["b"], axis=0)

    result = microbatch(of_tree, 0, 3, in_axes=({"a": 1, "b": 0, "s": None},))({"a": a, "b": b, "s": 2.0})
    chex.assert_trees_all_close(result, (2 * a.sum(1), b.sum(0)))


def test_random_keys_are_split_and_returned():
    keys = jax.random.split(jax.random.key(0), 6)
    result = microbatch(jax.vmap(jax.random.uniform), 0, 2, CONCAT)(keys)
    np.testing.assert_array_equal(result, jax.vmap(jax.random.uniform)(keys))
    assert (microbatch(lambda k: k, 0, 2, CONCAT)(keys) == keys).all()


# How many microbatches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("traced", [False, True])
def test_only_real_microbatches_count(traced):
    """Defect of 2026 (26ba03c0): the number of real microbatches may be dynamic, and one program serves all.

    What the others hold, NaN here, is never seen, neither in results nor in gradients.
    """

    def fun(count, w, x):
        results = [microbatch(lambda x: w * x, 0, 3, kind, num_real_microbatches=count)(x) for kind in AccumulationType]
        return jnp.sum(results[1]), results

    compiled = jax.jit(jax.value_and_grad(fun, 1, has_aux=True), static_argnums=() if traced else 0)
    for count in range(5):
        x = np.where(np.arange(12) % 4 < count, X, np.nan)
        (_, (mean, sums, running, concat)), gradient = compiled(count, np.float32(2.0), x)
        real = np.stack([2 * X[k::4] for k in range(count)] or [np.zeros(3)])
        for result, expected in [(mean, real.mean(0)), (sums, real.sum(0)), (running, real.mean(0))]:
            np.testing.assert_allclose(result, expected, 1e-5, 1e-6)
        np.testing.assert_allclose(concat, np.where(np.isnan(x), 0, 2 * X), 1e-6)
        assert gradient == pytest.approx(real.sum() / 2, abs=1e-5)
    if traced:
        assert compiled._cache_size() == 1
        out_of_range = compiled(9, np.float32(2.0), X)[0][0]
        assert out_of_range == pytest.approx(2 * X.sum(), abs=1e-5)


def test_counts_may_be_mapped_over():
    """Both sides of the condition are evaluated then, but not on what is not real."""

    def fun(count, w):
        x = jnp.where(jnp.arange(12) % 4 < 2, X, jnp.nan)
        return microbatch(loss, 1, 3, num_real_microbatches=count)(w, x)

    values, gradients = jax.vmap(jax.value_and_grad(fun, 1), (0, None))(jnp.arange(1, 3), 0.5)
    for count, value, gradient in zip((1, 2), values, gradients, strict=True):
        real = np.concatenate([X[k::4] for k in range(count)])
        assert value == pytest.approx(np.sin(real / 2).sum(), abs=1e-5)
        assert gradient == pytest.approx(np.sum(real * np.cos(real / 2)), abs=1e-5)


def test_what_is_not_real_is_not_evaluated():
    evaluated = []

    def fun(x):
        jax.debug.callback(lambda x: evaluated.append(float(x)), x[0])
        return jnp.sum(x)

    jax.jit(lambda count: microbatch(fun, 0, 3, num_real_microbatches=count)(np.arange(12.0, dtype=np.float32)))(2)
    jax.effects_barrier()
    assert evaluated == [0.0, 1.0]


@pytest.mark.parametrize("size", [3, None])
def test_an_empty_batch(size):
    """Defect of 2026 (457018cf): of no examples, sums and means are zero and there is nothing in a row."""
    x = np.zeros((0, 2), np.float32)
    for kind in (SUM, MEAN, RUNNING_MEAN):
        result = microbatch(lambda x: jnp.sum(x, axis=0), 0, size, kind)(x)
        np.testing.assert_array_equal(result, np.zeros(2))
    assert microbatch(lambda x: x[:, :1], 0, size, CONCAT)(x).shape == (0, 1)
    assert microbatch(loss, 1, size, num_real_microbatches=0)(1.0, x) == 0
    key = jax.random.split(jax.random.key(0), 3)[:0]
    assert microbatch(lambda k: jnp.sum(jax.vmap(jax.random.uniform)(k)), 0, size)(key) == 0


# Transformations ------------------------------------------------------------------------------------------------------


def test_under_the_transformations_of_jax():
    fun = microbatch(loss, 1, 3)
    w = np.float32(0.7)

    def derivatives(f):
        return jax.jit(lambda w, x: [jax.grad(f, (0, 1))(w, x), jax.jacfwd(f)(w, x), jax.grad(jax.grad(f))(w, x)])

    chex.assert_trees_all_close(derivatives(fun)(w, X), derivatives(loss)(w, X), rtol=1e-5, atol=1e-6)
    assert jax.grad(fun)(w, X) == pytest.approx(jax.grad(loss)(w, X).item(), rel=1e-5)
    many = np.array([0.1, 0.2], np.float32)
    np.testing.assert_allclose(jax.vmap(fun, (0, None))(many, X), jax.vmap(loss, (0, None))(many, X), 1e-5)
    form = jax.eval_shape(fun, w, jax.ShapeDtypeStruct((12,), jnp.float32))
    assert (form.shape, form.dtype) == ((), jnp.float32)


def mlp(params, x):
    for w in params:
        x = jnp.tanh(x @ w)
    return jnp.sum(jnp.square(x))


def temp_bytes(fun, *args):
    analysis = jax.jit(fun).lower(*args).compile().memory_analysis()
    return analysis.temp_size_in_bytes


@pytest.mark.parametrize("order", ["accumulated gradients", "gradient of an accumulated loss"])
def test_memory_follows_the_microbatch(order):
    """The activations of the batch are 3 x 1024 x 64 floats, 786 kB; each halving of the microbatch halves them."""
    params = [jax.ShapeDtypeStruct((64, 64), jnp.float32)] * 3
    x = jax.ShapeDtypeStruct((1024, 64), jnp.float32)

    def program(size):
        if order == "accumulated gradients":
            return microbatch(jax.grad(mlp), 1, size)
        return jax.grad(microbatch(mlp, 1, size))

    sizes = [None, 512, 256, 128]
    full, *temps = [temp_bytes(program(size), params, x) for size in sizes]
    weights = 3 * 64 * 64 * 4
    for size, temp in zip(sizes[1:], temps, strict=True):
        assert temp <= full * size / 1024 + 4 * weights, (size, temp, full)
    assert temps[0] > temps[1] > temps[2]


def test_the_gradient_of_a_network_is_that_of_the_whole_batch():
    keys = jax.random.split(jax.random.key(0), 4)
    params = [jax.random.normal(key, (8, 8)) / 3 for key in keys[:3]]
    x = jax.random.normal(keys[3], (48, 8))
    expected = jax.jit(jax.grad(mlp))(params, x)
    for size in (4, 24):
        chex.assert_trees_all_close(
            jax.jit(microbatch(jax.grad(mlp), 1, size))(params, x), expected, rtol=1e-5, atol=1e-5
        )


def test_side_effects_are_kept():
    seen = []

    def fun(w, x):
        jax.debug.callback(lambda x: seen.append(x.tolist()), x, ordered=True)
        return w * jnp.sum(x)

    assert microbatch(fun, 1, 2)(2.0, np.arange(4.0, dtype=np.float32)) == 12
    jax.effects_barrier()
    assert seen == [[0.0, 2.0], [1.0, 3.0]]


# Devices --------------------------------------------------------------------------------------------------------------

KEEPS_TYPES = hasattr(jax, "set_mesh")  # JAX 0.6 does not tell the sharding of what a function would return


def mesh_of(kind):
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(kind, kind), devices=jax.devices("cpu")[:8])


def entered(mesh):
    return (jax.set_mesh if hasattr(jax, "set_mesh") else jax.sharding.use_mesh)(mesh)


def batch_on(mesh):
    x = np.linspace(-1.0, 2.0, 16 * 6, dtype=np.float32).reshape(16, 6)
    return jax.device_put(x, NamedSharding(mesh, P("data", "model"))), x


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_reshaping_keeps_the_sharding(kind):
    """Defect of 2025-11-04: each device has a part of every microbatch, that which it had before."""
    mesh = mesh_of(kind)
    with entered(mesh):
        sharded, x = batch_on(mesh)
        compiled = jax.jit(lambda x: reshape_batch_axis(x, 8)).lower(sharded).compile()
        result = compiled(sharded)
    assert not collectives(compiled)
    assert result.sharding.is_equivalent_to(NamedSharding(mesh, P(None, "data", "model")), 3)
    np.testing.assert_array_equal(result, np.stack([x[0::2], x[1::2]]))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("traced", [False, True])
def test_microbatches_of_a_sharded_batch(kind, traced):
    """Nothing is gathered, and what is concatenated is sharded like the batch."""
    if kind == AxisType.Explicit and not KEEPS_TYPES:
        pytest.skip("JAX 0.6 does not tell the sharding of what a function would return")
    mesh = mesh_of(kind)

    def fun(w, x):
        return jax.grad(loss)(w, x), w * x

    def program(count, w, x):
        return microbatch(fun, 1, 8, (SUM, CONCAT), num_real_microbatches=count if traced else None)(w, x)

    with entered(mesh):
        sharded, x = batch_on(mesh)
        compiled = jax.jit(program).lower(2, np.float32(0.5), sharded).compile()
        gradient, scaled = compiled(2, np.float32(0.5), sharded)
    assert collectives(compiled) <= {"all-reduce"}
    assert scaled.sharding.is_equivalent_to(sharded.sharding, 2)
    np.testing.assert_allclose(gradient, np.sum(x * np.cos(x / 2)), 1e-5)
    np.testing.assert_allclose(scaled, x / 2, 1e-6)


def collectives(compiled):
    names = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
    return {name for name in names if name in compiled.as_text()}


def test_a_microbatch_that_devices_cannot_share():
    mesh = mesh_of(AxisType.Explicit)
    with entered(mesh):
        sharded, _ = batch_on(mesh)
        with pytest.raises(ValueError, match="microbatch_size must be a multiple of 4, the number of devices"):
            jax.jit(lambda x: reshape_batch_axis(x, 2))(sharded)


@pytest.mark.skipif(not KEEPS_TYPES, reason="JAX 0.6 does not tell over which devices a result varies")
def test_inside_shard_map():
    """The loop carries what differs between devices, and what does not stays known to be the same."""
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices("cpu")[:4])

    def step(w, x):
        varying, same = microbatch(lambda x: (jnp.sum(x), jnp.cos(w)), 0, 2, num_real_microbatches=None)(x)
        counted = microbatch(lambda x: jnp.sum(x), 0, 2, num_real_microbatches=jnp.int32(1) + jnp.int32(w > 9))(x)
        return jax.lax.psum(varying, "data"), same, counted[None]

    mapped = jax.shard_map(step, mesh=mesh, in_specs=(P(), P("data")), out_specs=(P(), P(), P("data")))
    x = np.arange(16.0, dtype=np.float32)
    whole, same, counted = jax.jit(mapped)(np.float32(0.0), x)
    assert (whole, same) == (120, 2)
    np.testing.assert_array_equal(counted, x.reshape(4, 4)[:, ::2].sum(1))


# Mistakes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: microbatch(total, 0, 0), ValueError, "microbatch_size must be at least 1, not 0"),
        (lambda: microbatch(total, 0, 2.0), TypeError, "microbatch_size must be an integer, not 2.0"),
        (lambda: microbatch(total, 0.5, 2), TypeError, "argnums must be an integer or several, not 0.5"),
        (lambda: microbatch(total, 0, 2, "sum"), TypeError, "accumulator must be an AccumulationType .*'sum'"),
        (lambda: microbatch(total, 0, 2, {"a": 1}), TypeError, r"accumulator\['a'\] must be"),
        (lambda: microbatch(total, 0, 2, num_real_microbatches=-1), ValueError, "num_real_microbatches .* not -1"),
        (lambda: microbatch(total, 0, 2, num_real_microbatches=1.5), TypeError, "num_real_microbatches .* not 1.5"),
        (lambda: microbatch(total, (0, 1), 2, in_axes=(0,)), ValueError, "in_axes must be one axis or .*, 2, not 1"),
        (lambda: microbatch(total, 0, 5)(X), ValueError, "x has 12 examples, not a multiple of 5"),
        (lambda: microbatch(total, 0, 24)(X), ValueError, "x has 12 examples, not a multiple of 24"),
        (
            lambda: microbatch(total, (0, 1), 2)({"a": X}, y=[X[:10]]),
            ValueError,
            r"batch axes differ: x\['a'\] has 12, y\[0\] has 10",
        ),
        (lambda: microbatch(total, 0, 2)({"a": X, "s": 1.0}), ValueError, r"x\['s'\] has no axis 0 .* shape is \(\)"),
        (lambda: microbatch(total, 0, 2, in_axes=1)(X), ValueError, "x has no axis 1 to split"),
        (lambda: microbatch(total, 0, 2, in_axes=({"a": 0},))(X), ValueError, "in_axes .* does not fit x"),
        (lambda: microbatch(total, 5, 2)(X), ValueError, "argnums has 5, but total was called with 1 positional"),
        (lambda: microbatch(total, -2, 2)(X), ValueError, "argnums has -2, but total was called with 1 positional"),
        (lambda: microbatch(total, 0, 2, argnames="z")(X), ValueError, "argnames has 'z', but total was called"),
        (lambda: microbatch(total, (), 2)(X), ValueError, "no array to split among the batch arguments, none"),
        (lambda: microbatch(total, 0, 2)(None), ValueError, "no array to split among the batch arguments, x"),
        (
            lambda: microbatch(total, 0, 2, num_real_microbatches=7)(X),
            ValueError,
            "num_real_microbatches must be at most 6, the number of microbatches, not 7",
        ),
        (
            lambda: jax.jit(lambda n: microbatch(total, 0, 2, num_real_microbatches=n)(X))(1.5),
            TypeError,
            "num_real_microbatches must be an integer, not an array of shape .* float32",
        ),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()

"""Value and gradient from the state of a line search, and only where they belong."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.linesearch._fingerprint import fingerprint

TX = optax.scale_by_zoom_linesearch(10)
WRONG = 123.0  # a value that only a state can have


def f(p: Any) -> jax.Array:
    parts = (
        jnp.sum(jnp.abs(x.astype(jnp.complex64 if jnp.iscomplexobj(x) else jnp.float32)) ** 2)
        for x in jax.tree.leaves(p)
    )
    return sum(parts, jnp.zeros([]))


def reached(tx: Any, p: Any, f: Any = f) -> tuple[Any, Any]:
    """Parameters after one search, and its state."""
    value, g = jax.value_and_grad(f)(p)
    g = optax.tree.conj(g)
    d = jax.tree.map(lambda g: g * jnp.asarray(-0.375, g.dtype), g)
    u, state = tx.update(d, tx.init(p), p, value=value, grad=g, value_fn=f)
    return optax.apply_updates(p, u), state


def marked(state: Any) -> Any:
    return state._replace(value=jnp.full_like(state.value, WRONG))


PARAMS: dict[str, Any] = {
    "float32": jnp.asarray([1.0, -2.0, 0.5]),
    "bfloat16": jnp.asarray([1.0, -2.0, 0.5], jnp.bfloat16),
    "complex64": jnp.asarray([1 + 2j, 3 - 1j], jnp.complex64),
    "dict": {"a": jnp.asarray([[1.0, 2.0]]), "b": jnp.asarray([[3.0, -4.0]], jnp.float16), "c": jnp.asarray(2.0)},
}


def flips(p: Any) -> list[Any]:
    """The parameters with another lowest bit, and with another sign, in one place at a time."""
    leaves, structure = jax.tree.flatten(p)
    found = []
    for i, leaf in enumerate(leaves):
        words = np.atleast_1d(np.asarray(leaf)).view(np.uint16 if leaf.dtype.itemsize == 2 else np.uint32)
        for place in np.ndindex(words.shape):
            for bit in (0, 8 * words.itemsize - 1):
                other = words.copy()
                other[place] ^= words.dtype.type(1 << bit)
                new = jnp.asarray(other.view(leaf.dtype).reshape(leaf.shape))
                found.append(structure.unflatten([*leaves[:i], new, *leaves[i + 1 :]]))
    return found


@pytest.mark.parametrize("name", PARAMS)
def test_every_bit_of_the_parameters_counts(name: str) -> None:
    """Defect D14: the value in the state came back whatever the parameters were."""
    p, state = reached(TX, PARAMS[name])
    state = marked(state)
    value_and_grad = jax.jit(lambda p: optax.value_and_grad_from_state(f)(p, state=state))
    value, grad = value_and_grad(p)
    assert value == WRONG
    jax.tree.map(np.testing.assert_array_equal, grad, state.grad)
    others = flips(p)
    assert len(others) >= 6
    for other in others:
        (value, grad), (true, true_grad) = value_and_grad(other), jax.value_and_grad(f)(other)
        np.testing.assert_allclose(value, true, rtol=1e-6)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(*(np.asarray(x, complex) for x in (a, b))), grad, true_grad
        )


def test_places_count() -> None:
    """The same numbers in another order, or in another leaf, are other parameters."""
    same = [
        {"a": jnp.asarray([1.0, 2.0]), "b": jnp.asarray([3.0, 4.0])},
        {"a": jnp.asarray([2.0, 1.0]), "b": jnp.asarray([3.0, 4.0])},
        {"a": jnp.asarray([3.0, 4.0]), "b": jnp.asarray([1.0, 2.0])},
        {"a": jnp.asarray([1.0, 4.0]), "b": jnp.asarray([3.0, 2.0])},
        {"a": jnp.asarray([0.0, 0.0]), "b": jnp.asarray([0.0, 0.0])},
        {"a": jnp.asarray([-0.0, 0.0]), "b": jnp.asarray([0.0, 0.0])},
    ]
    assert len({int(fingerprint(p)) for p in same}) == len(same)
    square = jnp.arange(4.0).reshape(2, 2)
    assert fingerprint(square) != fingerprint(square.T)
    assert fingerprint(jnp.asarray([1 + 2j])) != fingerprint(jnp.asarray([2 + 1j]))


def test_hashes_of_many_parameters_differ() -> None:
    """2000 neighbours of one point: the chance that any two have the same hash of 32 bits is 5e-4."""
    x = np.tile(np.asarray([1.0, -1.0], np.float32), (2000, 1))
    x.view(np.uint32)[:, 0] += np.arange(2000, dtype=np.uint32) // 50
    x.view(np.uint32)[:, 1] += np.arange(2000, dtype=np.uint32) % 50
    hashes = jax.jit(jax.vmap(fingerprint))(jnp.asarray(x))
    assert len(np.unique(hashes)) == 2000
    ones = np.mean([(np.asarray(hashes) >> bit) & 1 for bit in range(32)], 1)
    np.testing.assert_allclose(ones, 0.5, atol=0.06)


def test_nothing_is_computed_again() -> None:
    calls = []

    def counted(p: Any) -> jax.Array:
        jax.debug.callback(lambda: calls.append(1))
        return f(p)

    for tx in (TX, optax.scale_by_backtracking_linesearch(10, store_grad=True), optax.lbfgs()):
        x, state = reached(tx, jnp.asarray([1.0, 2.0]))
        value_and_grad = optax.value_and_grad_from_state(counted)
        for function in (value_and_grad, jax.jit(value_and_grad)):
            for y, evaluations in ((x, 0), (x + 1, 1)):
                calls.clear()
                value, grad = function(y, state=state)
                jax.effects_barrier()
                assert len(calls) == evaluations
                np.testing.assert_allclose(value, f(y), rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(grad, 2 * y, rtol=1e-5, atol=1e-6)


def test_a_fresh_state_and_values_that_are_no_numbers() -> None:
    x = jnp.asarray([5.0, 5.0])
    value_and_grad = optax.value_and_grad_from_state(f)
    assert value_and_grad(x, state=TX.init(x))[0] == 50
    zero = jnp.zeros(2)  # its hash may be that of a fresh state
    np.testing.assert_array_equal(value_and_grad(zero, state=TX.init(zero))[1], 0)
    y, state = reached(TX, x)
    for bad in (jnp.nan, jnp.inf):
        np.testing.assert_allclose(value_and_grad(y, state=state._replace(value=jnp.asarray(bad)))[0], f(y))


def test_a_state_without_a_hash() -> None:
    """One made by hand, or written before there were hashes."""
    x, state = reached(TX, jnp.asarray([1.0, 2.0]))
    value, _ = optax.value_and_grad_from_state(f)(x, state=marked(state)._replace(fingerprint=None))
    np.testing.assert_allclose(value, f(x))


def test_auxiliary_data() -> None:
    """Defect D14: `has_aux` was missing. The data are those of the parameters, whether or not the value is known."""

    def g(p: Any, factor: Any, *, name: str) -> Any:
        return factor * f(p), {name: p + 1}

    x, state = reached(TX, jnp.asarray([1.0, 2.0]))
    value_and_grad = optax.value_and_grad_from_state(g, has_aux=True)
    for y, factor in ((x, WRONG / f(x)), (x + 1, 0.5)):
        for function in (value_and_grad, jax.jit(value_and_grad, static_argnames="name")):
            (value, aux), grad = function(y, factor, state=marked(state), name="a")
            np.testing.assert_allclose(value, factor * f(y), rtol=1e-5)
            np.testing.assert_array_equal(aux["a"], y + 1)
            assert grad.shape == y.shape


def test_values_have_the_dtypes_of_the_function() -> None:
    """As `jax.value_and_grad` returns them, from the state too."""

    def low(p: Any) -> jax.Array:
        return jnp.sum(p**2).astype(jnp.bfloat16)

    x = jnp.asarray([1.0, 2.0])
    for params in (x, x.astype(jnp.float16)):
        y, state = reached(TX, params, low)
        for at in (y, params):
            found = optax.value_and_grad_from_state(low)(at, state=state)
            expected = jax.value_and_grad(low)(at)
            assert [z.dtype for z in found] == [z.dtype for z in expected]


@pytest.mark.parametrize(
    "tx",
    [
        optax.sgd(0.1),
        optax.lbfgs(linesearch=None),
        optax.scale_by_backtracking_linesearch(3),
        optax.chain(TX, TX),
    ],
)
def test_a_state_without_what_is_needed(tx: Any) -> None:
    x = jnp.ones(2)
    with pytest.raises(
        ValueError, match="state must be that of a transformation with one line search that keeps the g"
    ):
        optax.value_and_grad_from_state(f)(x, state=tx.init(x))


def bowl(p: Any) -> jax.Array:
    """The minimum in `a` depends on `b`, which stays."""
    return jnp.sum(jnp.asarray([1.0, 30.0]) * (p["a"] - p["b"]) ** 2) + jnp.sum((p["a"] - p["b"]) ** 4)


MASK = {"a": True, "b": False}


@pytest.mark.parametrize(
    "tx",
    [
        optax.selective_transform(optax.lbfgs(), freeze_mask={"a": False, "b": True}),
        optax.partition(
            {"train": optax.lbfgs(), "freeze": optax.set_to_zero()},
            {"a": "train", "b": "freeze"},
            mask_compatible_extra_args=True,
        ),
        optax.masked(optax.lbfgs(), MASK, mask_compatible_extra_args=True, unmasked="zero"),
        optax.selective_transform(
            optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20, store_grad=True)),
            freeze_mask={"a": False, "b": True},
        ),
    ],
    ids=["selective_transform", "partition", "masked", "backtracking"],
)
def test_inside_transformations_of_a_part(tx: Any) -> None:
    """Defect D14: with `selective_transform` it crashed."""
    start = {"a": jnp.asarray([3.0, -1.0]), "b": jnp.asarray([0.5, 0.25])}

    def step(carry: Any, _: Any) -> Any:
        p, state = carry
        value, g = optax.value_and_grad_from_state(bowl)(p, state=state)
        u, state = tx.update(g, state, p, value=value, grad=g, value_fn=bowl)
        return (optax.apply_updates(p, u), state), value

    (p, _), values = jax.lax.scan(step, (start, tx.init(start)), None, 15)
    np.testing.assert_array_equal(p["b"], start["b"])
    np.testing.assert_allclose(p["a"], start["b"], atol=1e-3)
    np.testing.assert_allclose(values[0], bowl(start), rtol=1e-6)
    assert np.all(np.diff(values) <= 1e-6)


def test_extra_arguments_reach_the_function_inside_a_part() -> None:
    def shifted(p: Any, *, shift: Any) -> jax.Array:
        return jnp.sum((p["a"] - shift) ** 2) + jnp.sum(p["b"])

    tx = optax.selective_transform(TX, freeze_mask={"a": False, "b": True})
    p = {"a": jnp.zeros(1), "b": jnp.ones(1)}
    value, g = jax.value_and_grad(lambda p: shifted(p, shift=2.0))(p)
    d = jax.tree.map(lambda g: -g, g)
    u, _ = tx.update(d, tx.init(p), p, value=value, grad=g, value_fn=shifted, shift=2.0)
    np.testing.assert_allclose((*u["a"], *u["b"]), (2, 0), rtol=1e-5)

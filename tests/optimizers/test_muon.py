"""What only Muon promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax import MuonDimensionNumbers as Numbers
from reference.muon import STANDARD, Muon
from x64 import enable_x64

LAYERS, HEADS = Numbers(1, 2), Numbers(0, 2)


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def one_step(tx: Any, gradient: Any, params: Any = None) -> Any:
    params = gradient if params is None else params
    return jax.tree.map(np.asarray, tx.update(gradient, tx.init(params), params)[0])


def direction(g: Any, **settings: Any) -> Any:
    return Muon(**settings)(g)


def test_matches_the_reference_in_every_layout() -> None:
    """Small and large, square, wide and tall, stacked, split into heads, merged; three steps of each."""
    shapes = {
        "square": (6, 6),
        "tall": (40, 12),
        "also tall": (40, 12),
        "wide": (12, 40),
        "large": (130, 140),
        "wide and large": (130, 300),
        "layers": (3, 5, 9),
        "heads": (6, 3, 4),
        "merged": (6, 3, 4),
        "outer": (4, 3, 6),
        "vector": (5,),
    }
    numbers = dict.fromkeys(shapes, Numbers()) | {
        "layers": LAYERS,
        "heads": HEADS,
        "merged": Numbers(0, (1, -1)),
        "outer": Numbers((2,), 0),
        "vector": Numbers((), 0),
    }

    def matrices(name: str, g: Any) -> list[Any]:
        ways = {
            "layers": lambda: list(g),
            "heads": lambda: [g[:, i] for i in range(3)],
            "merged": lambda: [g.reshape(6, 12)],
            "outer": lambda: [g[:, i].T for i in range(3)],
            "vector": lambda: [g[None]],
        }
        return ways.get(name, lambda: [g])()

    rules = {name: [Muon() for _ in matrices(name, random(*shape))] for name, shape in shapes.items()}
    with enable_x64():
        tx = optax.scale_by_muon(weight_dimension_numbers=numbers)
        state = tx.init({name: jnp.zeros(shape, "float64") for name, shape in shapes.items()})
        update = jax.jit(tx.update)
        for t in range(3):
            g = {name: random(*shape, seed=t) for name, shape in shapes.items()}
            u, state = update(jax.tree.map(jnp.asarray, g), state)
            for name in shapes:
                expected = [rule(x) for rule, x in zip(rules[name], matrices(name, g[name]), strict=True)]
                for ours, theirs in zip(matrices(name, np.asarray(u[name])), expected, strict=True):
                    np.testing.assert_allclose(ours, theirs, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_stack_of_layers_is_updated_like_the_layers(adaptive: bool) -> None:
    """The original's adaptive factor is one for the whole stack."""
    g = jnp.asarray(random(3, 4, 6), jnp.float32)
    stacked = one_step(optax.scale_by_muon(adaptive=adaptive, weight_dimension_numbers=LAYERS), g)
    apart = one_step(optax.scale_by_muon(adaptive=adaptive), list(g))
    np.testing.assert_allclose(stacked, np.stack(apart), rtol=1e-5, atol=1e-6)


def test_leaves_of_one_shape_share_their_products() -> None:
    """Six matrices, two of them transposed, take as many operations as one; large ones are left apart."""

    def products(*shapes: tuple[int, int]) -> int:
        tx = optax.scale_by_muon()
        params = [jnp.zeros(shape) for shape in shapes]
        return str(jax.make_jaxpr(tx.update)(params, tx.init(params))).count("dot_general[")

    one = products((8, 20))
    assert one > 0
    assert products(*4 * [(8, 20)], *2 * [(20, 8)]) == one
    assert products((8, 20), (8, 21)) == 2 * one


@pytest.mark.parametrize(("shape", "most"), [((384, 384), 4.1), ((256, 1024), 2.6)])
def test_unrolled_iterations_keep_one_iterate_alive(shape: tuple[int, int], most: float) -> None:
    """In units of the parameter; the original needs 8 and 7."""
    tx = optax.muon(0.1)
    params = jax.ShapeDtypeStruct(shape, jnp.float32)
    state = jax.eval_shape(tx.init, params)

    def step(params: Any, state: Any, g: Any) -> Any:
        updates, state = tx.update(g, state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, params).compile()
    assert compiled.memory_analysis().temp_size_in_bytes <= most * 4 * shape[0] * shape[1]


PARAMS = {
    "matrix": jnp.asarray(random(4, 6), jnp.float32),
    "bias": jnp.ones(3),
    "stack": jnp.ones((2, 3, 4)),
    "no": None,
}


def groups(state: Any) -> dict[str, set[str]]:
    """Which leaves have a momentum in each group."""
    return {
        label: {name for name, x in group.inner_state[0].mu.items() if isinstance(x, jax.Array)}
        for label, group in state.inner_states.items()
    }


@pytest.mark.parametrize(
    ("numbers", "muon"),
    [
        (None, {"matrix"}),
        ({"matrix": None, "bias": None, "stack": LAYERS, "no": None}, {"stack"}),
        (lambda params: jax.tree.map(lambda p: Numbers(-2, -1) if p.ndim > 1 else None, params), {"matrix", "stack"}),
        (lambda params: {k: LAYERS if v is not None and v.ndim == 3 else None for k, v in params.items()}, {"stack"}),
        (Numbers((), ()), {"matrix", "bias", "stack"}),
    ],
)
def test_what_is_no_matrix_goes_to_adamw(numbers: Any, muon: set[str]) -> None:
    """By default, by a tree, by functions, and by one prefix for all (here each element is a matrix of its own)."""
    tx = optax.muon(0.1, adam_weight_decay=0.3, muon_weight_dimension_numbers=numbers)
    state = tx.init(PARAMS)
    assert groups(state) == {"muon": muon, "adam": {*PARAMS} - muon - {"no"}}
    adamw = optax.adamw(0.1, weight_decay=0.3, nesterov=True)
    updates, expected = one_step(tx, PARAMS), one_step(adamw, PARAMS)
    for name in {*PARAMS} - muon:
        jax.tree.map(lambda u, v: np.testing.assert_allclose(u, v, rtol=1e-6), updates[name], expected[name])


def test_the_scale_depends_on_the_direction_of_a_matrix() -> None:
    g = jnp.asarray(random(4, 9), jnp.float32)
    u = direction(np.asarray(g))
    for numbers, settings, scale in (
        (Numbers(0, 1), {}, 1.5),
        (Numbers(1, 0), {}, 1.0),
        (Numbers(0, 1), {"consistent_rms": 0.2}, 0.6),
        (Numbers(1, 0), {"consistent_rms": 0.2}, 0.6),
    ):
        tx = optax.muon(0.1, muon_weight_dimension_numbers=numbers, **settings)
        np.testing.assert_allclose(one_step(tx, g), -0.1 * scale * u, rtol=1e-4, atol=1e-6)


def test_consistent_rms_is_the_root_mean_square_of_an_orthogonal_update() -> None:
    tx = optax.muon(1.0, "polar_express", 8, consistent_rms=0.2)
    u = one_step(tx, jnp.asarray(random(16, 50), jnp.float32))
    np.testing.assert_allclose(np.sqrt(np.mean(u**2)), 0.2, rtol=1e-3)


def test_weight_decay_of_matrices_has_a_mask_of_its_own() -> None:
    tx = optax.muon(0.1, weight_decay=0.5, weight_decay_mask={"a": True, "b": False, "c": False}, adam_weight_decay=0.3)
    params = {"a": jnp.ones((2, 3)), "b": jnp.ones((2, 3)), "c": jnp.ones(3)}
    updates = one_step(tx, jax.tree.map(jnp.zeros_like, params), params)
    assert {name: float(u.ravel()[0]) for name, u in updates.items()} == pytest.approx(
        {"a": -0.05, "b": 0.0, "c": -0.03}
    )


def test_a_preset_has_a_row_for_each_step() -> None:
    state = optax.scale_by_muon("polar_express", ns_steps=3).init(jnp.zeros((2, 2)))
    assert state.ns_coeffs.shape == (3, 3)
    assert optax.scale_by_muon("standard").init(jnp.zeros((2, 2))).ns_coeffs.shape == (3,)
    rows = optax.scale_by_muon([(2.0, -1.5, 0.5), (1.5, -0.5, 0.0)])
    g = jnp.asarray(random(3, 4), jnp.float32)
    expected = direction(np.asarray(g), rows=[(2.0, -1.5, 0.5), (1.5, -0.5, 0.0)])
    np.testing.assert_allclose(one_step(rows, g), expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_a_matrix_without_elements_passes(shape: tuple[int, int]) -> None:
    """Defect D8: muon divides by the number of rows."""
    params = {"empty": jnp.zeros(shape), "matrix": jnp.ones((2, 2))}
    assert one_step(optax.muon(0.1), params)["empty"].shape == shape


@pytest.mark.parametrize("how", ["frobenius", "spectral", "aol", "schatten"])
def test_a_zero_gradient_gives_zeros_and_a_finite_derivative(how: str) -> None:
    """Defect F7."""
    zeros = {"matrix": jnp.zeros((3, 4)), "row": jnp.zeros((3, 4)).at[1].set(1.0)}
    tx = optax.muon(0.1, preconditioning=how, adaptive=True)

    def total(g: Any) -> Any:
        return optax.tree.sum(tx.update(g, tx.init(zeros), zeros)[0])

    assert not one_step(tx, zeros)["matrix"].any()
    assert optax.tree.all_finite(jax.grad(total)(zeros))


def test_low_precision_is_only_how_gradients_are_stored() -> None:
    g = jnp.asarray(random(5, 8), jnp.bfloat16)
    tx = optax.scale_by_muon(mu_dtype="float32")
    u, state = tx.update(g, tx.init(g))
    assert (u.dtype, state.mu.dtype) == (jnp.bfloat16, jnp.float32)
    exact = one_step(optax.scale_by_muon(), g.astype(jnp.float32))
    np.testing.assert_array_equal(u, jnp.asarray(exact, jnp.bfloat16))


def test_a_complex_matrix_becomes_nearly_unitary() -> None:
    g = jnp.asarray(random(4, 6) + 1j * random(4, 6, seed=1), jnp.complex64)
    u = one_step(optax.scale_by_muon("polar_express", 8, adaptive=False), g)
    np.testing.assert_allclose(u @ u.conj().T, np.eye(4), atol=1e-4)
    assert np.vdot(np.asarray(g), u).real > 0


def test_the_size_of_the_gradient_matters_only_if_asked() -> None:
    g = jnp.asarray(random(3, 5), jnp.float32)
    plain, adaptive = optax.scale_by_muon(eps=0.0), optax.scale_by_muon(eps=0.0, adaptive=True)
    np.testing.assert_allclose(one_step(plain, 100 * g), one_step(plain, g), rtol=1e-4)
    np.testing.assert_allclose(one_step(adaptive, 100 * g), 100 * one_step(adaptive, g), rtol=1e-4)


def test_a_scan_trains_stacked_layers_and_vectors_together() -> None:
    """By a schedule."""
    params = {"layers": jnp.ones((2, 3, 4)), "bias": jnp.ones(3)}
    tx = optax.muon(optax.linear_schedule(0.1, 0.0, 4), muon_weight_dimension_numbers={"layers": LAYERS, "bias": None})

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        updates, state = tx.update(params, state, params)
        return (optax.apply_updates(params, updates), state), None

    (after, _), _ = jax.lax.scan(step, (params, tx.init(params)), None, length=4)
    assert all((np.abs(after[name]) < 1).all() for name in params)


def test_a_leaf_that_is_no_matrix_is_named() -> None:
    tx = optax.scale_by_muon()
    with pytest.raises(ValueError, match=r"the leaf at \['bias'\] has the shape \(3,\): only an array of two axes"):
        tx.init({"bias": jnp.ones(3), "matrix": jnp.ones((2, 2))})


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        (Numbers(0, 0), ValueError, "names an axis of an array of shape .* twice"),
        (Numbers((0, 1), (-1,)), ValueError, "names an axis of an array of shape .* twice"),
        (Numbers(0, 2), ValueError, "names axis 2 of an array of 2 axes"),
        (Numbers(0, 1.0), TypeError, "must hold integers"),
        (3, TypeError, "must hold MuonDimensionNumbers and None; at .*matrix.* is 3"),
    ],
)
def test_wrong_dimension_numbers_are_named(numbers: Any, error: type[Exception], message: str) -> None:
    params = {"matrix": jnp.ones((2, 3))}
    for tx in (
        optax.muon(0.1, muon_weight_dimension_numbers={"matrix": numbers}),
        optax.scale_by_muon(weight_dimension_numbers={"matrix": numbers}),
    ):
        with pytest.raises(error, match=message):
            tx.init(params)


def test_dimension_numbers_for_another_tree_are_refused() -> None:
    tx = optax.muon(0.1, muon_weight_dimension_numbers={"matrix": Numbers()})
    with pytest.raises(
        ValueError, match="muon_weight_dimension_numbers is neither of the tree's structure nor a prefix"
    ):
        tx.init(PARAMS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": "1e-3"}, "learning_rate must be a real number or a schedule"),
        (
            {"learning_rate": 0.1, "ns_coeffs": "simple"},
            "ns_coeffs must be numbers or one of standard, .* not 'simple'",
        ),
        ({"learning_rate": 0.1, "ns_coeffs": (1.0, 2.0)}, r"ns_coeffs must have the shape \(3,\) or \(n, 3\)"),
        ({"learning_rate": 0.1, "ns_steps": -1}, "ns_steps must be at least 0"),
        ({"learning_rate": 0.1, "beta": 1.0}, "beta must be at least 0 and below 1, not 1.0"),
        ({"learning_rate": 0.1, "eps": -1.0}, "eps must be at least 0"),
        ({"learning_rate": 0.1, "preconditioning": "newton"}, "preconditioning must be one of frobenius, spectral"),
        ({"learning_rate": 0.1, "consistent_rms": -0.2}, "consistent_rms must be at least 0"),
        ({"learning_rate": 0.1, "adam_b2": 1.0}, "b2 must be at least 0 and below 1"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.muon(**arguments)


def test_the_standard_polynomial_is_the_default() -> None:
    state = optax.scale_by_muon().init(jnp.zeros((2, 2)))
    np.testing.assert_allclose(state.ns_coeffs, STANDARD[0], rtol=1e-6)

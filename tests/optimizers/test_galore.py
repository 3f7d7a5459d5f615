"""What only GaLore promises."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax import GaLoreDimensionNumbers as Numbers
from reference.adam import Adam
from reference.galore import GaLore
from x64 import enable_x64


def random(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=shape)


def one_step(tx: Any, gradient: Any) -> Any:
    return jax.tree.map(np.asarray, tx.update(gradient, tx.init(gradient), gradient)[0])


def test_matches_the_reference_in_every_layout() -> None:
    """Wide, tall and square, stacked and merged, through two changes of the projections."""
    shapes = {
        "tall": (20, 6),
        "wide": (6, 20),
        "square": (7, 7),
        "layers": (3, 5, 8),
        "merged": (2, 3, 5),
        "bias": (4,),
    }
    numbers = dict.fromkeys(shapes, Numbers()) | {"layers": Numbers(1, 2), "merged": Numbers((0, 1), 2), "bias": None}

    def matrices(name: str, g: Any) -> list[Any]:
        return list(g) if name == "layers" else [g.reshape(6, 5)] if name == "merged" else [g]

    def rule(name: str) -> Any:
        adam = Adam(0.9, 0.999, 1e-8)
        return adam if name == "bias" else GaLore(adam, 3, 2, 0.25)

    rules = {name: [rule(name) for _ in matrices(name, random(*shape))] for name, shape in shapes.items()}
    with enable_x64():
        tx = optax.scale_by_galore(3, 2, 0.25, weight_dimension_numbers=numbers)
        state = tx.init({name: jnp.zeros(shape, "float64") for name, shape in shapes.items()})
        update = jax.jit(tx.update)
        for t in range(5):
            g = {name: random(*shape, seed=t) for name, shape in shapes.items()}
            u, state = update(jax.tree.map(jnp.asarray, g), state)
            for name in shapes:
                expected = [rule(x) for rule, x in zip(rules[name], matrices(name, g[name]), strict=True)]
                for ours, theirs in zip(matrices(name, np.asarray(u[name])), expected, strict=True):
                    np.testing.assert_allclose(ours, theirs, atol=1e-10, err_msg=name)


def test_the_state_has_the_rank_in_place_of_the_longer_side() -> None:
    params = {"tall": jnp.ones((9, 4)), "wide": jnp.ones((4, 9)), "small": jnp.ones((2, 1)), "bias": jnp.ones(5)}
    state = optax.scale_by_galore(3).init(params)
    shapes = jax.tree.map(jnp.shape, (state.projector, state.base_optimizer_state.nu))
    # No array of shape (0, 0), as in the original: Orbax cannot save one.
    assert shapes[0] == {"tall": (9, 3), "wide": (9, 3), "small": (2, 1), "bias": optax.MaskedNode()}
    assert shapes[1] == {"tall": (3, 4), "wide": (4, 3), "small": (1, 1), "bias": (5,)}


def test_the_projection_changes_when_it_is_time() -> None:
    tx = optax.scale_by_galore(1, 3)
    state = tx.init(jnp.ones((4, 3)))
    changed = []
    for t in range(7):
        before = state.projector
        _, state = jax.jit(tx.update)(jnp.asarray(random(4, 3, seed=t), jnp.float32), state)
        changed.append(bool((state.projector != before).any()))
    assert changed == [True, False, False, True, False, False, True]


@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_what_comes_back_is_the_best_approximation(shape: tuple[int, int], kind: str) -> None:
    """Of this rank, by Eckart and Young, where the base optimizer changes nothing."""
    g = random(*shape) + (1j * random(*shape, seed=1) if kind == "complex" else 0)
    u, s, vh = np.linalg.svd(g, full_matrices=False)
    with enable_x64():
        for rank in (2, 100):
            found = one_step(optax.scale_by_galore(rank, base_optimizer=optax.identity()), jnp.asarray(g))
            np.testing.assert_allclose(found, (u * (s * (np.arange(4) < rank))) @ vh, atol=1e-10)


def test_leaves_that_are_not_projected_are_not_scaled() -> None:
    g = {"bias": jnp.ones(3), "matrix": jnp.ones((2, 2)), "layers": jnp.ones((2, 2, 2))}
    u = one_step(optax.scale_by_galore(1, scale=0.5, base_optimizer=optax.identity()), g)
    assert {name: float(x.ravel()[0]) for name, x in u.items()} == pytest.approx(
        {"bias": 1, "matrix": 0.5, "layers": 1}
    )


def test_none_and_empty_trees_and_leaves_pass() -> None:
    """Defect D8: all of these crash in the original."""
    tx = optax.galore(0.1, 2)
    params = {"none": None, "matrix": jnp.ones((3, 2)), "no rows": jnp.zeros((0, 2)), "no columns": jnp.zeros((2, 0))}
    updates = one_step(tx, params)
    assert updates["none"] is None
    assert [updates[name].shape for name in ("no rows", "no columns")] == [(0, 2), (2, 0)]
    assert one_step(tx, {}) == {}


@pytest.mark.parametrize(("of_params", "of_gradient"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_gradients_may_have_another_dtype_than_the_parameters(of_params: str, of_gradient: str) -> None:
    """Defects A8, A9 and D8: the original raises on the first update."""
    tx = optax.galore(0.1, 2, 2)
    params, g = {"matrix": jnp.ones((4, 3), of_params)}, {"matrix": jnp.asarray(random(4, 3), of_gradient)}
    state = tx.init(params)
    forms = [jax.tree.map(lambda x: (x.shape, x.dtype), state)]
    for _ in range(3):
        updates, state = jax.jit(tx.update)(g, state, params)
        forms.append(jax.tree.map(lambda x: (x.shape, x.dtype), state))
    assert all(form == forms[0] for form in forms)
    assert updates["matrix"].dtype == of_gradient
    assert state[0].projector["matrix"].dtype == of_params


def test_the_derivative_takes_the_projection_as_given() -> None:
    """Defect F7: that of singular vectors is infinite at a zero gradient, and where singular values coincide."""
    tx = optax.scale_by_galore(1, base_optimizer=optax.identity())
    state = tx.init(jnp.ones((2, 2)))
    for g in (jnp.zeros((2, 2)), jnp.eye(2)):
        assert np.isfinite(jax.grad(lambda g: tx.update(g, state)[0].sum())(g)).all()
    # Of p p^T g with p = (1, 0), summed.
    derivative = jax.grad(lambda g: tx.update(g, state)[0].sum())(jnp.diag(jnp.asarray([2.0, 1.0])))
    np.testing.assert_allclose(derivative, [[1, 1], [0, 0]], atol=1e-6)


def test_extra_arguments_reach_the_base_optimizer() -> None:
    seen = []

    def update(updates: Any, state: Any, params: Any = None, **extra_args: Any) -> Any:
        seen.append(extra_args)
        return updates, state

    base = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    tx = optax.galore(0.1, 2, base_optimizer=base)
    p = jnp.ones((3, 3))
    tx.update(p, tx.init(p), p, value=1.0)
    assert seen == [{"value": 1.0}]


def test_a_base_optimizer_that_needs_the_parameters_says_so() -> None:
    tx = optax.galore(0.1, base_optimizer=optax.adamw(0.1))
    p = jnp.ones((3, 3))
    with pytest.raises(ValueError, match="reads the parameters"):
        tx.update(p, tx.init(p), p)


def test_weight_decay_is_not_projected() -> None:
    p = jnp.asarray(random(4, 4), jnp.float32)
    tx = optax.galore(0.1, 1, weight_decay=0.5)
    updates, _ = tx.update(jnp.zeros((4, 4)), tx.init(p), p)
    np.testing.assert_allclose(updates, -0.05 * p, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rank": 0}, "rank must be at least 1, not 0"),
        ({"rank": 2.5}, "rank must be an integer, not 2.5"),
        ({"update_proj_gap": 0}, "update_proj_gap must be at least 1, not 0"),
        ({"scale": float("nan")}, "scale must be a number"),
        ({"base_optimizer": optax.adam}, "base_optimizer must be a transformation"),
        ({"weight_decay": "0.1"}, "weight_decay must be a real number or a schedule"),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        optax.galore(0.1, **arguments)


def test_wrong_dimension_numbers_are_named() -> None:
    tx = optax.scale_by_galore(weight_dimension_numbers={"matrix": 0})
    with pytest.raises(TypeError, match="weight_dimension_numbers must hold GaLoreDimensionNumbers and None"):
        tx.init({"matrix": jnp.ones((2, 2))})

"""The conformance kit: for each of its checks a transformation that is broken in one way, and what is said of it."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import (
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    abs_sq,
    identity,
    init_empty_state,
    leafwise,
    new_slot,
    over_leaves,
    safe_increment,
    stateless,
    stateless_with_tree_map,
    transformation,
    tree,
)
from optax.core.testing import CHECKS, Subject, check_transformation, factories


class State(NamedTuple):
    """One slot, or one number."""

    x: Any


def with_state(init: Callable[[Any], Any], update: Callable[[Any, Any], Any]) -> GradientTransformation:
    """From `init(params)` and `update(g, x)`, for whole trees."""

    def on_state(updates: Any, state: State, params: Any = None) -> Any:
        del params
        updates, x = update(updates, state.x)
        return updates, State(x)

    return GradientTransformation(lambda params: State(init(params)), on_state)


def by_hand(tx: GradientTransformation) -> GradientTransformation:
    """`tx` without the call that made it, which would not pickle: its argument is a function inside a function."""
    return GradientTransformation(*tx)


def momentum(g: Any, m: Any) -> Any:
    return over_leaves(lambda g, m: (g + 0.5 * m, g + 0.5 * m), g, m)


def is_number(g: Any) -> bool:
    return getattr(g, "dtype", None) != jax.dtypes.float0


def mapped(rule: Callable[..., Any], updates: Any, *trees: Any) -> Any:
    """`over_leaves` without its care for dtypes and shapes."""
    return jax.tree.map(lambda g, *x: rule(*map(jnp.asarray, (g, *x))) if is_number(g) else g, updates, *trees)


def norm(updates: Any) -> jax.Array:
    return tree.norm([g for g in jax.tree.leaves(updates) if is_number(g)])


# Broken in one way each. The name is that of the check that finds it.


def state_is_strongly_typed() -> GradientTransformation:
    """Zeros like weakly typed parameters are weakly typed (defect A11)."""
    return with_state(lambda params: jax.tree.map(jnp.zeros_like, params), momentum)


def init_is_pure() -> GradientTransformation:
    """One array in two places: the second donation fails (defect G4)."""

    def init(params: Any) -> Any:
        zeros = new_slot(params, decay=0.5)
        return {"one": zeros, "two": zeros}

    return with_state(init, lambda g, x: (g, x))


def init_takes_abstract_parameters() -> GradientTransformation:
    """The values of the parameters are read (defect G5)."""
    return with_state(lambda params: tree.norm(params), lambda g, x: (g, x))


def updates_keep_their_form() -> GradientTransformation:
    """Small matrices are treated in bfloat16, and it is forgotten to return from there."""

    def rule(g: Any, p: Any) -> Any:
        small = p is not None and jnp.shape(g) == (2, 3) and g.dtype == p.dtype == jnp.float32
        return g.astype(jnp.bfloat16) if small else g

    return by_hand(stateless_with_tree_map(rule))


def state_keeps_its_form() -> GradientTransformation:
    """The slot takes the dtype that comes out of the arithmetic (defect A8)."""

    def update(g: Any, m: Any) -> Any:
        return g, tree.cast(momentum(g, m)[1], jnp.float32)

    return with_state(lambda params: new_slot(params, dtype=jnp.bfloat16), update)


def update_is_pure() -> GradientTransformation:
    """The state is changed in place."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del params
        state["count"] = safe_increment(state["count"])
        return updates, state

    return GradientTransformation(lambda params: {"count": jnp.zeros([], jnp.int32)}, update)


def compiles_once() -> GradientTransformation:
    """It clips where it can look at the norm, and silently does not where that is traced."""

    def update(updates: Any, params: Any) -> Any:
        size = norm(updates)
        try:
            return updates if size < 1 else over_leaves(lambda g: g / size, updates)
        except jax.errors.ConcretizationTypeError:
            return updates

    return by_hand(stateless(update))


def scan_carries_the_state() -> GradientTransformation:
    """The state is a list of all that has been."""
    return with_state(lambda params: (), lambda g, history: (g, (*history, norm(g))))


def vmap_agrees_with_a_loop() -> GradientTransformation:
    """The norm is taken by a function of NumPy's, which knows nothing of batches."""

    def update(updates: Any, params: Any) -> Any:
        del params
        size = jax.lax.stop_gradient(norm(updates))
        one = jax.pure_callback(np.sign, jax.ShapeDtypeStruct((), jnp.float32), size + 1)
        return over_leaves(lambda g: g * one, updates)

    return by_hand(stateless(update))


def ignores_unknown_arguments() -> GradientTransformation:
    """Takes one extra argument and no other."""

    def update(updates: Any, state: Any, params: Any = None, *, value: Any = 0.0) -> Any:
        return updates, state

    return GradientTransformationExtraArgs(init_empty_state, update)


def says_that_it_needs_the_parameters() -> GradientTransformation:
    """Maps over parameters that are not there."""

    def update(updates: Any, params: Any) -> Any:
        return mapped(lambda g, p: g + 0.1 * p.astype(g.dtype), updates, params)

    return by_hand(stateless(update))


def refuses_gradients_of_another_shape() -> GradientTransformation:
    """The state grows to the shape of the gradient (defect F6)."""

    def update(g: Any, m: Any) -> Any:
        return g, jax.tree.map(lambda g, m: jnp.asarray(g, m.dtype) + m if is_number(g) else m, g, m)

    return with_state(lambda params: new_slot(params, decay=0.5), update)


def works_in_every_dtype() -> GradientTransformation:
    """Everything leaves in float32 (defect A10)."""
    return by_hand(stateless(lambda updates, params: mapped(lambda g: g.astype(jnp.float32), updates)))


def zero_gradients_are_harmless() -> GradientTransformation:
    """In float16 1e-8 is 0, and 0 / 0 is NaN (defect A7)."""
    return by_hand(
        stateless(lambda updates, params: mapped(lambda g: g / (jnp.abs(g).astype(g.dtype) + 1e-8), updates))
    )


def empty_leaves_pass() -> GradientTransformation:
    """There is no largest element of nothing (defect D8)."""
    return leafwise(lambda g: g / (1.0 + jnp.max(jnp.abs(g))))


def leaves_of_any_rank_pass() -> GradientTransformation:
    """Made for the kernels of convolutions, which have four axes (defect D8)."""

    def rule(g: jax.Array) -> jax.Array:
        batch, rows, columns, channels = (1,) * (4 - g.ndim) + g.shape
        return g.reshape(batch, rows, columns, channels).reshape(g.shape)

    return leafwise(rule)


def numbers_of_python_and_numpy_pass() -> GradientTransformation:
    """Asks a number for its shape (defect A17)."""
    return with_state(lambda params: jax.tree.map(lambda p: jnp.zeros(p.shape, p.dtype), params), momentum)


def integer_parameters_pass() -> GradientTransformation:
    """Calculates with gradients that are none (defect F8)."""
    return by_hand(stateless(lambda updates, params: jax.tree.map(lambda g: 2 * g, updates)))


def counters_saturate() -> GradientTransformation:
    """After 2^31 - 1 comes -2^31 (defect A16)."""
    return with_state(lambda params: jnp.zeros([], jnp.int32), lambda g, count: (g, count + 1))


def derivatives_are_finite() -> GradientTransformation:
    """The NaN of the branch that is not taken comes back multiplied by zero (defect F7)."""

    def rule(g: jax.Array) -> jax.Array:
        norm = jnp.sqrt(jnp.sum(abs_sq(g)))
        return jnp.where(norm > 0, g / norm, 0)

    return leafwise(rule)


def buffers_can_be_donated() -> GradientTransformation:
    """All initial states hold the same array, and the first step that takes it over spoils the others (defect G4)."""
    zero = jnp.zeros([], jnp.int32)
    return with_state(lambda params: zero, lambda g, count: (g, safe_increment(count)))


def is_a_value() -> GradientTransformation:
    """No pickle can find a factory inside a function (defect G6)."""

    @transformation
    def local() -> GradientTransformation:
        return identity()

    return local()


# For each check: a transformation that it finds broken, words of what it says of it, and the checks that cannot but
# notice as well.
BROKEN: dict[str, tuple[Any, str, set[str]]] = {
    "is_a_pair_of_functions": ((init_empty_state, identity().update), "it is a tuple", set()),
    "state_is_strongly_typed": (
        state_is_strongly_typed(),
        "init made leaf .x['w'] a weakly typed float32[]",
        {"state_keeps_its_form", "numbers_of_python_and_numpy_pass"},
    ),
    "init_is_pure": (
        init_is_pure(),
        "two leaves of the parameters and the initial state share one buffer",
        {"buffers_can_be_donated"},
    ),
    "init_takes_abstract_parameters": (init_takes_abstract_parameters(), "ShapeDtypeStruct", set()),
    "updates_keep_their_form": (
        updates_keep_their_form(),
        "updates: leaf ['w'] was float32[2, 3] and became bfloat16[2, 3]",
        set(),
    ),
    "state_keeps_its_form": (
        state_keeps_its_form(),
        "state after update 1: leaf .x['w'] was bfloat16[2, 3] and became float32[2, 3]",
        {"compiles_once", "scan_carries_the_state", "works_in_every_dtype", "empty_leaves_pass"}
        | {"leaves_of_any_rank_pass", "integer_parameters_pass"},
    ),
    "update_is_pure": (update_is_pure(), "'1/count'", set()),
    "compiles_once": (compiles_once(), "Values not approximately equal", set()),
    "scan_carries_the_state": (
        scan_carries_the_state(),
        "3 steps were traced 3 times",
        {"state_keeps_its_form", "compiles_once", "refuses_gradients_of_another_shape"}
        | {"works_in_every_dtype", "empty_leaves_pass", "leaves_of_any_rank_pass", "integer_parameters_pass"},
    ),
    "vmap_agrees_with_a_loop": (vmap_agrees_with_a_loop(), "vmap", set()),
    "ignores_unknown_arguments": (ignores_unknown_arguments(), "an_argument_of_someone_else", set()),
    "says_that_it_needs_the_parameters": (
        says_that_it_needs_the_parameters(),
        "the message does not mention params",
        set(),
    ),
    "refuses_gradients_of_another_shape": (
        refuses_gradients_of_another_shape(),
        "state: leaf .x['w'] was float32[2, 3] and became float32[2, 2, 3]",
        set(),
    ),
    "works_in_every_dtype": (
        works_in_every_dtype(),
        "updates of bfloat16 parameters: leaf ['w'] was bfloat16[2, 3] and became float32[2, 3]",
        set(),
    ),
    "zero_gradients_are_harmless": (zero_gradients_are_harmless(), "float16 gradients of 0.0: leaf [0]['w'] is", set()),
    "empty_leaves_pass": (empty_leaves_pass(), "zero-size array", set()),
    "leaves_of_any_rank_pass": (leaves_of_any_rank_pass(), "too many values to unpack (expected 4)", set()),
    "numbers_of_python_and_numpy_pass": (numbers_of_python_and_numpy_pass(), "no attribute 'shape'", set()),
    "integer_parameters_pass": (integer_parameters_pass(), "float0", set()),
    "counters_saturate": (counters_saturate(), "to [Array(-2147483647, dtype=int32)]", set()),
    "derivatives_are_finite": (derivatives_are_finite(), "derivative at a gradient of zeros: leaf ['w'] is", set()),
    "buffers_can_be_donated": (buffers_can_be_donated(), "Array has been deleted", set()),
    "is_a_value": (is_a_value(), "is_a_value.<locals>.local", set()),
}

PARAMS = {"w": jnp.linspace(-1.0, 1.0, 6).reshape(2, 3)}  # one leaf: each check runs all of its forms for each leaf


def failures(*args: Any, **kwargs: Any) -> tuple[list[str], str]:
    """The names of the checks that failed, and the message."""
    with pytest.raises(AssertionError) as caught:
        check_transformation(*args, **kwargs)
    message = str(caught.value)
    return re.findall(r"^- (\w+):", message, re.MULTILINE), message


def test_there_is_an_example_for_every_check() -> None:
    assert set(BROKEN) == set(CHECKS)


@pytest.mark.parametrize("name", BROKEN)
def test_a_check_finds_what_it_is_for(name: str) -> None:
    tx, words, others = BROKEN[name]
    with jax.numpy_rank_promotion("allow"):  # as most users have it: broadcasting is the kit's to find, not JAX's
        found, message = failures(tx, PARAMS)
    assert set(found) == {name} | others
    assert words in message
    assert str(CHECKS[name].__doc__) in message
    assert message.startswith(f"{tx!r} breaks {len(found)} part(s) of the contract:\n")


# The kit is not stricter than the contract.


def test_a_good_one_passes() -> None:
    check_transformation(with_state(lambda params: new_slot(params, decay=0.5), momentum), PARAMS)


class Noise(NamedTuple):
    key: Any


def noise(key: Any) -> GradientTransformation:
    def update(updates: Any, state: Noise, params: Any = None) -> Any:
        del params
        now, later = jax.random.split(state.key)
        return jax.tree.map(jnp.add, updates, tree.random_like(now, updates)), Noise(later)

    return GradientTransformation(lambda params: Noise(jnp.array(key)), update)


@pytest.mark.parametrize(
    "key",
    [
        jax.random.PRNGKey(0),
        jax.random.key(0),
    ],
    ids=["raw", "typed"],
)
def test_random_keys_may_be_in_the_state(key: Any) -> None:
    """What the original's `add_noise` keeps."""
    for check in ("init_is_pure", "init_takes_abstract_parameters", "update_is_pure", "vmap_agrees_with_a_loop"):
        CHECKS[check](Subject(noise(key), PARAMS))


def test_an_argument_that_does_not_pickle_is_not_the_factorys_fault() -> None:
    CHECKS["is_a_value"](Subject(optax.sgd(lambda count: 0.1)))


def test_a_mask_for_these_parameters_need_not_fit_others() -> None:
    CHECKS["empty_leaves_pass"](Subject(optax.masked(optax.sgd(0.1), {"w": True}), PARAMS))


def needs_value() -> GradientTransformation:
    def update(updates: Any, state: Any, params: Any = None, *, value: Any, **others: Any) -> Any:
        del params, others
        return over_leaves(lambda g: g * value, updates), state

    return GradientTransformationExtraArgs(init_empty_state, update)


def test_extra_arguments_that_it_cannot_do_without() -> None:
    check_transformation(
        needs_value(), PARAMS, extra_args=lambda params, updates: {"value": jnp.float32(2) + 0 * tree.norm(params)}
    )
    with pytest.raises(TypeError, match="'value'"):
        CHECKS["updates_keep_their_form"](Subject(needs_value(), PARAMS))


def test_skip() -> None:
    tx = counters_saturate()
    CHECKS["state_keeps_its_form"](Subject(tx, PARAMS))
    every = set(CHECKS) - {"is_a_pair_of_functions"}
    check_transformation(tx, PARAMS, skip=every)
    found, _ = failures(tx, PARAMS, skip=every - {"counters_saturate"})
    assert found == ["counters_saturate"]


def test_a_check_that_does_not_exist_cannot_be_skipped() -> None:
    with pytest.raises(ValueError, match=r"skip names \['counters'\]; the checks are is_a_pair_of_functions, state_is"):
        check_transformation(identity(), skip=["counters"])


def test_what_is_no_transformation_at_all() -> None:
    """A factory that was not called: one sentence, not one for each check."""
    found, message = failures(optax.adam)
    assert found == ["is_a_pair_of_functions"]
    assert "it is a function" in message


def test_gradients_of_a_subject() -> None:
    s = Subject(identity(), {"a": jnp.ones(3), "n": None, "b": (jnp.ones((), jnp.bfloat16),)})
    g = s.gradient(0)
    assert jax.tree.structure(g) == jax.tree.structure(s.params)
    assert g["b"][0].dtype == jnp.bfloat16
    assert np.array_equal(g["a"], s.gradient(0)["a"])
    assert not np.array_equal(g["a"], s.gradient(1)["a"])


def test_a_step_of_a_subject() -> None:
    params, state = Subject(optax.sgd(0.5), jnp.float32(1)).step(jnp.float32(1), (EmptyState(),) * 2, jnp.float32(1))
    assert float(params) == 0.5
    assert state == (EmptyState(),) * 2


def test_factories_are_found_by_their_decorator() -> None:
    found = factories(optax.core)
    assert {"chain", "identity", "set_to_zero", "stateless", "stateless_with_tree_map"} <= set(found)
    assert not {"leafwise", "apply_updates", "transformation", "GradientTransformation"} & set(found)
    assert found["identity"] is identity

"""Hyperparameters in the state: which they are, what an update makes of them, and how to change them."""

import functools
import inspect
import pickle
from collections.abc import Callable
from typing import Any, Optional, Union

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import optax
from compilations import Jitted
from optax.core import GradientTransformation, Numeric, ScalarOrSchedule, tree
from optax.core.testing import CHECKS, Subject, factories
from optax.schedules import (
    InjectHyperparamsState,
    WrappedSchedule,
    constant_schedule,
    inject_hyperparams,
    inject_stateful_hyperparams,
    linear_schedule,
    set_hyperparams,
)
from x64 import enable_x64

PARAMS = {"w": jnp.asarray([1.0, -2.0, 3.0]), "b": jnp.asarray(0.5)}
ONES = jax.tree.map(jnp.ones_like, PARAMS)

falling = linear_schedule(1.0, 0.0, 10)


class Cooling:
    """A stateful schedule: the product of the losses so far."""

    def init(self) -> Any:
        return {"product": 1.0}

    def update(self, state: Any, *, value: Any = 1.0, **extra_args: Any) -> Any:
        return {"product": state["product"] * value}

    def __call__(self, state: Any, **extra_args: Any) -> Any:
        return state["product"]


def steps(tx: Any, count: int, params: Any = PARAMS, **extra_args: Any) -> list[Any]:
    """(updates, state) of a few updates with gradients of ones."""
    state, made = tx.init(params), []
    for _ in range(count):
        updates, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params, **extra_args)
        made.append((updates, state))
    return made


# What an update does


def test_a_schedule_is_followed_from_its_first_value_on() -> None:
    """The t-th update, from 0, uses the value at t, and the state that comes out of it shows that value."""
    for t, (updates, state) in enumerate(steps(inject_hyperparams(optax.sgd)(falling), 3)):
        np.testing.assert_allclose(state.hyperparams["learning_rate"], 1 - t / 10, rtol=1e-6)
        np.testing.assert_allclose(updates["w"], [-(1 - t / 10)] * 3, rtol=1e-6)
        assert (state.count, state.hyperparams_states["learning_rate"].count) == (t + 1, t + 1)


def test_the_state_shows_the_first_values_before_the_first_update() -> None:
    state = inject_hyperparams(optax.adam)(falling, b1=constant_schedule(0.8)).init(PARAMS)
    # Recorded from Optax 0.2.8: those that follow a schedule come last.
    assert [*state.hyperparams] == ["b2", "eps", "eps_root", "learning_rate", "b1"]
    assert [*state.hyperparams_states] == ["learning_rate", "b1"]
    assert (state.hyperparams["learning_rate"], state.hyperparams["b1"]) == (1, np.float32(0.8))
    assert type(state.hyperparams) is dict


def test_any_number_can_follow_a_schedule() -> None:
    """Adam with b1 = 0 in its second step forgets the first gradient: the step is that of the second alone."""
    tx = inject_hyperparams(optax.adam)(0.1, b1=lambda count: jnp.where(count == 0, 0.9, 0.0))
    state = tx.init(PARAMS)
    _, state = tx.update(tree.scale(100.0, ONES), state)
    updates, state = tx.update(tree.scale(-1.0, ONES), state)
    second_moment = (1e-3 * 0.999 * 100**2 + 1e-3) / (1 - 0.999**2)
    np.testing.assert_allclose(updates["b"], 0.1 / np.sqrt(second_moment), rtol=1e-4)


def test_a_stateful_schedule_gets_the_extra_arguments() -> None:
    made = steps(inject_stateful_hyperparams(optax.sgd)(Cooling()), 3, value=jnp.float32(0.5))
    assert [float(state.hyperparams["learning_rate"]) for _, state in made] == [1, 0.5, 0.25]
    assert made[-1][1].hyperparams_states == {"learning_rate": {"product": 0.125}}
    assert not made[0][1].hyperparams_states["learning_rate"]["product"].weak_type


def test_the_inner_update_gets_the_extra_arguments() -> None:
    tx = inject_hyperparams(optax.polyak_sgd)(max_learning_rate=10.0)
    updates, _ = tx.update(ONES, tx.init(PARAMS), PARAMS, value=jnp.float32(8))
    np.testing.assert_allclose(updates["w"], [-2.0] * 3)  # 8 over the four squares of the gradient


@pytest.mark.parametrize("check", CHECKS)
def test_it_keeps_the_contract(check: str) -> None:
    CHECKS[check](subject)


subject = Subject(inject_hyperparams(optax.adamw)(linear_schedule(0.1, 0.2, 3), b1=linear_schedule(0.5, 0.9, 3)))


@pytest.mark.parametrize(
    "around",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(1.0), tx),
        lambda tx: optax.MultiSteps(tx, 2),
        lambda tx: optax.masked(tx, {"w": True, "b": False}),
        lambda tx: optax.partition({"a": tx, "b": optax.sgd(0.1)}, {"w": "a", "b": "b"}),
        lambda tx: optax.apply_if_finite(tx, 2),
        lambda tx: inject_hyperparams(lambda eps: optax.chain(optax.normalize_by_update_norm(eps=eps), tx))(1.0),
    ],
    ids=["chain", "MultiSteps", "masked", "partition", "apply_if_finite", "inject"],
)
def test_its_state_is_changed_inside_others(around: Callable[[Any], Any]) -> None:
    """A loop of two steps, compiled once, makes with a changed rate what another optimizer makes with that rate."""

    def two_steps(tx: Any, state: Any) -> Any:
        def step(carry: Any, g: Any) -> Any:
            params, state = carry
            updates, state = tx.update(g, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (PARAMS, state), jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS))[0]

    tx = around(inject_hyperparams(optax.adamw)(0.1, weight_decay=0.01))
    run = Jitted(functools.partial(two_steps, tx))
    state = tx.init(PARAMS)
    run(state)
    changed = set_hyperparams(state, learning_rate=0.3, weight_decay=0.0)
    assert float(tree.get(state, "learning_rate")) == np.float32(0.1)
    params, _ = run(changed)
    assert run.traces == 1
    other = around(optax.adamw(0.3, weight_decay=0.0))
    chex.assert_trees_all_close(params, two_steps(other, other.init(PARAMS))[0], rtol=1e-5)


# The numbers


@pytest.mark.parametrize(
    "dtypes",
    [("bfloat16",), ("float16", "bfloat16"), ("int32",), ("complex64",), ("int32", "complex64", "float32")],
    ids=str,
)
def test_they_are_float32_whatever_the_parameters_are(dtypes: tuple[str, ...]) -> None:
    """Defect C2."""
    params = [jnp.ones(2, dtype) for dtype in dtypes]
    state = inject_hyperparams(optax.adam)(1e-2, b1=constant_schedule(0.9)).init(params)
    assert {x.dtype.name for x in state.hyperparams.values()} == {"float32"}
    assert state.hyperparams["learning_rate"] == np.float32(1e-2)


def test_adam_of_bfloat16_steps() -> None:
    """Defect C1: in bfloat16 a decay of 0.999 would be 1, and the first step 0 / 0."""
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    (updates, state), *_ = steps(inject_hyperparams(optax.adam)(1e-2), 1, params)
    assert updates["w"].dtype == jnp.bfloat16
    np.testing.assert_allclose(updates["w"].astype(np.float32), [-1e-2] * 3, rtol=1e-2)
    plain = optax.adam(1e-2).init(params)
    chex.assert_trees_all_equal_shapes_and_dtypes(state.inner_state, plain)


def test_they_are_float64_under_x64() -> None:
    with enable_x64():
        tx = inject_hyperparams(optax.sgd)(np.float32(0.1), momentum=falling)
        _, state = steps(tx, 1)[0]
        assert {x.dtype.name for x in state.hyperparams.values()} == {"float64"}


def test_they_are_of_the_dtype_that_is_asked_for() -> None:
    tx = inject_hyperparams(optax.sgd, hyperparam_dtype=jnp.bfloat16)(0.1, momentum=falling)
    for state in (tx.init(PARAMS), steps(tx, 1)[0][1], set_hyperparams({"a": tx.init(PARAMS)}, learning_rate=3)["a"]):
        assert {x.dtype.name for x in state.hyperparams.values()} == {"bfloat16"}


@pytest.mark.parametrize("dtype", [int, complex, "no dtype"])
def test_no_other_dtype_will_do(dtype: Any) -> None:
    with pytest.raises(TypeError, match="hyperparam_dtype must be a"):
        inject_hyperparams(optax.sgd, hyperparam_dtype=dtype)


def test_a_slot_is_right_for_all_values_of_a_schedule() -> None:
    """An average in bfloat16 resolves a decay of 0.5, but would stall at 0.999."""
    params = jnp.ones(2, jnp.bfloat16)
    factory = inject_hyperparams(optax.scale_by_adam)
    assert factory(b1=0.5).init(params).inner_state.mu.dtype == jnp.bfloat16
    tx = factory(b1=linear_schedule(0.5, 0.999, 10))
    assert tx.init(params).inner_state.mu.dtype == jnp.float32
    assert jax.eval_shape(tx.init, params).inner_state.mu.dtype == jnp.float32


@pytest.mark.parametrize("value", [0.25, 1, np.float64(0.25), np.int32(1), jnp.bfloat16(0.25)], ids=repr)
def test_a_number_assigned_in_place_is_used(value: Any) -> None:
    """Existing code does it. The next step is compiled once more, for a number of Python's, but no other."""
    tx = inject_hyperparams(optax.sgd)(0.1)
    step = Jitted(lambda state: tx.update(ONES, state))
    _, state = step(tx.init(PARAMS))
    state.hyperparams["learning_rate"] = value
    for _ in range(2):
        updates, state = step(state)
        np.testing.assert_array_equal(updates["w"], [-float(value)] * 3)
        x = state.hyperparams["learning_rate"]
        assert (x.dtype, x.weak_type, float(x)) == (jnp.float32, False, float(value))
    assert step.traces <= 2


def test_an_update_leaves_the_old_state_alone() -> None:
    tx = inject_hyperparams(optax.sgd)(falling)
    (_, first), _ = steps(tx, 2)
    tx.update(ONES, first)[1].hyperparams["learning_rate"] = 7.0
    assert first.hyperparams["learning_rate"] == 1


def test_one_that_is_deleted_is_as_it_was_given() -> None:
    """Existing code deletes keys of the dict."""
    tx = inject_hyperparams(optax.sgd)(0.1, momentum=0.5)
    state = set_hyperparams(tx.init(PARAMS), learning_rate=1.0)
    del state.hyperparams["learning_rate"]
    updates, state = tx.update(ONES, state)
    np.testing.assert_array_equal(updates["b"], np.float32(-0.1))
    assert [*state.hyperparams] == ["momentum"]


def test_one_that_was_not_injected_cannot_be_added() -> None:
    tx = inject_hyperparams(optax.sgd)(0.1)
    state = tx.init(PARAMS)
    state.hyperparams["momentum"] = 0.9
    with pytest.raises(ValueError, match="hyperparams has 'momentum'; the injected ones are 'learning_rate'"):
        tx.update(ONES, state)


@pytest.mark.parametrize("value", ["fast", None, 1j, True])
def test_what_is_no_number_cannot_be_assigned(value: Any) -> None:
    tx = inject_hyperparams(optax.sgd)(0.1)
    state = tx.init(PARAMS)
    state.hyperparams["learning_rate"] = value
    with pytest.raises(TypeError, match="learning_rate must be a real number, not "):
        tx.update(ONES, state)


# Which parameters are hyperparameters


def record(**annotations: Any) -> tuple[list[dict[str, Any]], Callable[[Any], Any]]:
    """Of a factory with a parameter x of a given annotation and default: what is passed to it."""
    calls: list[dict[str, Any]] = []

    def factory(x: Any) -> GradientTransformation:
        calls.append({"x": x})
        return optax.identity()

    factory.__annotations__ = annotations
    return calls, factory


def mask(params: Any) -> Any:
    return jax.tree.map(lambda p: True, params)


def halving(count: Any) -> Any:
    return 0.5**count


SCALAR_ARRAY = jnp.float32(0.5)
KEY = jax.random.PRNGKey(0)
EMPTY = inspect.Parameter.empty
OLDER_SPELLINGS = (Optional[float], Union[int, float])  # noqa: UP007, UP045


@pytest.mark.parametrize(
    ("annotation", "value", "role"),
    [
        *((a, 0.5, "data") for a in (float, "float", Numeric, "Numeric", ScalarOrSchedule, float | None, EMPTY, Any)),
        *((a, 0.5, "data") for a in (jax.typing.ArrayLike, chex.Numeric, np.floating, *OLDER_SPELLINGS)),
        *((Numeric, x, "data") for x in (1, np.float64(0.5), np.int32(1), SCALAR_ARRAY, np.ones(2), jnp.ones(2))),
        *((ScalarOrSchedule, x, "schedule") for x in (falling, halving, Cooling())),
        *((Numeric, x, "schedule") for x in (falling, halving, Cooling())),
        *((Numeric | None, x, "as given") for x in (None, "a", True, np.bool_(True), (0.5, 0.5), jnp.float32)),
        *((a, 1, "as given") for a in (int, "int", bool, int | None, complex)),
        *((a, 0.5, "as given") for a in (int, bool, str, tuple[float, float], Callable[[float], float])),
        *((optax.MaskOrFn, x, "as given") for x in (True, mask, {"w": True}, None)),
        (Callable[[float], float], mask, "as given"),
        (Callable[[float], float], Cooling(), "schedule"),
        (jax.typing.DTypeLike, jnp.float32, "as given"),
        *((jax.Array | int, x, "as given") for x in (KEY, 3, jax.random.key(0))),
        (jax.Array, SCALAR_ARRAY, "data"),
        *((EMPTY, x, "data") for x in (0.5, 3, np.float32(0.5), np.int64(3), SCALAR_ARRAY, jnp.ones(2))),
        *((EMPTY, x, "as given") for x in (True, "a", None, jnp.float32, np.dtype("float32"), (1, 2), KEY, {"w": 0.5})),
        *((EMPTY, x, "schedule") for x in (falling, halving, Cooling())),
        *(("OnlyForTypeCheckers", x, "data") for x in (0.5, 3)),
        ("this is no expression", None, "as given"),
    ],
    ids=lambda x: getattr(x, "__qualname__", None) or str(x)[:30],
)
def test_a_parameter_is_what_it_is_declared_to_be(annotation: Any, value: Any, role: str) -> None:
    """Defect C3: numbers are data and the rest is structure by declaration, not by guess."""
    calls, factory = record(**({} if annotation is EMPTY else {"x": annotation}))
    _, state = steps(inject_hyperparams(factory)(value), 1)[0]
    if role == "as given":
        assert (state.hyperparams, state.hyperparams_states) == ({}, {})
        assert all(call["x"] is value or call["x"] == value for call in calls)  # a dict of the user's is copied
    else:
        assert [*state.hyperparams_states] == ["x"] * (role == "schedule")
        assert state.hyperparams["x"].dtype == jnp.float32
        assert calls[-1]["x"] is state.hyperparams["x"]
        if role == "data":
            chex.assert_trees_all_equal(np.asarray(state.hyperparams["x"]), np.asarray(value, np.float32))


def test_an_integer_by_default_without_annotation_decides_about_structure() -> None:
    def factory(rate, depth=2, flag=False, more=None):  # type: ignore[no-untyped-def]
        return optax.chain(*[optax.scale(rate)] * depth)

    state = inject_hyperparams(factory)(0.5, depth=3, flag=True, more=4).init(PARAMS)
    assert [*state.hyperparams] == ["rate", "more"]
    assert len(state.inner_state) == 3


def test_arguments_beyond_the_named_ones_arrive() -> None:
    calls = []

    def factory(rate: float, /, *args: Any, last: float = 0.5, **more: Any) -> GradientTransformation:
        calls.append((rate, args, last, more))
        return optax.sgd(rate)

    tx = inject_hyperparams(factory, static_args="fixed")(0.25, 2.0, 3.0, extra=4.0, fixed=5.0, follow=falling)
    _, state = steps(tx, 1)[0]
    assert [*state.hyperparams] == ["rate", "last", "extra", "follow"]
    assert calls[-1] == (0.25, (2.0, 3.0), 0.5, {"extra": 4.0, "fixed": 5.0, "follow": 1.0})


@pytest.mark.parametrize("kind", [str, list, set, iter])
def test_static_arguments_stay_as_given(kind: Any) -> None:
    factory = inject_hyperparams(optax.adam, static_args="b1" if kind is str else kind(["b1"]))
    assert "b1" not in factory(0.1, b1=0.5).init(PARAMS).hyperparams
    assert factory == inject_hyperparams(optax.adam, ("b1",))


def test_static_arguments_must_be_parameters() -> None:
    with pytest.raises(
        ValueError, match="static_args names 'b3', 'decay'; the parameters of adam are 'learning_rate', "
    ):
        inject_hyperparams(optax.adam, static_args=("b3", "decay", "eps"))


def test_what_decides_about_structure_must_be_static() -> None:
    def factory(rate: float, momentum: float) -> GradientTransformation:
        return optax.sgd(rate, momentum) if momentum > 0 else optax.sgd(rate)

    tx = inject_hyperparams(factory)(0.1, 0.9)
    step = jax.jit(tx.update)
    with pytest.raises(jax.errors.TracerBoolConversionError) as caught:
        step(ONES, tx.init(PARAMS))
    assert "'rate', 'momentum' in the state" in caught.value.__notes__[0]
    assert "static_args" in caught.value.__notes__[0]
    tx = inject_hyperparams(factory, "momentum")(0.1, 0.9)
    jax.jit(tx.update)(ONES, tx.init(PARAMS))


def test_a_function_that_is_no_schedule_is_told_from_one() -> None:
    def factory(rate, mask=None):  # type: ignore[no-untyped-def]
        return optax.adamw(rate, mask=mask)

    with pytest.raises(TypeError, match="mask must be a real number, not True") as caught:
        inject_hyperparams(factory)(0.1, mask)
    assert "taken mask for a schedule; if it is none, name it in static_args" in caught.value.__notes__[0]
    steps(inject_hyperparams(factory, "mask")(0.1, mask), 1)


# The factory


def test_mistakes_are_reported_where_they_are_made() -> None:
    with pytest.raises(ValueError, match=r"b1 must be at least 0 and below 1, not 2\.0"):
        inject_hyperparams(optax.adam)(1e-3, b1=2.0)
    with pytest.raises(ValueError, match=r"b1 must be at least 0 and below 1, not 2\.0"):
        inject_hyperparams(optax.adam)(1e-3, b1=constant_schedule(2.0))
    with pytest.raises(TypeError, match=r"adam\(\) missing 1 required positional argument: 'learning_rate'"):
        inject_hyperparams(optax.adam)(b1=0.5)
    with pytest.raises(TypeError, match=r"inner_factory must be a function .*, not optax.optimizers.adam\(0.1\)"):
        inject_hyperparams(optax.adam(0.1))
    with pytest.raises(TypeError, match=r"what inner_factory returns must be a transformation, not 0\.1"):
        inject_hyperparams(lambda rate: rate)(0.1)


def test_a_factory_with_injection_has_the_signature_without() -> None:
    factory = inject_hyperparams(optax.adam)
    assert inspect.signature(factory) == inspect.signature(optax.adam)
    assert (factory.__name__, factory.__doc__) == ("adam", optax.adam.__doc__)
    assert factory(0.1).name == "adam"
    module = type(optax)("module")
    module.theirs = factory
    assert factories(module) == {"theirs": factory}


class Descent:
    """A class that is called for a transformation."""

    def __new__(cls, rate: float = 0.5) -> Any:
        return optax.sgd(rate)


@pytest.mark.parametrize(
    ("inner_factory", "name"),
    [
        (functools.partial(optax.sgd, momentum=0.5), "sgd"),
        (Descent, "Descent"),
        (lambda learning_rate=0.5: optax.sgd(learning_rate), "<lambda>"),
        (inject_hyperparams(optax.sgd), "sgd"),
    ],
)
def test_any_callable_is_a_factory(inner_factory: Any, name: str) -> None:
    factory = inject_hyperparams(inner_factory)
    assert factory.__name__ == name
    updates, state = steps(factory(0.25), 1)[0]
    assert state.hyperparams[next(iter(state.hyperparams))] == 0.25
    np.testing.assert_array_equal(updates["b"], -0.25)


CALLS = {
    "optax.schedules.inject_hyperparams(optax.optimizers.adam)(0.001)": lambda: inject_hyperparams(optax.adam)(1e-3),
    "optax.schedules.inject_hyperparams(optax.optimizers.adam, ('b1', 'b2'))(0.1, eps=1e-06)": lambda: (
        inject_stateful_hyperparams(optax.adam, static_args=["b2", "b1"])(0.1, eps=1e-6)
    ),
    "optax.schedules.inject_hyperparams(optax.optimizers.sgd, hyperparam_dtype='bfloat16')"
    "(optax.schedules.linear_schedule(1.0, 0.0, 10))": lambda: inject_hyperparams(
        optax.sgd, hyperparam_dtype="bfloat16"
    )(linear_schedule(1.0, 0.0, 10)),
    "optax.schedules.inject_hyperparams(functools.partial(optax.optimizers.sgd, momentum=0.5))(0.1)": lambda: (
        inject_hyperparams(functools.partial(optax.sgd, momentum=0.5))(0.1)
    ),
}


@pytest.mark.parametrize(("text", "make"), CALLS.items())
def test_optimizers_with_injection_are_values(text: str, make: Any) -> None:
    tx = make()
    assert repr(tx) == text
    for other in (make(), eval(text, {"optax": optax, "functools": functools}), pickle.loads(pickle.dumps(tx))):
        assert (other == tx, hash(other) == hash(tx), repr(other)) == (True, True, text)
    factory = tx._recipe.factory
    for other in (make()._recipe.factory, pickle.loads(pickle.dumps(factory))):
        assert (other == factory, hash(other) == hash(factory)) == (True, True)
        assert (other == inject_hyperparams(optax.adagrad), other == optax.adam) == (False, False)


def test_other_calls_make_other_values() -> None:
    a = inject_hyperparams(optax.adam)(0.1)
    assert a != optax.adam(0.1)
    assert a != inject_hyperparams(optax.adam)(0.2)
    assert a != inject_hyperparams(optax.adam, "eps")(0.1)


def test_arguments_are_as_they_were_when_they_were_passed() -> None:
    labels = {"w": True, "b": True}
    tx = inject_hyperparams(optax.adamw)(0.1, weight_decay=0.5, mask=labels)
    labels["w"] = False
    updates, _ = steps(tx, 1, {"w": jnp.float32(1e3), "b": jnp.float32(1e3)})[0]
    assert updates["w"] == updates["b"]


# Sweeps


def test_a_sweep_over_rates() -> None:
    """Defect C5, for sweeps: the optimizer is made inside, of a traced rate."""

    def trained(rate: Any) -> Any:
        tx = inject_hyperparams(optax.adam)(rate)
        return steps(tx, 2)[-1][0]

    rates = jnp.asarray([0.1, 0.2])
    swept = jax.jit(jax.vmap(trained))(rates)
    chex.assert_trees_all_close(swept, jax.tree.map(lambda *u: jnp.stack(u), *map(trained, rates)), rtol=1e-5)


def test_a_sweep_over_states() -> None:
    tx = inject_hyperparams(optax.sgd)(0.1, momentum=0.9)
    stacked = jax.tree.map(lambda x: jnp.stack([x, x]), tx.init(PARAMS))
    stacked = set_hyperparams(stacked, learning_rate=np.asarray([1.0, 2.0]), momentum=jnp.asarray([0.0, 0.5]))
    for _ in range(2):
        updates, stacked = jax.vmap(lambda state: tx.update(ONES, state))(stacked)
    np.testing.assert_allclose(updates["b"], [-1.0, -2.0 * 1.5], rtol=1e-6)


def test_derivatives_by_hyperparameters() -> None:
    def loss(rate: Any, b1: Any) -> Any:
        tx = inject_hyperparams(optax.adam)(rate)
        state = set_hyperparams(tx.init(PARAMS), b1=b1)
        _, state = tx.update(ONES, state)
        updates, _ = tx.update(tree.scale(2.0, ONES), state)
        return updates["b"]

    by_rate, by_b1 = jax.jit(jax.grad(loss, (0, 1)))(0.1, 0.9)
    np.testing.assert_allclose(by_rate, loss(1.0, 0.9), rtol=1e-5)  # the update is linear in the rate
    assert np.isfinite(by_b1)
    assert by_b1 > 0  # more of the smaller gradient before


# set_hyperparams


def state_of(*args: Any, **kwargs: Any) -> Any:
    return inject_hyperparams(optax.adam)(*args, **kwargs).init(PARAMS)


@pytest.mark.parametrize("value", [0.5, 1, np.float64(0.5), np.int64(1), jnp.float32(0.5), jnp.bfloat16(0.5), np.inf])
def test_a_new_value_takes_the_place_of_the_old(value: Any) -> None:
    before = {"optimizer": (state_of(0.1), "a leaf of another kind")}
    after = set_hyperparams(before, learning_rate=value)
    x = after["optimizer"][0].hyperparams["learning_rate"]
    assert (float(x), x.dtype, x.weak_type) == (float(value), jnp.float32, False)
    assert before["optimizer"][0].hyperparams["learning_rate"] == np.float32(0.1)
    assert after["optimizer"][0].hyperparams["b1"] is before["optimizer"][0].hyperparams["b1"]
    after["optimizer"][0].hyperparams["b1"] = 0.0
    assert before["optimizer"][0].hyperparams["b1"] == np.float32(0.9)


def test_a_schedule_does_not_silently_win() -> None:
    """Defect C4."""
    with pytest.raises(ValueError, match="'learning_rate' follows a schedule, which would overwrite the new value"):
        set_hyperparams(state_of(falling), learning_rate=0.1)


@pytest.mark.parametrize("mesh", [False, True])
def test_nothing_is_compiled_for_a_new_value(mesh: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Defect C4: three new values, no new program."""
    tx = inject_hyperparams(optax.sgd)(0.1, momentum=0.9)

    @jax.jit
    def our_step(state: Any) -> Any:
        return tx.update(ONES, state)[1]

    state = tx.init(PARAMS)
    if mesh:
        state = jax.device_put(state, NamedSharding(jax.make_mesh((2,), ("x",), devices=jax.devices()[:2]), P()))
    state = our_step(state)
    sharding = state.hyperparams["momentum"].sharding
    with jax.log_compiles():
        for value in (0.5, np.float64(0.25), jnp.float32(0.125)):
            state = our_step(set_hyperparams(state, learning_rate=value))
            assert state.hyperparams["learning_rate"] == value
    assert state.hyperparams["learning_rate"].sharding == sharding
    assert [m for m in caplog.messages if "Compiling" in m and "our_step" in m] == []


def test_it_works_inside_compiled_code() -> None:
    tx = inject_hyperparams(optax.sgd)(0.1)

    @jax.jit
    def step(state: Any, rate: Any) -> Any:
        return tx.update(ONES, set_hyperparams(state, learning_rate=rate))

    updates, state = step(tx.init(PARAMS), 3)  # a traced integer
    assert (updates["b"], state.hyperparams["learning_rate"].dtype) == (-3, jnp.float32)
    assert jax.jit(lambda state: set_hyperparams(state, learning_rate=2))(state).hyperparams["learning_rate"] == 2


def test_states_of_other_releases() -> None:
    state = InjectHyperparamsState(jnp.int32(0), {"rate": jnp.bfloat16(1), "decay": 0.1}, (optax.EmptyState(),))
    after = set_hyperparams(state, rate=2, decay=1)
    assert after.hyperparams == {"rate": 2, "decay": 1}
    assert after.hyperparams["rate"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"learning_rat": 1.0}, ValueError, "no hyperparameter 'learning_rat', .*; did you mean 'learning_rate'"),
        ({"zzz": 1.0}, ValueError, "there are: 'b1', 'b2', 'eps', 'eps_root', 'learning_rate'$"),
        ({"b1": [0.9, 0.8]}, ValueError, r"b1 must be of shape \(\), not of shape \(2,\): \[0.9, 0.8\]"),
        ({"b1": float("nan")}, ValueError, "b1 must be a number, not nan"),
        ({"b1": "0.9"}, TypeError, "b1 must be a real number, not '0.9'"),
        *(({"b1": x}, TypeError, "b1 must be a real number") for x in (None, True, 1j, falling, jax.random.key(0))),
    ],
    ids=str,
)
def test_what_cannot_be_set(values: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        set_hyperparams(state_of(0.1), **values)


def test_a_name_must_be_that_of_one_hyperparameter() -> None:
    groups = {"a": inject_hyperparams(optax.sgd)(0.1), "b": inject_hyperparams(optax.adam)(0.2)}
    state = optax.chain(optax.clip(1.0), optax.partition(groups, {"w": "a", "b": "b"})).init(PARAMS)
    with pytest.raises(ValueError, match=r"2 hyperparameters 'learning_rate', at \[1\].*\['a'\].*, \[1\].*\['b'\]"):
        set_hyperparams(state, learning_rate=1.0)
    assert tree.get(set_hyperparams(state, b1=0.5), "b1") == 0.5


@pytest.mark.parametrize("state", [optax.adam(0.1).init(PARAMS), (), None, optax.EmptyState()], ids=str)
def test_there_must_be_hyperparameters(state: Any) -> None:
    with pytest.raises(ValueError, match="make the optimizer with inject_hyperparams"):
        set_hyperparams(state, learning_rate=1.0)


# WrappedSchedule


def test_a_wrapped_schedule_counts() -> None:
    wrapped = WrappedSchedule(falling)
    state = wrapped.update(wrapped.init(), value=3.0)
    assert (wrapped(state, value=3.0), state.count, state.count.dtype) == (falling(1), 1, jnp.int32)
    assert wrapped.schedule_fn is falling


def test_a_wrapped_schedule_is_a_value() -> None:
    wrapped = WrappedSchedule(falling)
    text = "optax.schedules.WrappedSchedule(optax.schedules.linear_schedule(1.0, 0.0, 10))"
    assert repr(wrapped) == text
    for other in (WrappedSchedule(linear_schedule(1.0, 0.0, 10)), eval(text), pickle.loads(pickle.dumps(wrapped))):
        assert (other == wrapped, hash(other) == hash(wrapped)) == (True, True)
    assert wrapped != WrappedSchedule(constant_schedule(1.0))
    assert wrapped != falling
    with pytest.raises(TypeError, match=r"schedule_fn must be a function of the step count, not 0\.1"):
        WrappedSchedule(0.1)  # type: ignore[arg-type]


def test_a_schedule_and_the_same_one_wrapped_do_the_same() -> None:
    for schedule in (falling, WrappedSchedule(falling)):
        assert steps(inject_hyperparams(optax.sgd)(schedule), 2)[1][1].hyperparams["learning_rate"] == falling(1)

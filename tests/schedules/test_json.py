import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from contract.test_schedules import FACTORIES, made
from optax.schedules import (
    ScheduleValue,
    constant_schedule,
    join_schedules,
    linear_schedule,
    polynomial_schedule,
    schedule,
    schedule_from_json,
    schedule_to_json,
    warmup_cosine_decay_schedule,
)
from x64 import enable_x64


@schedule
def anything(value: Any = None, *rest: Any, mode: Any = "up", **others: Any) -> ScheduleValue:
    """A factory that takes all arguments."""
    return ScheduleValue(lambda t: t)


@schedule
def positional(value: Any, /, other: Any = 0) -> ScheduleValue:
    """A factory that takes an argument by its place only."""
    return ScheduleValue(lambda t: t)


@schedule
def halved(part: Callable[[Any], Any]) -> ScheduleValue:
    """A user's schedule of a schedule."""
    return ScheduleValue(lambda t: part(t) / 2)


def assert_comes_back(s: ScheduleValue) -> ScheduleValue:
    text = schedule_to_json(s)
    again = schedule_from_json(text, [anything, positional, halved])
    assert again == s
    assert repr(again) == repr(s)  # which equality does not see: Python, NumPy or JAX, and whether a default was given
    assert schedule_to_json(again) == text
    assert schedule_from_json(schedule_to_json(s, indent=2), [anything, positional, halved]) == s
    return again


def without_functions(s: Any) -> Any:
    """The same call with constant schedules in the place of plain functions."""

    def replaced(x: Any) -> Any:
        if isinstance(x, ScheduleValue):
            return without_functions(x)
        if type(x) in (list, tuple):
            return type(x)(map(replaced, x))
        return constant_schedule(0.5) if callable(x) else x

    recipe = s._recipe
    return recipe.factory(*map(replaced, recipe.arguments.args), **recipe.arguments.kwargs)


@pytest.mark.parametrize("name", sorted(FACTORIES))
def test_every_schedule_comes_back(name: str) -> None:
    assert_comes_back(without_functions(made(name)))


def test_the_form() -> None:
    inner = polynomial_schedule(1.0, 0.0, power=2, transition_steps=10)
    joined = join_schedules([linear_schedule(0.0, 1.0, 5), inner], boundaries=[5])
    text = schedule_to_json(joined)
    assert [schedule_from_json(text)(t) for t in (3, 7)] == [joined(t) for t in (3, 7)]
    assert json.loads(text) == {
        "@schedule": "join_schedules",
        "schedules": [
            {"@schedule": "linear_schedule", "init_value": 0.0, "end_value": 1.0, "transition_steps": 5},
            {
                "@schedule": "polynomial_schedule",
                "init_value": 1.0,
                "end_value": 0.0,
                "power": 2,
                "transition_steps": 10,
            },
        ],
        "boundaries": [5],
    }
    assert "\n" not in text
    assert schedule_to_json(inner, indent=4).splitlines()[1] == '    "@schedule": "polynomial_schedule",'


NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(
        [
            np.float32(0.1),
            np.int8(-3),
            np.bool_(True),
            jnp.float32(1e-7),
            jnp.bfloat16(0.3),
            np.array([[1, 2], [3, 4]], np.uint16),
            np.array([2**64 - 1, 0], np.uint64),
            np.array([0.1, math.inf]),
            np.zeros((0, 3), np.float16),
            np.array([1.5, 2.0], ">f4"),
            jnp.arange(3),
            jnp.array([[True], [False]]),
            jnp.asarray([0.25, 3], jnp.float8_e4m3fn),
        ]
    ),
)
TEXTS = st.one_of(st.text(max_size=3), st.sampled_from(["@schedule", "@float", "dtype", "shape", "inf"]))
KEYS = st.one_of(TEXTS, st.integers(), st.booleans(), st.none(), st.tuples(st.integers(), TEXTS))
ARGUMENTS = st.recursive(
    st.one_of(NUMBERS, st.none(), st.booleans(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(TEXTS, inner, max_size=3),
        st.lists(inner, max_size=2).map(lambda rest: anything(0, *rest)),
        inner.map(positional),
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(["a", "schedule", "factory", "part", "self", "rest", "value_"])


@hypothesis.given(st.lists(ARGUMENTS, max_size=3), st.dictionaries(NAMES, ARGUMENTS, max_size=2))
def test_all_arguments_come_back(args: list[Any], others: dict[str, Any]) -> None:
    assert_comes_back(anything(*args, **others))


@pytest.mark.parametrize("kind", [list, tuple])
def test_kinds_stay(kind: type) -> None:
    s = anything(kind([1, True, 1.0, kind([]), {1: "1", "1": 1}]), mode=kind([np.array(2.0), jnp.array(2.0)]))
    (value, mode) = assert_comes_back(s)._recipe.arguments.arguments.values()
    assert [type(x) for x in value] == [int, bool, float, kind, dict]
    assert value[4] == {1: "1", "1": 1}
    assert [type(x) for x in mode] == [np.ndarray, type(jnp.array(2.0))]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"a": 1, "dtype": "int8", "shape": []}, {"a": 1, "dtype": "int8", "shape": []}),
        ({"a": 1, "@b": 2}, {"@dict": [["a", 1], ["@b", 2]]}),
        ({10: 0.5}, {"@dict": [[10, 0.5]]}),
        ((1, None), {"@tuple": [1, None]}),
        (math.inf, {"@float": "inf"}),
        (np.float32(0.5), {"@numpy_scalar": [0.5], "dtype": "float32", "shape": []}),
        (np.array([[1], [2]], np.int8), {"@numpy": [1, 2], "dtype": "int8", "shape": [2, 1]}),
        (jnp.array(True), {"@jax": [True], "dtype": "bool", "shape": []}),
    ],
)
def test_the_forms_of_arguments(value: Any, form: Any) -> None:
    assert json.loads(schedule_to_json(anything(value)))["value"] == form
    assert_comes_back(anything(value))


def test_only_the_given_arguments_are_written() -> None:
    assert [*json.loads(schedule_to_json(anything()))] == ["@schedule"]
    assert [*json.loads(schedule_to_json(anything(mode="up")))] == ["@schedule", "mode"]


def test_it_is_strict_json() -> None:
    text = schedule_to_json(anything(math.inf, -math.inf, math.nan, np.array([math.nan, -math.inf], np.float32)))
    assert not {"NaN", "Infinity"} & {*re.findall(r"\w+", text)}
    read = schedule_from_json(text, [anything])._recipe.arguments
    assert read.arguments["value"] == math.inf
    assert read.arguments["rest"][0] == -math.inf
    np.testing.assert_array_equal(read.arguments["rest"][1], math.nan)
    np.testing.assert_array_equal(read.arguments["rest"][2], np.array([math.nan, -math.inf], np.float32), strict=True)


def test_64_bits_need_x64() -> None:
    with enable_x64():
        text = schedule_to_json(constant_schedule(jnp.array(0.1)))
        assert schedule_from_json(text) == constant_schedule(jnp.array(0.1))
    with pytest.raises(ValueError, match=r"^constant_schedule.value has the dtype float64, .* set jax_enable_x64$"):
        schedule_from_json(text)


def test_own_factories() -> None:
    s = halved(join_schedules([halved(linear_schedule(0.0, 1.0, 5))], []))
    text = schedule_to_json(s)
    assert schedule_from_json(text, factories=[halved]) == s
    with pytest.raises(ValueError, match=r"^text names an unknown factory 'halved'; give your own ones as `factories`"):
        schedule_from_json(text)


def plain(t: Any) -> Any:
    return t


UNWRITABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "a function": (
        lambda: join_schedules([constant_schedule(1.0), lambda t: t], [3]),
        r"^join_schedules.schedules\[1\] cannot be written as JSON: <function .*; a factory decorated with",
    ),
    "far inside": (
        lambda: halved(join_schedules([halved(plain)], [])),
        r"^halved.part.schedules\[0\].part cannot be written as JSON: <function plain",
    ),
    "a rule": (
        lambda: halved(ScheduleValue(plain)),
        "^halved.part was made from a rule, not by a factory: ScheduleValue.*plain.*cannot be written",
    ),
    "nothing but a rule": (lambda: ScheduleValue(plain), "^schedule was made from a rule, not by a factory"),
    "no schedule": (lambda: plain, "^schedule must be the result of a factory of schedules, not <function plain"),
    "in a dict": (lambda: anything({3: [plain]}), r"^anything.value\[3\]\[0\] cannot be written"),
    "a key": (lambda: anything({plain: 3}), r"^anything.value: key <function plain.*> cannot be written"),
    "in rest": (lambda: anything(1, 2, plain), r"^anything.rest\[1\] cannot be written"),
    "in others": (lambda: anything(a=plain), r"^anything.others\['a'\] cannot be written"),
    "a set": (lambda: anything({1, 2}), r"^anything.value cannot be written as JSON: \{1, 2\}$"),
    "an ordered dict": (lambda: anything(OrderedDict(a=1)), "^anything.value cannot be written as JSON: OrderedDict"),
    "complex": (lambda: anything(1j), "^anything.value cannot be written as JSON: 1j$"),
    "a complex array": (lambda: anything(np.array([1j])), "^anything.value cannot be written as JSON: array"),
    "strings of NumPy": (lambda: anything(np.array(["a"])), "^anything.value cannot be written as JSON: array"),
    "a random key": (lambda: anything(jax.random.key(0)), "^anything.value cannot be written as JSON: Array"),
    "a dtype": (lambda: anything(np.dtype("int8")), "^anything.value cannot be written as JSON: dtype"),
}


@pytest.mark.parametrize("case", UNWRITABLE)
def test_what_cannot_be_written(case: str) -> None:
    make, message = UNWRITABLE[case]
    with pytest.raises(TypeError, match=message):
        schedule_to_json(make())


def test_traced_values_cannot_be_written() -> None:
    def value(x: jax.Array) -> jax.Array:
        schedule_to_json(halved(constant_schedule(x)))
        return x

    with pytest.raises(TypeError, match=r"^halved.part.value is traced: .* has no number yet"):
        jax.jit(value)(1.0)


def test_a_factory_must_not_go_by_the_name_of_ours() -> None:
    def impostor(value: Any) -> ScheduleValue:
        return ScheduleValue(plain)

    impostor.__name__ = "constant_schedule"
    other = schedule(impostor)
    with pytest.raises(TypeError, match=r"^halved.part was made by .*impostor, which has the name of .*: rename it"):
        schedule_to_json(halved(other(1.0)))
    text = schedule_to_json(constant_schedule(1.0))
    with pytest.raises(ValueError, match=r"^factories has another 'constant_schedule' than optax.schedules.*: rename"):
        schedule_from_json(text, [other])
    assert schedule_from_json(text, [constant_schedule]) == constant_schedule(1.0)


def called(**arguments: Any) -> str:
    return json.dumps({"@schedule": "anything"} | arguments)


ARRAY = {"@numpy": [1, 2], "dtype": "int8", "shape": [2]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^text is not JSON: Expecting value: line 1 column 1"),
        ('{"@schedule": "anything", }', "^text is not JSON: "),
        ('{"@schedule": "anything", "value": NaN}', "^text is not JSON: it has no NaN"),
        ('{"@schedule": "anything", "value": -Infinity}', "^text is not JSON: it has no -Infinity"),
        (
            '{"@schedule": "anything", "value": 1, "value": 2}',
            "^text has a key twice in .*'value', 'value'",
        ),
        ("[1, 2]", r"^text must be a JSON object with the key '@schedule', not \[1, 2\]"),
        ('{"value": 1}', "^text must be a JSON object with the key '@schedule', not {'value': 1}"),
        ('{"@schedule": "os.system"}', "^text names an unknown factory 'os.system'"),
        ('{"@schedule": "schedule_from_json"}', "^text names an unknown factory 'schedule_from_json'"),
        ('{"@schedule": "ScheduleValue"}', "^text names an unknown factory 'ScheduleValue'"),
        ('{"@schedule": ["anything"]}', r"^text names an unknown factory \['anything'\]"),
        (
            '{"@schedule": "liner_schedule"}',
            "^text .*'liner_schedule'; did you mean 'linear_schedule'",
        ),
        (called(rest=[0, {"@schedule": "x"}]), r"^anything.rest\[1\] names an unknown factory 'x'"),
        (called(value={"@a": 1}), "^anything.value must be something that schedule_to_json writes, not {'@a': 1}"),
        (called(value=[{"a": {"@": 1}}]), r"^anything.value\[0\]\['a'\] must be something that"),
        (called(value={"@float": 1.0}), "^anything.value must be something that"),
        (called(value={"@float": "1.0"}), "^anything.value must be something that"),
        (called(value={"@float": "inf", "a": 1}), "^anything.value must be something that"),
        (called(value={"@tuple": 1}), "^anything.value must be something that"),
        (called(value={"@dict": [[1, 2, 3]]}), "^anything.value must be something that"),
        (called(value={"@dict": [[[1], 2]]}), "^anything.value must be something that"),
        (called(value={"@numpy": [1]}), "^anything.value must be something that"),
        (called(value={"@cupy": [1], "dtype": "int8", "shape": [1]}), "^anything.value must be something that"),
        (called(value=ARRAY | {"dtype": "object"}), "^anything.value must have a dtype of real numbers, not 'object'"),
        (called(value=ARRAY | {"dtype": "f4,f4"}), "^anything.value must have a dtype of real numbers, not 'f4,f4'"),
        (called(value=ARRAY | {"dtype": "int9"}), "^anything.value must have a dtype of real numbers, not 'int9'"),
        (called(value=ARRAY | {"shape": [3]}), r"^anything.value has 2 numbers, not those of the shape \[3\]"),
        (called(value=ARRAY | {"shape": [-1]}), r"^anything.value has 2 numbers, not those of the shape \[-1\]"),
        (
            called(value=ARRAY | {"@numpy": [1, 2.5]}),
            r"^anything.value must .* of dtype int8, not \[1, 2.5\]",
        ),
        (
            called(value=ARRAY | {"@numpy": [1, 128]}),
            r"^anything.value must .* of dtype int8, not \[1, 128\]",
        ),
        (called(value=ARRAY | {"@numpy": [1, "a"]}), "^anything.value must .* of dtype int8"),
        (
            called(value=ARRAY | {"@numpy": [1, 10**400], "dtype": "float32"}),
            "^anything.value must .* of dtype float32",
        ),
        (called(value=ARRAY | {"@numpy": [1, 2**70]}), "^anything.value must .* of dtype int8"),
        (
            called(value=ARRAY | {"@numpy": [1, -1], "dtype": "uint8"}),
            "^anything.value must .* of dtype uint8",
        ),
    ],
)
def test_malformed_texts(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedule_from_json(text, [anything])


@pytest.mark.parametrize(
    ("inner", "error", "message"),
    [
        ({"@schedule": "positional"}, TypeError, "missing 1 required positional argument: 'value'"),
        ({"@schedule": "positional", "value": 1, "valu": 2}, TypeError, "unexpected keyword argument 'valu'"),
        ({"@schedule": "linear_schedule", "init_value": 1}, TypeError, "missing 2 required positional arguments"),
        ({"@schedule": "constant_schedule", "value": "high"}, TypeError, "value must be a real number, not 'high'"),
        (
            {"@schedule": "linear_schedule", "init_value": 0, "end_value": 1, "transition_steps": -1},
            ValueError,
            "transition_steps must be at least 0, not -1",
        ),
        ({"@schedule": "anything", "rest": 1}, TypeError, "rest must be a list, not 1"),
        ({"@schedule": "anything", "others": [1]}, TypeError, r"others must be a dict, not \[1\]"),
    ],
)
def test_what_a_factory_refuses(inner: dict[str, Any], error: type[Exception], message: str) -> None:
    text = json.dumps({"@schedule": "halved", "part": {"@tuple": [inner]}})
    with pytest.raises(error, match=message) as raised:
        schedule_from_json(text, [anything, positional, halved])
    assert raised.value.__notes__ == ["at halved.part[0] in the text"]


def required_first(value: Any, *rest: Any) -> ScheduleValue:
    return ScheduleValue(plain)


def test_no_argument_takes_the_place_of_a_missing_one() -> None:
    factory = schedule(required_first)
    with pytest.raises(TypeError, match=r"rest|missing"):
        schedule_from_json('{"@schedule": "required_first", "rest": [1]}', [factory])


@pytest.mark.parametrize("factories", [[plain], [len], [3]])
def test_factories_are_decorated(factories: Sequence[Any]) -> None:
    with pytest.raises(TypeError, match=r"^factories must be decorated with optax.schedules.schedule, .* is not"):
        schedule_from_json(schedule_to_json(warmup_cosine_decay_schedule(0.0, 1.0, 1, 2)), factories)


def test_a_result_that_is_no_schedule_is_refused() -> None:
    wrapped = schedule(required_first).__wrapped__  # type: ignore[attr-defined]

    def other(value: Any) -> Any:
        return wrapped(value)

    other.__wrapped__ = wrapped  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match=r"^other is not decorated with optax.schedules.schedule"):
        schedule_from_json('{"@schedule": "other", "value": 1}', [other])

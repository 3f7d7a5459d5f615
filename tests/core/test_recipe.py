"""Transformations are values: they print as the call that made them, equal calls are equal, and they pickle.

All of it is defect G6, and C5 where compilation is concerned.
"""

import collections
import copy
import functools
import importlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import optax
from optax.core import GradientTransformation, GradientTransformationExtraArgs, chain, identity, stateless

# A library of someone else's, importable under this name. `address` prefers a public package to its private module.
THIRD_PARTY = '''
"""A module that knows only optax.core."""

import dataclasses
import enum
from typing import Any, NamedTuple

from optax.core import GradientTransformation, Recipe, leafwise, scaled, transformation


class Spec(NamedTuple):
    x: Any
    f: Any


class Mode(enum.Enum):
    FAST = 1


@dataclasses.dataclass(frozen=True)
class Options:
    x: int


class Schedules:
    def falling(self, count):
        return 0.1

    @staticmethod
    def flat(count):
        return 0.1


def schedule(count, start=0.1):
    return start


@transformation
def holding(value, other=None, *more, keyword=3, **rest):
    """Multiply by 2, whatever it holds."""
    return leafwise(lambda g: scaled(g, 2.0))


class Scaling:
    """A factory that a call makes."""

    def __init__(self, unit):
        self.unit = unit
        self._recipe = Recipe.of(Scaling, unit)

    def __call__(self, value, more=()):
        tx = leafwise(lambda g: scaled(g, self.unit * value))
        tx._recipe = Recipe.of(self, value, **({"more": more} if more else {}))
        return tx

    def __repr__(self):
        return repr(self._recipe)

    def __eq__(self, other):
        return isinstance(other, Scaling) and self._recipe == other._recipe

    def __hash__(self):
        return hash(self._recipe)
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the third party's package, on the path of this process."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "third_party").mkdir()
    (folder / "third_party" / "_private.py").write_text(THIRD_PARTY)
    (folder / "third_party" / "__init__.py").write_text("from third_party._private import *\n")
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))
    for name in ("third_party", "third_party._private"):
        del sys.modules[name]


@pytest.fixture(scope="module")
def they(library: Path) -> Any:
    """The third party's package."""
    return importlib.import_module("third_party")


def rebuilt(tx: Any) -> Any:
    """What the printed call makes, given the modules that it names."""
    modules = {name: importlib.import_module(name) for name in ("functools", "jax", "numpy", "optax", "third_party")}
    return eval(repr(tx), {"__builtins__": __builtins__, **modules})


PLAIN = {
    "none": None,
    "number": 1.5,
    "string": "a",
    "bytes": b"a",
    "list": [1, (2,), []],
    "dict": {"a": [1, {"b": ()}], "c": (1, 2)},
    "set": {1, 2},
    "ellipsis": ...,
    "numpy scalar": np.float32(0.1),
    "numpy bool": np.bool_(True),
    "numpy array": np.asarray([[1, 2]]),
    "array": jnp.asarray([0.1, 2.0]),
    "bfloat16 array": jnp.asarray([[0.1]], jnp.bfloat16),
    "complex array": jnp.asarray(1 + 2j),
    "raw key": jax.random.PRNGKey(3),
    "jnp dtype": jnp.bfloat16,
    "numpy dtype class": np.float32,
    "dtype by name": "bfloat16",
    "class": float,
    "function": len,
    "factory": optax.adam,
    "transformation": optax.adam(0.1),
    "nested": chain(optax.clip_by_global_norm(1.0), chain(), optax.masked(optax.sgd(np.float32(0.1)), {"w": True})),
}

# What has no `repr` that would do.
SPECIAL = {
    "infinity": float("inf"),
    "numpy infinity": np.float32("inf"),
    "array of infinity": jnp.asarray([jnp.inf]),
    "array without elements": jnp.zeros((0, 3)),
    "bfloat16 scalar": np.asarray(jnp.ones(1, jnp.bfloat16))[0],
    "dtype": np.dtype("bfloat16"),
    "typed key": jax.random.key(3),
    "ufunc": np.add,
    "jax.nn function": jax.nn.relu,
}


@pytest.mark.parametrize(
    "value",
    [
        *(pytest.param(value, id=name) for name, value in PLAIN.items()),
        *(pytest.param(value, id=name) for name, value in SPECIAL.items()),
    ],
)
def test_printed_call_makes_an_equal_value(they: Any, value: Any) -> None:
    tx = they.holding(value)
    again = rebuilt(tx)
    assert again == tx
    assert hash(again) == hash(tx)
    assert repr(again) == repr(tx)


@pytest.mark.parametrize(
    "make",
    [
        lambda they: they.schedule,
        lambda they: functools.partial(they.schedule, start=0.2),
        lambda they: they.Schedules.flat,
        lambda they: they.Schedules,
        lambda they: [they.schedule, {"a": they.schedule}],
        lambda they: they.holding(they.holding),
        lambda they: they.Spec(1, they.schedule),
        lambda they: they.Mode.FAST,
        lambda they: they.Options(1),
    ],
)
def test_what_is_importable_prints_under_its_address(they: Any, make: Any) -> None:
    tx = they.holding(make(they))
    assert "third_party." in repr(tx)
    assert "_private" not in repr(tx)
    assert rebuilt(tx) == tx


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f(1), "(1)"),
        (lambda f: f(1, 2), "(1, 2)"),
        (lambda f: f(1, other=2), "(1, 2)"),
        (lambda f: f(other=2, value=1), "(1, 2)"),
        (lambda f: f(1, keyword=2), "(1, keyword=2)"),
        (lambda f: f(1, 2, 3, 4, keyword=5, z=[6]), "(1, 2, 3, 4, keyword=5, z=[6])"),
        (lambda f: f(1, z="a"), "(1, z='a')"),
    ],
)
def test_the_arguments_that_were_given_are_printed(they: Any, call: Any, text: str) -> None:
    assert repr(call(they.holding)) == f"third_party.holding{text}"
    assert rebuilt(call(they.holding)) == call(they.holding)


def test_an_argument_left_out_in_front_is_printed_by_keyword() -> None:
    assert repr(optax.adam(0.1, eps=1e-6)) == "optax.optimizers.adam(0.1, eps=1e-06)"
    assert repr(identity()) == "optax.core.identity()"


@pytest.mark.parametrize(
    "thing",
    [
        pytest.param({0: 0.1}.get, id="dict.get"),
        pytest.param(str.upper, id="str.upper"),
        pytest.param(lambda count: 0.1, id="lambda"),
        pytest.param(object(), id="object"),
        pytest.param(jax.jit(lambda count: 0.1), id="jitted"),
    ],
)
def test_everything_can_be_printed(they: Any, thing: Any) -> None:
    """A message that cannot be printed hides the error that it should tell."""
    assert repr(they.holding(thing)).startswith("third_party.holding(")


def test_a_bound_method_does_not_print_as_the_function(they: Any) -> None:
    method = they.Schedules().falling
    assert f"{they.holding(method)}" != f"{they.holding(they.Schedules.falling)}"


# Equality


@pytest.mark.parametrize("value", [*PLAIN.values(), *SPECIAL.values()], ids=[*PLAIN, *SPECIAL])
def test_equal_calls_make_equal_values(they: Any, value: Any) -> None:
    again = copy.deepcopy(value) if isinstance(value, (list, dict, set, np.ndarray, jax.Array)) else value
    a, b = they.holding(value), they.holding(again)
    assert a == b
    assert (a != b) is False
    assert hash(a) == hash(b)
    assert a != they.holding("something else")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1, 0.2),
        (0.1, np.float32(0.1)),
        (np.float32(0.5), np.float64(0.5)),
        (jnp.float32(0.5), jnp.bfloat16(0.5)),
        (jnp.zeros(3), jnp.zeros((3, 1))),
        (jnp.asarray([1.0, 2.0]), jnp.asarray([1.0, 3.0])),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        (jax.random.key(0), jax.random.key(1)),
        (jax.random.key(0), jax.random.key_data(jax.random.key(0))),
        (jax.random.key(0), jax.random.key(0, impl="rbg")),
        (lambda count: 0.1, lambda count: 0.1),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (functools.partial(max, 1), functools.partial(min, 1)),
        (optax.adam(0.1), optax.adam(0.2)),
        (optax.adam(0.1), optax.adamw(0.1)),
        (jnp.float32, jnp.bfloat16),
    ],
)
def test_different_calls_make_different_values(they: Any, one: Any, other: Any) -> None:
    assert they.holding(one) != they.holding(other)


def test_defaults_and_keywords_make_no_difference() -> None:
    assert optax.adam(0.1) == optax.adam(learning_rate=0.1, b1=0.9) == optax.adam(0.1, 0.9, nesterov=False)
    assert hash(optax.adam(0.1)) == hash(optax.adam(learning_rate=0.1, b1=0.9))


def test_numpy_and_jax_arrays_of_one_content_are_equal(they: Any) -> None:
    assert they.holding(np.float32(0.1)) == they.holding(jnp.float32(0.1))
    assert hash(they.holding(np.float32(0.1))) == hash(they.holding(jnp.float32(0.1)))


def consistent(a: Any, b: Any) -> None:
    """Equality is symmetric, and what is equal hashes alike."""
    assert (a == b) == (b == a)
    assert hash(a) == hash(b) or a != b


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (jnp.float32, np.float32),
        ("float32", np.dtype("float32")),
        (jnp.float32, np.dtype("float32")),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
)
def test_what_is_equal_hashes_alike(they: Any, one: Any, other: Any) -> None:
    consistent(they.holding(one), they.holding(other))


def test_sets_have_no_order(they: Any) -> None:
    assert they.holding({0, 8}) == they.holding({8, 0})


def test_dicts_have_no_order(they: Any) -> None:
    assert they.holding({"a": 1, "b": 2}) == they.holding({"b": 2, "a": 1})


@pytest.mark.parametrize("by_hand", [tuple, lambda tx: GradientTransformationExtraArgs(*tx)], ids=["tuple", "by hand"])
def test_a_pair_of_the_same_functions_compares_the_same_both_ways(by_hand: Any) -> None:
    tx = optax.adam(0.1)
    consistent(tx, by_hand(tx))


def test_one_put_together_by_hand_compares_by_its_functions() -> None:
    init, update = identity()
    assert GradientTransformation(init, update) == GradientTransformation(init, update)
    assert hash(GradientTransformation(init, update)) == hash(GradientTransformation(init, update))
    assert GradientTransformation(init, update) != GradientTransformation(init, lambda *args: args)
    assert repr(GradientTransformation(init, update)).startswith("GradientTransformation(init=<function")


@pytest.mark.parametrize("other", [None, 3, "optax.core.identity()", ()])
def test_a_transformation_is_equal_to_nothing_else(other: Any) -> None:
    assert identity() != other


def test_ordered_dicts_have_an_order(they: Any) -> None:
    """Taken for equal, the second would be run with the code compiled for the first."""
    one, other = collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)
    assert they.holding(one) != they.holding(other)


@pytest.mark.parametrize("argument", [jnp.sin, jax.nn.relu, jax.jit(len), object()], ids=["jnp", "nn", "jit", "object"])
def test_a_deep_copy_is_equal_whatever_it_holds(they: Any, argument: Any) -> None:
    """The transformation in a copied training state is still the same key of jit's cache."""
    tx = they.holding(argument)
    assert copy.deepcopy({"tx": tx})["tx"] == tx


@pytest.mark.parametrize(("thing", "name"), [(jax.nn.relu, "jax.nn.relu"), (jax.random.normal, "jax.random.normal")])
def test_functions_of_jax_print_under_their_public_names(they: Any, thing: Any, name: str) -> None:
    assert repr(they.holding(thing)) == f"third_party.holding({name})"


class Unhashable:
    """Equal to everything, like an object that does not say what it is worth."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None


def test_what_cannot_be_hashed_is_equal_to_itself_only(they: Any) -> None:
    thing = Unhashable()
    assert they.holding(thing) == they.holding(thing)
    assert hash(they.holding(thing)) == hash(they.holding(thing))
    assert they.holding(thing) != they.holding(Unhashable())


# Copies and pickles

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda tx: pickle.loads(pickle.dumps(tx))}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize(
    "argument", [*PLAIN, *(name for name in SPECIAL if name != "jax.nn function")]
)  # JAX itself cannot pickle that one
def test_copies_are_equal(they: Any, argument: str, name: str) -> None:
    value = (PLAIN | SPECIAL)[argument]
    tx = they.holding(value)
    again = COPIES[name](tx)
    assert again == tx
    assert hash(again) == hash(tx)
    assert float(again.update(jnp.float32(1), again.init(1.0))[0]) == 2


@pytest.mark.parametrize("name", COPIES)
def test_one_put_together_by_hand_copies_if_its_functions_do(name: str) -> None:
    tx = GradientTransformation(optax.core.init_empty_state, copy.copy)
    assert COPIES[name](tx) == tx


def test_a_pickle_is_read_by_another_process(library: Path, they: Any, tmp_path: Path) -> None:
    values = [
        they.holding({"a": jnp.asarray([1.0, 2.0]), "b": they.schedule}),
        optax.adamw(functools.partial(they.schedule, start=0.2), mask={"w": True}),
        chain(optax.clip_by_global_norm(jnp.float32(1)), optax.masked(optax.sgd(0.1, momentum=0.9), [True, False])),
    ]
    file = tmp_path / "values.pickle"
    file.write_bytes(pickle.dumps(values))
    script = "import pickle, sys; sys.path.append(sys.argv[1]); print(*pickle.load(open(sys.argv[2], 'rb')), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script, library, file], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [repr(tx) for tx in values]


def test_a_factory_that_no_pickle_can_find_says_so_in_time() -> None:
    @optax.core.transformation
    def local() -> GradientTransformation:
        return identity()

    with pytest.raises(Exception, match="local"):
        pickle.dumps(local())


# Factories


def test_a_factory_keeps_its_signature_and_its_mistakes(they: Any) -> None:
    assert they.holding.__name__ == "holding"
    assert they.holding.__doc__ == "Multiply by 2, whatever it holds."
    with pytest.raises(TypeError, match=r"holding\(\) missing 1 required positional argument: 'value'"):
        they.holding()


def test_the_result_is_a_pair_of_functions(they: Any) -> None:
    tx = they.holding(1)
    init, update = tx
    assert (init, update) == (tx.init, tx.update) == (tx[0], tx[1])
    assert isinstance(tx, GradientTransformation)
    assert tx.name == "holding"
    assert float(update(jnp.float32(3), init(None))[0]) == 6


def test_a_factory_that_returns_another_factorys_result_puts_its_name_on_it(they: Any) -> None:
    assert repr(optax.scale_by_learning_rate(0.5)) == "optax.transforms.scale_by_learning_rate(0.5)"
    assert optax.scale_by_learning_rate(0.5) != optax.scale(-0.5)
    inner = optax.scale(-0.5)
    assert repr(inner) == "optax.transforms.scale(-0.5)"  # and leaves that one's alone


def test_replacing_a_function_forgets_the_call() -> None:
    tx = optax.adam(0.1)._replace(init=lambda params: ())
    assert repr(tx).startswith("GradientTransformationExtraArgs(init=<function")
    assert tx != optax.adam(0.1)


# Factories that were made by a call


@pytest.mark.parametrize("name", COPIES)
def test_results_of_a_factory_that_a_call_has_made_are_values(they: Any, name: str) -> None:
    tx = they.Scaling(2.0)(3, more=[1])
    assert repr(tx) == "third_party.Scaling(2.0)(3, [1])"
    for again in (they.Scaling(2.0)(3, more=[1]), rebuilt(tx), COPIES[name](tx)):
        assert again == tx
        assert hash(again) == hash(tx)
        assert float(again.update(jnp.float32(1), ())[0]) == 6
    assert tx != they.Scaling(1.0)(3, more=[1])
    assert tx != they.Scaling(2.0)(3)


def test_a_factory_that_a_call_has_made_is_an_argument(they: Any) -> None:
    tx = they.holding(they.Scaling(2.0))
    assert repr(tx) == "third_party.holding(third_party.Scaling(2.0))"
    assert rebuilt(tx) == tx != they.holding(they.Scaling(3.0))


def test_a_recipe_keeps_what_it_was_given(they: Any) -> None:
    more = [1]
    tx = they.Scaling(2.0)(3, more)
    more.append(2)
    assert tx == they.Scaling(2.0)(3, [1])


# In compiled functions


def counting(traces: list[Any]) -> Callable[..., Any]:
    @functools.partial(jax.jit, static_argnames="tx")
    def first_update(tx: Any, g: Any) -> Any:
        traces.append(tx)
        return tx.update(g, tx.init(g), g)[0]

    return first_update


def test_two_equal_static_arguments_compile_once() -> None:
    traces: list[Any] = []
    f = counting(traces)
    g = [jnp.ones(2)]
    for _ in range(2):
        f(optax.adamw(0.1, mask=[True]), g)
        f(optax.adamw(learning_rate=0.1, b1=0.9, mask=[True]), g)
    assert len(traces) == 1
    f(optax.adamw(0.2), g)
    assert len(traces) == 2


def test_tracers_are_equal_to_themselves_only() -> None:
    @jax.jit
    def f(rate: Any) -> Any:
        tx = optax.scale(rate)
        assert tx == optax.scale(rate)
        assert hash(tx) == hash(optax.scale(rate))
        assert tx != optax.scale(rate + 0)
        assert tx != optax.scale(2.0)
        assert "optax.transforms.scale(" in repr(tx)
        return tx.update(jnp.float32(3), tx.init(None))[0]

    assert float(f(2.0)) == 6
    assert np.array_equal(jax.vmap(f)(jnp.asarray([1.0, 2.0])), [3, 6])


def test_a_lambda_is_equal_to_itself_only() -> None:
    def double(updates: Any, params: Any) -> Any:
        return jax.tree.map(lambda g: 2 * g, updates)

    assert stateless(double) == stateless(double)
    assert stateless(lambda updates, params: updates) != stateless(lambda updates, params: updates)


@pytest.mark.parametrize(
    "tx", [optax.adam(0.1), optax.MultiSteps(optax.adam(0.1), 2), optax.rules([("*", optax.sgd(0.1))])]
)
def test_jax_takes_transformations_apart_and_rebuilds_them(tx: Any) -> None:
    leaves, treedef = jax.tree.flatten({"tx": tx})
    assert leaves == [*tx]
    again = jax.tree.unflatten(treedef, leaves)["tx"]
    assert type(again) is type(tx)
    assert tuple(again) == tuple(tx)
    assert jax.tree.map(lambda f: None, tx) is not None
    if isinstance(tx, optax.MultiSteps):
        assert again == tx
        assert again.inner_opt == tx.inner_opt

"""States from elsewhere take the form of this library's."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from optax.core import EmptyState, MaskedNode
from optax.core.tree import restore_like


class State(NamedTuple):
    number: Any
    mean: Any
    product: Any = None  # not in the older one


class Older(NamedTuple):
    number: Any
    mean: Any


class Injected(NamedTuple):
    hyperparams: Any


TARGET = (EmptyState(), State(jnp.int32(0), {"b": jnp.zeros(2, "bfloat16"), "w": jnp.zeros((2, 3))}))
MEAN = {"b": np.array([1.0, 2.0]), "w": np.arange(6.0).reshape(2, 3)}
EXPECTED = (
    EmptyState(),
    State(jnp.int32(7), {"b": jnp.array([1, 2], "bfloat16"), "w": jnp.arange(6.0).reshape(2, 3)}),
)


@pytest.mark.parametrize(
    "found",
    [
        (EmptyState(), Older(7, MEAN)),
        [None, {"mean": MEAN, "number": np.int64(7)}],
        {"0": {}, "1": {"number": np.array(7), "mean": MEAN}},
        {0: None, 1: [7, MEAN]},
        {"1": {"0": 7, "1": MEAN}},
        {"1": {"number": 7, "mean": MEAN, "product": None}, "2": np.zeros((0, 3))},
    ],
)
@pytest.mark.parametrize("abstract", [False, True])
def test_values_go_where_their_names_lead(found: Any, abstract: bool) -> None:
    target = jax.eval_shape(lambda: TARGET) if abstract else TARGET
    restored = restore_like(found, target)
    chex.assert_trees_all_equal(restored, EXPECTED)
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, EXPECTED)
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(restored))


def test_a_field_that_is_none_by_default_is_left_to_the_next_update() -> None:
    target = State(jnp.int32(0), jnp.zeros(2), jnp.ones((2, 2)))
    assert restore_like(Older(1, np.zeros(2)), target).product is None
    np.testing.assert_array_equal(restore_like([1, np.zeros(2), np.eye(2)], target).product, jnp.eye(2))


def test_a_field_without_arrays_keeps_its_form() -> None:
    target = State(jnp.int32(0), jnp.zeros(2), {"w": MaskedNode()})
    assert restore_like(Older(1, np.zeros(2)), target).product == {"w": MaskedNode()}


@pytest.mark.parametrize(
    ("found", "target", "expected"),
    [
        (np.ones((1,), np.float32), jnp.zeros(()), jnp.float32(1)),
        (2.5, jnp.zeros((1,), "bfloat16"), jnp.array([2.5], "bfloat16")),
        (np.array([1.5, 2], ml_dtypes.bfloat16), jnp.zeros(2), jnp.array([1.5, 2])),
        (np.int32(3), jnp.float32(0), jnp.float32(3)),
        (np.array([1 + 0j, 2]), jnp.zeros(2), jnp.array([1.0, 2.0])),
        (jax.random.key(5), jnp.zeros(2, "uint32"), jax.random.key_data(jax.random.key(5))),
        (None, jnp.zeros((0, 3)), jnp.zeros((0, 3))),
        ({}, (MaskedNode(), None), (MaskedNode(), None)),
    ],
)
def test_leaves_take_the_form_of_the_target(found: Any, target: Any, expected: Any) -> None:
    restored = restore_like([found], (target,))
    chex.assert_trees_all_equal(restored, (expected,))
    chex.assert_trees_all_equal_shapes_and_dtypes(restored, (expected,))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (((), Older(7, {"b": MEAN["b"]})), r"nothing is found for \[1\]\[State.mean\]\['w'\]"),
        (((), Older(7, {**MEAN, "v": np.ones(3)})), r"nothing takes \[1\]\[State.mean\]\['v'\]"),
        (((), Older(7, MEAN), {"new": [1]}), r"nothing takes \['2'\]\['new'\]\[0\]"),
        ((np.ones(3), Older(7, MEAN)), r"nothing takes \[0\]"),
        (((), Older(7, MEAN["b"])), r"nothing takes \[1\]\[State.mean\]; nothing is found for \[1\]\[State.mean\]"),
        (((), Older([7], MEAN)), r"a list is found for the array \[1\]\[State.number\]"),
        (((), Older(7, {**MEAN, "b": np.ones(3)})), r"\['b'\] has the shape \(2,\), \(3,\) is found"),
        (((), Older(7, {**MEAN, "b": np.ones((2, 1))})), r"has the shape \(2,\), \(2, 1\) is found"),
        (((), Older(7.5, MEAN)), r"\[1\]\[State.number\] has the dtype int32, float32 is found"),
        (((), Older(7, {**MEAN, "b": np.array([1j, 1])})), r"has the dtype bfloat16, complex64 is found"),
    ],
)
def test_what_does_not_fit_is_named(found: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore_like(found, TARGET)


def test_everything_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"nothing is found for .*'b'.*'w'.* the shape .* nothing takes \['more'\]"):
        restore_like({"1": {"number": 1, "mean": {"w": np.ones(2)}}, "more": 1}, TARGET)


def test_hyperparameters_that_are_not_injected_here_are_left_out() -> None:
    restored = restore_like({"hyperparams": {"b1": 0.5, "mask": True}}, Injected({"b1": jnp.float32(0.9)}))
    assert restored == Injected({"b1": jnp.float32(0.5)})

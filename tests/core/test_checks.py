"""Hyperparameters that cannot be meant are refused where they are written, with their name and value."""

import fractions
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.core import check_hyperparameter, check_integer

DECAY = {"least": 0, "below": 1}


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (0.1, {}),
        (-0.1, {}),  # a negative learning rate ascends
        (0, DECAY),
        (0.0, DECAY),
        (math.nextafter(1, 0), DECAY),
        (np.float32(0.9), DECAY),
        (np.int64(0), DECAY),
        (np.asarray(0.9), DECAY),
        (jnp.asarray(0.9), DECAY),
        (jnp.bfloat16(0.9), DECAY),
        (fractions.Fraction(9, 10), DECAY),
        (math.inf, {}),
        (math.inf, {"least": 0}),
        (-math.inf, {}),
        (1, {"least": 0, "most": 1}),
        (1e-300, {"above": 0}),
        (lambda count: 0.1, {"schedule": True}),
        (max, {"schedule": True}),
    ],
)
def test_what_makes_sense_passes(value: Any, options: Any) -> None:
    assert check_hyperparameter("b1", value, **options) is None


@pytest.mark.parametrize("value", ["1e-3", None, True, np.bool_(True), 1j, jnp.asarray(1j), [0.1], {}, lambda t: 0.1])
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Defect H4: adam("1e-3") used to say "Only integer scalar arrays can be converted to a scalar index"."""
    with pytest.raises(TypeError, match="b1 must be a real number, not ") as caught:
        check_hyperparameter("b1", value, **DECAY)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [np.ones(1), jnp.ones(1), np.ones((2, 2))])
def test_what_is_no_scalar_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="b1 must be a real number, not "):
        check_hyperparameter("b1", value)


def test_the_shape_of_what_is_no_scalar_is_said() -> None:
    with pytest.raises(TypeError, match=r"shape \(1,\)"):
        check_hyperparameter("b1", jnp.ones(1))


@pytest.mark.parametrize("value", ["0.1", None, [0.1]])
def test_what_is_no_schedule_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"learning_rate must be a real number or a schedule \(a function of the step"):
        check_hyperparameter("learning_rate", value, schedule=True)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (1.0, DECAY, "b1 must be at least 0 and below 1, not 1.0"),
        (-1e-9, DECAY, "b1 must be at least 0 and below 1, not -1e-09"),
        (np.float32(2), DECAY, "b1 must be at least 0 and below 1, not 2.0"),
        (jnp.asarray(1), DECAY, "b1 must be at least 0 and below 1, not 1"),
        (math.nan, DECAY, "b1 must be at least 0 and below 1, not nan"),
        (-1, {"least": 0}, "b1 must be at least 0, not -1"),
        (math.inf, {"below": 1}, "b1 must be below 1, not inf"),
        (-math.inf, {"least": 0}, "b1 must be at least 0, not -inf"),
        (math.nan, {}, "b1 must be a number, not nan"),
        (0, {"above": 0}, "b1 must be above 0, not 0"),
        (1.5, {"least": 0, "most": 1}, "b1 must be at least 0 and at most 1, not 1.5"),
        (1, {"above": 0, "below": 1}, "b1 must be above 0 and below 1, not 1"),
    ],
)
def test_what_is_out_of_range_is_refused(value: Any, options: Any, message: str) -> None:
    """Defect C12."""
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_hyperparameter("b1", value, **options)


def test_traced_values_pass_unseen() -> None:
    def f(x: Any) -> Any:
        check_hyperparameter("b1", x, **DECAY)
        return x

    assert np.array_equal(jax.jit(jax.vmap(f))(jnp.asarray([0.5, 7.0])), [0.5, 7])
    assert float(jax.grad(f)(-1.0)) == 1


def test_a_huge_integer_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="b1 must be at least 0 and below 1, not 1000"):
        check_hyperparameter("b1", 10**400, **DECAY)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), jnp.asarray(3), np.asarray(3)])
def test_integers_of_any_kind_become_those_of_python(value: Any) -> None:
    assert type(check_integer("k", value, least=1)) is int
    assert check_integer("k", value, least=3) == 3


def test_integers_stay_within_what_a_counter_reaches() -> None:
    assert check_integer("k", 10**12, least=1) == 2**31 - 1


@pytest.mark.parametrize("value", [2.0, "2", None, True, np.float32(2), jnp.asarray([2]), jnp.asarray(2.0)])
def test_what_is_no_integer_is_refused(value: Any) -> None:
    """Defect B6: every_k_schedule=np.int64(2) was taken for a function."""
    with pytest.raises(TypeError, match="k must be an integer, not "):
        check_integer("k", value, least=1)


def test_an_integer_out_of_range_and_one_that_is_traced() -> None:
    with pytest.raises(ValueError, match=r"^k must be at least 1, not 0$"):
        check_integer("k", 0, least=1)
    assert jax.jit(lambda k: check_integer("k", k, least=1))(0) == 0

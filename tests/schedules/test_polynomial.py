import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import constant_schedule, linear_schedule, polynomial_schedule
from reference import schedules as reference

VALUES = st.floats(-10, 10)
COUNTS = np.arange(40)


@hypothesis.given(VALUES, VALUES, st.floats(0.2, 5), st.integers(0, 30), st.integers(0, 10))
def test_against_the_definition(init, end, power, steps, begin):
    expected = [reference.polynomial(t, init, end, power, steps, begin) for t in COUNTS]
    np.testing.assert_allclose(polynomial_schedule(init, end, power, steps, begin)(COUNTS), expected, 1e-5, 1e-5)


@hypothesis.given(VALUES, VALUES, st.integers(0, 30), st.integers(0, 10))
def test_linear_against_the_definition_and_power_one(init, end, steps, begin):
    values = linear_schedule(init, end, steps, begin)(COUNTS)
    expected = [reference.linear(t, init, end, steps, begin) for t in COUNTS]
    np.testing.assert_allclose(values, expected, 1e-5, 1e-5)
    np.testing.assert_allclose(polynomial_schedule(init, end, 1, steps, begin)(COUNTS), values, 1e-5, 1e-5)


def test_by_hand():
    values = polynomial_schedule(1.0, 0.0, power=1, transition_steps=5)(jnp.arange(7))
    assert jnp.array_equal(values, jnp.array([1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]))
    assert linear_schedule(0.0, 1.0, 4, 2)(jnp.arange(8)).tolist() == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize("power", [0.5, 1, 2, 3.0])
def test_both_ends_are_exact(power):
    s = polynomial_schedule(1e-7, 1.0, power, 10, 3)
    assert s(0) == s(3) == jnp.float32(1e-7)
    assert s(13) == s(1000) == 1
    assert polynomial_schedule(1.0, 1e-7, power, 10)(10) == jnp.float32(1e-7)


@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_the_first_steps_of_a_warm_up_keep_their_digits(power):
    expected = -np.expm1(power * np.log1p(-1e-6))
    assert polynomial_schedule(0.0, 1.0, power, 10**6)(1) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_the_end_is_exact_for_every_length(power):
    lengths = jnp.arange(1.0, 200.0)
    ends = jax.jit(jax.vmap(lambda n: polynomial_schedule(0.3, 0.7, power, n)(n)))(lengths)
    assert (ends == jnp.float32(0.7)).all()
    ends = jax.jit(jax.vmap(lambda n: linear_schedule(0.3, 0.7, n)(n)))(lengths)
    assert (ends == jnp.float32(0.7)).all()


def test_a_transition_of_no_steps_is_a_jump():
    assert linear_schedule(0.0, 1.0, 0)(jnp.arange(3)).tolist() == [1, 1, 1]
    assert linear_schedule(0.0, 1.0, 0, 2)(jnp.arange(4)).tolist() == [0, 0, 1, 1]
    assert polynomial_schedule(0.0, 1.0, 2, 0, 1)(jnp.arange(3)).tolist() == [0, 1, 1]


def test_no_count_is_rounded_before_it_is_divided():
    s = linear_schedule(0.0, 1.0, 2**10, 2**24)
    assert [s(2**24 + t).item() for t in range(4)] == [0, 2**-10, 2**-9, 3 * 2**-10]
    assert linear_schedule(0.0, 1.0, 2**10, float(2**24))(2**24 + 1) == 2**-10
    assert linear_schedule(1.0, 0.0, 2**31 - 1)(2**31 - 2) == pytest.approx(2**-31)
    assert linear_schedule(0.0, 1.0, 10**10)(10**9) == pytest.approx(0.1)


def test_lengths_need_not_be_integers():
    np.testing.assert_allclose(linear_schedule(0.0, 1.0, 2.5)(jnp.arange(4)), [0, 0.4, 0.8, 1], 1e-6)


def test_values_may_be_arrays():
    s = linear_schedule(jnp.zeros(2), jnp.array([1.0, 2.0]), 4)
    assert s(1).tolist() == [0.25, 0.5]
    assert constant_schedule(jnp.array([1.0, 2.0]))(7).tolist() == [1, 2]


def test_constants_have_the_shape_of_the_counts():
    assert constant_schedule(0.5)(jnp.arange(3)).tolist() == [0.5] * 3
    assert constant_schedule(3)(0).dtype == jnp.float32

import jax.numpy as jnp
import numpy as np
import pytest

from optax.schedules import cyclic_schedule


def test_the_three_forms_by_hand():
    plain = [0, 0.5, 1, 0.5, 0, 0.5, 1, 0.5, 0]
    np.testing.assert_allclose(cyclic_schedule(0.0, 1.0, 2)(jnp.arange(9)), plain, 1e-6)
    halved = [1, 1.5, 2, 1.5, 1, 1.25, 1.5, 1.25, 1]
    np.testing.assert_allclose(cyclic_schedule(1.0, 2.0, 2, cycle_decay=0.5)(jnp.arange(9)), halved, 1e-6)
    shrinking = np.array(plain) * 0.9 ** np.arange(9)
    np.testing.assert_allclose(cyclic_schedule(0.0, 1.0, 2, step_decay=0.9)(jnp.arange(9)), shrinking, 1e-6)


def test_the_ways_up_and_down_may_differ():
    np.testing.assert_allclose(cyclic_schedule(0.0, 1.0, 1, 2)(jnp.arange(7)), [0, 1, 0.5, 0, 1, 0.5, 0], 1e-6)
    np.testing.assert_allclose(cyclic_schedule(0.0, 1.0, 2, 0)(jnp.arange(5)), [0, 0.5, 0, 0.5, 0], 1e-6)


def test_large_counts_are_in_the_right_place_of_their_cycle():
    s = cyclic_schedule(0.0, 1.0, 5)
    assert s(2 * 10**9 + 3) == s(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"up_steps": 0}, "up_steps must be above 0, not 0"),
        ({"down_steps": -1}, "down_steps must be at least 0, not -1"),
        ({"cycle_decay": 1.5}, r"cycle_decay must be above 0 and at most 1, not 1\.5"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        cyclic_schedule(**({"init_value": 0.0, "peak_value": 1.0, "up_steps": 5} | options))

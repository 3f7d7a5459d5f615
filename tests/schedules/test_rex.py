import numpy as np
import pytest

from optax.schedules import rex_schedule


def test_against_the_definition():
    f = np.clip(np.arange(15) / 10, 0, 1)
    np.testing.assert_allclose(rex_schedule(0.3, 10)(np.arange(15)), 0.3 * (1 - f) / (0.5 + 0.5 * (1 - f)), 2e-6)
    w = (1 - f) / (1 - f / 2)
    np.testing.assert_allclose(rex_schedule(0.3, 10, 0.1)(np.arange(15)), w * 0.3 + (1 - w) * 0.1, 2e-6)


def test_the_end_is_exact_and_its_approach_keeps_its_digits():
    s = rex_schedule(0.3, 10**6, 0.1)
    assert s(0) == np.float32(0.3)
    assert s(10**6) == np.float32(0.1)
    assert rex_schedule(1.0, 10**6)(10**6 - 1) == pytest.approx(2e-6, rel=1e-5)


def test_a_decay_of_no_steps_is_over():
    assert rex_schedule(1.0, 0, 0.25)(0) == 0.25

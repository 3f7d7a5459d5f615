"""What only gradient descent promises."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import optax


def test_without_momentum_nothing_is_stored() -> None:
    assert optax.sgd(0.1).init(jnp.ones(3)) == (optax.EmptyState(), optax.EmptyState())


def test_a_negative_learning_rate_ascends() -> None:
    u, _ = optax.sgd(-0.5).update(jnp.ones(2), optax.sgd(-0.5).init(jnp.ones(2)))
    assert np.all(np.asarray(u) == 0.5)


@pytest.mark.parametrize("momentum", [1.1, -1.1, float("nan")])
def test_momentum_outside_its_range_is_refused(momentum: Any) -> None:
    with pytest.raises(ValueError, match="decay must be at least -1 and at most 1"):
        optax.sgd(0.1, momentum=momentum)

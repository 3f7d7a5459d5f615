"""What the tests of several libraries ask for."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def promotion_inside() -> Iterator[None]:
    """For libraries that promote dtypes and ranks in their own code, which the tests elsewhere forbid."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield

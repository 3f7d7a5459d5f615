"""TensorFlow Probability 0.25 does inside what the tests forbid our own code."""

import warnings
from collections.abc import Iterator

import jax
import pytest


@pytest.fixture
def lenient() -> Iterator[None]:
    """For tests that sample its distributions: they promote ranks and dtypes, ask for float64, and more."""
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        warnings.filterwarnings("ignore", "Explicitly requested dtype", UserWarning)
        warnings.filterwarnings("ignore", "shape requires ndarray", DeprecationWarning)
        yield

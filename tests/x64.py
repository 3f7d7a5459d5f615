"""float64, switched on for one block, in the spelling of the JAX at hand."""

from contextlib import AbstractContextManager
from typing import Any

import jax


def enable_x64() -> AbstractContextManager[Any]:
    """A context in which JAX has float64."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(True)
    from jax.experimental import enable_x64 as older  # JAX 0.6

    return older(True)

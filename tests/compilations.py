"""How often `jax.jit` traces, and what that depends on."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def form(t: Any) -> Any:
    """What decides whether a function of `t` is compiled again: shapes, dtypes and weak types."""
    return jax.tree.map(lambda x: (jnp.shape(x), x.dtype, x.weak_type), t)


class Jitted:
    """A compiled function.

    JAX's own count, of the programs in its cache, is no use in a long run: a full cache drops them.

    Attributes:
      traces: how often the function has been traced, which is how often a program was compiled for it.
    """

    def __init__(self, f: Callable[..., Any]):
        self.traces = 0

        def counting(*args: Any) -> Any:
            self.traces += 1
            return f(*args)

        self._compiled = jax.jit(counting)

    def __call__(self, *args: Any) -> Any:
        return self._compiled(*args)

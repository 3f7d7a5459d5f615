"""Names of `optax` itself that existing code uses for what now lives in a module of its own, most in `optax.tree`."""

from typing import Any as _Any

from optax.core.tree import bias_correction as bias_correction
from optax.core.tree import map_params as tree_map_params
from optax.core.tree import norm as _norm
from optax.core.tree import update_infinity_moment as update_infinity_moment
from optax.core.tree import update_moment as update_moment
from optax.core.tree import update_moment_per_elem_norm as update_moment_per_elem_norm
from optax.microbatching import microbatch as microbatch
from optax.second_order import fisher_diag as fisher_diag
from optax.second_order import hessian_diag as hessian_diag
from optax.second_order import hvp as hvp

__all__ = [
    "bias_correction",
    "fisher_diag",
    "global_norm",
    "hessian_diag",
    "hvp",
    "microbatch",
    "tree_map_params",
    "update_infinity_moment",
    "update_moment",
    "update_moment_per_elem_norm",
]


def global_norm(updates: _Any) -> _Any:
    """The Euclidean norm of all leaves taken as one vector: `optax.tree.norm(updates)`.

    Args:
      updates: tree of arrays.

    Returns:
      A real scalar, float32 or wider.
    """
    return _norm(updates)

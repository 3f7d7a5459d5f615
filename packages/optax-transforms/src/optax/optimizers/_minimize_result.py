"""What `minimize` returns."""

from __future__ import annotations

import enum
from typing import NamedTuple

import jax

from optax.core import Params, PyTree

__all__ = ["MinimizeHistory", "MinimizeResult", "MinimizeStatus"]

PATIENCE = 5  # iterations in which the value may stay as it is


class MinimizeStatus(enum.IntEnum):
    """Why a run of `minimize` has ended."""

    CONVERGED = 0
    STALLED = 1
    NO_DECREASE = 2
    MAX_ITERATIONS = 3
    NOT_FINITE = 4
    STOPPED = 5
    RUNNING = 6


_MESSAGES = {
    MinimizeStatus.CONVERGED: "converged: the norm of the gradient is at most tol",
    MinimizeStatus.STALLED: f"the value has not changed in {PATIENCE} iterations, at the precision of its dtype",
    MinimizeStatus.NO_DECREASE: "the line search found no step that decreases the function: rounding hides any further "
    "decrease, or the gradient is not that of the function",
    MinimizeStatus.MAX_ITERATIONS: "stopped after maxiter iterations",
    MinimizeStatus.NOT_FINITE: "the value or the gradient is infinite or no number",
    MinimizeStatus.STOPPED: "stopped by the callback",
    MinimizeStatus.RUNNING: "still running",
}


class MinimizeHistory(NamedTuple):
    """What `minimize` has recorded: entry k is after k iterations; NaN after the last.

    Attributes:
      value: array (maxiter + 1,), values of the function.
      grad_norm: array (maxiter + 1,), norms of the gradient.
    """

    value: jax.Array
    grad_norm: jax.Array


class MinimizeResult(NamedTuple):
    """Where `minimize` has come to. A pytree of arrays: it can leave `jit` and `vmap`.

    Attributes:
      params: tree of the structure, shapes and dtypes of `x0`.
      value: scalar, the function there.
      grad_norm: scalar, the Euclidean norm of the gradient there; within bounds, of what they leave of it.
      iterations: int32 scalar, number of updates.
      evaluations: int32 scalar, how often the function was evaluated, with or without its gradient (not counting the
        auxiliary data, which are computed at the end).
      status: int32 scalar, a `MinimizeStatus`.
      aux: auxiliary data of the function there, None without `has_aux`.
      history: a `MinimizeHistory`, None without `history`.
    """

    params: Params
    value: jax.Array
    grad_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    status: jax.Array
    aux: PyTree = None
    history: MinimizeHistory | None = None

    @property
    def success(self) -> jax.Array:
        """Whether the gradient is as small as asked for, or the value cannot be told from the least one."""
        return (self.status == MinimizeStatus.CONVERGED) | (self.status == MinimizeStatus.STALLED)

    @property
    def message(self) -> str:
        """The status in words; not inside `jit` or `vmap`."""
        return _MESSAGES[MinimizeStatus(int(self.status))]

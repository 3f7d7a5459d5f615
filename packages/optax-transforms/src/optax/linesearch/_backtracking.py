"""A line search that makes the step smaller until the function decreases enough.

f(x + t * d) <= (1 + rtol) * f(x) + atol + c1 * t * slope    Armijo's condition
u = t * d
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    Updates,
    apply_updates,
    check_hyperparameter,
    check_integer,
    new_scalar,
    new_slot,
    transformation,
    vary_like,
)
from optax.linesearch._fingerprint import fingerprint
from optax.linesearch._objective import kept_step_size, line_of, loop, value_and_stored_grad, with_derivatives
from optax.transforms._precision import real_dtype

__all__ = [
    "BacktrackingLinesearchInfo",
    "ScaleByBacktrackingLinesearchState",
    "scale_by_backtracking_linesearch",
]


class BacktrackingLinesearchInfo(NamedTuple):
    """How a search ended.

    Attributes:
      num_linesearch_steps: int32 scalar, how often the function was evaluated.
      decrease_error: scalar >= 0, by how much the last step size tried misses the condition; infinity where the
        function was infinite or no number.
    """

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array


class ScaleByBacktrackingLinesearchState(NamedTuple):
    """State of `scale_by_backtracking_linesearch`.

    Attributes:
      learning_rate: scalar, the step size t that was taken, or the last that was tried if none was.
      value: scalar, the function where the step leads.
      grad: tree, the gradient there, as `jax.grad` returns it; None without `store_grad`.
      info: how the search ended.
      fingerprint: uint32 scalar, a hash of where the step leads: `value_and_grad_from_state` returns value and
        gradient for those parameters only.
    """

    learning_rate: jax.Array
    value: jax.Array
    grad: Updates
    info: BacktrackingLinesearchInfo
    fingerprint: jax.Array | None = None


class _Trial(NamedTuple):
    steps: jax.Array
    t: jax.Array
    value: jax.Array
    error: jax.Array


@transformation
def scale_by_backtracking_linesearch(
    max_backtracking_steps: int,
    slope_rtol: Numeric = 1e-4,
    decrease_factor: Numeric = 0.8,
    increase_factor: Numeric = 1.5,
    max_learning_rate: Numeric = 1.0,
    atol: Numeric = 0.0,
    rtol: Numeric = 0.0,
    store_grad: bool = False,
    verbose: bool = False,
) -> GradientTransformationExtraArgs:
    """Scale the updates d by a step size t with which the function decreases enough.

        f(x + t * d) <= (1 + rtol) * f(x) + atol + slope_rtol * t * slope

    where slope is the derivative of f(x + t * d) by t at 0. A search begins with
    min(increase_factor * t, max_learning_rate), t from the last search, and multiplies by `decrease_factor` until the
    condition holds. If it never does, the last t is taken only if f does not increase; otherwise the updates are 0,
    and the next search begins where this one has ended.

    The step size counts as a constant in derivatives of the updates; they exist in reverse mode too.

    Args:
      max_backtracking_steps: integer >= 1, how often to decrease the step size at most; the function is evaluated
        once more.
      slope_rtol: scalar in [0, 1], the share of the decrease that the slope promises, to be reached.
      decrease_factor: scalar in (0, 1).
      increase_factor: scalar >= 1.
      max_learning_rate: scalar > 0, the largest step size, infinity for no limit. The very first search begins with
        the smaller of this and `increase_factor`.
      atol: scalar >= 0, by how much f may increase, in units of f.
      rtol: scalar >= 0, likewise, relative to f(x).
      store_grad: whether to compute the gradient where the step leads, for `value_and_grad_from_state`.
      verbose: whether to print how each search ends.

    Returns:
      A transformation whose state is `ScaleByBacktrackingLinesearchState` and which is called as
      `update(updates, state, params, value=value, grad=grad, value_fn=f)`: see `scale_by_zoom_linesearch`.

    Raises:
      ValueError: an argument is out of its range; from `update`, if the parameters are missing.
      TypeError: an argument is not of its kind; from `update`, if `value`, `grad` or `value_fn` is missing, or if
        `value_fn` returns no real scalar.

    Reference:
      Nocedal, Wright, "Numerical optimization", second edition, 2006, algorithm 3.1; the step size may grow again as
      in Vaswani et al., "Painless stochastic gradient: interpolation, line-search, and convergence rates", 2019.
    """
    check_integer("max_backtracking_steps", max_backtracking_steps, least=1)
    check_hyperparameter("slope_rtol", slope_rtol, least=0, most=1)
    check_hyperparameter("decrease_factor", decrease_factor, above=0, below=1)
    check_hyperparameter("increase_factor", increase_factor, least=1)
    check_hyperparameter("max_learning_rate", max_learning_rate, above=0)
    check_hyperparameter("atol", atol, least=0)
    check_hyperparameter("rtol", rtol, least=0)

    def init(params: Params) -> ScaleByBacktrackingLinesearchState:
        dtype = real_dtype(params)
        return ScaleByBacktrackingLinesearchState(
            learning_rate=new_scalar(1, dtype, params),
            value=new_scalar(jnp.inf, dtype, params),
            grad=new_slot(params, decay=0) if store_grad else None,
            info=BacktrackingLinesearchInfo(new_scalar(0, jnp.int32, params), new_scalar(jnp.inf, dtype, params)),
            fingerprint=new_scalar(0, jnp.uint32, params),
        )

    def update(
        updates: Updates,
        state: ScaleByBacktrackingLinesearchState,
        params: Params | None = None,
        *,
        value: Any = None,
        grad: Updates = None,
        value_fn: Any = None,
        **extra_args: Any,
    ) -> tuple[Updates, ScaleByBacktrackingLinesearchState]:
        dtype = jnp.asarray(state.learning_rate).dtype
        line, start, grad = line_of(updates, params, dtype, value, grad, value_fn, extra_args)

        def number(x: Any) -> jax.Array:
            return jnp.asarray(x, dtype)

        fixed = line.fixed()
        slope = fixed.slope(grad)
        bound = (1 + number(rtol)) * start + number(atol)

        def unfinished(trial: _Trial) -> jax.Array:
            return (trial.error > 0) & (trial.steps <= max_backtracking_steps)

        def evaluate(trial: _Trial) -> _Trial:
            t = jnp.where(trial.steps == 0, trial.t, number(decrease_factor) * trial.t)
            value = fixed.f(fixed.at(t))
            error = jnp.maximum(value - bound - number(slope_rtol) * t * slope, 0)
            finite = jnp.isfinite(value) & jnp.isfinite(error)
            return _Trial(trial.steps + 1, t, value, jnp.where(finite, error, jnp.inf))

        first = jnp.minimum(number(increase_factor) * kept_step_size(state), number(max_learning_rate))
        begin = _Trial(jnp.zeros([], jnp.int32), first, start, number(jnp.inf))
        last = jax.lax.stop_gradient(loop(unfinished, evaluate, vary_like(begin, (begin, slope))))
        if verbose:
            jax.debug.print(
                "backtracking line search: step size {t} after {n} evaluations, value {before} -> {after}, "
                "slope {slope}; missed by {error}",
                t=last.t, n=last.steps, before=start, after=last.value, slope=slope, error=last.error,
            )  # fmt: skip
        taken = (last.error == 0) | (last.value <= start) & jnp.isfinite(last.value)
        updates = line.step(jnp.where(taken, last.t, 0))
        reached = apply_updates(line.params, updates)
        if store_grad:
            value, grad = value_and_stored_grad(line.f, reached, state.grad)
        else:
            value, grad = with_derivatives(line.f, reached, jnp.where(taken, last.value, start)), None
        info = BacktrackingLinesearchInfo(last.steps, last.error)
        new = ScaleByBacktrackingLinesearchState(last.t, value, grad, info, fingerprint(reached))
        return updates, vary_like(new, params)

    return GradientTransformationExtraArgs(init, update)

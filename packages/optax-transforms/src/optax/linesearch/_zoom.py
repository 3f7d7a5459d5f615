"""A line search for a step size with the strong Wolfe conditions.

phi(t) = f(x + t * d)
phi(t) <= phi(0) + c1 * t * phi'(0)    sufficient decrease
|phi'(t)| <= c2 * |phi'(0)|            curvature
u = t * d
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

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
    tree,
    vary_like,
)
from optax.linesearch._fingerprint import fingerprint
from optax.linesearch._objective import kept_step_size, line_of, stored, value_and_stored_grad, with_derivatives
from optax.linesearch._search import Bracket, Point, Wolfe, search
from optax.transforms._precision import real_dtype

__all__ = ["ScaleByZoomLinesearchState", "ZoomLinesearchInfo", "scale_by_zoom_linesearch"]


class ZoomLinesearchInfo(NamedTuple):
    """How a search ended.

    Attributes:
      num_linesearch_steps: int32 scalar, how often value and gradient were evaluated.
      decrease_error: scalar >= 0, by how much the step size that was taken, or the last one that was tried, misses the
        condition of sufficient decrease. Infinity where the function or its slope is infinite or no number there, or
        where the direction does not lead downhill.
      curvature_error: scalar >= 0, likewise for the curvature condition.
    """

    num_linesearch_steps: jax.Array
    decrease_error: jax.Array
    curvature_error: jax.Array


class ScaleByZoomLinesearchState(NamedTuple):
    """State of `scale_by_zoom_linesearch`.

    Attributes:
      learning_rate: scalar, the step size t that was taken, or the last that was tried if none was.
      value: scalar, the function where the step leads.
      grad: tree, the gradient there, as `jax.grad` returns it.
      info: how the search ended.
      fingerprint: uint32 scalar, a hash of where the step leads: `value_and_grad_from_state` returns value and
        gradient for those parameters only.
    """

    learning_rate: jax.Array
    value: jax.Array
    grad: Updates
    info: ZoomLinesearchInfo
    fingerprint: jax.Array | None = None


@transformation
def scale_by_zoom_linesearch(
    max_linesearch_steps: int,
    max_learning_rate: Numeric | None = None,
    tol: Numeric = 0.0,
    increase_factor: Numeric = 2.0,
    slope_rtol: Numeric = 1e-4,
    curv_rtol: Numeric = 0.9,
    approx_dec_rtol: Numeric | None = 1e-6,
    stepsize_precision: Numeric = 1e-5,
    initial_guess_strategy: Literal["keep", "one"] = "keep",
    verbose: bool = False,
) -> GradientTransformationExtraArgs:
    """Scale the updates d by a step size t that has the strong Wolfe conditions.

        f(x + t * d) <= f(x) + slope_rtol * t * slope(0)    sufficient decrease
        |slope(t)| <= curv_rtol * |slope(0)|                curvature

    where slope(t) is the derivative of f(x + t * d) by t. Where values are equal but for rounding, the slopes decide
    instead of the sufficient decrease (`approx_dec_rtol`). t grows until a point is too far, and the interval is then
    divided where a cubic has its minimum. If the evaluations run out, the best point with sufficient decrease is
    taken. Without one, or if d does not lead downhill, no step is taken: the updates are 0.

    The step size counts as a constant in derivatives of the updates; they exist in reverse mode too.

    Args:
      max_linesearch_steps: integer >= 1, how often to evaluate value and gradient in a search at most.
      max_learning_rate: scalar > 0, the largest t; None for no limit.
      tol: scalar >= 0, by how much the conditions may be missed.
      increase_factor: scalar > 1, factor of t from one evaluation to the next as long as no point is too far.
      slope_rtol: scalar in (0, 1), c1 of the conditions.
      curv_rtol: scalar > 0, c2 of the conditions; at least `slope_rtol`, or no step size may exist.
      approx_dec_rtol: scalar >= 0: within this share of |f(x)| values count as equal. None for no such exception.
      stepsize_precision: scalar >= 0: an interval that is narrower, relative to its ends, is not divided.
      initial_guess_strategy: which t to evaluate first, "one" for 1 and "keep" for that of the last search.
      verbose: whether to print how each search ends.

    Returns:
      A transformation whose state is `ScaleByZoomLinesearchState` and which is called as
      `update(updates, state, params, value=value, grad=grad, value_fn=f)`: f takes the parameters, and further extra
      arguments by name, and returns a real scalar (or a tuple that begins with one); value and grad are those of f at
      the parameters (for complex parameters grad is, like the updates, the conjugate of what `jax.grad` returns).

    Raises:
      ValueError: an argument is out of its range; from `update`, if the parameters are missing.
      TypeError: an argument is not of its kind; from `update`, if `value`, `grad` or `value_fn` is missing, or if
        `value_fn` returns no real scalar.

    References:
      Nocedal, Wright, "Numerical optimization", second edition, 2006, algorithms 3.5 and 3.6.
      Hager, Zhang, "A new conjugate gradient method with guaranteed descent and an efficient line search", 2005.
    """
    check_integer("max_linesearch_steps", max_linesearch_steps, least=1)
    if max_learning_rate is not None:
        check_hyperparameter("max_learning_rate", max_learning_rate, above=0)
    check_hyperparameter("tol", tol, least=0)
    check_hyperparameter("increase_factor", increase_factor, above=1)
    check_hyperparameter("slope_rtol", slope_rtol, above=0, below=1)
    check_hyperparameter("curv_rtol", curv_rtol, above=0)
    if approx_dec_rtol is not None:
        check_hyperparameter("approx_dec_rtol", approx_dec_rtol, least=0)
    check_hyperparameter("stepsize_precision", stepsize_precision, least=0)
    if initial_guess_strategy not in ("keep", "one"):
        raise ValueError(f"initial_guess_strategy must be 'keep' or 'one', not {initial_guess_strategy!r}")

    def init(params: Params) -> ScaleByZoomLinesearchState:
        dtype = real_dtype(params)

        def infinite() -> jax.Array:
            return new_scalar(jnp.inf, dtype, params)

        return ScaleByZoomLinesearchState(
            learning_rate=new_scalar(1, dtype, params),
            value=infinite(),
            grad=new_slot(params, decay=0),
            info=ZoomLinesearchInfo(new_scalar(0, jnp.int32, params), infinite(), infinite()),
            fingerprint=new_scalar(0, jnp.uint32, params),
        )

    def update(
        updates: Updates,
        state: ScaleByZoomLinesearchState,
        params: Params | None = None,
        *,
        value: Any = None,
        grad: Updates = None,
        value_fn: Any = None,
        **extra_args: Any,
    ) -> tuple[Updates, ScaleByZoomLinesearchState]:
        dtype = jnp.asarray(state.learning_rate).dtype
        line, value, grad = line_of(updates, params, dtype, value, grad, value_fn, extra_args)

        def number(x: Any) -> jax.Array:
            return jnp.asarray(x, dtype)

        def evaluate(t: jax.Array) -> tuple[jax.Array, jax.Array, Updates]:
            value, grad = value_and_stored_grad(fixed.f, fixed.at(t), state.grad)
            return value, fixed.slope(grad), grad

        fixed = line.fixed()
        largest = number(jnp.inf if max_learning_rate is None else max_learning_rate)
        guess = jnp.minimum(number(1) if initial_guess_strategy == "one" else kept_step_size(state), largest)
        start = Point(jnp.zeros_like(guess), value, fixed.slope(grad))
        wolfe = Wolfe(
            c1=number(slope_rtol),
            c2=number(curv_rtol),
            rtol=None if approx_dec_rtol is None else number(approx_dec_rtol),
            tol=number(tol),
        )
        found = jax.lax.stop_gradient(
            search(
                evaluate,
                wolfe,
                start,
                stored(grad, state.grad),
                guess,
                max_steps=max_linesearch_steps,
                max_t=largest,
                increase=number(increase_factor),
                precision=number(stepsize_precision),
            )
        )
        info = _info(wolfe, found)
        if verbose:
            _report(found, info)
        updates = line.step(found.low.t)
        reached = apply_updates(line.params, updates)
        value, grad = with_derivatives(
            lambda x: value_and_stored_grad(line.f, x, state.grad), reached, (found.low.value, found.grad)
        )
        taken = jnp.where(found.low.t > 0, found.low.t, found.last.t)
        new = ScaleByZoomLinesearchState(taken, value, grad, info, fingerprint(reached))
        return updates, vary_like(new, params)

    return GradientTransformationExtraArgs(init, update)


def _info(wolfe: Wolfe, found: Bracket) -> ZoomLinesearchInfo:
    """Of the step that was taken, or the last one tried; infinite errors where the direction led uphill."""
    p = tree.where(found.low.t > 0, found.low, found.last)
    hopeless = (found.steps == 0) & (found.start.slope != 0) | ~(jnp.isfinite(p.value) & jnp.isfinite(p.slope))
    errors = wolfe.decrease_error(found.start, p), wolfe.curvature_error(found.start, p)
    nothing_to_do = found.start.slope == 0
    return ZoomLinesearchInfo(
        found.steps, *(jnp.where(hopeless, jnp.inf, jnp.where(nothing_to_do, 0, error)) for error in errors)
    )


def _report(found: Bracket, info: ZoomLinesearchInfo) -> None:
    jax.debug.print(
        "zoom line search: step size {t} after {n} evaluations, value {before} -> {after}, slope {slope} -> {left}; "
        "missed by {decrease} (decrease), {curvature} (curvature)",
        t=found.low.t,
        n=found.steps,
        before=found.start.value,
        after=found.low.value,
        slope=found.start.slope,
        left=found.low.slope,
        decrease=info.decrease_error,
        curvature=info.curvature_error,
    )

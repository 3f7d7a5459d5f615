"""A driver that runs an optimizer until it has found a minimum."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    Params,
    PyTree,
    Updates,
    apply_updates,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    tree,
    with_extra_args_support,
)
from optax.linesearch import ScaleByBacktrackingLinesearchState, ScaleByZoomLinesearchState
from optax.linesearch._objective import compiled_loop, real_scalar, with_derivatives
from optax.linesearch._value_and_grad import ends_with_search, if_else, is_reached, state_of_search
from optax.optimizers import _minimize_callbacks as callbacks
from optax.optimizers._lbfgs import lbfgs
from optax.optimizers._minimize_region import Region, bounds_for
from optax.optimizers._minimize_result import PATIENCE, MinimizeHistory, MinimizeResult, MinimizeStatus
from optax.transforms._precision import real_dtype

__all__ = ["minimize"]


def minimize(
    fun: Callable[..., Any],
    x0: Params,
    method: GradientTransformation | None = None,
    *,
    args: tuple[Any, ...] = (),
    tol: Numeric = 1e-5,
    maxiter: int = 1000,
    bounds: tuple[PyTree, PyTree] | None = None,
    projection: Callable[[Params], Params] | None = None,
    has_aux: bool = False,
    callback: Callable[[MinimizeResult], Any] | None = None,
    history: bool = False,
    progress: bool = False,
) -> MinimizeResult:
    """Minimize a function, in one compiled loop.

        result = optax.minimize(f, x0)
        result.params, result.value, result.message

    It is compiled once for a function, a method and the shapes and dtypes of `x0` and `args`: keep the function, and
    let what changes between calls be arguments of it. Works inside `jit` and `vmap`.

    For real parameters `params` and `value` have derivatives, in forward and reverse mode, by `args` and `bounds` and
    by whatever else the function uses. They are those of the minimum, by the implicit function theorem, and as exact
    as the minimum is; by `x0` they are 0.

    Args:
      fun: `fun(params, *args)` returns a real scalar, or a pair of it and auxiliary data; hashable, like every
        ordinary function.
      x0: tree of floating or complex arrays, where to begin.
      method: any transformation, for instance `adam(0.1)`; None for `lbfgs()`.
      args: further arguments of the function, trees of arrays.
      tol: scalar >= 0; done when the Euclidean norm of the gradient is at most this. A method with a line search is
        done too when the value no longer changes.
      maxiter: integer >= 0, number of updates at most.
      bounds: pair (lower, upper) of scalars, or of trees of the structure of `x0`, or prefixes of it, each entry a
        scalar or of the shape of its leaf; None, in the place of either or of a part, for no bound. Real parameters
        only. L-BFGS takes its steps among the parameters that the bounds leave free, and evaluates the function where
        the bounds cut its line off; other methods are projected after each update.
      projection: function from the parameters to the nearest ones of a convex set (`optax.projections` has many),
        applied after each update; for methods without a line search.
      has_aux: whether `fun` returns a pair.
      callback: is called on the host after each iteration, with a `MinimizeResult` so far. To return
        something true, or to raise StopIteration, ends the run. JAX has no callbacks in loops inside `vmap`.
      history: whether to record values and norms of gradients.
      progress: whether to show a bar (needs tqdm: pip install 'optax-transforms[progress]').

    Returns:
      A `MinimizeResult`. If a value or a gradient is not finite, it is the last point where they were.

    Raises:
      TypeError: an argument is not of its kind, `x0` has leaves that are not floating, or the function returns no real
        scalar.
      ValueError: an argument is out of its range, the bounds do not fit `x0` or cross, or both `bounds` and
        `projection` are given, or a projection and a method with a line search.

    References:
      Nocedal, Wright, "Numerical optimization", second edition, 2006, chapter 7.
      Gafni, Bertsekas, "Two-metric projection methods for constrained optimization", 1984 (for the bounds).
    """
    if method is not None:
        method = checked_transformation("method", method)
    check_hyperparameter("tol", tol, least=0)
    maxiter = check_integer("maxiter", maxiter, least=0)
    if not callable(fun):
        raise TypeError(f"fun must be a function, not {fun!r}")
    _check_floating(x0)
    x0 = jax.tree.map(_strong, x0)
    if bounds is not None and projection is not None:
        raise ValueError("bounds and projection cannot both be given")
    limits = None if bounds is None else bounds_for(x0, bounds)
    if progress:
        callback = callbacks.Bar(callback, maxiter)
    number = callbacks.register(callback)
    try:
        result: MinimizeResult = _run(
            x0,
            args,
            limits,
            tol if isinstance(tol, jax.core.Tracer) else float(tol),
            np.int32(maxiter),
            np.int32(number),
            fun=fun,
            method=method,
            projection=projection,
            has_aux=has_aux,
            recorded=maxiter + 1 if history else 0,
            calls=callback is not None,
        )
        if isinstance(result.value, jax.core.Tracer):
            return result  # the callback will be called when that program runs
        if callback is not None:
            result.value.block_until_ready()
    except BaseException:
        callbacks.forget(number)
        raise
    if error := callbacks.forget(number):
        raise error
    return result


@functools.partial(jax.jit, static_argnames=("fun", "method", "projection", "has_aux", "recorded", "calls"))
def _run(
    x0: Params,
    args: tuple[Any, ...],
    limits: tuple[PyTree, PyTree] | None,
    tol: Any,
    maxiter: Any,
    number: Any,
    *,
    fun: Callable[..., Any],
    method: GradientTransformation | None,
    projection: Callable[[Params], Params] | None,
    has_aux: bool,
    recorded: int,
    calls: bool,
) -> MinimizeResult:
    """The whole run, to be compiled."""
    dtype = real_dtype(x0)
    tx = with_extra_args_support(lbfgs() if method is None else method)
    searches = state_of_search(jax.eval_shape(tx.init, x0)) is not None
    if searches and projection is not None:
        raise ValueError("projection is for methods without a line search (optax.sgd, say); bounds are for all")

    def f(x: Params) -> jax.Array:
        return _scalar(fun(x, *args), has_aux, dtype)

    def ask(point: _Point) -> jax.Array:
        stop: jax.Array = io_callback(callbacks.call, jnp.zeros((), bool), number, _result(point, None))
        return stop

    task = _Task(
        f,
        Region(limits, projection),
        tx,
        searches,
        jnp.asarray(tol, dtype),
        jnp.asarray(maxiter),
        ask if calls else None,
    )
    point = jax.lax.stop_gradient(_solve(task, x0, recorded))
    if not any(jnp.iscomplexobj(x) for x in jax.tree.leaves(x0)):
        g, symmetric = point.grad, projection is None
        x = _root(lambda x: task.region.residual(x, g, jax.grad(f)), point.params, symmetric)
        point = point._replace(params=x, value=with_derivatives(f, x, point.value))
    return _result(point, fun(point.params, *args)[1] if has_aux else None)


class _Task(NamedTuple):
    """What is to be done.

    Attributes:
      f: the function.
      region: where its arguments may be.
      tx: the method.
      searches: whether that contains a line search.
      tol: of the norm of the gradient.
      maxiter: number of iterations at most.
      ask: whether the callback asks for the end; None if there is none.
    """

    f: Callable[[Params], jax.Array]
    region: Region
    tx: GradientTransformationExtraArgs
    searches: bool
    tol: jax.Array
    maxiter: jax.Array
    ask: Callable[[_Point], jax.Array] | None


class _Point(NamedTuple):
    """Where the run is."""

    params: Params
    value: jax.Array
    grad: Updates
    norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    status: jax.Array
    best: jax.Array
    unchanged: jax.Array  # iterations since the best value
    history: MinimizeHistory | None


def _result(point: _Point, aux: PyTree) -> MinimizeResult:
    p = point
    return MinimizeResult(p.params, p.value, p.norm, p.iterations, p.evaluations, p.status, aux, p.history)


def _solve(task: _Task, x: Params, recorded: int) -> _Point:
    """Where the run that begins at x ends."""
    x = task.region.nearest(x)
    value, grad = jax.value_and_grad(task.f)(x)
    norm = task.region.gradient_norm(x, grad)
    zero = jnp.zeros([], jnp.int32)
    blank = MinimizeHistory(*(jnp.full(recorded, jnp.nan, value.dtype) for _ in range(2))) if recorded else None
    status = _first(
        (~(jnp.isfinite(value) & jnp.isfinite(norm)), MinimizeStatus.NOT_FINITE),
        (norm <= task.tol, MinimizeStatus.CONVERGED),
        (task.maxiter <= 0, MinimizeStatus.MAX_ITERATIONS),
    )
    history = _recorded(blank, zero, value, norm)
    point = _Point(x, value, grad, norm, zero, zero + 1, status, value, zero, history)
    return compiled_loop(_is_running, functools.partial(_phase, task), point)


def _is_running(point: _Point) -> jax.Array:
    return point.status == MinimizeStatus.RUNNING


def _phase(task: _Task, point: _Point) -> _Point:
    """Iterations with a state of their own, until one of them is the last or cannot go on."""
    begun = point.iterations
    start = point, task.tx.init(point.params)
    point, _ = compiled_loop(lambda c: _is_running(c[0]), lambda c: _iterate(task, *c), start)
    # What the state remembers may have led astray: a fresh one begins with a step along the gradient.
    failed = point.status == MinimizeStatus.NO_DECREASE
    again = failed & (point.iterations > begun + 1) & (point.iterations < task.maxiter)
    return point._replace(status=jnp.where(again, int(MinimizeStatus.RUNNING), point.status))


def _iterate(task: _Task, point: _Point, state: Any) -> tuple[_Point, Any]:
    """One update."""
    x, value, grad, evaluations, state, is_finite = _moved(task, point, state)
    k = point.iterations + 1
    norm = task.region.gradient_norm(x, grad)
    better = value < point.best - float(np.finfo(value.dtype).eps) * jnp.abs(point.best)
    unchanged = jnp.where(better, 0, point.unchanged + 1)
    stays = (value == point.value) & (norm == point.norm)
    status = _first(
        (~(jnp.isfinite(value) & jnp.isfinite(norm)), MinimizeStatus.NOT_FINITE),
        (norm <= task.tol, MinimizeStatus.CONVERGED),
        (task.searches & stays, MinimizeStatus.NO_DECREASE),
        (task.searches & (unchanged >= PATIENCE), MinimizeStatus.STALLED),
        (k >= task.maxiter, MinimizeStatus.MAX_ITERATIONS),
    )
    if not is_finite:
        good = status != MinimizeStatus.NOT_FINITE
        before = point.params, point.value, point.grad, point.norm
        x, value, grad, norm = tree.where(good, (x, value, grad, norm), before)
    point = _Point(
        params=x,
        value=value,
        grad=grad,
        norm=norm,
        iterations=k,
        evaluations=point.evaluations + evaluations,
        status=status,
        best=jnp.where(better, value, point.best),
        unchanged=unchanged,
        history=_recorded(point.history, k, value, norm),
    )
    if task.ask is not None:
        stopped = task.ask(point) & _is_running(point)
        point = point._replace(status=jnp.where(stopped, int(MinimizeStatus.STOPPED), status))
    return point, state


def _moved(task: _Task, point: _Point, state: Any) -> tuple[Params, jax.Array, Updates, jax.Array, Any, bool]:
    """The next parameters, value and gradient there, how many evaluations, the state, and whether all is finite."""
    region, g = task.region, tree.conj(point.grad)

    def value_fn(x: Params) -> jax.Array:
        return task.f(x if region.bounds is None else region.nearest(x))

    within = {} if region.bounds is None else {"free": region.free(point.params, point.grad)}
    u, state = task.tx.update(g, state, point.params, value=point.value, grad=g, value_fn=value_fn, **within)
    anywhere = apply_updates(point.params, u)
    x = region.nearest(anywhere)
    found = state_of_search(state)
    if found is None or found.grad is None:
        known: bool | jax.Array = False
    elif ends_with_search(state):
        known = region.is_everything or ~_differ(x, anywhere)
    else:
        known = is_reached(found, x)
    value, grad = if_else(known, lambda: (found.value, found.grad), lambda: jax.value_and_grad(task.f)(x))
    evaluations = jnp.where(known, 0, 1) + (found.info.num_linesearch_steps if task.searches else 0)
    if isinstance(found, ScaleByBacktrackingLinesearchState) and found.grad is not None:
        evaluations = evaluations + 1  # with the gradient, where the search has ended
    # A zoom search goes nowhere where value or slope is not finite.
    is_finite = known is True and isinstance(found, ScaleByZoomLinesearchState)
    return x, value, grad, evaluations, state, is_finite


def _recorded(history: MinimizeHistory | None, k: jax.Array, *numbers: jax.Array) -> MinimizeHistory | None:
    if history is None:
        return None
    return MinimizeHistory(*(column.at[k].set(x) for column, x in zip(history, numbers, strict=True)))


def _first(*cases: tuple[jax.Array, MinimizeStatus]) -> jax.Array:
    """The status of the first case that holds."""
    status = jnp.asarray(int(MinimizeStatus.RUNNING), jnp.int32)
    for condition, case in reversed(cases):
        status = jnp.where(condition, int(case), status)
    return status


def _differ(a: PyTree, b: PyTree) -> jax.Array:
    different = [jnp.any(x != y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    return functools.reduce(jnp.logical_or, different, jnp.asarray(False))


def _root(residual: Callable[[Params], PyTree], x: Params, symmetric: bool) -> Params:
    """x, where the residual is 0, with the derivatives that this gives it by what the residual is made of."""
    from jax.scipy.sparse import linalg  # here, for it takes longer to import than all optimizers together

    closed, constants = jax.closure_convert(residual, x)
    precision = float(np.finfo(real_dtype(x)).eps) ** (2 / 3)

    def solve(product: Callable[[PyTree], PyTree], y: PyTree) -> PyTree:
        solver: Any = linalg.cg if symmetric else linalg.gmres
        return solver(product, y, tol=precision)[0]

    @jax.custom_jvp
    def root(x: Params, constants: Any) -> Params:
        return x

    @root.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        constants = primals[1]
        x = root(*primals)  # in derivatives of this too

        def product(v: Params) -> PyTree:
            return jax.jvp(lambda x: closed(x, *constants), (x,), (v,))[1]

        _, shift = jax.jvp(lambda c: closed(x, *c), (constants,), (tangents[1],))
        # JAX's solvers cannot be transposed here by themselves.
        return x, tree.scale(-1, jax.lax.custom_linear_solve(product, shift, solve, solve, symmetric=symmetric))

    return root(x, constants)


def _scalar(returned: Any, has_aux: bool, dtype: Any) -> jax.Array:
    if has_aux and not (isinstance(returned, tuple) and len(returned) == 2):
        raise TypeError(
            f"with has_aux=True fun must return a pair, of a real scalar and auxiliary data, not {returned!r}"
        )
    value = returned[0] if has_aux else returned
    if isinstance(value, (tuple, list, dict)) or value is None:
        raise TypeError(f"fun must return a real scalar (has_aux=True is for pairs), not {value!r}")
    return real_scalar("fun must return a real scalar", value, dtype)


def _strong(x: Any) -> jax.Array:
    """x as an array of a strong type: a number, and an array made of it, are then one program."""
    return x if isinstance(x, jax.Array) and not x.weak_type else jnp.asarray(x, jnp.result_type(x))


def _check_floating(x0: Params) -> None:
    for path, x in tree_leaves_with_path(x0):
        if not jnp.issubdtype(jnp.result_type(x), jnp.inexact):
            raise TypeError(f"x0 must have floating or complex leaves; at {keystr(path) or 'the root'} it has {x!r}")

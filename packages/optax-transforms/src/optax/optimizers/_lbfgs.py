"""L-BFGS: a quasi-Newton method that remembers the last few changes of parameters and gradient.

s = x - x',  y = g - g'    (of two consecutive steps)
d = H * g                  (H: the inverse of the Hessian that the last m pairs s, y suggest)
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    chain,
    check_integer,
    checked_transformation,
    copy_slot,
    identity,
    new_scalar,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    safe_sqrt,
    scaled,
    transformation,
    vary_like,
)
from optax.linesearch import scale_by_zoom_linesearch
from optax.linesearch._objective import stored
from optax.optimizers._matrices import on_any_mesh
from optax.optimizers._parts import inner, written_after, zeros_each
from optax.transforms import scale, scale_by_learning_rate
from optax.transforms._precision import quotient, real_dtype

__all__ = ["ScaleByLBFGSState", "lbfgs", "scale_by_lbfgs"]


class ScaleByLBFGSState(NamedTuple):
    """State of `scale_by_lbfgs`, with a memory of m pairs s, y.

    Attributes:
      count: int32 scalar, number of updates.
      params: tree, the parameters at the last update.
      updates: tree, the gradients at the last update.
      diff_params_memory: tree of arrays (m, *shape), the changes s of the parameters. The pair that update k, counted
        from 0, has added is at (k - 1) mod m.
      diff_updates_memory: tree of arrays (m, *shape), the changes y of the gradients, in the same order.
      weights_memory: array (m,), 1 / <s, y> in the same order; 0 where there is no pair.
      products_memory: array (2, m, m): R^-1, where R has <s_i, y_j> for s_i not younger than y_j and else 0, and
        <y_i, y_j>, in the same order.
      scale: scalar, <s, y> / <y, y> of the newest pair; 0 before there is one.

    The last two follow from the memory: None has them computed from it.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    params: Params
    updates: Updates
    diff_params_memory: PyTree
    diff_updates_memory: PyTree
    weights_memory: jax.Array
    products_memory: jax.Array | None = None
    scale: jax.Array | None = None


@transformation
def scale_by_lbfgs(memory_size: int = 10, scale_init_precond: bool = True) -> GradientTransformationExtraArgs:
    """Multiply the gradients by the inverse Hessian of L-BFGS.

        H = gamma * I + [S, gamma * Y] * M * [S, gamma * Y]^T
        M = [[R^-T * (D + gamma * Y^T * Y) * R^-1, -R^-T], [-R^-1, 0]]

    The columns of S and Y are the pairs s, y in memory, the oldest first; R is the upper triangle of S^T * Y with its
    diagonal D. It is the matrix of the recursion over the pairs, but takes two passes over the memory, whatever m is.

    A pair with <s, y> <= eps * |s| * |y|, eps being the precision of numbers, is no evidence of positive curvature and
    left out. So H is positive definite, and -H * g leads downhill.

    Args:
      memory_size: integer >= 1, the number m of pairs.
      scale_init_precond: whether gamma is <s, y> / <y, y> of the newest pair, and min(1, 1 / |g|) before there is one;
        else it is 1.

    Returns:
      A transformation that needs the parameters and whose state is `ScaleByLBFGSState`. `update` also takes `free`, a
      tree of booleans of the structure and shapes of the updates: the updates are 0 where it is False, and the Hessian
      is that in the other parameters alone. It takes m times as long then.

    Raises:
      ValueError: `memory_size` is less than 1; from `update`, if the parameters are missing.

    References:
      Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
      Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods",
      1994, theorem 2.2 and section 3.2.
    """
    m = check_integer("memory_size", memory_size, least=1)

    def init(params: Params) -> ScaleByLBFGSState:
        dtype = real_dtype(params)

        def memory() -> PyTree:
            return jax.tree.map(lambda x: _memory_of(x, m), new_slot(params))

        return ScaleByLBFGSState(
            count=jnp.zeros([], jnp.int32),
            params=copy_slot(params, decay=0),
            updates=new_slot(params),
            diff_params_memory=memory(),
            diff_updates_memory=memory(),
            weights_memory=vary_like(jnp.zeros((m,), dtype), params),
            products_memory=vary_like(jnp.zeros((2, m, m), dtype), params),
            scale=new_scalar(0, dtype, params),
        )

    def update(
        updates: Updates,
        state: ScaleByLBFGSState,
        params: Params | None = None,
        *,
        free: PyTree = None,
        **extra_args: Any,
    ) -> tuple[Updates, ScaleByLBFGSState]:
        del extra_args
        params = require_params(params)
        dtype = jnp.asarray(state.weights_memory).dtype
        place = (jnp.asarray(state.count) - 1) % m
        places = jnp.arange(m, dtype=place.dtype)
        here, ages = places == place, (place - places) % m
        before = params, state.params, state.updates

        def measure(g: jax.Array, S: jax.Array, Y: jax.Array, *rest: jax.Array) -> Any:
            x, last_x, last_g = rest[-3:]
            new = jnp.stack([x - last_x, g - last_g, g])
            of_memory = [_products(A, v) for v in new[1:] for A in (S, Y)]
            return g, S, Y, jnp.stack(of_memory), jnp.stack([_products(new, v) for v in new])

        sums = zeros_each(updates, dtype, (4, m)), zeros_each(updates, dtype, (3, 3))
        slots = state.diff_params_memory, state.diff_updates_memory, *sums
        _, S, Y, *sums = over_leaves(measure, updates, summaries=slots, reads=before)
        of_memory, of_new = _sum_of(sums[0], (4, m), dtype), _sum_of(sums[1], (3, 3), dtype)
        (ss, sy, sg), (_, yy, yg), (_, _, gg) = of_new
        curved = (state.count > 0) & (sy > np.finfo(dtype).eps * jnp.sqrt(ss) * jnp.sqrt(yy))
        is_pair = curved & jnp.isfinite(ss) & jnp.isfinite(yy)  # what is not finite is not remembered
        of_pair = jnp.where(is_pair, jnp.stack([sy, yy, sg, yg]), 0)
        Sy, Yy, Sg, Yg = jnp.where(here[None], of_pair[:, None], of_memory)
        Sy, Yy = jnp.where(is_pair, Sy, 0), jnp.where(is_pair, Yy, 0)

        def pair(g: jax.Array, x: jax.Array, last_x: jax.Array, last_g: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jnp.where(is_pair, x - last_x, 0), jnp.where(is_pair, g - last_g, 0)

        def remember(g: jax.Array, S: jax.Array, Y: jax.Array, *rest: jax.Array) -> Any:
            s, y = pair(g, *rest)
            return g, _replaced(S, s, place), _replaced(Y, y, place)

        def recomputed(free: PyTree) -> tuple[jax.Array, ...]:
            _, new_S, new_Y = over_leaves(remember, updates, summaries=(S, Y), reads=before)
            return _among(free, updates, new_S, new_Y, ages, dtype)

        if state.products_memory is None or state.scale is None:
            inverse_R, YY, _, _, _, newest = recomputed(None)
        else:
            inverse_R, YY = state.products_memory
            newest = state.scale
        weight = jnp.where(is_pair, quotient(jnp.ones_like(sy), sy), 0)
        inverse_R = _bordered(inverse_R, Sy, weight, here)
        YY = jnp.where(here[:, None], Yy[None], jnp.where(here[None], Yy[:, None], YY))
        newest = jnp.where(is_pair, quotient(sy, yy), newest)
        known = (inverse_R, YY, Sg, Yg, gg, newest) if free is None else recomputed(free)
        a, b, gamma = _coefficients(*known, scale_init_precond=scale_init_precond)
        a_new, b_new = (jnp.sum(jnp.where(here, v, 0)) for v in (a, b))
        a, b = (jnp.where(here, 0, v) for v in (a, b))

        def combine(g: jax.Array, S: jax.Array, Y: jax.Array, *rest: jax.Array) -> Any:
            # The memory as it was, and the new pair beside it: what is read after it is written, XLA may copy.
            s, y = pair(g, *rest[:3])
            d = scaled(g, gamma) + _combination(a, S) + _combination(b, Y) + scaled(s, a_new) + scaled(y, b_new)
            s, y = (written_after(v, d, state.count) for v in (s, y))
            d = d if free is None else jnp.where(rest[3], d, 0)
            return d, _replaced(S, s, place), _replaced(Y, y, place)

        reads = before if free is None else (*before, free)
        d, S, Y = over_leaves(combine, updates, summaries=(S, Y), reads=reads)
        return d, ScaleByLBFGSState(
            count=safe_increment(state.count),
            params=stored(params, state.params),
            updates=stored(updates, state.updates),
            diff_params_memory=S,
            diff_updates_memory=Y,
            weights_memory=_replaced(jnp.asarray(state.weights_memory), weight, place),
            products_memory=jnp.stack([inverse_R, YY]),
            scale=newest,
        )

    return GradientTransformationExtraArgs(init, update)


def _bordered(inverse_R: jax.Array, Sy: jax.Array, weight: jax.Array, here: jax.Array) -> jax.Array:
    """R^-1 without the pair that was here, and with the new one: R gets the column <s_i, y>, 1 / weight at its end.

    The rows and columns are in the order of the memory; nothing depends on it.
    """
    others = jnp.where(here[:, None] | here[None], 0, inverse_R)
    column = jnp.where(here, 1, -jnp.sum(others * Sy[None], 1)) * weight
    return jnp.where(here[None], column[:, None], others)


def _coefficients(
    inverse_R: jax.Array,
    YY: jax.Array,
    Sg: jax.Array,
    Yg: jax.Array,
    gg: jax.Array,
    newest: jax.Array,
    *,
    scale_init_precond: bool,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """a, b and gamma of H * g = gamma * g + S * a + Y * b. Where there is no pair, all products are 0."""
    gamma = jnp.ones_like(gg)
    if scale_init_precond:
        gamma = jnp.where(newest > 0, newest, 1 / jnp.maximum(safe_sqrt(gg), 1))
    D = quotient(jnp.ones_like(Sg), jnp.diag(inverse_R))
    p = jnp.sum(inverse_R * Sg[None], 1)
    q = D * p + gamma * (jnp.sum(YY * p[None], 1) - Yg)
    return jnp.sum(inverse_R * q[:, None], 0), -gamma * p, gamma


def _among(free: PyTree, updates: Updates, S: PyTree, Y: PyTree, ages: jax.Array, dtype: Any) -> tuple[jax.Array, ...]:
    """R^-1, Y^T Y, S^T g, Y^T g, <g, g> and the scale of the newest pair, in the free parameters alone, or in all."""
    m = len(ages)

    def measure(g: jax.Array, S: jax.Array, Y: jax.Array, _: Any, __: Any, *mask: jax.Array) -> Any:
        g, free_Y = (jnp.where(mask[0], g, 0), jnp.where(mask[0][None], Y, 0)) if mask else (g, Y)
        columns = [jnp.stack([_products(S, v), _products(Y, v)]) for v in (*free_Y, g)]
        return g, S, Y, jnp.stack(columns, 2), inner(g, g)

    slots = S, Y, zeros_each(updates, dtype, (2, m, m + 1)), zeros_each(updates, dtype)
    _, _, _, sums, squares = over_leaves(measure, updates, summaries=slots, reads=() if free is None else (free,))
    SY, YY = _sum_of(sums, (2, m, m + 1), dtype)
    SY, Sg, YY, Yg = SY[:, :m], SY[:, m], YY[:, :m], YY[:, m]
    # The curvature of a pair may be positive only together with that in the parameters left out.
    is_pair = jnp.diag(SY) > np.finfo(dtype).eps * jnp.diag(YY)
    YY = jnp.where(is_pair[:, None] & is_pair[None], YY, 0)
    Sg, Yg = jnp.where(is_pair, Sg, 0), jnp.where(is_pair, Yg, 0)

    def add(i: jax.Array, inverse_R: jax.Array) -> jax.Array:
        here = ages == m - 1 - i  # the oldest first
        Sy = jnp.sum(jnp.where(here[None], SY, 0), 1)
        weight = jnp.sum(jnp.where(here & is_pair, quotient(jnp.ones_like(Sy), Sy), 0))
        return _bordered(inverse_R, Sy, weight, here)

    inverse_R = jax.lax.fori_loop(0, m, add, jnp.zeros((m, m), dtype))
    is_newest = is_pair & (ages == jnp.min(jnp.where(is_pair, ages, m)))
    newest = jnp.sum(jnp.where(is_newest, quotient(jnp.diag(SY), jnp.diag(YY)), 0))
    return inverse_R, YY, Sg, Yg, _sum_of(squares, (), dtype), newest


def _products(A: jax.Array, x: jax.Array) -> jax.Array:
    """The vector of Re <A_i, x>."""
    axes = tuple(range(1, A.ndim))

    def contracted(A: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.tensordot(jnp.conj(A), x, axes=(axes, tuple(range(x.ndim))), precision="highest").real

    return on_any_mesh(contracted, A, x, like=None)


def _combination(a: jax.Array, A: jax.Array) -> jax.Array:
    """The sum of a_i * A_i."""
    return jnp.tensordot(a.astype(A.dtype), A, axes=1, precision="highest")


def _memory_of(x: jax.Array, m: int) -> jax.Array:
    """m arrays like x, of zeros, with the sharding of x in all axes but the first."""
    return jnp.broadcast_to(x[None], (m, *x.shape))


def _replaced(A: jax.Array, x: jax.Array, i: jax.Array) -> jax.Array:
    """A with x in the place of A_i."""
    result: jax.Array = jax.lax.dynamic_update_index_in_dim(A, x.astype(A.dtype), i, 0)
    return result


def _sum_of(sums: PyTree, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """The sum over the leaves of what `over_leaves` has put in the place of zeros."""
    return functools.reduce(jax.lax.add, jax.tree.leaves(sums), jnp.zeros(shape, dtype))


_LINESEARCH = scale_by_zoom_linesearch(20, initial_guess_strategy="one")


@transformation
def lbfgs(
    learning_rate: ScalarOrSchedule | None = None,
    memory_size: int = 10,
    scale_init_precond: bool = True,
    linesearch: GradientTransformation | None = _LINESEARCH,
) -> GradientTransformationExtraArgs:
    """L-BFGS: quasi-Newton steps from the last few changes of parameters and gradient, with a line search.

        u = -t * learning_rate * H * g

    H is the inverse Hessian of `scale_by_lbfgs` and t the step size that the line search finds. It is for functions
    that are the same in every step; `minimize` runs it to the end.

        value_and_grad = optax.value_and_grad_from_state(f)
        value, grad = value_and_grad(params, state=state)
        updates, state = tx.update(grad, state, params, value=value, grad=grad, value_fn=f)
        params = optax.apply_updates(params, updates)

    Args:
      learning_rate: real scalar or schedule, a factor of the direction; None for 1, which suits a line search.
      memory_size: integer >= 1, the number of pairs of changes to remember. Each takes the memory of two gradients.
      scale_init_precond: whether the inverse Hessian is, but for the pairs, a multiple of the identity that the newest
        pair suggests, and the first step is no longer than 1; else the multiple is 1.
      linesearch: a transformation that scales the direction, such as `scale_by_zoom_linesearch` or
        `scale_by_backtracking_linesearch`; None for none.

    Returns:
      A transformation that needs the parameters and, with a line search, `value`, `grad` and `value_fn`:
      see `scale_by_zoom_linesearch`. Its state is the tuple (`ScaleByLBFGSState`, `EmptyState`, that of the search).

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable, or `linesearch` no transformation.
      ValueError: `memory_size` is less than 1.

    References:
      Liu, Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
      Nocedal, Wright, "Numerical optimization", second edition, 2006, algorithm 7.5.
    """
    return chain(
        scale_by_lbfgs(memory_size, scale_init_precond),
        scale(-1.0) if learning_rate is None else scale_by_learning_rate(learning_rate),
        identity() if linesearch is None else checked_transformation("linesearch", linesearch),
    )

"""L-BFGS: a quasi-Newton method that remembers the last few changes of parameters and gradient.

s = x - x',  y = g - g'    (of two consecutive steps)
d = H * g                  (H: the inverse of the Hessian that the last m pairs s, y suggest)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

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
    has_value,
    identity,
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
from optax.optimizers._matrices import on_any_mesh
from optax.optimizers._parts import inner
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
      products_memory: array (2, m, m), <s_i, y_j> for i <= j and <y_i, y_j>, where the pairs are counted from the
        oldest.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    params: Params
    updates: Updates
    diff_params_memory: PyTree
    diff_updates_memory: PyTree
    weights_memory: jax.Array
    products_memory: jax.Array


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
        place = (state.count - 1) % m
        before = (params, state.params, state.updates)

        def sizes(g: jax.Array, _: Any, x: jax.Array, last_x: jax.Array, last_g: jax.Array) -> Any:
            s, y = x - last_x, g - last_g
            return g, jnp.stack([inner(s, y), inner(s, s), inner(y, y), inner(g, g)])

        _, sums = over_leaves(sizes, updates, summaries=(_zeros_each(updates, (4,), dtype),), reads=before)
        sy, ss, yy, gg = _sum_of(sums, (4,), dtype)
        curved = (state.count > 0) & (sy > jnp.finfo(dtype).eps * jnp.sqrt(ss) * jnp.sqrt(yy))
        is_pair = curved & jnp.isfinite(ss) & jnp.isfinite(yy)

        def remember(
            g: jax.Array, S: jax.Array, Y: jax.Array, _: Any, x: jax.Array, last_x: jax.Array, last_g: jax.Array
        ) -> Any:
            s, y = (jnp.where(is_pair, v, 0) for v in (x - last_x, g - last_g))
            S, Y, yg = _replaced(S, s, place), _replaced(Y, y, place), jnp.stack([y, g])
            return g, S, Y, jnp.concatenate([_products(S, yg), _products(Y, yg)], 1)

        slots = (state.diff_params_memory, state.diff_updates_memory, _zeros_each(updates, (m, 4), dtype))
        _, S, Y, sums = over_leaves(remember, updates, summaries=slots, reads=before)
        oldest_first = (place + 1 + jnp.arange(m, dtype=place.dtype)) % m
        Sy, Sg, Yy, Yg = _sum_of(sums, (m, 4), dtype)[oldest_first].T
        products = _shifted(state.products_memory, Sy, Yy)
        SY, YY = products
        if free is not None:
            SY, YY, Sg, Yg, gg = _among(free, updates, S, Y, oldest_first, dtype)
        gamma = _scale(SY, YY, gg) if scale_init_precond else jnp.ones_like(gg)
        a, b = _coefficients(SY, YY, Sg, Yg, gamma)
        a, b = jnp.zeros((2, m), dtype).at[:, oldest_first].set(jnp.stack([a, b]))

        def multiply(g: jax.Array, S: jax.Array, Y: jax.Array, *mask: jax.Array) -> Any:
            d = scaled(g, gamma) + _combination(a, S) + _combination(b, Y)
            return (jnp.where(mask[0], d, 0) if mask else d), S, Y

        d, S, Y = over_leaves(multiply, updates, summaries=(S, Y), reads=() if free is None else (free,))
        weight = jnp.where(is_pair, quotient(jnp.ones_like(sy), sy), 0)
        return d, ScaleByLBFGSState(
            count=safe_increment(state.count),
            params=jax.tree.map(_kept, params, state.params),
            updates=jax.tree.map(_kept, updates, state.updates),
            diff_params_memory=S,
            diff_updates_memory=Y,
            weights_memory=_replaced(jnp.asarray(state.weights_memory), weight, place),
            products_memory=products,
        )

    return GradientTransformationExtraArgs(init, update)


def _shifted(products: jax.Array, Sy: jax.Array, Yy: jax.Array) -> jax.Array:
    """The inner products without those of the oldest pair, with those of the newest: the last ones."""
    SY, YY = jnp.pad(products[:, 1:, 1:], ((0, 0), (0, 1), (0, 1)))
    return jnp.stack([SY.at[:, -1].set(Sy), YY.at[:, -1].set(Yy).at[-1, :].set(Yy)])


def _scale(SY: jax.Array, YY: jax.Array, gg: jax.Array) -> jax.Array:
    """gamma: <s, y> / <y, y> of the newest pair, and min(1, 1 / |g|) where there is none."""
    sy, yy = jnp.diag(SY), jnp.diag(YY)
    newest = jnp.argmax(jnp.where(sy > 0, jnp.arange(len(sy)), -1))
    return jnp.where(jnp.any(sy > 0), quotient(sy, yy)[newest], 1 / jnp.maximum(safe_sqrt(gg), 1))


def _coefficients(
    SY: jax.Array, YY: jax.Array, Sg: jax.Array, Yg: jax.Array, gamma: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """a and b of H * g = gamma * g + S * a + Y * b."""
    D = jnp.diag(SY)
    R = jnp.triu(SY) + jnp.diag(jnp.where(D > 0, 0, 1).astype(SY.dtype))  # where there is no pair, all products are 0
    p = jax.scipy.linalg.solve_triangular(R, Sg)
    q = D * p + gamma * (YY @ p - Yg)
    return jax.scipy.linalg.solve_triangular(R, q, trans="T"), -gamma * p


def _among(
    free: PyTree, updates: Updates, S: PyTree, Y: PyTree, oldest_first: jax.Array, dtype: Any
) -> tuple[jax.Array, ...]:
    """S^T Y, Y^T Y, S^T g, Y^T g and <g, g>, of the free parameters alone."""
    m = len(oldest_first)

    def products(g: jax.Array, S: jax.Array, Y: jax.Array, _: Any, __: Any, mask: jax.Array) -> Any:
        g = jnp.where(mask, g, 0)
        Yg = jnp.concatenate([jnp.where(mask[None], Y, 0), g[None]])
        return g, S, Y, jnp.stack([_products(S, Yg), _products(Y, Yg)]), inner(g, g)

    slots = (S, Y, _zeros_each(updates, (2, m, m + 1), dtype), _zeros_each(updates, (), dtype))
    _, _, _, sums, squares = over_leaves(products, updates, summaries=slots, reads=(free,))
    both = _sum_of(sums, (2, m, m + 1), dtype)[:, oldest_first]
    (SY, YY), (Sg, Yg) = both[:, :, oldest_first], both[:, :, m]
    # The curvature of a pair may be positive only together with that of the parameters left out.
    curved = jnp.diag(SY) > jnp.finfo(dtype).eps * jnp.diag(YY)
    pairs = curved[:, None] & curved[None]
    SY, YY = (jnp.where(pairs, x, 0) for x in (SY, YY))
    Sg, Yg = (jnp.where(curved, x, 0) for x in (Sg, Yg))
    return SY, YY, Sg, Yg, _sum_of(squares, (), dtype)


def _products(A: jax.Array, B: jax.Array) -> jax.Array:
    """The matrix of Re <A_i, B_j>."""
    axes = tuple(range(1, A.ndim))

    def contracted(A: jax.Array, B: jax.Array) -> jax.Array:
        return jnp.tensordot(jnp.conj(A), B, axes=(axes, axes), precision="highest").real

    return on_any_mesh(contracted, A, B, like=None)


def _combination(a: jax.Array, A: jax.Array) -> jax.Array:
    """The sum of a_i * A_i."""
    return jnp.tensordot(a.astype(A.dtype), A, axes=1, precision="highest")


def _memory_of(x: jax.Array, m: int) -> jax.Array:
    """m arrays like x, of zeros, with the sharding of x in all axes but the first."""
    return jnp.broadcast_to(x[None], (m, *x.shape))


def _replaced(A: jax.Array, x: jax.Array, i: jax.Array) -> jax.Array:
    """A with x in the place of A_i."""
    return jax.lax.dynamic_update_index_in_dim(A, x.astype(A.dtype), i, 0)


def _kept(x: Any, slot: jax.Array) -> jax.Array:
    """x as it is stored in a slot; an integer parameter's gradient, which has no value, is not."""
    return jnp.asarray(x, slot.dtype) if has_value(x) else slot


def _zeros_each(updates: Updates, shape: tuple[int, ...], dtype: Any) -> PyTree:
    """An array of zeros in the place of each leaf, for `over_leaves` to put sums over the leaf in."""
    return jax.tree.map(lambda _: jnp.zeros(shape, dtype), updates)


def _sum_of(sums: PyTree, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """The sum of those sums."""
    return sum(jax.tree.leaves(sums), jnp.zeros(shape, dtype))


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

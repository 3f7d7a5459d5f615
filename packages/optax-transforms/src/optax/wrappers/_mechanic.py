"""Mechanic: tune the learning rate of any optimizer while it runs."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    Updates,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    copy_slot,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    safe_sqrt,
    scaled,
    transformation,
    tree,
    vary_like,
)
from optax.transforms._layout import without_integers
from optax.transforms._precision import quotient

__all__ = ["MechanicState", "mechanize"]


class MechanicState(NamedTuple):
    """State of `mechanize`. The arrays of `num_betas` numbers have one for each decay.

    Attributes:
      base_optimizer_state: the state of the inner optimizer.
      count: int32 scalar, the number of updates made so far.
      r: real array (num_betas,), the reward, how much each scale has gained.
      m: real array (num_betas,), the largest |h| of late.
      v: real array (num_betas,), the sum of the squares of h of late.
      s: real array (num_betas,), the scales; their sum is the one in use.
      x0: tree of the parameters' structure, shapes and dtypes, their initial values.
      delta: tree of the same structure and shapes, the sum of all inner updates, in float32 or wider.
    """

    base_optimizer_state: OptState
    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    r: jax.Array
    m: jax.Array
    v: jax.Array
    s: jax.Array
    x0: Params
    delta: Updates = None


@transformation
def mechanize(
    base_optimizer: GradientTransformation,
    weight_decay: Numeric = 1e-2,
    eps: Numeric = 1e-8,
    s_init: Numeric = 1e-6,
    num_betas: int = 6,
) -> GradientTransformationExtraArgs:
    """Mechanic: find the scale of another optimizer's updates, online and with no more gradients.

    With the inner updates d, their sum D before this one, S = sum(s), n = `num_betas`, and for each decay
    b = 0.9, 0.99, ..., 1 - 10^-n:

        h = -<D, g + weight_decay * S * |g| * p / (|p| + eps)>    (what more of D would have gained)
        r = b * r + s * clip(h, -m, m)
        m = max(b * m, |h| + eps),  v = b^2 * v + h^2
        s = (s_init / n * m + max(r, 0)) / (sqrt(v) + eps)
        D = D + d,  p = x0 + sum(s) * D

    The inner optimizer's learning rate sets only the unit of s; one that warms up or decays keeps its shape.

    Args:
      base_optimizer: the optimizer to scale.
      weight_decay: real scalar, the strength of the pull towards 0 that is put into h.
      eps: scalar >= 0, keeps the quotients finite.
      s_init: scalar > 0, the first scale.
      num_betas: integer >= 1, the number of decays.

    Returns:
      A transformation that needs the parameters; p is always x0 plus a multiple of D, so what else may change the
      parameters is undone. Its state is `MechanicState`. Extra arguments reach the inner optimizer.

    Raises:
      TypeError: an argument is not of its kind.
      ValueError: an argument is out of its range.

    Reference:
      Cutkosky, Defazio, Mehta, "Mechanic: a learning rate tuner", 2023.
    """
    check_hyperparameter("weight_decay", weight_decay)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("s_init", s_init, above=0)
    num_betas = check_integer("num_betas", num_betas, least=1)
    base_optimizer = checked_transformation("base_optimizer", base_optimizer)
    betas = [1 - 10.0**-i for i in range(1, num_betas + 1)]

    def init(params: Params) -> MechanicState:
        x0 = copy_slot(params, decay=0)
        dtype = tree.norm(x0).dtype

        def of_each(value: Numeric) -> jax.Array:
            return vary_like(jnp.full(num_betas, value, dtype), params)

        return MechanicState(
            base_optimizer.init(params),
            count=jnp.zeros([], jnp.int32),
            r=of_each(0),
            m=of_each(0),
            v=of_each(0),
            s=of_each(s_init),
            x0=x0,
            delta=new_slot(params),
        )

    def update(
        updates: Updates, state: MechanicState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MechanicState]:
        params = require_params(params)
        inner_updates, inner_state = base_optimizer.update(updates, state.base_optimizer_state, params, **extra_args)
        _, count, r, m, v, s, x0, delta = state
        if delta is None:  # a state of the original, which computes it from the parameters at every step
            moved = jnp.sum(s) + jnp.asarray(eps, s.dtype)
            _, delta = over_leaves(lambda p, D, x0: (p, (p - x0) / moved), params, new_slot(params), reads=(x0,))
        b = jnp.asarray(betas, s.dtype)
        small = jnp.asarray(eps, s.dtype)

        pull = scaled(jnp.sum(s) * _norm(updates, s.dtype), weight_decay)
        pull = pull * quotient(_inner(delta, params, s.dtype), _norm(params, s.dtype) + small)
        h = -(_inner(delta, updates, s.dtype) + pull)
        r = b * r + s * jnp.clip(h, -m, m)
        m = jnp.maximum(b * m, jnp.abs(h) + small)
        v = b**2 * v + h**2
        s = quotient(scaled(m, s_init) / num_betas + jnp.maximum(r, 0), safe_sqrt(v) + small)
        S = jnp.sum(s)

        def rule(g: jax.Array, D: jax.Array, d: jax.Array, x0: jax.Array, p: jax.Array) -> tuple[jax.Array, jax.Array]:
            D = D + d
            return (x0 - p) + scaled(D, S), D

        updates, delta = over_leaves(rule, updates, delta, reads=(inner_updates, x0, params))
        return updates, MechanicState(inner_state, safe_increment(count), r, m, v, s, x0, delta)

    return GradientTransformationExtraArgs(init, update)


def _norm(t: Params | Updates, dtype: Any) -> jax.Array:
    return tree.norm(without_integers(t)).astype(dtype)


def _inner(delta: Updates, other: Params | Updates, dtype: Any) -> jax.Array:
    return jnp.asarray(jnp.real(tree.vdot(delta, other)), dtype)

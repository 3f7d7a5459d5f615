"""Sophia: the mean gradient over an estimate of the Hessian's diagonal, with every element of the step bounded.

m = b1 * m + (1 - b1) * g
u = clip(m / (1 - b1^t) / max(scaled(h, gamma), eps), clip_threshold)
h = b2 * h + (1 - b2) * (an estimate of the Hessian's diagonal)         every update_interval steps
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    OptState,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    chain,
    check_dtype,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    debias,
    moving_average,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    total_weight,
    transformation,
    tree,
    update_if,
    vary_like,
)
from optax.optimizers._parts import bounded_ratio
from optax.transforms import add_decayed_weights, scale_by_learning_rate
from optax.transforms._layout import without_float0, without_integers
from optax.transforms._random import RandomKey, random_keys

__all__ = ["HutchinsonState", "SophiaState", "hutchinson_estimator_diag_hessian", "sophia"]


class HutchinsonState(NamedTuple):
    """State of `hutchinson_estimator_diag_hessian`.

    Attributes:
      key: uint32 array, the integers of the next random key (`jax.random.wrap_key_data` makes a key of them).
    """

    key: jax.Array


class SophiaState(NamedTuple):
    """State of `sophia`, in its chain.

    Attributes:
      count: int32 scalar, the number of updates made so far (t).
      mu: tree of the parameters' structure and shapes, the mean of the gradients (m).
      nu: tree of the same structure and shapes, real, the mean of the estimates of the Hessian's diagonal (h).
      hessian_fn_state: the state of `hessian_diagonal_fn`.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    mu: Updates
    nu: Updates
    hessian_fn_state: OptState


@transformation
def hutchinson_estimator_diag_hessian(random_seed: RandomKey | None = None) -> GradientTransformationExtraArgs:
    """Estimate the diagonal of a function's Hessian, in place of the updates: u = z * (H z), z of random signs.

    Call `update(updates, state, params, obj_fn=f)`, where `f(params)` is the function, a real scalar; of `updates` only
    the form is used. The mean of u is the diagonal of H. It costs about as much as two gradients, and is exact if H is
    diagonal. A complex parameter gets the mean of the second derivatives by its real and its imaginary part (z is then
    one of (+-1 +-i) / sqrt(2)).

    Args:
      random_seed: an integer seed or a random key; None for the seed 0. Inside `shard_map` every device draws the same
        signs.

    Returns:
      A transformation that needs the parameters and `obj_fn`. Its state is `HutchinsonState`.

    Raises:
      TypeError: `random_seed` is neither an integer nor a key.
      ValueError: from `update`, if `obj_fn` or the parameters are missing.

    Reference:
      Bekas, Kokiopoulou, Saad, "An estimator for the diagonal of a matrix", 2007, equation 1.
    """
    start, advance = random_keys(0 if random_seed is None else random_seed, None)

    def init(params: Params) -> HutchinsonState:
        del params
        return HutchinsonState(start())

    def update(
        updates: Updates,
        state: HutchinsonState,
        params: Params | None = None,
        *,
        obj_fn: Callable[[Params], Any] | None = None,
        **extra_args: Any,
    ) -> tuple[Updates, HutchinsonState]:
        del extra_args
        x = require_params(params)
        if obj_fn is None:
            raise ValueError(
                "the Hessian is that of a function of the parameters: call update(updates, state, params, obj_fn=f)"
            )
        now, key = advance(state.key)
        z, Hz = _times_hessian(obj_fn, x, now)
        # JAX's gradient of a complex parameter, and so Hz, is the conjugate of the direction of steepest ascent.
        diagonal = over_leaves(lambda g, z, Hz: (z * Hz).real, updates, reads=(z, Hz))
        return diagonal, HutchinsonState(key)

    return GradientTransformationExtraArgs(init, update)


HUTCHINSON = hutchinson_estimator_diag_hessian()


@transformation
def sophia(
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.965,
    b2: Numeric = 0.99,
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule = 1e-4,
    weight_decay_mask: MaskOrFn = None,
    gamma: Numeric = 0.01,
    clip_threshold: Numeric | None = 1.0,
    update_interval: int = 10,
    hessian_diagonal_fn: GradientTransformation = HUTCHINSON,
    mu_dtype: DTypeLike | None = None,
    verbose: bool = False,
    print_win_rate_every_n_steps: int = 0,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Sophia: a step of the mean gradient over the Hessian's diagonal, bounded element by element.

        m = b1 * m + (1 - b1) * g
        u = -learning_rate * (clip(m / (1 - b1^t) / max(scaled(h, gamma), eps), clip_threshold) + weight_decay * p)
        h = b2 * h + (1 - b2) * hessian_diagonal_fn    (at t = 1, and every update_interval steps after it)

    A new h counts from the next step on, as in the authors' code; so the first step is bounded everywhere. In the paper
    it counts at once, and m is not bias-corrected. Call `update(updates, state, params, obj_fn=f)`.

    Args:
      learning_rate: real scalar or schedule. It multiplies the weight decay too.
      b1: scalar in [0, 1), decay of the mean of the gradients.
      b2: scalar in [0, 1), decay of the mean of the estimates.
      eps: scalar >= 0, the smallest divisor; what has less curvature, or negative one, is divided by it.
      weight_decay: real scalar or schedule.
      weight_decay_mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the
        parameters. None for all.
      gamma: scalar >= 0, multiplies h; the larger, the fewer elements are clipped.
      clip_threshold: scalar >= 0, the largest magnitude of an element of the quotient; None for no bound.
      update_interval: integer >= 1, the number of steps from one estimate to the next; the others do not pay for it.
      hessian_diagonal_fn: transformation that puts an estimate of the diagonal in the place of the gradients. It gets
        the extra arguments of `update`; the default one needs `obj_fn`, the function that is minimized.
      mu_dtype: dtype of m. None for the parameter's, or float32 where that could not resolve `1 - b1`.
      verbose: whether to print the share of elements that are not clipped.
      print_win_rate_every_n_steps: integer >= 0, after how many steps to print it; 0 for every step.
      nu_dtype: dtype of h. None for the parameter's, but float32 in place of 16 bits.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `hessian_diagonal_fn` is no transformation, or a number of steps is no integer.
      ValueError: a decay is outside [0, 1), a scalar is negative, or `update_interval` is below 1.

    Reference:
      Liu, Li, Hall, Liang, Ma, "Sophia: a scalable stochastic second-order optimizer for language model pre-training",
      2023, algorithm 3.
    """
    every = check_integer("print_win_rate_every_n_steps", print_win_rate_every_n_steps, least=0) or 1
    return chain(
        _scale_by_sophia(
            b1,
            b2,
            eps,
            gamma,
            clip_threshold,
            update_interval,
            checked_transformation("hessian_diagonal_fn", hessian_diagonal_fn),
            mu_dtype,
            nu_dtype,
            every if verbose else None,
        ),
        add_decayed_weights(weight_decay, weight_decay_mask),
        scale_by_learning_rate(learning_rate),
    )


def _scale_by_sophia(
    b1: Numeric,
    b2: Numeric,
    eps: Numeric,
    gamma: Numeric,
    clip_threshold: Numeric | None,
    update_interval: int,
    estimator: GradientTransformationExtraArgs,
    mu_dtype: DTypeLike | None,
    nu_dtype: DTypeLike | None,
    print_every: int | None,
) -> GradientTransformationExtraArgs:
    check_hyperparameter("b1", b1, least=0, below=1)
    check_hyperparameter("b2", b2, least=0, below=1)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("gamma", gamma, least=0)
    if clip_threshold is not None:
        check_hyperparameter("clip_threshold", clip_threshold, least=0)
    update_interval = check_integer("update_interval", update_interval, least=1)
    check_dtype("mu_dtype", mu_dtype)
    check_dtype("nu_dtype", nu_dtype)

    def init(params: Params) -> SophiaState:
        return SophiaState(
            count=jnp.zeros([], jnp.int32),
            mu=new_slot(params, decay=b1, dtype=mu_dtype),
            nu=new_slot(params, dtype=nu_dtype, real=True),
            hessian_fn_state=estimator.init(params),
        )

    def refresh(
        updates: Updates,
        state: tuple[Updates, OptState],
        params: Params | None = None,
        *,
        gradients: Updates = None,
        **extra_args: Any,
    ) -> tuple[Updates, tuple[Updates, OptState]]:
        del updates
        diagonal, fn_state = estimator.update(gradients, state[1], params, **extra_args)

        def rule(diagonal: jax.Array, h: jax.Array) -> tuple[jax.Array, jax.Array]:
            return diagonal, moving_average(diagonal.real, h, b2)

        return (), (over_leaves(rule, diagonal, state[0])[1], fn_state)

    # Its updates are the empty tree: the gradients would otherwise come back through the condition as zeros.
    refreshing = GradientTransformationExtraArgs(lambda params: (), refresh)

    def update(
        updates: Updates, state: SophiaState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, SophiaState]:
        p = require_params(params)
        t = safe_increment(state.count)
        c1 = total_weight(b1, t)

        def direction(m: jax.Array, h: jax.Array, bound: Numeric | None) -> jax.Array:
            return bounded_ratio(debias(m, c1), scaled(h, gamma), eps, bound)

        def rule(g: jax.Array, m: jax.Array, h: jax.Array) -> tuple[jax.Array, jax.Array]:
            m = moving_average(g, m, b1)
            return direction(m, h, clip_threshold), m

        new_updates, mu = over_leaves(rule, updates, state.mu, reads=(state.nu,))
        if print_every is not None:
            shown = over_leaves(lambda g, m, h: direction(m, h, None), updates, reads=(mu, state.nu))
            jax.lax.cond(t % print_every == 0, lambda: _print_win_rate(shown, clip_threshold), lambda: None)
        nu, fn_state = update_if(
            state.count % update_interval == 0,
            refreshing,
            (),
            (state.nu, state.hessian_fn_state),
            p,
            gradients=updates,
            **extra_args,
        )[1]
        return new_updates, SophiaState(t, mu, nu, fn_state)

    return GradientTransformationExtraArgs(init, update)


def _print_win_rate(steps: Updates, clip_threshold: Numeric | None) -> None:
    steps = without_float0(steps)
    limit = jnp.asarray(jnp.inf if clip_threshold is None else clip_threshold, jnp.float32)
    within = jax.tree.map(lambda u: jnp.abs(u).astype(jnp.float32) < limit, steps)
    rate = tree.sum(tree.cast(within, jnp.float32)) / max(tree.size(steps), 1)
    jax.debug.print("sophia: {:.3f} of the elements are not clipped", rate)


def _times_hessian(f: Callable[[Params], Any], params: Params, key: jax.Array) -> tuple[PyTree, PyTree]:
    """Random signs z, and the Hessian of `f` times z; None for parameters that cannot be differentiated."""

    def of_inexact(x: Params) -> jax.Array:
        value = jnp.asarray(f(jax.tree.map(lambda p, x: p if x is None else x, params, x)))
        if value.shape or not jnp.issubdtype(value.dtype, jnp.floating):
            raise TypeError(f"obj_fn must return a real scalar, not {value.dtype}{list(value.shape)}")
        return value

    def gradient(x: Params) -> Params:
        value, pullback = jax.vjp(of_inexact, x)
        one = vary_like(jnp.ones_like(value), value)  # JAX 0.6 forgets that in `jax.grad`, inside `shard_map`
        return pullback(one)[0]

    x = jax.tree.map(jnp.asarray, without_integers(params))
    z = jax.tree.map(vary_like, tree.random_like(key, x, _signs), x)
    _, Hz = jax.jvp(gradient, (x,), (z,))
    return z, Hz


def _signs(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """1 or -1 for every element, (+-1 +-i) / sqrt(2) for a complex one."""
    if not jnp.issubdtype(dtype, jnp.complexfloating):
        return jax.random.rademacher(key, shape, dtype)
    real, imaginary = jax.random.rademacher(key, (2, *shape), np.finfo(dtype).dtype)
    return scaled(jax.lax.complex(real, imaginary), math.sqrt(0.5))

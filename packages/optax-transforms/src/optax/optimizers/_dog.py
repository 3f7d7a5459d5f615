"""Distance over gradients: step sizes from how far the parameters have come, with no learning rate to tune.

r = max(r, |x - x0|)
G = G + |g|^2               and u = g * r / sqrt(G + eps)           (DoG)
v = v + r^2 * |g|^2         and u = g * r^2 / (sqrt(v) + eps)       (DoWG)
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskOrFn,
    Numeric,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    abs_sq,
    chain,
    check_dtype,
    check_hyperparameter,
    copy_slot,
    identity,
    new_scalar,
    over_leaves,
    require_params,
    safe_sqrt,
    scaled,
    transformation,
    tree,
)
from optax.optimizers._parts import total, zeros_each
from optax.transforms import add_decayed_weights, scale_by_learning_rate
from optax.transforms._layout import without_integers
from optax.transforms._precision import quotient

__all__ = [
    "DoGState",
    "DoWGState",
    "ScaleByDistanceOverGradientsState",
    "dog",
    "dowg",
    "scale_by_distance_over_gradients",
]

InitStep: TypeAlias = tuple[Literal["distance", "learning_rate", "heuristic"], Numeric]


class DoGState(NamedTuple):
    """State of `dog`, in its chain.

    Attributes:
      is_init_step: boolean scalar, whether no update has been made yet.
      init_params: tree of the parameters' structure, shapes and dtypes, their initial values (x0).
      max_dist: real scalar, the largest distance from them so far (r).
      sum_sq_norm_grads: real scalar, the sum of the squared norms of the gradients (G).
    """

    is_init_step: jax.Array
    init_params: Params
    max_dist: jax.Array
    sum_sq_norm_grads: jax.Array


class DoWGState(NamedTuple):
    """State of `dowg`, in its chain.

    Attributes:
      init_params: tree of the parameters' structure, shapes and dtypes, their initial values (x0).
      weighted_sq_norm_grads: real scalar, the weighted sum of the squared norms of the gradients (v).
      estim_sq_dist: real scalar, the square of the largest distance from the initial values so far (r^2).
    """

    init_params: Params
    weighted_sq_norm_grads: jax.Array
    estim_sq_dist: jax.Array


class ScaleByDistanceOverGradientsState(NamedTuple):
    """State of `scale_by_distance_over_gradients`.

    Attributes:
      max_dist: tree of the parameters' structure with a real scalar for each, its largest distance so far (r).
      grad_sum_of_squares: tree of the same kind, the sums of the squared norms of the gradients (G).
      init_params: tree of the parameters' structure and shapes, their initial values (x0).
    """

    max_dist: PyTree
    grad_sum_of_squares: PyTree
    init_params: Params


@transformation
def scale_by_distance_over_gradients(
    reps_rel: Numeric = 1e-6,
    eps: Numeric = 1e-8,
    param_dtype: DTypeLike | None = jnp.float32,
    global_scale: Numeric = 1.0,
) -> GradientTransformation:
    """Layer-wise DoG: scale each leaf by its distance from the start over the root of its summed squared gradients.

        r = max(r, |p - x0|),  G = G + |g|^2,  u = g * global_scale * r / sqrt(G + eps)

    It is the recursion of `dog` for each leaf by itself, without the sign: subtract the result, as in
    `chain(scale_by_distance_over_gradients(), scale(-1.))`.

    Args:
      reps_rel: scalar > 0; the first r of each leaf is reps_rel * (1 + |x0|).
      eps: scalar >= 0, added inside the root.
      param_dtype: dtype in which x0 is kept (for complex parameters its complex counterpart); None for the
        parameter's. What the parameter loses in a narrower one counts as distance.
      global_scale: real scalar.

    Returns:
      A transformation that needs the parameters. Its state is `ScaleByDistanceOverGradientsState`.

    Raises:
      ValueError: `reps_rel` is not positive, or `eps` is negative.

    Reference:
      Ivgi, Hinder, Carmon, "DoG is SGD's best friend: a parameter-free dynamic step size schedule", 2023 (L-DoG).
    """
    check_hyperparameter("reps_rel", reps_rel, above=0)
    check_dtype("param_dtype", param_dtype)
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("global_scale", global_scale)

    def init(params: Params) -> ScaleByDistanceOverGradientsState:
        x0 = copy_slot(params, decay=0, dtype=param_dtype)
        r = jax.tree.map(lambda x: _first_distance(x, reps_rel), copy_slot(params, decay=0))
        G = jax.tree.map(lambda r: new_scalar(0, r.dtype, r), r)
        return ScaleByDistanceOverGradientsState(r, G, x0)

    def update(
        updates: Updates, state: ScaleByDistanceOverGradientsState, params: Params | None = None
    ) -> tuple[Updates, ScaleByDistanceOverGradientsState]:
        r, G, eta = _dog(updates, params, state.init_params, state.max_dist, state.grad_sum_of_squares, eps)
        eta = tree.scale(global_scale, eta)
        return _times(eta, updates), ScaleByDistanceOverGradientsState(r, G, state.init_params)

    return GradientTransformation(init, update)


@transformation
def dog(
    learning_rate: ScalarOrSchedule = 1.0,
    init_step: InitStep = ("heuristic", 1e-6),
    eps: Numeric = 1e-8,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """DoG: gradient descent with the distance from the start over the root of the summed squared gradients as step.

        g = g + weight_decay * p
        r = max(r, |p - x0|),  G = G + |g|^2,  u = -learning_rate * g * r / sqrt(G + eps)

    The norms are those of all leaves taken as one vector. For layer-wise DoG, with a step for each leaf, see
    `scale_by_distance_over_gradients`. The paper returns an average of the iterates.

    Args:
      learning_rate: real scalar or schedule; 1 is meant to do.
      init_step: how the first step is found, as a pair. ("heuristic", c): r starts from c * (1 + |x0|).
        ("distance", r): r starts from r. ("learning_rate", s): r starts from 0, and u = -learning_rate * s * g until
        the parameters have moved. The number must be positive.
      eps: scalar >= 0, added inside the root.
      weight_decay: real scalar or schedule; None for none.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable, or `init_step` is no pair.
      ValueError: `init_step` is of no such kind or not positive, or `eps` is negative.

    Reference:
      Ivgi, Hinder, Carmon, "DoG is SGD's best friend: a parameter-free dynamic step size schedule", 2023, equation
      (DoG).
    """
    return chain(
        _decay(weight_decay, mask),
        _scale_by_dog(init_step, eps),
        scale_by_learning_rate(learning_rate),
    )


def _scale_by_dog(init_step: InitStep, eps: Numeric) -> GradientTransformation:
    if not isinstance(init_step, (tuple, list)) or len(init_step) != 2:
        raise TypeError(f"init_step must be a pair such as ('heuristic', 1e-6), not {init_step!r}")
    kind, size = init_step
    if kind not in ("distance", "learning_rate", "heuristic"):
        raise ValueError(f"init_step must begin with 'distance', 'learning_rate' or 'heuristic', not {kind!r}")
    check_hyperparameter("init_step", size, above=0)
    check_hyperparameter("eps", eps, least=0)

    def init(params: Params) -> DoGState:
        x0 = copy_slot(params, decay=0)
        r = _first_distance(x0, size)
        if kind != "heuristic":
            r = new_scalar(size if kind == "distance" else 0, r.dtype, x0)
        return DoGState(jnp.asarray(True), x0, r, new_scalar(0, r.dtype, x0))

    def update(updates: Updates, state: DoGState, params: Params | None = None) -> tuple[Updates, DoGState]:
        r, G, eta = _dog(updates, params, state.init_params, state.max_dist, state.sum_sq_norm_grads, eps)
        if kind == "learning_rate":
            # Zero gradients, or parameters too coarse for the step, leave r at 0, and with it every step from then on.
            eta = jnp.where(state.is_init_step | (r == 0), jnp.asarray(size, eta.dtype), eta)
        return _times(eta, updates), DoGState(jnp.asarray(False), state.init_params, r, G)

    return GradientTransformation(init, update)


@transformation
def dowg(
    learning_rate: ScalarOrSchedule = 1.0,
    init_estim_sq_dist: Numeric | None = None,
    eps: Numeric = 1e-4,
    weight_decay: ScalarOrSchedule | None = None,
    mask: MaskOrFn = None,
) -> GradientTransformationExtraArgs:
    """DoWG: distance over weighted gradients, where a gradient counts the more the farther the parameters have come.

        g = g + weight_decay * p
        r^2 = max(r^2, |p - x0|^2),  v = v + r^2 * |g|^2,  u = -learning_rate * g * r^2 / (sqrt(v) + eps)

    The norms are those of all leaves taken as one vector.

    Args:
      learning_rate: real scalar or schedule; 1 is meant to do.
      init_estim_sq_dist: scalar > 0, the first r^2; None for `eps`.
      eps: scalar >= 0, added to the root.
      weight_decay: real scalar or schedule; None for none.
      mask: which parameters decay: tree of booleans, a prefix of one, or a function that makes it from the parameters.
        None for all.

    Returns:
      A transformation that needs the parameters; add its updates to them with `apply_updates`.

    Raises:
      TypeError: `learning_rate` or `weight_decay` is neither a real scalar nor callable.
      ValueError: the first r^2 is not positive, or `eps` is negative.

    Reference:
      Khaled, Mishchenko, Jin, "DoWG unleashed: an efficient universal parameter-free gradient descent method", 2023,
      algorithm 1.
    """
    return chain(
        _decay(weight_decay, mask),
        _scale_by_dowg(eps if init_estim_sq_dist is None else init_estim_sq_dist, eps),
        scale_by_learning_rate(learning_rate),
    )


def _scale_by_dowg(first_sq_dist: Numeric, eps: Numeric) -> GradientTransformation:
    check_hyperparameter("eps", eps, least=0)
    check_hyperparameter("init_estim_sq_dist", first_sq_dist, above=0)

    def init(params: Params) -> DoWGState:
        x0 = copy_slot(params, decay=0)
        dtype = jax.eval_shape(tree.norm, x0).dtype
        return DoWGState(x0, new_scalar(0, dtype, x0), new_scalar(first_sq_dist, dtype, x0))

    def update(updates: Updates, state: DoWGState, params: Params | None = None) -> tuple[Updates, DoWGState]:
        x0, v, r_sq = state
        r_sq = jnp.maximum(r_sq, _sq_distance(require_params(params), x0, v.dtype))
        v = v + r_sq * _sq_norm(updates).astype(v.dtype)
        eta = quotient(r_sq, safe_sqrt(v) + jnp.asarray(eps, v.dtype))
        return _times(eta, updates), DoWGState(x0, v, r_sq)

    return GradientTransformation(init, update)


def _dog(
    updates: Updates, params: Params | None, x0: Params, r: PyTree, G: PyTree, eps: Numeric
) -> tuple[PyTree, PyTree, PyTree]:
    """The next r and G, and the step sizes.

    All three hold one scalar for each block of the parameters, in a prefix of their tree: a scalar by itself where
    all of them are one block, a scalar in the place of each leaf where each is one.
    """
    params = require_params(params)

    def distance(r: jax.Array, x: Params, x0: Params) -> jax.Array:
        return jnp.maximum(r, safe_sqrt(_sq_distance(x, x0, r.dtype)))

    r = jax.tree.map(distance, r, params, x0)
    G = jax.tree.map(lambda G, g: G + _sq_norm(g).astype(G.dtype), G, updates)
    # No gradient has come yet where G + eps is 0: whatever the step size, the step is 0.
    eta = jax.tree.map(lambda r, G: quotient(r, safe_sqrt(G + jnp.asarray(eps, G.dtype))), r, G)
    return r, G, eta


def _times(eta: PyTree, updates: Updates) -> Updates:
    return jax.tree.map(lambda eta, block: over_leaves(lambda g: scaled(g, eta), block), eta, updates)


def _sq_norm(updates: Updates) -> jax.Array:
    return tree.norm(updates, squared=True)


def _sq_distance(x: Params, x0: Params, dtype: Any) -> jax.Array:
    def rule(x0: jax.Array, _: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x0, jnp.sum(abs_sq(x - x0))

    _, squares = over_leaves(rule, x0, summaries=(zeros_each(x0, dtype),), reads=(x,))
    return total(squares, dtype)


def _first_distance(x0: Params, relative: Numeric) -> jax.Array:
    return scaled(1 + tree.norm(without_integers(x0)), relative)


def _decay(weight_decay: ScalarOrSchedule | None, mask: MaskOrFn) -> GradientTransformation:
    return identity() if weight_decay is None else add_decayed_weights(weight_decay, mask)

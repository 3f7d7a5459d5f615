"""Averages in place of schedules.

y = b1 * x + (1 - b1) * z       the parameters: gradients are taken here
z = z + u(y)                    the steps of a base optimizer
x = (1 - c) * x + c * z         their weighted mean: evaluate here
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    MaskedNode,
    Numeric,
    OptState,
    Params,
    ScalarOrSchedule,
    Updates,
    chain,
    check_dtype,
    check_hyperparameter,
    checked_transformation,
    copy_slot,
    debias,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    scheduled,
    slot_dtype,
    transformation,
    tree,
)
from optax.optimizers import scale_by_rms, sgd
from optax.schedules import warmup_constant_schedule
from optax.transforms import add_decayed_weights, scale_by_learning_rate
from optax.wrappers._averages import averages_in, floating, is_gap, over_slots, scalar_dtype, within

__all__ = [
    "ScheduleFreeState",
    "schedule_free",
    "schedule_free_adamw",
    "schedule_free_eval_params",
    "schedule_free_sgd",
]


class ScheduleFreeState(NamedTuple):
    """State of `schedule_free`.

    Attributes:
      b1: scalar, the share of x in the parameters.
      weight_sum: scalar, the sum of the weights of all steps so far.
      step_count: int32 scalar, the number of updates made so far.
      max_lr: scalar, the largest learning rate so far.
      base_optimizer_state: the state of the base optimizer.
      z: tree of the parameters' structure and shapes, `MaskedNode()` for those that are not floating.
      x: tree like `z`, with `MaskedNode()` also where x can be computed from the parameters and z. None stands for a
        tree of nothing else.
    """

    b1: jax.Array
    weight_sum: jax.Array
    step_count: jax.Array
    max_lr: jax.Array
    base_optimizer_state: OptState
    z: Params
    x: Params | None = None

    def eval_params(self, params: Params) -> Params:
        """The mean x."""

        def rule(y: jax.Array, z: jax.Array) -> jax.Array:
            return z + debias(y - z, self.b1)  # since y = b1 * x + (1 - b1) * z

        if self.x is None:
            return over_leaves(rule, within(self.z, params), reads=(self.z,))
        missing = jax.tree.map(lambda x, z: z if _is_masked(x) else MaskedNode(), self.x, self.z, is_leaf=is_gap)
        computed = over_leaves(rule, within(missing, params), reads=(missing,))
        return jax.tree.map(lambda x, c: c if _is_masked(x) else x, self.x, computed, is_leaf=is_gap)


@transformation
def schedule_free(
    base_optimizer: GradientTransformation,
    learning_rate: ScalarOrSchedule,
    b1: Numeric = 0.9,
    weight_lr_power: Numeric = 2.0,
    state_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Replace the momentum of an optimizer, and the decay of its learning rate, by averages of its steps.

        z = z + u                                       u from the base optimizer, at the gradient of y
        w = max(|learning_rate| so far)^weight_lr_power
        c = w / (sum of w so far)                       0 as long as all w are 0
        x = (1 - c) * x + c * z
        y = b1 * x + (1 - b1) * z

    The parameters are y; evaluate with `schedule_free_eval_params(state, params)`, which returns x. This must be the
    last stage of a chain. Nothing else may move the parameters: the next update would undo it, or take it for x.

    Args:
      base_optimizer: a transformation without momentum, learning rate included.
      learning_rate: real scalar or schedule, the one of the base optimizer; here it only gives the weights.
      b1: scalar in [0, 1]. With 0, gradients are taken at z (Polyak averaging); with 1, at x (primal averaging).
      weight_lr_power: real scalar, how much more steps of a large learning rate weigh.
      state_dtype: dtype of z. None for float32, or the parameter's where that is wider: z is a running sum.

    Returns:
      A transformation that needs the parameters, whose state is `ScheduleFreeState`. It keeps x only where z and the
      parameters do not determine it: if they are in 16 bits, or `b1` is 0 or an array (that may become 0).

    Raises:
      TypeError: `learning_rate` is neither a real scalar nor callable.
      ValueError: `b1` is outside [0, 1].

    Reference:
      Defazio et al., "The road less scheduled", 2024.
    """
    check_hyperparameter("learning_rate", learning_rate, schedule=True)
    check_hyperparameter("b1", b1, least=0, most=1)
    check_hyperparameter("weight_lr_power", weight_lr_power)
    check_dtype("state_dtype", state_dtype)
    base_optimizer = checked_transformation("base_optimizer", base_optimizer)

    def init(params: Params) -> ScheduleFreeState:
        dtype = scalar_dtype(params)
        return ScheduleFreeState(
            b1=jnp.asarray(b1, dtype),
            weight_sum=jnp.zeros([], dtype),
            step_count=jnp.zeros([], jnp.int32),
            max_lr=jnp.zeros([], dtype),
            base_optimizer_state=base_optimizer.init(params),
            z=copy_slot(floating(params), dtype=state_dtype),
            x=copy_slot(jax.tree.map(lambda p: p if _loses_x(b1, tree.dtype(p)) else MaskedNode(), floating(params))),
        )

    def update(
        updates: Updates, state: ScheduleFreeState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, ScheduleFreeState]:
        params = require_params(params)
        updates, base_state = base_optimizer.update(updates, state.base_optimizer_state, params, **extra_args)
        old_sum = jnp.asarray(state.weight_sum)
        dtype = old_sum.dtype
        max_lr = jnp.maximum(
            jnp.asarray(state.max_lr, dtype), jnp.abs(jnp.asarray(scheduled(learning_rate, state.step_count), dtype))
        )
        weight = max_lr ** jnp.asarray(weight_lr_power, dtype)
        weight_sum = old_sum + weight
        c = jnp.where(weight_sum > 0, weight / jnp.where(weight_sum > 0, weight_sum, 1), 0)
        share = jnp.asarray(b1, dtype)
        old_share = jnp.asarray(state.b1, dtype)
        change = share / jnp.where(old_share == 0, 1, old_share)  # x is in the state where b1 may be 0

        def rule(u: jax.Array, z: jax.Array, x: Any, y: jax.Array) -> tuple[jax.Array, jax.Array, Any]:
            z = z + u
            if _is_masked(x):  # the step of y, without the z before (another array to keep): it was z - u
                return scaled(z - y, c + (1 - c) * (1 - change)) + scaled(u, (1 - c) * (change - share)), z, x
            x = x + scaled(z - x, c)
            return z + scaled(x - z, share) - y, z, x

        x = jax.tree.map(lambda _: MaskedNode(), state.z) if state.x is None else state.x
        updates, z, x = over_slots(rule, updates, state.z, reads=(params,), summaries=(x,))
        kept_x = None if state.x is None else x
        count = safe_increment(state.step_count)
        return updates, ScheduleFreeState(share, weight_sum, count, max_lr, base_state, z, kept_x)

    return GradientTransformationExtraArgs(init, update)


def _is_masked(x: Any) -> bool:
    return isinstance(x, MaskedNode)


def _loses_x(b1: Numeric, dtype: Any) -> bool:
    """Whether x cannot be told from y = b1 * x + (1 - b1) * z."""
    # In 16 bits y would round away what x gains in a step, once there are some hundred of them.
    return isinstance(b1, jax.Array) or b1 == 0 or slot_dtype(dtype) != dtype


def schedule_free_eval_params(state: OptState, params: Params) -> Params:
    """The mean x to evaluate with: `eval_params`, of schedule-free states only.

    Args:
      state: a `ScheduleFreeState`, or any state that holds one (of a chain, a mask, a wrapper).
      params: the parameters (y).

    Returns:
      The tree x, in the dtypes of the parameters; parameters that no schedule-free state covers as they are.

    Raises:
      ValueError: there is no `ScheduleFreeState`, or two of them cover the same parameter.
    """
    return averages_in(state, params, ScheduleFreeState)


@transformation
def schedule_free_sgd(
    learning_rate: Numeric = 1.0,
    warmup_steps: int | None = None,
    b1: Numeric = 0.9,
    weight_decay: Numeric | None = None,
    weight_lr_power: Numeric = 2.0,
    state_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free gradient descent.

        z = z - learning_rate * (g + weight_decay * y)
        x = (1 - c) * x + c * z,   y = b1 * x + (1 - b1) * z         c as in `schedule_free`

    Args:
      learning_rate: real scalar; a schedule only without `warmup_steps`.
      warmup_steps: integer >= 0, over which the learning rate rises from 0; None for no warm-up, as 0.
      b1: scalar in [0, 1], the share of x in the parameters y.
      weight_decay: real scalar, or None for none.
      weight_lr_power: real scalar, how much more steps of a large learning rate weigh.
      state_dtype: dtype of z; see `schedule_free`.

    Returns:
      A transformation that needs the parameters; evaluate with `schedule_free_eval_params`.

    Raises:
      TypeError: an argument is not a real number.
      ValueError: `b1` is outside [0, 1], or `warmup_steps` is negative.

    Reference:
      Defazio et al., "The road less scheduled", 2024.
    """
    rate = _warmed_up(learning_rate, warmup_steps)
    base = sgd(rate) if weight_decay is None else chain(add_decayed_weights(weight_decay), sgd(rate))
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


@transformation
def schedule_free_adamw(
    learning_rate: Numeric = 0.0025,
    warmup_steps: int | None = None,
    b1: Numeric = 0.9,
    b2: Numeric = 0.999,
    eps: Numeric = 1e-8,
    weight_decay: Numeric = 0.0,
    weight_lr_power: Numeric = 2.0,
    state_dtype: DTypeLike | None = None,
    *,
    nu_dtype: DTypeLike | None = None,
) -> GradientTransformationExtraArgs:
    """Schedule-free Adam with decoupled weight decay.

        v = b2 * v + (1 - b2) * |g|^2
        z = z - learning_rate * (g / (sqrt(v / (1 - b2^t)) + eps) + weight_decay * y)
        x = (1 - c) * x + c * z,   y = b1 * x + (1 - b1) * z         c as in `schedule_free`

    Args:
      learning_rate: real scalar; a schedule only without `warmup_steps`.
      warmup_steps: integer >= 0, over which the learning rate rises from 0; None for no warm-up, as 0.
      b1: scalar in [0, 1], the share of x in the parameters y.
      b2: scalar in [0, 1), decay of the mean of the squared gradients.
      eps: scalar >= 0, added outside the root.
      weight_decay: real scalar.
      weight_lr_power: real scalar, how much more steps of a large learning rate weigh.
      state_dtype: dtype of z; see `schedule_free`.
      nu_dtype: dtype of v. None for float32, or float64 for parameters of that precision.

    Returns:
      A transformation that needs the parameters; evaluate with `schedule_free_eval_params`.

    Raises:
      TypeError: an argument is not a real number.
      ValueError: a decay is outside its range, `eps` is negative, or `warmup_steps` is.

    Reference:
      Defazio et al., "The road less scheduled", 2024, algorithm 1.
    """
    check_hyperparameter("b2", b2, least=0, below=1)
    rate = _warmed_up(learning_rate, warmup_steps)
    base = chain(
        scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True, nu_dtype=nu_dtype),
        add_decayed_weights(weight_decay),
        scale_by_learning_rate(rate),
    )
    return schedule_free(base, rate, b1, weight_lr_power, state_dtype)


def _warmed_up(learning_rate: ScalarOrSchedule, warmup_steps: int | None) -> ScalarOrSchedule:
    if warmup_steps is None:
        return learning_rate
    if callable(learning_rate):
        raise TypeError("learning_rate must be a number where warmup_steps is given: let the schedule warm up itself")
    return warmup_constant_schedule(0.0, learning_rate, warmup_steps)

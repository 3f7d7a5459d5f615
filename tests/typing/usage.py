"""What type checkers make of the public names. Checked by mypy and pyright, never run.

An error that is ignored here must be there: both checkers are told to object to a comment that they do not need.
"""

import dataclasses
from typing import Any, assert_type

import jax

import optax
import optax.core.tree
from optax.core import GradientTransformation, GradientTransformationExtraArgs, Schedule
from optax.losses import squared_error
from optax.optimizers import adam
from optax.schedules import ScheduleValue, cosine_decay_schedule
from optax.tree import add

# One type, whichever address is used.
assert_type(optax.adam(1e-3), GradientTransformationExtraArgs)
assert_type(optax.optimizers.adam(1e-3), GradientTransformationExtraArgs)
assert_type(adam(1e-3), GradientTransformationExtraArgs)
assert_type(optax.squared_error([1.0], [0.0]), jax.Array)
assert_type(optax.losses.squared_error([1.0], [0.0]), jax.Array)
assert_type(squared_error([1.0], [0.0]), jax.Array)
assert_type(optax.cosine_decay_schedule(0.1, 100), ScheduleValue)
assert_type(optax.schedules.cosine_decay_schedule(0.1, 100), ScheduleValue)
assert_type(cosine_decay_schedule(0.1, 100), ScheduleValue)
assert_type(optax.tree.add({}, {}), Any)
assert_type(optax.core.tree.add({}, {}), Any)
assert_type(add({}, {}), Any)
assert_type(optax.__version__, str)

assert_type(1 - 0.5 * cosine_decay_schedule(0.1, 100), ScheduleValue)
assert_type(optax.inject_hyperparams(optax.adam)(1e-3), GradientTransformationExtraArgs)

as_annotated: Schedule = optax.cosine_decay_schedule(0.1, 100)

# A learning rate is a number, an array, or a schedule.
optax.sgd(0.1)
optax.sgd(jax.numpy.float32(0.1))
optax.sgd(optax.cosine_decay_schedule(0.1, 100))
optax.sgd("0.1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# A transformation is a pair of functions.
init, update = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1))
state = init({})
updates, state = update({}, state, {})


# Parameters may be of a type of one's own, and keep it (defect H1 of the original, which loses it).
@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Layer:
    weight: jax.Array
    bias: jax.Array


def step(layer: Layer, gradient: Layer, state: optax.OptState) -> None:
    updates, _ = optax.adamw(1e-3).update(gradient, state, layer)
    assert_type(optax.apply_updates(layer, updates), Layer)
    assert_type(optax.incremental_update(layer, layer, 0.1), Layer)
    assert_type(optax.scale_gradient(layer, 0.5), Layer)


# Annotations in code that takes optimizers.
def train(tx: optax.GradientTransformation, params: optax.Params) -> optax.OptState:
    return tx.init(params)


train(optax.adamw(1e-3), {})
with_extra_args: GradientTransformation = optax.with_extra_args_support(optax.sgd(0.1))


# What wraps an optimizer is one, and takes the place of one.
multi: optax.GradientTransformationExtraArgs = optax.MultiSteps(optax.adam(1e-3), every_k_schedule=4)
assert_type(optax.MultiSteps(optax.adam(1e-3), 4).has_updated(multi.init({})), jax.Array)
table = optax.rules(
    [("*/bias", optax.sgd(0.1)), ("embed/*", None), ("*", optax.adamw(1e-3, mask=optax.at_paths("*w")))]
)
assert_type(table, optax.Rules)
table.explain({})
optax.chain(multi, table, optax.apply_if_finite(table, 3), optax.params_ema(0.99))
optax.rules({"*": optax.sgd(0.1)})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
# Older addresses lead to the same things.
assert_type(optax.contrib.schedule_free_sgd(1.0), optax.GradientTransformationExtraArgs)
assert_type(optax.transforms.MultiSteps(optax.adam(1e-3), 4), optax.MultiSteps)
assert_type(optax.transforms.chain(), optax.GradientTransformationExtraArgs)
optax.experimental.aggregating.process
optax.global_norm({})

# What is not there is an error.
optax.nope  # type: ignore[attr-defined]  # pyright: ignore
optax.losses.nope  # type: ignore[attr-defined]  # pyright: ignore
optax.tree.nope  # type: ignore[attr-defined]  # pyright: ignore
optax.transforms.TYPE_CHECKING  # type: ignore[attr-defined]  # pyright: ignore
from optax import nope  # type: ignore[attr-defined]  # pyright: ignore

"""From the gradients of single elements to one update: means, and the statistics around them.

An aggregator takes updates with extra axes, one entry for each element of a batch, and returns updates of the shapes
of the parameters. It is a transformation in all but that, so it can begin a `chain`; `process` puts it between two
transformations and lets the second wait until it is ready.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_leaves_with_path

from optax.core import (
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    PyTree,
    Updates,
    abs_sq,
    chain,
    check_hyperparameter,
    check_integer,
    checked_transformation,
    debias,
    identity,
    init_empty_state,
    moving_average,
    new_slot,
    over_leaves,
    safe_increment,
    scaled,
    slot_dtype,
    total_weight,
    transformation,
    tree,
    update_if,
)

__all__ = [
    "AccumulateAvgUpdatesState",
    "Aggregator",
    "AggregatorUpdateFn",
    "PerElementMeanAndSumSqDiffGradsState",
    "PerElementMeanAndVarianceEMAState",
    "accumulate_avg_updates",
    "add_mean_variance_to_opt",
    "average_incrementally_updates",
    "average_per_element_updates",
    "get_batch_size_from_per_elt_updates",
    "get_per_element_mean_and_sum_sq_diff_grads",
    "get_unbiased_mean_and_variance_ema",
    "process",
    "track_per_element_mean_and_variance_with_ema",
]

Axes: TypeAlias = int | Sequence[int]


class AggregatorUpdateFn(Protocol):
    """`update(per_elt_updates, state, params)` returns the aggregated updates and the next state."""

    def __call__(
        self, per_elt_updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]: ...


class Aggregator(GradientTransformationExtraArgs):
    """A transformation whose updates go in with axes that those that come out do not have.

    `init(params)` makes the state, from parameters without these axes; `update` is an `AggregatorUpdateFn`.
    """


class AccumulateAvgUpdatesState(NamedTuple):
    """State of `accumulate_avg_updates`.

    Attributes:
      micro_step: int32 scalar, the number of updates in the mean so far.
      ready: boolean scalar, whether the last update completed a mean.
      avg_grad: tree of the parameters' structure and shapes, the mean so far.
    """

    micro_step: jax.Array
    ready: jax.Array
    avg_grad: Updates


class PerElementMeanAndSumSqDiffGradsState(NamedTuple):
    """State of `get_per_element_mean_and_sum_sq_diff_grads` over several steps.

    Attributes:
      micro_step: int32 scalar, the number of batches seen so far.
      ready: boolean scalar, whether the last batch was the last of its series.
      mean_grads: tree of the parameters' structure and shapes, the mean so far.
      sum_sq_diff_grads: tree of the same structure and shapes, real, the sum of squared distances from that mean.
    """

    micro_step: jax.Array
    ready: jax.Array
    mean_grads: Updates
    sum_sq_diff_grads: Updates


class PerElementMeanAndVarianceEMAState(NamedTuple):
    """State of `track_per_element_mean_and_variance_with_ema`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      ema_decay: scalar, the decay of the two averages.
      mean_grads_ema: tree of the parameters' structure and shapes, the average mean, from zero.
      variance_grads_ema: tree of the same structure and shapes, real, the average variance, from zero.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    ema_decay: jax.Array
    mean_grads_ema: Updates
    variance_grads_ema: Updates


@transformation
def process(
    preprocessor: GradientTransformation,
    aggregator: GradientTransformation,
    postprocessor: GradientTransformation,
    aggregator_has_aux: bool = False,
) -> GradientTransformationExtraArgs:
    """Something before an aggregator and something after it, which waits until the aggregator is ready.

    Args:
      preprocessor: a transformation of the updates of single elements (one that clips them, say). Its state is made
        from the parameters, so it can hardly have any.
      aggregator: an `Aggregator`, or a transformation such as `accumulate_avg_updates`. Its state may have a flag
        `ready`; without one it is ready at every step.
      postprocessor: a transformation of the aggregated updates, an optimizer for one. While the aggregator is not
        ready it is not run, its state stays as it is, and the updates are zeros.
      aggregator_has_aux: whether the aggregator returns `(updates, aux)` for the updates, with a dict of extra
        arguments for `postprocessor`.

    Returns:
      An `Aggregator` if `aggregator` is one, else a transformation. Its state is the tuple of the three states. Extra
      arguments of `update` go to all three.

    Raises:
      TypeError: one of the three is not a transformation.
    """
    first = checked_transformation("preprocessor", preprocessor)
    second = checked_transformation("aggregator", aggregator)
    third = checked_transformation("postprocessor", postprocessor)

    def init(params: Params) -> tuple[OptState, OptState, OptState]:
        return first.init(params), second.init(params), third.init(params)

    def update(
        updates: Updates, state: tuple[OptState, ...], params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, tuple[OptState, ...]]:
        first_state, second_state, third_state = state
        updates, first_state = first.update(updates, first_state, params, **extra_args)
        updates, second_state = second.update(updates, second_state, params, **extra_args)
        if aggregator_has_aux:
            updates, aux = updates
            extra_args = {**extra_args, **aux}
        flags = [flag for _, flag in tree.get_all_with_path(second_state, "ready")]
        ready = functools.reduce(jnp.logical_and, flags) if flags else True
        updates, third_state = update_if(ready, third, updates, third_state, params, **extra_args)
        return updates, (first_state, second_state, third_state)

    return (Aggregator if isinstance(aggregator, Aggregator) else GradientTransformationExtraArgs)(init, update)


@transformation
def average_per_element_updates(per_elt_axis: Axes = 0) -> Aggregator:
    """The mean over the elements of a batch.

    Args:
      per_elt_axis: the axis, or axes, along which every leaf of the updates has its elements.

    Returns:
      An `Aggregator` whose state is `EmptyState()`. The means are taken in float32 or wider and come out in the
      dtypes of the updates; that of no elements is zero.

    Raises:
      TypeError: `per_elt_axis` is not made of integers.
      ValueError: from `update`, if the leaves do not all have the axes and the same number of elements.
    """
    axes = _as_axes(per_elt_axis)

    def update(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        means, _ = _statistics(updates, axes, get_batch_size_from_per_elt_updates(updates, axes))
        return _in_dtypes_of(updates, means), state

    return Aggregator(init_empty_state, update)


@transformation
def accumulate_avg_updates(accumulation_steps: int) -> GradientTransformation:
    """The mean of `accumulation_steps` updates at every last of them, zeros in between.

    Args:
      accumulation_steps: integer >= 1; 1 leaves the updates as they are.

    Returns:
      A transformation whose state is `AccumulateAvgUpdatesState`, or `EmptyState()` for a single step. The mean is
      kept in float32 or wider. One that a NaN has got into is reported once, then the next begins from zero.

    Raises:
      TypeError: `accumulation_steps` is not an integer.
      ValueError: `accumulation_steps` is below 1.
    """
    steps = check_integer("accumulation_steps", accumulation_steps, least=1)
    if steps == 1:
        return identity()

    def init(params: Params) -> AccumulateAvgUpdatesState:
        return AccumulateAvgUpdatesState(jnp.zeros([], jnp.int32), jnp.zeros([], bool), new_slot(params))

    def update(
        updates: Updates, state: AccumulateAvgUpdatesState, params: Params | None = None
    ) -> tuple[Updates, AccumulateAvgUpdatesState]:
        del params
        n = safe_increment(state.micro_step)
        ready = n >= steps

        def rule(g: jax.Array, mean: jax.Array) -> tuple[jax.Array, jax.Array]:
            mean = mean + scaled(g - mean, 1 / n)
            zero = jnp.zeros_like(mean)
            return jnp.where(ready, mean, zero), jnp.where(ready, zero, mean)

        updates, mean = over_leaves(rule, updates, state.avg_grad)
        return updates, AccumulateAvgUpdatesState(jnp.where(ready, 0, n), ready, mean)

    return GradientTransformation(init, update)


@transformation
def average_incrementally_updates(
    per_elt_axis: Axes | None, accumulation_steps: int
) -> GradientTransformationExtraArgs:
    """The mean over the elements of a batch and over several batches.

    Args:
      per_elt_axis: as in `average_per_element_updates`; None if the updates have no axes of elements.
      accumulation_steps: as in `accumulate_avg_updates`.

    Returns:
      An `Aggregator` whose state is the tuple of the states of `average_per_element_updates` and
      `accumulate_avg_updates`; for `per_elt_axis=None` a transformation with the state of the latter.

    Raises:
      TypeError: an argument is not an integer.
      ValueError: `accumulation_steps` is below 1; or, from `update`, the leaves do not all have the axes and the same
        number of elements.
    """
    accumulate = checked_transformation("accumulate_avg_updates", accumulate_avg_updates(accumulation_steps))
    if per_elt_axis is None:
        return accumulate
    return Aggregator(*chain(average_per_element_updates(per_elt_axis), accumulate))


@transformation
def get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis: Axes = 0, accumulation_steps: int = 1) -> Aggregator:
    """The mean over all elements of one batch or several, and the sum of squared distances from it.

        mean = (1/n) * sum_i g_i
        s = sum_i |g_i - mean|^2

    Several batches are joined as they come (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
    computing sample variances", 1982, equation 2.1), without a difference of large squares.

    Args:
      per_elt_axis: as in `average_per_element_updates`.
      accumulation_steps: integer >= 1, the number of batches, all of one size.

    Returns:
      An `Aggregator` that returns `(mean, aux)` for the updates: aux is a dict with `sum_sq_diff_grads`, the tree s,
      real and in float32 or wider, and `sample_size`, the int32 scalar n. All are zeros at steps that do not
      complete a series of batches. The state is `PerElementMeanAndSumSqDiffGradsState`, or `EmptyState()` for a single
      step.

    Raises:
      TypeError: an argument is not an integer.
      ValueError: `accumulation_steps` is below 1; or, from `update`, the leaves do not all have the axes and the same
        number of elements.
    """
    axes = _as_axes(per_elt_axis)
    steps = check_integer("accumulation_steps", accumulation_steps, least=1)

    def update_of_one(
        updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]:
        n = get_batch_size_from_per_elt_updates(updates, axes)
        means, squares = _statistics(updates, axes, n)
        aux = {"sum_sq_diff_grads": squares, "sample_size": jnp.asarray(n, jnp.int32)}
        return (_in_dtypes_of(updates, means), aux), state

    def init(params: Params) -> PerElementMeanAndSumSqDiffGradsState:
        return PerElementMeanAndSumSqDiffGradsState(
            jnp.zeros([], jnp.int32), jnp.zeros([], bool), new_slot(params), new_slot(params, real=True)
        )

    def update(
        updates: Updates,
        state: PerElementMeanAndSumSqDiffGradsState,
        params: Params | None = None,
        **extra_args: Any,
    ) -> tuple[Updates, PerElementMeanAndSumSqDiffGradsState]:
        size = get_batch_size_from_per_elt_updates(updates, axes)
        means, squares = _statistics(updates, axes, size)
        k = safe_increment(state.micro_step)
        ready = k >= steps

        def join(new: jax.Array, mean: jax.Array, s: jax.Array, new_s: jax.Array) -> tuple[jax.Array, ...]:
            difference = new - mean
            mean = mean + scaled(difference, 1 / k)
            # The sizes of the two parts are size * (k - 1) and size.
            return new, mean, s + new_s + scaled(abs_sq(difference), size * (1 - 1 / k))

        _, mean, s = over_leaves(join, means, state.mean_grads, state.sum_sq_diff_grads, reads=(squares,))

        def emit(g: jax.Array, x: jax.Array) -> jax.Array:
            return jnp.where(ready, x, jnp.zeros_like(x))

        aux = {
            "sum_sq_diff_grads": over_leaves(emit, squares, reads=(s,)),
            "sample_size": jnp.where(ready, jnp.asarray(size * steps, jnp.int32), 0),
        }
        emitted = over_leaves(emit, _in_dtypes_of(updates, means), reads=(mean,))
        mean, s = (tree.where(ready, tree.zeros_like(x), x) for x in (mean, s))
        return (emitted, aux), PerElementMeanAndSumSqDiffGradsState(jnp.where(ready, 0, k), ready, mean, s)

    return Aggregator(init_empty_state, update_of_one) if steps == 1 else Aggregator(init, update)


@transformation
def track_per_element_mean_and_variance_with_ema(ema_decay: Numeric = 0.9) -> GradientTransformationExtraArgs:
    """Leave the updates as they are, and keep moving averages of them and of the variance around them.

        m = ema_decay * m + (1 - ema_decay) * g
        v = ema_decay * v + (1 - ema_decay) * sum_sq_diff_grads / (sample_size - 1)

    Args:
      ema_decay: scalar in [0, 1).

    Returns:
      A transformation whose state is `PerElementMeanAndVarianceEMAState`, in float32 or wider. Its `update` needs two
      extra arguments, which `get_per_element_mean_and_sum_sq_diff_grads` makes: `sum_sq_diff_grads`, a tree of the
      structure of the updates, and `sample_size`. A sample of one has the variance zero.

    Raises:
      ValueError: `ema_decay` is outside [0, 1); or, from `update`, one of the two arguments is missing.
    """
    check_hyperparameter("ema_decay", ema_decay, least=0, below=1)

    def init(params: Params) -> PerElementMeanAndVarianceEMAState:
        return PerElementMeanAndVarianceEMAState(
            count=jnp.zeros([], jnp.int32),
            ema_decay=jnp.array(ema_decay, jnp.result_type(float)),
            mean_grads_ema=new_slot(params),
            variance_grads_ema=new_slot(params, real=True),
        )

    def update(
        updates: Updates,
        state: PerElementMeanAndVarianceEMAState,
        params: Params | None = None,
        *,
        sum_sq_diff_grads: Updates = None,
        sample_size: Numeric | None = None,
        **extra_args: Any,
    ) -> tuple[Updates, PerElementMeanAndVarianceEMAState]:
        if sample_size is None:
            raise ValueError("update needs sum_sq_diff_grads= and sample_size=, the statistics of an aggregator")
        decay, degrees_of_freedom = state.ema_decay, jnp.maximum(jnp.asarray(sample_size) - 1, 1)

        def average(x: jax.Array, slot: jax.Array) -> tuple[jax.Array, jax.Array]:
            return x, moving_average(x, slot, decay)

        def average_variance(s: jax.Array, v: jax.Array) -> tuple[jax.Array, jax.Array]:
            return s, moving_average(s / degrees_of_freedom.astype(s.dtype), v, decay)

        _, mean = over_leaves(average, updates, state.mean_grads_ema)
        _, variance = over_leaves(average_variance, sum_sq_diff_grads, state.variance_grads_ema)
        return updates, PerElementMeanAndVarianceEMAState(safe_increment(state.count), decay, mean, variance)

    return GradientTransformationExtraArgs(init, update)


@transformation
def add_mean_variance_to_opt(
    opt: GradientTransformation,
    ema_decay: Numeric = 0.9,
    per_elt_axis: Axes = 0,
    accumulation_steps: int = 1,
) -> GradientTransformationExtraArgs:
    """Let an optimizer take the gradients of single elements, and track their mean and variance.

    `opt` gets their mean. `get_unbiased_mean_and_variance_ema` reads what was tracked from the state.

    Args:
      opt: an optimizer.
      ema_decay: as in `track_per_element_mean_and_variance_with_ema`.
      per_elt_axis: as in `average_per_element_updates`.
      accumulation_steps: as in `get_per_element_mean_and_sum_sq_diff_grads`; `opt` takes a step at every last one.

    Returns:
      An `Aggregator`. Its state is that of `process`: nothing, then the state of
      `get_per_element_mean_and_sum_sq_diff_grads`, then a pair of the averages and the state of `opt`.

    Raises:
      TypeError: `opt` is not a transformation, or an argument is not a number.
      ValueError: `ema_decay` is outside [0, 1), or `accumulation_steps` is below 1.
    """
    return process(
        identity(),
        get_per_element_mean_and_sum_sq_diff_grads(per_elt_axis, accumulation_steps),
        chain(track_per_element_mean_and_variance_with_ema(ema_decay), checked_transformation("opt", opt)),
        aggregator_has_aux=True,
    )


def get_unbiased_mean_and_variance_ema(state: OptState) -> tuple[Updates, Updates]:
    """The averages that `track_per_element_mean_and_variance_with_ema` keeps, without the bias of starting from zero.

    Args:
      state: any state with one `PerElementMeanAndVarianceEMAState` in it.

    Returns:
      The mean and the variance, trees of the parameters' structure; zeros before the first update.

    Raises:
      ValueError: there is no such state.
      KeyError: there are several.
    """
    found = tree.get(state, PerElementMeanAndVarianceEMAState.__name__)
    if found is None:
        raise ValueError(f"there is no {PerElementMeanAndVarianceEMAState.__name__} in the state")
    weight = total_weight(found.ema_decay, found.count)
    weight = jnp.where(found.count == 0, jnp.ones_like(weight), weight)

    def corrected(average: Updates) -> Updates:
        return over_leaves(lambda x: debias(x, weight), average)

    return corrected(found.mean_grads_ema), corrected(found.variance_grads_ema)


def get_batch_size_from_per_elt_updates(per_elt_updates: Updates, per_elt_axis: Axes) -> int:
    """The number of elements in a batch.

    Args:
      per_elt_updates: tree of arrays, each with one entry for each element.
      per_elt_axis: the axis, or axes, along which the elements are.

    Returns:
      The product of the lengths of these axes; 0 for a tree without leaves.

    Raises:
      TypeError: `per_elt_axis` is not made of integers.
      ValueError: a leaf lacks one of the axes, or two leaves disagree; the message names their paths.
    """
    axes = _as_axes(per_elt_axis)
    sizes: list[tuple[str, int]] = []
    for path, leaf in tree_leaves_with_path(per_elt_updates):
        where = keystr(path) or "the root"
        shape = jnp.shape(leaf)
        try:
            size = math.prod(shape[axis] for axis in axes)
        except IndexError:
            raise ValueError(
                f"per_elt_axis is {per_elt_axis}, but the leaf of the updates at {where} has the shape {shape}"
            ) from None
        sizes.append((where, size))
        if size != sizes[0][1]:
            raise ValueError(
                "the leaves of the updates must have the same number of elements along per_elt_axis: "
                f"it is {sizes[0][1]} at {sizes[0][0]} and {size} at {where}"
            )
    return sizes[0][1] if sizes else 0


def _as_axes(per_elt_axis: Axes) -> tuple[int, ...]:
    try:
        if isinstance(per_elt_axis, Sequence):
            return tuple(map(operator.index, per_elt_axis))
        return (operator.index(per_elt_axis),)
    except TypeError:
        raise TypeError(f"per_elt_axis must be an integer or a sequence of them, not {per_elt_axis!r}") from None


def _statistics(updates: Updates, axes: tuple[int, ...], size: int) -> tuple[PyTree, PyTree]:
    """The means over the elements and the sums of squared distances from them, in float32 or wider."""

    def on_leaf(x: Any) -> tuple[Any, Any]:
        if tree.dtype(x) == jax.dtypes.float0:
            nothing = np.zeros(np.delete(np.asarray(x.shape, int), axes), x.dtype)
            return nothing, nothing
        x = jnp.asarray(x)
        x = x.astype(slot_dtype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else float)
        mean = jnp.sum(x, axes, keepdims=True) / max(size, 1)
        return mean.squeeze(axes), jnp.sum(abs_sq(x - mean), axes)

    leaves, structure = jax.tree.flatten(updates)
    treedef: Any = structure
    means, squares = ([row[i] for row in map(on_leaf, leaves)] for i in (0, 1))
    return treedef.unflatten(means), treedef.unflatten(squares)


def _in_dtypes_of(updates: Updates, means: PyTree) -> Updates:
    """The means in the dtypes of the updates; those of integer updates in float32."""

    def on_leaf(x: Any, mean: Any) -> Any:
        return mean.astype(tree.dtype(x)) if jnp.issubdtype(tree.dtype(x), jnp.inexact) else mean

    return jax.tree.map(on_leaf, updates, means)

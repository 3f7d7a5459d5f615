"""Keep numbers about the updates in the state, where a training loop can read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from optax.core import (
    EmptyState,
    GradientTransformation,
    GradientTransformationExtraArgs,
    Numeric,
    OptState,
    Params,
    PyTree,
    Updates,
    checked_transformation,
    stateless,
    transformation,
    tree,
    vary_like,
)
from optax.transforms._layout import require_same_layout, without_float0, without_integers
from optax.transforms._momentum import EmaState, ema

__all__ = ["MonitorState", "SnapshotState", "measure_with_ema", "monitor", "snapshot"]

Measure: TypeAlias = Callable[[Updates], PyTree]


class MonitorState(NamedTuple):
    """State of `monitor`.

    Attributes:
      measurements: dict from the names of the measures to what each made of the last updates.
      measure_states: tuple of the states of the measures, in the order in which they were given.
    """

    measurements: dict[str, PyTree]
    measure_states: tuple[OptState, ...]


class SnapshotState(NamedTuple):
    """State of `snapshot`.

    Attributes:
      measurement: dict from the measure's name to what it made of the last updates.
    """

    measurement: dict[str, PyTree]


@transformation
def monitor(measures: Mapping[str, Measure | GradientTransformation]) -> GradientTransformationExtraArgs:
    """Leave the updates as they are, and keep in the state what some measures make of them.

        tx = chain(monitor({"norm": tree.norm, "mean_norm": measure_with_ema(tree.norm, 0.9)}), adam(1e-3))
        tree.get(state, "norm")

    Args:
      measures: dict from names to measures. A measure is a function of the updates that returns a tree of arrays; or,
        to have a memory, a transformation, whose updates are then the measurement.

    Returns:
      A transformation whose state is `MonitorState`. Its form is fixed by `init`, which traces the measures on the
      parameters without running them: measurements are zeros before the first update, and always of the shapes and
      dtypes that the parameters would give. Extra arguments of `update` go to the measures that take them; a measure
      must have a form without them too.

    Raises:
      TypeError: `measures` is not a dict from strings to functions and transformations.
      ValueError: from `update`, if a measurement has another structure or shape than `init` found.
    """
    if not isinstance(measures, Mapping):
        raise TypeError(f"measures must be a dict from names to measures, not {measures!r}")
    for name in measures:
        _check_name("a name in measures", name)
    txs = {name: _as_transformation(f"measures[{name!r}]", measure) for name, measure in measures.items()}

    def init(params: Params) -> MonitorState:
        states = tuple(tx.init(params) for tx in txs.values())
        zeros = {
            name: _zeros_in_form_of(name, _measurement(tx), params, state, params)
            for (name, tx), state in zip(txs.items(), states, strict=True)
        }
        return MonitorState(zeros, states)

    def update(
        updates: Updates, state: MonitorState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, MonitorState]:
        measurements, states = {}, []
        for (name, tx), measure_state in zip(txs.items(), state.measure_states, strict=True):
            value, measure_state = tx.update(updates, measure_state, params, **extra_args)
            measurements[name] = _in_place_of(name, state.measurements[name], value)
            states.append(measure_state)
        return updates, MonitorState(measurements, tuple(states))

    return GradientTransformationExtraArgs(init, update)


@transformation
def snapshot(measure_name: str, measure: Measure) -> GradientTransformation:
    """Leave the updates as they are, and keep in the state what one measure makes of them.

        tx = chain(adam(1e-3), snapshot("step_norm", tree.norm))
        tree.get(state, "step_norm")

    Args:
      measure_name: by what name the state has the measurement.
      measure: a function of the updates that returns a tree of arrays.

    Returns:
      A transformation whose state is `SnapshotState`; its form is found as that of `monitor` is.

    Raises:
      TypeError: `measure_name` is not a string, or `measure` cannot be called.
      ValueError: from `update`, if a measurement has another structure or shape than `init` found.
    """
    _check_name("measure_name", measure_name)
    _check_measure("measure", measure)

    def init(params: Params) -> SnapshotState:
        return SnapshotState({measure_name: _zeros_in_form_of(measure_name, measure, params)})

    def update(updates: Updates, state: SnapshotState, params: Params | None = None) -> tuple[Updates, SnapshotState]:
        del params
        value = _in_place_of(measure_name, state.measurement[measure_name], measure(without_float0(updates)))
        return updates, SnapshotState({measure_name: value})

    return GradientTransformation(init, update)


@transformation
def measure_with_ema(
    measure: Measure, decay: Numeric, debias: bool = True, accumulator_dtype: DTypeLike | None = None
) -> GradientTransformation:
    """For `monitor`: a measure that remembers, the exponential moving average of another one.

    Args:
      measure: a function of the updates that returns a tree of arrays.
      decay: scalar in [0, 1).
      debias: whether to divide by the weight of the terms so far, as in `ema`.
      accumulator_dtype: dtype of the average; None for that of the measurement, or float32 where that could not
        resolve `1 - decay`.

    Returns:
      A transformation that turns updates into the average measurement. Its state is that of a chain of the measure
      and of `ema`: the pair of `EmptyState()` and `EmaState`.

    Raises:
      TypeError: `measure` cannot be called.
      ValueError: `decay` is outside [0, 1).
    """
    _check_measure("measure", measure)
    average = ema(decay, debias, accumulator_dtype)

    def measured(updates: Updates) -> PyTree:
        return jax.tree.map(_as_inexact, measure(without_float0(updates)))

    def init(params: Params) -> tuple[EmptyState, EmaState]:
        return EmptyState(), average.init(_zeros_in_form_of("measure_with_ema", measured, params))

    def update(
        updates: Updates, state: tuple[EmptyState, EmaState], params: Params | None = None
    ) -> tuple[PyTree, tuple[EmptyState, EmaState]]:
        del params
        value, average_state = average.update(measured(updates), state[1])
        return value, (EmptyState(), average_state)

    return GradientTransformation(init, update)


def _check_name(what: str, name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a string, not {name!r}")


def _check_measure(what: str, measure: Any) -> None:
    if not callable(measure):
        raise TypeError(f"{what} must be a function of the updates, not {measure!r}")


def _as_transformation(what: str, measure: Any) -> GradientTransformationExtraArgs:
    if hasattr(measure, "update"):
        return checked_transformation(what, measure)
    _check_measure(what, measure)
    return checked_transformation(what, stateless(lambda updates, params: measure(without_float0(updates))))


def _measurement(tx: GradientTransformation) -> Callable[[Updates, OptState, Params], PyTree]:
    return lambda updates, state, params: tx.update(updates, state, params)[0]


def _zeros_in_form_of(name: str, measure: Callable[..., PyTree], params: Params, *args: Any) -> PyTree:
    """Zeros of the shapes and dtypes of `measure(params, *args)`, which is only traced, on the floating parameters."""
    if isinstance(params, tree.ParamsPlaceholder):
        return jnp.zeros([])  # whatever a measurement looks like, none of it belongs to a parameter
    try:
        form = without_float0(jax.eval_shape(measure, without_integers(params), *args))
    except Exception as error:
        error.add_note(f"in init, which traces the measure {name!r} on the parameters to learn the form of its result")
        raise
    return vary_like(tree.zeros_like(form), params)


def _as_inexact(x: Any) -> jax.Array:
    """A count has a mean that is none."""
    return jnp.asarray(x, None if jnp.issubdtype(tree.dtype(x), jnp.inexact) else float)


def _in_place_of(name: str, old: PyTree, value: PyTree) -> PyTree:
    """A measurement in the dtypes of the one before, of which it must have the structure and the shapes."""
    value = without_float0(value)
    require_same_layout(f"the measurement {name!r}", value, "what init found for it", old)
    return vary_like(tree.cast_like(value, old), old)

"""Averages of the parameters, kept beside them, and the one function that finds any of them for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path, tree_leaves_with_path, tree_map_with_path
from jax.typing import DTypeLike

from optax.core import (
    GradientTransformation,
    MaskedNode,
    OptState,
    Params,
    PyTree,
    ScalarOrSchedule,
    Updates,
    apply_updates,
    check_dtype,
    check_hyperparameter,
    check_integer,
    copy_slot,
    debias,
    new_slot,
    over_leaves,
    require_params,
    safe_increment,
    scaled,
    scheduled,
    slot_dtype,
    transformation,
    tree,
)

__all__ = ["ParamsEmaState", "ParamsMeanState", "eval_params", "params_ema", "params_mean"]


class ParamsEmaState(NamedTuple):
    """State of `params_ema`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      weight: scalar, the sum of the weights of what is averaged; 1 from the beginning without bias correction.
      average: tree of the parameters' structure and shapes, `MaskedNode()` for those that are not floating.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    weight: jax.Array
    average: Params

    def eval_params(self, params: Params) -> Params:
        """The averages; the parameters themselves as long as there is nothing to average."""
        return _once(self.weight > 0, self.average, params)


class ParamsMeanState(NamedTuple):
    """State of `params_mean`.

    Attributes:
      count: int32 scalar, the number of updates made so far.
      terms: int32 scalar, the number of parameters that the mean is taken of.
      average: tree of the parameters' structure and shapes, `MaskedNode()` for those that are not floating.
    """

    count: jax.Array  # type: ignore[assignment]  # hides tuple.count; existing code reads state.count
    terms: jax.Array
    average: Params

    def eval_params(self, params: Params) -> Params:
        """The mean; the parameters themselves as long as there is nothing to average."""
        return _once(self.terms > 0, self.average, params)


@transformation
def params_ema(
    decay: ScalarOrSchedule, debias: bool = True, accumulator_dtype: DTypeLike | None = None
) -> GradientTransformation:
    """Keep an exponential moving average of the parameters. The updates pass through; `eval_params` reads the average.

        p = params + updates            as `apply_updates` will leave them
        w = decay * w + (1 - decay)     the sum of the weights, 0 at first
        a = a + (1 - decay) / w * (p - a)

    This must be the last stage of a chain, and inside what skips or collects updates (`MultiSteps(chain(...), 4)`):
    it takes what comes in for what is added to the parameters.

    Args:
      decay: scalar in [0, 1), or a schedule (to begin with a short memory, say).
      debias: whether the average is of the parameters after each update alone, as above. If not, w is 1 throughout:
        the average starts at the initial parameters, which keep a weight of decay^t.
      accumulator_dtype: dtype of the average; None for float32, or the parameter's where that is wider. Averages in
        16 bits stall far from the mean.

    Returns:
      A transformation that needs the parameters, whose state is `ParamsEmaState`. Integer parameters have no average.

    Raises:
      TypeError: `decay` is neither a real scalar nor callable.
      ValueError: `decay` is outside [0, 1).

    Reference:
      Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992; the weights are those of Kingma,
      Ba, "Adam: a method for stochastic optimization", 2015, section 7.2.
    """
    check_hyperparameter("decay", decay, least=0, below=1, schedule=True)
    check_dtype("accumulator_dtype", accumulator_dtype)

    def init(params: Params) -> ParamsEmaState:
        start = (new_slot if debias else copy_slot)(floating(params), dtype=accumulator_dtype)
        weight = jnp.asarray(0 if debias else 1, scalar_dtype(params))
        return ParamsEmaState(jnp.zeros([], jnp.int32), weight, start)

    def update(updates: Updates, state: ParamsEmaState, params: Params | None = None) -> tuple[Updates, ParamsEmaState]:
        share = jnp.asarray(1 - scheduled(decay, state.count), state.weight.dtype)
        weight = state.weight + share * (1 - state.weight)
        step = jnp.where(weight > 0, share / jnp.where(weight > 0, weight, 1), 0)

        # Not decay * a + (1 - decay) * p: in float32 the two factors do not add up to 1, and for a decay of 0.9999 the
        # average of a constant would be off by 2e-4.
        def rule(p: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
            return p, a + scaled(p - a, step)

        _, average = over_slots(rule, apply_updates(require_params(params), updates), state.average)
        return updates, ParamsEmaState(safe_increment(state.count), weight, average)

    return GradientTransformation(init, update)


@transformation
def params_mean(
    start: int = 0, every: int = 1, *, accumulator_dtype: DTypeLike | None = None
) -> GradientTransformation:
    """Keep the mean of the last part of the path of the parameters. The updates pass through; `eval_params` reads it.

        p = params + updates           as `apply_updates` will leave them
        n = n + 1,  a = a + (p - a) / n    after the updates number start, start + every, start + 2 * every ...

    where the first update is number 0. This must be the last stage of a chain, and inside what skips or collects
    updates (`MultiSteps(chain(...), 4)`): it takes what comes in for what is added to the parameters.

    Args:
      start: integer >= 0, the first update after which the parameters count.
      every: integer >= 1, the period in updates (the length of a cycle of the learning rate, or of an epoch).
      accumulator_dtype: dtype of the mean; None for float32, or the parameter's where that is wider.

    Returns:
      A transformation that needs the parameters, whose state is `ParamsMeanState`. Integer parameters have no mean.

    Raises:
      TypeError: `start` or `every` is not an integer.
      ValueError: `start` is below 0, or `every` below 1.

    References:
      Polyak, Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
      Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018, algorithm 1.
    """
    check_dtype("accumulator_dtype", accumulator_dtype)
    first, period = check_integer("start", start, least=0), check_integer("every", every, least=1)

    def init(params: Params) -> ParamsMeanState:
        average = new_slot(floating(params), dtype=accumulator_dtype)
        return ParamsMeanState(jnp.zeros([], jnp.int32), jnp.zeros([], jnp.int32), average)

    def update(
        updates: Updates, state: ParamsMeanState, params: Params | None = None
    ) -> tuple[Updates, ParamsMeanState]:
        due = (state.count >= first) & ((state.count - first) % period == 0)
        terms = jnp.where(due, safe_increment(state.terms), state.terms)
        divisor = jnp.maximum(terms, 1)

        def rule(p: jax.Array, a: jax.Array) -> tuple[jax.Array, jax.Array]:
            return p, jnp.where(due, a + debias(p - a, divisor), a)

        _, average = over_slots(rule, apply_updates(require_params(params), updates), state.average)
        return updates, ParamsMeanState(safe_increment(state.count), terms, average)

    return GradientTransformation(init, update)


def eval_params(state: OptState, params: Params) -> Params:
    """The parameters to evaluate with: the averages that an optimizer's state holds, wherever in it they are.

    Every part of the state that has a method `eval_params(self, params)` is asked, in chains, masks, partitions and
    wrappers of any depth: the states of `params_ema`, `params_mean`, `lookahead` and `schedule_free` have it. To
    take part, a state of your own needs no more than this method. It is given all the parameters and returns a tree of
    their structure, with `MaskedNode()` in place of what it has no average of.

    Args:
      state: the state of any transformation.
      params: the parameters.

    Returns:
      `params` with the average of every parameter that has one, in the parameter's dtype; the others as they are.

    Raises:
      ValueError: nothing in the state averages the parameters, or two parts of it average the same one.
    """
    return averages_in(state, params)


def averages_in(state: OptState, params: Params, kind: type = object) -> Params:
    """`eval_params`, asking only states of class `kind`."""
    asked = [
        (f"{type(node).__name__} at state{keystr(path)}", node)
        for path, node in states_in(state, lambda x: isinstance(x, kind) and _offers_averages(x))
    ]
    if not asked:
        wanted = "params_ema(...) or params_mean(...) as the last stage" if kind is object else f"a {kind.__name__}"
        raise ValueError(f"nothing in this state averages the parameters; it would take {wanted}")
    found: dict[Any, tuple[str, Any]] = {}
    for name, node in asked:
        for path, average in tree_leaves_with_path(node.eval_params(params)):
            if path in found:
                raise ValueError(f"two states average the parameter{_at(path)}: {found[path][0]}, and {name}")
            found[path] = name, average

    def on_leaf(path: Any, p: Any) -> Any:
        if path not in found:
            return p
        name, average = found.pop(path)
        if jnp.shape(average) != jnp.shape(p):
            shapes = f"{jnp.shape(average)} and {jnp.shape(p)}"
            raise ValueError(f"average and parameter differ in shape{_at(path)}: {shapes} ({name})")
        return tree.cast_like(average, p)

    chosen = tree_map_with_path(on_leaf, params)
    for path, (name, _) in found.items():
        raise ValueError(f"{name} has an average{_at(path)}, where params has no leaf")
    return chosen


def states_in(state: OptState, wanted: Callable[[Any], bool]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The nodes of a state that are wanted, each with its path; those inside others too."""
    if wanted(state):
        yield (), state
    for path, node in tree_flatten_with_path(state, is_leaf=lambda x: x is not state and wanted(x))[0]:
        if node is not state and wanted(node):
            yield from (((*path, *rest), inner) for rest, inner in states_in(node, wanted))


def _offers_averages(x: Any) -> bool:
    return callable(getattr(type(x), "eval_params", None))


def _at(path: Any) -> str:
    return f" at {keystr(path)}" if path else ""


def _once(known: jax.Array, average: Params, params: Params) -> Params:
    """The averages where they are known yet, else the parameters that they will be of."""
    return over_leaves(lambda p, a: jnp.where(known, a, p), within(average, params), reads=(average,))


# What follows is shared by the wrappers that keep a tree of weights in their state. A parameter that is not floating
# has no weights there: the slot has `MaskedNode()` in its place, as it has for what a mask takes away.


def is_gap(x: Any) -> bool:
    """Whether `x` stands where a slot has no array."""
    return x is None or isinstance(x, MaskedNode)


def floating(params: Params) -> Params:
    """`params` without those that are not floating: the ones that an average can be taken of."""
    return jax.tree.map(lambda p: p if jnp.issubdtype(tree.dtype(p), jnp.inexact) else MaskedNode(), params)


def within(slot: PyTree, target: PyTree) -> PyTree:
    """`target` without what `slot` does not have."""
    return jax.tree.map(lambda s, x: s if isinstance(s, MaskedNode) else x, slot, target, is_leaf=is_gap)


def over_slots(
    rule: Callable[..., Any],
    updates: Updates,
    *slots: PyTree,
    reads: tuple[PyTree, ...] = (),
    summaries: tuple[PyTree, ...] = (),
) -> Any:
    """`over_leaves` for those leaves that the slots have; the other updates stay as they are."""
    new_updates, *new_slots = over_leaves(
        rule,
        within(slots[0], updates),
        *slots,
        reads=tuple(within(slots[0], t) for t in reads),
        summaries=summaries,
    )
    merged = jax.tree.map(lambda new, old: old if is_gap(new) else new, new_updates, updates, is_leaf=is_gap)
    return merged, *new_slots


def scalar_dtype(params: Params) -> np.dtype[Any]:
    """The dtype of the scalars that weigh parameters: float64 if some of these have that precision, else float32."""
    dtypes = [slot_dtype(tree.dtype(p)) for p in jax.tree.leaves(floating(params))]
    return np.result_type(np.float32, *(np.finfo(d).dtype for d in dtypes))

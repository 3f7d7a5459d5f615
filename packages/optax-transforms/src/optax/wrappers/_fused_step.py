"""A whole step at once: the update, and the new parameters."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import jax

from optax.core import GradientTransformation, OptState, Params, PyTree, Updates, apply_updates, checked_transformation
from optax.transforms._evaluator import by_blocks
from optax.transforms._program import with_derivatives_of
from optax.transforms._traced_step import taking_apart

__all__ = ["FusedStepFn", "fused_step"]


class FusedStepFn(Protocol):
    """`step(grads, state, params, **extra_args)`: the new parameters and the new state."""

    def __call__(
        self, grads: Updates, state: OptState, params: Params, **extra_args: Any
    ) -> tuple[Params, OptState]: ...


def fused_step(tx: GradientTransformation) -> FusedStepFn:
    """The function that makes a whole step of `tx`: `update`, then `apply_updates`, in one sweep over memory on a CPU.

        step = jax.jit(optax.fused_step(tx), donate_argnums=(1, 2))
        params, state = step(grads, state, params)

    A compiler for CPUs makes a loop over memory for each array of the result, and sets memory aside for what several
    of them need. Here large arrays are cut into blocks that fit into the cache: each is read once, and once more for
    each reduction that must be known before (a norm to clip by, say), and written once, in place. What `tx` does to a
    large array must be elementwise arithmetic and reductions. Arrays of which that is not true (the matrices of `muon`,
    those inside `jax.lax.cond`) are updated as usual, and so is everything on other backends, in `shard_map`, and where
    JAX has more than one device. The results are those of the two calls but for rounding: sums are taken in another
    order. Derivatives are those of the two calls.

    It is in place only if the state and the parameters are donated, as above. In a jitted function of your own that is
    donated them, take the result apart, and return the two in the order in which they came: JAX gives donated memory
    to results of the same shape in their order. For the same reason what comes out inside `jax.jit` is not a plain
    tuple but one with the state's leaves first; `tuple(step(...))` is plain. Outside `jax.jit` the step compiles
    itself, but leaves its arguments intact, which takes new arrays.

    Args:
      tx: a transformation.

    Returns:
      A function `step(grads, state, params, **extra_args)` of the gradients, the state, and the parameters, which
      returns the new parameters and the new state; the extra arguments go to `tx.update`. Those that are not arrays
      (functions, say) must be hashable if the step is called outside `jax.jit`, and another one compiles anew.

    Raises:
      TypeError: `tx` is not a transformation.
    """
    update = checked_transformation("tx", tx).update

    def run(
        grads: Updates, state: OptState, params: Params, arrays: dict[int, Any], others: _Others
    ) -> tuple[Params, OptState]:
        def pair(grads: Updates, state: OptState, params: Params, arrays: dict[int, Any]) -> tuple[Params, OptState]:
            updates, state = update(grads, state, params, **others.merged(arrays))
            return apply_updates(params, updates), state

        new: tuple[Params, OptState] = _by_blocks(pair, grads, state, params, arrays)
        return new

    compiled = jax.jit(run, static_argnames="others")

    def step(grads: Updates, state: OptState, params: Params, **extra_args: Any) -> tuple[Params, OptState]:
        leaves, treedef = jax.tree.flatten(extra_args)
        arrays = {
            i: x for i, x in enumerate(leaves) if isinstance(x, (bool, int, float, complex)) or hasattr(x, "dtype")
        }
        others = _Others(treedef, tuple(x for i, x in enumerate(leaves) if i not in arrays))
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((grads, state, params, arrays))):
            return _Result(run(grads, state, params, arrays, others))
        new: tuple[Params, OptState] = compiled(grads, state, params, arrays, others=others)
        return new

    return step


class _Others(tuple[Any, tuple[Hashable, ...]]):
    """What of the extra arguments is no array."""

    __slots__ = ()

    def __new__(cls, treedef: Any, leaves: tuple[Any, ...]) -> _Others:
        return super().__new__(cls, (treedef, leaves))

    def merged(self, arrays: dict[int, Any]) -> Any:
        treedef, leaves = self
        rest = iter(leaves)
        return treedef.unflatten(arrays[i] if i in arrays else next(rest) for i in range(treedef.num_leaves))


@jax.tree_util.register_pytree_node_class
class _Result(tuple[Any, Any]):
    """(params, state), with the leaves of the state first.

    `jax.jit` gives donated arguments to results of the same shape in order, and the arguments are (state, params).
    """

    __slots__ = ()

    def tree_flatten(self) -> tuple[tuple[Any, Any], None]:
        params, state = self
        return (state, params), None

    @classmethod
    def tree_unflatten(cls, aux: None, children: Any) -> _Result:
        del aux
        state, params = children
        return cls((params, state))


def _by_blocks(pair: Any, grads: Updates, state: OptState, params: Params, arrays: PyTree) -> Any:
    """`pair(grads, state, params, arrays)`."""
    with taking_apart():
        traced, shapes = jax.make_jaxpr(pair, return_shape=True)(grads, state, params, arrays)
    arguments = (*traced.consts, *jax.tree.leaves((grads, state, params, arrays)))
    results: Any = jax.tree.structure(shapes)

    def usual(*arguments: Any) -> list[Any]:
        from jax.extend.core import ClosedJaxpr, jaxpr_as_fun  # heavy, and seldom needed

        n = len(traced.consts)
        results: list[Any] = jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, arguments[:n]))(*arguments[n:])
        return results

    evaluate = None
    if results == jax.tree.structure((params, state)):
        ends = [0]
        for tree in (grads, state, params):
            ends.append(ends[-1] + len(jax.tree.leaves(tree)))
        evaluate = by_blocks(traced, [*range(ends[2], ends[3]), *range(ends[1], ends[2])])
    if evaluate is None:
        return results.unflatten(usual(*arguments))

    # Derivatives of loops that write in place would be slow, and those of custom rules lost.
    step = with_derivatives_of(usual, lambda *arguments: evaluate(arguments))
    return results.unflatten(step(*arguments))

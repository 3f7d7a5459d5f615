"""Which derivatives are zero whatever the numbers are, read off the traced program.

A pathwise estimator whose samples do not follow a parameter returns zeros for it, and nothing in the numbers says
that they are wrong. The program does: its derivative does not depend on what is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from optax.core import PyTree

if TYPE_CHECKING:
    from jax.extend.core import Jaxpr, Var

__all__ = ["depends", "follows", "require_derivative"]


def follows(fun: Callable[[Any], Any], x: PyTree) -> list[bool]:
    """For each floating leaf of `x`, whether the derivative of `fun` by it can be other than 0.

    Args:
      fun: a function of `x`; it is traced, not run.
      x: a tree of arrays, or of their shapes and dtypes.

    Returns:
      One bool per floating leaf, in the order of the leaves. It is True if a derivative is computed at all, even one
      that happens to vanish.
    """

    def floating(tree: PyTree) -> list[jax.Array]:
        return [leaf for leaf in map(jnp.asarray, jax.tree.leaves(tree)) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def values(y: PyTree) -> list[jax.Array]:
        return floating(fun(y))

    def derivatives(y: PyTree, cotangents: list[jax.Array]) -> list[jax.Array]:
        by_leaf = jax.tree.leaves(jax.vjp(values, y)[1](cotangents)[0])
        return [d for d in by_leaf if d.dtype != jax.dtypes.float0]

    jaxpr = jax.make_jaxpr(derivatives)(x, jax.eval_shape(values, x)).jaxpr
    return _reached(jaxpr, jaxpr.invars[len(jax.tree.leaves(x)) :])


def depends(fun: Callable[[Any], Any], x: PyTree) -> bool:
    """Whether any output of `fun` is computed from `x`, differentiably or not."""
    jaxpr = jax.make_jaxpr(fun)(x).jaxpr
    return any(_reached(jaxpr, jaxpr.invars))


def require_derivative(name: str, function: Callable[[Any], Any], x: PyTree, instead: str) -> None:
    """Raise if `function`, which is the argument `name`, depends on `x`, but only by ways without a derivative."""
    if depends(function, x) and not any(follows(function, x)):
        raise ValueError(
            f"the derivative of {name} is zero everywhere (is it a comparison, a rounding, an integer?); {instead}"
        )


def _reached(jaxpr: Jaxpr, sources: Sequence[Var]) -> list[bool]:
    """For each output of `jaxpr`, whether it is computed from one of `sources`."""
    from jax.extend.core import Literal  # brings 25 modules, which the other estimators do without

    reached = set(sources)
    for eqn in jaxpr.eqns:
        if any(not isinstance(v, Literal) and v in reached for v in eqn.invars):
            reached.update(eqn.outvars)
    return [not isinstance(v, Literal) and v in reached for v in jaxpr.outvars]

"""The function that a line search evaluates, along the direction that it searches."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from optax.core import Params, PyTree, Updates, apply_updates, has_value, over_leaves, require_params, scaled, tree
from optax.transforms._loss import loss_of_step

T = TypeVar("T")

_CALL = "update(updates, state, params, value=value, grad=grad, value_fn=f)"


class Line(NamedTuple):
    """A function f of the parameters, along a line.

    Attributes:
      f: takes the parameters and returns a scalar of the dtype `dtype`.
      params: x, where the line begins.
      updates: d, its direction.
      dtype: of all scalars.
    """

    f: Callable[[Params], jax.Array]
    params: Params
    updates: Updates
    dtype: Any

    def step(self, t: jax.Array) -> Updates:
        """t * d, and 0 for t = 0 whatever d is."""
        return over_leaves(lambda d: jnp.where(t > 0, scaled(d, t), 0), self.updates)

    def at(self, t: jax.Array) -> Params:
        """x + t * d, the very numbers that `apply_updates` makes of the updates that a search returns."""
        return apply_updates(self.params, self.step(t))

    def slope(self, grad: Updates) -> jax.Array:
        """The derivative of f along d, from `grad` as `jax.grad` returns it: for complex numbers df = Re(grad * dz)."""
        return jnp.asarray(jnp.real(tree.vdot(tree.conj(grad), self.updates)), self.dtype)

    def fixed(self) -> Line:
        """The same line as a constant, for what is not to be differentiated."""
        return self._replace(params=jax.lax.stop_gradient(self.params), updates=jax.lax.stop_gradient(self.updates))


def line_of(
    updates: Updates,
    params: Params | None,
    dtype: Any,
    value: Any,
    grad: Any,
    value_fn: Any,
    extra_args: Mapping[str, Any],
) -> tuple[Line, jax.Array, Updates]:
    """The line, and value and gradient where it begins, from the arguments of `update`.

    The gradient is in JAX's convention; both are constants, for nothing is differentiated by where a search begins.
    """
    params = require_params(params)
    if not callable(value_fn):
        raise TypeError(f"a line search evaluates the function value_fn: call {_CALL}, not with value_fn={value_fn!r}")
    if grad is None:
        raise TypeError(f"a line search needs the gradient beside the direction: call {_CALL}")
    start = loss_of_step(value, dtype, f"a line search needs the value of the function (call {_CALL})")
    line = Line(_scalar_function(value_fn, extra_args, dtype), params, updates, dtype)
    return line, *jax.lax.stop_gradient((start, tree.conj(grad)))


def _scalar_function(
    value_fn: Callable[..., Any], extra_args: Mapping[str, Any], dtype: Any
) -> Callable[[Params], jax.Array]:
    """`value_fn` with those of the extra arguments of `update` that it has parameters for."""
    try:
        names = list(inspect.signature(value_fn).parameters)[1:]
    except (TypeError, ValueError):  # some callables have no signature
        names = []
    known = {name: extra_args[name] for name in names if name in extra_args}

    def f(params: Params) -> jax.Array:
        value = value_fn(params, **known)
        value = value[0] if isinstance(value, tuple) else value  # value and auxiliary data
        return real_scalar("value_fn must return a real scalar, or a tuple that begins with one", value, dtype)

    return f


def real_scalar(promise: str, value: Any, dtype: Any) -> jax.Array:
    """What a function has returned, in `dtype`, if it is what was promised."""
    if jnp.shape(value) != () or jnp.iscomplexobj(value):
        raise TypeError(f"{promise}, not {jnp.result_type(value)} of shape {jnp.shape(value)}")
    return jnp.asarray(value, dtype)


def value_and_stored_grad(f: Callable[[Params], jax.Array], params: Params, slot: PyTree) -> tuple[jax.Array, PyTree]:
    """f and its gradient, as it is stored in a slot."""
    value, grad = jax.value_and_grad(f, allow_int=True)(params)
    return value, stored(grad, slot)


def kept_step_size(state: Any) -> jax.Array:
    """The step size of the last search; 1 where it has become too small to grow again."""
    t = jnp.asarray(state.learning_rate)
    return jnp.where(t > float(np.finfo(t.dtype).tiny), t, 1)


def stored(x: PyTree, slot: PyTree) -> PyTree:
    """`x` in the dtypes of a slot; the gradient of an integer, which has no value, leaves its slot as it is."""
    return jax.tree.map(lambda x, s: jnp.asarray(x, s.dtype) if has_value(x) else s, x, slot)


def loop(condition: Callable[[T], jax.Array], body: Callable[[T], T], carry: T) -> T:
    """`while condition(carry): carry = body(carry)`, compiled only where it is part of a program to compile.

    `jax.lax.while_loop` would compile the function anew in each call outside of `jit`.
    """
    while True:
        more = condition(carry)
        if any(isinstance(x, jax.core.Tracer) for x in (more, *jax.tree.leaves(carry))):
            return compiled_loop(condition, body, carry)
        if not more:
            return carry
        carry = body(carry)


def compiled_loop(condition: Callable[[T], jax.Array], body: Callable[[T], T], carry: T) -> T:
    """`jax.lax.while_loop` with the scalars of the carry in one array for each dtype.

    On a CPU each array of a carry costs some kernels per turn, and these loops have more scalars than anything else.
    """
    leaves, structure = jax.tree.flatten(carry)
    groups: dict[Any, list[int]] = {}
    for i, x in enumerate(leaves):
        if jnp.ndim(x) == 0:
            groups.setdefault(x.dtype, []).append(i)
    alone = [i for i, x in enumerate(leaves) if jnp.ndim(x)]

    def packed(carry: T) -> Any:
        leaves = jax.tree.leaves(carry)
        return [jnp.stack([leaves[i] for i in group]) for group in groups.values()], [leaves[i] for i in alone]

    def unpacked(arrays: Any) -> T:
        together, others = arrays
        places = [*(i for group in groups.values() for i in group), *alone]
        found = dict(zip(places, [*(x for row in together for x in row), *others], strict=True))
        treedef: Any = structure
        result: T = treedef.unflatten([found[i] for i in range(len(leaves))])
        return result

    return unpacked(
        jax.lax.while_loop(lambda c: condition(unpacked(c)), lambda c: packed(body(unpacked(c))), packed(carry))
    )


def with_derivatives(f: Callable[[Params], T], params: Params, found: T) -> T:
    """`found`, which is `f(params)` and was computed where nothing can be differentiated, with the derivatives of that.

    They are computed only if they are asked for.
    """
    if not any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((params, found))):
        return found
    closed, constants = jax.closure_convert(f, params)

    @jax.custom_jvp
    def known(params: Params, constants: Any, found: T) -> T:
        return found

    @known.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        params, constants, found = primals
        _, tangent = jax.jvp(lambda x, c: closed(x, *c), (params, constants), tangents[:2])
        return found, tangent

    return known(params, constants, found)

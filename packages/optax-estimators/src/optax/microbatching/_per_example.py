"""Functions and gradients of single examples, mapped over a batch microbatch by microbatch."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_integer
from optax.microbatching._accumulators import AccumulationType, check_accumulator
from optax.microbatching._batch import Batch, spread
from optax.microbatching._microbatch import accumulated, as_tuple, check_count, positional

__all__ = ["micro_grad", "micro_vmap"]


class Aux(NamedTuple):
    """What `micro_grad` returns besides the gradients, for each example, along the first axis.

    Attributes:
      values: the values of the function.
      metrics: what `metrics_fn` made of the gradients.
      aux: what the function returned besides its value; None without `has_aux`.
    """

    values: jax.Array
    metrics: PyTree
    aux: PyTree


def micro_vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[PyTree] = 0,
    out_axes: PyTree = 0,
    *,
    microbatch_size: int | None = None,
    vmap_fn: Callable[..., Callable[..., Any]] = jax.vmap,
    accumulator: PyTree = AccumulationType.CONCAT,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """`jax.vmap` on one microbatch after the other, with the results accumulated.

    Memory is needed for the examples of one microbatch instead of all, see `microbatch`. Sums and means are over the
    examples: nothing else is kept of them.

    Args:
      fun: a function of one example.
      in_axes: for each positional argument, or for all, the batch axis or a tree of them, None for what is not mapped.
        Arguments passed by name are mapped over their first axis, as in `jax.vmap`.
      out_axes: where the batch axis goes in the results of CONCAT: an integer or a prefix tree of the result.
      microbatch_size: how many examples form a microbatch, >= 1; divides the batch. None for all.
      vmap_fn: called as `vmap_fn(fun, in_axes, 0)`, a variant of `jax.vmap`.
      accumulator: an `AccumulationType` or `Accumulator`, or a prefix tree of them for the result.
      num_real_microbatches: how many microbatches count, see `microbatch`.

    Returns:
      A function of the batch.

    Raises:
      TypeError: an argument here is of the wrong kind.
      ValueError: a size or count is out of range. The function: lengths differ, `microbatch_size` does not divide
        them, or `in_axes`, `out_axes` or `accumulator` does not fit.

    >>> square = micro_vmap(jnp.square, microbatch_size=2)
    >>> square(jnp.arange(4.0))
    Array([0., 1., 4., 9.], dtype=float32)
    """
    check_accumulator(accumulator)
    size = None if microbatch_size is None else check_integer("microbatch_size", microbatch_size, least=1)
    count = check_count(num_real_microbatches)
    names = positional(fun)

    @functools.wraps(fun)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        axes = tuple(in_axes) if isinstance(in_axes, Sequence) else (in_axes,) * len(args)
        if len(axes) != len(args):
            raise ValueError(f"in_axes has {len(axes)} entries for {len(args)} positional arguments: {in_axes!r}")
        labels = [names[i] if i < len(names) else f"argument {i}" for i in range(len(args))]
        batch = Batch.of([*labels, *kwargs], [*args, *kwargs.values()], [*axes, *(0 for _ in kwargs)], size)

        def call(parts: Sequence[PyTree]) -> PyTree:
            named = dict(zip(kwargs, parts[len(args) :], strict=True))
            return vmap_fn(fun, axes, 0)(*parts[: len(args)], **named)

        result = accumulated(call, batch, accumulator, count, batched=True)
        if isinstance(out_axes, int) and out_axes == 0:
            return result
        treedef: Any = jax.tree.structure(result)
        kinds = spread("accumulator", accumulator, "the result", result)
        places = spread("out_axes", out_axes, "the result", result)
        return treedef.unflatten(map(_moved, jax.tree.leaves(result), kinds, places))

    return mapped


def micro_grad(
    fun: Callable[..., Any],
    has_aux: bool = False,
    argnums: int | Sequence[int] = 0,
    *,
    batch_argnums: int | Sequence[int] = 1,
    keep_batch_dim: bool = True,
    microbatch_size: int | None = None,
    accumulator: PyTree = AccumulationType.SUM,
    transform_fn: Callable[[PyTree], PyTree] = lambda grads: grads,
    metrics_fn: Callable[[PyTree], PyTree] = lambda grads: None,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., tuple[PyTree, Aux]]:
    """The gradients of a function of each example, transformed one by one and then accumulated.

        grads = accumulator of transform_fn(g_i),    g_i = gradient of fun(params, example i)

    So each example's gradient can be clipped, say, though those of one microbatch only are in memory at a time.

    Args:
      fun: a scalar function such as a loss, of one example.
      has_aux: whether `fun` returns a pair, of the scalar and anything else.
      argnums: the positions of the arguments to differentiate by.
      batch_argnums: the positions of those with the examples, trees with a leading batch axis. Arguments passed by
        name that have no position have one too, as in `jax.vmap`; all others are the same for all examples.
      keep_batch_dim: whether `fun` sees an example as a batch of one (of the arguments of `batch_argnums`).
      microbatch_size: how many examples form a microbatch, >= 1; divides the batch. None for all.
      accumulator: an `AccumulationType` or `Accumulator`, or a prefix tree of them for the gradients.
      transform_fn: applied to the gradient of each example.
      metrics_fn: what to record of the gradient of each example, before `transform_fn`, such as its norm.
      num_real_microbatches: how many microbatches count, see `microbatch`.

    Returns:
      A function that returns the gradients and a named tuple of `values`, `metrics` and `aux`, of each of which there
      is one for each example, along the first axis, in the order of the batch.

    Raises:
      TypeError: an argument here is of the wrong kind.
      ValueError: a size or count is out of range. The function: an argument is not there, lengths differ, or
        `microbatch_size` does not divide them.

    >>> clipped = lambda g: jnp.clip(g, -1.0, 1.0)
    >>> gradient = micro_grad(lambda w, x: jnp.sum(w * x), microbatch_size=1, transform_fn=clipped)
    >>> gradient(1.0, jnp.array([0.5, 7.0]))[0]
    Array(1.5, dtype=float32)
    """
    check_accumulator(accumulator)
    by = as_tuple("argnums", argnums) if isinstance(argnums, Sequence) else as_tuple("argnums", argnums)[0]
    numbers = as_tuple("batch_argnums", batch_argnums)
    if microbatch_size is not None:
        check_integer("microbatch_size", microbatch_size, least=1)
    count = check_count(num_real_microbatches)
    gradient = jax.value_and_grad(fun, by, has_aux=has_aux)
    names = positional(fun)

    @functools.wraps(fun)
    def gradients(*args: Any, **kwargs: Any) -> tuple[PyTree, Aux]:
        for name in names[len(args) :]:  # what follows by name, as far as it has a position
            if name not in kwargs:
                break
            args = (*args, kwargs.pop(name))
        for option, given in (("argnums", as_tuple("argnums", argnums)), ("batch_argnums", numbers)):
            for number in given:
                if not -len(args) <= number < len(args):
                    raise ValueError(f"{option} has {number}, but there are {len(args)} positional arguments")
        examples = {number % len(args) for number in numbers}

        @functools.wraps(fun)
        def of_one(*args: Any, **kwargs: Any) -> tuple[PyTree, Aux]:
            if keep_batch_dim:
                args = tuple(_batch_of_one(arg) if i in examples else arg for i, arg in enumerate(args))
            result, grads = gradient(*args, **kwargs)
            value, aux = result if has_aux else (result, None)
            return transform_fn(grads), Aux(value, metrics_fn(grads), aux)

        over_batch = micro_vmap(
            of_one,
            [0 if i in examples else None for i in range(len(args))],
            microbatch_size=microbatch_size,
            accumulator=(accumulator, AccumulationType.CONCAT),
            num_real_microbatches=count,
        )
        grads, aux = over_batch(*args, **kwargs)
        return grads, aux

    return gradients


def _moved(x: jax.Array, accumulator: Any, axis: Any) -> jax.Array:
    if accumulator is not AccumulationType.CONCAT:
        return x
    if not isinstance(axis, int) or not -x.ndim <= axis < x.ndim:
        raise ValueError(f"out_axes must be an axis of a result of shape {x.shape}, not {axis!r}")
    return jnp.moveaxis(x, 0, axis)


def _batch_of_one(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: jnp.expand_dims(x, 0), tree)

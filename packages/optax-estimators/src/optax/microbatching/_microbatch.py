"""Functions of a batch, evaluated microbatch by microbatch."""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from optax.core import PyTree, check_integer
from optax.microbatching._accumulators import AccumulationType, check_accumulator, fold
from optax.microbatching._batch import Batch, branches

__all__ = ["microbatch"]


def microbatch(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    microbatch_size: int | None,
    accumulator: PyTree = AccumulationType.SUM,
    *,
    argnames: str | Sequence[str] = (),
    in_axes: int | Sequence[PyTree] = 0,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """Evaluate a function of a batch on one microbatch after the other, and accumulate the results.

        fun(batch)  becomes  accumulator of fun(batch[k::K]),    k = 0, 1, ..., K - 1,    K = n / microbatch_size

    Memory is needed for one microbatch instead of the whole batch. That holds for derivatives of the new function too:
    they evaluate each microbatch once more instead of keeping it (unless `fun` has side effects). A microbatch has
    every K-th example of the batch, see `reshape_batch_axis`.

    Args:
      fun: any function, such as `jax.grad(loss)`.
      argnums: the positions of the arguments that have a batch axis; they may be passed by name too.
      microbatch_size: how many examples form a microbatch, >= 1; divides n. None for all.
      accumulator: an `AccumulationType` or `Accumulator`, or a tree of them for the branches of the result.
      argnames: the names of further arguments that have a batch axis, by whichever way they are passed.
      in_axes: the batch axis of all of them, or one for each (argnums first, then argnames); of an argument that is a
        tree, one for all leaves or a tree of them, with None for leaves without a batch axis.
      num_real_microbatches: how many microbatches count, 0 ... K: 0, 1, ..., and not the rest, which are not evaluated
        and add nothing; in results of CONCAT they are zeros. None means all. It may be traced: one program then serves
        all counts, and one that is out of range is clipped.

    Returns:
      A function with the arguments of `fun` and the accumulated result. Of an empty batch the sums and means are zeros.

    Raises:
      TypeError: an argument here is of the wrong kind.
      ValueError: a size or count is out of range. The function: an argument is not there, `microbatch_size` does not
        divide n, lengths differ, or `accumulator` does not fit the result.

    >>> mean_of_squares = lambda w, x: jnp.mean(jnp.square(w * x))
    >>> gradient = microbatch(jax.grad(mean_of_squares), 1, 2, AccumulationType.MEAN)
    >>> gradient(1.0, jnp.array([1.0, 2.0, 3.0, 4.0]))
    Array(15., dtype=float32)
    """
    check_accumulator(accumulator)
    size = None if microbatch_size is None else check_integer("microbatch_size", microbatch_size, least=1)
    count = check_count(num_real_microbatches)
    numbers = as_tuple("argnums", argnums)
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
    entries = tuple(in_axes) if isinstance(in_axes, Sequence) else (in_axes,) * (len(numbers) + len(names))
    if len(entries) != len(numbers) + len(names):
        raise ValueError(
            f"in_axes must be one axis or one for each of argnums and argnames, {len(numbers) + len(names)}, "
            f"not {len(entries)}: {in_axes!r}"
        )
    positions = positional(fun)

    @functools.wraps(fun)
    def microbatched(*args: Any, **kwargs: Any) -> Any:
        axes: dict[int | str, Any] = {}
        wheres: tuple[int | str, ...] = (*numbers, *names)
        for where, axis in zip(wheres, entries, strict=True):
            place = _place(fun, where, args, kwargs)
            if place is not None:
                axes.setdefault(place, axis)
        known = dict(enumerate(positions))
        labels = [place if isinstance(place, str) else known.get(place, f"argument {place}") for place in axes]
        values = [args[place] if isinstance(place, int) else kwargs[place] for place in axes]
        batch = Batch.of(labels, values, list(axes.values()), size)

        def call(parts: Sequence[PyTree]) -> PyTree:
            given = dict(zip(axes, parts, strict=True))
            return fun(
                *(given.get(i, arg) for i, arg in enumerate(args)),
                **{name: given.get(name, arg) for name, arg in kwargs.items()},
            )

        return accumulated(call, batch, accumulator, count)

    return microbatched


def accumulated(
    call: Callable[[Sequence[PyTree]], PyTree],
    batch: Batch,
    accumulator: PyTree,
    count: int | jax.Array | None,
    *,
    batched: bool = False,
) -> PyTree:
    """The results for all microbatches that count, put together.

    Args:
      call: the function of the batch arguments.
      batch: the batch arguments.
      accumulator: prefix tree of the result.
      count: how many microbatches count, None for all.
      batched: whether results have an axis of examples in front, to be aggregated over.
    """
    number = batch.number
    if isinstance(count, int) and count > number:
        raise ValueError(f"num_real_microbatches must be at most {number}, the number of microbatches, not {count}")
    real: Any = number if count is None else count if isinstance(count, int) else jnp.clip(count, 0, number)
    real = real if number else 0
    batch = batch if number else batch.with_one()

    def evaluate(index: jax.Array) -> PyTree:
        return call(batch.microbatch(index))

    first = jnp.int32(0)
    program, result = jax.make_jaxpr(evaluate, return_shape=True)(first)
    if number > 1 and not program.effects:
        evaluate = jax.checkpoint(evaluate, prevent_cse=False)

    folds = [fold(a, r, number, real, batched) for a, r in branches("accumulator", accumulator, "the result", result)]
    treedef: Any = jax.tree.structure(accumulator)  # of a class that type checkers do not see

    def step(carried: list[PyTree], index: jax.Array) -> tuple[list[PyTree], list[PyTree]]:
        values = treedef.flatten_up_to(evaluate(index))
        done = [f.step(c, x, index) for f, c, x in zip(folds, carried, values, strict=True)]
        return [c for c, _ in done], [kept for _, kept in done]

    def step_if_real(carried: list[PyTree], index: jax.Array) -> tuple[list[PyTree], list[PyTree]]:
        # Where the condition cannot be kept (counts mapped over), both sides run: on an example that is real.
        some = jnp.minimum(index, jnp.maximum(real - 1, 0))
        nothing = jax.tree.map(jnp.zeros_like, [f.kept for f in folds])
        chosen: tuple[list[PyTree], list[PyTree]] = jax.lax.cond(
            index < real, lambda: step(carried, some), lambda: (carried, nothing)
        )
        return chosen

    carried, kept = [f.start for f in folds], [f.kept for f in folds]
    if isinstance(real, int) and real == number == 1:
        carried, kept = step(carried, first)
        kept = jax.tree.map(lambda x: jnp.expand_dims(x, 0), kept)
    elif isinstance(real, int):
        carried, kept = jax.lax.scan(step, carried, jnp.arange(real, dtype=jnp.int32))
    else:
        carried, kept = jax.lax.scan(step_if_real, carried, jnp.arange(number, dtype=jnp.int32))
    return treedef.unflatten([f.finish(c, k) for f, c, k in zip(folds, carried, kept, strict=True)])


def check_count(count: Any) -> int | jax.Array | None:
    """The number of real microbatches, as a Python integer if it is known."""
    if count is None:
        return None
    if isinstance(count, jax.core.Tracer):
        if count.shape != () or not jnp.issubdtype(count.dtype, jnp.integer):
            raise TypeError(
                f"num_real_microbatches must be an integer, not an array of shape {count.shape} and dtype {count.dtype}"
            )
        return count
    known: int = check_integer("num_real_microbatches", count, least=0)
    return known


def as_tuple(name: str, numbers: Any) -> tuple[int, ...]:
    """One integer or several as a tuple."""
    try:
        return tuple(map(operator.index, numbers if isinstance(numbers, Sequence) else (numbers,)))
    except TypeError:
        raise TypeError(f"{name} must be an integer or several, not {numbers!r}") from None


def positional(fun: Callable[..., Any]) -> list[str]:
    """The names of the parameters that have a position, as far as they can be known."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, parameter in _parameters(fun).items() if parameter.kind in kinds]


def _parameters(fun: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(fun).parameters
    except (TypeError, ValueError):
        return {}


def _place(fun: Any, where: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | str | None:
    """Where in this call an argument is, given by number or name; None if it is left out and has a default."""
    names = positional(fun)
    option, number, name = "argnames", -1, where
    if isinstance(where, int):
        option, number = "argnums", where + len(args) if where < 0 else where
        name = names[number] if 0 <= number < len(names) else ""
    elif where in names:
        number = names.index(where)
    if 0 <= number < len(args):
        return number
    if name in kwargs:
        return str(name)
    parameter = _parameters(fun).get(str(name))
    if parameter is not None and parameter.default is not inspect.Parameter.empty:
        return None
    called = f"{len(args)} positional arguments" + (f" and {', '.join(kwargs)}" if kwargs else "")
    raise ValueError(f"{option} has {where!r}, but {getattr(fun, '__name__', fun)!s} was called with {called}")

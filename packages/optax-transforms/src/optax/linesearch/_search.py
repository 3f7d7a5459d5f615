"""The search for a step size with the strong Wolfe conditions, in small functions of points on the line.

Nocedal and Wright, "Numerical optimization", second edition, 2006, algorithms 3.5 and 3.6. Both are one loop here. It
holds an interval from `low` to `high`: `low` is the best point so far and f descends from it towards `high`, which is
at infinity until an upper end is found. Algorithm 3.5 is what happens while it is, 3.6 what happens then.

phi(t) = f(x + t * d) is what is searched; slopes are those of phi.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from optax.core import Updates, tree, vary_like
from optax.linesearch._objective import loop


class Point(NamedTuple):
    """A point on the line: t, phi(t), phi'(t), all scalars."""

    t: jax.Array
    value: jax.Array
    slope: jax.Array


class Wolfe(NamedTuple):
    """What is asked of a step size, relative to the point `start` at t = 0.

    Attributes:
      c1: the share of the decrease that the slope at 0 promises, to be reached.
      c2: the share of the slope at 0 that may be left.
      rtol: the share of |phi(0)| within which values count as equal, for the approximate conditions; None for none.
      tol: by how much both may be missed.
    """

    c1: Any
    c2: Any
    rtol: Any
    tol: Any

    def decrease_error(self, start: Point, p: Point) -> jax.Array:
        """By how much `p` misses the sufficient decrease (3.7a), or, if that is less, what replaces it.

        Near a minimum the values are equal but for rounding, and the slopes decide: (4.1) of Hager, Zhang, "A new
        conjugate gradient method with guaranteed descent and an efficient line search", 2005.
        """
        exact = p.value - start.value - self.c1 * p.t * start.slope
        if self.rtol is None:
            return jnp.maximum(exact, 0)
        by_slope = p.slope - (2 * self.c1 - 1) * start.slope
        by_value = p.value - start.value - self.rtol * jnp.abs(start.value)
        return jnp.maximum(jnp.minimum(exact, jnp.maximum(by_slope, by_value)), 0)

    def curvature_error(self, start: Point, p: Point) -> jax.Array:
        """By how much `p` misses the strong curvature condition (3.7b)."""
        return jnp.maximum(jnp.abs(p.slope) - self.c2 * jnp.abs(start.slope), 0)


class Bracket(NamedTuple):
    """Where the search is.

    Attributes:
      steps: number of evaluations.
      start: the point at t = 0. It stays what it is, and is here because XLA would otherwise compute what follows from
        it before the loop, in more kernels than the loop has.
      low: the best point so far, which has decreased enough; at t = 0 if there is none.
      grad: the gradient there.
      high: the other end of the interval, on either side; at infinity if there is none yet.
      last: the point evaluated last.
      done: whether `low` has all that is asked of it, or cannot get more.
    """

    steps: jax.Array
    start: Point
    low: Point
    grad: Updates
    high: Point
    last: Point
    done: jax.Array


def search(
    evaluate: Callable[[jax.Array], tuple[jax.Array, jax.Array, Updates]],
    wolfe: Wolfe,
    start: Point,
    grad: Updates,
    guess: jax.Array,
    *,
    max_steps: int,
    max_t: Any,
    increase: Any,
    precision: Any,
) -> Bracket:
    """Evaluate until a point has the strong Wolfe conditions, or it is no use to go on.

    Args:
      evaluate: t -> phi(t), phi'(t) and the gradient there.
      wolfe: the conditions.
      start: the point at t = 0.
      grad: the gradient at t = 0.
      guess: the first t to evaluate, > 0.
      max_steps: how often to evaluate at most.
      max_t: the largest t.
      increase: factor of t from one evaluation to the next while there is no upper end.
      precision: width of the interval, relative to its ends, that is not worth dividing.

    Returns:
      The last state of the search; its `low` is the result.
    """

    def unfinished(b: Bracket) -> jax.Array:
        wide = jnp.abs(b.high.t - b.low.t) > precision * jnp.maximum(b.high.t, b.low.t)
        return jnp.logical_and(~b.done & (b.steps < max_steps), wide | jnp.isinf(b.high.t))

    def advance(b: Bracket) -> Bracket:
        first = (b.low.t == 0) & jnp.isinf(b.high.t)
        beyond = jnp.where(first, guess, increase * b.low.t)
        t = jnp.where(jnp.isinf(b.high.t), jnp.minimum(beyond, max_t), interpolate(b.low, b.high))
        value, slope, new_grad = evaluate(t)
        p = Point(t, value, slope)
        finite = jnp.isfinite(value) & jnp.isfinite(slope)
        sufficient = finite & (wolfe.decrease_error(b.start, p) <= wolfe.tol)
        accepted = sufficient & (wolfe.curvature_error(b.start, p) <= wolfe.tol)
        better = accepted | (sufficient & (value < b.low.value))
        past_minimum = (slope >= 0) == (b.high.t > b.low.t)  # f ascends towards high: the minimum lies behind
        return Bracket(
            steps=b.steps + 1,
            start=b.start,
            low=tree.where(better, p, b.low),
            grad=tree.where(better, new_grad, b.grad),
            high=tree.where(better, tree.where(past_minimum, b.low, b.high), p),
            last=p,
            done=accepted | (better & (t >= max_t)),
        )

    downhill = (start.slope < 0) & jnp.isfinite(start.slope) & jnp.isfinite(start.value)
    nowhere = Point(jnp.full_like(start.t, jnp.inf), *start[1:])
    first = start._replace(t=guess)
    begin = Bracket(jnp.zeros([], jnp.int32), start, start, grad, nowhere, first, ~downhill)
    return loop(unfinished, advance, vary_like(begin, begin))


def interpolate(low: Point, high: Point) -> jax.Array:
    """The t to evaluate next between two points: where a cubic with their values and slopes has its minimum.

    Where that lies outside, or close to an end, so that the interval would hardly get shorter, it is a tenth of the
    interval away from that end. Where values are infinite or no number, it is the middle.
    """
    t = _cubic_minimum(low, high)
    margin = 0.1 * jnp.abs(high.t - low.t)
    left, right = jnp.minimum(low.t, high.t), jnp.maximum(low.t, high.t)
    return jnp.where(jnp.isfinite(t), jnp.clip(t, left + margin, right - margin), (left + right) / 2)


def _cubic_minimum(a: Point, b: Point) -> jax.Array:
    """(3.59) with a, b for the two points; not finite where the cubic has no minimum."""
    h = b.t - a.t
    d1 = a.slope + b.slope - 3 * (b.value - a.value) / h
    d2 = jnp.sign(h) * jnp.sqrt(d1 * d1 - a.slope * b.slope)
    return b.t - h * (b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2)
